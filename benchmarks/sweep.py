"""Sweep efficiency: the card's command, from the end of its start-up to its end, against bare loops on all cores.

    python -m benchmarks.sweep           # five pairs on an idle machine: about half an hour of two cores
    python -m benchmarks.sweep --pairs 1 --epochs 2

A pair is the command in a folder of its own, images and page included, and a bare loop on each core at the same time,
with the network, batches and images per epoch of a run. The start-up ends when the plan of the study is written: then
the configuration is checked and nothing is generated or trained. The ratio is images trained per second.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from benchmarks.bare_loop import BareLoop, random_images
from synthaug.files import read_json
from synthaug.runs.layout import PLANNED

STUDY = "card"
BATCH = 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="of each run")
    parser.add_argument("overrides", nargs="*", help="settings of the command, such as seed=0,1,2")
    arguments = parser.parse_args()
    ratios = []
    for _ in range(arguments.pairs):
        started_up, seconds, images = command(arguments.epochs, arguments.overrides)
        bare = bare_rate()
        ratios.append(images / seconds / bare)
        print(
            f"  start-up {started_up:.1f} s, then {images} images trained in {seconds:.1f} s: {images / seconds:.0f} a "
            f"second; bare loops {bare:.0f}",
            flush=True,
        )
    low, high = min(ratios), max(ratios)
    print(f"{statistics.median(ratios):.2f} of the bare loops, median of {len(ratios)} pairs, {low:.2f} to {high:.2f}")


def command(epochs: int, overrides: list[str]) -> tuple[float, float, int]:
    """Run the card's command; return the seconds of its start-up and of the rest, and the images trained on.

    Args:
        epochs: of each run.
        overrides: further settings.
    """
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / STUDY
        options = [f"trainer.max_epochs={epochs}", f"experiment={STUDY}", f"output_dir={folder}", *overrides]
        line = [sys.executable, "-m", "synthaug.train", "-m", "mix=real,55,64,73,82", *options]
        started = time.perf_counter()
        with subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"WANDB_MODE": "offline", **os.environ}
        ) as process:
            while process.poll() is None and not (study / PLANNED).is_file():
                time.sleep(0.02)
            planned = time.perf_counter()
            process.wait()
        ended = time.perf_counter()
        if process.returncode:
            raise SystemExit(f"The command failed with {process.returncode}: {' '.join(line)}")
        steps = sum(int(read_json(path)["training"]["steps"]) for path in study.glob("*/*/*/result.json"))
        return planned - started, ended - planned, steps * BATCH


def bare_rate(epochs: int = 3, train: int = 1000, val: int = 500) -> float:
    """Return the images that bare loops train on per second, one loop on each core, all at the same time.

    Args:
        epochs: of each loop, after one that does not count.
        train: images of an epoch.
        val: images that it is validated on.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(cores), context.Queue()
    loops = [context.Process(target=_loop, args=(barrier, times, epochs, train, val)) for _ in range(cores)]
    for loop in loops:
        loop.start()
    rates: list[float] = [times.get() for _ in loops]
    for loop in loops:
        loop.join()
    return sum(rates)


def _loop(barrier: Barrier, times: Any, epochs: int, train: int, val: int) -> None:
    torch.set_num_threads(1)
    loop = BareLoop("resnet18", random_images(train, val, 32), BATCH)
    loop.epoch()
    barrier.wait()
    started = time.perf_counter()
    for _ in range(epochs):
        loop.epoch()
    times.put(epochs * (train // BATCH) * BATCH / (time.perf_counter() - started))


if __name__ == "__main__":
    main()

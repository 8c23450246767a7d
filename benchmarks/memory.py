"""How the memory of a run grows with the number of images.

    python -m benchmarks.memory                    # 1,000, 10,000 and 100,000 files of 8 pixels: eight minutes
    python -m benchmarks.memory --runs 200         # short runs of one command, one after the other: ten minutes

A process each lists a dataset, hashes and decodes its files, draws an arm and reads an epoch and the test set; what the
peaks differ by is what an image takes, which the last columns say: bytes an image beyond the row with fewest images. A
second process does the same again with the store at hand. Anonymous memory alone is counted: pages of files are the
system's to take back.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COUNTS = (1_000, 10_000, 100_000)
CLASSES, SIDE = 10, 8
SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}


def write_files(root: Path, count: int) -> None:
    """Write tiny images `<root>/<split>/<class>/<number>.png`, every one another.

    Args:
        root: of the dataset.
        count: of the files.
    """
    number = 0
    for split, share in SPLITS.items():
        for place in range(round(share * count)):
            folder = root / split / f"class {place % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"image {place:06d}.png", compress_level=1)
            number += 1


def anonymous(process: int | str = "self") -> int:
    """Return the bytes of memory of a process that belong to no file."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


class Peak:
    """The most anonymous memory within a block, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Look at it within the block."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(0.005):
                self.bytes = max(self.bytes, anonymous())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            is_over.set()
            watcher.join()


def read_images(root: Path, output: Path) -> dict[str, int]:
    """Do what a run does with its images, and return the bytes before, after and at the peak.

    Args:
        root: of the dataset.
        output: of the store.
    """
    from synthaug.arms import build, mixing
    from synthaug.data.augment import Augmentation
    from synthaug.data.datamodule import MixDataModule

    augment = {"scale": [1.0, 1.0]}
    dataset: dict[str, Any] = {"name": "tiny", "root": str(root), "image_size": SIDE, "crop_pct": 1.0}
    dataset |= {"augment": augment, "on_bad_image": "refuse", "split": None, **{split: split for split in SPLITS}}
    peak, before = Peak(), anonymous()
    with peak.watch():
        data = build.read_real(dataset, output)
        counts = build.mix_counts(data.real, {"real": 1.0, "synthetic": 0.0})
        train = mixing.select(data.real.train, [], counts, seed=0)
        real, store = data.real, data.store
        module = MixDataModule(train, real.val, real.test, store, SIDE, augmentation=Augmentation(horizontal_flip=0.5))
        for loader in (module.train_dataloader(), module.test_dataloader()):
            for raw in loader:
                module.on_after_batch_transfer(raw, 0)
        held = anonymous()
    return {"before": before, "held": held, "peak": peak.bytes}


def measure(count: int, fewest: dict[str, tuple[int, float, float]]) -> None:
    """Print the memory of reading so many images, the first time and again.

    Args:
        count: of the images.
        fewest: is given the images and the memory of each first row, beyond which the later ones count.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder / "images", count)
        time.sleep(2.1)  # files that were just written are hashed again
        for run in ("first", "again"):
            command = [sys.executable, "-m", "benchmarks.memory", "--read", str(folder / "images"), str(folder / "out")]
            start = time.perf_counter()
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            used = json.loads(answer.stdout.splitlines()[-1])
            held, peak = (used[key] - used["before"] for key in ("held", "peak"))
            base, base_held, base_peak = fewest.setdefault(run, (count, held, peak))
            further = max(1, count - base)
            each = (
                f"{(held - base_held) / further:,.0f} | {(peak - base_peak) / further:,.0f}" if count > base else " | "
            )
            seconds = time.perf_counter() - start
            print(
                f"| {count:,} | {run} | {held / 2**20:.1f} | {peak / 2**20:.1f} | {each} | {seconds:.0f} |", flush=True
            )


def measure_runs(count: int) -> None:
    """Print the memory of a command after the tenth of its runs, and after later ones.

    Args:
        count: of the runs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder / "images", 200)
        images = [f"dataset.root={folder / 'images'}", "dataset.image_size=32", "logger=none"]
        network = ["model.backbone=timm/test_efficientnet", "model.weights=null", "trainer.max_epochs=1"]
        seeds = "seed=" + ",".join(map(str, range(count)))
        command = [sys.executable, "-m", "synthaug.train", "-m", "dataset=imagefolder", "mix=real", "parallel=1", seeds]
        with subprocess.Popen([*command, *images, *network, f"output_dir={folder / 'outputs'}"]) as process:
            memory: dict[int, int] = {}  # runs that have ended → bytes
            while process.poll() is None:
                ended = sum(1 for _ in (folder / "outputs").rglob("result.json"))
                with contextlib.suppress(OSError, StopIteration):
                    memory[ended] = anonymous(process.pid)
                time.sleep(0.1)
        if process.returncode or count not in memory:
            sys.exit("The runs have not all ended: see above.")
    print("| runs | MiB | of that after the tenth |")
    print("|---:|---:|---:|")
    for ended in sorted({*range(10, count, max(1, count // 8)), count - 1} & memory.keys()):
        print(f"| {ended} | {memory[ended] / 2**20:.0f} | {100 * memory[ended] / memory[10]:.0f} % |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--runs", type=int, help="measure so many short runs instead")
    arguments = parser.parse_args()
    if arguments.runs:
        measure_runs(arguments.runs)
        return
    if arguments.read:
        import torch

        torch.set_num_threads(1)
        print(json.dumps(read_images(*arguments.read)))
        return
    print("| images | | held, MiB | peak, MiB | held, bytes an image | peak, bytes an image | s |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    fewest: dict[str, tuple[int, float, float]] = {}
    for count in arguments.counts:
        measure(count, fewest)


if __name__ == "__main__":
    main()

"""Accuracy with and without what makes training fast: it must agree within what seeds change.

    python -m benchmarks.tricks    # two networks, two arms, 15 seeds, with and without: forty minutes of one core

The study of the digits with four epochs, so that seeds matter more than they do at its end. Without: PyTorch's
optimizer and layers as they are, kernels with the weights that only meet padding, images with their channels first,
evaluation in batches as training has them. ShuffleNet's convolutions are within channels, which is where 32-pixel
images have their channels last.
"""

import argparse
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import scipy

from synthaug.data import datamodule
from synthaug.files import read_json
from synthaug.models import memory_format, optimizers
from synthaug.models.classifier import Classifier
from synthaug.runs.contents import read_predictions

NETWORKS = ("resnet18", "shufflenet_v2_x0_5")
ARMS = ("real", "82")


def main() -> None:
    """Run the studies, or one of them in a process of its own; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=15, help="how many")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--without", action="store_true", help="train as the rest of the command line says")
    parser.add_argument("command", nargs="*", help="overrides of a study; for --without alone")
    arguments = parser.parse_args()
    if arguments.without:
        _train_without(arguments.command)
        return
    print("| network | arm | with | without | difference | p | images that change | of seeds |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for network in arguments.networks:
            for is_with in (True, False):
                _study(Path(folder), network, is_with, arguments.epochs, arguments.seeds)
            for arm in ARMS:
                runs = [_runs(Path(folder) / name, arm) for name in (f"{network}-with", f"{network}-without")]
                print(_row(network, arm, *runs), flush=True)


def _study(folder: Path, network: str, is_with: bool, epochs: int, seeds: int) -> None:
    name = f"{network}-{'with' if is_with else 'without'}"
    mixes, listed = ",".join(ARMS), ",".join(map(str, range(seeds)))
    overrides = [f"mix={mixes}", f"seed={listed}", f"experiment={name}", f"model.backbone={network}", "logger=none"]
    overrides += [f"trainer.max_epochs={epochs}", f"output_dir={folder}", "parallel=1"]
    start = ["-m", "synthaug.train", "-m"] if is_with else ["-m", "benchmarks.tricks", "--without", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *start, *overrides], capture_output=True, env=environment, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode()[-2000:])


def _train_without(overrides: list[str]) -> None:
    with (
        mock.patch.object(optimizers, "can_fuse", return_value=False),
        mock.patch.object(Classifier, "speed_up"),
        mock.patch.object(memory_format, "channels_last_from", return_value=sys.maxsize),
        mock.patch.object(datamodule, "evaluation_batch_size", return_value=32),
        mock.patch.object(sys, "argv", ["synthaug.train", "-m", *overrides]),
    ):
        runpy.run_module("synthaug.train", run_name="__main__")


def _runs(study: Path, arm: str) -> dict[int, tuple[float, np.ndarray]]:
    """Return seed → test accuracy and predicted classes."""
    runs = {}
    for path in study.glob("*/**/result.json"):
        result = read_json(path)
        if result["settings"]["mix"]["name"] == arm:
            runs[int(result["seed"])] = (result["test"]["accuracy"], read_predictions(path.parent).predicted)
    return dict(sorted(runs.items()))


def _row(
    network: str,
    arm: str,
    fast: Mapping[int, tuple[float, np.ndarray]],
    plain: Mapping[int, tuple[float, np.ndarray]],
) -> str:
    """Return a line of the table; `p` is of Student's paired t test over seeds."""
    accuracies = np.array([[fast[seed][0], plain[seed][0]] for seed in plain])
    change = np.mean([(fast[seed][1] != plain[seed][1]).mean() for seed in plain])
    of_seeds = np.mean([(plain[seed][1] != plain[seed + 1][1]).mean() for seed in range(len(plain) - 1)])
    means, differences = 100 * accuracies.mean(axis=0), 100 * (accuracies[:, 0] - accuracies[:, 1])
    spreads = 100 * accuracies.std(axis=0, ddof=1)
    p = scipy.stats.ttest_1samp(differences, 0).pvalue if differences.any() else 1.0
    cells = [network, arm, *(f"{mean:.2f} ± {spread:.2f} %" for mean, spread in zip(means, spreads, strict=True))]
    cells += [f"{differences.mean():+.2f}", f"{p:.2f}", f"{100 * change:.1f} %", f"{100 * of_seeds:.1f} %"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

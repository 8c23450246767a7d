"""Sweep efficiency of one run: the product's fit against the fastest bare PyTorch loop, in processor time.

    python -m benchmarks.training_loop              # 32 px, ResNet18, 1,000 + 500 images: four minutes of one core
    python -m benchmarks.training_loop --size 224   # 100 + 20 images: five minutes

A pair is the fit of a run (Trainer, augmentation, validation, checkpoints: everything after the start-up) and as many
epochs of a bare loop over tensors in memory, with the same network, batches and precision, one after the other on one
thread. The ratio is images trained per processor second. After the pairs a run is profiled: where the rest goes.
"""

import argparse
import contextlib
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from benchmarks.bare_loop import BareLoop, Images, fastest, random_images
from synthaug.arms.build import Arm, RealData, build, list_real, prepare, read_real
from synthaug.config import schema
from synthaug.config.command_line import normalize_argv
from synthaug.config.job import Job
from synthaug.config.sweep import requested_jobs
from synthaug.data import datamodule
from synthaug.execution.factory import make_group
from synthaug.models.classifier import Classifier
from synthaug.training import callbacks, fit, lightning_rules

COUNTS = {32: (100, 50), 224: (10, 2)}  # images per class to train on, and to validate on
CLASSES = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, choices=sorted(COUNTS), default=32)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="of each run")
    parser.add_argument("overrides", nargs="*", help="settings of the product, such as trainer.precision=bf16-mixed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lightning_rules.quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), arguments.size, arguments.epochs, arguments.overrides)
        train, val = (CLASSES * count for count in COUNTS[arguments.size])
        loop = fastest(_loops(random_images(train, val, arguments.size)))
        run.seconds()  # the first run pays for imports and caches
        pairs = [(run.seconds(), loop.seconds(arguments.epochs)) for _ in range(arguments.pairs)]
        ratios = [bare / product for product, bare in pairs]
        for product, bare in pairs:
            print(f"  {product / arguments.epochs:6.2f} s an epoch, bare {bare / arguments.epochs:6.2f}")
        print(
            f"{arguments.size} px: {statistics.median(ratios):.2f} of the bare loop ({loop.name}), median of "
            f"{len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f}"
        )
        print(_profile(run, arguments.epochs))


def _loops(images: Images) -> list[BareLoop]:
    return [BareLoop("resnet18", images, 32, channels_last) for channels_last in (False, True)]


class Run:
    """The product's run of one arm on made-up images, again and again.

    Args:
        folder: for everything that it writes.
        size: side of the images in pixels.
        epochs: of the run.
        overrides: further settings.
        counts: images per class to train on, and to validate on; None: `COUNTS`.
        clock: that times it.
    """

    def __init__(
        self,
        folder: Path,
        size: int,
        epochs: int,
        overrides: list[str],
        counts: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.folder, self.clock = folder, clock
        write_images(folder / "images", size, *(counts or COUNTS[size]))
        shown = ["dataset=imagefolder", f"dataset.root={folder / 'images'}", "dataset.split=null"]
        if size == 32:  # as conf/dataset/digits.yaml has them
            shown += ["dataset.crop_pct=1.0", "dataset.augment={scale:[0.8,1.0],ratio:[1.0,1.0],rotation:10}"]
        plain = [f"dataset.image_size={size}", f"trainer.max_epochs={epochs}", "logger=none", "mix=real"]
        command = [*shown, *plain, f"output_dir={folder / 'outputs'}", *overrides]
        schema.register()
        (self.job,) = requested_jobs(normalize_argv(command))
        self.arm = _arm(self.job)
        self.count = 0

    def seconds(self) -> float:
        """Return the seconds of the fit of one more run."""
        spent: list[float] = []

        def make_trainer(**arguments: Any) -> Any:
            trainer = make_group(self.job, "trainer", **arguments)
            trainer.fit = functools.partial(_timed, self.clock, trainer.fit, spent)
            return trainer

        self.count += 1
        place = self.folder / f"run{self.count}"
        place.mkdir()
        fit.fit_and_test(
            place,
            self.job.key,
            self.job.arm,
            self.job.recorded,
            self.arm,
            [],
            make_model=lambda **arguments: make_group(self.job, "model", **arguments),
            make_trainer=make_trainer,
        )
        return spent[0]


def _timed(
    clock: Callable[[], float], function: Callable[..., Any], spent: list[float], *arguments: Any, **named: Any
) -> Any:
    started = clock()
    result = function(*arguments, **named)
    spent.append(clock() - started)
    return result


def _arm(job: Job) -> Arm:
    dataset = job.settings["dataset"]
    prepare(dataset, lambda *_, **__: None)
    data: RealData = read_real(dataset, job.output_dir, list_real(dataset, job.output_dir))
    return build(data, job.settings["mix"], 0, _no_images())


def _no_images() -> Any:
    return mock.Mock()  # the arm has real images alone


def write_images(root: Path, size: int, train: int, val: int) -> None:
    """Write an image folder of noise, a little larger than the network's input.

    Args:
        root: folder of the splits.
        size: side of the network's input in pixels.
        train: images per class to train on.
        val: images per class to validate on; two more are for the test.
    """
    random = np.random.default_rng(0)
    side = 28 if size == 32 else 2 * size
    for split, count in (("train", train), ("val", val), ("test", 2)):
        for label in range(CLASSES):
            place = root / split / f"{label}"
            place.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png", compress_level=1)


def _profile(run: Run, epochs: int) -> str:
    """Return the processor seconds per epoch of each part of a fit."""
    parts: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        for name, owner, attribute in (
            ("reading the store", datamodule.Rows, "__getitems__"),
            ("augmentation", datamodule, "training_view"),
            ("view of validation images", datamodule, "evaluation_view"),
            ("training step: forward, loss", Classifier, "training_step"),
            ("backward", Classifier, "backward"),
            ("optimizer, zero_grad, all of a step", Classifier, "optimizer_step"),
            ("validation step", Classifier, "validation_step"),
            ("metrics of an epoch", Classifier, "on_validation_epoch_end"),
            ("checkpoints", callbacks.Checkpoints, "on_train_epoch_end"),
        ):
            stack.enter_context(_measured(parts, name, owner, attribute))
        total = run.seconds()
    inner = sum(sum(parts[name]) for name in ("training step: forward, loss", "backward"))
    parts["optimizer, zero_grad, all of a step"].append(-inner)  # the closure of a step is in it
    rest = total - sum(sum(values) for values in parts.values())
    lines = [f"  {sum(values) / epochs:6.2f} s  {name}" for name, values in parts.items()]
    lines += [f"  {rest / epochs:6.2f} s  Lightning and the rest", f"  {total / epochs:6.2f} s  in all"]
    return "\n".join(["processor seconds of an epoch:", *lines])


@contextlib.contextmanager
def _measured(parts: dict[str, list[float]], name: str, owner: Any, attribute: str) -> Iterator[None]:
    """Add up the processor time of a function while the block runs."""
    original = getattr(owner, attribute)
    parts[name] = []

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        return _timed(time.process_time, original, parts[name], *arguments, **named)

    with mock.patch.object(owner, attribute, timed):
        yield


if __name__ == "__main__":
    main()

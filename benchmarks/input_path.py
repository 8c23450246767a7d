"""What an image costs on its way into the network, against torchvision's ImageFolder and transforms.

    python -m benchmarks.input_path             # 128 images of 512 px as PNG and as JPEG, 224 px crops: two minutes

Both give batches of 32 normalised random crops on one thread, in turn, in one process. "First" is what the product does
once for all arms, seeds and epochs: hash each file, decode it, write it to the store. Then it counts what a study of
several arms, seeds and epochs decodes. Processor time, so that other work on the machine matters little.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.photographs import write_photographs
from synthaug import files
from synthaug.allocator import keep_freed_memory
from synthaug.data import pixels
from synthaug.data.augment import Augmentation
from synthaug.data.datamodule import MixDataModule
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import REAL, Sample
from synthaug.models.backbones import IMAGENET_MEAN, IMAGENET_STD

SIDE, SHORT_SIDE, BATCH = 224, 448, 32
CROP = Augmentation(scale=(0.25, 1.0), ratio=(0.75, 4 / 3), horizontal_flip=0.5)  # of the dataset imagefolder


def plain_epoch(root: Path) -> None:
    """Read an epoch as torchvision's documentation does."""
    recipe = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE, CROP.scale, CROP.ratio),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    for _ in DataLoader(ImageFolder(str(root), recipe), batch_size=BATCH, shuffle=True):
        pass


def first(paths: Sequence[Path], folder: Path) -> list[Sample]:
    """Hash and decode files into a store that lacks them.

    Args:
        paths: of the images.
        folder: of the store.
    """
    samples = [Sample(path, 0, "cat", REAL, files.sha256(path)) for path in paths]
    PixelStore(folder, SHORT_SIDE).add({sample.sha256: sample.path for sample in samples})
    return samples


def epoch(samples: Sequence[Sample], folder: Path) -> None:
    """Read an epoch from a store, as a run does.

    Args:
        samples: of the arm.
        folder: of the store.
    """
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    data = MixDataModule(samples, [], [], PixelStore(folder, SHORT_SIDE), SIDE, augmentation=CROP, batch_size=BATCH)
    for raw in data.train_dataloader():
        images = data.on_after_batch_transfer(raw, 0).images
        (images - mean).div_(std)  # as the classifier does


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return the processor seconds that a call takes.

    Args:
        work: a function.
        arguments: of it.
    """
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def measure(suffix: str, count: int, pairs: int, folder: Path) -> str:
    """Return a row of the table.

    Args:
        suffix: of the files.
        count: of the images.
        pairs: of measurements.
        folder: for images and stores.
    """
    root = write_photographs(folder / suffix, count, suffix)
    paths = sorted(root.rglob(f"*.{suffix}"))
    samples = first(paths, folder / f"{suffix}-warm")
    plain_epoch(root)
    epoch(samples, folder / f"{suffix}-warm")
    rows = []
    for pair in range(pairs):
        store = folder / f"{suffix}-{pair}"
        rows.append((seconds(plain_epoch, root), seconds(first, paths, store), seconds(epoch, samples, store)))
    plain, decoding, stored = (1000 * statistics.median(column) / count for column in zip(*rows, strict=True))
    once, speedup = (statistics.median(row[0] / row[part] for row in rows) for part in (1, 2))
    return (
        f"| {suffix.upper()} | {plain:.2f} | {decoding:.2f} | {stored:.2f} | {1000 / stored:,.0f} | {speedup:.1f}× | "
        f"{once:.2f}× |"
    )


def decodes(arms: int, seeds: int, epochs: int, paths: Sequence[Path], folder: Path) -> int:
    """Return how many files are decoded for a study.

    Args:
        arms: that share their images.
        seeds: of each.
        epochs: of each run.
        paths: of all images.
        folder: of the store, which does not exist yet.
    """
    with mock.patch.object(pixels, "try_decode_sizes", wraps=pixels.try_decode_sizes) as decoding:
        for _ in range(arms * seeds):  # runs
            samples = first(paths, folder)
            for _ in range(epochs):
                epoch(samples, folder)
    return decoding.call_count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| files | plain, ms | first, ms | then, ms | images/s | plain ÷ then | plain ÷ first |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for suffix in ("png", "jpg"):
            print(measure(suffix, arguments.images, arguments.pairs, folder), flush=True)
        paths = sorted((folder / "jpg").rglob("*.jpg"))[:32]
        for study in ((1, 1, 1), (5, 3, 4)):
            count = decodes(*study, paths, folder / "-".join(map(str, study)))
            print(f"{study[0]} arms, {study[1]} seeds, {study[2]} epochs of 32 images: {count} files decoded")


if __name__ == "__main__":
    main()

"""A study of heads on a frozen network: what features and heads cost, and whether a head alone is the same.

    python -m benchmarks.probes            # 5 arms with controls × 20 seeds on 3,000 images, ResNet18 at 224 px
    python -m benchmarks.probes --size 64  # the same heads on features that cost a twelfth

Photograph-like JPEG files and a pool of synthetic ones are made up, ResNet18 has random weights. Three commands: the
study, the study again with the features on disk, and one of its runs by itself. Times are processor seconds of the
command and its children, so that other work on the machine does not count. What an image and view costs at 224 px is
measured on a few.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from benchmarks.cost import measure
from synthaug.features.frozen_network import separate
from synthaug.files import read_json
from synthaug.models.classifier import Classifier
from synthaug.runs import layout
from synthaug.training.provenance import commit

CLASSES = 10
SPLITS = {"photos/train": 2000, "photos/val": 400, "photos/test": 600, "pool": 1600}
MIXES = "real,55,64,73,82"
SAMPLE = 256  # images
HEAD, DIMENSION = "network.fc.weight", 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="side of the network's input in pixels")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--views", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_images(folder, arguments.size)
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet18().state_dict(), folder / "weights.pth")
        settings = [f"dataset.image_size={arguments.size}", f"model.views={arguments.views}"]
        whole = _train(folder, [*settings, "experiment=whole"], arguments.seeds)
        study = _train(folder, [*settings, "experiment=study"], arguments.seeds)
        runs = _results(folder / "outputs" / "study")
        written = sum(path.stat().st_size for path in (folder / "outputs" / "study").rglob("*") if path.is_file())
        run = runs[len(runs) // 2]
        rows = [
            (f"an image and view at 224 px, of {SAMPLE}", f"{1000 * _seconds_an_image():.0f} ms"),
            (f"{_features(folder):,} images and views at {arguments.size} px, in the study", f"{whole - study:.0f} s"),
            (f"the study of {len(runs)} runs after them, page included", f"{study:.0f} s"),
            ("its folder", f"{written / 1e6:.0f} MB"),
            ("largest difference of a weight of a run by itself", f"{_alone(folder, settings, run):.1e}"),
        ]
        print("\n".join(["| what | cost |", "|---|---:|", *(f"| {what} | {cost} |" for what, cost in rows)]))
    where = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"
    print(f"Processor seconds; commit {commit().get('commit', 'unknown')[:7]}; {where}")


def _seconds_an_image() -> float:
    """Return what it costs a thread to show an image to the frozen network, in processor seconds."""
    torch.set_num_threads(1)
    classifier = Classifier([f"class{label}" for label in range(CLASSES)], train_stages=0)
    network = separate(classifier, 224, torch.device("cpu"))
    assert network is not None
    images = torch.rand(64, 3, 224, 224)
    network.embed(images)
    started = time.process_time()
    for _ in range(SAMPLE // len(images)):
        network.embed(images)
    return (time.process_time() - started) / SAMPLE


def _write_images(folder: Path, size: int) -> None:
    generator = np.random.default_rng(0)
    for name, count in SPLITS.items():
        for label in range(CLASSES):
            (folder / name / f"class{label}").mkdir(parents=True)
            for number in range(count // CLASSES):
                _photograph(generator, size * 3 // 2, label).save(folder / name / f"class{label}" / f"{number:04d}.jpg")


def _photograph(generator: np.random.Generator, side: int, label: int) -> Image.Image:
    """Return smooth areas with noise, of a tint that depends on the class."""
    coarse = generator.integers(0, 236, (6, 8, 3), dtype=np.uint8)
    coarse[:, :, label % 3] += np.uint8(5 * (1 + label // 3))
    smooth = np.asarray(Image.fromarray(coarse).resize((side * 4 // 3, side), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray((smooth + generator.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8))


def _train(folder: Path, settings: list[str], seeds: int) -> float:
    """Run a sweep; return the processor seconds that it took."""
    sweep = ["-m", f"mix={MIXES}", "controls=true", f"seed={','.join(map(str, range(seeds)))}"]
    return _command(folder, [*sweep, *settings])


def _command(folder: Path, arguments: list[str]) -> float:
    fixed = [
        "dataset=imagefolder", "dataset.root=photos", "generator=folder", "generator.root=pool", "model=probe",
        "model.weights=weights.pth", "trainer=cpu", "logger=none",
    ]  # fmt: skip
    cost = measure([sys.executable, "-m", "synthaug.train", *fixed, *arguments], folder)
    print(f"  {' '.join(arguments)}: {cost.processor:.1f} s, {cost.wall:.1f} s on the clock", flush=True)
    return cost.processor


def _features(folder: Path) -> int:
    """Return how many vectors are on disk."""
    (file,) = (folder / "outputs" / "features").glob("frozen-*/features.bin")
    return file.stat().st_size // (4 * DIMENSION + 40)


def _results(study: Path) -> list[Path]:
    return sorted(path.parent for path in study.glob(f"*/*/seed*/{layout.RESULT}"))


def _alone(folder: Path, settings: list[str], run: Path) -> float:
    """Train one run of the study by itself; return the largest difference of a weight of its head."""
    result = read_json(run / layout.RESULT)
    mix = result["settings"]["mix"]["name"]
    _command(folder, [f"mix={mix}", f"seed={result['seed']}", *settings, "experiment=alone"])
    (alone,) = _results(folder / "outputs" / "alone")
    pair = [torch.load(path / layout.CHECKPOINT, weights_only=True)["state_dict"][HEAD] for path in (run, alone)]
    return float((pair[0] - pair[1]).abs().max())


if __name__ == "__main__":
    main()

"""Five arms on the same files: the product's sweep against what people use instead.

    python -m benchmarks.alternatives                          # against a plain script and Hugging Face's Trainer
    python -m benchmarks.alternatives --timm <train.py>        # and against timm's script, of its repository
    python -m benchmarks.alternatives --timm <train.py> --against timm --images 2000 --size 224   # that alone

Images of 512 pixels, half PNG and half JPEG, ResNet18 from random weights, Adam, batches of 32, two epochs, validation
after each, one test. Each round has all of them, in turn, and they have the whole machine: the plain script runs its
arms in one process, with loader processes and PyTorch's threads; timm's and Hugging Face's one after the other. The
product's time includes what the others do not do: hashes, search for copies, report and page. Ratios are of
processor and of wall time, medians over the rounds, above 1 where the product is faster. Where there is a GPU all
train on it, timm's script and the product in bfloat16.
"""

import argparse
import functools
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.cost import Cost, measure
from benchmarks.photographs import photograph

ARMS = {"real": 0.0, "55": 0.5, "64": 0.6, "73": 0.7, "82": 0.8}  # name → synthetic share
CLASSES = ("cat", "dog")
HELD_OUT = 32
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def write_images(root: Path, train: int) -> None:
    """Write a dataset, synthetic images, and the arms as folders of links to them.

    Args:
        root: for `real`, `synthetic` and `arms`.
        train: number of training images.
    """
    seed = 0
    for part, count in (("real/train", train), ("real/val", HELD_OUT), ("real/test", HELD_OUT), ("synthetic", train)):
        for number in range(count):
            path = root / part / CLASSES[number % 2] / f"{number:04d}.{('png', 'jpg')[number // 2 % 2]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            photograph(seed, 512).save(path, quality=90)
            seed += 1
    for arm, share in ARMS.items():
        for split in ("val", "test"):
            (root / "arms" / arm).mkdir(parents=True, exist_ok=True)
            (root / "arms" / arm / split).symlink_to(root / "real" / split)
        for name in CLASSES:
            folder = root / "arms" / arm / "train" / name
            folder.mkdir(parents=True)
            real, synthetic = (sorted((root / images / name).iterdir()) for images in ("real/train", "synthetic"))
            kept = round((1 - share) * len(real))
            for path in (*real[:kept], *synthetic[: len(real) - kept]):
                (folder / f"{path.parts[-3]}-{path.name}").symlink_to(path)


def product(root: Path, output: Path, size: int, epochs: int) -> list[list[str]]:
    """Return the commands of the product: one.

    Args:
        root: of the images.
        output: for everything that is written.
        size: side of the network's input in pixels.
        epochs: of each run.
    """
    settings = {
        "dataset": "imagefolder", "dataset.root": root / "real", "dataset.image_size": size, "generator": "folder",
        "generator.root": root / "synthetic", "mix": ",".join(ARMS), "model": "resnet18", "trainer.max_epochs": epochs,
        "logger": "csv", "output_dir": output,
    }  # fmt: skip
    return [[sys.executable, "-m", "synthaug.train", "-m", *(f"{key}={value}" for key, value in settings.items())]]


def plain(root: Path, output: Path, size: int, epochs: int) -> list[list[str]]:
    """Return the commands of the plain script, like `product`."""
    command = [sys.executable, "-m", "benchmarks.plain_script", str(root / "arms")]
    return [[*command, "--size", str(size), "--epochs", str(epochs)]]


def trainer(root: Path, output: Path, size: int, epochs: int) -> list[list[str]]:
    """Return the commands with Hugging Face's Trainer, like `product`."""
    command = [sys.executable, "-m", "benchmarks.trainer_script"]
    options = ["--size", str(size), "--epochs", str(epochs)]
    return [[*command, str(root / "arms" / arm), str(output / arm), *options] for arm in ARMS]


def timm(script: Path, root: Path, output: Path, size: int, epochs: int) -> list[list[str]]:
    """Return the commands of timm's script, like `product`.

    Args:
        script: train.py of timm's repository.
        root: of the images.
        output: for everything that is written.
        size: side of the network's input in pixels.
        epochs: of each run.
    """
    options = {
        "--train-split": "train", "--val-split": "val", "--model": "resnet18", "--num-classes": 2, "--opt": "adam",
        "--lr": 1e-3, "--epochs": epochs, "--warmup-epochs": 0, "--batch-size": 32, "--workers": 2,
        "--device": DEVICE, "--scale": "0.25 1.0", "--color-jitter": 0, "--smoothing": 0, "--crop-pct": 0.875,
        "--input-size": f"3 {size} {size}", "--output": output,
    }  # fmt: skip
    listed = [word for name, value in options.items() for word in (name, *str(value).split())]
    flags = ["--channels-last", *(["--amp", "--amp-dtype", "bfloat16"] if DEVICE == "cuda" else [])]
    return [[sys.executable, str(script), str(root / "arms" / arm), *listed, *flags] for arm in ARMS]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timm", type=Path, help="train.py of timm's repository")
    parser.add_argument("--against", nargs="+", choices=("plain", "Trainer", "timm"), help="these alone")
    parser.add_argument("--images", type=int, default=200, help="to train on")
    parser.add_argument("--size", type=int, default=128, help="side of the network's input in pixels")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if "timm" in (arguments.against or ()) and not arguments.timm:
        parser.error("--against timm needs --timm <train.py>")
    ways: dict[str, Callable[[Path, Path, int, int], list[list[str]]]] = {"plain": plain, "Trainer": trainer}
    if arguments.timm:
        ways["timm"] = functools.partial(timm, arguments.timm.resolve())
    ways = {"product": product, **{way: ways[way] for way in arguments.against or ways}}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_images(root, arguments.images)
        times: dict[str, list[Cost]] = {way: [] for way in ways}
        for number in range(arguments.rounds):
            for way, commands in ways.items():
                output = root / "outputs"
                listed = commands(root, output, arguments.size, arguments.epochs)
                cost = functools.reduce(Cost.__add__, (measure(command, root) for command in listed))
                times[way].append(cost)
                shutil.rmtree(output, ignore_errors=True)
                print(f"round {number + 1}, {way}: {cost.processor:.0f} s of processors, {cost.wall:.0f} s", flush=True)
        print(table(times))
        print("; ".join(_sentence(way, costs, times["product"]) for way, costs in times.items() if way != "product"))


def table(times: Mapping[str, Sequence[Cost]]) -> str:
    """Return the medians and ratios as Markdown.

    Args:
        times: way → what each round took.
    """
    lines = ["| | processor, s | wall, s | ÷ product, processor | ÷ product, wall |", "|---|---:|---:|---:|---:|"]
    for way, costs in times.items():
        numbers = [statistics.median(cost.processor for cost in costs), statistics.median(cost.wall for cost in costs)]
        ratios = _ratios(costs, times["product"])
        cells = [*(f"{number:.0f}" for number in numbers), *(f"{ratio:.2f}×" for ratio in ratios)]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratios(costs: Sequence[Cost], product: Sequence[Cost]) -> tuple[float, float]:
    """Return the medians of processor and wall time over the product's, round by round."""
    pairs = list(zip(costs, product, strict=True))
    processor = statistics.median(cost.processor / mine.processor for cost, mine in pairs)
    return processor, statistics.median(cost.wall / mine.wall for cost, mine in pairs)


def _sentence(way: str, costs: Sequence[Cost], product: Sequence[Cost]) -> str:
    processor, wall = _ratios(costs, product)
    return f"{way} takes {processor:.2f} times the product's processor time and {wall:.2f} times its time"


if __name__ == "__main__":
    main()

"""What a real set of ImageNet's size costs before the first run, and again.

    python -m benchmarks.large_dataset --images 100000 --classes 1000
    python -m benchmarks.large_dataset --images 1300000 --classes 1000 --stages list,relist

Images of 8 pixels, every one another, are written to a temporary folder; 1.3 million of them take 5.3 GB there. Each
stage is a process of its own: processor seconds of all its threads, the most anonymous memory beyond what it had before
(pages of files are the system's to take back), and that by image.

    list      files are listed and hashed for the first time
    relist    and again, their hashes at hand
    split     listed, decoded, compared with all of their class, divided for training, validation and test
    start     the same again: what each later command does before its first run
    streamed  decoded for a store that may keep nothing, and an epoch of up to 20,000 images read from the files
"""

import argparse
import contextlib
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.memory import Peak, anonymous
from synthaug.arms import build
from synthaug.data.datamodule import MixDataModule
from synthaug.data.samples import SPLITS, scan

STAGES = ("list", "relist", "split", "start", "streamed")
SIDE = 8
MOST_READ = 20_000


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(seed: str) -> bytes:
    """Return a PNG file of random pixels; Pillow would take ten times as long."""
    pixels = hashlib.shake_128(seed.encode()).digest(3 * SIDE**2)
    lines = b"".join(b"\0" + pixels[start : start + 3 * SIDE] for start in range(0, len(pixels), 3 * SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def write_images(root: Path, images: int, classes: int) -> None:
    """Write `<root>/<class>/<number>.png`.

    Args:
        root: of the dataset.
        images: in all classes together.
        classes: number of them.
    """
    for label in range(classes):
        folder = root / f"class {label:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(images // classes):
            (folder / f"image_{number:06d}.png").write_bytes(png(f"{label} {number}"))


def settings(root: Path, near_duplicates: bool, most_stored_gb: float | None) -> dict[str, Any]:
    """Return the settings of the dataset.

    Args:
        root: its folder.
        near_duplicates: whether copies that were changed a little are searched.
        most_stored_gb: see `dataset.most_stored_gb`.
    """
    split = {"val": 0.04, "test": 0.04, "seed": 0, "near_duplicates": near_duplicates}
    return {
        "name": "streamed" if most_stored_gb == 0 else "large",
        "root": str(root),
        "train": "train",
        "val": "val",
        "test": "test",
        "split": split,
        "image_size": SIDE,
        "crop_pct": 1.0,
        "augment": {"scale": [1.0, 1.0]},
        "on_bad_image": "refuse",
        "most_stored_gb": most_stored_gb,
    }


def do(stage: str, dataset: dict[str, Any], output: Path) -> None:
    """Do what a stage is about.

    Args:
        stage: one of `STAGES`.
        dataset: its settings.
        output: folder of pixels, hashes and splits.
    """
    if stage in ("list", "relist"):
        with build.hash_cache(dataset, output) as hashes:
            scan(Path(dataset["root"]), {split: split for split in SPLITS}, can_split=True, sha256=hashes.sha256)
        return
    data = build.read_real(dataset, output)
    if stage == "streamed":
        train = data.real.train[:MOST_READ]
        module = MixDataModule(train, data.real.val[:1], data.real.test[:1], data.store, SIDE)
        assert data.store.is_streaming
        for raw in module.train_dataloader():
            module.on_after_batch_transfer(raw, 0)


@contextlib.contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Yield what is measured of the block once it is over."""
    peak, before, start, clock = Peak(), anonymous(), time.process_time(), time.perf_counter()
    values: dict[str, float] = {}
    with peak.watch():
        yield values
    values |= {"seconds": time.process_time() - start, "clock": time.perf_counter() - clock}
    values["bytes"] = max(peak.bytes, anonymous()) - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--folder", type=Path, help="keep files here instead, and use those that are there")
    parser.add_argument("--identical-only", action="store_true", help="search copies of the same pixels only")
    parser.add_argument("--do", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.do:
        most = 0.0 if arguments.do == "streamed" else None
        dataset = settings(arguments.folder / "images", not arguments.identical_only, most)
        with measured() as values:
            do(arguments.do, dataset, arguments.folder / "outputs")
        print(json.dumps(values))
        return
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (folder / "images").is_dir():
            write_images(folder / "images", arguments.images, arguments.classes)
            time.sleep(2.1)  # hashes of files that were just written are not kept
        print("| images | stage | processor, s | s per 100,000 | clock, s | peak, MiB | bytes an image |")
        print("|---:|---|---:|---:|---:|---:|---:|")
        for stage in arguments.stages.split(","):
            command = [sys.executable, "-m", "benchmarks.large_dataset", "--do", stage, "--folder", str(folder)]
            command += ["--identical-only"] if arguments.identical_only else []
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            values = json.loads(answer.stdout.splitlines()[-1])
            cells = (
                f"{values['seconds']:.1f} | {1e5 * values['seconds'] / arguments.images:.1f} | {values['clock']:.0f}"
            )
            memory = f"{values['bytes'] / 2**20:.0f} | {values['bytes'] / arguments.images:.0f}"
            print(f"| {arguments.images:,} | {stage} | {cells} | {memory} |", flush=True)


if __name__ == "__main__":
    main()

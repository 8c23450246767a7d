"""What an image of a synthetic set costs, whatever their number: made, looked for, screened, mixed and counted.

    python -m benchmarks.generation_scale            # 1,000, 10,000 and 100,000: a quarter of an hour
    python -m benchmarks.generation_scale --images 1000 10000
    python -m benchmarks.generation_scale --figure   # generation_scale.png, from generation_scale.json

Images are noise of 16 pixels from a stand-in for a model, which takes no time, so that what is measured is the
program's own: files, rows, hashes, decoding, fingerprints, the draw of a mix. Each number of images has a process of
its own, which tells the most memory that it ever had.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from benchmarks.writing import COLUMNS
from synthaug.arms import mixing
from synthaug.arms.mixing import Mix
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import REAL, RealImages, Sample, digest
from synthaug.files import sha256
from synthaug.generation.manifest import read_manifest
from synthaug.generation.synthetic_set import SyntheticSet
from synthaug.screening.criterion import RealReferences
from synthaug.screening.screened_images import ScreenedImages
from synthaug.screening.settings import ScreeningSettings

RESULT, FIGURE = Path(__file__).with_suffix(".json"), Path(__file__).with_suffix(".png")
CLASSES = [f"class {number}" for number in range(100)]
SIDE, BATCH, REAL_IMAGES = 16, 32, 10  # pixels; images at a time; real images of a class and split


class Noise:
    """A generator that takes no time."""

    prompt, negative_prompt, batch_size, is_guided = "a photo of a {class_name}", "", BATCH, False
    settings: ClassVar[dict[str, Any]] = {"model": "noise"}

    def check(self, classes: Sequence[str]) -> None:
        """Accept all."""

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Accept all."""

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        """Return noise by the seeds; every 200th image is black, as a safety checker leaves it."""
        return [noise(seed) if seed % 200 else Image.new("RGB", (SIDE, SIDE)) for seed in seeds]

    def provenance(self) -> dict[str, str]:
        """Return columns of a usual length."""
        return dict.fromkeys(COLUMNS, "0123456789abcdef")

    def seed_provenance(self, seed: int) -> dict[str, str]:
        """Return nothing."""
        return {}

    def unload(self) -> None:
        """Have nothing to unload."""


def noise(seed: int) -> Image.Image:
    """Return an image of a seed."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def real_images(folder: Path) -> RealImages:
    """Write a small real dataset."""
    splits: dict[str, list[Sample]] = {}
    for number, split in enumerate(("train", "val", "test")):
        splits[split] = []
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index in range(REAL_IMAGES):
                path = folder / split / name / f"{index}.png"
                noise(10**6 * number + 1000 * label + index).save(path)
                splits[split].append(Sample(path, label, name, REAL, sha256(path)))
    return RealImages(CLASSES, **splits)


class Clock:
    """Seconds and processor seconds of each phase, and the memory after it."""

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, float]] = {}
        self._start()

    def _start(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def note(self, phase: str, images: int) -> None:
        """Note what an image of a phase that has just ended took."""
        self.phases[phase] = {
            "ms": 1000 * (time.perf_counter() - self._wall) / images,
            "processor_ms": 1000 * (time.process_time() - self._processor) / images,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(f"{images:8,}  {phase:24} {self.phases[phase]}", flush=True)
        self._start()


def measure(images: int, folder: Path) -> dict[str, Any]:
    """Take a set of so many images through all that the program does before training."""
    each = images // len(CLASSES)
    counts = dict.fromkeys(CLASSES, each)
    real = real_images(folder / "real")
    clock = Clock()
    SyntheticSet(folder / "set", Noise()).ensure(counts)
    clock.note("generating", images)
    synthetic = SyntheticSet(folder / "set", Noise())
    assert synthetic.count_missing(counts) == 0
    clock.note("looking for missing ones", images)
    store = PixelStore(folder / "pixels", SIDE)
    references = RealReferences([], real.train, real.val, real.test)
    screened = ScreenedImages(synthetic, ScreeningSettings(name="default"), references, store)
    screened.ensure(dict.fromkeys(CLASSES, each * 9 // 10))
    clock.note("screening and decoding", images)
    pool = screened.samples(CLASSES)
    clock.note("listing", images)
    mix = Mix(1, each * 8 // 10 / REAL_IMAGES)
    train = mixing.select(real.train, pool, mixing.required(real.train, CLASSES, mix), seed=0)
    clock.note("mixing", images)
    digest(train)
    clock.note("counting and hashing", images)
    files = [path.stat() for path in (folder / "set").rglob("*") if path.is_file()]
    rows = len(read_manifest(folder / "set"))
    return {
        "images": images,
        "phases": clock.phases,
        "rows": rows,
        "bytes": sum(status.st_size for status in files) / images,
        "manifest_bytes": (folder / "set" / "manifest.csv").stat().st_size / rows,
        "inodes": len(files) / images,
    }


def _measured(images: int, answers: Any) -> None:
    folder = Path(tempfile.mkdtemp(prefix="generation-scale-"))
    try:
        answers.put(measure(images, folder))
    finally:
        shutil.rmtree(folder)


def draw(results: Sequence[dict[str, Any]]) -> None:
    """Draw the cost of an image against their number."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (cost, memory) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    numbers = [result["images"] for result in results]
    for phase in results[0]["phases"]:
        cost.plot(numbers, [result["phases"][phase]["processor_ms"] for result in results], marker="o", label=phase)
        memory.plot(numbers, [result["phases"][phase]["peak_mb"] for result in results], marker="o", label=phase)
    for axes, title in ((cost, "processor milliseconds an image"), (memory, "most memory so far, MB")):
        axes.set(xscale="log", xlabel="images of the set", title=title)
    cost.set(yscale="log")
    cost.legend(fontsize=7, ncol=2, loc="center right", bbox_to_anchor=(1, 0.6))
    memory.set_ylim(bottom=0)
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    """Measure, or draw what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--figure", action="store_true", help="draw the figure from the last numbers")
    parsed = parser.parse_args()
    if not parsed.figure:
        context = multiprocessing.get_context("spawn")
        results = []
        for images in parsed.images:
            answers = context.Queue()
            process = context.Process(target=_measured, args=(images, answers))
            process.start()
            results.append(answers.get())
            process.join()
        RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(json.loads(RESULT.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()

"""What a study of ImageNet's size costs: the lists of images in its runs, and its report.

    python -m benchmarks.large_study                                          # two minutes of one core
    python -m benchmarks.large_study --images 100000 --synthetic 100000

A study of 1,000 classes and 50,000 test images, five arms, is made up by the factories of the tests; its images are
made-up paths as ImageNet has them, with no files behind. Processor seconds, anonymous memory of the lists, the most
memory of the report.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import cost, growth
from benchmarks.memory import Peak, anonymous
from synthaug.data.sample_list import REAL, SYNTHETIC, Sample, Samples
from synthaug.runs import contents, discovery, layout

CLASSES = 1000


def images(count: int, origin: str) -> Iterator[Sample]:
    """Yield made-up images of all classes.

    Args:
        count: of them.
        origin: real or synthetic.
    """
    root = "/data/imagenet/train" if origin == REAL else "outputs/synthetic/imagenet/diffusion-0123456789"
    for number in range(count):
        label = number * CLASSES // count
        name = f"class {label}"
        file = f"{name}_{number}.JPEG" if origin == REAL else f"{number:06d}.png"
        digest = hashlib.sha256(f"{origin} {number}".encode()).hexdigest()
        yield Sample(f"{root}/{name}/{file}", label, name, origin, digest)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_300_000, help="real training images")
    parser.add_argument("--synthetic", type=int, default=0, help="synthetic images")
    parser.add_argument("--test", type=int, default=50_000, help="test images")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep the study here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        study = (arguments.folder or Path(temporary)) / "study"
        growth.make(study, {"arms": 5, "seeds": arguments.seeds, "images": arguments.test, "classes": CLASSES})
        real, synthetic = (Samples(images(*of)) for of in ((arguments.images, REAL), (arguments.synthetic, SYNTHETIC)))
        runs = discovery.find_runs(study)
        for what in ("write", "read"):
            peak, before, start = Peak(), anonymous(), time.process_time()
            with peak.watch():
                for run in runs:
                    if what == "write":
                        rows = np.flatnonzero(np.arange(len(real)) % 10 < 10 * run.real)
                        chosen = Samples.joined([real.take(rows), synthetic if run.has_synthetic else ()])
                        contents.write_mix(run.folder, chosen, (real, synthetic))
                    else:
                        contents.read_mix(run.folder)
            seconds = (time.process_time() - start) / len(runs)
            print(f"{what} the list of a run: {seconds:.1f} s, {(peak.bytes - before) / 2**20:.0f} MiB", flush=True)
        lists = [layout.mix_file(run.folder).stat().st_size for run in runs]
        shared = sum(path.stat().st_size for path in study.glob(f"{layout.IMAGE_LISTS}/*"))
        print(f"a run {max(lists) / 1e6:.2f} MB, of the study {(sum(lists) + shared) / 1e6:.0f} MB")
        for name in ("report", "again"):
            if name == "again":
                (study / "report_cache.json").unlink(missing_ok=True)
            used = cost.measure([sys.executable, "-m", "synthaug.report", str(study)], cost.ROOT, Path.cwd(), {})
            page = (study / layout.PAGE).stat().st_size / 1e6
            print(f"{name}: {used.processor:.0f} s, {used.peak_mb:.0f} MB, page {page:.2f} MB", flush=True)
        for file in sorted(study.glob("*.json")):
            print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

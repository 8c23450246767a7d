"""What the search for copies costs against many real images, in time and memory.

    python -m benchmarks.copy_search --images 10000 --candidates 256

Thumbnails are noise with the spectrum of photographs (amplitude 1/f^1.3), every 50th candidate a crop of a real one.
The index is built as the screening of a synthetic set builds it, then candidates are looked for; anonymous memory
beyond what the process had before.
"""

import argparse
import hashlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory import Peak, anonymous
from synthaug.data.fingerprints import CopyIndex, Fingerprint
from synthaug.data.registration import SIDE

_BATCH = 256  # thumbnails made at once, or added to the index
_FALL = 1.3  # 1.5 % of pairs may be copies by the magnitudes of their transforms, 1.7 % of 880 photographs of pets


def pictures(seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield thumbnails without end."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]) ** _FALL
    frequency[0, 0] = np.inf
    while True:
        waves = rng.normal(size=(_BATCH, 3, *frequency.shape, 2)).view(np.complex128)[..., 0] / frequency
        waves = waves[:, :1] + 0.3 * waves
        pixels = np.fft.irfft2(waves, s=(SIDE, SIDE)).transpose(0, 2, 3, 1)
        deviation = pixels.std(axis=(1, 2, 3), keepdims=True)
        yield from (120 + 50 * pixels / deviation).clip(0, 255).astype(np.uint8)


def cropped(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a thumbnail without its outermost pixels, as large as before."""
    places = np.linspace(1, SIDE - 2, SIDE).round().astype(int)
    return np.asarray(thumbnail[places][:, places])


def fingerprint(thumbnail: NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of a picture of 256 pixels with a thumbnail."""
    return Fingerprint(hashlib.sha256(thumbnail.tobytes()).hexdigest(), thumbnail, 256)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000], help="real ones")
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| real images | candidates | copies | index, s | search, s | ns a pair | peak, MiB | bytes a real image |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for count in arguments.images:
        fresh = [fingerprint(item) for item in itertools.islice(pictures(arguments.seed + 1), arguments.candidates)]
        peak, before = Peak(), anonymous()
        with tempfile.TemporaryDirectory() as folder, peak.watch():
            start = time.process_time()
            index = CopyIndex(folder=Path(folder))
            real = map(fingerprint, itertools.islice(pictures(arguments.seed), count))
            while block := list(itertools.islice(real, _BATCH)):
                for number in range(len(index), min(len(index) + len(block), len(fresh))):
                    if number % 50 == 0:
                        fresh[number] = fingerprint(cropped(block[number - len(index)].thumbnail))
                index.add(block)
            built = time.process_time()
            pairs = index.find(fresh)
            searched = time.process_time()
        used = max(peak.bytes, anonymous()) - before
        nanoseconds = 1e9 * (searched - built) / (count * len(fresh))
        cells = f"{built - start:.1f} | {searched - built:.1f} | {nanoseconds:.0f} | {used / 2**20:.0f}"
        print(f"| {count:,} | {len(fresh)} | {len(pairs)} | {cells} | {used / count:.0f} |", flush=True)


if __name__ == "__main__":
    main()

"""Measure how many test images hidden in a pool are found, by what was done to them, and what a large pool costs.

    python -m benchmarks.copies <folder> ...       # digits, drawn objects, and photographs of which no two are alike
    python -m benchmarks.copies --scale            # the time of large pools against 10,000 real images
    python -m benchmarks.copies --alike <folder> ... # unrelated images that are taken for copies of one another
    python -m benchmarks.copies --table            # the tables of copies.json, as Markdown

Of each set 40 images are the test set; a pool has one copy of each, and up to 1,000 other images of the set.
"""

import argparse
import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.adapted import slanted_and_thick
from benchmarks.near_duplicates import digits, drawn_objects, read_folder
from synthaug.data.fingerprints import CopyIndex, Fingerprint, fingerprint, near_duplicates, resemble_by_nature
from synthaug.files import read_json, write_json

RESULTS = Path(__file__).with_name("copies.json")
SEED = 20261130
HIDDEN, UNRELATED = 40, 1000
POOLS, REAL = (1_000, 10_000, 100_000), 10_000
CHUNK = 256

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def saved(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Encode as a JPEG of quality 60."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(stream).convert("RGB")


def cropped(share: float) -> Change:
    """Return a change that leaves out a share of both sides, at a random place."""

    def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
        cut = [max(1, round(share * side)) for side in image.size]
        left, top = (int(random.integers(0, pixels + 1)) for pixels in cut)
        return image.crop((left, top, image.width - cut[0] + left, image.height - cut[1] + top))

    return crop


def scaled(factor: float) -> Change:
    """Return a change of the size."""

    def scale(image: Image.Image, _: np.random.Generator) -> Image.Image:
        return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)

    return scale


def brightened(factor: float) -> Change:
    """Return a change of the brightness."""
    return lambda image, _: ImageEnhance.Brightness(image).enhance(factor)


def mirrored(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Flip left and right."""
    return ImageOps.mirror(image)


def combined(*changes: Change) -> Change:
    """Return several changes one after the other."""

    def change(image: Image.Image, random: np.random.Generator) -> Image.Image:
        for step in changes:
            image = step(image, random)
        return image

    return change


CHANGES: Mapping[str, Change] = {
    "the same pixels": lambda image, _: image,
    "JPEG, quality 60": saved,
    "half as wide": scaled(0.5),
    "1.5 times as wide": scaled(1.5),
    "mirrored": mirrored,
    "upside down": lambda image, _: ImageOps.flip(image),
    "cropped 2 %": cropped(0.02),
    "cropped 5 %": cropped(0.05),
    "cropped 10 %": cropped(0.1),
    "brightened 20 %": brightened(1.2),
    "darkened 20 %": brightened(0.8),
    "mirrored, cropped 5 %, JPEG": combined(mirrored, cropped(0.05), saved),
    "mirrored, cropped 10 %, JPEG": combined(mirrored, cropped(0.1), saved),
    "cropped 5 %, half as wide, JPEG": combined(cropped(0.05), scaled(0.5), saved),
    "cropped 10 %, brightened 20 %, JPEG": combined(cropped(0.1), brightened(1.2), saved),
    "mirrored, 1.5 times as wide, darkened 20 %": combined(mirrored, scaled(1.5), brightened(0.8)),
}


def prints(images: Sequence[Image.Image]) -> list[Fingerprint]:
    """Return the fingerprint of each image."""
    return [fingerprint(np.asarray(image.convert("RGB"))) for image in images]


def measure_set(name: str, images: Sequence[Image.Image], repeats: int = 1) -> dict[str, Any]:
    """Return how many hidden test images are found by kind, and how many other images are taken for copies.

    Args:
        name: of the set.
        images: of which no two are alike, in any order.
        repeats: how often 40 others are hidden.
    """
    order = np.random.default_rng(SEED).permutation(len(images))
    found = dict.fromkeys(CHANGES, 0)
    for repeat in range(repeats):
        hidden = [images[index] for index in order[repeat * HIDDEN : (repeat + 1) * HIDDEN]]
        test = prints(hidden)
        for kind, change in CHANGES.items():
            random = np.random.default_rng([SEED, repeat])
            pool = prints([change(image, random) for image in hidden])
            found[kind] += len({j for i, j in near_duplicates(pool, test) if i == j})
    test = prints([images[index] for index in order[:HIDDEN]])
    others = prints([images[index] for index in order[HIDDEN : HIDDEN + UNRELATED]])
    false = len({i for i, _ in near_duplicates(others, test)})
    return {"set": name, "hidden": HIDDEN * repeats, "found": found, "unrelated": len(others), "false": false}


def measure_scale(pool: int, real: int, seed: int = SEED) -> dict[str, Any]:
    """Return the seconds that a pool of made-up pictures takes against real ones, in chunks as screening has them.

    Args:
        pool: number of candidates.
        real: number of real images.
        seed: of the pictures.
    """
    random = np.random.default_rng(seed)
    index = CopyIndex(prints_of_noise(real, random))
    start = time.process_time()
    for first in range(0, pool, CHUNK):
        index.find(prints_of_noise(min(CHUNK, pool - first), random))
    return {"pool": pool, "real": real, "seconds": round(time.process_time() - start, 1)}


def measure_alike(name: str, images: Sequence[Image.Image], count: int, draws: int) -> dict[str, Any]:
    """Return how many pairs of unrelated images are near duplicates, and in how many draws the program knows better.

    Args:
        name: of the set.
        images: of which no two are alike.
        count: images of a draw.
        draws: number of them.
    """
    fingerprints = prints(images)
    pairs, known = 0, 0
    for draw in range(draws):
        chosen = np.random.default_rng([SEED, draw]).permutation(len(images))[:count]
        drawn = [fingerprints[index] for index in chosen]
        pairs += sum(first < second for first, second in near_duplicates(drawn, drawn))
        known += resemble_by_nature(drawn)
    million = draws * count * (count - 1) / 2 / 1e6
    return {
        "set": name,
        "images": count,
        "draws": draws,
        "pairs": pairs,
        "per_million": pairs / million,
        "known": known,
    }


def measure_all_alike(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the pairs of unrelated images of each set, at several sizes.

    Args:
        folders: of photographs.
    """
    plain = [image for images in digits(300).values() for image in images]
    thick = [slanted_and_thick(image.convert("L")) for image in plain]
    sizes = {100: 100, 300: 30, 1000: 5, 2000: 3, 3000: 1}
    rows = [
        measure_alike(name, images, count, draws)
        for name, images in (("digits", plain), ("slanted, thick digits", thick))
        for count, draws in sizes.items()
    ]
    if folders:
        photographs = [image for folder in folders for image in read_folder(folder)]
        rows.append(measure_alike("photographs", photographs, len(photographs), 1))
    return rows


def prints_of_noise(count: int, random: np.random.Generator) -> list[Fingerprint]:
    """Return fingerprints of smooth random pictures.

    Args:
        count: how many.
        random: source of the pixels.
    """
    coarse = random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return prints([Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC) for pixels in coarse])


def table(results: Mapping[str, Any]) -> str:
    """Return the measurements as Markdown tables."""
    rows = results["rows"]
    lines = ["| what was done to it | " + " | ".join(f"{row['set']}" for row in rows) + " |"]
    lines.append("|---|" + "---:|" * len(rows))
    for kind in CHANGES:
        lines.append(f"| {kind} | " + " | ".join(f"{row['found'][kind]} of {row['hidden']}" for row in rows) + " |")
    lines.append("| unrelated | " + " | ".join(f"{row['false']} of {row['unrelated']}" for row in rows) + " |")
    if results.get("scale"):
        lines += ["", "| candidates | real images | processor seconds |", "|---:|---:|---:|"]
        lines += [f"| {row['pool']:,} | {row['real']:,} | {row['seconds']:,} |" for row in results["scale"]]
    if results.get("alike"):
        lines += [
            "",
            "| unrelated images | in a draw | pairs taken for copies | of a million | draws in which it is seen |",
        ]
        lines.append("|---|---:|---:|---:|---:|")
        lines += [
            f"| {row['set']} | {row['images']:,} | {row['pairs']} | {row['per_million']:.1f} "
            f"| {row['known']} of {row['draws']} |"
            for row in results["alike"]
        ]
    return "\n".join(lines)


def measure(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return how many copies are found in each set.

    Args:
        folders: of photographs.
    """
    plain = [image for images in digits(104).values() for image in images]
    rows = [measure_set("digits", plain, repeats=5)]
    rows.append(
        measure_set("slanted, thick digits", [slanted_and_thick(image.convert("L")) for image in plain], repeats=5)
    )
    rows.append(measure_set("drawn objects", drawn_objects(1040), repeats=5))
    if folders:
        photographs = [image for folder in folders for image in read_folder(folder)]
        rows.append(measure_set("photographs", photographs, repeats=len(photographs) // HIDDEN))
    return rows


def main() -> None:
    """Measure and write the file, or print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="photographs, of which no two are alike")
    parser.add_argument("--scale", action="store_true", help="measure the time of large pools")
    parser.add_argument("--alike", action="store_true", help="count unrelated images that are taken for copies")
    parser.add_argument("--table", action="store_true", help="print the tables of the last results")
    parsed = parser.parse_args()
    results = {"seed": SEED, "rows": [], **(read_json(RESULTS) if RESULTS.is_file() else {})}
    if parsed.scale:
        results["scale"] = [measure_scale(pool, REAL) for pool in POOLS]
    elif parsed.alike:
        results["alike"] = measure_all_alike(parsed.folders)
    elif not parsed.table:
        results["rows"] = measure(parsed.folders)
    if not parsed.table:
        write_json(RESULTS, results)
    print(table(results))


if __name__ == "__main__":
    main()

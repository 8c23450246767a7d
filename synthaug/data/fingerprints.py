"""Fingerprints of images: the same for the same pixels, and enough of a picture to confirm that another is its copy.

Near duplicates are copies that were re-encoded, resized, brightened, flipped, or cropped by up to a tenth
(`registration`); two photographs of one scene are none.
"""

import contextlib
import logging
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug import progress_bar
from synthaug.data import registration
from synthaug.data.decoding import try_decode
from synthaug.data.keyed_rows import HashedRows, KeyedRows, digests_of, repeats, short_keys
from synthaug.data.parallel import map_images
from synthaug.data.pixels import PixelStore, View, content_hash
from synthaug.data.registration import Thumbnails
from synthaug.data.sample_list import Sample, Samples

log = logging.getLogger(__name__)

BITS = 64
RULE = 5  # raise it with any change of what counts as a copy
# Images are compared at this short side in pixels: enough to tell any two photographs apart, and fast.
SHORT_SIDE = 256
_MOST_COMPARED = 10_000  # images of a dataset, to learn whether they resemble one another
_MIN_CHAINED, _MIN_CHAINED_SHARE = 3, 0.002  # images in the middle of a chain, from which on they do
# Or: near duplicates at least, and more than so many pairs for each whose residual is up to so much of that of a copy.
_MIN_NEAR, _NEARLY_PER_NEAR, _NEARLY = 3, 8, 1.5
_BLOCK = 4096  # images of an index that are compared at once


_SHAPE = (registration.SIDE, registration.SIDE, 3)  # of a thumbnail
_HASH = ("u1", 32)
_ROW = np.dtype([("key", *_HASH), ("pixels", *_HASH), ("side", "<i4")])

# Returns the fingerprints of images, and file hash → reason for the files that are not whole images.
FingerprintReader = Callable[[Samples], tuple["FingerprintTable", dict[str, str]]]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Fingerprint of an image.

    Attributes:
        pixels: hex hash of the upright RGB pixels and their shape.
        thumbnail: for `registration`.
        side: short side of the image in pixels.
    """

    pixels: str
    thumbnail: NDArray[np.uint8]
    side: int


class FingerprintTable:
    """Fingerprints by file hash: 80 bytes an image in memory, and their thumbnails in a file without a name.

    Args:
        folder: with room for the file; None: that of temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._table = HashedRows(_ROW)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # as long as this object
        weakref.finalize(self, _drop, self._file)
        self._lock = threading.Lock()
        self._thumbnails: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, key: str) -> bool:
        return self._table.number(key) is not None

    def __getitem__(self, key: str) -> "Fingerprint":
        number = self._table.number(key)
        if number is None:
            raise KeyError(key)
        if self._thumbnails is None:
            self._file.flush()
            self._thumbnails = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(len(self), *_SHAPE))
        row = self._table.rows[number]
        return Fingerprint(row["pixels"].tobytes().hex(), self._thumbnails[number], int(row["side"]))

    def add(self, key: str, item: "Fingerprint") -> None:
        """Add a fingerprint; called by several threads.

        Args:
            key: file hash.
            item: the fingerprint.
        """
        key_bytes, pixels = digests_of([key, item.pixels])
        with self._lock:
            self._thumbnails = None
            self._table.add(key, (key_bytes, pixels, item.side))
            self._file.write(item.thumbnail.tobytes())

    def of(self, samples: Samples) -> "ListedFingerprints":
        """Return the fingerprints of images, made when they are asked for."""
        return ListedFingerprints(self, samples)

    def have(self, samples: Samples) -> NDArray[np.bool_]:
        """Return of which images there is a fingerprint, (N,)."""
        return self._table.numbers(samples.digests) >= 0

    def contents(self, samples: Samples) -> NDArray[np.uint8]:
        """Return the bytes of the pixel hashes of images, (N, 32)."""
        numbers = self._table.numbers(samples.digests)
        if (numbers < 0).any():
            raise KeyError(samples[int(numbers.argmin())].sha256)
        return np.asarray(self._table.rows["pixels"][numbers])


def _drop(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # a full disk does not take the last thumbnails, which nobody reads any more
        file.close()


class ListedFingerprints(Sequence["Fingerprint"]):
    """The fingerprints of a list of images.

    Args:
        prints: in which they are.
        samples: the images.
    """

    def __init__(self, prints: FingerprintTable, samples: Samples) -> None:
        self._prints, self._samples = prints, samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> "Fingerprint":  # type: ignore[override]
        return self._prints[self._samples[index].sha256]

    def __iter__(self) -> Iterator["Fingerprint"]:
        return (self._prints[sample.sha256] for sample in self._samples)


def fingerprint_files(samples: Iterable[Sample]) -> tuple[FingerprintTable, dict[str, str]]:
    """Compute the fingerprints of image files.

    Args:
        samples: the images.

    Returns:
        The fingerprints, and file hash → reason for the files that are not whole images.
    """
    prints, bad = FingerprintTable(), dict[str, str]()
    _fingerprint_files(prints, bad, Samples.of(samples))
    return prints, bad


def _fingerprint_files(prints: FingerprintTable, bad: dict[str, str], samples: Samples) -> None:
    """Add the fingerprints of images, and the reasons why there is none, each once."""

    def compute(sample: Sample) -> str | None:
        image = try_decode(sample.sha256, sample.path, SHORT_SIDE)
        if isinstance(image, str):
            return image
        prints.add(sample.sha256, fingerprint(image))
        return None

    again = [number for _, number in repeats(samples.digests)]
    distinct = samples.take(np.delete(np.arange(len(samples)), again))
    reasons = map_images(compute, distinct, "comparing")
    bad |= {sample.sha256: reason for sample, reason in zip(distinct, reasons, strict=True) if reason is not None}


def fingerprint_into(store: PixelStore, samples: Samples) -> tuple[FingerprintTable, dict[str, str]]:
    """Compute fingerprints as `fingerprint_files` does, and store the pixels that are decoded for them.

    Args:
        store: of pixels.
        samples: the images.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    prints = FingerprintTable(store.folder)

    def look(key: str, image: NDArray[np.uint8]) -> None:
        prints.add(key, fingerprint(image))

    bad = store.add_samples(samples, View(SHORT_SIDE, look))
    further = samples.take(np.flatnonzero(~prints.have(samples)))
    further = further.where(lambda sample: sample.sha256 not in bad) if bad else further
    if len(further):
        _fingerprint_files(prints, bad, further)
    return prints, bad


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of RGB pixels (H, W, 3)."""
    size = (registration.SIDE, registration.SIDE)
    thumbnail = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    return Fingerprint(content_hash(image), thumbnail, min(image.shape[:2]))


def near_duplicates(first: Sequence[Fingerprint], second: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Find the pairs of images of which one is a copy of the other.

    Args:
        first: N fingerprints.
        second: M fingerprints.

    Returns:
        Indices into `first` and `second`, in ascending order; images of the same pixels are among them.
    """
    places = _places(first), _places(second)
    names = [sorted(by_pixels) for by_pixels in places]
    unique, others = (
        _thumbnails([images[by_pixels[name][0]] for name in ordered])
        for images, by_pixels, ordered in zip((first, second), places, names, strict=True)
    )
    pairs = {(names[0][i], names[1][j]) for i, j in registration.find_windows(unique, others)}
    if first is second:  # the pairs the other way round, without another search
        pairs |= {(right, left) for left, right in pairs}
    else:
        pairs |= {(names[0][i], names[1][j]) for j, i in registration.find_windows(others, unique)}
    pairs |= {(name, name) for name in places[0].keys() & places[1].keys()}
    return sorted((i, j) for left, right in pairs for i in places[0][left] for j in places[1][right])


def copies(
    first: Sequence[Fingerprint], second: Sequence[Fingerprint], only_plain: bool = False
) -> list[tuple[int, int]]:
    """Find the pairs as `near_duplicates` does; where pictures resemble one another by nature, of the same pixels only.

    Args:
        first: N fingerprints.
        second: M fingerprints.
        only_plain: of `resemble_by_nature`.
    """
    pairs = near_duplicates(first, second)
    exact = [(i, j) for i, j in pairs if first[i].pixels == second[j].pixels]
    return exact if len(exact) < len(pairs) and resemble_by_nature([*first, *second], only_plain) else pairs


def resemble_by_nature(fingerprints: Iterable[Fingerprint], only_plain: bool = False) -> bool:
    """Return whether different pictures of a dataset are so alike that near duplicates are not a sign of a copy.

    That is so of plain pictures of one kind, such as thick strokes of a few pixels, and shows in two ways. They form
    chains: one is like a second and that like a third, which is not like the first, while copies of a picture are
    copies of one another. And there are many more pairs that nearly are near duplicates, while a copy is one or not.

    Args:
        fingerprints: of real images; of more than `_MOST_COMPARED`, so many.
        only_plain: whether only pictures on a plain ground are looked at: the frames of a film form chains as well.
    """
    chosen = _least(fingerprints, _MOST_COMPARED)
    are_plain = _thumbnails(chosen).are_plain
    looked_at = [item for item, is_plain in zip(chosen, are_plain, strict=True) if is_plain or not only_plain]
    pictures = _thumbnails(looked_at)
    shares: dict[tuple[int, int], float] = {}
    for (left, right), share in zip(*registration.measure_windows(pictures, pictures, _NEARLY), strict=True):
        if left != right:
            pair = (min(left, right), max(left, right))
            shares[pair] = min(share, shares.get(pair, share))
    near = [pair for pair, share in shares.items() if share <= 1]
    is_natural = len(near) >= _MIN_NEAR and (
        len(shares) - len(near) > _NEARLY_PER_NEAR * len(near)
        or _count_chained(near) >= max(_MIN_CHAINED, _MIN_CHAINED_SHARE * len(chosen))
    )
    if is_natural:
        log.warning(
            "Images of this dataset resemble one another so much that near duplicates are not a sign of a copy: only "
            "images of the same pixels are taken for copies."
        )
    return is_natural


def compared_rows(contents: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the numbers of the images that `resemble_by_nature` looks at, and of their copies: few of a million.

    Args:
        contents: bytes of the hashes of the pixels of all of them, (N, 32).
    """
    keys = short_keys(contents)
    return np.flatnonzero(keys <= np.unique(keys)[:_MOST_COMPARED][-1:].max(initial=0))


def _least(fingerprints: Iterable[Fingerprint], count: int) -> list[Fingerprint]:
    """Return different pictures of the least pixel hashes, in their order; few more are held meanwhile."""
    kept: dict[str, Fingerprint] = {}
    for item in fingerprints:
        kept[item.pixels] = item
        if len(kept) >= 2 * count:
            kept = {pixels: kept[pixels] for pixels in sorted(kept)[:count]}
    return [kept[pixels] for pixels in sorted(kept)[:count]]


def _count_chained(pairs: Iterable[tuple[int, int]]) -> int:
    """Count the pictures that are like two which are not like each other."""
    like: dict[int, set[int]] = {}
    for first, second in pairs:
        like.setdefault(first, set()).add(second)
        like.setdefault(second, set()).add(first)
    return sum(
        any(neighbours - {neighbour} - like[neighbour] for neighbour in neighbours) for neighbours in like.values()
    )


class CopyIndex:
    """Images among which copies of others are searched; more may be added.

    Of many images, 44 bytes each are in memory, and 13 kB in files without names, which are mapped into it.

    Args:
        fingerprints: of the first images.
        folder: with room for the files; None: that of temporary files.
    """

    def __init__(self, fingerprints: Sequence[Fingerprint] = (), folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._blocks: list[Thumbnails] = []
        self._recent: list[Thumbnails] = []
        self._pixels = KeyedRows(np.dtype([("key", *_HASH)]))
        self.add(fingerprints)

    def __len__(self) -> int:
        return len(self._pixels)

    def pixels(self, number: int) -> str:
        """Return the hash of the pixels of an image of the index."""
        return str(self._pixels.rows["key"][number].tobytes().hex())

    def add(self, fingerprints: Sequence[Fingerprint]) -> None:
        """Add images, which are numbered on."""
        for start in range(0, len(fingerprints), _BLOCK):
            block = fingerprints[start : start + _BLOCK]
            for item in block:
                self._pixels.add(int(item.pixels[:16], 16), (digests_of([item.pixels])[0],))
            images = _thumbnails(block)
            if sum(map(len, self._recent)) + len(block) < _BLOCK:
                self._recent.append(images.kept())
            else:
                self._blocks.append(registration.joined([*self._recent, images]).kept(self._folder))
                self._recent = []

    def find(self, fingerprints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
        """Find the pairs of which one image is a copy of the other.

        Args:
            fingerprints: N images.

        Returns:
            Indices into them and numbers of images of the index, in ascending order.
        """
        pairs = {(index, number) for index, item in enumerate(fingerprints) for number in self._same(item.pixels)}
        images = _thumbnails(fingerprints).kept()
        start = 0
        for block in chain(self._blocks, self._recent):
            pairs |= {(int(i), start + int(j)) for i, j in registration.find_windows(images, block)}
            pairs |= {(int(i), start + int(j)) for j, i in registration.find_windows(block, images)}
            start += len(block)
        return sorted(pairs)

    def _same(self, pixels: str) -> Iterator[int]:
        return (number for number in self._pixels.numbers(int(pixels[:16], 16)) if self.pixels(number) == pixels)


def groups(fingerprints: Sequence[Fingerprint], near: bool) -> list[int]:
    """Group images with their copies: every member is a copy of one image of its group, none by way of others.

    That image is the one with most copies among those that are in no group yet, of several the first by its pixels.

    Args:
        fingerprints: of the images, in any order.
        near: whether near duplicates count as copies, and not only images of the same pixels.

    Returns:
        For each image the least index of its group.
    """
    places = _places(fingerprints)
    names = sorted(places)
    copies: dict[str, set[str]] = {name: {name} for name in names}
    unique = _thumbnails([fingerprints[places[name][0]] for name in names])
    for first, second in registration.find_windows(unique, unique) if near else ():
        copies[names[first]].add(names[second])
        copies[names[second]].add(names[first])
    labels = [0] * len(fingerprints)
    for members in _stars(copies):
        indices = [index for name in members for index in places[name]]
        for index in indices:
            labels[index] = min(indices)
    return labels


def groups_of_lists(lists: Sequence[Sequence[Fingerprint]], near: bool) -> list[list[int]]:
    """Group the images of each list as `groups` does; where plain ones resemble one another, by the same pixels only.

    Args:
        lists: of images; only within each are copies searched.
        near: whether near duplicates count as copies.
    """
    grouped = []
    total = sum(map(len, lists))
    with progress_bar.bar("grouping", total, delay=2) if len(lists) > 1 else contextlib.nullcontext() as bar:
        for items in lists:
            grouped.append(groups(items, near))
            if bar is not None:
                bar.update(len(items))
    joined = near and any(
        items[index].pixels != items[label].pixels
        for items, labels in zip(lists, grouped, strict=True)
        for index, label in enumerate(labels)
        if index != label
    )
    if joined and resemble_by_nature(chain.from_iterable(lists), only_plain=True):
        return [groups(items, near=False) for items in lists]
    return grouped


def _stars(copies: Mapping[str, set[str]]) -> list[set[str]]:
    """Return groups of an item and its copies, most members first; every item, in order, is in one."""
    rest = {name: set(others) for name, others in copies.items() if len(others) > 1}
    stars = [others for others in copies.values() if len(others) == 1]
    while rest:
        centre = max(rest, key=lambda name: len(rest[name]))  # of several the first
        members = rest[centre]
        stars.append(members)
        for neighbour in {neighbour for member in members for neighbour in rest[member]} - members:
            rest[neighbour] -= members
        for member in members:
            del rest[member]
    return stars


def _places(fingerprints: Sequence[Fingerprint]) -> dict[str, list[int]]:
    """Return the indices of the images by their pixels."""
    places: dict[str, list[int]] = {}
    for index, item in enumerate(fingerprints):
        places.setdefault(item.pixels, []).append(index)
    return places


def _thumbnails(fingerprints: Sequence[Fingerprint]) -> Thumbnails:
    shape = (len(fingerprints), registration.SIDE, registration.SIDE, 3)
    pixels = np.array([item.thumbnail for item in fingerprints], dtype=np.uint8).reshape(shape)
    return Thumbnails(pixels, np.array([item.side for item in fingerprints], dtype=np.int64))


# --- the perceptual hash ---------------------------------------------------------------------------


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """Return `phash` of the package ImageHash for RGB pixels (H, W, 3): 64 bits as 16 hex digits.

    They are the signs of the 8×8 lowest frequencies of a cosine transform of the grey image at 32×32, about their
    median. Of two unrelated photographs about half differ; two plain pictures may share nearly all of them.
    """
    import imagehash

    return str(imagehash.phash(Image.fromarray(image)))


def distances(first: Sequence[str], second: Sequence[str]) -> NDArray[np.int64]:
    """Count the bits in which hex hashes differ, by a product of matrices of ±1.

    Args:
        first: N hashes of 16 digits.
        second: M hashes.

    Returns:
        (N, M).
    """
    product = _signs(first) @ _signs(second).T
    return ((BITS - product) / 2).astype(np.int64)


def _signs(hashes: Sequence[str]) -> NDArray[np.float32]:
    """Return ±1 for each bit of hex hashes, (N, 64)."""
    octets = np.frombuffer(b"".join(bytes.fromhex(text) for text in hashes), dtype=np.uint8)
    return np.unpackbits(octets.reshape(len(hashes), BITS // 8), axis=1).astype(np.float32) * 2 - 1

"""The pixel store: every distinct image file is decoded once, for all arms, seeds and epochs.

A store is a folder of files: `pixels.bin`, the RGB bytes of all images one after the other, memory-mapped when read;
`index.csv`, one row per image with its place and hash; and `verified.json`, the state of both when they were last
written or verified. In another state every image is verified, and what has changed is decoded again. Images keep their
shape; those whose short side exceeds the store's are shrunk to it, none is enlarged. Several processes may share a
store: writing holds a lock, and readers use what the index told them when they opened it. Where the disk has no room
for the pixels, the index alone is kept, and images are decoded whenever they are read: the same pixels, later.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthaug import locks, progress_bar
from synthaug.checked_rows import append_checked_rows, checked_rows, write_checked_rows
from synthaug.data.decoding import Size, by_pillow, by_torch, large_photographs, stored_bytes
from synthaug.data.decoding import try_decode_sizes as try_decode_sizes
from synthaug.data.hash_cache import Stamp
from synthaug.data.keyed_rows import short_keys
from synthaug.data.parallel import map_ahead
from synthaug.data.places import NOT_STORED, Place, Places
from synthaug.data.sample_list import REAL, Sample, Samples
from synthaug.data.streamed_images import StreamedImages
from synthaug.errors import UserError
from synthaug.files import read_json, remove_unfinished, write_json
from synthaug.messages import plural

log = logging.getLogger(__name__)

LONGEST = 3  # ratio of the sides of images in a batch; photographs of usual cameras are within it

_COLUMNS = ("sha256", "offset", "height", "width", "content")  # of the index
_SHORTEST = 2 * 64  # bytes of a line of it, at least
_PROBED = 64  # images whose headers tell how large a store will be
_CHUNK = 512  # images between two writings of the index: what a killed process loses at most


class Pixels(Protocol):
    """Source of batches of images, such as `PixelStore`; `short_side` is the longest short side, in pixels."""

    short_side: int

    def batch(
        self, keys: Sequence[str], places: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images as `padded` does.

        Args:
            keys: B file hashes.
            places: of what is kept of long images.
        """
        ...


@dataclass(frozen=True)
class View:
    """A second look at images that are decoded for a store, by Pillow's own filter.

    Attributes:
        short_side: longest short side, in pixels.
        look: is given the file hash and the pixels, by several threads.
    """

    short_side: int
    look: Callable[[str, NDArray[np.uint8]], None]


class PixelStore:
    """Decoded images by the SHA-256 of their files.

    Args:
        folder: of the store; created on the first `add`.
        short_side: longest short side kept, in pixels.
        most_bytes: of pixels on the disk; None: as many as it has room for.
    """

    def __init__(self, folder: Path, short_side: int, most_bytes: int | None = None) -> None:
        self.folder = folder / f"short{short_side}"
        self.short_side = short_side
        self.most_bytes = most_bytes
        self._places = Places()
        self._read_state: dict[str, list[int]] | None = None  # of the files as the places say
        self._refresh()
        self._bytes: NDArray[np.uint8] | None = None
        self._streamed = StreamedImages(short_side)

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as the whole file: other processes open their own.
        return {**self.__dict__, "_bytes": None}

    @property
    def is_streaming(self) -> bool:
        """Whether some of its images are decoded whenever they are read."""
        return len(self._streamed) > 0

    def add(self, images: Mapping[str, Path], view: View | None = None) -> dict[str, str]:
        """Decode images as `add_samples` does.

        Args:
            images: file hash → path.
            view: sees each image that is decoded.
        """
        return self.add_samples(Samples(Sample(path, 0, "", REAL, key) for key, path in images.items()), view)

    def add_samples(self, samples: Sequence[Sample], view: View | None = None) -> dict[str, str]:
        """Decode the images that the store lacks.

        Args:
            samples: the images.
            view: sees each image that is decoded.

        Returns:
            File hash → reason, for the files that are not whole images or not those that were listed.
        """
        listed = Samples.of(samples)
        digests = listed.digests
        bad: dict[str, str] = {}
        if self._places.missing(digests).any() or self._can_store_more(digests) or not self._is_verified():
            bad = self._decode_lacking(listed, digests, view)
        self._streamed.add(listed.take(np.flatnonzero(self._places.not_stored(digests)[0])))
        return bad

    def _can_store_more(self, digests: NDArray[np.uint8]) -> bool:
        """Return whether there is room by now for images that are not stored."""
        are_waiting, needed = self._places.not_stored(digests)
        return bool(are_waiting.any()) and self._has_room(needed)

    def _decode_lacking(self, samples: Samples, digests: NDArray[np.uint8], view: View | None) -> dict[str, str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(self.folder / ".lock", "decodes images"):
            remove_unfinished(self.folder)
            damaged = self._refresh()
            if damaged:
                lines = plural(len(damaged), "line is", "lines are")
                log.warning("%s: %s damaged: decoded again", self.folder / "index.csv", lines)
                self._write_index(self._places)
            self._verify()
            is_new = self._places.missing(digests)
            is_waiting, needed = self._places.not_stored(digests)
            new = np.flatnonzero(is_new)
            needed += self._estimated_bytes(samples.take(new), _count_distinct(digests[new]))
            stores = self._has_room(needed)
            lacking = np.flatnonzero(is_new | is_waiting) if stores else new
            count = _count_distinct(digests[lacking])
            if count and not stores:
                self._announce_streaming(count, needed)
            self._places.reserve(count)
            bad: dict[str, str] = {}
            with progress_bar.bar("decoding", count) as bar, large_photographs():
                for chunk in self._lacking(samples.take(lacking), bad, stores):
                    bad |= self._add_chunk(chunk, view, stores)
                    bar.update(len(chunk))
        self._bytes = None
        return bad

    def place(self, key: str) -> Place:
        """Return the place of the image with this file hash.

        Raises:
            UserError: the folder was removed since the image was added, and begun anew for others.
        """
        try:
            return self._places[key]
        except KeyError:
            raise self._removed() from None

    def _removed(self) -> UserError:
        return UserError(f"{self.folder} was removed while a command read from it: run the same command again.")

    def batch(
        self, keys: Sequence[str], places: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images as `padded` does.

        Args:
            keys: B file hashes.
            places: of what is kept of long images.
        """
        return padded(self.whole(keys), places)

    def images(self, keys: Sequence[str], places: NDArray[np.float32] | None = None) -> list[NDArray[np.uint8]]:
        """Return images, each (H, W, 3), as `kept` does: views of the file, which is mapped into memory.

        Args:
            keys: B file hashes.
            places: of what is kept of long images.
        """
        return kept(self.whole(keys), places)

    def whole(self, keys: Sequence[str]) -> list[NDArray[np.uint8]]:
        """Return images, each (H, W, 3)."""
        if not self.is_streaming:
            return [self.image(key) for key in keys]
        are_stored = [self.place(key).is_stored for key in keys]
        decoded = iter(self._streamed.images([key for key, kept in zip(keys, are_stored, strict=True) if not kept]))
        return [self.image(key) if kept else next(decoded) for key, kept in zip(keys, are_stored, strict=True)]

    def contents(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Return the bytes of the hashes of the pixels of images, (N, 32): equal where these are."""
        try:
            return self._places.contents(Samples.of(samples).digests)
        except KeyError:
            raise self._removed() from None

    def image(self, key: str) -> NDArray[np.uint8]:
        """Return the image with this file hash, (H, W, 3)."""
        place = self.place(key)
        if not place.is_stored:
            return self._streamed.image(key)
        if self._bytes is None:
            self._bytes = np.memmap(self.folder / "pixels.bin", dtype=np.uint8, mode="c")
        return self._bytes[place.offset : place.stop].reshape(place.height, place.width, 3)

    def _lacking(self, samples: Samples, bad: Mapping[str, str], stores: bool) -> Iterator[dict[str, Path]]:
        """Yield groups of images that are lacking by then; each file once, however often it is listed.

        Args:
            samples: the images.
            bad: file hash → reason, of those that were tried.
            stores: whether images of which the pixels are not stored are lacking.
        """
        chunk: dict[str, Path] = {}
        for sample in samples:
            place = self._places.get(sample.sha256)
            if sample.sha256 not in bad and (place is None or (stores and not place.is_stored)):
                chunk.setdefault(sample.sha256, sample.path)
            if len(chunk) == _CHUNK:
                yield chunk
                chunk = {}
        if chunk:
            yield chunk

    def _estimated_bytes(self, samples: Samples, count: int) -> int:
        """Return the bytes of decoded images, by the headers of a few of them.

        Args:
            samples: the images.
            count: of distinct ones.
        """
        probed = samples[:: max(1, count // _PROBED)]
        sizes = [stored_bytes(sample.path, self.short_side) for sample in probed]
        return sum(sizes) * count // max(1, len(sizes))

    def _has_room(self, needed: int) -> bool:
        """Return whether so many bytes of pixels are to be stored beside those that are."""
        is_allowed = self.most_bytes is None or self._places.end + needed <= self.most_bytes
        return is_allowed and needed <= shutil.disk_usage(self.folder).free

    def _announce_streaming(self, count: int, needed: int) -> None:
        room = f"the disk has {shutil.disk_usage(self.folder).free / 1e6:,.0f} MB left"
        if self.most_bytes is not None:
            room += f" (dataset.most_stored_gb={self.most_bytes / 1e9:g})"
        log.warning(
            "%s: %s about %s MB, and %s: images are decoded whenever they are read, which takes longer and gives the "
            "same results. To have their pixels kept, make room, take another disk with output_dir=<folder>, or train "
            "on smaller images with dataset.image_size=<pixels>.",
            self.folder,
            plural(count, "decoded image takes", "decoded images take"),
            f"{needed / 1e6:,.0f}",
            room,
        )

    def _add_chunk(self, chunk: Mapping[str, Path], view: View | None, stores: bool) -> dict[str, str]:
        bad: dict[str, str] = {}
        added: dict[str, Place] = {}
        with ThreadPoolExecutor(os.cpu_count()) as threads, self._open_end() as stream:
            decoded = map_ahead(threads, lambda item: self._decode(*item, view), chunk.items())
            for key, image in zip(chunk, decoded, strict=True):
                if isinstance(image, str):
                    bad[key] = image
                    continue
                height, width, _ = image.shape
                added[key] = Place(stream.tell() if stores else NOT_STORED, height, width, content_hash(image))
                if stores:
                    stream.write(image.data)
            stream.flush()
            os.fsync(stream.fileno())
        append_checked_rows(self.folder / "index.csv", _COLUMNS, map(_cells, added.items()))
        self._places.update(added.items())
        self._record_state()
        return bad

    def _decode(self, key: str, path: Path, view: View | None) -> NDArray[np.uint8] | str:
        sizes: list[Size] = [(self.short_side, by_torch)]
        images = try_decode_sizes(key, path, sizes if view is None else [*sizes, (view.short_side, by_pillow)])
        if isinstance(images, str):
            return images
        if view is not None:
            view.look(key, images[1])
        return images[0]

    def _verify(self) -> None:
        """Forget images whose bytes are not those that were written; they are decoded again behind the others."""
        if self._is_verified() or not self._places:
            return
        self._bytes = None
        stored = ((key, place) for key, place in self._places.items() if place.is_stored)
        changed = [key for key, place in stored if content_hash(self.image(key)) != place.content]
        if changed:
            what = plural(len(changed), "stored image has", "stored images have")
            log.warning("%s: %s changed on the disk: decoded again", self.folder, what)
            lost = set(changed)
            self._places = Places((key, place) for key, place in self._places.items() if key not in lost)
            self._write_index(self._places)
        self._record_state()

    def _is_verified(self) -> bool:
        path = self.folder / "verified.json"
        try:
            return bool(read_json(path) == self._state())
        except (OSError, ValueError, UserError):
            return False

    def _record_state(self) -> None:
        self._read_state = self._state()
        write_json(self.folder / "verified.json", self._read_state)

    def _state(self) -> dict[str, list[int]]:
        return {name: list(Stamp.of(self.folder / name)) for name in ("pixels.bin", "index.csv")}

    def _open_end(self) -> Any:
        """Open `pixels.bin`, cut to the index's end: a killed process may have left half an image behind."""
        end = self._places.end
        path = self.folder / "pixels.bin"
        path.touch()
        stream = path.open("r+b")
        stream.truncate(end)
        stream.seek(end)
        return stream

    def _refresh(self) -> list[int]:
        """Read the index if it or the pixels have changed since, and return the numbers of its damaged lines."""
        try:
            state = self._state()
        except FileNotFoundError:
            state = None
        if state is None or state != self._read_state:
            self._places, damaged = self._read_index()
            self._read_state = None if damaged else state
            return damaged
        return []

    def _read_index(self) -> tuple[Places, list[int]]:
        """Read the index up to the end of `pixels.bin`: lost bytes are decoded again, not read as black.

        Returns:
            The places, and the numbers of damaged lines; without the lock, the last one may just be being written.
        """
        path, pixels = self.folder / "index.csv", self.folder / "pixels.bin"
        if not path.is_file() or not pixels.is_file():
            return Places(), []
        size, damaged = pixels.stat().st_size, list[int]()
        rows = checked_rows(path, _COLUMNS, damaged)
        listed = (
            (key, Place(int(offset), int(height), int(width), content)) for key, offset, height, width, content in rows
        )
        whole = ((key, place) for key, place in listed if not place.is_stored or place.stop <= size)
        return Places(whole, room=path.stat().st_size // _SHORTEST), damaged

    def _write_index(self, places: Mapping[str, Place]) -> None:
        write_checked_rows(self.folder / "index.csv", _COLUMNS, map(_cells, places.items()))


def _cells(item: tuple[str, Place]) -> list[object]:
    key, place = item
    return [key, place.offset, place.height, place.width, place.content]


def kept(images: Sequence[NDArray[np.uint8]], places: NDArray[np.float32] | None = None) -> list[NDArray[np.uint8]]:
    """Return images (H, W, 3) without the ends of those that are longer than `LONGEST` times their short side.

    One panorama and one screenshot would pad a whole batch to the width of the one and the height of the other.

    Args:
        images: B of them.
        places: of what is kept, (B, 2): 0 is at the top and on the left, 1 at the bottom and on the right; None is
            the middle. At the place of a crop's centre, crops are drawn from all of the image.
    """
    centres = np.full((len(images), 2), 0.5, dtype=np.float32) if places is None else places
    parts = [kept_part(image.shape[0], image.shape[1], centre) for image, centre in zip(images, centres, strict=True)]
    return [image[rows, columns] for image, (rows, columns) in zip(images, parts, strict=True)]


def padded(
    images: Sequence[NDArray[np.uint8]], places: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return what is kept of images as one array (B, 3, H, W), zeros below and right of each, and their sizes (B, 2).

    Args:
        images: B of them, (H, W, 3).
        places: of what is kept, see `kept`.
    """
    images = kept(images, places)
    sizes = np.array([image.shape[:2] for image in images], dtype=np.int64)
    height, width = sizes.max(axis=0)
    # Channels lie last, as in the store: a row of an image is copied at once.
    is_full = bool((sizes == (height, width)).all())
    pixels = (np.empty if is_full else np.zeros)((len(images), height, width, 3), dtype=np.uint8)
    for row, image in enumerate(images):
        pixels[row, : image.shape[0], : image.shape[1]] = image
    return pixels.transpose(0, 3, 1, 2), sizes


def content_hash(image: NDArray[np.uint8]) -> str:
    """Return the hex SHA-256 of RGB pixels (H, W, 3) and their shape."""
    height, width, _ = image.shape
    pixels = hashlib.sha256(np.ascontiguousarray(image).data)
    pixels.update(f"{height}x{width}".encode())
    return pixels.hexdigest()


def kept_part(height: int, width: int, place: NDArray[np.float32]) -> tuple[slice, slice]:
    """Return the rows and columns that are kept of an image: all, unless it is longer than `LONGEST` allows.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        place: of what is kept, (vertical, horizontal).
    """
    most = LONGEST * min(height, width)
    rows, columns = (_middle(side, most, float(at)) for side, at in zip((height, width), place, strict=True))
    return rows, columns


def _middle(side: int, most: int, place: float) -> slice:
    surplus = max(0, side - most)
    surplus += surplus % 2  # the middle of the part is that of the image
    start = round(place * surplus)
    return slice(start, start + side - surplus)


def _count_distinct(digests: NDArray[np.uint8]) -> int:
    return len(np.unique(short_keys(digests)))

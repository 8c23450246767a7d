"""A pool of synthetic images that were made elsewhere: `<root>/<class>/<image>`.

Every image is screened once: one that cannot be decoded or is one flat colour (the image that a safety checker
returns) is not trained on. The results are kept in `screened.csv` by the content of the files. Where the images are to
be stored as real ones are, `images/<class>/` beside it has copies, which `copies.csv` lists by the originals' content.
"""

import contextlib
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path

from PIL import Image

from synthaug import locks
from synthaug.checked_rows import read_checked_rows, write_checked_rows
from synthaug.data import checksums
from synthaug.data.decoding import decode, try_decode
from synthaug.data.folders import class_files, class_folders, file_hash, name_problems
from synthaug.data.hash_cache import HASHES, HashCache
from synthaug.data.parallel import map_images
from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.environment import hidden
from synthaug.errors import UserError, raise_all
from synthaug.files import remove_unfinished, whole_file
from synthaug.generation import image_metadata
from synthaug.generation.image_formats import MatchedFormats
from synthaug.generation.pool_files import captions
from synthaug.generation.screening import Rejection, rejection
from synthaug.messages import bullets, plural, suggest

log = logging.getLogger(__name__)

_COLUMNS = ("sha256", "rejected")
COPIES, _COPY_COLUMNS = "copies.csv", ("class_name", "original", "index", "sha256")
_COPIES_AT_ONCE = 500  # between two states of their list
_SIDE = 64  # pixels of the short side at which images are screened: a flat colour stays flat


class FolderGenerator:
    """A folder of images in the place of a generator: `generator=folder generator.root=<dir>`.

    Args:
        root: the pool, with one folder of images per class, named as in the dataset.
        partial: whether a pool is accepted that has too few images of a class, or none.
    """

    def __init__(self, root: str, partial: bool = False) -> None:
        self.root = root
        self.partial = partial

    def class_name(self, folder: str) -> str:
        """Return the class of a folder's images."""
        return folder

    @property
    def title(self) -> str:
        """How messages call the pool."""
        return f"generator.root={self.root}"

    @property
    def remedy(self) -> str:
        """What makes its classes those of the dataset."""
        return "Rename its folders"

    def prepare(self) -> None:
        """Bring the images into the folder, where they are not there yet."""


class FolderPool:
    """The images of a folder, with the interface of a synthetic set.

    Args:
        folder: where the results of screening are kept.
        generator: the pool.
        formats: in which copies are stored that stand in for the images; None: the images are taken as they are.
    """

    grows = False

    def __init__(self, folder: Path, generator: FolderGenerator, formats: MatchedFormats | None = None) -> None:
        self.folder = folder
        self.formats = formats
        self.generator = generator
        self.root = Path(generator.root).expanduser()
        self.partial = generator.partial
        self._images: dict[str, list[tuple[Path, str]]] | None = None
        self._rejections: list[Rejection] = []

    def check(self, counts: Mapping[str, int]) -> None:
        """Check that the pool has the images of `counts` (class → images).

        Raises:
            UserError: no such folder; classes that are not the dataset's, or with too few images, unless `partial`.
        """
        self._check_exists()
        files = self._class_files()
        classes = list(files)
        raise_all(f"{self.generator.title} cannot be used:", name_problems(self.root, chain(*files.values())))
        unknown = [name for name in classes if name not in counts]
        absent = [name for name in counts if name not in classes]
        if len(absent) == len(counts):
            raise UserError(
                f"{self.generator.title} has none of the dataset's classes ({_shorten(list(counts))}), but "
                f"{_shorten(classes) or 'no folders at all'}: it must have one folder of images per class, with the "
                f"same names. {self.generator.remedy}."
            )
        if (unknown or absent) and not self.partial:
            differences = [
                f"{name}: no folder of this name" + (f" ({hint})" if (hint := suggest(name, unknown, 1, 0.5)) else "")
                for name in absent
            ]
            raise UserError(
                f"The classes of {self.generator.title} differ from the dataset's:\n"
                f"{bullets([*differences, *(f'{name}: not in the dataset' for name in unknown)])}\n"
                f"{self.generator.remedy}, or accept the difference with generator.partial=true."
            )
        short = self._shortages(counts)
        if short and not self.partial:
            raise UserError(
                f"{self.generator.title} has too few images in {plural(len(short), 'class', 'classes')}:\n"
                f"{bullets(short)}\n"
                "Add images, choose a mix with fewer synthetic ones, or accept fewer with generator.partial=true."
            )

    def available(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how many images of `counts` the pool has; fewer than that only with `partial`."""
        short = self._shortages(counts)
        if short and self.partial:
            log.warning("generator.partial: %s has fewer images than the mix needs:\n%s", self.root, bullets(short))
        images = self._usable_images()
        return {name: min(count, len(images.get(name, ()))) for name, count in counts.items()}

    def count_missing(self, counts: Mapping[str, int]) -> int:
        """Return 0, since nothing can be generated; raise what `check` raises."""
        self.check(counts)
        return 0

    def ensure(self, counts: Mapping[str, int]) -> int:
        """Return 0, since nothing can be generated; make the copies that are lacking. Raises what `check` raises."""
        self.check(counts)
        if self.formats:
            self.samples(list(counts))
        return 0

    def kept_loaded(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: no model is loaded."""
        return contextlib.nullcontext()

    def samples(self, classes: Sequence[str]) -> list[Sample]:
        """Return the usable images of these classes; of equal files in a class, one."""
        images = self._usable_images()
        if self.formats:
            images = self._copies({name: images.get(name, []) for name in classes}, self.formats)
        return self._samples(images, classes)

    def originals(self, classes: Sequence[str]) -> list[Sample]:
        """Return the same images as `samples`, but as they are in the pool."""
        return self._samples(self._usable_images(), classes)

    @staticmethod
    def _samples(images: Mapping[str, Sequence[tuple[Path, str]]], classes: Sequence[str]) -> list[Sample]:
        return [
            Sample(path, label, name, SYNTHETIC, key)
            for label, name in enumerate(classes)
            for path, key in images.get(name, ())
        ]

    def _copies(
        self, images: Mapping[str, list[tuple[Path, str]]], formats: MatchedFormats
    ) -> dict[str, list[tuple[Path, str]]]:
        """Return class → (file, SHA-256) of the copies of images, made where they are missing."""
        path = self.folder / COPIES
        with locks.exclusive(self.folder / ".lock", f"copies the images of {self.root}"):
            formats.record([name for name, listed in images.items() if listed])
            rows = read_checked_rows(path, _COPY_COLUMNS)[0] if path.is_file() else []
            copies = {(name, key): (int(index), sha256) for name, key, index, sha256 in rows}
            new = [
                (name, key, original, index)
                for name, listed in images.items()
                for (original, key), index in zip(listed, _numbered(name, listed, copies), strict=True)
                if (name, key) not in copies or not self._copy(formats, name, index).is_file()
            ]

            def copy(image: tuple[str, str, Path, int]) -> tuple[tuple[int, int], tuple[int, str]]:
                name, key, original, index = image
                pixels = Image.fromarray(decode(original, None))
                described = {"original_sha256": key, "prompt": hidden(texts.get(key, ""))}
                content = formats.store(pixels, name, index, image_metadata.packet(described))
                with whole_file(self._copy(formats, name, index)) as temporary:
                    temporary.write_bytes(content)
                return pixels.size, (index, hashlib.sha256(content).hexdigest())

            texts, sizes = captions(self.root), list[tuple[str, int, tuple[int, int]]]()
            for start in range(0, len(new), _COPIES_AT_ONCE):
                batch = new[start : start + _COPIES_AT_ONCE]
                results = map_images(copy, batch, f"storing {start} to {start + len(batch)} of {len(new)}")
                for (name, key, *_), (size, result) in zip(batch, results, strict=True):
                    copies[name, key] = result
                    sizes.append((name, result[0], size))
                write_checked_rows(path, _COPY_COLUMNS, ([*place, *copies[place]] for place in sorted(copies)))
            formats.warn_of_small(sizes)
        return {
            name: [
                (self._copy(formats, name, index), sha256) for _, key in listed for index, sha256 in [copies[name, key]]
            ]
            for name, listed in images.items()
        }

    def _copy(self, formats: MatchedFormats, name: str, index: int) -> Path:
        return self.folder / "images" / name / f"{index:06d}{formats.of(name, index).suffix}"

    def rejections(self, classes: Sequence[str]) -> list[Rejection]:
        """Return the images of these classes that cannot be decoded or are one flat colour."""
        self._usable_images()
        return [item for item in self._rejections if item.class_name in classes]

    def _shortages(self, counts: Mapping[str, int]) -> list[str]:
        images = self._usable_images()
        present = {name: len(images.get(name, ())) for name in counts}
        return [
            f"{name}: {present[name]} of {count}{self._reasons(name)}"
            for name, count in counts.items()
            if present[name] < count
        ]

    def _reasons(self, name: str) -> str:
        reasons = Counter(item.reason for item in self.rejections([name]))
        return f"; {', '.join(f'{count} {reason}' for reason, count in reasons.items())}" if reasons else ""

    def _place(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _usable_images(self) -> dict[str, list[tuple[Path, str]]]:
        """Return class → (file, SHA-256) of its usable images, listed once in the life of the pool."""
        if self._images is None:
            self._check_exists()
            with HashCache(self.folder / HASHES) as hashes:
                listed = {
                    name: [(path, file_hash(path, hashes.sha256)) for path in paths]
                    for name, paths in self._class_files().items()
                }
            checksums.verify(self.root, ((str(path), key) for files in listed.values() for path, key in files))
            rejected = self._screen([(key, path) for files in listed.values() for path, key in files])
            self._rejections, self._images = [], {}
            for name, files in listed.items():
                first: dict[str, Path] = {}
                for path, key in files:
                    original = first.setdefault(key, path)
                    reason = rejected[key] or ("" if original == path else "a file that is there already")
                    if reason:
                        match = "" if original == path else self._place(original)
                        self._rejections.append(Rejection(name, self._place(path), key, reason, match))
                self._images[name] = [(path, key) for key, path in first.items() if not rejected[key]]
        return self._images

    def _screen(self, images: Sequence[tuple[str, Path]]) -> dict[str, str]:
        """Return SHA-256 → why the image is rejected, "" for an accepted one."""
        path = self.folder / "screened.csv"
        self.folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(self.folder / ".lock", f"screens the images of {self.root}"):
            remove_unfinished(self.folder)
            results = _read_results(path)
            new = {key: image for key, image in reversed(images) if key not in results}
            if new:
                results |= zip(new, map_images(_screen_image, list(new.items()), "screening"), strict=True)
                write_checked_rows(path, _COLUMNS, sorted(results.items()))
                rejected = [f"{image}: {results[key]}" for key, image in images if key in new and results[key]]
                if rejected:
                    log.warning("%s of the pool rejected:\n%s", plural(len(rejected), "image"), bullets(rejected))
        return results

    def _class_files(self) -> dict[str, list[Path]]:
        """Return class → its files, sorted by class."""
        files: dict[str, list[Path]] = {}
        for folder in class_folders(self.root):
            files.setdefault(self.generator.class_name(folder), []).extend(class_files(self.root, folder))
        return dict(sorted(files.items()))

    def _check_exists(self) -> None:
        self.generator.prepare()
        if not self.root.is_dir():
            raise UserError(
                f"{self.generator.title}: there is no folder {self.root.absolute()}; set it to an existing one."
            )


def _numbered(
    name: str, images: Sequence[tuple[Path, str]], copies: Mapping[tuple[str, str], tuple[int, str]]
) -> list[int]:
    """Return the number of each image of a class: that of its copy, or the next one."""
    following = itertools.count(
        1 + max((index for (label, _), (index, _) in copies.items() if label == name), default=-1)
    )
    return [copies[name, key][0] if (name, key) in copies else next(following) for _, key in images]


def _screen_image(image: tuple[str, Path]) -> str:
    pixels = try_decode(*image, _SIDE)
    return pixels if isinstance(pixels, str) else rejection(Image.fromarray(pixels)) or ""


def _read_results(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows, _ = read_checked_rows(path, _COLUMNS)  # what is damaged is screened again
    return {row[0]: row[1] for row in rows}


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")

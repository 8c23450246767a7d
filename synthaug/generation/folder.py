"""A pool of synthetic images that was made elsewhere: `<root>/<class>/<image>`, taken as it is.

Every image is looked at once: what cannot be decoded or is one flat colour (the frame that a safety checker leaves)
is not trained on. The verdicts are kept in `screened.csv`, by the content of the files.
"""

import csv
import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from synthaug.data.hash_cache import HASHES, HashCache
from synthaug.data.pixels import try_decode
from synthaug.data.samples import SYNTHETIC, Sample, class_files, class_folders
from synthaug.errors import UserError
from synthaug.files import write_rows
from synthaug.generation.screening import rejection
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

_SIDE = 64  # pixels of the short side at which images are screened: a flat colour stays flat


class FolderGenerator:
    """Takes images from a folder instead of making any; `generator=folder generator.root=<dir>`.

    Args:
        root: the pool, with one folder of images per class, called as in the dataset.
        partial: True takes what there is where a class has too few images or none; False refuses such a pool.
    """

    def __init__(self, root: str, partial: bool = False) -> None:
        self.root = root
        self.partial = partial


class FolderPool:
    """The images of a folder, in the interface of a synthetic set.

    Args:
        folder: where the verdicts on its images are kept.
        generator: the pool.
    """

    def __init__(self, folder: Path, generator: FolderGenerator) -> None:
        self.folder = folder
        self.root = Path(generator.root).expanduser()
        self.partial = generator.partial
        self._pool: dict[str, list[tuple[Path, str]]] | None = None

    def check(self, wanted: Mapping[str, int]) -> None:
        """Find out whether the pool has what is wanted.

        Raises:
            UserError: no such folder; classes that are not the dataset's, or with too few images, unless `partial`.
        """
        self._require_folder()
        classes = class_folders(self.root)
        foreign = [name for name in classes if name not in wanted]
        absent = [name for name in wanted if name not in classes]
        if len(absent) == len(wanted):
            raise UserError(
                f"generator.root={self.root} has none of the dataset's classes ({_some(list(wanted))}), but "
                f"{_some(classes) or 'no folders at all'}: it must hold one folder of images per class, with the "
                "same names."
            )
        if (foreign or absent) and not self.partial:
            raise UserError(
                f"The classes of generator.root={self.root} differ from the dataset's:\n"
                f"{bullets([*_differing(absent, foreign), *(f'{name}: not in the dataset' for name in foreign)])}\n"
                "Rename its folders, or take what there is with generator.partial=true."
            )
        here = self._images()
        short = [f"{name}: {len(here.get(name, ()))} of {count}" for name, count in wanted.items()
                 if len(here.get(name, ())) < count]  # fmt: skip
        if short and not self.partial:
            raise UserError(
                f"generator.root={self.root} has too few images in {plural(len(short), 'class', 'classes')}:\n"
                f"{bullets(short)}\n"
                "Add images, choose a mix with fewer synthetic ones, or take what there is with generator.partial=true."
            )

    def available(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """What of `wanted` the pool has; with `partial` that may be less."""
        here = self._images()
        found = {name: min(count, len(here.get(name, ()))) for name, count in wanted.items()}
        short = [f"{name}: {found[name]} of {count}" for name, count in wanted.items() if found[name] < count]
        if short and self.partial:
            log.warning("generator.partial: %s has fewer images than the mix asks for:\n%s", self.root, bullets(short))
        return found

    def count_missing(self, wanted: Mapping[str, int]) -> int:
        """How many images of `wanted` remain to be made: none, since none is ever made here.

        Raises:
            UserError: what `check` raises.
        """
        self.check(wanted)
        return 0

    def ensure(self, wanted: Mapping[str, int]) -> int:
        """Raise what `check` raises; nothing is ever made."""
        self.check(wanted)
        return 0

    def samples(self, classes: Sequence[str]) -> list[Sample]:
        """The usable images of these classes; of equal files in a class, one."""
        here = self._images()
        return [
            Sample(path, label, name, SYNTHETIC, key)
            for label, name in enumerate(classes)
            for path, key in here.get(name, ())
        ]

    def _images(self) -> dict[str, list[tuple[Path, str]]]:
        """Class → (file, hash) of its usable images, each looked at once in the life of the pool."""
        if self._pool is None:
            self._require_folder()
            with HashCache(self.folder / HASHES) as hashes:
                listed = {
                    name: {hashes.sha256(path): path for path in reversed(class_files(self.root, name))}
                    for name in class_folders(self.root)
                }
            verdicts = self._screened({key: path for own in listed.values() for key, path in own.items()})
            self._pool = {
                name: [(path, key) for key, path in sorted(own.items(), key=lambda item: item[1]) if not verdicts[key]]
                for name, own in listed.items()
            }
        return self._pool

    def _screened(self, images: Mapping[str, Path]) -> dict[str, str]:
        """File hash → why the image is left out, "" for one that is used."""
        path = self.folder / "screened.csv"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            known = _read(path)
            new = {key: image for key, image in images.items() if key not in known}
            if new:
                with ThreadPoolExecutor(os.cpu_count()) as threads:
                    verdicts = threads.map(_verdict, new.keys(), new.values())
                    known |= zip(new, tqdm(verdicts, "screening", len(new), unit="image", disable=None), strict=True)
                write_rows(path, ["sha256", "rejected"], sorted(known.items()))
                bad = [f"{image}: {known[key]}" for key, image in new.items() if known[key]]
                if bad:
                    log.warning("%s of the pool left out:\n%s", plural(len(bad), "image"), bullets(bad))
        return known

    def _require_folder(self) -> None:
        if not self.root.is_dir():
            raise UserError(
                f"generator.root={self.root}: there is no folder {self.root.absolute()}; give one that exists."
            )


def _verdict(key: str, path: Path) -> str:
    pixels = try_decode(key, path, _SIDE)
    return pixels if isinstance(pixels, str) else rejection(Image.fromarray(pixels)) or ""


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["sha256"]: row["rejected"] for row in csv.DictReader(stream)}


def _differing(absent: Sequence[str], foreign: Sequence[str]) -> list[str]:
    close = {name: difflib.get_close_matches(name, foreign, n=1, cutoff=0.5) for name in absent}
    return [
        f"{name}: no folder of this name" + (f" (is it {found[0]!r}?)" if found else "")
        for name, found in close.items()
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")

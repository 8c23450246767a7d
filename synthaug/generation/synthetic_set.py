"""A synthetic set on disk: images by class, a manifest row for each, grown on demand by one process at a time.

    <folder>/set.json                 the settings all its images share
    <folder>/manifest.csv             one row per image, rejected ones included
    <folder>/<class>/<index>.png

Image n of a class always comes from the same prompt and seed. An image counts once its row stands in the manifest;
a killed process leaves at most one batch without rows, which the next one makes again.
"""

import csv
import hashlib
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from synthaug import files
from synthaug.data.samples import SYNTHETIC, Sample, bullets
from synthaug.errors import UserError
from synthaug.generation.prompts import prompts
from synthaug.generation.screening import rejection
from synthaug.results import read_json, write_json, write_rows

log = logging.getLogger(__name__)

_MAX_REJECTED = 0.9  # of a class's candidates, past which going on is hopeless
_MIN_TRIED = 20


class Generator(Protocol):
    """What makes images; `DiffusionGenerator` is one."""

    prompt: str
    negative_prompt: str
    batch_size: int

    @property
    def settings(self) -> dict[str, Any]: ...

    def sample(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]: ...

    def provenance(self) -> dict[str, str]: ...

    def unload(self) -> None: ...


@dataclass(frozen=True)
class Row:
    """One line of the manifest. `rejected` is empty for an image that is kept; a rejected one has no file."""

    class_name: str
    index: int
    rejected: str
    sha256: str
    prompt: str
    negative_prompt: str
    seed: int
    model: str
    revision: str
    scheduler: str
    steps: str
    guidance: str
    diffusers: str
    transformers: str
    torch: str
    python: str


class SyntheticSet:
    """The images of one generator for one dataset's classes.

    Args:
        folder: where the set lies; created on demand.
        generator: what makes its images.
    """

    def __init__(self, folder: Path, generator: Generator) -> None:
        self.folder = folder
        self.generator = generator

    def ensure(self, wanted: Mapping[str, int]) -> int:
        """Generate what is missing of `wanted` (class name → images) and return how many were made.

        Raises:
            UserError: the folder holds images made with other settings; a model that cannot be loaded; a class of
                which nearly every image is rejected.
        """
        if not self.lacks(wanted):
            return 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            missing = self.lacks(wanted)
            if not missing:  # another process made them while this one waited
                return 0
            self._claim()
            texts = prompts(self.generator.prompt, list(wanted))
            try:
                return self._generate(wanted, texts)
            finally:
                self.generator.unload()

    def samples(self, classes: Sequence[str]) -> list[Sample]:
        """The set's kept images of these classes, as the manifest lists them."""
        self._check_settings()
        label = {name: number for number, name in enumerate(classes)}
        return [
            Sample(self._path(row), label[row.class_name], row.class_name, SYNTHETIC, row.sha256, row.index)
            for row in self.rows()
            if not row.rejected and row.class_name in label
        ]

    def rows(self) -> list[Row]:
        """The manifest, by class and index, less the images that somebody deleted: they are made again."""
        path = self.folder / "manifest.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            listed = [_row(line) for line in csv.DictReader(stream)]
        return [row for row in listed if row.rejected or self._path(row).is_file()]

    def lacks(self, wanted: Mapping[str, int]) -> int:
        """How many images of `wanted` are missing.

        Raises:
            UserError: the folder holds images made with other settings.
        """
        self._check_settings()
        kept = self._kept(self.rows())
        return sum(max(0, count - kept[name]) for name, count in wanted.items())

    def _generate(self, wanted: Mapping[str, int], texts: Mapping[str, str]) -> int:
        rows = self.rows()
        made = 0
        log.info("generating %d images into %s", self.lacks(wanted), self.folder)
        started = time.perf_counter()
        provenance = self.generator.provenance()
        with tqdm(total=self.lacks(wanted), desc="generating", unit="image", disable=None) as bar:
            while batch := list(islice(self._candidates(rows, wanted), self.generator.batch_size)):
                asked = [texts[name] for name, _ in batch]
                seeds = [image_seed(name, texts[name], index) for name, index in batch]
                images = self.generator.sample(asked, seeds)
                for (name, index), seed, image in zip(batch, seeds, images, strict=True):
                    rows.append(self._keep(name, index, texts[name], seed, image, provenance))
                    bar.update(not rows[-1].rejected)
                    made += not rows[-1].rejected
                self._write(rows)
                self._refuse_hopeless(rows, wanted)
        seconds = time.perf_counter() - started
        log.info("%d images generated in %.0f s (%.1f a second)", made, seconds, made / seconds)
        rejected = sum(bool(row.rejected) for row in rows)
        if rejected:
            log.warning("%d generated images in %s were rejected, see manifest.csv", rejected, self.folder)
        return made

    def _candidates(self, rows: Sequence[Row], wanted: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        """(class, index) of the images to make next, class by class, as if none of them will be rejected."""
        kept = self._kept(rows)
        taken = {(row.class_name, row.index) for row in rows}
        for name, count in wanted.items():
            free = (index for index in itertools.count() if (name, index) not in taken)
            for index in islice(free, max(0, count - kept[name])):
                yield name, index

    def _keep(
        self, name: str, index: int, prompt: str, seed: int, image: Image.Image, provenance: Mapping[str, str]
    ) -> Row:
        path = self.folder / name / f"{index:06d}.png"
        reason = rejection(image)
        if reason is None:
            with files.whole_file(path) as temporary:
                image.save(temporary)
        sha256 = "" if reason else files.sha256(path)
        negative = self.generator.negative_prompt
        return Row(name, index, reason or "", sha256, prompt, negative, seed, **provenance)

    def _write(self, rows: list[Row]) -> None:
        rows.sort(key=lambda row: (row.class_name, row.index))
        names = [field.name for field in fields(Row)]
        write_rows(self.folder / "manifest.csv", names, map(astuple, rows))

    def _path(self, row: Row) -> Path:
        return self.folder / row.class_name / f"{row.index:06d}.png"

    def _claim(self) -> None:
        if not (self.folder / "set.json").is_file():
            write_json(self.folder / "set.json", {"settings": self.generator.settings})

    def _check_settings(self) -> None:
        path = self.folder / "set.json"
        if not path.is_file():
            return
        there, here = read_json(path)["settings"], self.generator.settings
        changed = [
            f"generator.{key}: {there.get(key)!r} there, {here.get(key)!r} now"
            for key in sorted({*there, *here})
            if there.get(key) != here.get(key)
        ]
        if changed:
            raise UserError(
                f"The synthetic set {self.folder} was made with other settings:\n{bullets(changed)}\n"
                f"Give the new ones a name of their own with generator.name=<name>, or take the old settings back."
            )

    def _refuse_hopeless(self, rows: Sequence[Row], wanted: Mapping[str, int]) -> None:
        for name in wanted:
            own = [row for row in rows if row.class_name == name]
            rejected = [row for row in own if row.rejected]
            if len(own) >= _MIN_TRIED and len(rejected) > _MAX_REJECTED * len(own):
                raise UserError(
                    f"{len(rejected)} of {len(own)} images of class {name!r} were rejected: {rejected[0].rejected}. "
                    f"Look at the prompt {rejected[0].prompt!r}, the dtype and the safety checker of the model; "
                    f"then delete {self.folder} and run the same command again."
                )

    @staticmethod
    def _kept(rows: Sequence[Row]) -> dict[str, int]:
        kept: dict[str, int] = defaultdict(int)
        for row in rows:
            kept[row.class_name] += not row.rejected
        return kept

    def _lock(self) -> FileLock:
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=1)
            lock.release()
        except Timeout:
            log.warning("Waiting for another process that generates into %s", self.folder)
        return lock


def _row(line: dict[str, Any]) -> Row:
    return Row(**{**line, "index": int(line["index"]), "seed": int(line["seed"])})


def image_seed(class_name: str, prompt: str, index: int) -> int:
    """Seed of image `index` of a class: the same wherever and whenever it is made, another for every image."""
    digest = hashlib.sha256(f"{class_name}\0{prompt}\0{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch takes seeds below 2^63

"""A synthetic set on disk: images by class, a manifest row for each, grown on demand by one process at a time.

    <folder>/set.json                 the settings all its images share
    <folder>/manifest.csv             one row per image, rejected ones included
    <folder>/<class>/<index>.png

Image n of a class always comes from the same prompt and seed. An image counts once its row stands in the manifest;
a killed process leaves at most one batch without rows, which the next one makes again. A row whose image somebody
deleted counts for nothing: the image is made again.
"""

import csv
import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from synthaug import files
from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.errors import UserError
from synthaug.files import read_json, write_json, write_rows
from synthaug.generation.prompts import Prompts
from synthaug.generation.screening import rejection
from synthaug.messages import bullets

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"
_MAX_REJECTED = 0.9  # of a class's candidates, past which going on is hopeless
_MIN_TRIED = 20


class SyntheticImages(Protocol):
    """Where an arm's synthetic images come from: `SyntheticSet`, which makes them, or a `FolderPool`."""

    folder: Path

    def check(self, wanted: Mapping[str, int]) -> None: ...

    def available(self, wanted: Mapping[str, int]) -> dict[str, int]: ...

    def lacks(self, wanted: Mapping[str, int]) -> int: ...

    def ensure(self, wanted: Mapping[str, int]) -> int: ...

    def samples(self, classes: Sequence[str]) -> list[Sample]: ...


class Generator(Protocol):
    """What makes images; `DiffusionGenerator` is one."""

    prompt: str
    negative_prompt: str
    batch_size: int

    @property
    def settings(self) -> dict[str, Any]: ...

    def check(self, classes: Sequence[str]) -> None: ...

    def sample(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | str]: ...

    def provenance(self) -> dict[str, str]: ...

    def drawn(self, seed: int) -> dict[str, str]: ...

    def check_prompts(self, prompts: Sequence[str]) -> None: ...

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
    # Older manifests have no such columns.
    weights: str = ""
    dtype: str = ""
    seconds: str = ""  # that the image took, its share of its batch


class SyntheticSet:
    """The images of one generator for one dataset's classes.

    Args:
        folder: where the set lies; created on demand.
        generator: what makes its images.
        prompts: what it is asked for; None takes the generator's own template.
        series: sets of another series have other seeds, and so other images of the same prompts.
    """

    def __init__(self, folder: Path, generator: Generator, prompts: Prompts | None = None, series: str = "") -> None:
        self.folder = folder
        self.series = series
        self.generator = generator
        self.prompts = prompts or Prompts([generator.prompt], source="generator.prompt")

    def check(self, wanted: Mapping[str, int]) -> None:
        """Find out why `wanted` could not be generated, as far as that can be known without loading a model.

        Raises:
            UserError: the folder holds images made with other settings or prompts; a class without a prompt; what
                the generator itself refuses.
        """
        if self.lacks(wanted):
            self.generator.check(list(wanted))

    def available(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """What of `wanted` can be had: all of it, since what is missing is made."""
        return dict(wanted)

    def ensure(self, wanted: Mapping[str, int]) -> int:
        """Generate what is missing of `wanted` (class name → images) and return how many were made.

        Raises:
            UserError: what `check` raises; a model that cannot be loaded; a class of which nearly every image is
                rejected.
        """
        if not self.lacks(wanted):
            return 0
        self.generator.check(list(wanted))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            missing = self.lacks(wanted)
            if not missing:  # another process made them while this one waited
                return 0
            try:
                return self._generate(wanted, missing)
            finally:
                self.generator.unload()

    def samples(self, classes: Sequence[str]) -> list[Sample]:
        """The set's kept images of these classes, as the manifest lists them."""
        self._check_prompts(classes)
        self._check_settings()
        label = {name: number for number, name in enumerate(classes)}
        return [
            Sample(self._path(row), label[row.class_name], row.class_name, SYNTHETIC, row.sha256, row.index)
            for row in self.rows()
            if not row.rejected and row.class_name in label
        ]

    def rows(self) -> list[Row]:
        """The manifest, by class and index, less the images that somebody deleted: they are made again."""
        return [row for row in self._listed() if row.rejected or self._path(row).is_file()]

    def _listed(self) -> list[Row]:
        return read_manifest(self.folder)

    def lacks(self, wanted: Mapping[str, int]) -> int:
        """How many images of `wanted` are missing.

        Raises:
            UserError: the folder holds images made with other settings or prompts.
        """
        self._check_prompts(list(wanted))
        self._check_settings()
        return len(list(_missing(self.rows(), wanted)))

    def _generate(self, wanted: Mapping[str, int], missing: int) -> int:
        rows = self.rows()
        made = rejected = 0
        self._refuse_hopeless(rows, wanted)
        self._sweep_up()
        if len(rows) < len(self._listed()):  # or a process killed later would leave a new image with its old row
            self._write(rows)
        provenance = self.generator.provenance()
        self._refuse_others(rows, provenance)
        self.generator.check_prompts([text for name in wanted for text in self.prompts.distinct(name)])
        log.info("generating %d images into %s", missing, self.folder)
        started = time.perf_counter()
        with tqdm(total=missing, desc="generating", unit="image", disable=None) as bar:
            while batch := list(islice(_missing(rows, wanted), max(1, self.generator.batch_size))):
                asked = [self.prompts.of(*place) for place in batch]
                seeds = [
                    image_seed(name, text, index, self.series) for (name, index), text in zip(batch, asked, strict=True)
                ]
                begun = time.perf_counter()
                images = self.generator.sample(asked, seeds)
                made_in = f"{(time.perf_counter() - begun) / len(batch):.3g}"
                self._claim()
                try:
                    for (name, index), text, seed, image in zip(batch, asked, seeds, images, strict=True):
                        rows.append(self._keep(name, index, text, seed, image, provenance | {"seconds": made_in}))
                        made += not rows[-1].rejected
                        rejected += bool(rows[-1].rejected)
                        bar.update(not rows[-1].rejected)
                finally:  # a disk that fills up in the middle of a batch does not cost its first half
                    self._write(rows)
                self._refuse_hopeless(rows, wanted)
        seconds = time.perf_counter() - started
        log.info("%d images generated in %.0f s (%.1f a second)", made, seconds, made / seconds)
        if rejected:
            log.warning("%d more were rejected: see the column 'rejected' of %s", rejected, self._manifest)
        return made

    def _keep(
        self, name: str, index: int, prompt: str, seed: int, image: Image.Image | str, provenance: Mapping[str, str]
    ) -> Row:
        path = self.folder / name / f"{index:06d}.png"
        reason = image if isinstance(image, str) else rejection(image)
        if not isinstance(image, str) and reason is None:
            with files.whole_file(path) as temporary:
                image.save(temporary)
        sha256 = "" if reason else files.sha256(path)
        negative = self.generator.negative_prompt
        made_with = {**provenance, **self.generator.drawn(seed)}
        return Row(name, index, reason or "", sha256, prompt, negative, seed, **made_with)

    def _write(self, rows: list[Row]) -> None:
        rows.sort(key=lambda row: (row.class_name, row.index))
        names = [field.name for field in fields(Row)]
        write_rows(self._manifest, names, map(attrgetter(*names), rows))  # astuple would copy every text

    def _sweep_up(self) -> None:
        """Remove the temporary files of processes that were killed while writing; ours is the lock."""
        for leftover in (*self.folder.glob(".*-*.*"), *self.folder.glob("*/.[0-9]*-*.png")):
            leftover.unlink(missing_ok=True)

    @property
    def _claimed(self) -> Path:
        return self.folder / "set.json"

    @property
    def _manifest(self) -> Path:
        return self.folder / MANIFEST

    def _path(self, row: Row) -> Path:
        return self.folder / row.class_name / f"{row.index:06d}.png"

    def _claim(self) -> None:
        """Write down whose images these are, now that the first ones exist: a model that fails claims nothing."""
        if not (self._claimed.is_file() and self._manifest.is_file()):
            write_json(self._claimed, {"settings": self.generator.settings})

    def _check_settings(self) -> None:
        """Refuse a set that was made with other settings than are asked for."""
        path = self._claimed
        if not (path.is_file() and self._manifest.is_file()):  # no images, or a process killed before the first
            return
        there, here = read_json(path).get("settings"), self.generator.settings
        if not isinstance(there, dict):
            raise UserError(
                f"{path} is damaged (it has no settings): move {self.folder} away to make its images again."
            )
        changed = [
            f"generator.{key}: {there.get(key)!r} there, {here.get(key)!r} now"
            for key in sorted({*there, *here} - {"prompt"})  # sets of 0.1.0 listed it here; now each row is asked
            if there.get(key) != here.get(key)
        ]
        if changed:
            raise UserError(
                f"The synthetic set {self.folder} was made with other settings:\n{bullets(changed)}\n"
                f"Give the new ones a name of their own with generator.name=<name>, or take the old settings back."
            )

    def _check_prompts(self, classes: Sequence[str]) -> None:
        """Refuse a set whose images of these classes were made from other prompts than are asked for."""
        self.prompts.check(classes)
        others = [
            f"image {row.index} of {row.class_name}: {row.prompt!r} there, {now!r} now"
            for row in self._listed()
            if row.class_name in classes
            for now in [self.prompts.of(row.class_name, row.index)]
            if row.prompt != now
        ]
        if others:
            raise UserError(
                f"The synthetic set {self.folder} was made from other prompts:\n{bullets(others, limit=3)}\n"
                "Give the new ones a name of their own with prompts.name=<name>, or take the old prompts back."
            )

    def _refuse_others(self, rows: Sequence[Row], provenance: Mapping[str, str]) -> None:
        """Refuse a model that is not the one that made the set's images, though all its settings are the same."""
        changed = []
        for key in ("revision", "weights", "dtype"):
            now = provenance.get(key, "")
            there = sorted({getattr(row, key) for row in rows} - {"", now})  # "" is of a manifest that did not say
            changed += [f"{key}: {there[0]} there, {now or 'none'} now"] if there else []
        if changed:
            raise UserError(
                f"The synthetic set {self.folder} was made by another model than the one loaded now:\n"
                f"{bullets(changed)}\n"
                f"Take back what made it (generator.revision=<commit>, generator.dtype=<dtype>, or the folder's old "
                f"files), or give the new images a name of their own with generator.name=<name>."
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

    def _lock(self) -> FileLock:
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=1)
            lock.release()
        except Timeout:
            log.warning("Waiting for another process that generates into %s", self.folder)
        return lock


def read_manifest(folder: Path) -> list[Row]:
    """Every row of a set's manifest, images that somebody deleted since among them; empty where there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = csv.DictReader(stream)
            if "index" not in (lines.fieldnames or []):
                raise ValueError("its first line does not name the columns")
            return [_row(line) for line in lines]
    except (TypeError, ValueError, KeyError, csv.Error) as error:
        raise UserError(
            f"{path} is damaged ({error!r}): take back an earlier copy, or move {folder} away and its images are made "
            "again."
        ) from error


def _missing(rows: Iterable[Row], wanted: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """(class, index) of the images to make next, class by class, as if none of them will be rejected.

    A class has its first `count` images that are not rejected, whichever others are there: so a gap is filled
    although there are enough images behind it.
    """
    tried = {(row.class_name, row.index): row for row in rows}
    for name, count in wanted.items():
        index, found = 0, 0
        while found < count:
            row = tried.get((name, index))
            if row is None:
                yield name, index
            found += row is None or not row.rejected
            index += 1


def _row(line: dict[str, Any]) -> Row:
    return Row(**{**line, "index": int(line["index"]), "seed": int(line["seed"])})


def image_seed(class_name: str, prompt: str, index: int, series: str = "") -> int:
    """Seed of image `index` of a class: the same wherever and whenever it is made, another for every image."""
    of_series = f"\0{series}" if series else ""
    digest = hashlib.sha256(f"{class_name}\0{prompt}\0{index}{of_series}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch takes seeds below 2^63

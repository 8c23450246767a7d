"""A synthetic set on disk: images by class, a manifest row for each, extended on demand by one process at a time.

    <folder>/set.json                 settings that all its images share, and what the pipeline was passed for them
    <folder>/manifest.csv             one row per image, rejected ones included
    <folder>/<class>/<index>.png      or in the format of a real image, see `image_formats`

Image n of a class always has the same prompt, seed and format. An image counts once its row is in the manifest, which
is written after it, while the next batch is sampled; a killed process leaves at most one batch of files without rows.
What has no row is generated again, as is an image that somebody deleted.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from synthaug import files, locks, progress_bar
from synthaug.checked_rows import read_checked_rows, write_checked_rows
from synthaug.data.payload import without_metadata
from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.environment import hidden, hidden_settings
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation import image_metadata
from synthaug.generation.image_formats import MATCH, MatchedFormats
from synthaug.generation.prompts import Prompts
from synthaug.generation.screening import Rejection, rejection
from synthaug.generation.source_images import SourceImages
from synthaug.generation.stored_format import StoredFormat, encode
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"
_MAX_REJECTED = 0.9  # share of a class's candidates above which generation stops
_MIN_CANDIDATES = 20  # of a class, before that share is looked at
_MOST_PROMPTS = 100  # lines shown
_MORE = 100  # prompts of a class that are checked beyond those of twice its images


class SyntheticImages(Protocol):
    """Source of an arm's synthetic images: `SyntheticSet`, which generates them, or `FolderPool`.

    Attributes:
        folder: of its records.
        root: that holds the folder of each class.
        grows: whether missing images can be generated.
        partial: whether fewer images than are needed will do.
    """

    folder: Path
    root: Path
    grows: bool
    partial: bool

    def check(self, counts: Mapping[str, int]) -> None: ...

    def available(self, counts: Mapping[str, int]) -> dict[str, int]: ...

    def count_missing(self, counts: Mapping[str, int]) -> int: ...

    def ensure(self, counts: Mapping[str, int]) -> int: ...

    def kept_loaded(self) -> AbstractContextManager[None]: ...

    def samples(self, classes: Sequence[str]) -> list[Sample]: ...

    def rejections(self, classes: Sequence[str]) -> list[Rejection]: ...


class Generator(Protocol):
    """Samples images from prompts and seeds, and real images if it is guided; `DiffusionGenerator` is one."""

    prompt: str
    negative_prompt: str
    batch_size: int

    @property
    def is_guided(self) -> bool: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    def check(self, classes: Sequence[str]) -> None: ...

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        sources: Sequence[Image.Image] | None = None,
    ) -> list[Image.Image | str]: ...

    def provenance(self) -> dict[str, str]: ...

    def seed_provenance(self, seed: int) -> dict[str, str]: ...

    def check_prompts(self, prompts: Sequence[str]) -> None: ...

    def unload(self) -> None: ...


def is_guided(generator: Generator) -> bool:
    """Return whether a generator starts from real images; one that does not say so does not."""
    return getattr(generator, "is_guided", False)


@dataclass(frozen=True)
class ManifestRow:
    """One line of the manifest. `rejected` is empty for an accepted image; a rejected one has no file."""

    class_name: str
    index: int
    rejected: str
    sha256: str  # of its file
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
    weights: str
    dtype: str
    seconds: str  # of sampling, the image's share of its batch
    source: str = ""  # the real image that guided the generator, below the dataset's folder
    source_sha256: str = ""
    payload: str = ""  # SHA-256 of its file without the metadata: of the image alone

    def sample(self, path: Path, label: int) -> Sample:
        """Return the image to train on.

        Args:
            path: of its file.
            label: index of its class.
        """
        return Sample(path, label, self.class_name, SYNTHETIC, self.sha256, self.index, self.payload)


_COLUMNS = tuple(field.name for field in fields(ManifestRow))
# Columns that are not in an image's own metadata: they differ between machines that make the same image.
_NOT_IN_IMAGE = ("rejected", "sha256", "payload", "diffusers", "transformers", "torch", "python", "seconds")
_PNG = StoredFormat()

_Sampled = list[tuple[ManifestRow, Image.Image | None]]


class SyntheticSet:
    """The images of one generator for one dataset's classes.

    Args:
        folder: of the set; created on demand.
        generator: what samples the images.
        prompts: of the images; None takes the generator's template.
        series: part of every seed, so that two series of the same prompts have no image in common.
        announced: what a command has told already, which gets the prompts that are shown.
        sources: real images for a generator that is guided by them; None if it is not, or to have nothing generated.
        formats: in which the images are stored; None: PNG, as they are sampled.
    """

    grows = True
    partial = False

    def __init__(
        self,
        folder: Path,
        generator: Generator,
        prompts: Prompts | None = None,
        series: str = "",
        announced: set[str] | None = None,
        sources: SourceImages | None = None,
        formats: MatchedFormats | None = None,
    ) -> None:
        self.folder = self.root = folder
        self.formats = formats
        self.series = series
        self.generator = generator
        self.sources = sources
        self.prompts = prompts or Prompts([generator.prompt], source="generator.prompt")
        self._announced = set() if announced is None else announced
        self._cached: tuple[tuple[int, int, int], list[ManifestRow]] | None = None
        self._is_kept_loaded = False

    def check(self, counts: Mapping[str, int]) -> None:
        """Check that the missing images of `counts` could be generated, without loading a model.

        Raises:
            UserError: the folder holds images of other settings or prompts; a class without a prompt; what the
                generator itself refuses.
        """
        if self.count_missing(counts):
            self.generator.check(list(counts))
            self._show_prompts(list(counts))

    def available(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Return `counts`: all of it can be generated."""
        return dict(counts)

    def ensure(self, counts: Mapping[str, int]) -> int:
        """Generate the missing images of `counts` (class name → images); return how many were generated.

        Raises:
            UserError: what `check` raises; a model that cannot be loaded; a class of which nearly every image is
                rejected.
        """
        if not self.count_missing(counts):
            return 0
        self.generator.check(list(counts))
        if is_guided(self.generator) and self.sources is None:
            raise UserError(f"The generator of {self.folder} is guided by real images, and there are none for it.")
        self.folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(self.folder / ".lock", f"generates into {self.folder}"):
            missing = self.count_missing(counts)
            if not missing:  # another process generated them while this one waited
                return 0
            try:
                return self._generate(counts, missing)
            finally:
                if not self._is_kept_loaded:
                    self.generator.unload()

    @contextlib.contextmanager
    def kept_loaded(self) -> Iterator[None]:
        """Load the model once for all calls of `ensure` inside, and release it at the end."""
        self._is_kept_loaded = True
        try:
            yield
        finally:
            self._is_kept_loaded = False
            self.generator.unload()

    def samples(self, classes: Sequence[str]) -> list[Sample]:
        """Return the set's accepted images of these classes, in the order of the manifest."""
        self._check_images(classes)
        label = {name: number for number, name in enumerate(classes)}
        return [
            row.sample(self.path(row), label[row.class_name])
            for row in self.rows()
            if not row.rejected and row.class_name in label
        ]

    def rejections(self, classes: Sequence[str]) -> list[Rejection]:
        """Return the images of these classes that were rejected when they were generated, and have no files."""
        return [
            Rejection(row.class_name, f"{row.class_name}/{row.index:06d}", "", row.rejected)
            for row in self._manifest()
            if row.rejected and row.class_name in classes
        ]

    def manifest(self) -> list[ManifestRow]:
        """Return every row of the manifest, those of deleted images included."""
        return list(self._manifest())

    def sample_again(self, places: Sequence[tuple[str, int]]) -> list[tuple[ManifestRow, Image.Image | None]]:
        """Sample images, without saving them; None for those that are rejected.

        Args:
            places: class and number of each image.
        """
        return self._sample(places, self.generator.provenance())

    def rows(self) -> list[ManifestRow]:
        """Return the manifest by class and index, less deleted images: these are generated again."""
        return [row for row in self._manifest() if row.rejected or self.path(row).is_file()]

    def count_missing(self, counts: Mapping[str, int]) -> int:
        """Return how many images of `counts` are missing.

        Raises:
            UserError: the folder holds images of other settings or prompts.
        """
        self._check_images(list(counts))
        return sum(1 for _ in _missing(self.rows(), counts))

    @property
    def settings(self) -> dict[str, Any]:
        """What all images of the set share, as its `set.json` has it."""
        return hidden_settings({**self.generator.settings, **({"image_format": MATCH} if self.formats else {})})

    def _manifest(self) -> list[ManifestRow]:
        """Return every row of the manifest, which is parsed again only when its file was replaced."""
        try:
            status = self._manifest_path.stat()
        except FileNotFoundError:
            return []
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._cached is None or self._cached[0] != version:
            self._cached = version, read_manifest(self.folder)
        return self._cached[1]

    def _generate(self, counts: Mapping[str, int], missing: int) -> int:
        self._show_prompts(list(counts))
        rows = self.rows()
        self._check_rejection_rate(rows, counts)
        self._remove_temporary_files()
        if len(rows) < len(self._manifest()):  # or a process killed later would leave a new image with its old row
            self._write(rows)
        provenance = self.generator.provenance()
        self._check_model(rows, provenance)
        self.generator.check_prompts(self._texts_of(counts))
        if self.formats:
            self.formats.record(list(counts))
        log.info("generating %d images into %s", missing, self.folder)
        first, started = len(rows), time.perf_counter()
        accepted = self._sample_and_save(counts, missing, provenance, rows)
        seconds = time.perf_counter() - started
        log.info("%d images generated in %.0f s (%.1f a second)", accepted, seconds, accepted / seconds)
        if rejected := len(rows) - first - accepted:
            log.warning("%d more were rejected: see the column 'rejected' of %s", rejected, self._manifest_path)
        return accepted

    def _texts_of(self, counts: Mapping[str, int]) -> list[str]:
        """Return the prompts of the images of `counts`, and of as many more for those that are rejected."""
        return [text for name, count in counts.items() for text in self.prompts.distinct(name, 2 * count + _MORE)]

    def _sample_and_save(
        self, counts: Mapping[str, int], missing: int, provenance: Mapping[str, str], rows: list[ManifestRow]
    ) -> int:
        """Sample one batch after the other, while a thread saves and records the batch before; extends `rows`.

        Returns:
            How many images are accepted.
        """
        saved, accepted = list(rows), 0
        writing: Future[int] | None = None
        with (
            ThreadPoolExecutor(1) as writer,
            progress_bar.bar("generating", missing) as bar,
        ):
            while batch := list(islice(_missing(rows, counts), max(1, self.generator.batch_size))):
                sampled = self._sample(batch, provenance)
                if writing:
                    bar.update(writing.result())  # raises what saving the batch before has raised
                writing = writer.submit(self._save, sampled, saved)
                rows += [row for row, _ in sampled]
                self._check_rejection_rate(rows, counts)
                accepted += sum(image is not None for _, image in sampled)
            if writing:
                writing.result()
        return accepted

    def _show_prompts(self, classes: Sequence[str]) -> None:
        self._show_once(logging.INFO, f"prompts:\n{bullets(self.prompts.shown(classes), limit=_MOST_PROMPTS)}")
        if doubts := self.prompts.doubts(classes):
            self._show_once(logging.WARNING, f"Prompts that may not be meant:\n{bullets(doubts)}")

    def _show_once(self, level: int, text: str) -> None:
        if text not in self._announced:  # every arm of a sweep checks its images
            self._announced.add(text)
            log.log(level, "%s", text)

    def _sample(self, batch: Sequence[tuple[str, int]], provenance: Mapping[str, str]) -> _Sampled:
        """Sample one batch of (class, index); return rows, which have no hash yet, with their images."""
        texts = [self.prompts.prompt(*place) for place in batch]
        seeds = [image_seed(name, text, index, self.series) for (name, index), text in zip(batch, texts, strict=True)]
        further: dict[str, Any] = {}
        if self.sources:
            further["sources"] = [self.sources.read(self.sources.source(*place)) for place in batch]
        if getattr(self.generator, "has_class_loras", False):
            further["classes"] = [name for name, _ in batch]
        started = time.perf_counter()
        images: list[Image.Image | str] = self.generator.sample(texts, seeds, **further)
        seconds = {"seconds": f"{(time.perf_counter() - started) / len(batch):.3g}"}
        sampled: _Sampled = []
        for (name, index), text, seed, image in zip(batch, texts, seeds, images, strict=True):
            columns = {"negative_prompt": self.generator.negative_prompt, **provenance, **seconds}
            columns |= {**self.generator.seed_provenance(seed), **self._source_columns(name, index)}
            origin = {key: hidden(str(value)) for key, value in columns.items()}
            reason = image if isinstance(image, str) else rejection(image)
            row = ManifestRow(name, index, reason or "", "", hidden(text), seed=seed, **origin)
            sampled.append((row, None if reason or isinstance(image, str) else image))
        return sampled

    def _source_columns(self, name: str, index: int) -> dict[str, str]:
        if self.sources is None:
            return {}
        source = self.sources.source(name, index)
        return {"source": self.sources.name(source), "source_sha256": source.sha256}

    def _save(self, sampled: _Sampled, saved: list[ManifestRow]) -> int:
        """Save and record one batch; extends `saved`, which are all rows so far; return how many are accepted."""
        if self.formats and not self._has_images():
            self.formats.warn_of_small((row.class_name, row.index, image.size) for row, image in sampled if image)
        self._write_settings()
        before = len(saved)
        try:
            for row, image in sampled:
                saved.append(row if image is None else self._save_image(row, image))
            return sum(image is not None for _, image in sampled)
        finally:  # a disk that fills up in the middle of a batch does not cost its first half
            if len(saved) > before:
                self._write(saved)

    def _save_image(self, row: ManifestRow, image: Image.Image) -> ManifestRow:
        """Store an image; return its row with the hashes of its file."""
        content = self.encoded(row, image)
        with files.whole_file(self.path(row)) as temporary:
            temporary.write_bytes(content)
        payload = hashlib.sha256(without_metadata(content)).hexdigest()
        return replace(row, sha256=hashlib.sha256(content).hexdigest(), payload=payload)

    def encoded(self, row: ManifestRow, image: Image.Image) -> bytes:
        """Return the file of an image: in its format, with its provenance as metadata.

        Args:
            row: of the image.
            image: as it was sampled.
        """
        columns = {name: text for name, text in asdict(row).items() if name not in _NOT_IN_IMAGE}
        settings = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]
        xmp = image_metadata.packet({**columns, "settings": settings})
        if self.formats is None:
            return encode(image, replace(_PNG, mode="L" if image.mode == "L" else "RGB"), xmp)
        return self.formats.store(image, row.class_name, row.index, xmp)

    def _write(self, rows: list[ManifestRow]) -> None:
        rows.sort(key=lambda row: (row.class_name, row.index))
        # astuple would copy every text
        write_checked_rows(self._manifest_path, _COLUMNS, map(attrgetter(*_COLUMNS), rows))

    def _remove_temporary_files(self) -> None:
        """Remove what processes left that were killed while writing; ours is the lock."""
        for leftover in (*self.folder.glob(".*-*.*"), *self.folder.glob("*/.[0-9]*-*.*")):
            leftover.unlink(missing_ok=True)

    @property
    def _settings_path(self) -> Path:
        return self.folder / "set.json"

    @property
    def _manifest_path(self) -> Path:
        return self.folder / MANIFEST

    def path(self, row: ManifestRow) -> Path:
        """Return where an image lies, or would if it were not rejected."""
        stored = self.formats.of(row.class_name, row.index) if self.formats else _PNG
        return self.folder / row.class_name / f"{row.index:06d}{stored.suffix}"

    def _has_images(self) -> bool:
        """Return whether the folder is a set: False too where a process was killed before its first batch."""
        return self._settings_path.is_file() and self._manifest_path.is_file()

    def _write_settings(self) -> None:
        """Record the settings once the first images exist: a model that fails to load reserves no folder."""
        if not self._has_images():
            sources = {"sources": self.sources.digest} if self.sources else {}
            passed = hidden_settings(getattr(self.generator, "call_arguments", {}))
            write_json(self._settings_path, {"settings": self.settings, "call": passed, **sources})

    def _check_images(self, classes: Sequence[str]) -> None:
        """Check that the set's images of these classes are of the current prompts and settings."""
        self.prompts.check(classes)
        changed = [
            f"image {row.index} of {row.class_name}: recorded {row.prompt!r}, now {text!r}"
            for row in self._manifest()
            if row.class_name in classes
            for text in [hidden(self.prompts.prompt(row.class_name, row.index))]
            if row.prompt != text
        ]
        if changed:
            raise UserError(
                f"The images of the synthetic set {self.folder} have other prompts:\n{bullets(changed, limit=3)}\n"
                "Give the new set another name with prompts.name=<name>, or restore the recorded prompts."
            )
        if self._has_images():
            self._check_settings()
            self._check_sources(classes)

    def _check_sources(self, classes: Sequence[str]) -> None:
        """Check that the set's images were guided by the same real images as those that are missing would be."""
        if self.sources is None or read_json(self._settings_path).get("sources") == self.sources.digest:
            return
        present = {sample.sha256 for name in classes for sample in self.sources.by_class[name]}
        gone = {row.source: row for row in self._manifest() if row.class_name in classes}
        lines = [
            f"{path} is gone or has changed, or is no image of this arm"
            for path, row in sorted(gone.items())
            if row.source_sha256 not in present
        ]
        raise UserError(
            f"The synthetic set {self.folder} was guided by other real images than those of the arm now:\n"
            f"{bullets(lines or ['there are further ones now'], limit=5)}\n"
            "Restore them, or give the new set another name with generator.name=<name>."
        )

    def _check_settings(self) -> None:
        recorded, current = read_json(self._settings_path).get("settings"), self.settings
        if not isinstance(recorded, dict):
            raise UserError(
                f"{self._settings_path} is damaged (it has no settings): move {self.folder} away to generate its "
                "images again."
            )
        changed = [
            f"generator.{key}: recorded {recorded.get(key)!r}, now {current.get(key)!r}"
            for key in sorted({*recorded, *current})
            if recorded.get(key) != current.get(key)
        ]
        if changed:
            raise UserError(
                f"The synthetic set {self.folder} has other settings:\n{bullets(changed)}\n"
                "Give the new set another name with generator.name=<name>, or restore the recorded settings."
            )

    def _check_model(self, rows: Sequence[ManifestRow], provenance: Mapping[str, str]) -> None:
        """Check that the loaded model is the one that generated the set, by more than its name."""
        changed = []
        for key in ("revision", "weights", "dtype"):
            current = hidden(provenance[key])
            recorded = sorted({getattr(row, key) for row in rows} - {current})
            changed += [f"{key}: recorded {recorded[0] or 'none'}, now {current or 'none'}"] if recorded else []
        if changed:
            raise UserError(
                f"The synthetic set {self.folder} is of another model than the one loaded now:\n{bullets(changed)}\n"
                "Restore the model (generator.revision=<commit>, generator.dtype=<dtype>, or the earlier files of its "
                "folder), or give the new set another name with generator.name=<name>."
            )

    def _check_rejection_rate(self, rows: Sequence[ManifestRow], counts: Mapping[str, int]) -> None:
        for name in counts:
            candidates = [row for row in rows if row.class_name == name]
            rejected = [row for row in candidates if row.rejected]
            if len(candidates) >= _MIN_CANDIDATES and len(rejected) > _MAX_REJECTED * len(candidates):
                raise UserError(
                    f"{len(rejected)} of {len(candidates)} images of class {name!r} were rejected: "
                    f"{rejected[0].rejected}. Look at the prompt {rejected[0].prompt!r}, the dtype and the safety "
                    f"checker of the model; then delete {self.folder} and run the same command again."
                )


def read_manifest(folder: Path) -> list[ManifestRow]:
    """Return every row of a set's manifest, deleted images included; empty without a manifest.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return []
    cells, damaged = read_checked_rows(path, _COLUMNS)
    rows = {(row.class_name, row.index): row for row in map(_parse_row, cells)}
    problem = f"line {damaged[0]} is not what was written" if damaged else ""
    if not problem and len(rows) < len(cells):
        problem = f"{plural(len(cells) - len(rows), 'image is', 'images are')} listed twice"
    if problem:
        raise UserError(
            f"{path} is damaged ({problem}): restore an earlier copy, or move {folder} away to generate its images "
            "again."
        )
    return list(rows.values())


def _missing(rows: Iterable[ManifestRow], counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield (class, index) of the images to generate next, class by class, as if none of them will be rejected.

    A class has its first `count` images that are not rejected, whatever stands behind them: so a gap is filled
    although there are enough images behind it.
    """
    recorded = {(row.class_name, row.index): row for row in rows}
    for name, count in counts.items():
        index, accepted = 0, 0
        while accepted < count:
            row = recorded.get((name, index))
            if row is None:
                yield name, index
            accepted += row is None or not row.rejected
            index += 1


def _parse_row(cells: Sequence[str]) -> ManifestRow:
    line: dict[str, Any] = dict(zip(_COLUMNS, cells, strict=True))
    return ManifestRow(**{**line, "index": int(line["index"]), "seed": int(line["seed"])})


def image_seed(class_name: str, prompt: str, index: int, series: str = "") -> int:
    """Return the seed of an image: the same wherever and whenever it is generated, another for every image.

    Args:
        class_name: class of the image.
        prompt: its text.
        index: number of the image within its class.
        series: of `SyntheticSet`.
    """
    suffix = f"\0{series}" if series else ""
    digest = hashlib.sha256(f"{class_name}\0{prompt}\0{index}{suffix}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch takes seeds below 2^63

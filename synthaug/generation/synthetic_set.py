"""A synthetic set on disk: images by class, a manifest row for each, extended on demand.

    <folder>/set.json                 settings that all its images share, and what the pipeline was passed for them
    <folder>/manifest.csv             one row per image, rejected ones included, see `manifest`
    <folder>/<class>/<index>.png      or in the format of a real image, see `image_formats`

Image n of a class always has the same prompt, seed and format. An image counts once its row is in the manifest, to
which it is appended after the file was written, while the next batch is sampled; a killed process leaves at most one
batch of files without rows. What has no row is generated again, as is an image whose file was deleted or cut. One
process at a time makes the whole set, or one each of its shards.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from synthaug import files, locks, progress_bar
from synthaug.checked_rows import write_checked_rows
from synthaug.data.payload import without_metadata
from synthaug.data.samples import Sample, Samples
from synthaug.environment import hidden, hidden_settings
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation import image_metadata, set_locks
from synthaug.generation.image_formats import MATCH, MatchedFormats
from synthaug.generation.inventory import MODEL, Inventory, MissingOfShard, missing
from synthaug.generation.manifest import (
    COLUMNS,
    SETTINGS,
    ManifestRow,
    part_cells,
    part_file,
    part_files,
    read_manifest,
)
from synthaug.generation.prompts import Prompts
from synthaug.generation.screening import Rejection, rejection
from synthaug.generation.shard import Shard, number_of
from synthaug.generation.source_images import SourceImages
from synthaug.generation.stored_format import StoredFormat, encode
from synthaug.generation.tar_store import TarStore
from synthaug.image_files import is_image_file
from synthaug.messages import bullets, plural
from synthaug.row_log import LogWriter

log = logging.getLogger(__name__)

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

    def samples(self, classes: Sequence[str]) -> Sequence[Sample]: ...

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


# Columns that are not in an image's own metadata: they differ between machines that make the same image.
_NOT_IN_IMAGE = (
    *("rejected", "sha256", "payload", "size", "member", "seconds"),
    *("diffusers", "transformers", "torch", "python"),
)
_PNG = StoredFormat()
_WHOLE = Shard()
AUTO, FILES, TAR = "auto", "files", "tar"  # values of storage
MOST_FILES = 100_000

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
        parts: shards in which missing images are made where several processes ask for them at the same time: each makes
            what no other one makes, and waits for the rest; 1: one process makes all, and the others wait.
        storage: how new images are stored: `FILES`, a file each; `TAR`, in tar files; `AUTO`, in tar files where more
            than `MOST_FILES` are asked for.
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
        storage: str = AUTO,
        parts: int = 1,
    ) -> None:
        self.parts = parts
        self.storage = storage
        self.folder = self.root = folder
        self.formats = formats
        self.series = series
        self.generator = generator
        self.sources = sources
        self.prompts = prompts or Prompts([generator.prompt], source="generator.prompt")
        self._announced = set() if announced is None else announced
        self._cached: tuple[object, Inventory] | None = None
        self._checked: set[str] = set()  # classes of which the images in the cache are of the prompts
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

    def ensure(self, counts: Mapping[str, int], shard: Shard = _WHOLE) -> int:
        """Generate the missing images of `counts`; return how many were generated.

        Args:
            counts: class name → images.
            shard: the part of them that is made; what is rejected is replaced where all are made.

        Raises:
            UserError: what `check` raises; a model that cannot be loaded; a class of which nearly every image is
                rejected.
        """
        if not self.count_missing(counts, shard):
            return 0
        self.generator.check(list(counts))
        if is_guided(self.generator) and self.sources is None:
            raise UserError(f"The generator of {self.folder} is guided by real images, and there are none for it.")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            if shard.is_whole and self.parts > 1:
                return self._ensure_together(counts)
            with set_locks.writing(self.folder, shard):
                return self._generate_lacking(counts, shard)
        finally:
            if not self._is_kept_loaded:
                self.generator.unload()

    def _generate_lacking(self, counts: Mapping[str, int], shard: Shard) -> int:
        lacking = self.count_missing(counts, shard)
        if not lacking:  # another process generated them while this one waited
            return 0
        try:
            return self._generate(counts, shard, lacking)
        finally:
            self._cached = None  # it has images that could not be saved

    def _ensure_together(self, counts: Mapping[str, int]) -> int:
        """Generate the missing images of `counts` together with the other processes that do; return how many it made.

        In rounds: what the first one rejects is replaced in the next one, by all again.
        """
        generated, draw = 0, random.Random()  # else all would try the same shard first
        while self.count_missing(counts):
            inventory = self._present(list(counts))
            numbers = {name: inventory.extent(name, count) for name, count in counts.items()}
            while lacking := [Shard(number, self.parts) for number in self.lacking_shards(numbers, self.parts)]:
                for shard in draw.sample(lacking, len(lacking)):
                    with set_locks.trying(self.folder, shard) as is_free:
                        if is_free:
                            generated += self._generate_lacking(numbers, shard)
                            break
                else:
                    set_locks.wait_for(self.folder, lacking[0])
        return generated

    def lacking_shards(self, counts: Mapping[str, int], shards: int) -> dict[int, int]:
        """Return the shards that lack images → how many, before any rejected image is replaced.

        Args:
            counts: class name → images of all shards.
            shards: their number.
        """
        places = MissingOfShard(self._present(list(counts)), counts, _WHOLE)
        return dict(sorted(Counter(number_of(*place, shards) for place in places).items()))

    @contextlib.contextmanager
    def kept_loaded(self) -> Iterator[None]:
        """Load the model once for all calls of `ensure` inside, and release it at the end."""
        is_inside = self._is_kept_loaded
        self._is_kept_loaded = True
        try:
            yield
        finally:
            self._is_kept_loaded = is_inside
            if not is_inside:
                self.generator.unload()

    def samples(self, classes: Sequence[str]) -> Samples:
        """Return the set's accepted images of these classes, by the names of the classes and by their numbers."""
        self._check_images(classes)
        inventory = self._present(classes)
        label = {name: number for number, name in enumerate(classes)}
        return Samples(
            inventory.sample(name, index, self._file(inventory, name, index), label[name])
            for name in sorted(label)
            for index in inventory.accepted(name)
        )

    def rejections(self, classes: Sequence[str]) -> list[Rejection]:
        """Return the images of these classes that were rejected when they were generated, and have no files."""
        return [
            Rejection(name, f"{name}/{index:06d}", "", reason)
            for (name, index), reason in self._inventory().rejected(classes)
        ]

    def manifest(self) -> list[ManifestRow]:
        """Return every row of the manifest by class and index, those of deleted images included."""
        return read_manifest(self.folder)

    def sample_again(self, places: Sequence[tuple[str, int]]) -> list[tuple[ManifestRow, Image.Image | None]]:
        """Sample images, without saving them; None for those that are rejected.

        Args:
            places: class and number of each image.
        """
        return self._sample(places, self.generator.provenance())

    def rows(self) -> list[ManifestRow]:
        """Return the manifest by class and index, less deleted images: these are generated again."""
        return [row for row in self.manifest() if row.rejected or is_image_file(self.path(row))]

    def count_missing(self, counts: Mapping[str, int], shard: Shard = _WHOLE) -> int:
        """Return how many images of `counts` are missing.

        Args:
            counts: class name → images.
            shard: of which images are counted.

        Raises:
            UserError: the folder holds images of other settings or prompts.
        """
        self._check_images(list(counts))
        return sum(1 for _ in missing(self._present(list(counts)), counts, shard))

    @property
    def settings(self) -> dict[str, Any]:
        """What all images of the set share, as its `set.json` has it."""
        return hidden_settings({**self.generator.settings, **({"image_format": MATCH} if self.formats else {})})

    def _inventory(self) -> Inventory:
        """Return what the manifest has, which is read again only when a log of it has changed."""
        states = [(path.name, path.stat()) for path in part_files(self.folder)]
        version = [(name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in states]
        if self._cached is None or self._cached[0] != version:
            self._cached = version, Inventory.read(self.folder)
            self._checked = set()
        return self._cached[1]

    def _present(self, classes: Sequence[str]) -> Inventory:
        """Return what the manifest has, less what has been deleted or cut since: these images are generated again."""
        inventory = self._inventory()
        inventory.look_for_lost(classes, functools.partial(self._file, inventory))
        return inventory

    def _generate(self, counts: Mapping[str, int], shard: Shard, lacking: int) -> int:
        self._show_prompts(list(counts))
        self._remove_temporary_files(list(counts))
        inventory = self._without_lost(counts, shard)
        self._check_rejection_rate(inventory, list(counts))
        provenance = self.generator.provenance()
        self._check_model(inventory, provenance)
        self.generator.check_prompts(self._texts_of(counts))
        if self.formats:
            with self._shared_files():
                self.formats.record(list(counts))
        what = "" if shard.is_whole else f"shard {shard.number} of {shard.count}, "
        log.info("generating %s%d images into %s", what, lacking, self.folder)
        first, started = len(inventory), time.perf_counter()
        accepted = self._sample_and_save(counts, shard, lacking, provenance, inventory)
        seconds = time.perf_counter() - started
        log.info("%d images generated in %.0f s (%.1f a second)", accepted, seconds, accepted / seconds)
        if rejected := len(inventory) - first - accepted:
            manifest = part_file(self.folder, shard)
            log.warning("%d more were rejected: see the column 'rejected' of %s", rejected, manifest)
        return accepted

    def _without_lost(self, counts: Mapping[str, int], shard: Shard) -> Inventory:
        """Drop the rows of lost images, or a process killed later would leave a new image with its old row."""
        inventory = self._present(list(counts))
        lost = inventory.lost
        if not shard.is_whole:
            lost = list(set(lost).intersection(shard.places(counts)))
        if not lost:
            return inventory
        log.warning("%s lost since, or cut: made again", plural(len(lost), "image was", "images were"))
        for part, places in inventory.by_part(lost).items():
            with contextlib.ExitStack() as held:
                if part != part_file(self.folder, shard):
                    lock = set_locks.of_part(self.folder, part)
                    if not held.enter_context(locks.without_waiting(lock)):
                        raise UserError(
                            f"{plural(len(places), 'image')} of {part} were lost, which another process appends to: "
                            "run the same command again when that one has ended."
                        )
                kept = (cells for cells in part_cells(part) if (cells[0], int(cells[1])) not in places)
                write_checked_rows(part, COLUMNS, kept)
        return self._present(list(counts))

    def _texts_of(self, counts: Mapping[str, int]) -> list[str]:
        """Return the prompts of the images of `counts`, and of as many more for those that are rejected."""
        return [text for name, count in counts.items() for text in self.prompts.distinct(name, 2 * count + _MORE)]

    def _sample_and_save(
        self,
        counts: Mapping[str, int],
        shard: Shard,
        lacking: int,
        provenance: Mapping[str, str],
        inventory: Inventory,
    ) -> int:
        """Sample one batch after the other, while a thread saves and records the batch before; extends `inventory`.

        Returns:
            How many images are accepted.
        """
        is_set = self._has_images()
        accepted = 0
        writing: Future[int] | None = None
        places = missing(inventory, counts, shard)
        is_in_tar = self.storage == TAR or (self.storage == AUTO and sum(counts.values()) > MOST_FILES)
        with (
            TarStore(self.folder, shard, inventory.tar_ends()) if is_in_tar else contextlib.nullcontext() as tar,
            LogWriter(part_file(self.folder, shard), COLUMNS) as manifest,
            ThreadPoolExecutor(1) as writer,
            progress_bar.bar("generating", lacking) as bar,
        ):
            while batch := list(islice(places, max(1, self.generator.batch_size))):
                sampled = self._sample(batch, provenance)
                if writing:
                    bar.update(writing.result())  # raises what saving the batch before has raised
                writing = writer.submit(self._save, sampled, manifest, tar, is_set)
                is_set = True
                for row, image in sampled:
                    inventory.add(row)
                    accepted += image is not None
                    if image is None:
                        places.replace(row.class_name)
                self._check_rejection_rate(inventory, list(dict.fromkeys(name for name, _ in batch)))
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
            origin: dict[str, Any] = {key: hidden(str(value)) for key, value in columns.items()}
            reason = image if isinstance(image, str) else rejection(image)
            row = ManifestRow(name, index, reason or "", "", hidden(text), seed=seed, **origin)
            sampled.append((row, None if reason or isinstance(image, str) else image))
        return sampled

    def _source_columns(self, name: str, index: int) -> dict[str, str]:
        if self.sources is None:
            return {}
        source = self.sources.source(name, index)
        return {"source": self.sources.name(source), "source_sha256": source.sha256}

    def _save(self, sampled: _Sampled, manifest: LogWriter, tar: TarStore | None, is_set: bool) -> int:
        """Save and record one batch; return how many are accepted.

        Args:
            sampled: the batch.
            manifest: of the writer.
            tar: where images are stored; None: in files of their own.
            is_set: whether the set has images.
        """
        if not is_set:
            if self.formats:
                self.formats.warn_of_small((row.class_name, row.index, image.size) for row, image in sampled if image)
            self._record_settings()
        saved: list[ManifestRow] = []
        try:
            for row, image in sampled:
                saved.append(row if image is None else self._save_image(row, image, tar))
            return sum(image is not None for _, image in sampled)
        finally:  # a disk that fills up in the middle of a batch does not cost its first half
            if saved:
                if tar:
                    tar.sync()
                manifest.append(map(attrgetter(*COLUMNS), saved))  # astuple would copy every text

    def _save_image(self, row: ManifestRow, image: Image.Image, tar: TarStore | None) -> ManifestRow:
        """Store an image; return its row with the hashes of its file."""
        content, member = self.encoded(row, image), ""
        if tar:
            described: dict[str, object] = {"class": row.class_name, "index": row.index, "prompt": row.prompt}
            member = tar.append(f"{row.class_name}/{row.index:06d}", self._suffix(*row.place), content, described)
        else:
            with files.whole_file(self.path(row)) as temporary:
                temporary.write_bytes(content)
        payload = hashlib.sha256(without_metadata(content)).hexdigest()
        sha256 = hashlib.sha256(content).hexdigest()
        return replace(row, sha256=sha256, payload=payload, size=len(content), member=member)

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

    def _remove_temporary_files(self, classes: Sequence[str]) -> None:
        """Remove what processes left that were killed while writing; what others are writing stays."""
        for folder in (self.folder, *(self.folder / name for name in classes)):
            files.remove_unfinished(folder)

    @property
    def _settings_path(self) -> Path:
        return self.folder / SETTINGS

    def path(self, row: ManifestRow) -> Path:
        """Return where an image lies, or would if it were not rejected."""
        return row.file(self.folder, self._suffix(*row.place))

    def _suffix(self, name: str, index: int) -> str:
        return (self.formats.of(name, index) if self.formats else _PNG).suffix

    def _file(self, inventory: Inventory, name: str, index: int) -> str:
        suffix = self._suffix(name, index)
        member = inventory.member(name, index, suffix)
        return os.path.join(self.folder, member or f"{name}/{index:06d}{suffix}")  # noqa: PTH118  # as `Sample.file`

    def _has_images(self) -> bool:
        """Return whether the folder is a set: False too where a process was killed before its first batch."""
        return self._settings_path.is_file() and len(self._inventory()) > 0

    def _shared_files(self) -> AbstractContextManager[None]:
        return locks.exclusive(self.folder / ".set.lock", f"writes {self._settings_path}")

    def _record_settings(self) -> None:
        """Record the settings once the first images exist: a model that fails to load reserves no folder."""
        with self._shared_files():
            is_of_other = self._settings_path.is_file() and len(Inventory.read(self.folder))
            if is_of_other:  # another shard was faster
                self._check_settings()
                return
            sources = {"sources": self.sources.digest} if self.sources else {}
            passed = hidden_settings(getattr(self.generator, "call_arguments", {}))
            write_json(self._settings_path, {"settings": self.settings, "call": passed, **sources})

    def _check_images(self, classes: Sequence[str]) -> None:
        """Check that the set's images of these classes are of the current prompts and settings."""
        self.prompts.check(classes)
        inventory = self._inventory()
        changed = [
            (name, index)
            for name in dict.fromkeys(classes)
            if name not in self._checked
            for index in inventory.of_other_prompts(name, lambda index, name=name: self._prompt(name, index))  # type: ignore[misc]
        ]
        if changed:
            recorded = {row.place: row.prompt for row in self.manifest()}
            lines = [
                f"image {index} of {name}: recorded {recorded[name, index]!r}, now {self._prompt(name, index)!r}"
                for name, index in changed
            ]
            raise UserError(
                f"The images of the synthetic set {self.folder} have other prompts:\n{bullets(lines, limit=3)}\n"
                "Give the new set another name with prompts.name=<name>, or restore the recorded prompts."
            )
        self._checked |= set(classes)
        if self._has_images():
            self._check_settings()
            self._check_sources(classes)

    def _prompt(self, name: str, index: int) -> str:
        return hidden(self.prompts.prompt(name, index))

    def _check_sources(self, classes: Sequence[str]) -> None:
        """Check that the set's images were guided by the same real images as those that are missing would be."""
        if self.sources is None or read_json(self._settings_path).get("sources") == self.sources.digest:
            return
        present = {sample.sha256 for name in classes for sample in self.sources.by_class[name]}
        gone = {row.source: row for row in self.manifest() if row.class_name in classes}
        lines = [
            f"{path} is gone or has changed, or is not an image of this arm"
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

    def _check_model(self, inventory: Inventory, provenance: Mapping[str, str]) -> None:
        """Check that the loaded model is the one that generated the set, by more than its name."""
        changed = []
        for key in MODEL:
            current = hidden(provenance[key])
            recorded = sorted(inventory.models[key] - {current})
            changed += [f"{key}: recorded {recorded[0] or 'none'}, now {current or 'none'}"] if recorded else []
        if changed:
            raise UserError(
                f"The synthetic set {self.folder} is of another model than the one loaded now:\n{bullets(changed)}\n"
                "Restore the model (generator.revision=<commit>, generator.dtype=<dtype>, or the earlier files of its "
                "folder), or give the new set another name with generator.name=<name>."
            )

    def _check_rejection_rate(self, inventory: Inventory, classes: Sequence[str]) -> None:
        for name in classes:
            candidates, rejected = inventory.candidates(name)
            if candidates >= _MIN_CANDIDATES and rejected > _MAX_REJECTED * candidates:
                (_, index), reason = inventory.rejected([name])[0]
                raise UserError(
                    f"{rejected} of {candidates} images of class {name!r} were rejected: {reason}. Look at the prompt "
                    f"{self._prompt(name, index)!r}, the dtype and the safety checker of the model; then delete "
                    f"{self.folder} and run the same command again."
                )


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

"""A synthetic set as it lies on the disk: its images, how they were made, what was rejected, what it cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthaug.data.folders import class_files, class_folders
from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.generation.manifest import MANIFEST, SETTINGS, ManifestRow, read_manifest
from synthaug.generation.synthetic_set import SyntheticImages
from synthaug.image_files import is_image_file
from synthaug.screening.screened_images import ScreenedImages
from synthaug.screening.verdicts import COPIES, VERDICTS, Verdict, read_verdicts

PAGE, NUMBERS = "set.html", "quality.json"
# What distinguishes ways of making an image, for people; the rest is in the manifest.
FACTS = ("model", "revision", "weights", "scheduler", "steps", "guidance", "dtype", "negative_prompt")


@dataclass(frozen=True)
class SetRecord:
    """A synthetic set, or a pool of images from elsewhere, of which less is known.

    Attributes:
        folder: where its page is.
        name: of the set.
        classes: names, in the order of the samples' labels.
        samples: the images that training may use.
        rows: of the manifest, by class and index; empty for a pool.
        settings: of the generator; empty for a pool.
        root: that holds the folder of each class.
        screening: name of the folder of its verdicts; empty where it was not screened.
        verdicts: on the images judged so far, rejected by the set itself too.
    """

    folder: Path
    name: str
    classes: Sequence[str]
    samples: Sequence[Sample]
    rows: Sequence[ManifestRow]
    settings: Mapping[str, Any]
    root: Path
    screening: str = ""
    verdicts: Sequence[Verdict] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Class → images."""
        counts = Counter(sample.class_name for sample in self.samples)
        return {name: counts[name] for name in self.classes}

    @property
    def facts(self) -> dict[str, list[str]]:
        """What made the images: fact → its values, the most frequent first; empty ones left out."""
        values = {fact: Counter(getattr(row, fact) for row in self.rows) for fact in FACTS}
        return {fact: [value for value, _ in counter.most_common()] for fact, counter in values.items() if any(counter)}

    @property
    def prompts(self) -> dict[str, Counter[str]]:
        """Class → prompt → images that training may use."""
        prompts: dict[str, Counter[str]] = {name: Counter() for name in self.classes}
        for row in self.rows:
            if row.class_name in prompts and not row.rejected:
                prompts[row.class_name][row.prompt] += 1
        return prompts

    @property
    def rejected(self) -> dict[str, list[Verdict]]:
        """Reason → images that were rejected for it, the most frequent reason first."""
        rejected: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            if not verdict.kept:
                rejected.setdefault(verdict.reason, []).append(verdict)
        return dict(sorted(rejected.items(), key=lambda item: -len(item[1])))

    @property
    def copies(self) -> list[Verdict]:
        """Images that are copies of real ones, kept or not."""
        return [verdict for verdict in self.verdicts if verdict.reason in COPIES]

    def file(self, verdict: Verdict) -> Path:
        """Return the file of an image that was judged."""
        return next((path for path in (self.root / verdict.image, Path(verdict.image)) if is_image_file(path)), Path())

    @property
    def seconds(self) -> float | None:
        """Seconds of sampling, rejected images too; None where they were not recorded."""
        recorded = [float(row.seconds) for row in self.rows if row.seconds]
        return sum(recorded) if recorded else None


def read_set(folder: Path, page_folder: Path, classes: Sequence[str] | None = None) -> SetRecord:
    """Read a synthetic set, or any folder of images by class, of which flat and damaged ones are rejected.

    Args:
        folder: with a manifest, or with one folder of images per class.
        page_folder: where its page goes, and what is remembered of images that no manifest lists.
        classes: names of the dataset's classes, of which alone images are listed; None: those of the folder.

    Raises:
        UserError: no such folder, one without images, or a damaged manifest.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Give the folder of a synthetic set, or of images by class.")
    rows = sorted(read_manifest(folder), key=lambda row: (row.class_name, row.index))
    names = list(classes or (sorted({row.class_name for row in rows}) if rows else class_folders(folder)))
    if rows:
        record = _read_generated(folder, rows, names)
    else:
        record = record_of(FolderPool(page_folder, FolderGenerator(str(folder), partial=True)), names)
    if not record.samples:
        of_classes = f" of the classes {', '.join(names[:5])}{' …' if names[5:] else ''}" if names else ""
        raise UserError(
            f"{folder} has no images{of_classes}: it needs a {MANIFEST}, or one folder of images per class."
        )
    return replace(record, folder=page_folder, name=folder.resolve().name)


def _read_generated(folder: Path, rows: Sequence[ManifestRow], names: Sequence[str]) -> SetRecord:
    samples = _listed(folder, rows, {name: label for label, name in enumerate(names)})
    screening, judged = _newest_verdicts(folder)
    kept = {verdict.sha256 for verdict in judged if verdict.kept}
    return SetRecord(
        folder,
        folder.resolve().name,
        names,
        [sample for sample in samples if sample.sha256 in kept] if screening else samples,
        rows,
        _settings(folder),
        folder,
        screening,
        judged if screening else _of_manifest(rows),
    )


def record_of(images: SyntheticImages, classes: Sequence[str]) -> SetRecord:
    """Return the record of a set that a command has at hand.

    Args:
        images: the set, screened or not.
        classes: names of the dataset's classes.

    Raises:
        UserError: a damaged manifest.
    """
    folder = images.folder
    rows = sorted(read_manifest(folder), key=lambda row: (row.class_name, row.index))
    if isinstance(images, ScreenedImages):
        screening, verdicts = images.verdict_folder.name, images.verdicts(classes)
    else:
        screening = ""
        verdicts = [
            Verdict(item.class_name, item.image, item.sha256, False, item.reason, None, item.match)
            for item in images.rejections(classes)
        ]
    samples, name = images.samples(classes), folder.resolve().name
    return SetRecord(folder, name, list(classes), samples, rows, _settings(folder), images.root, screening, verdicts)


def _settings(folder: Path) -> Mapping[str, Any]:
    settings = read_json(folder / SETTINGS).get("settings") if (folder / SETTINGS).is_file() else None
    return settings or {}


def _newest_verdicts(folder: Path) -> tuple[str, list[Verdict]]:
    """Return the name of the screening whose verdicts were written last, and these; ("", []) for none."""
    files = sorted(folder.glob(f"screening-*/{VERDICTS}"), key=lambda path: path.stat().st_mtime_ns)
    if not files:
        return "", []
    return files[-1].parent.name, read_verdicts(files[-1])


def _of_manifest(rows: Sequence[ManifestRow]) -> list[Verdict]:
    return [
        Verdict(row.class_name, f"{row.class_name}/{row.index:06d}", row.sha256, False, row.rejected)
        for row in rows
        if row.rejected
    ]


def _listed(folder: Path, rows: Sequence[ManifestRow], labels: Mapping[str, int]) -> list[Sample]:
    files: dict[str, dict[str, Path]] = {}
    for name in labels:
        files[name] = {path.stem: path for path in class_files(folder, name)}
    return [
        row.sample(path, labels[row.class_name])
        for row in rows
        if not row.rejected and row.class_name in labels
        for path in [folder / row.member if row.member else files[row.class_name].get(f"{row.index:06d}")]
        if path is not None and is_image_file(path)
    ]

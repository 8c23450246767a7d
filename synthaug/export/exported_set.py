"""What is exported of a synthetic set, and its folder."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from synthaug import files
from synthaug.errors import UserError
from synthaug.export.croissant import croissant
from synthaug.export.dataset_card import dataset_card
from synthaug.generation.manifest import MANIFEST, ManifestRow, read_manifest
from synthaug.image_files import image_bytes, is_image_file
from synthaug.messages import bullets, join_words, plural
from synthaug.screening.verdicts import CRITERIA, VERDICTS, Verdict, VerdictFile

METADATA, CARD, CROISSANT = "metadata.jsonl", "README.md", "croissant.json"
NO_SCREENING = "none"
_SET_SETTINGS = "set.json"
# Words by which `datasets` takes a folder for a split. A class of such a name would be the validation or test set.
_SPLIT_NAME = re.compile(
    r"(^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)([-._ 0-9]|$)"
)
_NOT_EXPORTED = ("rejected", "seconds", "size", "member")


@dataclass(frozen=True)
class ExportedImage:
    """An image: its file, its row, and its path in the dataset."""

    path: Path
    row: ManifestRow
    file_name: str


@dataclass(frozen=True)
class ExportedSet:
    """The images of a set that are exported.

    Attributes:
        folder: of the set.
        images: by class and index.
        settings: that all of them share, from `set.json`.
        screening: folder of the verdicts that chose them; None: all.
        left_out: which images are not among them, in words; empty where all are.
    """

    folder: Path
    images: Sequence[ExportedImage]
    settings: Mapping[str, Any]
    screening: str | None
    left_out: str

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their labels."""
        return sorted({image.row.class_name for image in self.images})

    @cached_property
    def counts(self) -> dict[str, int]:
        """Class → images."""
        counts = Counter(image.row.class_name for image in self.images)
        return {name: counts[name] for name in self.classes}

    @cached_property
    def models(self) -> list[str]:
        """Names of the models that made the images."""
        return sorted({image.row.model for image in self.images})

    def records(self) -> list[dict[str, Any]]:
        """Return the line of each image in `metadata.jsonl`."""
        labels = {name: number for number, name in enumerate(self.classes)}
        return [_record(image, labels[image.row.class_name]) for image in self.images]


def read_set(folder: Path, screening: str | None = None) -> ExportedSet:
    """Read a synthetic set and find the images that are exported.

    Args:
        folder: of the set.
        screening: folder of verdicts inside it, of which the kept images are exported; `NO_SCREENING`: all images;
            None: by the only screening that there is, if there is one.

    Raises:
        UserError: no set; several screenings; files that are not what the manifest says, all at once.
    """
    rows = read_manifest(folder)
    if not rows:
        what = "there is no such folder" if not folder.is_dir() else f"it has no {MANIFEST}, or an empty one"
        raise UserError(
            f"{folder} is not a synthetic set: {what}. Give the folder that generate names, such as "
            "outputs/synthetic/<dataset>/<generator>."
        )
    chosen = _chosen_screening(folder, screening)
    kept = None if chosen is None else {verdict.sha256 for verdict in _verdicts(folder / chosen) if verdict.kept}
    accepted = [row for row in rows if not row.rejected]
    present = _present_files(folder, accepted)
    selected = [row for row in accepted if kept is None or row.sha256 in kept]
    images = [
        ExportedImage(path, row, f"{_folder_name(row.class_name, accepted)}/{_file_name(row, path)}")
        for row in sorted(selected, key=lambda row: (row.class_name, row.index))
        if (path := present.get((row.class_name, row.index)))
    ]
    _check_files(folder, images)
    if not images:
        raise UserError(f"Nothing of {folder} is left to export: all {len(rows)} images are rejected or deleted.")
    counts = {
        "rejected by the generator": len(rows) - len(accepted),
        f"not kept by {chosen}": len(accepted) - len(selected),
        "deleted": len(selected) - len(images),
        f"without a row in {MANIFEST}": len(present.keys() - {(row.class_name, row.index) for row in rows}),
    }
    left_out = [f"{count:,} {reason}" for reason, count in counts.items() if count]
    settings_file = folder / _SET_SETTINGS
    settings = files.read_json(settings_file).get("settings", {}) if settings_file.is_file() else {}
    return ExportedSet(folder, images, settings, chosen, join_words(left_out) if left_out else "")


def write_dataset(exported: ExportedSet, target: Path, name: str, licence: str | None) -> None:
    """Write the dataset, whole or not at all.

    Args:
        exported: from `read_set`.
        target: folder that does not exist.
        name: of the dataset.
        licence: of the dataset; None where the user has yet to decide.
    """
    records = exported.records()
    with files.whole_folder(target) as folder:
        for image in tqdm(exported.images, desc="exporting", unit="image", disable=None, leave=False):
            copy = folder / image.file_name
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(image_bytes(image.path))
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        files.write_text(folder / METADATA, lines)
        digest = files.sha256(folder / METADATA)
        description = croissant(name, exported.classes, exported.models, records, METADATA, digest, licence)
        files.write_text(folder / CROISSANT, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
        card = dataset_card(
            name, exported.counts, records, exported.settings, exported.screening, exported.left_out, licence
        )
        files.write_text(folder / CARD, card)


def _record(image: ExportedImage, label: int) -> dict[str, Any]:
    row = {key: value for key, value in asdict(image.row).items() if key not in _NOT_EXPORTED}
    class_name = row.pop("class_name")
    return {"file_name": image.file_name, "class": class_name, "label": label, **row}


def _folder_name(class_name: str, rows: Sequence[ManifestRow]) -> str:
    """Return the name of a class's folder; one that `datasets` would take for a split is called by its number."""
    if not _SPLIT_NAME.search(class_name):
        return class_name
    classes = sorted({row.class_name for row in rows})
    name = f"class{classes.index(class_name)}"
    return name if name not in classes else f"{name}x"


def _file_name(row: ManifestRow, path: Path) -> str:
    return f"{row.index:06d}{path.suffix}" if row.member else path.name


def _present_files(folder: Path, rows: Sequence[ManifestRow]) -> dict[tuple[str, int], Path]:
    """Return (class, index) → file, whatever its suffix."""
    in_tars = {row.place: folder / row.member for row in rows if row.member}
    present = {place: path for place, path in in_tars.items() if is_image_file(path)}
    for name in {row.class_name for row in rows}:
        class_folder = folder / name
        for path in class_folder.iterdir() if class_folder.is_dir() else ():
            if path.stem.isdecimal() and path.is_file():
                present[name, int(path.stem)] = path
    return present


def _check_files(folder: Path, images: Sequence[ExportedImage]) -> None:
    """Check that the files are those of the manifest."""
    bars = tqdm(images, desc="checking", unit="image", disable=None, leave=False)
    changed = [str(image.path) for image in bars if files.sha256(image.path) != image.row.sha256]
    if changed:
        raise UserError(
            f"{plural(len(changed), 'file is', 'files are')} not what {folder / MANIFEST} says:\n{bullets(changed)}\n"
            "Restore them, or delete them and run generate again, which makes them anew."
        )


def _chosen_screening(folder: Path, screening: str | None) -> str | None:
    available = sorted(path.parent.name for path in folder.glob(f"*/{VERDICTS}"))
    if screening == NO_SCREENING or (screening is None and not available):
        return None
    if screening is None and len(available) == 1:
        return available[0]
    if screening in available:
        return screening
    problem = f"--screening {screening}: there is no such one" if screening else "it has several screenings"
    raise UserError(
        f"{folder}: {problem}. Choose one with --screening <name>: {', '.join(available) or 'there are none'}; or all "
        f"images with --screening {NO_SCREENING}."
    )


def _verdicts(folder: Path) -> list[Verdict]:
    criteria = files.read_json(folder / CRITERIA)
    verdicts, damaged = VerdictFile(folder, criteria.get("criteria", {}), criteria.get("references", {})).read()
    if damaged:
        lines = ", ".join(map(str, damaged[:5]))
        raise UserError(f"{folder / VERDICTS} is not as written (line {lines}): run the screening again.")
    return verdicts

"""The page of a synthetic set, its contact sheets, and its numbers as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.contact_sheets import MAX_IMAGES, spread_evenly, write_contact_sheets
from synthaug.analysis.output.figures.canvas import draw
from synthaug.analysis.output.figures.set_map import set_map
from synthaug.analysis.output.page.frame import environment, policy, style_sheet
from synthaug.analysis.output.page.thumbnails import Thumbnail, thumbnail
from synthaug.analysis.synthetic.label_fidelity import worst
from synthaug.analysis.synthetic.set_quality import SetQuality
from synthaug.analysis.synthetic.set_record import NUMBERS, PAGE, SetRecord
from synthaug.analysis.text import set_text
from synthaug.analysis.text.set_text import Shortcuts
from synthaug.data.folders import CONTACT_SHEETS
from synthaug.data.samples import Sample, digest, per_class
from synthaug.files import write_json, write_text
from synthaug.image_files import is_image_file
from synthaug.screening.verdicts import Verdict

MAX_CLASSES, PICTURES_PER_CLASS = 40, 16
MAX_PAIRS = 12
MAX_COPIES, MAX_REJECTED = 48, 12  # pictures, the second of a reason


@dataclass(frozen=True)
class Strip:
    """Pictures of a class.

    Attributes:
        images: number of its images.
        pictures: of some of them.
        sheet: address of its contact sheet; empty without images.
    """

    images: int
    pictures: Sequence[Thumbnail]
    sheet: str


@dataclass(frozen=True)
class PicturePair:
    """Pictures side by side, each with its description, and lines about them."""

    pictures: Sequence[tuple[Thumbnail | None, str]]
    lines: Sequence[str]


def write(
    record: SetRecord, quality: SetQuality | None, train: Sequence[Sample], shortcuts: Shortcuts | None = None
) -> Path:
    """Write `set.html`, `contact_sheets/` and `quality.json` into the folder of a set; return the page.

    Args:
        record: of the set.
        quality: its numbers; None where there are no real images to compare with.
        train: the real training images that it was compared with.
        shortcuts: what tells its origin but its content; None where that was not measured.
    """
    sheets = write_contact_sheets(record.folder, record.samples, record.classes)
    write_json(
        record.folder / NUMBERS, numbers(record, quality) | ({"shortcuts": shortcuts.numbers} if shortcuts else {})
    )
    write_text(record.folder / PAGE, page(record, quality, train, sheets, shortcuts))
    return record.folder / PAGE


def numbers(record: SetRecord, quality: SetQuality | None) -> dict[str, Any]:
    """Return the numbers on a set as plain data, with the digest of the images that they are of.

    Args:
        record: of the set.
        quality: its numbers; None where there are no real images to compare with.
    """
    content: dict[str, Any] = {
        "images": digest(record.samples),
        "counts": record.counts,
        "screening": record.screening,
        "rejected": {reason: len(verdicts) for reason, verdicts in record.rejected.items()},
        "copies": len(record.copies),
    }
    if quality is None:
        return content
    content |= {
        "backbone": quality.backbone,
        "n": quality.n,
        "scores": quality.scores and asdict(quality.scores),
        "kid": _plain(quality.kid),
        "fid_extrapolated": _plain(quality.fid_extrapolated),
        "n_half": quality.n_half,
        "of_synthetic": quality.of_synthetic and asdict(quality.of_synthetic),
        "of_real": quality.of_real and asdict(quality.of_real),
    }
    if fidelity := quality.fidelity:
        content["label_fidelity"] = _plain(fidelity.agreement)
        content["teacher_accuracy"] = _plain(fidelity.accuracy)
    return content


def _plain(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]


def page(
    record: SetRecord,
    quality: SetQuality | None,
    train: Sequence[Sample],
    sheets: Mapping[str, Path],
    shortcuts: Shortcuts | None = None,
) -> str:
    """Return the page.

    Args:
        record: of the set.
        quality: its numbers; None where there are no real images to compare with.
        train: the real training images that it was compared with.
        sheets: class → contact sheet.
        shortcuts: what tells its origin but its content; None where that was not measured.
    """
    style = style_sheet()
    blocks = _blocks(record, quality)
    if shortcuts and shortcuts.table:
        blocks["shortcuts"] = set_text.shortcut_document(shortcuts)
    titles = {name: title for name, title in _TITLES.items() if name in blocks or _has_pictures(name, record, quality)}
    nearest, below = _nearest(record, quality, train)
    template = environment().get_template("set.html.j2")
    return template.render(
        record=record,
        quality=quality,
        n_train=len(train),
        titles=titles,
        blocks=blocks,
        folded=("prompts", "settings", "classes") if len(record.classes) > MAX_CLASSES else ("settings",),
        strips=_strips(record, sheets),
        figure=Markup(draw(set_map(quality.map, record.classes), "set/map").element) if quality and quality.map else "",
        nearest=nearest,
        below=below,
        doubted=_doubted(record, quality),
        rejected=_rejected(record),
        copies=[_copy(record, verdict) for verdict in record.copies[:MAX_COPIES]],
        most=MAX_IMAGES,
        sheets=CONTACT_SHEETS,
        numbers=NUMBERS,
        style=Markup(style),
        policy=policy(style),
    )


_TITLES = {
    "facts": "What made it",
    "images": "Images",
    "quality": "Beside real training images",
    "shortcuts": "Told by their files",
    "map": "Map",
    "classes": "By class",
    "labels": "Labels that a teacher sees",
    "nearest": "Nearest training images",
    "copies": "Copies of real images",
    "rejected": "Rejected images",
    "prompts": "Prompts",
    "settings": "Settings",
}


def _blocks(record: SetRecord, quality: SetQuality | None) -> dict[str, Any]:
    blocks: dict[str, Any] = {"facts": set_text.facts(record)}
    if quality is not None:
        blocks["quality"] = set_text.quality_document(quality)
        if quality.by_class:
            blocks["classes"] = set_text.class_document(quality, record.classes)
        if quality.fidelity is not None:
            labels = np.array([sample.label for sample in record.samples], dtype=np.int64)
            blocks["labels"] = set_text.confusion_document(quality, record.classes, labels)
    if record.rejected:
        blocks["rejected"] = set_text.rejection_document(record)
    if record.rows:
        blocks["prompts"] = set_text.prompt_document(record)
    if record.settings:
        blocks["settings"] = set_text.settings_document(record)
    return blocks


def _has_pictures(name: str, record: SetRecord, quality: SetQuality | None) -> bool:
    if name == "map":
        return quality is not None and quality.map is not None
    if name == "nearest":
        return quality is not None and quality.neighbourhoods is not None
    return name == "images" or (name == "copies" and bool(record.copies))


def _strips(record: SetRecord, sheets: Mapping[str, Path]) -> dict[str, Strip]:
    members = per_class(record.samples, record.classes)
    shown = [name for name in record.classes if members[name]][:MAX_CLASSES]
    return {name: _strip(members[name], sheets.get(name)) for name in shown}


def _strip(members: Sequence[Sample], sheet: Path | None) -> Strip:
    pictures = [picture for member in spread_evenly(members, PICTURES_PER_CLASS) if (picture := thumbnail(member.path))]
    return Strip(len(members), pictures, quote(f"{CONTACT_SHEETS}/{sheet.name}") if sheet else "")


def _nearest(record: SetRecord, quality: SetQuality | None, train: Sequence[Sample]) -> tuple[list[PicturePair], str]:
    """Return the synthetic images that are closest to real ones, and the share that is closer than real ones are."""
    if quality is None or quality.neighbourhoods is None:
        return [], ""
    near, (synthetic, real) = quality.neighbourhoods, quality.compared
    pairs = []
    for row in np.argsort(near.closeness, kind="stable")[:MAX_PAIRS]:
        image, training = record.samples[synthetic[row]], train[real[near.nearest[row]]]
        pictures = [
            (thumbnail(image.path), f"synthetic image of {image.class_name}"),
            (thumbnail(training.path), f"real training image of {training.class_name}"),
        ]
        classes = dict.fromkeys((image.class_name, training.class_name))
        pairs.append(PicturePair(pictures, [f"{near.closeness[row]:.2f}", " / ".join(classes)]))
    return pairs, f"{100 * float((near.closeness < 1).mean()):.3g} %"


def _doubted(record: SetRecord, quality: SetQuality | None) -> list[PicturePair]:
    """Return the images that the teacher most clearly puts into another class."""
    if quality is None or quality.fidelity is None:
        return []
    pairs = []
    for row in worst(quality.fidelity, MAX_PAIRS):
        image = record.samples[row]
        seen = record.classes[int(quality.fidelity.predicted[row])]
        lines = [f"{image.class_name} → {seen}", image.path.name]
        pairs.append(PicturePair([(thumbnail(image.path), f"synthetic image of {image.class_name}")], lines))
    return pairs


def _copy(record: SetRecord, verdict: Verdict) -> PicturePair:
    """Return an image beside the real one that it is a copy of."""
    pictures = [
        (_picture(record.file(verdict)), f"synthetic image of {verdict.class_name}"),
        (_picture(Path(verdict.match)), f"the {verdict.reason.removeprefix('copy of a ')}"),
    ]
    state = "kept" if verdict.kept else "rejected"
    return PicturePair(pictures, [f"{verdict.reason}, {state}", verdict.image, _short(verdict.match)])


def _rejected(record: SetRecord) -> dict[str, list[PicturePair]]:
    """Return reason → pictures of images that were rejected for it, of those whose files are there."""
    shown: dict[str, list[PicturePair]] = {}
    for reason, verdicts in record.rejected.items():
        for verdict in verdicts:
            picture = _picture(record.file(verdict)) if len(shown.get(reason, ())) < MAX_REJECTED else None
            if picture is not None:
                score = "" if verdict.score is None else f"{verdict.score:.3g}"
                pair = PicturePair([(picture, f"rejected image of {verdict.class_name}")], [verdict.image, score])
                shown.setdefault(reason, []).append(pair)
    return shown


def _short(path: str) -> str:
    """Return class and file: the rest does not concern those whom the page is shown to."""
    return "/".join(PurePath(path).parts[-2:])


def _picture(path: Path) -> Thumbnail | None:
    return thumbnail(path) if is_image_file(path) else None

"""Render an explained run, from its accuracy to the seed of each synthetic image; and the report of one image."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.analysis.explain.image_report import ImageReport
from synthaug.analysis.explain.prediction_counts import ClassCount, PredictionCounts
from synthaug.analysis.explain.run_explanation import Explanation, counts_by_class
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.sentences import reason_text
from synthaug.analysis.text.templating import Template
from synthaug.analysis.training_images import CHANGED, GONE, SAME, TrainingImage
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.generation.synthetic_set import ManifestRow
from synthaug.runs import layout

SHOWN = 10  # confusions, errors, prompts and lost files that are listed
SHOWN_CLASSES = 50
SHOWN_PER_CLASS = 3  # synthetic images
# What distinguishes ways of generating an image, for people; the rest is in the CSV.
_GENERATOR = ("model", "revision", "weights", "scheduler", "steps", "guidance", "dtype")
_VERSIONS = ("diffusers", "transformers", "torch", "python")

_TEMPLATE = Template(
    "explain",
    SHOWN=SHOWN,
    SHOWN_CLASSES=SHOWN_CLASSES,
    SHOWN_PER_CLASS=SHOWN_PER_CLASS,
    REAL=REAL,
    SYNTHETIC=SYNTHETIC,
    layout=layout,
    reason_text=reason_text,
    states={GONE: "gone", CHANGED: "there with other bytes than were trained on"},
)


def document(explanation: Explanation, every: bool = False) -> list[Block]:
    """Render the whole explanation.

    Args:
        explanation: of a run.
        every: list every synthetic image instead of a few per class.
    """
    result, synthetic, images = explanation.result, explanation.synthetic, explanation.images or ()
    return _TEMPLATE.document(
        "document",
        explanation,
        {
            "classes": _weakest(explanation.counts),
            "mix": counts_by_class([image.row for image in images]),
            "origins": Counter(image.row.origin for image in images),
            "lost": [image for image in images if image.state != SAME],
            "generators": _generators([image.made for image in synthetic if image.made]),
            "synthetic": synthetic if every else _few_per_class(synthetic),
            "settings": _settings(result.get("settings") or {}),
            "machine": [_line(result.get("machine", {})), _line(result.get("versions", {}))],
        },
    )


def image_document(report: ImageReport) -> list[Block]:
    """Render what a study knows of one image."""
    if report.training is None:
        return _TEMPLATE.document("test_image", report)
    manifest: Any = report.training.made
    names = ("prompt", "negative_prompt", "seed", *_GENERATOR, *_VERSIONS)
    facts = {name: getattr(manifest, name) for name in names if getattr(manifest, name, "") not in ("", None)}
    return _TEMPLATE.document("training_image", report, facts)


def _weakest(counts: PredictionCounts | None) -> list[ClassCount]:
    """Return the classes with the lowest F1, in their order."""
    if counts is None:
        return []
    weakest = sorted(counts.classes, key=lambda item: 1 if item.f1 is None else item.f1)[:SHOWN_CLASSES]
    return [item for item in counts.classes if item in weakest]


def _generators(rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """Return the models with their settings, and the prompts, each with the number of images that it generated."""
    ways = Counter(tuple(getattr(row, name) for name in _GENERATOR) for row in rows).most_common(SHOWN)
    used = [column for column in range(len(_GENERATOR)) if any(way[column] for way, _ in ways)]
    return {
        "images": len(rows),
        "columns": [_GENERATOR[column] for column in used],
        "ways": [([_abbreviate(way[column]) for column in used], count) for way, count in ways],
        "prompts": Counter((row.prompt, row.negative_prompt) for row in rows),
        "seeds": len({row.seed for row in rows}),
    }


def _few_per_class(images: Sequence[TrainingImage]) -> list[TrainingImage]:
    by_class: dict[str, list[TrainingImage]] = defaultdict(list)
    for image in images:
        by_class[image.row.label].append(image)
    shown = {id(image) for group in by_class.values() for image in group[:SHOWN_PER_CLASS]}
    return [image for image in images if id(image) in shown]


def _settings(settings: Mapping[str, Any]) -> list[str]:
    """One line of plain settings, one for each group of them."""
    groups = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in settings.items() if name not in groups}
    return [_line(plain), *(f"{name}: {_line(_flatten(value))}" for name, value in groups.items() if value)]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _line(values: Mapping[str, Any]) -> str:
    """Return what is set, without empty values."""
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in (None, "", [], {}))


def _abbreviate(value: str) -> str:
    """Return the beginning of a hash, which identifies it."""
    return value[:12] if len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value) else value

"""Render an explained run, from its accuracy to the seed of each synthetic image; and the report of one image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.analysis.explain.image_report import ImageReport
from synthaug.analysis.explain.run_explanation import Explanation, counts_by_class
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.sentences import reason_text
from synthaug.analysis.text.templating import Template
from synthaug.analysis.training_images import SAME
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.generation.manifest import ManifestRow
from synthaug.runs.discovery import Run
from synthaug.runs.identity import SHOTS

SHOWN = 10  # confusions, errors, prompts and lost files that are listed
# What distinguishes ways of generating an image, for people; the rest is in the CSV.
_GENERATOR = ("model", "revision", "weights", "scheduler", "steps", "guidance", "dtype")
_VERSIONS = ("diffusers", "transformers", "torch", "python")
_UNKNOWN = "unknown, no manifest.csv beside the file lists its bytes"

_TEMPLATE = Template("explain", SHOWN=SHOWN, REAL=REAL, SYNTHETIC=SYNTHETIC, reason_text=reason_text)


def document(explanation: Explanation) -> list[Block]:
    """Render the whole explanation."""
    synthetic, images = explanation.synthetic, explanation.images or ()
    ways = [_line(_facts(image.made, _GENERATOR)) or f"provenance {_UNKNOWN}" for image in synthetic]
    prompts = [(image.made.prompt, image.made.negative_prompt) for image in synthetic if image.made]
    return _TEMPLATE.document(
        "document",
        explanation,
        {
            "amounts": _amounts(explanation.run),
            "mix": counts_by_class([image.row for image in images]),
            "lost": [image for image in images if image.state != SAME],
            "generators": Counter(ways).most_common(SHOWN),
            "prompts": Counter(prompts).most_common(SHOWN),
            "examples": list({image.row.class_name: image for image in reversed(synthetic)}.values())[::-1],
            "machine": [_line(explanation.result.get(key, {})) for key in ("machine", "versions")],
        },
    )


def image_document(report: ImageReport) -> list[Block]:
    """Render what a study knows of one image."""
    if report.training is None:
        return _TEMPLATE.document("test_image", report)
    facts = _facts(report.training.made, ("prompt", "negative_prompt", "seed", *_GENERATOR, *_VERSIONS))
    unknown = {"provenance": _UNKNOWN} if report.training.row.origin == SYNTHETIC else {}
    return _TEMPLATE.document("training_image", report, facts or unknown)


def _amounts(run: Run) -> str:
    """Return how many images a mix has, as it was said: in multiples of the real training set or in numbers."""
    shots = run.image_numbers.get(SHOTS)
    real = f"{run.real:g} real" if shots is None else f"{shots} real of each class"
    filled = {key.partition("mix.fill.")[2]: size for key, size in run.image_numbers.items() if key != SHOTS}
    sizes = ", ".join(f"{size} of {name}" if name else str(size) for name, size in filled.items())
    return f"{real}, synthetic up to {sizes}" if filled else f"{real}, {run.synthetic:g} synthetic"


def _facts(row: ManifestRow | None, names: Sequence[str]) -> dict[str, Any]:
    """Return what a manifest says, without empty values."""
    return {name: getattr(row, name) for name in names if getattr(row, name, "") not in ("", None)}


def _line(values: Mapping[str, Any]) -> str:
    """Return what is set, without empty values."""
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in (None, "", [], {}))

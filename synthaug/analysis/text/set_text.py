"""Render what a synthetic set is like; the words are in `templates/set.md.j2`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.set_pages import SetPage
from synthaug.analysis.synthetic.set_quality import MIN_IMAGES, Scores, SetQuality
from synthaug.analysis.synthetic.set_record import SetRecord
from synthaug.analysis.text.document import Block, Heading
from synthaug.analysis.text.format import MINUS, NONE, percent
from synthaug.analysis.text.templating import Template
from synthaug.analysis.validity.check_result import Check
from synthaug.features.feature_backbone import PIXELS
from synthaug.screening.verdicts import Verdict

WEAK = 0.7  # accuracy on real images, below which a teacher's view of synthetic ones means little
SHOWN = 6  # prompts of a class, values of a fact, confusions

_NAMES = {
    "fid": ("FID (Fréchet distance)", 3),
    "kid": ("KID (kernel distance)", 3),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "density": ("density", 3),
    "coverage": ("coverage", 3),
    "vendi": ("Vendi score (diversity)", 3),
    "distance": ("mean distance of two images", 3),
}


def interval(estimate: Estimate, digits: int) -> str:
    """Format a number with its interval: "3.41 [1.88, 4.94]".

    Args:
        estimate: the number.
        digits: significant ones of the number, whose decimals the ends have too.
    """
    decimals = _decimals(estimate.value, digits)
    low, high = (_fixed(end, decimals) for end in (estimate.low, estimate.high))
    return f"{_fixed(estimate.value, decimals)} [{low}, {high}]"


def _decimals(value: float, digits: int) -> int:
    return max(0, min(6, digits - 1 - int(np.floor(np.log10(abs(value)))))) if value else digits


def _fixed(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def rows(quality: SetQuality) -> list[list[str]]:
    """Return the table of scores: name, of all images, of half, of real images, for infinitely many images."""
    assert quality.scores is not None
    shares = quality.neighbourhoods
    with_intervals = {"fid": quality.fid_extrapolated, "kid": quality.kid}
    of_shares = {} if shares is None else {name: getattr(shares, name) for name in ("precision", "recall", "coverage")}
    table = []
    for field, (name, digits) in _NAMES.items():
        estimate = of_shares.get(field)
        whole = interval(estimate, digits) if estimate else _score(quality.scores, field, digits)
        halves = [_score(part, field, digits) for part in (quality.of_synthetic, quality.of_real)]
        end = with_intervals.get(field)
        table.append([name, whole, *halves, NONE if end is None else interval(end, digits)])
    return table


def _score(scores: Scores | None, field: str, digits: int) -> str:
    if scores is None:
        return NONE
    value = getattr(scores, field)
    return _fixed(value, _decimals(value, digits))


def _right_class(quality: SetQuality, label: int) -> str:
    estimate = quality.fidelity.by_class.get(label) if quality.fidelity else None
    return NONE if estimate is None else percent(estimate.value, 1)


def _by_class(verdicts: Sequence[Verdict]) -> list[tuple[str, int]]:
    return Counter(verdict.class_name for verdict in verdicts).most_common()


_TEMPLATE = Template(
    "set",
    SHOWN=SHOWN,
    MIN_IMAGES=MIN_IMAGES,
    PIXELS=PIXELS,
    WEAK=WEAK,
    rows=rows,
    interval=interval,
    right_class=_right_class,
    by_class=_by_class,
)


@dataclass(frozen=True)
class Shortcuts:
    """What tells the origin of a set's images but their content.

    Attributes:
        checks: one for each probe.
        before: the same of the images before their files were matched to real ones; None where these are not kept.
    """

    checks: Sequence[Check]
    before: Sequence[Check] | None = None

    @property
    def table(self) -> list[list[str]]:
        """Probe, accuracy and AUC with their intervals, and the AUC before."""
        earlier = {check.code: _auc(check) for check in self.before or ()}
        return [
            [_PROBES[check.code], _accuracy(check), _auc(check), earlier.get(check.code, "")]
            for check in self.checks
            if "auc" in check.data
        ]

    @property
    def numbers(self) -> dict[str, Any]:
        """The same as plain data."""
        named = {"now": self.checks, "before": self.before or ()}
        return {when: {check.code: dict(check.data) for check in checks} for when, checks in named.items() if checks}


_PROBES = {
    "origin_by_format": "file format, colour mode, JPEG quality",
    "origin_by_size": "size in pixels and bytes",
    "origin_by_pixels": "pixel statistics",
}


def _accuracy(check: Check) -> str:
    return f"{percent(check.data['accuracy'], 1)} [{percent(check.data['low'], 1)}, {percent(check.data['high'], 1)}]"


def _auc(check: Check) -> str:
    data = check.data.get("auc")
    return f"{data['value']:.2f} [{data['low']:.2f}, {data['high']:.2f}]" if data else NONE


def shortcut_document(shortcuts: Shortcuts) -> list[Block]:
    """Render how well the origin is told by files and pixels alone."""
    return _TEMPLATE.document("shortcuts", shortcuts)


def document(record: SetRecord, quality: SetQuality | None) -> list[Block]:
    """Render what the console shows: what made the set, and its numbers.

    Args:
        record: of the set.
        quality: its numbers; None where there are no real images to compare with.
    """
    blocks: list[Block] = [Heading(f"Synthetic set {record.name}", 1), *facts(record)]
    if quality is not None:
        blocks += [Heading("Beside real training images"), *quality_document(quality)]
    return blocks


def facts(record: SetRecord) -> list[Block]:
    """Render what made the set."""
    kept, seconds = len(record.samples), record.seconds
    return _TEMPLATE.document("facts", record, seconds / kept if seconds is not None and kept else None)


def quality_document(quality: SetQuality) -> list[Block]:
    """Render the numbers on the whole set."""
    return _TEMPLATE.document("quality", quality)


def class_document(quality: SetQuality, classes: Sequence[str]) -> list[Block]:
    """Render the numbers on each class.

    Args:
        quality: of the set.
        classes: names by label.
    """
    return _TEMPLATE.document("classes", quality, classes)


def confusion_document(quality: SetQuality, classes: Sequence[str], labels: NDArray[np.int64]) -> list[Block]:
    """Render which classes the teacher takes for one another.

    Args:
        quality: of the set, with a teacher.
        classes: names by label.
        labels: of the set's images.
    """
    return _TEMPLATE.document("confusions", quality, classes, labels)


def prompt_document(record: SetRecord) -> list[Block]:
    """Render the prompts of each class."""
    return _TEMPLATE.document("prompts", record)


def rejection_document(record: SetRecord) -> list[Block]:
    """Render what was rejected while the set was made."""
    return _TEMPLATE.document("rejected", record)


def settings_document(record: SetRecord) -> list[Block]:
    """Render the settings of the generator."""
    return _TEMPLATE.document("settings", record)


HEADERS = ("set", "arms", "images", "FID for\nn → ∞", "KID", "precision", "recall", "coverage", "right class %")


def set_rows(pages: Sequence[SetPage], labels: Mapping[str, str]) -> list[list[str]]:
    """Return a row for each set of a study, after its name.

    Args:
        pages: of the sets.
        labels: how arms are called, by name.
    """
    return [[", ".join(labels[arm] for arm in page.arms), *_cells(page.numbers)] for page in pages]


def _cells(numbers: Mapping[str, Any]) -> list[str]:
    scores, counts = numbers.get("scores") or {}, numbers.get("counts")
    shares = [f"{scores[name]:.2f}" if name in scores else NONE for name in ("precision", "recall", "coverage")]
    right = numbers.get("label_fidelity")
    return [
        f"{sum(counts.values()):,}" if counts else NONE,
        *(_listed(numbers.get(name)) for name in ("fid_extrapolated", "kid")),
        *shares,
        percent(right[0], 1) if right else NONE,
    ]


def _listed(estimate: Sequence[float] | None) -> str:
    return NONE if estimate is None else interval(Estimate(*estimate), 3)

"""Whether format, size or pixel statistics, independent of the class, tell real from synthetic training images."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synthaug.analysis.training_images import SAME, state
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, UNCHECKED, WARNING, Check
from synthaug.analysis.validity.probe import MIN_IMAGES, PROBES, Traits, classify_origin, read_traits
from synthaug.analysis.validity.sources import Sources
from synthaug.data.samples import REAL, SYNTHETIC, Sample, Samples

MAX_IMAGES = 400  # of each origin, so that a report takes seconds and not hours
# Accuracy of a probe: above the first nearly always right; its interval above the second, right more than by a trifle.
SERIOUS_ACCURACY, CHANCE_ACCURACY = 0.9, 0.55
MAX_FORMATS = 3


def origin_checks(images: Sources, locate: Callable[[str], Path]) -> list[Check]:
    """Return a check for each probe: can the origin be told by format, by size, by pixels alone?

    Args:
        images: that the checks read.
        locate: path as a run recorded it → where the file is now.
    """
    real, synthetic = images.train[REAL], images.train[SYNTHETIC]
    if not real or not synthetic:
        return _unchecked(images.reasons(REAL, SYNTHETIC))
    rows = read_rows(images)
    with ThreadPoolExecutor() as threads:
        traits = list(threads.map(_traits, rows, (locate(row.file) for row in rows)))
    readable = _rebalanced([(row, item) for row, item in zip(rows, traits, strict=True) if item is not None])
    per_origin = len(readable) // 2
    if per_origin < MIN_IMAGES:
        missing = sum(item is None for item in traits)
        return _unchecked({"images": per_origin, "needed": MIN_IMAGES, "missing": missing})
    return [_origin_check(probe, readable) for probe in PROBES]


def read_rows(images: Sources) -> Sequence[Sample]:
    """Return the training images that are read."""
    return balanced(images.train[REAL], images.train[SYNTHETIC])


def image_checks(real: Sequence[Sample], synthetic: Sequence[Sample]) -> list[Check]:
    """Return the same checks of images that lie where they were listed.

    Args:
        real: training images.
        synthetic: of a set.
    """
    return origin_checks(Sources({REAL: real, SYNTHETIC: synthetic}), Path)


def _unchecked(data: Mapping[str, Any]) -> list[Check]:
    return [Check(f"origin_by_{probe}", UNCHECKED, data) for probe in PROBES]


def _traits(row: Sample, file: Path) -> Traits | None:
    return read_traits(file) if state(file, row.sha256) == SAME else None


def _origin_check(probe: str, images: Sequence[tuple[Sample, Traits]]) -> Check:
    prediction = classify_origin(
        [getattr(traits, probe) for _, traits in images],
        [row.origin == SYNTHETIC for row, _ in images],
        [traits.content for _, traits in images],
    )
    accuracy, auc = prediction.accuracy, prediction.auc
    data: dict[str, Any] = {
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "auc": {"value": auc.value, "low": auc.low, "high": auc.high},
        "images": len(images) // 2,
    }
    if probe in _SUMMARIES:
        for origin in (REAL, SYNTHETIC):
            data[origin] = _SUMMARIES[probe]([traits for row, traits in images if row.origin == origin])
    if accuracy.low <= CHANCE_ACCURACY:
        return Check(f"origin_by_{probe}", PASSED, data)
    return Check(f"origin_by_{probe}", SERIOUS if accuracy.value >= SERIOUS_ACCURACY else WARNING, data)


def _formats(traits: Sequence[Traits]) -> dict[str, int]:
    """Count the most frequent formats: {"JPEG in RGB": 390, "PNG in L": 10}."""
    kinds = Counter(f"{item.format['format']} in {item.format['mode']}" for item in traits)
    return dict(kinds.most_common(MAX_FORMATS))


def _median_sizes(traits: Sequence[Traits]) -> dict[str, float]:
    """Medians of width and height in pixels, and of bytes."""
    return {
        name: math.exp(statistics.median(float(item.size[name]) for item in traits))
        for name in ("width", "height", "bytes")
    }


_SUMMARIES: Mapping[str, Callable[[Sequence[Traits]], Mapping[str, float]]] = {
    "format": _formats,
    "size": _median_sizes,
}


def balanced(real: Sequence[Sample], synthetic: Sequence[Sample], limit: int = MAX_IMAGES) -> list[Sample]:
    """Choose as many real as synthetic images of each class, the same every time.

    Args:
        real: training images.
        synthetic: training images.
        limit: about the largest number of images of each origin.
    """
    of_real, of_synthetic = Samples.of(real).of_classes, Samples.of(synthetic).of_classes
    shared = sorted(of_real.keys() & of_synthetic.keys())[:limit]
    per_class = max(1, limit // max(1, len(shared)))
    chosen: list[Sample] = []
    for name in shared:
        count = min(per_class, len(of_real[name]), len(of_synthetic[name]))
        chosen += [*of_real[name][:count], *of_synthetic[name][:count]]
    return chosen


def _rebalanced(images: Sequence[tuple[Sample, Traits]]) -> list[tuple[Sample, Traits]]:
    """As many of each origin in each class, once unreadable files are left out."""
    counts = Counter((row.class_name, row.origin) for row, _ in images)
    chosen: Counter[tuple[str, str]] = Counter()
    balanced_images = []
    for row, traits in images:
        key = (row.class_name, row.origin)
        if chosen[key] < min(counts[row.class_name, REAL], counts[row.class_name, SYNTHETIC]):
            chosen[key] += 1
            balanced_images.append((row, traits))
    return balanced_images

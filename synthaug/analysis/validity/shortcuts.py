"""Whether the origin of training images can be told by what says nothing of their class: format, size, pixels."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.training_images import SAME, state
from synthaug.analysis.validity.finding import MIND, PASSED, SERIOUS, Finding, unchecked
from synthaug.analysis.validity.probe import FEWEST, PROBES, Traits, tell_apart, traits
from synthaug.analysis.validity.sources import Sources
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.runs.contents import MixRow

MOST_PROBED = 400  # images of each origin, so that a report takes seconds and not hours
SHORTCUT, TELLS = 0.9, 0.55  # how often a probe is right: nearly always; more often than by a trifle
_SHOWN = 3

_MEANING = (
    "What a network learns of images that it can tell apart like that need not hold for the real ones of the test."
)
# Probe → what it went by, what a network may see of it, the way out.
_WORDS = {
    "format": (
        "the file format (with colour mode and JPEG quantisation)",
        "The network sees decoded pixels and no files, but compression leaves its traces in them.",
        "Write the synthetic images as the real ones are: same format, same quality, same colour mode.",
    ),
    "size": (
        "size (width, height and bytes)",
        "The network sees neither, but it sees what they come from: shape, scaling, noise and compression.",
        "Make the synthetic images in the size and shape of the real ones; the number of bytes follows what they show.",
    ),
    "pixels": (
        "pixels (a thumbnail of 8×8 greys, means and deviations of the channels, power in 8 bands of frequency)",
        "That is what the network sees, too.",
        "Look at both side by side: other prompts, another generator or stronger augmentation bring them closer.",
    ),
}


def findings(images: Sources, locate: Callable[[str], Path]) -> list[Finding]:
    """Whether origin can be told by format, by size, by pixels alone."""
    if not images.real or not images.synthetic:
        return [unchecked(f"{probe} alone", images.problems) for probe in PROBES]
    rows = balanced(images.real, images.synthetic)
    with ThreadPoolExecutor() as threads:
        seen = list(threads.map(_traits, rows, (locate(row.path) for row in rows)))
    kept = _rebalanced([(row, found) for row, found in zip(rows, seen, strict=True) if found is not None])
    lost = len(rows) - sum(found is not None for found in seen)
    each = len(kept) // 2
    if each < FEWEST:
        gone = f" ({lost} more are gone or changed)" if lost else ""
        why = f"there are only {each} images of each origin to look at{gone}, and {FEWEST} are needed"
        return [unchecked(f"{probe} alone", [why]) for probe in PROBES]
    return [_shortcut(probe, kept) for probe in PROBES]


def _traits(row: MixRow, file: Path) -> Traits | None:
    return traits(file) if state(file, row.sha256) == SAME else None


def _shortcut(probe: str, kept: Sequence[tuple[MixRow, Traits]]) -> Finding:
    found = tell_apart(
        [getattr(seen, probe) for _, seen in kept],
        [row.origin == SYNTHETIC for row, _ in kept],
        [seen.content for _, seen in kept],
    )
    what, trace, way_out = _WORDS[probe]
    name = f"{probe} alone"
    said = (
        f"By {what} alone a linear classifier tells real from synthetic training images in {_percent(found)} of cases "
        f"({len(kept) // 2:,} images of each; chance is 50 %)."
    )
    if probe in _DESCRIBED:
        said += " " + "; ".join(
            f"{noun} {_DESCRIBED[probe]([seen for row, seen in kept if row.origin == origin])}"
            for origin, noun in ((REAL, "Real images are"), (SYNTHETIC, "synthetic ones are"))
        )
        said += "."
    if found.low <= TELLS:
        return Finding(name, PASSED, said)
    return Finding(name, SERIOUS if found.value >= SHORTCUT else MIND, f"{said} {trace} {_MEANING}", way_out)


def _percent(found: Estimate) -> str:
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _formats(seen: Sequence[Traits]) -> str:
    """ "JPEG in RGB (390 of 400), PNG in L (10 of 400)"."""
    kinds = Counter(f"{item.format['format']} in {item.format['mode']}" for item in seen).most_common(_SHOWN)
    return ", ".join(kind if count == len(seen) else f"{kind} ({count} of {len(seen)})" for kind, count in kinds)


def _sizes(seen: Sequence[Traits]) -> str:
    width, height, size = (
        math.exp(statistics.median(float(item.size[name]) for item in seen)) for name in ("width", "height", "bytes")
    )
    return f"{width:,.0f} by {height:,.0f} pixels and {size:,.0f} bytes in the median"


_DESCRIBED: Mapping[str, Callable[[Sequence[Traits]], str]] = {"format": _formats, "size": _sizes}


def balanced(real: Sequence[MixRow], synthetic: Sequence[MixRow], most: int = MOST_PROBED) -> list[MixRow]:
    """As many real as synthetic images of each class, at most about `most` of each origin, the same every time."""
    by_class = {
        label: (_of_class(real, label), _of_class(synthetic, label))
        for label in sorted({row.label for row in real} & {row.label for row in synthetic})[:most]
    }
    each = max(1, most // max(1, len(by_class)))
    chosen: list[MixRow] = []
    for sides in by_class.values():
        count = min(each, *map(len, sides))
        chosen += [row for side in sides for row in side[:count]]
    return chosen


def _of_class(rows: Sequence[MixRow], label: str) -> list[MixRow]:
    """Ordered by content: a choice that no eye has made and that stays the same."""
    return sorted((row for row in rows if row.label == label), key=lambda row: row.sha256)


def _rebalanced(seen: Sequence[tuple[MixRow, Traits]]) -> list[tuple[MixRow, Traits]]:
    """As many of each origin in each class, now that some files turned out to be gone."""
    counts = Counter((row.label, row.origin) for row, _ in seen)
    taken: Counter[tuple[str, str]] = Counter()
    kept = []
    for row, found in seen:
        place = (row.label, row.origin)
        if taken[place] < min(counts[row.label, REAL], counts[row.label, SYNTHETIC]):
            taken[place] += 1
            kept.append((row, found))
    return kept

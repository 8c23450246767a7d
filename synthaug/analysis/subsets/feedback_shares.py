"""Of which classes the synthetic images of an arm with feedback are, and what its classifiers said of the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from synthaug.analysis.comparison.model import Group


@dataclass(frozen=True)
class FeedbackShares:
    """What feedback did in an arm; means over its runs.

    Attributes:
        arm: its name.
        images: class → synthetic images that it is trained on.
        first_images: class → those of the first round, which are spread as the mix has them.
        scores: class → score by the classifier of the last round.
        accuracies: of the classifier of each round, on validation images.
    """

    arm: str
    images: Mapping[str, float]
    first_images: Mapping[str, float]
    scores: Mapping[str, float]
    accuracies: tuple[float, ...]

    @property
    def by_images(self) -> list[str]:
        """The classes, those with the most images first."""
        return sorted(self.images, key=lambda name: -self.images[name])


def feedback_shares(group: Group) -> tuple[FeedbackShares, ...]:
    """Return what feedback did in each arm that has it, in the order of the group."""
    by_arm: dict[str, list[Mapping[str, Any]]] = {arm.name: [] for arm in group.arms}
    for item in group.runs:
        if item.compared and item.run.result and item.run.result.get("feedback"):
            by_arm[item.run.arm].append(item.run.result)
    return tuple(_shares(arm, results) for arm, results in by_arm.items() if results)


def _shares(arm: str, results: Sequence[Mapping[str, Any]]) -> FeedbackShares:
    per_class = [result["counts"]["per_class"] for result in results]
    rounds = [result["feedback"] for result in results]
    return FeedbackShares(
        arm,
        _mean([{name: count["synthetic"] for name, count in counts.items()} for counts in per_class]),
        _mean([finished[0]["synthetic"] for finished in rounds]),
        _mean([finished[-1]["scores"] for finished in rounds]),
        tuple(fmean(entry["accuracy"] for entry in entries) for entries in zip(*rounds, strict=True)),
    )


def _mean(numbers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(by_class[name] for by_class in numbers) for name in numbers[0]}

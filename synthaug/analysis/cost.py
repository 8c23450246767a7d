"""The cost of a study: seconds of training and of generation, electricity where it was measured, and their price."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.training_images import Manifest, listed_images, locator, manifests, place, set_folder
from synthaug.data.samples import SYNTHETIC, Sample, Samples
from synthaug.errors import UserError
from synthaug.runs import layout
from synthaug.runs.discovery import Run

ALL = "all"


@dataclass(frozen=True)
class Prices:
    """The price of an hour of the machine, in any currency; None: not asked for.

    Raises:
        UserError: a price is negative or no number.
    """

    hour: float | None = None

    def __post_init__(self) -> None:
        if self.hour is not None and not 0 <= self.hour < math.inf:
            raise UserError(f"--price-hour={self.hour:g}: a price must be 0 or more.")


@dataclass(frozen=True)
class Cost:
    """Cost of an arm, all its finished runs together; "all" is the whole group, where arms share images.

    Attributes:
        name: of the arm.
        runs: finished ones.
        training_seconds: validation after each epoch included.
        generated: distinct synthetic images.
        generation_seconds: those that were rejected on the way included; None where no manifest has it.
        money: None without a price, or where what it applies to was not measured.
    """

    name: str
    runs: int
    training_seconds: float
    generated: int
    generation_seconds: float | None
    money: float | None


def costs(study: Path, group: Group, prices: Prices | None = None) -> tuple[Cost, ...]:
    """Compute what each arm of a group took, and last all of them; empty where no run is finished.

    Args:
        study: its folder.
        group: of the study.
        prices: of an hour and a kilowatt-hour; None where money is not asked for.
    """
    finished = [item.run for item in group.runs if (item.run.result or {}).get("format") == layout.FORMAT]
    if not finished:
        return ()
    images = {run.key: _synthetic(run) for run in finished}
    listed, _ = manifests(_distinct(images.values()), locator(study))
    by_arm: dict[str, list[Run]] = {}
    for run in finished:
        by_arm.setdefault(run.arm, []).append(run)
    return tuple(
        _cost(name, runs, [images[run.key] for run in runs], listed, prices or Prices())
        for name, runs in [*by_arm.items(), (ALL, finished)]
    )


def _synthetic(run: Run) -> Samples | None:
    """Return the synthetic images of a run; None where its list cannot be read."""
    try:
        return listed_images(run, SYNTHETIC)
    except UserError:
        return None


def _distinct(lists: Iterable[Samples | None]) -> Samples:
    """Return the images of lists, each once; they are joined one by one, since many runs have most of them."""
    images = Samples()
    for rows in filter(None, lists):
        images = Samples.joined([images, rows]).distinct
    return images


def _cost(
    name: str,
    runs: Sequence[Run],
    images: Sequence[Samples | None],
    listed: Mapping[str, Manifest],
    prices: Prices,
) -> Cost:
    trained = [(run.result or {})["training"] for run in runs]
    seconds = float(sum(item["seconds"] for item in trained))
    used = _distinct(images)
    generation = None if None in images else _generation_seconds(used, listed)
    money = None if prices.hour is None or generation is None else prices.hour * (seconds + generation) / 3600
    return Cost(name, len(runs), seconds, len(used), generation, money)


def _generation_seconds(used: Iterable[Sample], listed: Mapping[str, Manifest]) -> float | None:
    """Seconds of every image up to the last one used of each class, rejected ones among them."""
    last: dict[tuple[str, str], int] = {}
    for row in used:
        entry = listed.get(set_folder(row), {}).get(place(row))
        if entry is None:
            return None
        key = (set_folder(row), entry.class_name)
        last[key] = max(last.get(key, 0), entry.index)
    needed = [
        entry.seconds
        for folder, manifest in listed.items()
        for entry in manifest.values()
        if entry.index <= last.get((folder, entry.class_name), -1)
    ]
    return None if "" in needed else sum(map(float, needed))

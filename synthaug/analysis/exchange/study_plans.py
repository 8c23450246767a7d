"""A plan for each group of a study: what was asked for, checked; the exchange rates; the measured seconds."""

from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.exchange.cheapest_mix import ImagePrices, Plan, measured_seconds, plan
from synthaug.analysis.exchange.rate import Exchange, group_exchange
from synthaug.analysis.text.exchange_text import headline
from synthaug.analysis.text.format import title
from synthaug.errors import UserError, raise_all


@dataclass(frozen=True)
class PlanRequest:
    """What the command was asked for, see `ImagePrices`.

    `seconds_per_image` None: as the synthetic set's manifest says.
    """

    study: Path
    accuracy: float
    photo: float
    hour: float
    seconds_per_image: float | None = None


@dataclass(frozen=True)
class GroupPlan:
    """One group with its plan."""

    group: Group
    exchange: Exchange
    plan: Plan


def plans(request: PlanRequest) -> list[GroupPlan]:
    """Plan for every group of the study that has an exchange rate.

    Raises:
        UserError: numbers that make no sense; no study; seconds neither given nor measured; no group with an
            exchange rate, with the reason of each. All that can be known at once is said at once.
    """
    problems = _problems(request)
    try:
        groups = compare(request.study).groups
    except UserError as error:
        raise_all("No plan can be made:", [*problems, str(error)])
        raise
    seconds = {}
    for group in groups:
        try:
            found = request.seconds_per_image or measured_seconds(manifest_of(request.study, group))
        except UserError as error:
            problems.append(str(error))
            continue
        if found is None:
            problems.append(
                f"{manifest_of(request.study, group)} does not say how many seconds an image took: give them, "
                "e.g. --seconds-per-image 2.1"
            )
        else:
            seconds[title(group)] = found
    raise_all("No plan can be made:", problems)
    rates = [(group, group_exchange(group)) for group in groups]
    if not any(exchange.identifiable for _, exchange in rates):
        raise_all("No plan can be made:", [f"{title(group)}: {headline(exchange)}" for group, exchange in rates])
    advice = []
    for group, exchange in rates:
        if exchange.identifiable:
            prices = ImagePrices(request.photo, request.hour, seconds[title(group)])
            advice.append(GroupPlan(group, exchange, plan(exchange, request.accuracy, prices)))
    return advice


def manifest_of(study: Path, group: Group) -> Path:
    """Where the synthetic set lies that a study's group trained on."""
    return study.resolve().parent / "synthetic" / group.dataset / group.generator / "manifest.csv"


def _problems(request: PlanRequest) -> list[str]:
    problems = []
    if not 0 < request.accuracy < 1:
        problems.append(f"--accuracy is a fraction between 0 and 1, e.g. 0.96; got {request.accuracy:g}")
    for name, price in (("--price-photo", request.photo), ("--price-hour", request.hour)):
        if not 0 <= price < float("inf"):
            problems.append(f"{name} is a price, 0 or more; got {price:g}")
    if request.seconds_per_image is not None and not 0 < request.seconds_per_image < float("inf"):
        problems.append(f"--seconds-per-image must be above 0; got {request.seconds_per_image:g}")
    return problems

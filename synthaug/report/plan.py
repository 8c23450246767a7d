"""`report plan`: the cheapest mix of real and synthetic images that reaches an accuracy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.exchange.cheapest_mix import ImagePrices, Plan, measured_seconds, plan
from synthaug.analysis.exchange.rate import Exchange, group_exchange
from synthaug.analysis.text.document import show
from synthaug.analysis.text.exchange_text import headline
from synthaug.analysis.text.format import title
from synthaug.analysis.text.plan_text import document
from synthaug.errors import UserError, raise_all


def main(arguments: Sequence[str]) -> int:
    """Plan for each group of the study and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m synthaug.report plan",
        description="Find the cheapest mix of real and synthetic images that reaches an accuracy.",
        epilog="Exit codes: 0 there is one; 1 the accuracy is out of reach; 2 the study cannot tell what a synthetic "
        "image is worth, or the command line is wrong.",
    )
    parser.add_argument("study", type=Path, help="folder of a study over several amounts, e.g. outputs/exchange")
    parser.add_argument("--accuracy", type=float, required=True, help="to be reached, a fraction: 0.96")
    parser.add_argument("--price-photo", type=float, required=True, help="price of a labelled photograph")
    parser.add_argument("--price-hour", type=float, required=True, help="price of a machine hour, in the same currency")
    parser.add_argument(
        "--seconds-per-image", type=float, help="that a synthetic image takes; without it, those in its manifest"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parsed = parser.parse_args(arguments)
    advice = plans(
        PlanRequest(parsed.study, parsed.accuracy, parsed.price_photo, parsed.price_hour, parsed.seconds_per_image)
    )
    for item in advice:
        show(document(item.group, item.exchange, item.plan), parsed.markdown)
    return 0 if any(item.plan.cheapest for item in advice) else 1


@dataclass(frozen=True)
class PlanRequest:
    """What the command requests, see `ImagePrices`; `seconds_per_image` None: as the synthetic set's manifest says."""

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
        UserError: impossible numbers, no study, seconds neither requested nor measured: all at once; or no group with
            an exchange rate, with the reason of each.
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
            measured = request.seconds_per_image or measured_seconds(manifest_of(request.study, group))
        except UserError as error:
            problems.append(str(error))
            continue
        if measured is None:
            problems.append(
                f"{manifest_of(request.study, group)} does not say how many seconds an image took: give them, "
                "e.g. --seconds-per-image 2.1"
            )
        else:
            seconds[title(group)] = measured
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
    """Return the manifest of the synthetic set that a group trained on.

    Args:
        study: folder of the study.
        group: one of its groups.
    """
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

"""`report plan`: the cheapest mix of real and synthetic images that reaches an accuracy."""

import math
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.cost import ALL, costs
from synthaug.analysis.exchange.cheapest_mix import ImagePrices, Plan, plan
from synthaug.analysis.exchange.equivalent import EquivalentSizes, group_equivalents
from synthaug.analysis.exchange.measured_mixes import MeasuredPlan, measured_plan
from synthaug.analysis.exchange.rate import Exchange, group_exchange
from synthaug.analysis.text import arm_table
from synthaug.analysis.text.document import show
from synthaug.analysis.text.equivalent_text import headline as equivalent_headline
from synthaug.analysis.text.exchange_text import headline, plan_document
from synthaug.analysis.text.format import title
from synthaug.errors import UserError, raise_all
from synthaug.report.arguments import report_parser

HEADLINE = "No plan can be made:"


def main(arguments: Sequence[str]) -> int:
    """Plan for each group of the study and return the exit code."""
    parser = report_parser(
        "plan",
        "Find the cheapest mix of real and synthetic images that reaches an accuracy: among the arms measured, and\n"
        "between them by the study's exchange rate.",
        "0 there is a mix; 1 the accuracy is out of reach; 2 the study has neither equivalent numbers of real images\n"
        "nor an exchange rate, or the command line is wrong.",
        ["outputs/exchange --accuracy 0.96 --price-photo 0.50 --price-hour 1.20"],
    )
    parser.add_argument("study", type=Path, help="folder of a study over several amounts, e.g. outputs/exchange")
    parser.add_argument("--accuracy", type=float, required=True, help="target, a fraction: 0.96")
    parser.add_argument("--price-photo", type=float, required=True, help="price of a labelled photograph")
    parser.add_argument("--price-hour", type=float, required=True, help="price of a machine hour, in the same currency")
    parser.add_argument(
        "--seconds-per-image",
        type=float,
        help="time to generate an image; by default as measured in the study",
    )
    parsed = parser.parse_args(arguments)
    plans = _plans(parsed)
    for group, exchange, by_rate, measured in plans:
        show(plan_document(group, exchange, by_rate, measured), parsed.markdown)
    return 0 if any(item and item.cheapest for _, _, *both in plans for item in both) else 1


def _plans(request: Namespace) -> list[tuple[Group, Exchange, Plan | None, MeasuredPlan | None]]:
    """Return the plans of every group of the study that has an exchange rate or equivalent numbers of real images.

    Raises:
        UserError: values out of range; no study; seconds neither given nor measured; no group with a plan, with the
            reasons of each. All that can be known at once comes at once.
    """
    problems = list(_range_problems(request))
    try:
        groups = compare(request.study).groups
    except UserError as error:
        raise UserError("\n".join([HEADLINE, *(f"  - {problem}" for problem in [*problems, str(error)])])) from None
    seconds = {title(group): request.seconds_per_image or _measured_seconds(request.study, group) for group in groups}
    problems += [
        f"{name}: how many seconds a synthetic image took was not measured: give them, e.g. --seconds-per-image 2.1"
        for name, measured in seconds.items()
        if measured is None
    ]
    raise_all(HEADLINE, problems)
    plans: list[tuple[Group, Exchange, Plan | None, MeasuredPlan | None]] = []
    for group in groups:
        exchange, equivalents = group_exchange(group), group_equivalents(group)
        sizes = equivalents[0] if equivalents else EquivalentSizes()  # of the arms that are trained as the baseline
        if exchange.identifiable or sizes.estimated:
            duration = seconds[title(group)] or 0
            prices = ImagePrices(request.price_photo, request.price_hour, duration, _held_out(group))
            by_rate = plan(exchange, request.accuracy, prices) if exchange.identifiable else None
            measured = measured_plan(sizes, request.accuracy, prices) if sizes.estimated else None
            plans.append((group, exchange, by_rate, measured))
        else:
            reasons = f"{equivalent_headline(equivalents[:1], arm_table.labels(group))} {headline(exchange)}"
            problems.append(f"{title(group)}: {reasons}")
    if not plans:
        raise_all(HEADLINE, problems)
    return plans


def _held_out(group: Group) -> int:
    """Return the number of labelled photographs for validation and test."""
    results = [item.run.result for item in group.runs if item.compared and item.run.result]
    return group.n_test + max(int(result["counts"].get("val", 0)) for result in results)


def _measured_seconds(study: Path, group: Group) -> float | None:
    """Seconds per synthetic image that the group's runs trained on, rejected ones included; None: not measured."""
    total = next((item for item in costs(study, group) if item.name == ALL), None)
    return total.generation_seconds / total.generated if total and total.generation_seconds else None


def _range_problems(request: Namespace) -> Iterator[str]:
    if not 0 < request.accuracy < 1:
        yield f"--accuracy is a fraction between 0 and 1, e.g. 0.96; got {request.accuracy:g}"
    for option, price in (("--price-photo", request.price_photo), ("--price-hour", request.price_hour)):
        if not 0 <= price < math.inf:
            yield f"{option} is a price, 0 or more; got {price:g}"
    if request.seconds_per_image is not None and not 0 < request.seconds_per_image < math.inf:
        yield f"--seconds-per-image must be above 0; got {request.seconds_per_image:g}"

"""`report plan`: the cheapest mix of real and synthetic images that reaches an accuracy."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.exchange.study_plans import PlanRequest, plans
from synthaug.analysis.text.document import show
from synthaug.analysis.text.plan_text import document


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

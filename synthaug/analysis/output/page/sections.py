"""The sections of the page, in their order.

A new section is a function here or in a module of its own, one line in `SECTIONS`, and a template
`templates/sections/<name>.html.j2` with its sentences. The function returns what the template fills in, or None where
there is nothing to show; matplotlib figures stand in it under `FIGURES`, name → figure, and reach the template as SVG.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from synthaug.analysis.comparison.model import Group, controls_of
from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.output.figures.alike import draw_arms_alike
from synthaug.analysis.output.figures.heat_map import accuracy_grid
from synthaug.analysis.output.page import charts, pictures, protocol, screened
from synthaug.analysis.output.page.content import Content
from synthaug.analysis.set_pages import set_pages
from synthaug.analysis.text import (
    arm_table,
    check_text,
    equivalent_text,
    exchange_text,
    factor_text,
    power_text,
    robustness_text,
    set_text,
    subsets_text,
)
from synthaug.analysis.validity.check_result import SERIOUS

Context = Mapping[str, Any]
FIGURES = charts.FIGURES


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: of its template and anchor.
        title: its heading.
        fill: returns the context of the template for a group; None leaves the section out.
    """

    name: str
    title: str
    fill: Callable[[Content], Context | None]


def result(content: Content) -> Context:
    """Return what the first screen shows: the equivalent numbers, serious checks, the table of arms."""
    headers, rows = arm_table.table(content.group)
    grid = grid_of(content.group)
    return {
        FIGURES: {} if grid is None else {"accuracy": accuracy_grid(grid)},
        "equivalents": equivalent_text.results(content.findings.equivalents, arm_table.labels(content.group)),
        "served": _served(content.group),
        "headers": headers,
        "rows": list(zip(arm_table.ordered(content.group), rows, strict=True)),
        "serious": [check_text.title(check) for check in content.findings.listed_checks if check.severity == SERIOUS],
    }


def _served(group: Group) -> dict[str, str]:
    """Return what each arm that only serves others is there for, by its name."""
    controls = controls_of(group.arms)
    of_arms = {arm.control: f"control of {arm.name}" for arm in reversed(group.arms) if arm.control in controls}
    return {name: of_arms.get(name, "for the learning curve") for name in controls}


def verdicts(content: Content) -> Context | None:
    """Return whether synthetic images help each class, arm by arm, and the mix that each class should have."""
    if not any(item.p_neutral is not None for arm in content.findings.verdicts.values() for item in arm):
        return None  # nothing was tested: one seed, or unequal steps
    labels = arm_table.labels(content.group)
    named = (
        replace(mix, best=labels[mix.best], tied=tuple(labels[arm] for arm in mix.tied), cheapest=labels[mix.cheapest])
        for mix in content.findings.mixes
    )
    mixes = [exchange_text.mix_sentence(mix, content.group.margin_fraction) for mix in named]
    return {"verdicts": content.findings.verdicts, "mixes": mixes}


def balance(content: Content) -> Context | None:
    """Return balanced accuracies and worst classes, where classes are not equally large."""
    results = content.findings.balance
    if results is None or not results.is_unequal:
        return None
    return {"blocks": subsets_text.balance_document(results, arm_table.labels(content.group))}


def feedback(content: Content) -> Context | None:
    """Return how feedback spread the synthetic images over the classes."""
    results = content.findings.feedback
    return {"blocks": subsets_text.feedback_document(results, arm_table.labels(content.group))} if results else None


def groups(content: Content) -> Context | None:
    """Return accuracies in groups of the test images."""
    results = content.findings.image_groups
    return (
        None if results is None else {"blocks": subsets_text.groups_document(results, arm_table.labels(content.group))}
    )


def robustness(content: Content) -> Context | None:
    """Return the results on shift sets."""
    if content.findings.robustness is None:
        return None
    return {"blocks": robustness_text.document(content.findings.robustness)[1:]}  # the section has a heading


def comparisons(content: Content) -> Context | None:
    """Return the pairs of arms that the study names, the factors of its arms, and the interval that borrows."""
    group, findings = content.group, content.findings
    blocks = [*factor_text.pairs_document(group), *factor_text.factors_document(findings, group.n_test)]
    blocks += [*factor_text.sources_document(findings.sources), *factor_text.borrowed_document(group)]
    figures = {"alike": draw_arms_alike(findings.alike, arm_table.labels(group))} if findings.alike else {}
    return {"blocks": blocks, FIGURES: figures} if blocks else None


def power(content: Content) -> Context | None:
    """Return the smallest difference that each arm could have shown, and what the margin would take."""
    labels = arm_table.labels(content.group)
    arms = {
        arm.name: (arm.power, f"{labels[arm.name]}: {power_text.sentence(arm.power)}")
        for arm in content.group.treatment_arms
        if arm.power and arm.power.variances
    }
    return {"arms": arms} if arms else None


def sets(content: Content) -> Context | None:
    """Return the synthetic sets that have a page, with the numbers on it."""
    pages = set_pages(content.group, content.comparison.folder)
    if not pages:
        return None
    labels, study = arm_table.labels(content.group), content.comparison.folder.resolve()
    addresses = [quote(Path(os.path.relpath(page.file.resolve(), study)).as_posix()) for page in pages]
    return {
        "sets": list(zip(pages, addresses, set_text.set_rows(pages, labels), strict=True)),
        "headers": set_text.HEADERS,
    }


def costs(content: Content) -> Context | None:
    """Return what each arm took."""
    return {"costs": content.findings.costs} if content.findings.costs else None


def runs(content: Content) -> Context:
    """Return nothing: the template needs no more than the group."""
    return {}


def checks(content: Content) -> Context | None:
    """Return all checks of the study's validity, the most severe first."""
    checks, labels = content.findings.listed_checks, arm_table.grid_labels(content.group)
    return {"checks": [check_text.check_text(check, labels) for check in checks]} if checks else None


SECTIONS = (
    Section("result", "Result", result),
    Section("curve", "Accuracy against synthetic share", charts.curve),
    Section("comparisons", "Comparisons of arms", comparisons),
    Section("checks", "Checks", checks),
    Section("decomposition", "Effect of synthetic images", charts.decomposition),
    Section("balance", "Balanced accuracy and rare classes", balance),
    Section("feedback", "Feedback of the classifier on the synthetic images", feedback),
    Section("groups", "Groups of test images", groups),
    Section("classes", "Difference from real by class", charts.classes),
    Section("verdicts", "Effect of synthetic images by class", verdicts),
    Section("equivalent", "Value of a synthetic image", charts.equivalent),
    Section("exchange", "Exchange rate under a law", charts.exchange),
    Section("robustness", "Shift sets", robustness),
    Section("power", "Statistical power", power),
    Section("learning", "Learning curves", charts.learning),
    Section("confusion", "Confusion matrices", charts.confusion),
    Section("hardest", "Hardest test images", pictures.hardest),
    Section("images", "Training images", pictures.images),
    Section("sets", "Synthetic sets", sets),
    Section("screening", "Screening of synthetic images", screened.screening),
    Section("cost", "Cost", costs),
    Section("protocol", "Protocol", protocol.protocol),
    Section("runs", "Runs", runs),
    Section("provenance", "Provenance", protocol.provenance),
)

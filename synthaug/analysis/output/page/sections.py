"""What stands on the page, in its order.

A new section is a function here or in a module of its own, one line in `SECTIONS`, and a template
`templates/sections/<name>.html.j2` that says what the function found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.page import (
    arm_verdicts,
    charts,
    further_sets,
    hardest,
    pictures,
    protocol,
    validity_section,
    worth,
)
from synthaug.analysis.text import arm_table

Context = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of the page: its template and anchor, its heading, and what fills it in a group (None: nothing does).

    A context has figures under "figures" and "control_figures", each a mapping of name → SVG.
    """

    name: str
    title: str
    fill: Callable[[Comparison, Group, Findings], Context | None]


def _nothing_more(comparison: Comparison, group: Group, said: Findings) -> Context:
    """Of a section whose template needs no more than the group."""
    return {}


def _costs(comparison: Comparison, group: Group, said: Findings) -> Context | None:
    return {"costs": said.costs} if any(run.run.result for run in group.runs) else None


def _arms(comparison: Comparison, group: Group, said: Findings) -> Context:
    return {"headers": arm_table.HEADERS}


SECTIONS = (
    Section("answer", "The answer", arm_verdicts.answer),
    Section("arms", "All arms", _arms),
    Section("curve", "Accuracy against synthetic share", charts.curve),
    Section("decomposition", "What is lost, what is given back", charts.decomposition),
    Section("classes", "Difference from real in each class", charts.classes),
    Section("verdicts", "Do synthetic images help, class by class", worth.verdicts),
    Section("exchange", "What a synthetic image is worth", worth.exchange),
    Section("learning", "Learning curves", charts.learning),
    Section("confusion", "Confusion matrices", charts.confusion),
    Section("hardest", "Hardest images", hardest.hardest),
    Section("images", "Training images, real beside synthetic", pictures.images),
    Section("robustness", "Further test sets", further_sets.robustness),
    Section("power", "What this study can show", validity_section.power),
    Section("cost", "Cost", _costs),
    Section("protocol", "Protocol", protocol.protocol),
    Section("runs", "Runs", _nothing_more),
    Section("provenance", "Provenance", protocol.provenance),
    Section("threats", "Threats to validity", validity_section.threats),
)

"""A comparison as CSV, JSON, Markdown and LaTeX: the same numbers, from the same rows and cells."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from synthaug import results
from synthaug.analysis import exchange, robustness, table
from synthaug.analysis.document import Block, Heading, Points, Rows, Sentences, markdown
from synthaug.analysis.findings import Findings
from synthaug.analysis.statistics import CONFIDENCE, Difference, Estimate
from synthaug.analysis.study import ClassResult, ComparedRun, Comparison, Group, spaced
from synthaug.files import write_text


def rows(group: Group) -> list[dict[str, Any]]:
    """One flat row per arm: fractions, not percent; None where there is no number; seeds as "0 1 2"."""
    return [
        {
            "dataset": group.dataset,
            "generator": group.generator,
            "model": group.model,
            "arm": arm.name,
            "baseline": arm.baseline,
            "real": arm.real,
            "synthetic": arm.synthetic,
            "synthetic_fraction": arm.synthetic_fraction,
            "n_real": arm.n_real,
            "n_synthetic": arm.n_synthetic,
            "n_test": group.n_test,
            **_fields("accuracy", arm.accuracy),
            "accuracy_seed_deviation": arm.seed_deviation,
            "macro_f1": arm.macro_f1,
            "calibration_error": arm.calibration_error,
            **_tested("difference", arm.difference),
            "difference_seeds": spaced(arm.difference_seeds),
            **_tested("macro_f1_difference", arm.macro_f1_difference),
            "margin": group.margin,
            "not_worse": arm.not_worse.verdict if arm.not_worse else None,
            "not_worse_p": arm.not_worse.p_value if arm.not_worse else None,
            "not_worse_p_holm": arm.not_worse.adjusted_p if arm.not_worse else None,
            "control": arm.control,
            **_tested("loss", arm.loss),
            **_tested("gain", arm.gain),
            "smallest_shown": arm.power.smallest if arm.power else None,
            "seeds": spaced(arm.seeds),
            "runs_planned": arm.runs_planned,
            "runs_compared": len(arm.seeds),
            "augment": arm.augment,
            "steps": arm.steps,
            "epochs": arm.epochs,
            "passes": arm.passes,
        }
        for arm in group.arms
    ]


def as_json(comparison: Comparison, found: Sequence[Findings]) -> dict[str, Any]:
    """The rows, and beneath each its classes; every run with its state; the notes; what else was found."""
    return {
        "format": results.FORMAT,
        "study": comparison.study,
        "confidence": CONFIDENCE,
        "complete": comparison.complete,
        "groups": [
            {
                "dataset": group.dataset,
                "generator": group.generator,
                "model": group.model,
                "test_digest": group.test_digest,
                "n_test": group.n_test,
                "classes": list(group.class_names),
                "margin": group.margin,
                "trend": _trend(group),
                "notes": list(group.notes),
                "arms": [
                    row | {"per_class": [_class_row(item) for item in arm.classes]}
                    for row, arm in zip(rows(group), group.arms, strict=True)
                ],
                "runs": [_run_row(run) for run in group.runs],
                **_found(said),
            }
            for group, said in zip(comparison.groups, found, strict=True)
        ],
    }


def write_files(comparison: Comparison, found: Sequence[Findings]) -> None:
    """Write `results.csv`, `.json`, `.md` and `.tex` into the study's folder."""
    flat = [row for group in comparison.groups for row in rows(group)]
    results.write_rows(
        comparison.folder / "results.csv",
        list(flat[0]),
        (["" if value is None else value for value in row.values()] for row in flat),
    )
    results.write_json(comparison.folder / "results.json", as_json(comparison, found))
    write_text(comparison.folder / "results.md", markdown(_blocks(comparison)))
    write_text(comparison.folder / "results.tex", "\n".join(_latex(comparison, group) for group in comparison.groups))


def _blocks(comparison: Comparison) -> list[Block]:
    """Table and words of each group."""
    blocks: list[Block] = []
    for group in comparison.groups:
        blocks += [
            Heading(f"{comparison.study}: {table.title(group)} ({table.test_images(group.n_test)})"),
            Rows(
                [" ".join(header.split()) for header in table.HEADERS], [table.cells(arm, group) for arm in group.arms]
            ),
            Points([f"{arm.name}: {table.answer(arm, group)}" for arm in group.arms]),
            Sentences(" ".join([*table.caption(group), table.trend(group)]).strip()),
        ]
        if group.notes:
            blocks.append(Points(group.notes))
    return blocks


def _latex(comparison: Comparison, group: Group) -> str:
    """A table for booktabs, in the columns of the console's."""
    lines = [" & ".join(map(escaped, cells)) + r" \\" for cells in _latex_rows(group)]
    caption = (
        f"{comparison.study}: {table.title(group)}, {table.test_images(group.n_test)}. {' '.join(table.caption(group))}"
    )
    return "\n".join([
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.HEADERS) - 1)}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def _latex_rows(group: Group) -> list[Sequence[str]]:
    return [[" ".join(header.split()) for header in table.HEADERS], *(table.cells(arm, group) for arm in group.arms)]


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    table.MINUS: "$-$",
    table.TIMES: r"$\times$",
    "·": r"$\cdot$",
    "<": "$<$",
    ">": "$>$",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """Text as LaTeX shows it: names are the user's and may hold anything that it reads as a command."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)


def _trend(group: Group) -> dict[str, Any] | None:
    if group.trend is None:
        return None
    return {"arms": list(group.trend.arms), "per_share": 0.1, **_tested("slope", group.trend.slope)}


def _found(said: Findings) -> dict[str, Any]:
    return {
        "exchange": exchange.as_json(said.exchange),
        "class_verdicts": {
            arm: {item.name: item.verdict for item in verdicts} for arm, verdicts in said.verdicts.items()
        },
        "class_mixes": [dataclasses.asdict(item) for item in said.mixes],
        "robustness": robustness.as_json(said.robustness) if said.robustness else None,
        "costs": [dataclasses.asdict(item) for item in said.costs],
        "threats": [dataclasses.asdict(item) for item in said.threats],
    }


def _class_row(item: ClassResult) -> dict[str, Any]:
    return {
        "class": item.name,
        "n_test": item.n_test,
        **_fields("accuracy", item.accuracy),
        **_tested("difference", item.difference),
        **_tested("gain", item.gain),
    }


def _run_row(item: ComparedRun) -> dict[str, Any]:
    key = item.run.key
    return {
        "arm": key.arm,
        "seed": key.seed,
        "real": item.run.real,
        "synthetic": item.run.synthetic,
        "state": item.state,
        "reason": item.reason,
        "accuracy": item.accuracy,
        "folder": key.folder.as_posix(),
    }


def _fields(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }


def _tested(name: str, found: Difference | None) -> dict[str, float | None]:
    return {
        **_fields(name, found),
        f"{name}_p": found.p_value if found else None,
        f"{name}_p_holm": found.adjusted_p if found else None,
    }

"""The files of a comparison, CSV, JSON, Markdown and LaTeX: the same numbers, from the same rows and cells."""

import re
from collections.abc import Sequence

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.records import as_json, rows
from synthaug.analysis.text import arm_table, format, sentences
from synthaug.analysis.text.document import Block, Heading, Points, Rows, Sentences, markdown
from synthaug.files import write_json, write_rows, write_text


def write_files(comparison: Comparison, found: Sequence[Findings]) -> None:
    """Write `results.csv`, `.json`, `.md` and `.tex` into the study's folder."""
    flat = [row for group in comparison.groups for row in rows(group)]
    write_rows(
        comparison.folder / "results.csv",
        list(flat[0]),
        (["" if value is None else value for value in row.values()] for row in flat),
    )
    write_json(comparison.folder / "results.json", as_json(comparison, found))
    write_text(comparison.folder / "results.md", markdown(_blocks(comparison, found)))
    write_text(comparison.folder / "results.tex", "\n".join(_latex(comparison, group) for group in comparison.groups))


def _blocks(comparison: Comparison, found: Sequence[Findings]) -> list[Block]:
    """Table and words of each group."""
    blocks: list[Block] = []
    for group, said in zip(comparison.groups, found, strict=True):
        blocks += [
            Heading(f"{comparison.study}: {format.title(group)} ({format.test_images(group.n_test)})"),
            Rows(
                [" ".join(header.split()) for header in arm_table.HEADERS],
                [arm_table.cells(arm, group) for arm in group.arms],
            ),
            Points([f"{arm.name}: {sentences.arm_result(arm, group)}" for arm in group.arms]),
            Sentences(" ".join([*sentences.caption(group), sentences.trend(group)]).strip()),
        ]
        if said.notes:
            blocks.append(Points(said.notes))
    return blocks


def _latex(comparison: Comparison, group: Group) -> str:
    """A table for booktabs, in the columns of the console's."""
    lines = [" & ".join(map(escaped, cells)) + r" \\" for cells in _latex_rows(group)]
    caption = f"{comparison.study}: {format.title(group)}, {format.test_images(group.n_test)}."
    caption = " ".join([caption, *sentences.caption(group)])
    return "\n".join([
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(arm_table.HEADERS) - 1)}}}",
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
    return [
        [" ".join(header.split()) for header in arm_table.HEADERS],
        *(arm_table.cells(arm, group) for arm in group.arms),
    ]


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    format.MINUS: "$-$",
    format.TIMES: r"$\times$",
    "·": r"$\cdot$",
    "<": "$<$",
    ">": "$>$",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """Text as LaTeX shows it: names are the user's and may hold anything that it reads as a command."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)

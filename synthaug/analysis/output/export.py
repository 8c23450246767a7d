"""The files of a comparison, CSV, JSON, Markdown and LaTeX: the same numbers, from the same rows and cells."""

import re
from collections.abc import Sequence

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.output.records import as_json, rows
from synthaug.analysis.text import arm_table, equivalent_text, factor_text, format, sentences
from synthaug.analysis.text.check_text import check_lines
from synthaug.analysis.text.document import Block, Heading, Points, Rows, Sentences, markdown
from synthaug.files import write_json, write_rows, write_text
from synthaug.messages import plural
from synthaug.runs import layout


def write_files(comparison: Comparison, findings: Sequence[Findings]) -> None:
    """Write `results.csv`, `.json`, `.md` and `.tex` into the study's folder.

    Args:
        comparison: of the study.
        findings: of each group.
    """
    pairs = list(zip(comparison.groups, findings, strict=True))
    flat = [row for group, group_findings in pairs for row in rows(group, group_findings)]
    write_rows(
        comparison.folder / layout.RESULTS_CSV,
        list(flat[0]),
        (["" if value is None else value for value in row.values()] for row in flat),
    )
    write_json(comparison.folder / layout.RESULTS_JSON, as_json(comparison, findings))
    blocks = [block for group, group_findings in pairs for block in _blocks(comparison.study, group, group_findings)]
    if note := sentences.groups_note(comparison.groups):
        blocks.append(Sentences(note))
    write_text(comparison.folder / layout.RESULTS_MARKDOWN, markdown(blocks))
    latex = "\n".join(_latex(comparison.study, group) for group in comparison.groups)
    write_text(comparison.folder / layout.RESULTS_LATEX, latex)


def _blocks(study: str, group: Group, findings: Findings) -> list[Block]:
    """Table and sentences of a group."""
    results = sentences.arm_results(group)
    lines = check_lines(findings.listed_checks, arm_table.grid_labels(group))
    headers, rows = arm_table.table(group)
    equivalents = equivalent_text.results(findings.equivalents, arm_table.labels(group))
    return [
        Heading(f"{study}: {format.title(group)} ({plural(group.n_test, 'test image')})"),
        Sentences(sentences.headline(group)),
        Rows([" ".join(header.split()) for header in headers], rows),
        *([Points(results)] if results else []),
        *factor_text.pairs_document(group),
        *factor_text.factors_document(findings, group.n_test),
        *([Sentences(equivalents)] if equivalents else []),
        Sentences(" ".join([*sentences.caption(group), sentences.trend(group)]).strip()),
        *([Points(lines)] if lines else []),
    ]


def _latex(study: str, group: Group) -> str:
    """Return a table for booktabs that fits into one of two columns: arms, images, accuracies and differences."""
    headers, cells = arm_table.table(group)
    kept = [place for place, header in enumerate(headers) if header not in _NOT_IN_LATEX]
    lines = [map(escaped, header.split("\n")) for header in headers]
    stacked = [r"\shortstack[r]{" + r" \\ ".join(header) + "}" for header in lines]
    escaped_rows = [list(map(escaped, row)) for row in cells]
    header, *rows = (" & ".join(row[place] for place in kept) + r" \\" for row in (stacked, *escaped_rows))
    caption = f"{study}: {format.title(group)}, {plural(group.n_test, 'test image')}."
    return "\n".join([
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{escaped(' '.join([caption, *sentences.caption(group)]))}}}",
        rf"\label{{tab:{_label(study, group)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(kept) - 1)}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def _label(study: str, group: Group) -> str:
    """Return a name to refer to the table by, of what LaTeX allows in one."""
    return re.sub(r"[^A-Za-z0-9:-]+", "-", ":".join((study, group.dataset, *group.generators, *group.models)))


_NOT_IN_LATEX = ("synthetic\nshare", "steps", arm_table.SEEDS, arm_table.ONE_SEED)
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
    """Escape text for LaTeX: names are the user's and may hold anything that it reads as a command."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda match: _LATEX[match[0]], text)

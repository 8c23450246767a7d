"""The comparison in files for others: CSV, JSON, Markdown and LaTeX say the same."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Comparison
from synthaug.analysis.findings import findings
from synthaug.analysis.output import export
from synthaug.analysis.output.records import rows
from synthaug.analysis.text import arm_table
from synthaug.files import read_json
from tests.factories.studies import MadeUp, make_study, one_group

ARMS = {"real": (1.0, 0.0), "real40": (0.4, 0.0), "64_&_100%": (0.4, 0.6), "82": (0.2, 0.8)}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    content = MadeUp(arms=ARMS, seeds=(0, 1, 2), failed=[("82", seed) for seed in (0, 1, 2)], n_test=300)
    study = compare(make_study(tmp_path_factory.mktemp("study"), content))
    export.write_files(study, findings(study))
    return study


def test_csv_has_every_number_and_no_nan(comparison: Comparison) -> None:
    with (comparison.folder / "results.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    (group,) = comparison.groups
    for row, arm in zip(rows, group.arms, strict=True):
        assert "nan" not in str(row).lower()
        for name, expected in (("difference", arm.difference), ("loss", arm.loss), ("gain", arm.gain)):
            numbers = [row[f"{name}{part}"] for part in ("", "_low", "_high", "_p", "_p_adjusted")]
            if expected is None:
                assert numbers == [""] * 5
            else:
                values = [expected.value, expected.low, expected.high, expected.p_value, expected.adjusted_p]
                assert list(map(float, numbers)) == values
    mixed = next(row for row in rows if row["arm"] == "64_&_100%")
    assert mixed["control"] == "real40"
    assert mixed["non_inferiority"] in ("established", "inconclusive", "rejected")


def test_json_has_the_rows_of_the_csv(comparison: Comparison) -> None:
    content = read_json(comparison.folder / "results.json")
    (group,) = content["groups"]
    flat = rows(comparison.groups[0], findings(comparison)[0])
    assert [{name: arm[name] for name in flat[0]} for arm in group["arms"]] == flat
    assert group["margin"] == flat[0]["margin"] == 1.0  # in points
    assert set(group["arms"][2]["per_class"][0]) >= {"difference", "difference_p_adjusted", "gain", "gain_low"}


def test_markdown_and_latex_have_the_cells_of_the_table(comparison: Comparison) -> None:
    (group,) = comparison.groups
    markdown = (comparison.folder / "results.md").read_text(encoding="utf-8")
    latex = (comparison.folder / "results.tex").read_text(encoding="utf-8")
    for cells in arm_table.table(group)[1]:
        assert f"| {' | '.join(cells)} |" in markdown.replace("\\", "")
        in_column = [*cells[:3], *cells[4:7]]  # no share, steps and seeds: it fits into a column
        assert f"{' & '.join(map(export.escaped, in_column))} \\\\" in latex
    assert "64\\_\\&\\_100\\%" in latex
    assert "64\\_&\\_100%: " in markdown
    assert latex.count(r"\begin{tabular}{lrrrrr}") == latex.count(r"\end{tabular}") == 1
    labels = re.findall(r"\\label\{tab:([A-Za-z0-9:-]+)\}", latex)
    assert labels == [f"{comparison.study}:digits:tiny-digits:resnet18"]


@given(st.text())
def test_latex_reads_no_name_as_a_command(name: str) -> None:
    text = export.escaped(name)
    plain = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]|\$(-|\\times|\\cdot|<|>)\$", "", text
    )
    assert not set(plain) & set("\\&%$#_{}~^<>")


def test_no_column_of_p_values_where_nothing_is_tested(tmp_path: Path) -> None:
    for seeds, columns in (((0,), 8), ((0, 1), 9)):
        headers, rows_of_table = arm_table.table(one_group(make_study(tmp_path / "study", MadeUp(seeds=seeds))))
        assert (arm_table.P_VALUE in headers) == (len(seeds) > 1)
        assert headers[-1] == (arm_table.SEEDS if len(seeds) > 1 else arm_table.ONE_SEED)
        assert {len(row) for row in (headers, *rows_of_table)} == {columns}

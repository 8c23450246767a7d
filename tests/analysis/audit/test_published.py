"""A published table in a YAML: what was typed is what is read, and every mistake is named, all at once."""

from decimal import Decimal
from pathlib import Path

import pytest

from synthaug.analysis.audit.published import EXAMPLE, Published, read_published
from synthaug.errors import UserError

ROOT = Path(__file__).parents[3]
FINE = """
n_test: 162
baseline: real
arms:
  real: 98.15
  8:2: 94.20
"""


def read(tmp_path: Path, text: str) -> Published:
    path = tmp_path / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return read_published(path)


def problems(tmp_path: Path, text: str) -> list[str]:
    """Everything that is wrong, line by line."""
    with pytest.raises(UserError) as raised:
        read(tmp_path, text)
    headline, *lines = str(raised.value).splitlines()
    assert headline == f"{tmp_path / 'table.yaml'} cannot be used:"
    return [line.removeprefix("  - ") for line in lines]


def test_fifteen_lines_are_enough(tmp_path: Path) -> None:
    table = read(tmp_path, FINE)
    assert (table.title, table.source, table.baseline) == ("table", "", "real")
    assert [(arm.name, str(arm.accuracy)) for arm in table.arms] == [("real", "98.15"), ("8:2", "94.20")]
    assert {(arm.n_test, arm.seeds, arm.n_train) for arm in table.arms} == {(162, None, None)}
    assert (table.readings, table.expected_discordant) == ((), ())


def test_every_key(tmp_path: Path) -> None:
    text = """
title: "A table: of ours"
source: page 3,
  first table
n_test: 162
n_train: 1000
seeds: 3
unit: percent
baseline: real
expected_discordant: [5, 3, 5.0]
arms:
  real: 98 %
  猫: {accuracy: "94.20", n_test: 50, n_train: 200, seeds: 1}
readings:
  caption: {says: "8:2 is 80 %", synthetic: {real: 0, 猫: 80.5}}
"""
    table = read(tmp_path, text)
    assert (table.title, table.source) == ("A table: of ours", "page 3, first table")
    assert table.expected_discordant == (3.0, 5.0)
    real, cat = table.arms
    assert (str(real.accuracy), real.n_test, real.n_train, real.seeds) == ("98", 162, 1000, 3)
    assert (cat.name, str(cat.accuracy), cat.n_test, cat.n_train, cat.seeds) == ("猫", "94.20", 50, 200, 1)
    (reading,) = table.readings
    assert (reading.name, reading.says, dict(reading.synthetic)) == ("caption", "8:2 is 80 %", {"real": 0, "猫": 80.5})


def test_fractions_keep_their_digits(tmp_path: Path) -> None:
    text = FINE.replace("98.15", "0.9815").replace("94.20", "0.940") + "unit: fraction\nexpected_discordant: 0.05\n"
    table = read(tmp_path, text)
    assert [str(arm.accuracy) for arm in table.arms] == ["98.15", "94.0"]
    assert table.expected_discordant == (5.0,)


def test_an_arm_may_have_images_of_its_own(tmp_path: Path) -> None:
    text = "baseline: a\narms:\n  a: {accuracy: 90, n_test: 10}\n  b: {accuracy: 80, n_test: 20}\n"
    assert [arm.n_test for arm in read(tmp_path, text).arms] == [10, 20]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("n_test: 162\n", "", "n_test: is missing; experiments/paper/README.md explains the keys"),
        ("n_test", "n_tset", "line 2, n_tset='162': unknown key; did you mean 'n_test'?"),
        ("162", "0", "line 2, n_test='0': must be a whole number from 1 to 10000000, digits only"),
        ("162", "1,348", "line 2, n_test='1,348': must be a whole number from 1 to 10000000, digits only"),
        ("162", "[162]", "line 2, n_test: must be a whole number from 1 to 10000000, digits only"),
        ("162", "162\nseeds: none", "line 3, seeds='none': must be a whole number from 1 to 10000000, digits only"),
        ("162", "162\nn_train: -5", "line 3, n_train='-5': must be a whole number from 1 to 10000000, digits only"),
        ("162", "162\nn_test: 163", "line 3, n_test='163': this key is there twice, first in line 2"),
        ("162", "162\nunit: per cent", "line 3, unit='per cent': must be percent or fraction"),
        ("162", "162\ntitle: [a]", "line 3, title: must be text; put it in quotes"),
        ("baseline: real\n", "", "baseline: is missing; experiments/paper/README.md explains the keys"),
        ("baseline: real", "baseline: rael", "line 3, baseline='rael': is not an arm; did you mean 'real'?"),
        ("baseline: real", "baseline: x", "line 3, baseline='x': is not an arm; there is real, 8:2"),
        ("98.15", "101", "line 5, arms.real='101': must be a number from 0 to 100, such as 94.20"),
        ("98.15", "-1", "line 5, arms.real='-1': must be a number from 0 to 100"),
        ("98.15", "98,15", "line 5, arms.real='98,15': must be a number from 0 to 100, such as 94.20"),
        ("98.15", "nan", "line 5, arms.real='nan': must be a number from 0 to 100"),
        ("98.15", "9e1", "line 5, arms.real='9e1': must be a number from 0 to 100"),
        ("98.15", "", "line 5, arms.real: must be a number from 0 to 100"),
        ("98.15", "{accuracy: [1]}", "line 5, arms.real.accuracy: must be a number from 0 to 100"),
        ("98.15", "{n_test: 5}", "line 5, arms.real.accuracy: must be a number from 0 to 100, such as 94.20"),
        (
            "98.15",
            "{accuracy: 98, acuracy: 5}",
            "line 5, arms.real.acuracy='5': unknown key; did you mean 'accuracy'?",
        ),
        (
            "98.15",
            "{accuracy: 98, seeds: few}",
            "line 5, arms.real.seeds='few': must be a whole number from 1 to 10000000, digits only",
        ),
        ("  8:2: 94.20\n", "  real: 94.20\n", "line 6, arms.real='94.20': this key is there twice, first in line 5"),
        ("  8:2: 94.20\n", "", "line 4, arms: must be lines <name>: ..., each without a dash, at least 2"),
        ("8:2:", "'':", "line 6, arms: every key needs a name of one word or in quotes"),
        ("8:2:", "? [8, 2]\n  :", "line 6, arms: every key needs a name of one word or in quotes"),
        (
            "  real: 98.15\n  8:2: 94.20\n",
            "  - real\n",
            "line 4, arms: must be lines <name>: ..., each without a dash, at least 2",
        ),
        (
            "arms:\n  real: 98.15\n  8:2: 94.20\n",
            "",
            "arms: is missing; experiments/paper/README.md explains the keys",
        ),
        ("162", "162\nexpected_discordant: [5, 0]", "must be above 0: arms that never disagree do not differ"),
        ("162", "162\nexpected_discordant: x", "line 3, expected_discordant='x': must be a number from 0 to 100"),
        ("162", "162\nreadings: [a]", "line 3, readings: must be lines <name>: ..."),
        (
            "162",
            "162\nreadings: {a: b}",
            "readings.a='b': needs synthetic: {<arm>: <share>, ...}, with",
        ),
        (
            "162",
            "162\nreadings: {a: {synthetic: {real: 0}}}",
            "readings.a: needs synthetic: {<arm>: <share>, ...}, with a share for 8:2",
        ),
        (
            "162",
            "162\nreadings: {a: {synthetic: {real: 0, 8:2: 120}}}",
            "readings.a.synthetic.8:2='120': must be a number from 0 to 100",
        ),
        (
            "162",
            "162\nreadings: {a: {synthetic: {real: 0, 8:2: 1, rael: 4}}}",
            "readings.a.synthetic.rael='4': is not an arm; did you mean 'real'?",
        ),
        (
            "162",
            "162\nreadings: {a: {say: x, synthetic: {real: 0, 8:2: 1}}}",
            "readings.a.say='x': unknown key; did you mean 'says'?",
        ),
        ("162", "162\nreadings: {a: {synthetic: {real: 0, 8:2: 1}}, a: 4}", "readings.a='4': this key is there twice"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in FINE
    lines = problems(tmp_path, FINE.replace(old, new, 1))
    assert any(problem in line for line in lines), lines


def test_a_percentage_where_fractions_were_announced(tmp_path: Path) -> None:
    lines = problems(tmp_path, FINE + "unit: fraction\n")
    assert "line 5, arms.real='98.15': must be a number from 0 to 1, such as 0.9420, or unit: percent" in lines


def test_fractions_that_nobody_announced_are_asked_about(tmp_path: Path) -> None:
    fractions = FINE.replace("98.15", "0.9815").replace("94.20", "0.940")
    assert [line.partition(":")[0] for line in problems(tmp_path, fractions)] == ["unit"]
    assert read(tmp_path, fractions + "unit: percent\n").arms[0].accuracy == Decimal("0.9815")


def test_all_mistakes_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    text = "basline: real\narms:\n  real: 101\n  real: 4\n  b: 94,2\nunit: parts\n"
    assert [line.partition(":")[0] for line in problems(tmp_path, text)] == [
        "baseline",
        "n_test",
        "line 1, basline='real'",
        "line 3, arms.real='101'",
        "line 4, arms.real='4'",
        "line 5, arms.b='94,2'",
        "line 6, unit='parts'",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"arms: [",
            r"table\.yaml cannot be read as YAML \(.*line 1, .*\); experiments/paper",
        ),
        (b"\xff\xfe\x00", r"as YAML \('utf-8' codec"),
        (b"a: \x01", r"as YAML \(unacceptable character"),
        (b"a: 1\n---\nb: 2\n", r"as YAML \(expected a single document .* line 2"),
        (b"", "holds no table of keys such as n_test: and arms:"),
        (b"98.15", "holds no table of keys"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read_published(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.yaml cannot be read as YAML \(.*No such file.*; experiments/paper"):
        read_published(tmp_path / "no.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_published(tmp_path)


def test_the_example_is_the_table_of_the_paper() -> None:
    table = read_published(ROOT / EXAMPLE)
    assert {arm.name: arm.accuracy for arm in table.arms} == {
        "real": Decimal("98.15"),
        "5:5": Decimal("95.06"),
        "6:4": Decimal("97.55"),
        "7:3": Decimal("94.87"),
        "8:2": Decimal("94.20"),
    }
    assert {(arm.n_test, arm.n_train) for arm in table.arms} == {(162, 1348)}

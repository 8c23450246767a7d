"""All checks of a study: their order, their cache, the tags."""

from pathlib import Path

import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.validity import checks, overlap, probe, shortcuts, sources
from synthaug.analysis.validity.check_result import (
    INCOMPLETE,
    PASSED,
    SERIOUS,
    SEVERITIES,
    UNCHECKED,
    UNDERPOWERED,
    WARNING,
    Check,
    by_severity,
    tags,
)
from synthaug.analysis.validity.sources import Sources
from synthaug.data.sample_list import REAL, SYNTHETIC, Sample, Samples
from synthaug.files import read_json, write_json
from synthaug.runs import discovery, layout, planning
from tests.factories.origins import make_pictured_study
from tests.factories.studies import MadeUp, make_study, run_folder


def checks_of(study: Path) -> dict[str, Check]:
    return {check.code: check for check in checks.validity_checks(study, compare(study).groups[0])}


def test_the_most_severe_come_first() -> None:
    drawn = [Check(code, severity) for code in "ab" for severity in SEVERITIES[::-1]]
    ordered = by_severity(drawn)
    assert [check.severity for check in ordered] == [severity for severity in SEVERITIES for _ in "ab"]
    assert [check.code for check in ordered] == ["a", "b"] * len(SEVERITIES)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([("runs", PASSED), ("power", PASSED), ("seeds", SERIOUS)], set()),
        ([("runs", WARNING), ("power", PASSED)], {INCOMPLETE}),
        ([("runs", SERIOUS), ("power", WARNING)], {INCOMPLETE, UNDERPOWERED}),
        ([("power", SERIOUS)], {UNDERPOWERED}),
    ],
)
def test_tags(outcomes: list[tuple[str, str]], expected: set[str]) -> None:
    assert tags(Check(*outcome) for outcome in outcomes) == expected


def test_a_study_without_any_finished_run(tmp_path: Path) -> None:
    content = MadeUp(arms={"real": (1.0, 0.0)}, failed=[("real", 0)])
    outcomes = checks_of(make_study(tmp_path / "study", content))
    assert {code: check.severity for code, check in outcomes.items()} == {
        "runs": SERIOUS,
        "baseline": SERIOUS,
        "origin_by_format": UNCHECKED,
        "origin_by_size": UNCHECKED,
        "origin_by_pixels": UNCHECKED,
        "overlap_real": UNCHECKED,
        "overlap_synthetic": UNCHECKED,
        "files": PASSED,
    }


def test_checks_of_images_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_pictured_study(tmp_path)
    read: list[Path] = []

    def read_traits(path: Path) -> probe.Traits | None:
        read.append(path)
        return probe.read_traits(path)

    monkeypatch.setattr(shortcuts, "read_traits", read_traits)
    first = checks_of(study)
    assert first["origin_by_format"].severity == SERIOUS
    assert read
    content = read_json(study / checks.CACHE)
    assert {tuple(check) for group in content["groups"].values() for check in group["checks"]} == {
        ("code", "severity", "data", "in_headline")
    }
    read.clear()
    assert checks_of(study) == first
    assert read == []
    write_json(study / checks.CACHE, {**content, "format": 0})
    assert checks_of(study) == first
    assert read, "of another version"
    read.clear()
    next((tmp_path / "synthetic").rglob("*.png")).unlink()
    assert checks_of(study)["files"].severity == WARNING
    assert read
    read.clear()
    (study / checks.CACHE).write_text("{", encoding="utf-8")
    assert checks_of(study)["files"].severity == WARNING
    assert read, "a damaged file is written again"


def test_images_of_runs_that_have_begun_are_those_of_their_report(tmp_path: Path) -> None:
    study = make_pictured_study(tmp_path)
    group = compare(study).groups[0]
    finished = sources.sources(group)
    for arm in ("real", "64", "real40"):
        (run_folder(study, arm) / layout.RESULT).unlink()
    begun = discovery.find_runs(study, planning.read_plan(study))
    assert finished.test_digest
    assert sources.of_begun_runs(begun, finished.test, finished.test_digest) == finished
    assert {len(rows) for rows in finished.train.values()} == {60, 36}


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    study = make_pictured_study(tmp_path)
    (run_folder(study, "64") / layout.MIX).unlink()
    outcomes = checks_of(study)
    assert outcomes["origin_by_pixels"].severity == UNCHECKED
    (reason,) = outcomes["origin_by_pixels"].data["unlisted"]
    assert (reason["code"], reason["data"]["run"]) == ("unreadable_mix", "64-seed0")
    assert reason["data"]["error"].startswith("No such file"), "what the file says, without a sentence around it"
    assert outcomes["overlap_synthetic"].severity == UNCHECKED
    assert outcomes["overlap_real"].severity == PASSED


@pytest.mark.parametrize("count", [90, 9000])
def test_of_many_images_some_of_each_class_are_read(count: int) -> None:
    def listed(origin: str) -> Samples:
        numbers = range(count)
        return Samples(Sample(f"{origin}/{n}.png", n % 9, f"class {n % 9}", origin, f"{n:064x}") for n in numbers)

    tests = tuple((f"test/{number}.png", f"class {number % 9}") for number in range(count))
    rows, read_tests = checks.read_images(Sources({origin: listed(origin) for origin in (REAL, SYNTHETIC)}, tests))
    limit = 2 * (overlap.MAX_IMAGES + shortcuts.MAX_IMAGES)
    assert 2 * min(count, 1000) <= len(rows) <= limit
    assert min(count, 1000) <= len(read_tests) <= overlap.MAX_IMAGES
    assert {(row.class_name, row.origin) for row in rows} == {
        (f"class {number}", origin) for number in range(9) for origin in (REAL, SYNTHETIC)
    }

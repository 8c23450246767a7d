"""A report is made again exactly when it could become another one."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synthaug.analysis.cost import Prices
from synthaug.analysis.output import report_cache
from synthaug.analysis.output.report_cache import CACHE
from synthaug.analysis.pipeline import show_report
from synthaug.runs import layout, planning
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun
from tests.factories.origins import make_pictured_study
from tests.factories.studies import run_folder


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = make_pictured_study(tmp_path_factory.mktemp("reported"))
    show_report(study)
    return study


@pytest.fixture
def study(reported: Path) -> Iterator[Path]:
    """The study with its report; whatever a test does to them is undone, times of change included."""
    before = _files(reported.parent)
    yield reported
    for path in _files(reported.parent).keys() - before.keys():
        path.unlink()
    for path, (content, times) in before.items():
        path.write_bytes(content)
        os.utime(path, ns=times)


def _files(folder: Path) -> dict[Path, tuple[bytes, tuple[int, int]]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)) for path in files}


def touch(path: Path) -> None:
    """Change the time of a file, as whoever writes it does."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_an_unchanged_study_has_the_report_that_was_printed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = show_report(study)
    printed = capsys.readouterr().out
    stored = report_cache.load(study)
    assert stored is not None
    assert stored.complete == report.comparison.complete
    report_cache.show(study, stored.text)
    assert capsys.readouterr().out == printed
    assert printed.endswith(f"{study / layout.PAGE}\n")


def _plan_another(study: Path) -> None:
    settings = next(run.settings for run in planning.read_plan(study).runs if run.key.arm == "real")
    planning.plan(study, [PlannedRun(RunKey("digits", "real", 7), settings)])


def flip_a_bit(path: Path) -> None:
    """Change a file as a disk does that returns other bytes than were written: its times stay."""
    content, status = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "the page was deleted": lambda study: (study / layout.PAGE).unlink(),
    "a figure is gone": lambda study: (study / layout.FIGURES / "curve-accuracy.pdf").unlink(),
    "the table was edited": lambda study: (study / layout.RESULTS_CSV).write_text("arm\n"),
    "a run was trained again": lambda study: touch(run_folder(study, "64") / layout.RESULT),
    "predictions were replaced": lambda study: touch(run_folder(study, "64") / layout.PREDICTIONS),
    "a result lost a bit": lambda study: flip_a_bit(run_folder(study, "64") / layout.RESULT),
    "predictions lost a bit": lambda study: flip_a_bit(run_folder(study, "real") / layout.PREDICTIONS),
    "a list of images is gone": lambda study: (run_folder(study, "real40") / layout.MIX).unlink(),
    "a run was planned": _plan_another,
    "a run was begun": lambda study: (run_folder(study, "real") / layout.FAILED).write_text("{}"),
    "a training image was changed": lambda study: touch(next((study.parent / "real").rglob("*.jpg"))),
    "a test image is gone": lambda study: next((study.parent / "test").rglob("*.jpg")).unlink(),
    "a synthetic image was changed": lambda study: touch(study.parent / "synthetic" / "synthetic" / "cat" / "000.png"),
    "the cache is damaged": lambda study: (study / CACHE).write_text("{"),
    "the cache is gone": lambda study: (study / CACHE).unlink(),
    "prices were added to the page": lambda study: show_report(study, Prices(1.0)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_of_what_a_report_depends_on_makes_it_again(study: Path, change: Callable[[Path], object]) -> None:
    assert report_cache.load(study) is not None
    change(study)
    assert report_cache.load(study) is None


def test_shift_sets_are_part_of_it(study: Path) -> None:
    folder = layout.shift_folder(run_folder(study, "real"), "noise")
    folder.mkdir(parents=True)
    (folder / layout.RESULT).write_text("{}")
    assert report_cache.load(study) is None


def test_another_program_or_terminal_makes_it_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((study / CACHE).read_text(encoding="utf-8"))
    source = "analysis/text/templates/checks.md.j2"
    assert source in content["program"]
    changed = content | {"program": content["program"] | {source: "1 1"}}
    (study / CACHE).write_text(json.dumps(changed), encoding="utf-8")
    assert report_cache.load(study) is None
    (study / CACHE).write_text(json.dumps(content), encoding="utf-8")
    assert report_cache.load(study) is not None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert report_cache.load(study) is None


def test_what_finishes_while_the_report_is_made_is_not_overlooked(study: Path) -> None:
    before = report_cache.inputs(study)
    touch(run_folder(study, "64") / layout.RESULT)
    stored = report_cache.StoredReport("", True)
    report_cache.store(study, stored, before, [])
    assert report_cache.load(study) is None
    report_cache.store(study, stored, report_cache.inputs(study), [])
    assert report_cache.load(study) == stored


def test_planning_the_same_runs_again_changes_nothing(study: Path) -> None:
    planned = planning.read_plan(study).runs
    planning.plan(study, planned)
    assert report_cache.load(study) is not None

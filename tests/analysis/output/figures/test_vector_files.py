"""The figures of the page as files of a study."""

import dataclasses
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from synthaug.analysis.pipeline import StudyReport, make_report, show_report
from synthaug.files import read_json, write_json
from synthaug.runs import layout
from tests.factories.studies import SWEEP, MadeUp, make_study

ARMS = {name: SWEEP[name] for name in ("real", "64", "82")}
TINY = MadeUp(arms=ARMS, classes=("cat", "猫"), n_test=120, seeds=(0, 1))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    return make_report(make_study(tmp_path_factory.mktemp("figures") / "study", TINY))


def files(study: Path) -> dict[str, bytes]:
    folder = study / layout.FIGURES
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_every_figure_of_the_page_is_a_file_twice_and_always_the_same(report: StudyReport) -> None:
    study = report.comparison.folder
    first = files(study)
    names = [name.replace("/", "-") for name in report.figures[0]]
    assert {"curve-accuracy", "classes-64", "learning-val-accuracy"} <= set(names)
    assert first.keys() == {f"{name}.{suffix}" for name in names for suffix in ("svg", "pdf")}
    assert sorted(report.figure_files) == sorted(f"figures/{name}" for name in first)
    (study / "figures/curve-accuracy.pdf").unlink()
    (study / "figures/classes-64.svg").write_text("<svg/>", encoding="utf-8")
    make_report(study)
    assert files(study) == first


def test_files_are_whole_and_on_light_paper(report: StudyReport) -> None:
    written = files(report.comparison.folder)
    for name, content in written.items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
            assert b"var(" not in content
        else:
            assert content.startswith(b"%PDF-")
            assert content.rstrip().endswith(b"%%EOF")
            assert b"/Type3" not in content, "which publishers refuse"
            assert b"/CreationDate" not in content
    assert "猫" in written["classes-64.svg"].decode()


def test_groups_have_their_own_folders(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", TINY)
    make_report(make_study(study, dataclasses.replace(TINY, dataset="letters")))
    accuracy = {name for name in files(study) if name.endswith("curve-accuracy.pdf")}
    assert accuracy == {f"{dataset}/curve-accuracy.pdf" for dataset in ("digits", "letters")}


def test_figures_that_are_no_more_are_removed_and_nothing_else(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", TINY)
    show_report(study)
    before = files(study)
    (study / layout.FIGURES / "curve-accuracy-in-colour.svg").write_text("<svg/>", encoding="utf-8")
    plan = read_json(study / layout.PLANNED)
    write_json(study / layout.PLANNED, plan | {"runs": [run for run in plan["runs"] if run["arm"] != "82"]})
    shutil.rmtree(study / "digits/82")
    show_report(study)
    gone = {f"{section}-82.{suffix}" for section in ("classes", "confusion") for suffix in ("svg", "pdf")}
    assert files(study).keys() == before.keys() - gone | {"curve-accuracy-in-colour.svg"}

"""The study's page leads to the pages of the synthetic sets, with their numbers where they are of the same images."""

import re
from pathlib import Path

import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.set_pages import page_files, set_pages
from synthaug.files import read_json, write_json
from synthaug.report.__main__ import main
from synthaug.runs import layout
from tests.factories.studies import MadeUp, make_study

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6), "82": (0.2, 0.8)}
NUMBERS = {
    "counts": {"0": 300, "1": 200},
    "screening": "",
    "scores": {"precision": 0.951, "recall": 0.5849, "coverage": 0.976},
    "kid": [0.0162, 0.0086, 0.0239],
    "fid_extrapolated": None,
    "label_fidelity": [0.994, 0.98, 1.0],
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    study = make_study(tmp_path / "study", MadeUp(arms=ARMS, seeds=(0, 1), images=2))
    (study / "images" / "synthetic" / "set.html").write_text("a page", encoding="utf-8")
    write_json(study / "images" / "synthetic" / "quality.json", NUMBERS)
    return study


def section(study: Path) -> str:
    assert main([str(study)]) == 0
    html = (study / layout.PAGE).read_text(encoding="utf-8")
    found = re.search(r'<section id="sets-1".*?</section>', html, re.DOTALL)
    return found[0] if found else ""


def test_the_page_leads_to_the_sets_with_their_numbers(study: Path) -> None:
    html = section(study)
    assert re.findall(r'href="([^"]+)"', html) == ["images/synthetic/set.html"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells[1:] == ["64, 82", "500", "-", "0.0162 [0.0086, 0.0239]", "0.95", "0.58", "0.98", "99.4"]


def test_numbers_of_another_screening_or_damaged_ones_are_left_out(study: Path) -> None:
    numbers = study / "images" / "synthetic" / "quality.json"
    write_json(numbers, {**NUMBERS, "screening": "screening-strict-1"})
    (group,) = compare(study).groups
    assert [page.numbers for page in set_pages(group, study)] == [{}]
    (result,) = {item.run.folder / layout.RESULT for item in group.runs if item.run.label == "64-seed0"}
    content = read_json(result)
    content["data"]["screening"] = {"file": "outputs/x/screening-strict-1/verdicts.csv"}
    write_json(result, content)
    (group,) = compare(study).groups
    with_numbers, without = set_pages(group, study)
    assert (with_numbers.arms, with_numbers.numbers["counts"]) == (["64"], NUMBERS["counts"])
    assert (without.arms, without.numbers) == (["82"], {})
    numbers.write_text("{", encoding="utf-8")
    assert [page.numbers for page in set_pages(group, study)] == [{}, {}]


def test_a_study_without_such_pages_has_no_section_and_would_see_one(study: Path) -> None:
    page = study / "images" / "synthetic" / "set.html"
    page.unlink()
    assert section(study) == ""
    (group,) = compare(study).groups
    assert page.resolve() in {path.resolve() for path in page_files(group, study)}

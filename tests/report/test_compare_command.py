"""`report compare`: two arms of a study, planned or not."""

from pathlib import Path

import pytest

from synthaug.files import read_json
from synthaug.report.__main__ import main
from tests.factories.studies import MadeUp, make_study, one_group

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6), "82": (0.2, 0.8)}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = MadeUp(arms=ARMS, seeds=(0, 1, 2), n_test=200, compare=[["64", "82"]])
    return make_study(tmp_path_factory.mktemp("compare") / "study", content)


def test_a_planned_pair_is_tested_and_any_other_is_exploratory(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pair,) = one_group(study).pairs
    assert (pair.first, pair.second, pair.exploratory) == ("64", "82", False)
    assert pair.difference is not None
    assert pair.difference.adjusted_p == pair.difference.p_value
    assert main(["compare", str(study), "82", "64"]) == 0
    assert "Planned before the results" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", str(study), "82", "real"]) == 0
    assert "Exploratory" in capsys.readouterr().out


def test_an_unknown_arm_is_named_with_the_choices(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(study), "82", "91"]) == 2
    assert "'91' is not an arm of this study; its arms: 64, 82, real" in capsys.readouterr().err


def test_an_arm_without_a_finished_run_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=ARMS, n_test=40, missing=[("82", 0)]))
    assert main(["compare", str(study), "82", "64"]) == 2
    assert "82: no run is finished yet" in capsys.readouterr().err


def test_planned_pairs_are_corrected_together_and_in_every_file(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=ARMS, seeds=(0, 1), n_test=200, compare="all"))
    pairs = one_group(study).pairs
    assert len(pairs) == 3
    smallest = min(pair.difference.p_value or 1 for pair in pairs if pair.difference)
    assert min(pair.difference.adjusted_p or 1 for pair in pairs if pair.difference) == pytest.approx(3 * smallest)
    assert main([str(study)]) == 0
    (group,) = read_json(study / "results.json")["groups"]
    assert [(item["first"], item["second"]) for item in group["comparisons"]] == [
        (pair.first, pair.second) for pair in pairs
    ]
    assert "64 − real" in (study / "report.html").read_text(encoding="utf-8")
    assert "64 − real" in (study / "results.md").read_text(encoding="utf-8")

"""Checks of the runs: what is missing, and what differs that should not."""

from pathlib import Path
from typing import Any

import pytest

from synthaug.analysis.validity.check_result import INFORMATION, PASSED, SERIOUS, WARNING, Check
from synthaug.analysis.validity.run_agreement import run_checks
from synthaug.files import read_json
from synthaug.runs import layout
from tests.factories.studies import SWEEP, MadeUp, edit_result, make_study, one_group, run_folder

SMALL = {name: SWEEP[name] for name in ("real", "64")}
THREE = {name: SWEEP[name] for name in ("real", "55", "64")}


def checks_of(study: Path) -> dict[str, Check]:
    return {check.code: check for check in run_checks(one_group(study))}


def small_study(folder: Path, **values: Any) -> Path:
    return make_study(folder / "study", MadeUp(**{"arms": SMALL, "n_test": 40, **values}))


def test_a_study_whose_runs_agree(tmp_path: Path) -> None:
    checks = checks_of(small_study(tmp_path, seeds=(0, 1)))
    assert {check.severity for check in checks.values()} == {PASSED}
    assert checks["training_length"].data["low"] == 248
    assert {"runs", "validation_images", "machine", "versions", "recorded_accuracy"} < set(checks)


def test_missing_runs(tmp_path: Path) -> None:
    check = checks_of(small_study(tmp_path, seeds=(0, 1), missing=[("64", 1)]))["runs"]
    assert (check.severity, check.data["planned"], check.data["empty_arms"]) == (WARNING, 4, [])
    assert (check.data["failed"], check.data["rerun"]) == (False, True)
    (left_out,) = check.data["left_out"]
    assert (left_out["run"], left_out["state"]) == ("64-seed1", "missing")


def test_failed_runs_and_an_arm_without_any(tmp_path: Path) -> None:
    check = checks_of(small_study(tmp_path, seeds=(0, 1), failed=[("64", 0), ("64", 1)]))["runs"]
    assert (check.severity, check.data["empty_arms"], check.data["failed"]) == (SERIOUS, ["64"], True)
    reason = check.data["left_out"][0]["reason"]
    assert (reason["code"], reason["data"]["error"]) == ("failed", "loss is <nan> at step 12")


def test_runs_that_cannot_be_compared_need_no_second_try(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    edit_result(run_folder(study, "64"), {"data.test": "f" * 64})
    check = checks_of(study)["runs"]
    assert (check.data["left_out"][0]["state"], check.data["rerun"]) == ("not comparable", False)


def test_a_study_without_a_finished_run(tmp_path: Path) -> None:
    assert set(checks_of(small_study(tmp_path, failed=[("real", 0), ("64", 0)]))) == {"runs"}


def test_training_length(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=THREE, n_test=40))
    edit_result(run_folder(study, "64"), {"training.steps": 500})
    assert checks_of(study)["training_length"] == Check(
        "training_length", SERIOUS, {"low": 248, "high": 500, "shortest": ["real", "55"], "longest": ["64"]}
    )


@pytest.mark.parametrize(("synthetic", "severity"), [(60, PASSED), (64, PASSED), (67, SERIOUS), (53, SERIOUS)])
def test_synthetic_share_of_the_classes(tmp_path: Path, synthetic: int, severity: str) -> None:
    study = small_study(tmp_path)
    counts = {"cat": {"real": 40, "synthetic": 60}, "dog": {"real": 100 - synthetic, "synthetic": synthetic}}
    edit_result(run_folder(study, "64"), {"counts.per_class": counts})
    check = checks_of(study)["class_shares"]
    assert check.severity == severity
    if synthetic == 67:
        assert check.data["runs"] == [{"run": "64-seed0", "least": "cat", "low": 0.6, "most": "dog", "high": 0.67}]


def test_filled_classes_are_a_matter_of_their_own(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "fill": (1.0, 0.0), "64": (0.4, 0.6)}
    content = MadeUp(arms, classes=("cat", "dog"), n_test=40, numbers={"fill": {"fill": {"dog": 100}}})
    study = make_study(tmp_path / "study", content)
    assert "filled_classes" not in checks_of(study)
    counts = {"cat": {"real": 100, "synthetic": 0}, "dog": {"real": 10, "synthetic": 90}}
    edit_result(run_folder(study, "fill"), {"counts.per_class": counts})
    checks = checks_of(study)
    assert checks["filled_classes"] == Check(
        "filled_classes",
        WARNING,
        {"runs": [{"run": "fill-seed0", "least": "cat", "low": 0.0, "most": "dog", "high": 0.9}]},
    )
    assert "class_shares" not in checks
    edit_result(run_folder(study, "64"), {"counts.per_class": counts})
    assert checks_of(study)["class_shares"].data["runs"][0]["run"] == "64-seed0"


def test_unequal_shares_that_feedback_was_asked_for_are_told_as_information(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(THREE, classes=("cat", "dog"), n_test=40))
    counts = {"cat": {"real": 10, "synthetic": 40}, "dog": {"real": 10, "synthetic": 10}}
    rounds = [{"synthetic": {"cat": 10, "dog": 10}, "scores": {"cat": 0.4, "dog": 0.1}, "accuracy": 0.8}]
    edit_result(run_folder(study, "64"), {"counts.per_class": counts, "feedback": rounds})
    checks = checks_of(study)
    assert checks["feedback_shares"].severity == INFORMATION
    assert [run["run"] for run in checks["feedback_shares"].data["runs"]] == ["64-seed0"]
    assert "class_shares" not in checks
    edit_result(run_folder(study, "55"), {"counts.per_class": counts})
    assert checks_of(study)["class_shares"] == Check(
        "class_shares", SERIOUS, {"runs": [{"run": "55-seed0", "least": "dog", "low": 0.5, "most": "cat", "high": 0.8}]}
    )


def test_an_adapter_that_saw_more_than_its_arm_has_is_serious(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    assert "adapters" not in checks_of(study)
    adapter: dict[str, object] = {"folder": "adapters/mine", "images": 20, "foreign": 0}
    edit_result(run_folder(study, "64"), {"adapters": [adapter]})
    assert checks_of(study)["adapters"].severity == PASSED
    edit_result(run_folder(study, "64"), {"adapters": [adapter, adapter | {"foreign": 12}]})
    found = {"run": "64-seed0", "folder": "adapters/mine", "images": 20, "foreign": 12}
    assert checks_of(study)["adapters"] == Check("adapters", SERIOUS, {"runs": [found]})


def test_classes_of_one_origin_each_are_unequal(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    counts = {
        "cat": {"real": 40, "synthetic": 0},
        "dog": {"real": 0, "synthetic": 40},
        "none": {"real": 0, "synthetic": 0},
    }
    edit_result(run_folder(study, "64"), {"counts.per_class": counts})
    assert checks_of(study)["class_shares"].severity == SERIOUS


@pytest.mark.parametrize(("recorded", "severity"), [(0.00009, PASSED), (0.00011, WARNING), (-0.00011, WARNING)])
def test_recorded_accuracy(tmp_path: Path, recorded: float, severity: str) -> None:
    study = small_study(tmp_path)
    (computed,) = [item.accuracy for item in one_group(study).runs if item.run.key.arm == "64"]
    assert computed is not None
    edit_result(run_folder(study, "64"), {"test.accuracy": computed + recorded})
    check = checks_of(study)["recorded_accuracy"]
    assert check.severity == severity
    assert [item["run"] for item in check.data["runs"]] == (["64-seed0"] if severity == WARNING else [])


def test_unreadable_images(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    edit_result(run_folder(study, "64"), {"counts.left_out": 3})
    assert checks_of(study)["unreadable_images"] == Check(
        "unreadable_images", WARNING, {"most": 3, "runs": ["64-seed0"]}
    )


@pytest.mark.parametrize("name", [layout.MIX, layout.HISTORY])
def test_files_that_are_not_those_of_the_run_are_named(tmp_path: Path, name: str) -> None:
    study = small_study(tmp_path)
    folder = run_folder(study, "64")
    layout.finish(folder, read_json(folder / layout.RESULT), (layout.MIX, layout.HISTORY))
    assert "run_files" not in checks_of(study)
    with (folder / name).open("a", encoding="utf-8") as stream:
        stream.write("more")
    check = checks_of(study)["run_files"]
    assert check.severity == SERIOUS
    (item,) = check.data["files"]
    assert (item["run"], item["file"]) == ("64-seed0", name)


def test_a_smoke_test_comes_first(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    assert "smoke_test" not in checks_of(study)
    edit_result(run_folder(study, "64"), {"settings.debug": True})
    assert next(iter(checks_of(study).values())) == Check("smoke_test", SERIOUS, {"runs": ["64-seed0"]})


# --- what should be the same -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "severity", "change", "facts"),
    [
        ("validation_images", SERIOUS, {"data.val": "f" * 64}, {"digest": "f" * 12}),
        ("real_images", SERIOUS, {"data.scanned": {"train": "d" * 64}}, {"digest": "d" * 12}),
        ("machine", WARNING, {"machine.cpu": "another"}, {"cpu": "another"}),
        ("versions", WARNING, {"versions.torch": "0.1"}, {"torch": "0.1"}),
    ],
)
def test_runs_that_differ(
    tmp_path: Path, code: str, severity: str, change: dict[str, Any], facts: dict[str, str]
) -> None:
    study = small_study(tmp_path)
    if code == "real_images":
        assert code not in checks_of(study), "no run recorded it"
        edit_result(run_folder(study, "real"), {"data.scanned": {"train": "a" * 64}})
    assert checks_of(study).get(code, Check(code, PASSED)).severity == PASSED
    edit_result(run_folder(study, "64"), change)
    check = checks_of(study)[code]
    assert check.severity == severity
    assert {name: values[-1] for name, values in check.data["facts"].items()} == {
        name: {"value": value, "runs": ["64"]} for name, value in facts.items()
    }
    assert {check.code for check in checks_of(study).values() if check.severity != PASSED} == {code}


def test_arms_are_named_as_a_whole_and_the_value_of_most_comes_last(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(seeds=(0, 1), n_test=40))
    edit_result(run_folder(study, "82"), {"versions.torch": "0.1"})
    for seed in (0, 1):
        edit_result(run_folder(study, "real", seed), {"versions.python": "3.9"})
    assert checks_of(study)["versions"].data["facts"] == {
        "torch": [
            {"value": "0.1", "runs": ["82-seed0"]},
            {"value": "2.14.1", "runs": ["real", "55", "64", "73", "82-seed1"]},
        ],
        "python": [
            {"value": "3.9", "runs": ["real"]},
            {"value": "3.11.2", "runs": ["55", "64", "73", "82"]},
        ],
    }

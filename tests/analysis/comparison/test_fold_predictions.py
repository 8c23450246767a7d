"""Studies whose images are dealt into folds: what is put together, what is left out, what is not computed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import NOT_COMPARABLE, Group
from synthaug.analysis.findings import findings
from synthaug.analysis.inference.folds import fold_accuracy, fold_difference
from synthaug.analysis.output.console import report_text
from synthaug.analysis.pipeline import make_report
from synthaug.analysis.validity.sources import sources
from synthaug.files import read_json
from synthaug.report import __main__ as report_command
from synthaug.runs import contents, layout
from synthaug.runs.layout import RunKey
from tests.factories.studies import MadeUp, arm_of, edit_result, make_study, one_group, rewrite_predictions

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6), "real40": (0.4, 0.0)}
FOLDED = MadeUp(arms=ARMS, n_test=600, seeds=(0,), folds=3)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    return one_group(make_study(tmp_path_factory.mktemp("folded"), FOLDED))


def folder(study: Path, arm: str, fold: int, seed: int = 0) -> Path:
    return study / RunKey("digits", FOLDED.folder(arm), seed, fold).folder


def test_every_image_is_a_test_image_once(group: Group) -> None:
    assert group.n_test == len(set(group.paths)) == 600
    assert group.n_folds == 3
    assert group.folds is not None
    assert np.bincount(group.folds).tolist() == [200, 200, 200]
    assert len(set(group.clusters)) == 600, "numbers of clusters are those of a fold"
    assert [len(group.predicted[arm][0]) for arm in ARMS] == [600] * 3
    assert [arm.seeds for arm in group.arms] == [(0,)] * 3
    assert {arm.runs_planned for arm in group.arms} == {3}
    assert not group.left_out


def test_one_seed_has_differences_that_are_tested(group: Group) -> None:
    arm = arm_of(group, "64")
    right = {name: group.correct[name][0][None] for name in ARMS}
    assert group.folds is not None
    for item, first, second in (
        (arm.difference, "64", "real"),
        (arm.gain, "64", "real40"),
        (arm.loss, "real40", "real"),
    ):
        expected = fold_difference(right[first] - right[second], group.folds)
        assert item is not None
        assert (item.value, item.low, item.high, item.p_value) == (
            expected.value,
            expected.low,
            expected.high,
            expected.p_value,
        )
        assert item.adjusted_p is not None
    assert arm.accuracy == fold_accuracy(right["64"], group.folds)
    rows = group.labels == 3
    of_class = fold_difference(right["64"][:, rows] - right["real"][:, rows], group.folds[rows])
    assert arm.classes[3].difference is not None
    assert arm.classes[3].difference.low == of_class.low
    assert group.tested_arms == (arm,)
    assert group.looks == (3,)


def test_what_is_for_one_test_set_is_not_computed(group: Group, tmp_path: Path) -> None:
    assert {arm.power for arm in group.arms} == {None}
    study = make_study(tmp_path, FOLDED)
    (of_group,) = findings(compare(study))
    assert [reason.code for reason in of_group.exchange.reasons] == ["in_folds"]
    assert [[reason.code for reason in sizes.reasons] for sizes in of_group.equivalents] == [["in_folds"]]
    assert (of_group.mixes, of_group.robustness, of_group.balance) == ((), None, None)
    assert of_group.verdicts["64"], "these are differences"
    assert report_command.main(["power", str(study)]) == 2


def test_a_seed_counts_once_all_of_its_folds_are_finished(tmp_path: Path) -> None:
    content = MadeUp(arms=ARMS, n_test=600, seeds=(0, 1), folds=3, missing=[("64-fold2", 1)])
    group = one_group(make_study(tmp_path, content))
    assert [arm.seeds for arm in group.arms] == [(0, 1), (0, 1), (0,)]
    left_out = {item.run.label: (item.state, item.reason) for item in group.left_out}
    assert {label: state for label, (state, _) in left_out.items()} == {
        "64-seed1-fold0": NOT_COMPARABLE,
        "64-seed1-fold1": NOT_COMPARABLE,
        "64-seed1-fold2": "missing",
    }
    reason = left_out["64-seed1-fold0"][1]
    assert reason is not None
    assert (reason.code, reason.data) == ("incomplete_folds", {"missing": [2]})
    difference = arm_of(group, "real40").difference
    assert difference is not None
    assert difference.seeds == 6


def test_nothing_is_compared_until_a_seed_has_all_folds(tmp_path: Path) -> None:
    missing = [(f"{arm}-fold1", 0) for arm in ARMS]
    study = make_study(tmp_path, MadeUp(arms=ARMS, n_test=600, folds=3, missing=missing))
    comparison = compare(study)
    assert [arm.accuracy for arm in comparison.groups[0].arms] == [None] * 3
    assert comparison.groups[0].n_folds == 3
    assert "No arm can be compared" in report_text(comparison, findings(comparison))


def test_a_fold_with_other_test_images_is_no_part_of_its_seed(tmp_path: Path) -> None:
    study = make_study(tmp_path, FOLDED)
    edit_result(folder(study, "64", 1), {"data.test": "0" * 64})
    states = {item.run.label: item.reason and item.reason.code for item in one_group(study).left_out}
    assert states == {
        "64-seed0-fold0": "incomplete_folds",
        "64-seed0-fold1": "other_test_set",
        "64-seed0-fold2": "incomplete_folds",
    }


def test_arms_with_other_folds_are_not_compared(tmp_path: Path) -> None:
    make_study(tmp_path, FOLDED)
    whole = make_study(tmp_path, MadeUp(arms={"82": (0.2, 0.8)}, n_test=600))
    reasons = [item.reason for item in one_group(whole).left_out]
    assert [(reason.code, reason.data) for reason in reasons if reason] == [
        ("other_folds", {"folds": None, "expected": 3})
    ]


def test_results_differ_between_folds_and_not_between_runs_of_one(tmp_path: Path) -> None:
    study = make_study(tmp_path, FOLDED)
    for arm in ARMS:
        edit_result(folder(study, arm, 2), {"training.steps": 300})
    codes = {check.code: check.severity for check in findings(compare(study))[0].checks}
    assert codes["training_length"] == codes["validation_images"] == "passed"
    edit_result(folder(study, "64", 2), {"training.steps": 400, "data.val": "0" * 64})
    codes = {check.code: check.severity for check in findings(compare(study))[0].checks}
    assert codes["training_length"] == codes["validation_images"] == "serious"


def test_the_report_has_a_row_for_each_arm_and_for_each_run(tmp_path: Path) -> None:
    study = make_study(tmp_path, FOLDED)
    make_report(study)
    (content,) = read_json(study / layout.RESULTS_JSON)["groups"]
    assert content["folds"] == 3
    assert [arm["runs_compared"] for arm in content["arms"]] == [3, 3, 3]
    assert {(run["seed"], run["fold"]) for run in content["runs"]} == {(0, 0), (0, 1), (0, 2)}
    accuracy = {run["folder"]: run["accuracy"] for run in content["runs"]}
    for path, value in accuracy.items():
        predictions = contents.read_predictions(study / path)
        assert value == (predictions.predicted == predictions.labels).mean()


def test_a_run_that_names_no_fold_of_its_arm_is_damaged(tmp_path: Path) -> None:
    study = make_study(tmp_path, FOLDED)
    edit_result(folder(study, "64", 1), {"fold": None})
    states = {item.run.label: item.state for item in one_group(study).left_out}
    assert states["64-seed0-fold1"] == "failed"


def test_checks_of_images_compare_the_training_and_the_test_images_of_one_fold(tmp_path: Path) -> None:
    study = make_study(tmp_path, FOLDED)
    images = sources(one_group(study))
    predictions = contents.read_predictions(folder(study, "real", 0))
    assert [path for path, _ in images.test] == predictions.paths
    assert images.test_digest == read_json(folder(study, "real", 0) / layout.RESULT)["data"]["test"]


def test_files_of_two_splits_of_one_name_are_told_apart_from_another_working_directory(tmp_path: Path) -> None:
    study = make_study(tmp_path, FOLDED)
    for arm in ARMS:
        names = [f"data/{'train' if row % 2 else 'test'}/0/{row // 2}.png" for row in range(200)]
        prefix = "" if arm == "real" else "/elsewhere/"
        rewrite_predictions(folder(study, arm, 0), {"paths": [prefix + name for name in names]})
    assert not one_group(study).left_out


def test_further_seeds_are_further_looks(tmp_path: Path) -> None:
    for seeds in ((0,), (0, 1), (0, 1, 2)):
        study = make_study(tmp_path, dataclasses.replace(FOLDED, seeds=seeds))
        make_report(study)
    (content,) = read_json(study / layout.RESULTS_JSON)["groups"]
    assert content["looks"] == [3, 6, 9]

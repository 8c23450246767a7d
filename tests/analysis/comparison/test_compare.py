"""From run folders to numbers: grouping, pairing, and what is said about runs that cannot be compared."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import ESTABLISHED, INCONCLUSIVE, REJECTED, Arm, Comparison, Reason
from synthaug.analysis.findings import findings
from synthaug.analysis.inference.hypothesis_tests import holm
from synthaug.analysis.inference.intervals import Difference, paired_difference, wilson
from synthaug.analysis.output.export import write_files
from synthaug.analysis.output.records import as_json, rows
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.runs import contents, layout, planning
from tests.factories.studies import (
    DIGITS,
    SWEEP,
    MadeUp,
    arm_of,
    edit_result,
    make_study,
    one_group,
    rewrite_predictions,
    run_folder,
)

# --- numbers ---------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_predictions(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    group = one_group(study)
    real, arm = (contents.read_predictions(run_folder(study, name)) for name in ("real", "64"))
    right, base = arm.predicted == arm.labels, real.predicted == real.labels
    compared = arm_of(group, "64")
    assert compared.accuracy == wilson(right.sum(), 1500)
    assert compared.difference is not None
    expected = paired_difference((right.astype(float) - base)[None])
    assert (compared.difference.low, compared.difference.high) == (expected.low, expected.high)
    assert (compared.difference.p_value, compared.non_inferiority) == (None, None), "one seed: no verdict"
    assert (compared.n_real, compared.n_synthetic, compared.synthetic_fraction) == (400, 600, 0.6)
    assert [arm.name for arm in group.arms] == list(SWEEP)
    assert group.baseline is arm_of(group, "real")
    assert arm_of(group, "real").difference is None
    assert compared.confusion is not None
    assert compared.confusion.sum() == 1500
    third = compared.classes[3]
    assert third.accuracy == wilson(right[arm.labels == 3].sum(), 150)


def test_seeds_are_paired_one_by_one(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(seeds=(0, 1)))
    compared = arm_of(one_group(study), "82")
    rights = []
    for name in ("82", "real"):
        runs = [contents.read_predictions(run_folder(study, name, seed)) for seed in (0, 1)]
        rights.append(np.stack([run.predicted == run.labels for run in runs]).astype(float))
    assert compared.seeds == compared.difference_seeds == (0, 1)
    assert compared.difference is not None
    expected = paired_difference(rights[0] - rights[1])
    assert (compared.difference.low, compared.difference.high) == (expected.low, expected.high)
    assert compared.difference.p_value == expected.p_value
    assert compared.seed_deviation is not None


def test_the_order_of_the_test_images_does_not_matter(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    assert not one_group(study).confidence, "without shift sets nothing needs them"
    write_json(layout.shift_folder(run_folder(study, "real"), "noise-1") / layout.RESULT, {})
    probabilities = np.random.default_rng(1).dirichlet(np.ones(10), 1500)
    rewrite_predictions(run_folder(study, "73"), {"probabilities": probabilities})
    clusters = np.arange(1500) // 3
    for name in SWEEP:
        rewrite_predictions(run_folder(study, name), {"clusters": clusters})
    before = arm_of(one_group(study), "73")
    old = contents.read_predictions(run_folder(study, "73"))
    order = np.random.default_rng(0).permutation(len(old.paths))
    elsewhere = ["/elsewhere/" + old.paths[row] for row in order]
    rewrite_predictions(
        run_folder(study, "73"),
        {
            "paths": elsewhere,
            "labels": old.labels[order],
            "predicted": old.predicted[order],
            "probabilities": old.probabilities[order],
            "clusters": old.clusters[order],
        },
    )
    group = one_group(study)
    assert arm_of(group, "73").difference == before.difference
    assert np.array_equal(group.clusters, clusters)
    assert group.confidence["73"][0] == pytest.approx(probabilities[np.arange(1500), old.predicted], rel=1e-5)


def test_perfect_and_identical_arms_give_sane_numbers(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1, 0), "64": (0.4, 0.6)}, n_test=10))
    for name in ("real", "64"):
        labels = contents.read_predictions(run_folder(study, name)).labels
        rewrite_predictions(run_folder(study, name), {"predicted": labels})
    compared = arm_of(one_group(study), "64")
    assert compared.accuracy is not None
    assert compared.accuracy.high == 1
    assert 0.5 < compared.accuracy.low < 1
    assert compared.difference is not None
    assert compared.difference.contains_zero
    assert compared.difference.value == 0
    comparison = compare(study)
    json.dumps(as_json(comparison, findings(comparison)), allow_nan=False)


def test_one_test_image_and_classes_without_any(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(n_test=1))
    compared = arm_of(one_group(study), "55")
    assert compared.classes[0].n_test == 1
    assert compared.classes[1].accuracy is None
    comparison = compare(study)
    json.dumps(as_json(comparison, findings(comparison)), allow_nan=False)


def test_the_margin_decides_on_non_inferiority_as_the_interval_does(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1.0, 0.0), "82": (0.2, 0.8)}, seeds=(0, 1, 2)))
    arm = arm_of(one_group(study), "82")
    assert arm.difference is not None
    low, high = arm.difference.low, arm.difference.high
    assert low < high < 0
    margins = {ESTABLISHED: -100 * low * 1.001, INCONCLUSIVE: -100 * low * 0.999, REJECTED: -100 * high * 0.999}
    for verdict, margin in margins.items():
        group = compare(study, margin).groups[0]
        test = arm_of(group, "82").non_inferiority
        assert test is not None
        assert (group.margin, test.verdict, test.adjusted_p) == (margin, verdict, test.p_value)
    inconclusive = arm_of(compare(study, -100 * high * 1.001).groups[0], "82").non_inferiority
    assert inconclusive is not None
    assert inconclusive.verdict == INCONCLUSIVE


def test_non_inferiority_is_adjusted_for_the_number_of_arms(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(seeds=(0, 1))))
    tests = [arm.non_inferiority for arm in group.arms if arm.non_inferiority]
    assert [item.adjusted_p for item in tests] == holm([item.p_value for item in tests])
    assert len(tests) == 4


def test_correct_predictions_by_arm_and_seed(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(seeds=(0, 1))))
    assert {arm: set(runs) for arm, runs in group.correct.items()} == {arm: {0, 1} for arm in SWEEP}
    for arm in group.arms:
        assert arm.accuracy is not None
        assert np.mean(list(group.correct[arm.name].values())) == pytest.approx(arm.accuracy.value)
    assert group.margin_fraction == 0.01


def test_loss_and_gain_add_up_to_the_difference(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5)}
    arm = arm_of(one_group(make_study(tmp_path / "study", MadeUp(arms=arms, seeds=(0, 1, 2)))), "55")
    assert arm.difference is not None
    assert arm.loss is not None
    assert arm.gain is not None
    assert arm.loss.value + arm.gain.value == pytest.approx(arm.difference.value)


CONTROLLED = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "real20": (0.2, 0.0), "55": (0.5, 0.5), "82": (0.2, 0.8)}


def p_values(*differences: Difference | None) -> list[float]:
    return [item.p_value for item in differences if item and item.p_value is not None]


def test_each_planned_question_is_a_family_of_its_own(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(arms=CONTROLLED, seeds=(0, 1, 2))))
    half, fifth = arm_of(group, "55"), arm_of(group, "82")
    for name in ("difference", "gain", "loss", "macro_f1_difference"):
        family = [getattr(arm, name) for arm in (half, fifth)]
        assert [item.adjusted_p for item in family] == pytest.approx(holm(p_values(*family))), name
    assert arm_of(group, "real50").difference == half.loss, "a control is compared for the arm that it serves"
    assert [arm_of(group, name).non_inferiority for name in ("real50", "real20")] == [None, None]


def test_further_amounts_of_real_images_are_in_the_family_of_the_controls(tmp_path: Path) -> None:
    arms = {**CONTROLLED, "real70": (0.7, 0.0), "real200": (2.0, 0.0), "strong": (1.0, 0.0)}
    group = one_group(make_study(tmp_path / "study", MadeUp(arms=arms, seeds=(0, 1, 2), augment={"strong": TRIVIAL})))
    assert {arm.name for arm in group.treatment_arms} == {"real200", "strong", "55", "82"}
    family = [arm_of(group, name).difference for name in ("real70", "real50", "real20")]
    assert [item and item.adjusted_p for item in family] == pytest.approx(holm(p_values(*family)))
    alone = {name: arms[name] for name in ("real", "real70", "55")}
    group = one_group(make_study(tmp_path / "alone", MadeUp(arms=alone, seeds=(0, 1, 2))))
    assert {arm.name for arm in group.treatment_arms} == {"real70", "55"}, "nothing has a control"


def test_help_is_concluded_at_equal_steps_only(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=CONTROLLED, seeds=(0, 1, 2)))
    for seed in (0, 1, 2):
        edit_result(run_folder(study, "real20", seed), {"training.steps": 50})
    half, fifth = (arm_of(one_group(study), name) for name in ("55", "82"))
    assert len(p_values(half.difference, half.loss, half.gain)) == 3
    assert fifth.gain is not None
    assert fifth.gain.low < fifth.gain.value < fifth.gain.high, "the estimate stays"
    assert p_values(fifth.loss, fifth.gain, *(item.gain for item in fifth.classes)) == []
    assert p_values(fifth.difference), "the arm as it was trained"


def test_looks_are_counted_and_corrected(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(seeds=(0,)))
    assert one_group(study).looks == (), "one seed is not a look"
    for seeds, looks in (((0, 1), (2,)), ((0, 1, 2), (2, 3)), ((0, 1, 2), (2, 3))):
        make_study(study, MadeUp(seeds=seeds))
        group = one_group(study)
        assert group.looks == looks
        planning.record_looks(study, group.looks)
    first = [arm.difference for arm in group.treatment_arms]
    expected = [min(1.0, 2 * p) for p in holm(p_values(*first))]
    assert [item.adjusted_p for item in first if item] == pytest.approx(expected)
    tests = [arm.non_inferiority for arm in group.arms if arm.non_inferiority]
    assert [item.adjusted_p for item in tests] == [min(1.0, 2 * p) for p in holm([item.p_value for item in tests])]


def test_the_trend_is_fitted_without_the_baseline_and_with_several_seeds(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    assert one_group(study).trend is None
    trend = one_group(make_study(study, MadeUp(seeds=(0, 1)))).trend
    assert trend is not None
    assert trend.arms == ("55", "64", "73", "82")


def test_power_allows_for_the_arms_beside_it(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(arms=CONTROLLED, seeds=(0, 1, 2))))
    levels = {arm.name: arm.power.alpha for arm in group.arms if arm.power}
    assert levels == dict.fromkeys(("real50", "real20", "55", "82"), 0.025)


# --- what cannot be compared -----------------------------------------------------------------------


def test_unfinished_runs_are_listed_and_their_arms_kept(tmp_path: Path) -> None:
    content = MadeUp(failed=[("64", 0)], missing=[("73", 0)], unfinished=[("82", 0)])
    comparison = compare(make_study(tmp_path / "study", content))
    (group,) = comparison.groups
    assert not comparison.complete
    states = {item.run.key.arm: (item.state, item.reason) for item in group.left_out}
    failure = {"type": "ValueError", "error": "loss is <nan> at step 12", "when": "2025-01-01T10:00:00+00:00"}
    assert states == {
        "64": ("failed", Reason("failed", failure)),
        "73": ("missing", Reason("missing")),
        "82": ("unfinished", Reason("unfinished")),
    }
    assert [arm.name for arm in group.arms] == list(SWEEP)
    assert arm_of(group, "64").accuracy is None


TEST_DIGEST = hashlib.sha256(f"test 1500 {DIGITS}".encode()).hexdigest()
OTHER_CLASSES = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "nine"]


@pytest.mark.parametrize(
    ("result", "predictions", "reason"),
    [
        ({"data.test": "f" * 64}, {}, Reason("other_test_set", {"digest": "f" * 64, "expected": TEST_DIGEST})),
        ({}, {"classes": OTHER_CLASSES}, Reason("other_classes", {"unexpected": ["nine"], "missing": ["9"]})),
        ({}, {"classes": list(DIGITS[::-1])}, Reason("other_classes", {"unexpected": [], "missing": []})),
        ({}, {"paths": [f"x/{i}.png" for i in range(1500)]}, Reason("other_test_images")),
        ({}, {"labels": (np.arange(1500) + 1) % 10}, Reason("other_labels")),
        ({"format": 99}, {}, Reason("other_format", {"format": 99, "readable": layout.FORMAT})),
    ],
)
def test_runs_on_another_test_are_named(
    tmp_path: Path, result: dict[str, object], predictions: dict[str, object], reason: Reason
) -> None:
    study = make_study(tmp_path / "study")
    edit_result(run_folder(study, "64"), result)
    rewrite_predictions(run_folder(study, "64"), predictions)
    group = one_group(study)
    (left_out,) = group.left_out
    assert (left_out.run.key.arm, left_out.state) == ("64", "not comparable")
    assert left_out.reason == reason
    assert arm_of(group, "64").accuracy is None
    assert arm_of(group, "73").difference is not None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "unreadable_predictions"),
        ("path,label,predicted,p:0\n", "unreadable_predictions"),
        ("path,label,predicted,cluster,p:0\n", "no_test_images"),
        ("path,label,predicted,p:0\na,b,c\n", "unreadable_predictions"),
        ("a\n\x00", "unreadable_predictions"),
    ],
)
def test_damaged_predictions_do_not_stop_the_report(tmp_path: Path, content: str, code: str) -> None:
    study = make_study(tmp_path / "study")
    (run_folder(study, "82") / layout.PREDICTIONS).write_text(content, encoding="utf-8")
    (left_out,) = one_group(study).left_out
    assert left_out.reason is not None
    assert left_out.reason.code == code


def test_a_study_whose_predictions_are_all_gone(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1, 0)}))
    (run_folder(study, "real") / layout.PREDICTIONS).unlink()
    group = one_group(study)
    assert (group.n_test, group.class_names, group.test_digest) == (0, (), None)
    assert group.left_out[0].reason is not None
    assert "No such file" in group.left_out[0].reason.data["error"]


def test_groups_are_kept_apart(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    make_study(study, MadeUp(dataset="letters", n_test=300))
    groups = compare(study).groups
    assert [(group.dataset, group.n_test) for group in groups] == [("digits", 1500), ("letters", 300)]
    assert all(group.baseline for group in groups)


# --- baseline and seeds -----------------------------------------------------------------------------


def test_real_by_another_name_is_the_baseline(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(arms={"plain": (1, 0), "64": (0.4, 0.6)})))
    assert arm_of(group, "plain").baseline
    assert arm_of(group, "64").difference is not None


TRIVIAL = {"policy": "trivial", "erasing": 0.25}


def test_real_with_an_augmentation_of_its_own_is_not_the_baseline(tmp_path: Path) -> None:
    arms = {"an_early_name": (1, 0), "real": (1, 0), "strong": (1, 0), "64": (0.4, 0.6)}
    content = MadeUp(arms=arms, augment={"an_early_name": {"hue": 0.1}, "strong": TRIVIAL})
    group = one_group(make_study(tmp_path / "study", content))
    assert [arm.name for arm in group.arms] == ["real", "an_early_name", "strong", "64"]
    assert [arm.name for arm in group.arms if arm.baseline] == ["real"]
    assert all(arm.difference is not None for arm in group.arms[1:])
    assert [arm.augment for arm in group.arms] == ["", "hue 0.1", "erasing 0.25, policy trivial", ""]


def test_without_real_an_augmented_arm_does_not_take_its_place(tmp_path: Path) -> None:
    content = MadeUp(arms={"strong": (1, 0), "64": (0.4, 0.6)}, augment={"strong": TRIVIAL})
    group = one_group(make_study(tmp_path / "study", content))
    assert group.baseline is None
    assert all(arm.difference is None for arm in group.arms)


def test_runs_of_one_name_and_two_augmentations_are_two_arms(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"strong": (1, 0)}, augment={"strong": TRIVIAL}))
    rand = MadeUp(arms={"strong": (1, 0)}, seeds=(1,), augment={"strong": {"policy": "rand"}}, generator="none")
    make_study(study, rand)
    arms = one_group(study).arms
    assert {(arm.seeds, arm.augment) for arm in arms} == {
        ((0,), "erasing 0.25, policy trivial"),
        ((1,), "policy rand"),
    }


def test_the_test_set_is_that_of_the_arm_without_augmentation(tmp_path: Path) -> None:
    content = MadeUp(
        arms={"strong": (1, 0), "more": (1, 0), "real": (1, 0)}, augment={"strong": TRIVIAL, "more": TRIVIAL}
    )
    study = make_study(tmp_path / "study", content)
    for name in ("strong", "more"):
        edit_result(run_folder(study, name), {"data.test": "f" * 64})
    group = one_group(study)
    assert {item.run.arm for item in group.left_out} == {"strong", "more"}


def test_only_shared_seeds_are_compared(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(seeds=(0, 1), failed=[("64", 1)], missing=[("real", 0)]))
    group = one_group(study)
    assert arm_of(group, "55").difference_seeds == (1,)
    assert arm_of(group, "64").difference_seeds == ()
    assert arm_of(group, "64").difference is not None


@pytest.mark.parametrize("content", [{}, {"format": 99}, {"format": None}])
def test_a_result_that_holds_nothing_does_not_stop_the_report(tmp_path: Path, content: dict[str, object]) -> None:
    study = make_study(tmp_path / "study")
    write_json(run_folder(study, "64") / layout.RESULT, content)
    comparison = compare(study)
    assert [item.run.key.arm for item in comparison.groups[0].left_out] == ["64"]
    assert findings(comparison)[0].costs[-1].runs == 4


def test_a_result_that_lacks_something_is_damaged(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    path = run_folder(study, "64") / layout.RESULT
    content = read_json(path)
    del content["training"]["seconds"], content["data"]
    write_json(path, content)
    (run,) = one_group(study).left_out
    assert (run.run.key.arm, run.state) == ("64", "failed")
    assert run.reason is not None
    assert (run.reason.code, run.reason.data["type"]) == ("failed", "damaged")
    expected = f"{path} is damaged (it lacks training.seconds, data.val, data.test)"
    assert run.reason.data["error"].startswith(expected)
    assert findings(compare(study))[0].costs[-1].runs == 4


# --- files -----------------------------------------------------------------------------------------


def test_csv_and_json_agree(tmp_path: Path) -> None:
    comparison = compare(make_study(tmp_path / "study", MadeUp(seeds=(0, 1), failed=[("82", 0), ("82", 1)])))
    write_files(comparison, findings(comparison))
    with (comparison.folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    content = read_json(comparison.folder / "results.json")
    (group,) = content["groups"]
    flat = rows(comparison.groups[0], findings(comparison)[0])
    for line, arm, row in zip(lines, group["arms"], flat, strict=True):
        assert {name: arm[name] for name in row} == row
        assert line == {name: "" if value is None else str(value) for name, value in row.items()}
    assert lines[1]["seeds"] == "0 1"
    assert lines[-1]["accuracy"] == ""
    assert len(group["arms"][0]["per_class"]) == 10
    assert [run["state"] for run in group["runs"]].count("failed") == 2
    assert [run["reason"] and run["reason"]["code"] for run in group["runs"]] == [*[None] * 8, "failed", "failed"]
    assert content["complete"] is False


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        compare(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no runs. Train some first"):
        compare(tmp_path)
    make_study(tmp_path / "study")
    with pytest.raises(UserError, match=r"Did you mean .*study\?"):
        compare(tmp_path)


def test_an_empty_arm_has_no_share() -> None:
    assert Arm("none", 0, 0, False, 1).synthetic_fraction == 0
    assert Comparison("study", Path(), ()).complete


# --- mixes in numbers of images --------------------------------------------------------------------------


def test_shots_and_filled_classes_have_their_controls_and_are_no_baseline(tmp_path: Path) -> None:
    arms = dict.fromkeys(("shots4-fill", "shots4", "real", "fill", "shots16", "half-fill"), (1.0, 0.0))
    arms |= {"half-fill": (0.5, 0.0), "real50": (0.5, 0.0)}
    numbers: dict[str, dict[str, object]] = {
        "shots4-fill": {"real_per_class": 4, "fill": "largest"},
        "shots4": {"real_per_class": 4},
        "shots16": {"real_per_class": 16},
        "fill": {"fill": "largest"},
        "half-fill": {"fill": {"1": 200}},
    }
    study = make_study(tmp_path / "study", MadeUp(arms, seeds=(0, 1), n_test=300, numbers=numbers))
    for name, n_synthetic in (("shots4-fill", 960), ("fill", 180), ("half-fill", 20)):
        for seed in (0, 1):
            edit_result(run_folder(study, name, seed), {"counts.synthetic": n_synthetic})
    group = one_group(study)
    by_name = {arm.name: arm for arm in group.arms}
    assert list(by_name) == ["real", "shots4", "shots16", "real50", "fill", "shots4-fill", "half-fill"]
    assert [name for name, arm in by_name.items() if arm.baseline] == ["real"]
    assert {name: arm.control for name, arm in by_name.items()} == {
        "real": None, "real50": None, "shots4": None, "shots16": None,
        "half-fill": "real50", "fill": "real", "shots4-fill": "shots4",
    }  # fmt: skip
    assert {name for name, arm in by_name.items() if arm.has_synthetic} == {"half-fill", "fill", "shots4-fill"}
    assert by_name["fill"].synthetic_fraction == pytest.approx(180 / 1180)
    assert not any(arm.differs_in_share_alone for arm in group.arms if arm.name != "real")
    effects = {name: (arm.loss and arm.loss.value, arm.gain and arm.gain.value) for name, arm in by_name.items()}
    differences = {name: arm.difference.value if arm.difference else 0.0 for name, arm in by_name.items()}
    assert effects["fill"] == (None, differences["fill"])
    assert effects["shots4-fill"][0] == differences["shots4"]

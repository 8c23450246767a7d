"""The notes on a study: what differs between runs that should not, and which arms have no control."""

from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.validity.notes import notes
from tests.factories.studies import (
    SWEEP,
    MadeUp,
    arm_of,
    edit_result,
    make_study,
    one_group,
    rewrite_predictions,
    run_folder,
)


def noted(group: Group) -> list[str]:
    """What a group notes beside the lack of controls and of power, which have tests of their own."""
    return [note for note in notes(group) if not note.startswith(("No control of", "Underpowered"))]


def test_arms_without_a_control_are_named(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5), "64": (0.4, 0.6), "add": (1.0, 0.5)}
    group = one_group(make_study(tmp_path / "study", MadeUp(arms=arms)))
    (note,) = [note for note in notes(group) if note.startswith("No control")]
    assert note.startswith("No control of 64 (the same real images and no synthetic one)")
    assert "+controls=true" in note
    found = {arm.name: (arm.control, arm.loss is not None, arm.gain is not None) for arm in group.arms}
    assert found == {
        "real": (None, False, False),
        "real50": (None, False, False),
        "55": ("real50", True, True),
        "64": (None, False, False),
        "add": ("real", False, True),
    }


def test_arms_without_power_are_named_and_controls_are_not(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5)}
    group = one_group(make_study(tmp_path / "study", MadeUp(arms=arms, n_test=200)))
    (note,) = [note for note in notes(group) if note.startswith("Underpowered")]
    power = arm_of(group, "55").power
    assert power is not None
    assert power.smallest is not None
    said = f"a difference of 1 point would not be shown in 55 ({100 * power.smallest:.2g} points would)."
    assert note == f"Underpowered: {said}"
    wide = compare(tmp_path / "study", margin=50).groups[0]
    assert not [note for note in notes(wide) if note.startswith("Underpowered")]


def test_without_a_real_arm_the_way_to_one_is_told(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(arms={"64": (0.4, 0.6)})))
    assert arm_of(group, "64").difference is None
    (note,) = noted(group)
    assert "with mix=real in place of its mix" in note
    assert "synthaug.train" not in note  # a command without dataset.root and the like would fail


def test_a_failed_real_arm_is_told(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(failed=[("real", 0)])))
    assert "The real arm has no run to compare with" in noted(group)[0]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"training.steps": 500}, "same optimizer steps: 248 to 500"),
        ({"test.accuracy": 0.5}, "result.json says accuracy 0.5000"),
        ({"counts.left_out": 3}, "64-seed0: 3 files that are no whole images were left out of the dataset."),
        ({"data.val": "0" * 64}, "different validation sets"),
    ],
)
def test_what_should_not_differ_is_told(tmp_path: Path, change: dict[str, object], note: str) -> None:
    study = make_study(tmp_path / "study")
    edit_result(run_folder(study, "64"), change)
    assert note in " ".join(noted(one_group(study)))


def test_other_settings_are_told(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(seeds=(0, 1)))
    edit_result(run_folder(study, "82"), {"settings.model.lr": 0.002})
    for seed in (0, 1):
        edit_result(run_folder(study, "real", seed), {"settings.trainer.precision": "16-mixed"})
        edit_result(run_folder(study, "55", seed), {"settings.dataset.root": "elsewhere"})
    rate, precision = noted(one_group(study))
    assert "settings: model.lr is 0.002 in 82-seed0, 0.001 in all others. What the arms show may" in rate
    assert "settings: trainer.precision is 16-mixed in real, 32-true in all others. What" in precision


def test_two_values_are_told_with_their_arms(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"82": (0.2, 0.8), "real": (1, 0)}))
    edit_result(run_folder(study, "real"), {"settings.model.lr": 0.002})
    (note,) = noted(one_group(study))
    assert "model.lr is 0.002 in real, 0.001 in 82." in note


def test_the_generator_matters_to_arms_with_synthetic_images(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={name: SWEEP[name] for name in ("real", "55", "64")}))
    edit_result(run_folder(study, "real"), {"settings.generator.guidance_scale": 7.5})
    assert not noted(one_group(study))
    edit_result(run_folder(study, "64"), {"settings.generator.guidance_scale": 7.5})
    (note,) = noted(one_group(study))
    assert "generator.guidance_scale is 2.0 in 55, 7.5 in 64." in note


def test_settings_told_by_another_note_and_results_without_settings(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    edit_result(run_folder(study, "64"), {"settings.batch_size": 64, "training.batch_size": 64})
    (note,) = noted(one_group(study))
    assert "same batch size: 32 to 64" in note
    edit_result(run_folder(study, "64"), {"settings": None, "training.batch_size": 32})
    assert not noted(one_group(study))


def test_many_differing_settings_are_told_in_short(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    edit_result(run_folder(study, "64"), {f"settings.model.key{index}": "x" * 200 for index in range(9)})
    told = noted(one_group(study))
    assert len(told) == 6
    assert f"model.key0 is {'x' * 60}... in 64, absent in all others." in told[0]
    assert "4 more differ (model.key5, model.key6, model.key7, model.key8)" in told[-1]
    study = make_study(tmp_path / "rates", MadeUp(seeds=range(7)))
    for seed in range(7):
        edit_result(run_folder(study, "64", seed), {"settings.model.lr": 0.5 + seed})
    (note,) = noted(one_group(study))
    assert "0.5 in 64-seed0, 1.5 in 64-seed1, 2.5 in 64-seed2, 3.5 in 64-seed3, 3 more values in other runs" in note
    assert "0.001 in all others" in note


def test_other_real_images_are_told(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={name: SWEEP[name] for name in ("real", "55", "64")}))
    edit_result(run_folder(study, "real"), {"data.scanned": {"train": "a" * 64, "val": "b" * 64, "test": "c" * 64}})
    edit_result(run_folder(study, "55"), {"data.scanned": {"train": "a" * 64, "val": "0" * 64, "test": "c" * 64}})
    assert not noted(one_group(study))
    edit_result(run_folder(study, "64"), {"data.scanned": {"train": "d" * 64, "val": "b" * 64, "test": "c" * 64}})
    (note,) = noted(one_group(study))
    assert note == (
        "Not all runs drew from the same real training images: the digest of those is "
        "aaaaaaaaaaaa in real, 55, dddddddddddd in 64."
    )


def test_parts_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5)}
    whole = make_study(tmp_path / "whole", MadeUp(arms, seeds=(0, 1, 2)))
    assert not any("add up" in note for note in notes(one_group(whole)))
    part = make_study(tmp_path / "part", MadeUp(arms, seeds=(0, 1, 2), missing=[("real50", 1)]))
    (note,) = (note for note in notes(one_group(part)) if "add up" in note)
    assert note.endswith("than the difference from real, and need not add up to it: 55.")


def test_all_right_is_not_chance(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(n_test=1, seeds=(0, 1)))
    assert not any("always naming" in note for note in notes(one_group(study)))


def test_an_arm_at_chance_is_told(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    rewrite_predictions(run_folder(study, "64"), {"predicted": np.zeros(1500, dtype=np.int64)})
    assert any("64 is not shown to be better than always naming" in note for note in notes(one_group(study)))
    rewrite_predictions(run_folder(study, "55"), {"predicted": np.zeros(1500, dtype=np.int64)})
    (note,) = (note for note in notes(one_group(study)) if "always naming" in note)
    assert note.startswith("55, 64 are not shown to be better than always naming")


def test_augmentations_and_seeds_of_single_arms_are_told(tmp_path: Path) -> None:
    content = MadeUp(
        arms={"real": (1, 0), "strong": (1, 0)}, augment={"strong": {"policy": "trivial", "erasing": 0.25}}
    )
    assert "strong (erasing 0.25, policy trivial)" in noted(one_group(make_study(tmp_path / "study", content)))[0]
    content = MadeUp(seeds=(0, 1), failed=[("64", 1)], missing=[("real", 0)])
    told = noted(one_group(make_study(tmp_path / "seeds", content)))
    assert any("only the seeds that both have: 55 (seed 1)" in note for note in told)
    assert any("No seed is shared with real (seed 1)" in note and "64 (seed 0)" in note for note in told)

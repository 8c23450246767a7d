"""What shift sets say: differences and extra losses as defined, pairs that are pairs, gaps that are named."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.inference.intervals import Estimate, paired_difference, wilson
from synthaug.analysis.output.records import robustness_record
from synthaug.analysis.robustness.shift_effects import (
    AT_CHANCE,
    EXCLUDED,
    NOT_EVALUATED,
    ArmShiftResult,
    Robustness,
    ShiftNote,
    ShiftSetResult,
    _at_chance,
    robustness,
)
from synthaug.files import write_json
from synthaug.runs import contents, discovery, layout
from synthaug.runs.discovery import Run
from synthaug.runs.prediction_files import Predictions
from tests.factories.studies import MadeUp, edit_result, make_study, one_group, run_folder

ARMS = {"real": (1.0, 0.0), "55": (0.5, 0.5), "82": (0.2, 0.8)}
CLASSES = ("cat", "dog", "fox")
N = 300


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", MadeUp(ARMS, seeds=(0, 1, 2), classes=CLASSES, n_test=N))


def evaluate(
    study: Path,
    name: str,
    lost: Mapping[str, float],
    paired: bool = True,
    digest: Callable[[Run], str] = lambda _: "d" * 64,
    confidence: float = 0.9,
    origin: str = "real",
) -> None:
    """Answers to a shift set: those to the test, of which an arm gets a share wrong, the same images first."""
    for run in discovery.find_runs(study):
        if run.key.arm not in lost or run.result is None:
            continue
        clean = contents.read_predictions(run.folder)
        hard = np.random.default_rng([*name.encode()]).random(len(clean.labels))
        wrong = hard + 0.02 * run.key.seed < lost[run.key.arm]
        predicted = np.where(wrong, (clean.labels + 1) % len(CLASSES), clean.predicted)
        probabilities = np.full((len(predicted), len(CLASSES)), (1 - confidence) / 2)
        probabilities[np.arange(len(predicted)), predicted] = confidence
        paths = (
            clean.paths if paired else [f"other/{path.split('/')[-2]}/{path.split('/')[-1]}" for path in clean.paths]
        )
        folder = layout.shift_folder(run.folder, name)
        answers = Predictions(paths, clean.labels, predicted, probabilities, list(CLASSES), clean.clusters)
        contents.write_predictions(folder, answers)
        facts = {"origin": origin, "paired_with": "test" if paired else None, "digest": digest(run)}
        write_json(folder / layout.RESULT, {"format": layout.FORMAT, **facts})


def results_of(study: Path) -> Robustness:
    results = robustness(one_group(study))
    assert results is not None
    return results


def arm(result: ShiftSetResult | None, name: str) -> ArmShiftResult:
    assert result is not None
    return next(item for item in result.arms if item.arm == name)


def right(study: Path, name: str, shift: str | None = None) -> NDArray[np.float64]:
    """(seeds, images) of an arm, read without the code under test."""
    rows = []
    for seed in range(3):
        folder = study / "digits" / name / f"seed{seed}"
        predictions = contents.read_predictions(folder / "shifts" / shift if shift else folder)
        rows.append((predictions.predicted == predictions.labels).astype(float))
    return np.array(rows)


def test_a_study_without_shift_sets_has_no_such_part(study: Path) -> None:
    assert robustness(one_group(study)) is None


def test_differences_and_extras_are_what_they_say(study: Path) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.2, "82": 0.3})
    (result,) = results_of(study).sets
    for name in ("55", "82"):
        item = arm(result, name)
        shifted, clean = right(study, name, "noise-1"), right(study, name)
        base, clean_base = right(study, "real", "noise-1"), right(study, "real")
        assert item.accuracy.value == pytest.approx(shifted.mean())
        assert item.difference is not None
        assert item.change is not None
        assert item.extra is not None
        assert item.difference.value == pytest.approx((shifted - base).mean())
        assert item.change.value == pytest.approx((shifted - clean).mean())
        assert item.extra.value == pytest.approx((shifted - base - clean + clean_base).mean())
        expected = paired_difference(shifted - base - clean + clean_base, reach=2.0)
        assert (item.extra.low, item.extra.high) == pytest.approx((expected.low, expected.high))
        assert item.extra.high < 0, "a tenth of the images more is results with three seeds"
    real = arm(result, "real")
    assert real.baseline
    assert (real.difference, real.extra) == (None, None)
    assert real.change is not None
    assert real.change.value == pytest.approx((right(study, "real", "noise-1") - right(study, "real")).mean())


def test_a_pair_of_images_is_sharper_than_two_sets_of_others(study: Path) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "82": 0.2})
    evaluate(study, "dusk", {"real": 0.1, "82": 0.2}, paired=False)
    dusk, noise = results_of(study).sets
    assert (dusk.name, dusk.paired, noise.paired) == ("dusk", False, True)
    apart, paired = arm(dusk, "82").extra, arm(noise, "82").extra
    assert apart is not None
    assert paired is not None
    assert apart.high - apart.low > paired.high - paired.low
    value = (right(study, "82", "dusk") - right(study, "real", "dusk")).mean()
    assert apart.value == pytest.approx(value - (right(study, "82") - right(study, "real")).mean())


def test_the_mean_over_corruptions_counts_every_set_alike(study: Path) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.2})
    evaluate(study, "blur-1", {"real": 0.1, "55": 0.4})
    evaluate(study, "dusk", {"real": 0.1, "55": 0.4}, paired=False)
    results = results_of(study)
    pooled = arm(results.pooled, "55")
    assert pooled.accuracy.value == pytest.approx(
        (right(study, "55", "noise-1").mean() + right(study, "55", "blur-1").mean()) / 2
    )
    extras = [arm(result, "55").extra for result in results.sets if result.paired]
    assert pooled.extra is not None
    assert pooled.extra.value == pytest.approx(np.mean([extra.value for extra in extras if extra]))
    assert pooled.calibration is None


def test_one_corruption_has_no_mean(study: Path) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.2})
    evaluate(study, "dusk", {"real": 0.1}, paired=False)
    assert results_of(study).pooled is None


def test_another_test_set_under_the_same_name_is_named_and_left_out(study: Path) -> None:
    evaluate(
        study,
        "noise-1",
        {"real": 0.1, "55": 0.2},
        digest=lambda run: ("e" if run.label == "55-seed1" else "d") * 64,
    )
    results = results_of(study)
    item = arm(results.sets[0], "55")
    assert item.seeds == (0, 2)
    (note,) = [note for note in results.notes if note.kind == EXCLUDED]
    assert (note.sets, note.names) == (("noise-1",), ("55-seed1",))
    assert note.reason == Reason("other_test_set", {"digest": "e" * 64, "expected": "d" * 64})
    assert item.extra is not None
    assert item.extra.seeds == 2


def test_a_run_that_is_not_compared_is_excluded_from_the_test_as_well(study: Path) -> None:
    evaluate(study, "noise-1", dict.fromkeys(ARMS, 0.1))
    edit_result(run_folder(study, "55", 1), {"data.test": "f" * 64})
    group = one_group(study)
    (left_out,) = group.left_out
    results = results_of(study)
    assert results.notes == (ShiftNote(EXCLUDED, ("test",), ("55-seed1",), left_out.reason),)
    assert (arm(results.test, "55").seeds, arm(results.sets[0], "55").seeds) == ((0, 2), (0, 1, 2))


def test_runs_that_were_not_evaluated_share_a_note(study: Path) -> None:
    for name in ("a", "b", "c", "d"):
        evaluate(study, name, {"real": 0.1, "82": 0.2})
    results = results_of(study)
    lacking = ("55-seed0", "55-seed1", "55-seed2")
    assert results.notes == (ShiftNote(NOT_EVALUATED, ("a", "b", "c", "d"), lacking),)
    assert [item.arm for item in results.sets[0].arms] == ["real", "82"]


def test_without_a_baseline_there_are_accuracies_and_no_differences(study: Path) -> None:
    evaluate(study, "noise-1", {"55": 0.1, "82": 0.2})
    (result,) = results_of(study).sets
    assert [(item.difference, item.extra) for item in result.arms] == [(None, None)] * 2
    assert all(item.change is not None for item in result.arms)


def test_without_a_shared_seed_there_is_a_difference_and_no_extra(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp({"real": (1, 0)}, seeds=(0, 1), classes=CLASSES, n_test=N))
    make_study(study, MadeUp({"55": (0.5, 0.5)}, seeds=(2, 3), classes=CLASSES, n_test=N))
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.3})
    item = arm(results_of(study).sets[0], "55")
    assert item.difference is not None
    assert item.extra is None


def test_an_arm_at_chance_is_noted(study: Path) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.8})
    assert [note.kind for note in results_of(study).notes] == [NOT_EVALUATED, AT_CHANCE]
    note = results_of(study).notes[1]
    assert (note.sets, note.names) == (("noise-1",), ("55",))
    assert note.chance == pytest.approx(1 / 3)


def test_sets_on_which_the_same_arms_are_at_chance_share_a_note(study: Path) -> None:
    for name, lost in (("noise-1", 0.8), ("noise-3", 0.8), ("blur-1", 0.1)):
        evaluate(study, name, {"real": 0.1, "55": lost, "82": 0.1})
    (note,) = [note for note in results_of(study).notes if note.kind == AT_CHANCE]
    assert note.sets == ("noise-1", "noise-3")


def test_seeds_that_differ_are_not_taken_for_chance(study: Path) -> None:
    """Two seeds, far apart, have an interval that reaches below chance; what they have learned does not."""
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.1})
    for seed, lost in ((0, 0.0), (1, 0.4)):
        folder = study / "digits" / "55" / f"seed{seed}" / "shifts" / "noise-1"
        old = contents.read_predictions(folder)
        wrong = np.arange(N) < lost * N
        changed = np.where(wrong, (old.labels + 1) % len(CLASSES), old.labels)
        contents.write_predictions(folder, dataclasses.replace(old, predicted=changed))
    shutil.rmtree(folder.parents[2] / "seed2" / "shifts")
    robust = results_of(study)
    assert arm(robust.sets[0], "55").accuracy.low < robust.sets[0].chance
    assert AT_CHANCE not in [note.kind for note in robust.notes]


def test_confidence_is_that_of_the_answers(study: Path) -> None:
    evaluate(study, "held out", dict.fromkeys(ARMS, 0.4), paired=False, confidence=0.95, origin="synthetic")
    results = results_of(study)
    (result,) = results.sets
    own = [item.calibration for item in results.test.arms]
    assert [item.confidence.value for item in own if item] == pytest.approx([0.9] * len(ARMS))
    for item in result.arms:
        assert item.calibration is not None
        assert item.calibration.confidence.value == pytest.approx(0.95)
        assert item.calibration.overconfidence.value == pytest.approx(0.95 - item.accuracy.value)
        assert item.calibration.overconfidence.low > 0.2
        assert item.calibration.error.value == pytest.approx(0.95 - item.accuracy.value), "all in one bin"
    assert result.origin == "synthetic"


@pytest.mark.parametrize("content", ["", "{}", f'{{"format": {layout.FORMAT}}}'])
def test_a_damaged_result_is_named(study: Path, content: str) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.2})
    broken = study / "digits" / "55" / "seed0" / "shifts" / "noise-1" / layout.RESULT
    broken.write_text(content, encoding="utf-8")
    results = results_of(study)
    assert arm(results.sets[0], "55").seeds == (1, 2)
    assert (results.notes[0].kind, results.notes[0].names) == (EXCLUDED, ("55-seed0",))
    reason = results.notes[0].reason
    assert reason is not None
    assert (reason.code, reason.data["path"]) == ("unreadable_result", str(broken))


def test_holm_counts_every_set_and_arm(study: Path) -> None:
    for name in ("a", "b"):
        evaluate(study, name, {"real": 0.1, "55": 0.12, "82": 0.3})
    extras = [item.extra for result in results_of(study).sets for item in result.arms if item.extra]
    p_values = [extra.p_value for extra in extras if extra.p_value is not None]
    assert len(p_values) == 4
    assert min(extra.adjusted_p or 1 for extra in extras) == pytest.approx(4 * min(p_values))


def test_all_numbers_are_plain_json(study: Path) -> None:
    evaluate(study, "noise-1", {"real": 0.1, "55": 0.2})
    evaluate(study, "blur-1", {"real": 0.1, "55": 0.2})
    content = json.loads(json.dumps(robustness_record(results_of(study)), allow_nan=False))
    assert [item["name"] for item in content["sets"]] == ["test", "corruptions, mean", "blur-1", "noise-1"]
    row = content["sets"][-1]["arms"][1]
    assert row["extra_low"] < row["extra"] < row["extra_high"]
    assert content["sets"][1]["arms"][0]["confidence"] is None


def test_an_arm_as_good_as_chance_to_the_digit_is_at_chance() -> None:
    """The lower end of the interval is compared, and equality is not better."""
    accuracy = Estimate(0.5, 0.4, 0.6)
    low = wilson(50, 100).low
    for chance, kinds in ((low, [AT_CHANCE]), (low - 1e-9, [])):
        result = ShiftSetResult("a", "real", False, 100, chance, "", (ArmShiftResult("55", False, (0,), accuracy),))
        assert [note.kind for note in _at_chance([result])] == kinds

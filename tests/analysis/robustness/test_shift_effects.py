"""What further test sets say: differences and extra losses as defined, pairs that are pairs, gaps that are named."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import paired_difference
from synthaug.analysis.output.records import of_robustness
from synthaug.analysis.robustness.shift_effects import ArmOnSet, JudgedSet, Robustness, robustness
from synthaug.analysis.text.document import markdown
from synthaug.analysis.text.robustness_text import document, findings, summary
from synthaug.files import write_json
from synthaug.runs import contents, discovery, layout
from synthaug.runs.contents import Predictions
from synthaug.runs.discovery import Run
from tests.factories.studies import MadeUp, make_study

ARMS = {"real": (1.0, 0.0), "55": (0.5, 0.5), "82": (0.2, 0.8)}
CLASSES = ("cat", "dog", "fox")
N = 300


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", MadeUp(ARMS, seeds=(0, 1, 2), classes=CLASSES, n_test=N))


def judge(
    study: Path,
    name: str,
    lost: Mapping[str, float],
    paired: bool = True,
    digest: Callable[[Run], str] = lambda _: "d" * 64,
    confidence: float = 0.9,
    origin: str = "real",
) -> None:
    """Predictions on a further test set: those on the test, an arm's share of them wrong, the same images first."""
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
        answers = Predictions(paths, clean.labels, predicted, probabilities, list(CLASSES))
        contents.write_predictions(folder, answers)
        facts = {"format": 1, "origin": origin, "paired_with": "test" if paired else None, "digest": digest(run)}
        write_json(folder / layout.RESULT, facts)


def found_in(study: Path) -> Robustness:
    found = robustness(discovery.find_runs(study))
    assert found is not None
    return found


def arm(one: JudgedSet | None, name: str) -> ArmOnSet:
    assert one is not None
    return next(item for item in one.arms if item.arm == name)


def right(study: Path, name: str, shift: str | None = None) -> NDArray[np.float64]:
    """(seeds, images) of an arm, read without the code under test."""
    rows = []
    for seed in range(3):
        folder = study / "digits" / "tiny_digits" / "resnet18" / name / f"seed{seed}"
        found = contents.read_predictions(folder / "shifts" / shift if shift else folder)
        rows.append((found.predicted == found.labels).astype(float))
    return np.array(rows)


def test_a_study_without_further_test_sets_has_no_such_part(study: Path) -> None:
    assert robustness(discovery.find_runs(study)) is None


def test_differences_and_extras_are_what_they_say(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.2, "82": 0.3})
    (one,) = found_in(study).sets
    for name in ("55", "82"):
        item = arm(one, name)
        here, clean = right(study, name, "noise-1"), right(study, name)
        base, clean_base = right(study, "real", "noise-1"), right(study, "real")
        assert item.accuracy.value == pytest.approx(here.mean())
        assert item.difference is not None
        assert item.change is not None
        assert item.extra is not None
        assert item.difference.value == pytest.approx((here - base).mean())
        assert item.change.value == pytest.approx((here - clean).mean())
        assert item.extra.value == pytest.approx((here - base - clean + clean_base).mean())
        expected = paired_difference(here - base - clean + clean_base, reach=2.0)
        assert (item.extra.low, item.extra.high) == pytest.approx((expected.low, expected.high))
        assert item.extra.high < 0, "a tenth of the images more is found with three seeds"
    real = arm(one, "real")
    assert real.baseline
    assert (real.difference, real.extra) == (None, None)
    assert real.change is not None
    assert real.change.value == pytest.approx((right(study, "real", "noise-1") - right(study, "real")).mean())


def test_a_pair_of_images_is_sharper_than_two_sets_of_others(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "82": 0.2})
    judge(study, "dusk", {"real": 0.1, "82": 0.2}, paired=False)
    dusk, noise = found_in(study).sets
    assert (dusk.name, dusk.paired, noise.paired) == ("dusk", False, True)
    apart, paired = arm(dusk, "82").extra, arm(noise, "82").extra
    assert apart is not None
    assert paired is not None
    assert apart.high - apart.low > paired.high - paired.low
    value = (right(study, "82", "dusk") - right(study, "real", "dusk")).mean()
    assert apart.value == pytest.approx(value - (right(study, "82") - right(study, "real")).mean())


def test_the_mean_over_corruptions_counts_every_set_alike(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.2})
    judge(study, "blur-1", {"real": 0.1, "55": 0.4})
    judge(study, "dusk", {"real": 0.1, "55": 0.4}, paired=False)
    found = found_in(study)
    pooled = arm(found.pooled, "55")
    assert pooled.accuracy.value == pytest.approx(
        (right(study, "55", "noise-1").mean() + right(study, "55", "blur-1").mean()) / 2
    )
    extras = [arm(one, "55").extra for one in found.sets if one.paired]
    assert pooled.extra is not None
    assert pooled.extra.value == pytest.approx(np.mean([extra.value for extra in extras if extra]))
    assert pooled.calibration is None


def test_one_corruption_has_no_mean(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.2})
    judge(study, "dusk", {"real": 0.1}, paired=False)
    assert found_in(study).pooled is None


def test_another_test_set_under_the_same_name_is_named_and_left_out(study: Path) -> None:
    judge(
        study,
        "noise-1",
        {"real": 0.1, "55": 0.2},
        digest=lambda run: ("e" if run.key.label == "55-seed1" else "d") * 64,
    )
    found = found_in(study)
    item = arm(found.sets[0], "55")
    assert item.seeds == (0, 2)
    assert found.notes[0] == (
        f"noise-1: 55-seed1 is left out: other test set: digest {'e' * 12} instead of {'d' * 12}."
    )
    assert item.extra is not None
    assert item.extra.seeds == 2


def test_runs_that_were_not_judged_are_named_in_one_sentence(study: Path) -> None:
    for name in ("a", "b", "c", "d"):
        judge(study, name, {"real": 0.1, "82": 0.2})
    found = found_in(study)
    assert found.notes == ("Not judged on a, b, c and 1 more: 55-seed0, 55-seed1, 55-seed2.",)
    assert [item.arm for item in found.sets[0].arms] == ["real", "82"]


def test_without_a_baseline_there_are_accuracies_and_no_differences(study: Path) -> None:
    judge(study, "noise-1", {"55": 0.1, "82": 0.2})
    (one,) = found_in(study).sets
    assert [(item.difference, item.extra) for item in one.arms] == [(None, None)] * 2
    assert all(item.change is not None for item in one.arms)


def test_without_a_shared_seed_there_is_a_difference_and_no_extra(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp({"real": (1, 0)}, seeds=(0, 1), classes=CLASSES, n_test=N))
    make_study(study, MadeUp({"55": (0.5, 0.5)}, seeds=(2, 3), classes=CLASSES, n_test=N))
    judge(study, "noise-1", {"real": 0.1, "55": 0.3})
    item = arm(found_in(study).sets[0], "55")
    assert item.difference is not None
    assert item.extra is None


def test_an_arm_at_chance_is_said_to_be(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.8})
    assert found_in(study).notes[0] == "Not judged on noise-1: 82-seed0, 82-seed1, 82-seed2."
    assert found_in(study).notes[1] == (
        "noise-1: not shown to be better than always naming the most frequent class (33.3%) is 55, so that differences "
        "there mean little."
    )


def test_sets_on_which_the_same_arms_are_at_chance_share_a_sentence(study: Path) -> None:
    for name, lost in (("noise-1", 0.8), ("noise-3", 0.8), ("blur-1", 0.1)):
        judge(study, name, {"real": 0.1, "55": lost, "82": 0.1})
    notes = [note for note in found_in(study).notes if "most frequent class" in note]
    assert len(notes) == 1
    assert notes[0].startswith("noise-1, noise-3: ")


def test_seeds_that_differ_are_not_taken_for_chance(study: Path) -> None:
    """Two seeds, far apart, have an interval that reaches below chance; what they have learned does not."""
    judge(study, "noise-1", {"real": 0.1, "55": 0.1})
    for seed, lost in ((0, 0.0), (1, 0.4)):
        folder = study / "digits" / "tiny_digits" / "resnet18" / "55" / f"seed{seed}" / "shifts" / "noise-1"
        found = contents.read_predictions(folder)
        wrong = np.arange(N) < lost * N
        changed = np.where(wrong, (found.labels + 1) % len(CLASSES), found.labels)
        contents.write_predictions(folder, dataclasses.replace(found, predicted=changed))
    shutil.rmtree(folder.parents[2] / "seed2" / "shifts")
    robust = found_in(study)
    assert arm(robust.sets[0], "55").accuracy.low < robust.sets[0].chance
    assert not [note for note in robust.notes if "most frequent class" in note]


def test_confidence_is_that_of_the_answers(study: Path) -> None:
    judge(study, "held out", dict.fromkeys(ARMS, 0.4), paired=False, confidence=0.95, origin="synthetic")
    one = found_in(study).sets[0]
    for item in one.arms:
        assert item.calibration is not None
        assert item.calibration.confidence.value == pytest.approx(0.95)
        assert item.calibration.overconfidence.value == pytest.approx(0.95 - item.accuracy.value)
        assert item.calibration.overconfidence.low > 0.2
        assert item.calibration.error.value == pytest.approx(0.95 - item.accuracy.value), "all in one bin"
    assert one.origin == "synthetic"


@pytest.mark.parametrize("content", ["", "{}", '{"format": 1}'])
def test_a_damaged_result_is_named(study: Path, content: str) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.2})
    broken = study / "digits" / "tiny_digits" / "resnet18" / "55" / "seed0" / "shifts" / "noise-1" / layout.RESULT
    broken.write_text(content, encoding="utf-8")
    found = found_in(study)
    assert arm(found.sets[0], "55").seeds == (1, 2)
    assert found.notes[0].startswith(f"noise-1: 55-seed0 is left out: {broken} cannot be read")


def test_holm_counts_every_set_and_arm(study: Path) -> None:
    for name in ("a", "b"):
        judge(study, name, {"real": 0.1, "55": 0.12, "82": 0.3})
    extras = [item.extra for one in found_in(study).sets for item in one.arms if item.extra]
    smallest = min(extras, key=lambda extra: extra.p_value)
    assert len(extras) == 4
    assert smallest.adjusted_p == pytest.approx(4 * smallest.p_value)


def test_all_numbers_are_plain_json(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.2})
    judge(study, "blur-1", {"real": 0.1, "55": 0.2})
    there = json.loads(json.dumps(of_robustness(found_in(study)), allow_nan=False))
    assert [one["name"] for one in there["sets"]] == ["test", "corruptions, mean", "blur-1", "noise-1"]
    row = there["sets"][-1]["arms"][1]
    assert row["extra_low"] < row["extra"] < row["extra_high"]
    assert there["sets"][1]["arms"][0]["confidence"] is None


def test_what_is_said(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "55": 0.1, "82": 0.3})
    judge(study, "blur-1", {"real": 0.3, "55": 0.3, "82": 0.1})
    judge(study, "held_out", dict.fromkeys(ARMS, 0.05), paired=False, origin="synthetic")
    found = found_in(study)
    said = findings(found)
    assert said[0].startswith("55, 2 corrupted test sets together: the loss cannot be told apart from that of real (")
    assert any(line.startswith("82, noise-1: loses ") and "points more than real does" in line for line in said)
    assert any(line.startswith("82, blur-1: loses ") and "points less than real does" in line for line in said)
    assert all(line.endswith(("by Holm.", ").", "more.", "less.")) for line in said)
    text = markdown(document(found))
    assert "nan" not in text.lower()
    assert text.count("\n| held\\_out |") == 6, "in both tables, three arms"
    assert "| corruptions, mean | 300 | 82 |" in text


def test_a_console_is_told_the_mean_over_corruptions_and_where_each_of_them_is(study: Path) -> None:
    for name in ("noise-1", "blur-1"):
        judge(study, name, dict.fromkeys(ARMS, 0.3))
    judge(study, "night", dict.fromkeys(ARMS, 0.3), paired=False)
    text = markdown(summary(found_in(study)))
    assert text.count("\n| corruptions, mean |") == text.count("\n| night |") == 3
    assert "| noise-1 |" not in text
    assert "report.html and results.json" in text


def test_one_corruption_is_shown_itself(study: Path) -> None:
    judge(study, "noise-1", dict.fromkeys(ARMS, 0.3))
    assert "\n| noise-1 |" in markdown(summary(found_in(study)))


def test_a_p_value_that_is_none_is_no_finding(study: Path) -> None:
    judge(study, "noise-1", {"real": 0.1, "82": 0.3})
    found = found_in(study)
    bare = dataclasses.replace(found.sets[0], arms=found.sets[0].arms[:1])
    assert findings(dataclasses.replace(found, sets=(bare,))) == []

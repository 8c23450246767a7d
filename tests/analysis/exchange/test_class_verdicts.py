"""Class by class: what synthetic images do, and which mix to take."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import ClassResult
from synthaug.analysis.exchange.class_verdicts import (
    HARMS,
    HELPS,
    NEUTRAL,
    OPEN,
    class_verdicts,
    group_verdicts,
    recommended_mixes,
)
from synthaug.analysis.exchange.rate import Amounts
from synthaug.analysis.inference.contrasts import class_differences
from tests.factories.exchange_studies import GRID, write_exchange_study
from tests.factories.studies import MadeUp, arm_of, make_study

EACH = 400  # test images of a class
LABELS = np.repeat(np.arange(4), EACH)
NAMES = ["cat", "dog", "emu", "fox"]
Runs = dict[int, NDArray[np.float64]]


def runs(*accuracies: float, seeds: int = 3) -> Runs:
    """The same images are hard for every run; the first ones of each class are predicted correctly."""
    correct = np.concatenate([np.arange(EACH) < round(EACH * accuracy) for accuracy in accuracies])
    return {seed: correct.astype(float) for seed in range(seeds)}


def results(
    arm: Runs, control: Runs, names: Sequence[str] = NAMES, labels: NDArray[np.int64] = LABELS
) -> list[ClassResult]:
    """Return the classes of an arm as a comparison has them, without their accuracy."""
    gains = class_differences(arm, control, LABELS, len(names))
    return [
        ClassResult(name, int(np.sum(label == LABELS)), None, gain=gain)
        for label, (name, gain) in enumerate(zip(names, gains, strict=True))
    ]


def verdicts_of(arm: Runs, control: Runs) -> list[str]:
    return [item.verdict for item in class_verdicts(results(arm, control), margin_fraction=0.02)]


def test_each_verdict_where_it_belongs() -> None:
    control = runs(0.8, 0.8, 0.8, 0.8)
    arm = runs(0.9, 0.7, 0.8, 0.8)
    # So many images change sides in the last class that its mean is hardly determined.
    for right in arm.values():
        right[3 * EACH + 240 : 3 * EACH + 280] = 0
        right[3 * EACH + 320 : 3 * EACH + 350] = 1
    first, *_ = verdicts = class_verdicts(results(arm, control), margin_fraction=0.02)
    assert [item.verdict for item in verdicts] == [HELPS, HARMS, NEUTRAL, OPEN]
    assert first.difference is not None
    assert first.difference.value == pytest.approx(0.1)
    assert [item.n_test for item in verdicts] == [EACH] * 4


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_help_and_harm_are_mirror_images(draw: int) -> None:
    random = np.random.default_rng(draw)
    first, second = ({seed: (random.random(len(LABELS)) < p).astype(float) for seed in (0, 1)} for p in (0.8, 0.84))
    mirrored = {HELPS: HARMS, HARMS: HELPS, NEUTRAL: NEUTRAL, OPEN: OPEN}
    assert verdicts_of(second, first) == [mirrored[verdict] for verdict in verdicts_of(first, second)]


def test_p_values_are_adjusted_for_the_number_of_classes() -> None:
    gain = class_differences(runs(0.82), runs(0.8), LABELS[:EACH], 1)[0]
    assert gain is not None
    p_neutral = [
        class_verdicts([ClassResult(name, EACH, None, gain=gain) for name in names], 0.04)[0].p_neutral
        for names in (NAMES[:1], NAMES)
    ]
    assert p_neutral[0] is not None
    assert p_neutral[1] == pytest.approx(4 * p_neutral[0])


@pytest.mark.parametrize("sign", [-1, 1])
def test_neutral_means_that_the_interval_lies_within_the_margin(sign: int) -> None:
    gain = class_differences(runs(0.8 + sign * 0.02), runs(0.8), LABELS[:EACH], 1)[0]
    assert gain is not None
    gain = replace(gain, adjusted_p=1.0)  # not significant among many classes
    edge = max(abs(gain.low), abs(gain.high))
    for margin_fraction, verdict in ((edge * 1.001, NEUTRAL), (edge * 0.999, OPEN)):
        (item,) = class_verdicts([ClassResult("cat", EACH, None, gain=gain)], margin_fraction)
        assert item.verdict == verdict


def test_a_class_without_images_stays_open() -> None:
    control = runs(0.8, 0.8, 0.8, 0.8)
    *_, last = class_verdicts(results(control, control, [*NAMES, "gnu"]), margin_fraction=0.02)
    assert (last.verdict, last.difference, last.p_neutral, last.n_test) == (OPEN, None, None, 0)


def test_the_mix_of_a_class_is_the_best_or_a_cheaper_one_as_good() -> None:
    arms = [Amounts("real", 1000, 0), Amounts("mixed", 400, 600), Amounts("few", 400, 0)]
    correct = [runs(0.95, 0.9, 0.9, 0.9), runs(0.95, 0.8, 0.9, 0.895), runs(0.7, 0.7, 0.9, 0.7)]
    cat, dog, emu, fox = recommended_mixes(arms, correct, LABELS, NAMES, margin_fraction=0.02)
    assert (cat.best, cat.cheapest, cat.tied) == ("mixed", "mixed", ("real",))
    assert (dog.best, dog.cheapest, dog.tied) == ("real", "real", ())
    assert (emu.best, emu.cheapest, set(emu.tied)) == ("few", "few", {"real", "mixed"})
    assert (fox.best, fox.cheapest) == ("real", "mixed")
    with pytest.raises(ValueError, match="fewer than two seeds"):
        recommended_mixes(arms[:2], [{0: correct[0][0]}, {1: correct[1][1]}], LABELS, NAMES, margin_fraction=0.02)


def test_a_study_has_verdicts_for_arms_with_controls_and_a_mix_for_each_class(tmp_path: Path) -> None:
    (group,) = compare(write_exchange_study(tmp_path / "study")).groups
    by_arm, mixes = group_verdicts(group)
    assert set(by_arm) == {arm.name for arm in GRID if arm.n_synthetic}
    assert all(item.difference and item.difference.value > 0 for item in by_arm["50+2000"])
    assert [item.name for item in mixes] == ["cat", "dog"]


def test_verdicts_are_on_the_gains_of_the_table(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5)}
    (group,) = compare(make_study(tmp_path / "study", MadeUp(arms=arms, seeds=(0, 1, 2), n_test=400))).groups
    by_arm, _ = group_verdicts(group)
    assert [item.difference for item in by_arm["55"]] == [item.gain for item in arm_of(group, "55").classes]
    content = MadeUp(arms=arms, seeds=(0, 1), n_test=400, missing=[("real50", 0), ("55", 1)])
    (group,) = compare(make_study(tmp_path / "apart", content)).groups
    assert arm_of(group, "55").gain is not None
    by_arm, mixes = group_verdicts(group)
    assert {(item.verdict, item.difference) for item in by_arm["55"]} == {(OPEN, None)}, "no seed in common"
    assert mixes == ()

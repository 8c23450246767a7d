"""Class by class: what synthetic images do, and which mix to take."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.exchange import class_verdicts as verdicts
from synthaug.analysis.exchange.class_verdicts import HARMS, HELPS, NEUTRAL, OPEN, class_verdicts, recommended_mixes
from synthaug.analysis.exchange.rate import Amounts
from synthaug.analysis.text.exchange_text import mix_sentence
from tests.factories.exchange_studies import GRID, write_exchange_study
from tests.factories.studies import MadeUp, make_study

EACH = 400  # test images of a class
LABELS = np.repeat(np.arange(4), EACH)
NAMES = ["cat", "dog", "emu", "fox"]
Runs = dict[int, NDArray[np.bool_]]


def runs(*accuracies: float, seeds: int = 3) -> Runs:
    """The same images are hard for every run; the first ones of each class are answered rightly."""
    one = np.concatenate([np.arange(EACH) < round(EACH * accuracy) for accuracy in accuracies])
    return {seed: one.copy() for seed in range(seeds)}


def test_each_verdict_where_it_belongs() -> None:
    control = runs(0.8, 0.8, 0.8, 0.8)
    arm = runs(0.9, 0.7, 0.8, 0.8)
    # So many images change sides in the last class that its mean is known badly.
    for right in arm.values():
        right[3 * EACH + 240 : 3 * EACH + 280] = False
        right[3 * EACH + 320 : 3 * EACH + 350] = True
    found = class_verdicts(arm, control, LABELS, NAMES, margin=0.02)
    assert [item.verdict for item in found] == [HELPS, HARMS, NEUTRAL, OPEN]
    assert found[0].difference is not None
    assert found[0].difference.value == pytest.approx(0.1)
    assert [item.n_test for item in found] == [EACH] * 4


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_help_and_harm_are_mirror_images(draw: int) -> None:
    random = np.random.default_rng(draw)
    first, second = ({seed: random.random(len(LABELS)) < p for seed in (0, 1)} for p in (0.8, 0.84))
    there = class_verdicts(first, second, LABELS, NAMES, margin=0.02)
    back = class_verdicts(second, first, LABELS, NAMES, margin=0.02)
    other = {HELPS: HARMS, HARMS: HELPS, NEUTRAL: NEUTRAL, OPEN: OPEN}
    assert [item.verdict for item in back] == [other[item.verdict] for item in there]


def test_p_values_are_adjusted_for_the_number_of_classes() -> None:
    random = np.random.default_rng(0)
    arm, control = ({seed: random.random(len(LABELS)) < 0.8 for seed in (0, 1)} for _ in range(2))
    alone = class_verdicts(
        {seed: right[:EACH] for seed, right in arm.items()},
        {seed: right[:EACH] for seed, right in control.items()},
        LABELS[:EACH],
        NAMES[:1],
        margin=0.02,
    )
    among = class_verdicts(arm, control, LABELS, NAMES, margin=0.02)
    assert alone[0].p_value is not None
    assert among[0].p_value is not None
    assert among[0].p_value >= alone[0].p_value


def test_a_class_without_images_and_arms_without_common_seeds_stay_open() -> None:
    control = runs(0.8, 0.8, 0.8, 0.8)
    found = class_verdicts(control, control, LABELS, [*NAMES, "gnu"], margin=0.02)
    assert (found[4].verdict, found[4].difference, found[4].p_value, found[4].n_test) == (OPEN, None, None, 0)
    apart = class_verdicts({7: control[0]}, control, LABELS, NAMES, margin=0.02)
    assert {(item.verdict, item.difference) for item in apart} == {(OPEN, None)}


def test_the_mix_of_a_class_is_the_best_or_a_cheaper_one_as_good() -> None:
    arms = [Amounts("real", 1000, 0), Amounts("mixed", 400, 600), Amounts("few", 400, 0)]
    answers = [runs(0.95, 0.9, 0.9, 0.9), runs(0.95, 0.8, 0.9, 0.895), runs(0.7, 0.7, 0.9, 0.7)]
    cat, dog, emu, fox = recommended_mixes(arms, answers, LABELS, NAMES, margin=0.02)
    assert (cat.best, cat.cheapest, cat.tied) == ("mixed", "mixed", ("real",))
    assert (dog.best, dog.cheapest, dog.tied) == ("real", "real", ())
    assert (emu.best, emu.cheapest, set(emu.tied)) == ("few", "few", {"real", "mixed"})
    assert (fox.best, fox.cheapest) == ("real", "mixed")
    many = replace(cat, tied=("a", "b", "c", "d"))
    assert mix_sentence(many, margin=0.02).endswith("not told apart from 4 other arms.")
    assert mix_sentence(cat, margin=0.02) == "cat: mixed is best (95.00 %), not told apart from real."
    assert "mixed has fewer real images and is shown to be less than 1 point worse" in mix_sentence(fox, margin=0.01)
    with pytest.raises(ValueError, match="share no seed"):
        recommended_mixes(arms[:2], [{0: LABELS == 0}, {1: LABELS == 0}], LABELS, NAMES, margin=0.02)


def test_a_study_has_verdicts_for_arms_with_controls_and_a_mix_for_each_class(tmp_path: Path) -> None:
    (group,) = compare(write_exchange_study(tmp_path / "study")).groups
    found, mixes = verdicts.group_verdicts(group)
    assert set(found) == {arm.name for arm in GRID if arm.n_synthetic}
    assert all(item.difference and item.difference.value > 0 for item in found["50+2000"])
    assert [item.name for item in mixes] == ["cat", "dog"]


def test_verdicts_and_the_table_have_the_same_p_values(tmp_path: Path) -> None:
    arms = {"real": (1.0, 0.0), "real50": (0.5, 0.0), "55": (0.5, 0.5)}
    for seeds in ((0,), (0, 1, 2)):
        content = MadeUp(arms=arms, seeds=seeds, n_test=400)
        (group,) = compare(make_study(tmp_path / str(len(seeds)), content)).groups
        judged, _ = verdicts.group_verdicts(group)
        arm = next(arm for arm in group.arms if arm.name == "55")
        for verdict, item in zip(judged["55"], arm.classes, strict=True):
            assert item.gain is not None
            assert verdict.p_value == item.gain.adjusted_p
            assert verdict.difference is not None
            assert (verdict.difference.low, verdict.difference.high) == (item.gain.low, item.gain.high)

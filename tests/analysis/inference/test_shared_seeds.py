"""The seeds' variance of all arms: against the analysis of variance, and on studies whose arms do not vary alike."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from synthaug.analysis.inference.contrasts import borrowed_differences
from synthaug.analysis.inference.intervals import paired_difference
from synthaug.analysis.inference.shared_seeds import SharedSeedVariance, borrowed_difference, shared_seed_variance

tables = st.tuples(st.integers(3, 5), st.integers(2, 4), st.integers(2, 30)).flatmap(
    lambda shape: arrays(float, shape, elements=st.sampled_from([0.0, 1.0, 1.0]))
)


def share(table: NDArray[np.float64]) -> SharedSeedVariance:
    shared = shared_seed_variance(table)
    assert shared is not None
    return shared


def draw(deviations: list[float], seeds: int, images: int, seed: int = 0) -> NDArray[np.float64]:
    """Answers of arms whose accuracy moves by these deviations from seed to seed."""
    random = np.random.default_rng(seed)
    chances = 0.8 + random.normal(size=(len(deviations), seeds, 1)) * np.array(deviations)[:, None, None]
    return np.asarray(random.random((len(deviations), seeds, images)) < chances, dtype=np.float64)


@given(tables)
def test_it_is_the_residual_of_seeds_by_arms_less_what_images_explain(table: NDArray[np.float64]) -> None:
    arms, seeds, images = table.shape
    means = table.mean(axis=2)
    residual = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    mean_square = np.square(residual).sum() / (arms - 1) / (seeds - 1)
    three_way = table - table.mean(axis=0) - means[:, :, None] + means.mean(axis=0)[:, None]
    three_way -= three_way.mean(axis=1, keepdims=True)
    error = np.square(three_way).sum() / (arms - 1) / (seeds - 1) / (images - 1)
    shared = share(table)
    assert shared.variance == pytest.approx(max(mean_square - error / images, 0), abs=1e-12)
    assert shared.degrees_of_freedom == (arms - 1) * (seeds - 1)


@given(tables, st.randoms(use_true_random=False))
def test_what_all_arms_of_a_seed_share_and_every_order_are_without_effect(
    table: NDArray[np.float64], random: Random
) -> None:
    shared = share(table)
    moved = share(table + np.array([random.randint(-3, 3) for _ in table[0]])[:, None])
    assert moved.variance == pytest.approx(shared.variance, abs=1e-12)
    assert moved.homogeneity.ratio == pytest.approx(shared.homogeneity.ratio, abs=1e-6)
    turned = share(table[:, ::-1, ::-1])
    assert turned.homogeneity.p_value == pytest.approx(shared.homogeneity.p_value, abs=0.01)
    assert 0 < shared.homogeneity.p_value <= 1
    assert 0 <= shared.homogeneity.least_stable < len(table)


@given(tables)
def test_it_is_never_surer_than_over_the_images_alone(table: NDArray[np.float64]) -> None:
    differences = table[1] - table[0]
    borrowed = borrowed_difference(differences, share(table))
    crossed = paired_difference(differences)
    assert (borrowed.value, borrowed.centre) == (crossed.value, crossed.centre)
    assert borrowed.variance.half_width() >= crossed.variance.images.half_width(0.05)
    assert borrowed.variance.components[0].variance >= crossed.variance.components[0].variance
    mirrored = borrowed_difference(-differences, share(table))
    assert [mirrored.low, mirrored.high] == pytest.approx([-borrowed.high, -borrowed.low])


def test_two_arms_or_one_seed_lend_nothing() -> None:
    table = draw([0.02] * 4, 3, 100)
    assert shared_seed_variance(table[:2]) is None
    assert shared_seed_variance(table[:, :1]) is None
    with pytest.raises(ValueError, match="two seeds or more"):
        borrowed_difference(table[1, :1] - table[0, :1], share(table))


def test_answers_that_all_agree_vary_alike() -> None:
    shared = share(np.ones((3, 2, 40)))
    assert (shared.variance, shared.homogeneity.p_value) == (0, 1)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_check_holds_its_level_and_names_the_unstable_arm(seeds: int) -> None:
    studies = range(100)
    alike = [share(draw([0.03] * 5, seeds, 400, seed)).homogeneity for seed in studies]
    assert np.mean([check.is_rejected for check in alike]) < 0.16
    apart = [share(draw([0.02, 0.02, 0.2, 0.02, 0.02], seeds, 400, seed)).homogeneity for seed in studies]
    assert np.mean([check.is_rejected for check in apart]) > {2: 0.3, 3: 0.6, 5: 0.9, 10: 0.97}[seeds]
    assert np.mean([check.least_stable == 2 for check in apart if check.is_rejected]) > 0.95


def test_arms_with_more_errors_to_waver_on_vary_alike() -> None:
    """No seed effect, but an arm at 50 % among arms at 99 %: its accuracy varies more, as its images explain."""
    random = np.random.default_rng(0)
    chances = np.array([0.99, 0.99, 0.99, 0.5])[:, None, None]
    checks = [share((random.random((4, 5, 300)) < chances).astype(float)).homogeneity for _ in range(200)]
    assert np.mean([check.is_rejected for check in checks]) < 0.16


def test_three_seeds_that_vary_alike_give_a_shorter_interval_that_covers() -> None:
    covered, widths = [], []
    for seed in range(300):
        table = draw([0.02] * 6, 3, 400, seed)
        pair = [borrowed_difference(table[1] - table[0], share(table)), paired_difference(table[1] - table[0])]
        covered.append(pair[0].contains_zero)
        widths.append([estimate.high - estimate.low for estimate in pair])
    assert np.mean(covered) > 0.93
    ratio = np.divide(*np.mean(widths, axis=0))
    assert ratio < 0.75


def test_differences_of_a_study_share_the_variance_of_the_seeds_that_all_arms_have() -> None:
    table = draw([0.02] * 4, 4, 60)
    arms = [dict(enumerate(arm)) for arm in table]
    del arms[2][3]
    shared, differences = borrowed_differences([(arms[1], arms[0]), (arms[2], arms[1])], arms)
    expected = share(table[:, :3])
    assert shared == expected
    assert differences[0] == borrowed_difference(table[1] - table[0], expected)
    assert differences[1] == borrowed_difference(table[2, :3] - table[1, :3], expected)
    copies = [{seed: np.repeat(values, 2) for seed, values in arm.items()} for arm in arms]
    of_copies = borrowed_differences([(copies[1], copies[0])], copies, np.repeat(np.arange(60), 2))[1][0]
    assert of_copies is not None
    assert differences[0] is not None
    assert [of_copies.low, of_copies.high] == pytest.approx([differences[0].low, differences[0].high])
    assert borrowed_differences([(arms[1], arms[0])], arms[:2]) == (None, [None])
    assert borrowed_differences([], []) == (None, [])


def test_differences_are_withheld_where_arms_do_not_vary_alike() -> None:
    arms = [dict(enumerate(arm)) for arm in draw([0.005, 0.005, 0.3, 0.005], 5, 500)]
    shared, differences = borrowed_differences([(arms[1], arms[0])], arms)
    assert shared is not None
    assert shared.homogeneity.is_rejected
    assert shared.homogeneity.least_stable == 2
    assert differences == [None]

"""Intervals and tests: against scipy, against the published formula, at the edges, and by enumeration."""

import dataclasses
import math
from itertools import combinations
from random import Random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import binomtest, chi2_contingency  # type: ignore[import-untyped, unused-ignore]
from scipy.stats import t as student

from synthaug.analysis.inference.hypothesis_tests import (
    Trend,
    fisher,
    holm,
    kendall,
    mcnemar,
    mcnemar_at_best,
    most_opposed,
    two_proportion_z,
)
from synthaug.analysis.inference.intervals import (
    ALPHA,
    Estimate,
    accuracy_over_seeds,
    auc,
    cluster_means,
    difference_of_differences,
    paired_difference,
    paired_mean_variance,
    sample_deviation,
    unpaired_difference,
    wilson,
)

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_agrees_with_scipy(pair: tuple[int, int]) -> None:
    successes, n = pair
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    got = wilson(successes, n)
    assert got.low == pytest.approx(expected.low, abs=1e-12)
    assert got.high == pytest.approx(expected.high, abs=1e-12)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_of_a_mean_over_seeds(n: int, share: float) -> None:
    got = wilson(share * n, n)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 4), (5, 4), (math.nan, 4)])
def test_wilson_refuses_what_is_no_proportion(successes: float, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_one_seed_is_bonett_and_price(better: int, worse: int, same: int) -> None:
    n = better + worse + same
    if n == 0:
        return
    differences = np.array([1.0] * better + [-1.0] * worse + [0.0] * same)
    p_better, p_worse = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    half = 1.959963984540054 * math.sqrt((p_better + p_worse - (p_better - p_worse) ** 2) / (n + 2))
    got = paired_difference(differences[None])
    assert got.value == pytest.approx((better - worse) / n)
    assert got.low == pytest.approx(max(-1, p_better - p_worse - half), abs=1e-12)
    assert got.high == pytest.approx(min(1, p_better - p_worse + half), abs=1e-12)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 60))
tables = arrays(float, shapes, elements=st.sampled_from([-1.0, 0.0, 0.0, 1.0]))


@given(tables)
def test_crossed_is_sane_and_symmetric(values: NDArray[np.float64]) -> None:
    got = paired_difference(values)
    assert got.value == pytest.approx(values.mean())
    assert -1 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high
    assert (got.p_value is None) == (len(values) == 1)
    assert got.p_value is None or 0 < got.p_value <= 1
    mirrored = paired_difference(-values)
    assert [mirrored.low, mirrored.high] == pytest.approx([-got.high, -got.low])
    assert mirrored.p_value == pytest.approx(got.p_value)
    shuffled = paired_difference(values[::-1, ::-1])
    assert [shuffled.low, shuffled.high] == pytest.approx([got.low, got.high])


@given(tables)
def test_the_p_value_and_the_interval_say_the_same(values: NDArray[np.float64]) -> None:
    got = paired_difference(values)
    if got.p_value is not None and abs(got.p_value - 0.05) > 1e-9 and abs(got.value) < 1:
        assert (got.p_value < 0.05) == (not got.contains_zero)
    for margin in (0.01, 0.2):
        one_sided = got.non_inferiority_p(margin)
        assert 0 <= one_sided <= 1
        if -1 < got.low < got.value and abs(one_sided - 0.025) > 1e-9:
            assert (one_sided < 0.025) == (got.low > -margin)


def test_crossed_by_hand() -> None:
    """Two seeds and three images: mean squares written out from their definition."""
    values = np.array([[1.0, 0.0, -1.0], [0.0, 0.0, -1.0]])
    got = paired_difference(values)
    _, ms_image, ms_error = written_out(values)
    size = math.sqrt(ms_image / (ms_image + ms_error))
    table = np.hstack([values, [[-size, size]] * 2])
    ms_seed, ms_image, ms_error = written_out(table)
    half = math.sqrt((student.ppf(0.975, 1) ** 2 * ms_seed + 1.959963984540054**2 * (ms_image - ms_error)) / 10)
    assert got.value == pytest.approx(-1 / 6)
    assert got.centre == pytest.approx(table.mean())
    assert float(got.variance.half_width()) == pytest.approx(half)
    assert got.p_value is not None
    assert float(got.variance.half_width(got.p_value)) == pytest.approx(abs(got.centre))


def written_out(table: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean squares of seeds, images and the rest."""
    seeds, images, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    s, n = table.shape
    rest = sum((table[i, j] - seeds[i] - images[j] + mean) ** 2 for i in range(s) for j in range(n))
    of_seeds, of_images = sum((seeds - mean) ** 2), sum((images - mean) ** 2)
    return n * of_seeds / (s - 1), s * of_images / (n - 1), rest / (s - 1) / (n - 1)


def test_seeds_that_agree_by_chance_leave_the_images_interval() -> None:
    """Two seeds with the same mean that get no image wrong together: the parts of the variance look too small."""
    answers = np.zeros((2, 1000))
    answers[0, :40] = answers[1, 40:80] = -1
    got = paired_difference(answers)
    of_seeds, rest = got.variance.components
    assert of_seeds.variance == 0
    assert rest.variance < got.variance.images.variance / 4
    alone = 2 * 1.959963984540054 * math.sqrt(float(got.variance.images.variance))
    assert got.high - got.low == pytest.approx(alone)
    assert got.p_value == pytest.approx(2 * (1 - NormalDist().cdf(-got.centre * 2 * 1.959963984540054 / alone)))


def test_many_tables_at_once_are_as_each_alone() -> None:
    draws = np.random.default_rng(3).choice([1.0, -1.0, 0.0], p=[0.03, 0.06, 0.91], size=(50, 3, 40))
    draws[0] = 0
    centres, spread = paired_mean_variance(draws)
    alone = [paired_difference(table) for table in draws]
    np.testing.assert_allclose(centres, [estimate.centre for estimate in alone])
    np.testing.assert_allclose(spread.half_width(), [estimate.variance.half_width() for estimate in alone])


def test_identical_predictions_leave_room_for_doubt() -> None:
    for seeds in (1, 3):
        got = paired_difference(np.zeros((seeds, 1500)))
        assert got.value == 0
        assert got.low == pytest.approx(-got.high)
        assert 0 < got.high < 0.01
        assert got.p_value == (None if seeds == 1 else 1)


def test_crossed_refuses_an_empty_table() -> None:
    with pytest.raises(ValueError, match="at least one seed and one image"):
        paired_difference(np.zeros((0, 5)))


def test_coverage_of_one_seed() -> None:
    """4,000 made-up test sets of 300 images, 6 % and 3 % discordant: covered about 95 % of the time."""
    random = np.random.default_rng(0)
    truth = 0.03 - 0.06
    draws = random.choice([1.0, -1.0, 0.0], p=[0.03, 0.06, 0.91], size=(4000, 1, 300))
    assert 0.94 < coverage(draws, truth) < 0.975


def test_coverage_of_three_seeds_that_move() -> None:
    """Every seed moves the difference: an interval over images alone would hold the truth half as often as it says."""
    random = np.random.default_rng(1)
    moved = random.normal(-0.02, 0.015, size=(2000, 3, 1))
    draws = random.choice([1.0, -1.0, 0.0], p=[0.03, 0.03, 0.94], size=(2000, 3, 400))
    draws = np.where(random.random(draws.shape) < np.abs(moved), np.sign(moved), draws)
    truth = -0.02
    assert 0.94 < coverage(draws, truth) < 0.99
    assert coverage(draws.mean(axis=1, keepdims=True), truth) < 0.9


def coverage(studies: NDArray[np.float64], truth: float) -> float:
    return float(np.mean([estimate.low <= truth <= estimate.high for estimate in map(paired_difference, studies)]))


def test_seeds_that_are_not_shared_are_two_samples() -> None:
    """With no difference between images the chance is that of the seeds' means alone, each arm's by its own t."""
    random = np.random.default_rng(2)
    first, second = random.random((4, 1)) * np.ones((4, 300)), random.random((3, 1)) * np.ones((3, 300))
    got = unpaired_difference(first, second)
    assert got.value == pytest.approx(first.mean() - second.mean())
    moved = [(first, 3), (second, 2)]
    squares = sum(student.ppf(0.975, free) ** 2 * arm[:, 0].var(ddof=1) / len(arm) for arm, free in moved)
    assert float(got.variance.half_width()) ** 2 == pytest.approx(squares, rel=0.03)  # two images were added
    assert unpaired_difference(first, second[:1]).seeds == 1


@given(arrays(float, shapes, elements=st.sampled_from([0.0, 1.0, 1.0])))
def test_accuracy_over_seeds_stays_within_bounds(correct: NDArray[np.float64]) -> None:
    got = accuracy_over_seeds(correct)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high
    if len(correct) == 1:
        assert got == wilson(correct.sum(), correct.size)


def test_accuracy_of_seeds_that_move_is_less_sure() -> None:
    random = np.random.default_rng(3)
    steady = (random.random((5, 500)) < 0.9).astype(float)
    moving = (random.random((5, 500)) < np.array([0.7, 0.8, 0.9, 0.95, 0.99])[:, None]).astype(float)
    width = [estimate.high - estimate.low for estimate in map(accuracy_over_seeds, (steady, moving))]
    assert width[1] > 3 * width[0]


def test_accuracy_over_seeds_by_hand() -> None:
    """Wilson's interval for as many images as a simple random sample would need to be as wide."""
    random = np.random.default_rng(4)
    chances = np.array([[0.85], [0.9], [0.95]]) + np.where(random.random(200) < 0.1, -0.5, 0.05)
    correct = (random.random((3, 200)) < chances).astype(float)
    z, p, (ms_seed, ms_image, ms_error) = 1.959963984540054, correct.mean(), written_out(correct)
    half = math.sqrt((student.ppf(0.975, 2) ** 2 * ms_seed + z**2 * max(ms_image - ms_error, 0)) / correct.size)
    assert half > z * correct.mean(axis=0).std() / math.sqrt(200) / 2  # the least that it may be
    images = p * (1 - p) * (z / half) ** 2
    assert images < correct.size
    got = accuracy_over_seeds(correct)
    assert got.value == pytest.approx(p)
    assert [got.low, got.high] == pytest.approx(roots_of_wilson(p, images))


def test_accuracy_over_seeds_towards_one_half_is_never_surer_than_of_one_seed() -> None:
    correct = np.ones((2, 1000))
    correct[0, :40] = correct[1, 40:80] = 0  # the same mean, and no image wrong twice
    got = accuracy_over_seeds(correct)
    assert [got.low, got.high] == pytest.approx([roots_of_wilson(0.96, 1000)[0], roots_of_wilson(0.96, 2000)[1]])
    wrong = accuracy_over_seeds(1 - correct)
    assert [wrong.low, wrong.high] == pytest.approx([1 - got.high, 1 - got.low])


def roots_of_wilson(p: float, n: float) -> list[float]:
    """The two truths t at which p is as far off as the normal quantile allows: (p - t)^2 = z^2 t (1 - t) / n."""
    of_n = 1.959963984540054**2 / n
    return sorted(np.roots([1 + of_n, -2 * p - of_n, p * p]).real)


def test_contains_zero() -> None:
    assert Estimate(0.1, 0.0, 0.2).contains_zero
    assert not Estimate(-0.1, -0.2, -0.01).contains_zero


def test_deviation_needs_two() -> None:
    assert sample_deviation([0.9]) is None
    assert sample_deviation([0.9, 0.92]) == pytest.approx(0.02 / math.sqrt(2))


# --- tests -------------------------------------------------------------------------------------------

small = st.integers(1, 25).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
shares = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(counts, counts)
def test_z_is_the_root_of_pearsons_chi_squared(first: tuple[int, int], second: tuple[int, int]) -> None:
    (k1, n1), (k2, n2) = first, second
    got = two_proportion_z(k1, n1, k2, n2)
    if 0 < k1 + k2 < n1 + n2:
        expected = chi2_contingency([[k1, n1 - k1], [k2, n2 - k2]], correction=False).pvalue
        assert got == pytest.approx(expected, abs=1e-9)
    else:
        assert got == 1


@given(small, small)
def test_fisher_adds_up_all_tables_that_are_no_likelier(first: tuple[int, int], second: tuple[int, int]) -> None:
    (k1, n1), (k2, n2) = first, second
    right = k1 + k2
    ways = [math.comb(n1, k) * math.comb(n2, right - k) for k in range(max(0, right - n2), min(n1, right) + 1)]
    observed = math.comb(n1, k1) * math.comb(n2, k2)
    expected = sum(way for way in ways if way <= observed) / sum(ways)
    assert fisher(k1, n1, k2, n2) == pytest.approx(expected)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_a_binomial_test(better: int, worse: int) -> None:
    expected = binomtest(better, better + worse).pvalue if better + worse else 1
    assert mcnemar(better, worse) == pytest.approx(expected)
    assert mcnemar(better, worse) == mcnemar(worse, better)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_no_pairing_is_more_significant_than_the_best(counted: tuple[int, int, int]) -> None:
    k1, k2, n = counted
    both_right = range(max(0, k1 + k2 - n), min(k1, k2) + 1)  # every pairing that the two counts allow
    estimate = [mcnemar(k1 - both, k2 - both) for both in both_right]
    assert min(estimate) == pytest.approx(mcnemar_at_best(k2 - k1))
    assert max(estimate) == pytest.approx(mcnemar(k1 - both_right[0], k2 - both_right[0]))
    assert mcnemar_at_best(k2 - k1) == min(1, 2 * 0.5 ** abs(k2 - k1))


@given(st.integers(-60, 60))
def test_as_many_images_may_go_against_a_difference(difference: int) -> None:
    opposed = most_opposed(difference)
    size = abs(difference)
    if opposed is None:
        assert mcnemar(size, 0) > ALPHA
    else:
        assert mcnemar(size + opposed, opposed) <= ALPHA < mcnemar(size + opposed + 1, opposed + 1)


@given(p_values, st.floats(0.001, 0.5))
def test_holm_rejects_step_by_step(values: list[float], alpha: float) -> None:
    adjusted = holm(values)
    rejected, left = set(), sorted(range(len(values)), key=values.__getitem__)
    while left and values[left[0]] * len(left) <= alpha:
        rejected.add(left.pop(0))
    assert {place for place, value in enumerate(adjusted) if value <= alpha} == rejected
    assert all(raw <= value <= 1 for raw, value in zip(values, adjusted, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.0625, 1, 0.0625, 0.03125]) == [0.1875, 1, 0.1875, 0.125]
    assert holm([]) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=20))
def test_kendall_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    signs = [(np.sign(b[0] - a[0]), np.sign(b[1] - a[1])) for a, b in combinations(pairs, 2)]
    untied = [sum(sign[side] != 0 for sign in signs) for side in (0, 1)]
    estimate = kendall(first, second)
    if 0 in untied:
        assert estimate is None
        return
    assert estimate is not None
    assert estimate.tau == pytest.approx(sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1]))
    assert 0 <= estimate.p_value <= 1


def test_kendall_of_four_in_order() -> None:
    assert kendall([1, 2, 3, 4], [8, 6, 4, 2]) == Trend(-1, 2 / 24)
    assert kendall([1], [2]) is kendall([1, 2], [3, 3]) is kendall([3, 3], [1, 2]) is None


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_contrast_of_other_images_adds_up_what_is_open(seeds: int) -> None:
    rng = np.random.default_rng(0)
    first, second = (paired_difference(rng.choice([-1.0, 0.0, 1.0], (seeds, n), p=[0.1, 0.8, 0.1])) for n in (400, 900))
    estimate = difference_of_differences(first, second)
    assert estimate.value == pytest.approx(first.value - second.value)
    assert estimate.low < estimate.value < estimate.high
    wider = max(first.high - first.low, second.high - second.low)
    assert wider < estimate.high - estimate.low < (first.high - first.low) + (second.high - second.low)
    assert estimate.is_significant == (seeds > 1 and not estimate.contains_zero)
    assert estimate.seeds == seeds


@pytest.mark.parametrize(("first_seeds", "second_seeds"), [(1, 1), (4, 3), (4, 1)])
def test_variances_of_a_contrast_add_up(first_seeds: int, second_seeds: int) -> None:
    """Component by component, each with its own quantile; one seed on either side leaves the images alone."""
    rng = np.random.default_rng(5)
    first, second = (
        paired_difference(rng.choice([-1.0, 0.0, 1.0], (seeds, 200), p=[0.2, 0.7, 0.1]))
        for seeds in (first_seeds, second_seeds)
    )
    estimate = difference_of_differences(first, second)
    sides = [item.variance for item in (first, second)]
    components = [item.images for item in sides]
    if min(first_seeds, second_seeds) > 1:
        components = [component for item in sides for component in item.components]
    half = math.sqrt(sum(float(component.half_width(0.05)) ** 2 for component in components))
    assert estimate.centre == pytest.approx(first.centre - second.centre)
    assert [estimate.low, estimate.high] == pytest.approx([estimate.centre - half, estimate.centre + half])
    assert estimate.seeds == min(first_seeds, second_seeds)


@pytest.mark.parametrize(("zeros", "is_cut"), [(1, True), (40, False)])
def test_a_contrast_reaches_twice_as_far_as_a_difference(zeros: int, is_cut: bool) -> None:
    first, second = (paired_difference(np.array([[value] * 100 + [0.0] * zeros])) for value in (1.0, -1.0))
    estimate = difference_of_differences(first, second)
    high = estimate.centre + float(estimate.variance.half_width())
    assert (high > 2) == is_cut
    assert estimate.high == pytest.approx(min(2, high))
    assert 1 < estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize(("adjusted_p", "expected"), [(None, True), (0.05, True), (0.0501, False)])
def test_significance_is_judged_after_the_correction(adjusted_p: float | None, expected: bool) -> None:
    estimate = dataclasses.replace(paired_difference(np.zeros((1, 9))), p_value=0.05, adjusted_p=adjusted_p)
    assert estimate.is_significant == expected


def test_intervals_of_a_contrast_cover() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        arms = [rng.choice([-1.0, 0.0, 1.0], (3, 300), p=[p, 0.8 - p, 0.2]) for p in (0.3, 0.1)]
        contrast = difference_of_differences(paired_difference(arms[0]), paired_difference(arms[1]))
        hits += contrast.low <= -0.2 <= contrast.high
    assert hits >= 279


# --- near duplicates ---------------------------------------------------------------------------------


@given(tables, st.randoms(use_true_random=False))
def test_clusters_keep_the_mean_and_of_single_images_everything(values: NDArray[np.float64], random: Random) -> None:
    images = values.shape[1]
    clusters = np.array([random.randrange(images) for _ in range(images)])
    means = cluster_means(values, clusters)
    assert means.shape == (len(values), len(set(clusters.tolist())))
    assert means.mean(axis=1) == pytest.approx(values.mean(axis=1))
    assert np.array_equal(cluster_means(values, np.arange(images)[::-1]), values)
    assert np.array_equal(cluster_means(values, None), values)


def test_copies_of_images_add_nothing() -> None:
    values = np.random.default_rng(0).choice([-1.0, 0.0, 0.0, 1.0], (3, 50))
    thrice, clusters = np.repeat(values, 3, axis=1), np.repeat(np.arange(50), 3)
    assert cluster_means(thrice, clusters) == pytest.approx(values)
    correct, copies = (values >= 0).astype(float), (thrice >= 0).astype(float)
    for seeds in (1, 3):
        once, estimate = accuracy_over_seeds(correct[:seeds]), accuracy_over_seeds(copies[:seeds], clusters=clusters)
        assert [estimate.low, estimate.high] == pytest.approx([once.low, once.high])
    assert accuracy_over_seeds(np.ones((1, 150)), clusters=clusters).low == wilson(50, 50).low


def test_clusters_of_different_sizes_cost_no_more_than_they_tell() -> None:
    """Twenty of 520 images stand there four times: hardly anything is lost, and the size of a cluster is no answer."""
    random = np.random.default_rng(0)
    clusters = np.concatenate([np.arange(500), np.repeat(np.arange(500, 520), 4)])
    correct = (random.random((1, 520)) < 0.97).astype(float)[:, clusters]
    estimate, alone = accuracy_over_seeds(correct, clusters=clusters), accuracy_over_seeds(correct)
    assert estimate.value == alone.value
    assert 0.9 < (estimate.high - estimate.low) / (alone.high - alone.low) < 1.5


@given(st.lists(st.integers(0, 5), min_size=2, max_size=12), st.lists(st.integers(0, 5), min_size=2, max_size=12))
def test_the_area_is_the_share_of_pairs_in_order(negative: list[int], positive: list[int]) -> None:
    area = auc(negative, positive)
    pairs = [(low < high) + (low == high) / 2 for low in negative for high in positive]
    assert area.value == pytest.approx(np.mean(pairs))
    assert 0 <= area.low <= area.value <= area.high <= 1
    assert area.high - area.low > 0.05
    turned = auc(positive, negative)
    assert (turned.low, turned.high) == pytest.approx((1 - area.high, 1 - area.low))


@pytest.mark.parametrize(("shift", "images"), [(0.0, 20), (0.0, 100), (1.2, 20), (2.3, 40)])
def test_the_interval_of_the_area_holds_the_truth(shift: float, images: int) -> None:
    truth = NormalDist().cdf(shift / 2**0.5)
    random = np.random.default_rng(int(10 * shift) + images)
    areas = [auc(random.normal(size=images), random.normal(shift, size=images)) for _ in range(1000)]
    assert 0.93 <= np.mean([area.low <= truth <= area.high for area in areas]) <= 0.985


def test_the_area_needs_two_scores_of_each_kind() -> None:
    with pytest.raises(ValueError, match="two or more"):
        auc([1.0], [2.0, 3.0])

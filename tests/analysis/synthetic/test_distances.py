"""Distances between two sets of embeddings, beside other formulas, a library and known truths."""

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from synthaug.analysis.synthetic.embedded import Embedded
from synthaug.analysis.synthetic.frechet import extrapolated_distance, frechet_distance
from synthaug.analysis.synthetic.kernel_distance import kernel_distance

Array = NDArray[np.float64]


def normal(seed: int, count: int, dimension: int, shift: float = 0.0, scale: float = 1.0) -> Array:
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((dimension, dimension)) / np.sqrt(dimension)
    return np.asarray(random.standard_normal((count, dimension)) @ mixed * scale + shift)


def of_class(vectors: Array) -> Embedded:
    return Embedded(vectors, np.zeros(len(vectors), dtype=np.int64))


@pytest.mark.parametrize(("n", "m", "dimension"), [(60, 80, 7), (9, 7, 20), (30, 6, 10)])
def test_the_frechet_distance_is_that_of_its_definition(n: int, m: int, dimension: int) -> None:
    first, second = normal(0, n, dimension), normal(1, m, dimension, shift=0.5, scale=1.5)
    covariances = [np.cov(vectors, rowvar=False) for vectors in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1] + 1e-12 * np.eye(dimension)).real
    shift = first.mean(axis=0) - second.mean(axis=0)
    defined = shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(defined, rel=1e-3)
    parts = [torch.tensor(part) for of_set in zip((first, second), covariances, strict=True) for part in of_set]
    library = _compute_fid(parts[0].mean(dim=0), parts[1], parts[2].mean(dim=0), parts[3])
    assert frechet_distance(first, second) == pytest.approx(float(library), rel=1e-3)


def test_the_frechet_distance_of_a_set_to_itself_is_0_and_of_a_moved_one_the_squared_move() -> None:
    first = normal(0, 50, 8)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + 2.0) == pytest.approx(8 * 4)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_the_extrapolated_distance_is_the_true_one_of_which_few_images_show_a_multiple(decay: float) -> None:
    random = np.random.default_rng(0)
    dimension, count = 24, 72
    variances = np.arange(1, dimension + 1) ** -decay
    truth = 0.25 * dimension + (variances * (1 - np.sqrt(1.3)) ** 2).sum()
    plain, extrapolated = [], []
    for _ in range(20):
        first = random.standard_normal((count, dimension)) * np.sqrt(variances)
        second = random.standard_normal((count, dimension)) * np.sqrt(1.3 * variances) + 0.5
        plain.append(frechet_distance(first, second))
        extrapolated.append(extrapolated_distance(of_class(first), of_class(second), random))
    assert np.mean(plain) > truth + 0.5
    estimates = [estimate for estimate in extrapolated if estimate is not None]
    assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(truth, rel=0.06)
    covered = [estimate.low <= truth <= estimate.high for estimate in estimates]
    assert np.mean(covered) >= 0.8
    error = np.mean([estimate.high - estimate.value for estimate in estimates])
    assert error < 6 * np.std([estimate.value for estimate in estimates])


def test_too_few_images_are_not_extrapolated() -> None:
    random = np.random.default_rng(0)
    assert extrapolated_distance(of_class(normal(0, 100, 8)), of_class(normal(1, 15, 8)), random) is None
    assert extrapolated_distance(of_class(normal(0, 16, 8)), of_class(normal(1, 16, 8)), random) is not None


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 1000))
def test_halves_and_groups_have_equally_many_of_each_class(labels: list[int], seed: int) -> None:
    of_each = np.array(labels, dtype=np.int64)
    images = Embedded(np.arange(len(labels), dtype=np.float64)[:, None], of_each)
    first, second = images.halves(np.random.default_rng(seed))
    assert not {*first.vectors.ravel()} & {*second.vectors.ravel()}
    counts = np.bincount(of_each, minlength=4)
    for half in (first, second):
        assert np.bincount(half.labels, minlength=4).tolist() == (counts // 2).tolist()
        assert half.labels.tolist() == of_each[half.vectors.ravel().astype(int)].tolist()
    groups = images.groups(3, np.random.default_rng(seed))
    for label in range(4):
        sizes = np.bincount(groups[of_each == label], minlength=3)
        assert sizes.max() - sizes.min() <= 1


def brute_force_kernel_distance(first: Array, second: Array) -> float:
    def mean(left: Array, right: Array, same: bool) -> float:
        kernel = (left @ right.T / left.shape[1] + 1) ** 3
        return float(kernel[~np.eye(len(left), dtype=bool)].mean()) if same else float(kernel.mean())

    return mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)


@given(n=st.integers(4, 12), m=st.integers(4, 12), seed=st.integers(0, 1000))
def test_the_kernel_distance_of_one_class_is_that_of_its_definition(n: int, m: int, seed: int) -> None:
    first, second = normal(seed, n, 5), normal(seed + 1, m, 5, shift=0.3)
    estimate = kernel_distance(of_class(first), of_class(second))
    assert estimate.value == pytest.approx(brute_force_kernel_distance(first, second), abs=1e-9)


def test_its_interval_is_that_of_the_jackknife() -> None:
    first, second = normal(0, 60, 5), normal(1, 50, 5, shift=0.3)
    estimate = kernel_distance(of_class(first), of_class(second))
    without = [brute_force_kernel_distance(np.delete(first, row, 0), second) for row in range(60)]
    without_second = [brute_force_kernel_distance(first, np.delete(second, row, 0)) for row in range(50)]
    error = 1.96 * np.sqrt(59 * np.var(without) + 49 * np.var(without_second))
    assert estimate.high - estimate.value == pytest.approx(error, rel=0.05)


def test_the_kernel_distance_is_that_of_the_library() -> None:
    first, second = normal(0, 40, 6), normal(1, 40, 6, shift=0.4)  # which takes equally many alone
    library = poly_mmd(torch.tensor(first), torch.tensor(second))
    assert kernel_distance(of_class(first), of_class(second)).value == pytest.approx(float(library))


def test_large_sets_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = of_class(normal(0, 40, 6)), of_class(normal(1, 30, 6, shift=0.4))
    whole = kernel_distance(first, second)
    monkeypatch.setattr("synthaug.analysis.synthetic.kernel_distance.CHUNK", 7)
    assert kernel_distance(first, second).value == pytest.approx(whole.value)


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_kernel_distance_is_unbiased_and_its_interval_covers(shift: float, classes: int) -> None:
    random = np.random.default_rng(0)

    def draw(count: int, move: float) -> Embedded:
        labels = np.arange(count) % classes
        return Embedded(random.standard_normal((count, 8)) + 2 * np.eye(8)[labels] + move, labels)

    truth = kernel_distance(draw(4000, 0), draw(4000, shift)).value if shift else 0.0
    estimates = [kernel_distance(draw(32, 0), draw(32, shift)) for _ in range(300)]
    values = np.array([estimate.value for estimate in estimates])
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(300) + 0.02 * truth
    assert np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]) > 0.92

"""Precision, recall, density and coverage by naive loops over their definitions; diversity at its extremes."""

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.analysis.synthetic.diversity import mean_distance, vendi_score
from synthaug.analysis.synthetic.neighbourhoods import compare_neighbourhoods, squared_distances

Array = NDArray[np.float64]


def radius(vectors: Array, row: int, k: int) -> float:
    return float(sorted(np.linalg.norm(np.delete(vectors, row, 0) - vectors[row], axis=1))[k - 1])


@given(n=st.integers(6, 14), m=st.integers(6, 14), seed=st.integers(0, 1000), shift=st.floats(0, 2))
def test_they_are_as_defined(n: int, m: int, seed: int, shift: float) -> None:
    random = np.random.default_rng(seed)
    real, synthetic = random.standard_normal((n, 3)), random.standard_normal((m, 3)) + shift
    result = compare_neighbourhoods(real, synthetic)

    def inside(point: Array, vectors: Array, k: int) -> list[bool]:
        return [float(np.linalg.norm(point - v)) <= radius(vectors, row, k) for row, v in enumerate(vectors)]

    assert result.precision.value == pytest.approx(np.mean([any(inside(p, real, 3)) for p in synthetic]))
    assert result.recall.value == pytest.approx(np.mean([any(inside(p, synthetic, 3)) for p in real]))
    assert result.density == pytest.approx(np.mean([sum(inside(p, real, 5)) / 5 for p in synthetic]))
    covered = [min(np.linalg.norm(synthetic - real[row], axis=1)) <= radius(real, row, 5) for row in range(n)]
    assert result.coverage.value == pytest.approx(np.mean(covered))
    distances = scipy.spatial.distance.cdist(synthetic, real)
    assert result.nearest.tolist() == distances.argmin(axis=1).tolist()
    expected = [distances[row, near] / radius(real, near, 1) for row, near in enumerate(result.nearest)]
    np.testing.assert_allclose(result.closeness, expected, atol=1e-6)


def test_copies_are_at_distance_0_and_other_sets_far(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    real = random.standard_normal((50, 4))
    result = compare_neighbourhoods(real, real[:20])
    np.testing.assert_allclose(result.closeness, 0, atol=1e-5)
    assert result.nearest.tolist() == list(range(20))
    assert result.precision.value == 1
    apart = compare_neighbourhoods(real, real + 100)
    assert (apart.precision.value, apart.recall.value, apart.density, apart.coverage.value) == (0, 0, 0, 0)
    mixed = random.standard_normal((30, 4))
    whole = compare_neighbourhoods(real, mixed)
    monkeypatch.setattr("synthaug.analysis.synthetic.neighbourhoods.CHUNK", 7)
    parts = compare_neighbourhoods(real, mixed)
    assert (parts.precision, parts.recall, parts.coverage) == (whole.precision, whole.recall, whole.coverage)
    assert parts.density == whole.density


def test_sets_of_one_distribution_have_density_1() -> None:
    random = np.random.default_rng(0)
    result = compare_neighbourhoods(random.standard_normal((1000, 3)), random.standard_normal((1000, 3)))
    assert result.density == pytest.approx(1, abs=0.1)
    assert result.coverage.value == pytest.approx(1 - 0.5**5, abs=0.03)  # Naeem et al., equation 9


def test_the_vendi_score_counts_the_different_images() -> None:
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1)
    assert vendi_score(np.eye(5)) == pytest.approx(5)
    assert vendi_score(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)
    random = np.random.default_rng(0)
    for shape in ((20, 6), (5, 12)):
        vectors = random.standard_normal(shape)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        eigenvalues = np.linalg.eigvalsh(unit @ unit.T / len(unit)).clip(1e-300)
        assert vendi_score(vectors) == pytest.approx(np.exp(-(eigenvalues * np.log(eigenvalues)).sum()))


def test_distances_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    first, second = random.standard_normal((30, 5)), random.standard_normal((20, 5))
    np.testing.assert_allclose(squared_distances(first, second), scipy.spatial.distance.cdist(first, second) ** 2)
    assert mean_distance(first) == pytest.approx(scipy.spatial.distance.pdist(first).mean())

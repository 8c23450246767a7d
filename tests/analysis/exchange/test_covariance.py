"""How errors of arms vary together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from synthaug.analysis.exchange.covariance import towards_identity, variation


@given(st.integers(1, 12), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_the_covariance_is_pulled_as_scikit_learn_does(variables: int, observations: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((variables, variables)) @ random.standard_normal((variables, observations))
    expected = ledoit_wolf(mixed.T, assume_centered=True)[0]
    np.testing.assert_allclose(towards_identity(mixed), expected, rtol=1e-9, atol=1e-9)


def test_variances_do_without_the_correlation() -> None:
    random = np.random.default_rng(0)
    shared = random.random(200) < 0.9
    answers = [{seed: (shared ^ (random.random(200) < 0.05)).astype(np.float64) for seed in range(3)} for _ in range(4)]
    error = np.array([0.1, 0.12, 0.15, 0.2])
    whole, alone = (variation(answers, correlated=correlated).covariance(error) for correlated in (True, False))
    np.testing.assert_allclose(np.diag(alone), np.diag(whole))
    assert not np.allclose(alone, whole)
    assert whole[0, 1] == pytest.approx(whole[1, 0])

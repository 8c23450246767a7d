"""Compositions that are derived from another one are what Hydra would have composed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from synthaug.config import schema
from synthaug.config.compose import Composer, initialized_hydra

VALUES = {
    "seed": st.integers(0, 9).map(str),
    "model.lr": st.sampled_from(["1e-3", "0.1", "1"]),
    "trainer.max_epochs": st.sampled_from(["1", "null", "-1"]),
    "experiment": st.sampled_from(["a", "'b=c,d'", "x-${seed}", "null"]),
    "controls": st.sampled_from(["true", "false", "1"]),
    "dataset.split.val": st.sampled_from(["0.1", "0.2"]),
    "dataset.split": st.sampled_from(["null", "{val: 0.3}"]),
    "dataset.root": st.sampled_from(["photos", "/data/${seed}"]),
    "dataset.augment": st.sampled_from(["{policy: trivial}", "{erasing: 0.25}"]),
    "shift": st.sampled_from(["corruptions", "none"]),
    "mix": st.sampled_from(["real", "'55'"]),
    "hydra.job.chdir": st.sampled_from(["true", "false"]),
}


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    schema.register()
    with initialized_hydra(None) as composer:
        yield composer


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Overrides of two runs: the same keys in the same order, the values of one or two of them changed."""
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    base = [f"{key}={draw(VALUES[key])}" for key in keys]
    changed = draw(st.sets(st.sampled_from(range(len(keys))), min_size=1, max_size=2))
    return base, [f"{key}={draw(VALUES[key])}" if i in changed else base[i] for i, key in enumerate(keys)]


def composed(composer: Composer, overrides: list[str]) -> object:
    """All that a configuration says; the error where there is none."""
    try:
        return OmegaConf.to_container(composer.compose(overrides))
    except Exception as error:
        return type(error), str(error)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example((["seed=0", "seed=1"], ["seed=2", "seed=1"]))
@example((["dataset.split={val: 0.3}", "seed=0"], ["dataset.split=null", "seed=0"]))
@example((["dataset.split.val=0.1", "dataset.split={val: 0.3}"], ["dataset.split.val=0.2", "dataset.split={val: 0.3}"]))
@example((["experiment=null"], ["experiment=a"]))
@example((["dataset.augment={erasing: 0.25, policy: trivial}"], ["dataset.augment={erasing: 0.5}"]))
@example((["hydra.job.chdir=true"], ["hydra.job.chdir=false"]))
@example((["seed=0"], ["seed=a"]))
@given(pairs())
def test_a_derived_configuration_is_the_composed_one(composer: Composer, pair: tuple[list[str], list[str]]) -> None:
    base, overrides = pair
    fresh, used = Composer(), Composer()
    composed(used, base)
    assert composed(used, overrides) == composed(fresh, overrides)


def test_runs_that_differ_in_single_values_are_not_composed_again(composer: Composer) -> None:
    """And those that differ in the files that they are made of are."""
    used = Composer()
    used.compose(["mix=real", "seed=0", "model.lr=0.1"])
    assert used._derive(("mix=real", "seed=1", "model.lr=0.2")) is not None
    assert used._derive(("mix='55'", "seed=0", "model.lr=0.1")) is None
    assert used._derive(("seed=0", "model.lr=0.1")) is None


def test_a_value_that_cannot_be_applied_is_explained(composer: Composer, tmp_path: Path) -> None:
    used, errors = Composer(), dict[str, str]()
    used.compose(["mix=real", "seed=0"])
    config = used.compose_valid(["mix=real", "seed=many"], errors)
    assert list(errors) == ["seed=many"]
    assert config is not None
    assert config.seed == 0

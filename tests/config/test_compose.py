"""Compositions that are derived from another one are what Hydra would have composed."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hydra import compose
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from synthaug.config import schema
from synthaug.config.compose import Composer, initialized_hydra
from synthaug.config.sweep import sweep_jobs
from synthaug.errors import UserError

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
    "mix": st.sampled_from(["real", "'55'", "strong", "absent"]),
    "mix.real": st.sampled_from(["0.3", "1"]),
    "+experiments": st.sampled_from(["controls", "exchange"]),
    "hydra.job.name": st.sampled_from(["a", "b"]),
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
    return _content(lambda: composer.compose(overrides))


def composed_by_hydra(overrides: list[str], search_path: Sequence[str] = ()) -> object:
    """The same without our own `Composer`."""
    return _content(lambda: compose("config", [*search_path, *overrides], return_hydra_config=True))


def _content(composition: Callable[[], DictConfig]) -> object:
    try:
        return OmegaConf.to_container(composition())
    except Exception as error:
        return type(error), str(error)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example((["seed=0", "seed=1"], ["seed=2", "seed=1"]))
@example((["dataset.split={val: 0.3}", "seed=0"], ["dataset.split=null", "seed=0"]))
@example((["dataset.split.val=0.1", "dataset.split={val: 0.3}"], ["dataset.split.val=0.2", "dataset.split={val: 0.3}"]))
@example((["experiment=null"], ["experiment=a"]))
@example((["dataset.augment={erasing: 0.25, policy: trivial}"], ["dataset.augment={erasing: 0.5}"]))
@example((["hydra.job.name=a"], ["hydra.job.name=b"]))
@example((["seed=0"], ["seed=a"]))
@example((["+experiments=controls", "mix=strong", "seed=0"], ["+experiments=controls", "mix='55'", "seed=1"]))
@example((["mix=real", "mix.real=0.3"], ["mix=strong", "mix.real=0.3"]))
@example((["mix=real", "mix=strong"], ["mix=real", "mix=real"]))
@given(pairs())
def test_a_derived_configuration_is_the_composed_one(composer: Composer, pair: tuple[list[str], list[str]]) -> None:
    base, overrides = pair
    used = Composer()
    composed(used, base)
    assert composed(used, overrides) == composed_by_hydra(overrides)


OWN = {
    "mix/plain.yaml": "real: 0.25\nsynthetic: 1\naugment: {policy: rand}\n",
    "mix/plain_too.yaml": "augment: null\nsynthetic: ${seed}\nreal: 1\n",
    "mix/of_another.yaml": "defaults: [plain]\nsynthetic: 0\n",
    "mix/elsewhere.yaml": "# @package generator\nreal: 1\nsynthetic: 2\n",
    "mix/wrong.yaml": "real: many\nsynthetic: 0\n",
    "trainer/for_plain.yaml": "defaults: [default]\nmax_epochs: 3\n",
    "experiments/half.yaml": "# @package _global_\nmix: {real: 0.5}\n",
    "experiments/erasing.yaml": "# @package _global_\nmix: {augment: {erasing: 0.5}}\n",
    "experiments/of_mix.yaml": "# @package _global_\ndefaults: [{override /trainer: 'for_${mix}'}]\n",
}


@pytest.mark.parametrize(
    ("study", "choices"),
    [
        ([], ["real", "plain", "plain_too", "of_another", "elsewhere", "wrong", "absent"]),
        (["+experiments=half"], ["plain"]),
        (["+experiments=erasing"], ["real"]),
        (["+experiments=of_mix"], ["plain", "real"]),
    ],
)
def test_mixes_of_ones_own_are_composed_as_hydra_composes_them(
    study: list[str], choices: list[str], tmp_path: Path, composer: Composer
) -> None:
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    search_path = [f"hydra.searchpath=['file://{tmp_path}']"]
    used = Composer(search_path)
    for choice in choices:
        overrides = [*study, f"mix={choice}", "seed=1"]
        assert composed(used, overrides) == composed_by_hydra(overrides, search_path), choice


def test_runs_that_differ_in_their_mix_and_in_single_values_are_composed_once(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []
    original = Composer._compose_files

    def count(used: Composer, overrides: tuple[str, ...]) -> DictConfig:
        calls.append(overrides)
        return original(used, overrides)

    monkeypatch.setattr(Composer, "_compose_files", count)
    used = Composer()
    for mix in ("real", "'55'", "strong"):
        for seed in (0, 1):
            config = used.compose([f"mix={mix}", f"seed={seed}", "model.lr=0.1"])
            assert (config.seed, config.hydra.runtime.choices.mix) == (seed, mix.strip("'"))
    assert len(calls) == 1
    used.compose(["seed=0", "model.lr=0.1"])
    used.compose(["mix=real", "seed=0", "model.lr=0.1", "shift=corruptions"])
    assert len(calls) == 3
    assert set(composer.choices("mix")) == {path.stem for path in (schema.CONF / "mix").iterdir()}


def test_a_choice_that_is_missing_is_told_of_without_composing_the_runs(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = composer.compose([])
    monkeypatch.setattr(Composer, "_compose_files", lambda used, overrides: pytest.fail(str(overrides)))
    with pytest.raises(UserError) as raised:
        sweep_jobs(Composer(), ["mix=real,'56',62"], master)
    assert re.findall("there is no mix (.*?);", str(raised.value)) == ["56", "62"]
    usable = ["mix='55'", "mix=null", "logger=[csv,wandb]", "seed=1"]
    assert not any(composer.missing_choice(override) for override in usable)


def test_a_value_that_cannot_be_applied_is_explained(composer: Composer, tmp_path: Path) -> None:
    used, errors = Composer(), dict[str, str]()
    used.compose(["mix=real", "seed=0"])
    config = used.compose_valid(["mix=real", "seed=many"], errors)
    assert list(errors) == ["seed=many"]
    assert config is not None
    assert config.seed == 0

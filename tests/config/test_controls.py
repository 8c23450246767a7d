"""Control arms: which a sweep lacks, where they stand in it, what they are called, and when there can be none."""

import itertools
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hypothesis import given
from hypothesis import strategies as st

from synthaug.config import compose, controls, schema, sweep
from synthaug.config.controls import SweptMix
from synthaug.errors import UserError
from tests.factories.commands import jobs_of

Arm = tuple[str, float, float]


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is written, and what is registered for one test is not present for the next."""
    monkeypatch.chdir(tmp_path)
    schema.register()
    before = dict(ConfigStore.instance().repo.get("mix", {}))
    yield
    ConfigStore.instance().repo["mix"] = before


def arms(*typed: str) -> list[Arm]:
    """Name and numbers of the arms that a command line comes to, in their order."""
    jobs = jobs_of(*typed)
    return list(dict.fromkeys((job.arm, job.settings["mix"]["real"], job.settings["mix"]["synthetic"]) for job in jobs))


def names(*typed: str) -> list[str]:
    return [name for name, _, _ in arms(*typed)]


def refusal(*typed: str) -> str:
    with pytest.raises(UserError) as caught:
        jobs_of(*typed)
    return str(caught.value)


# --- which are lacking ---------------------------------------------------------------------------------

amounts = st.sampled_from([0.0, 0.2, 0.5, 1.0])
mixes = st.lists(
    st.builds(SweptMix, st.just("x"), amounts, amounts, st.sampled_from([None, {"policy": "rand"}])), max_size=8
)


@given(mixes)
def test_with_what_is_lacking_every_arm_with_fewer_real_images_has_one_control(given_mixes: list[SweptMix]) -> None:
    lacking = controls.without_control(given_mixes)
    added = [SweptMix("control", mix.real, 0, mix.augment) for mix in lacking]
    for mix in given_mixes:
        actual = [control for control in added if control.is_control_of(mix)]
        present = any(control.is_control_of(mix) for control in given_mixes)
        needed = mix.synthetic > 0 and 0 < mix.real < 1 and not present
        assert len(actual) <= 1
        assert bool(actual) >= needed
    for control_arm in added:
        assert not any(control.is_control_of(control_arm) for control in given_mixes)
    assert controls.without_control([*given_mixes, *added]) == []


@given(mixes)
def test_a_control_stands_right_behind_the_first_arm_that_lacks_it(given_mixes: list[SweptMix]) -> None:
    named = [SweptMix(str(i), mix.real, mix.synthetic, mix.augment) for i, mix in enumerate(given_mixes)]
    choices = controls.with_controls([mix.choice for mix in named], named, [schema.CONF / "mix"])
    typed = [mix.choice for mix in named]
    assert [choice for choice in choices if choice in typed] == typed
    lacking = [mix.choice for mix in controls.without_control(named)]
    assert [before for before, choice in itertools.pairwise(choices) if choice not in typed] == lacking


# --- the learning curve --------------------------------------------------------------------------------


@given(mixes, st.integers(1, 5))
def test_the_curve_needs_seeds_and_an_arm_with_a_control(given_mixes: list[SweptMix], n_seeds: int) -> None:
    added = controls.curve_mixes(given_mixes, n_seeds)
    plain = [mix for mix in given_mixes if mix.augment is None]
    assert all(mix.synthetic == 0 and mix.augment is None and 0.2 < mix.real < 1 for mix in added)
    assert not added or (n_seeds >= 3 and any(mix.needs_control for mix in plain))
    assert not {mix.real for mix in added} & {mix.real for mix in plain if mix.needs_control or not mix.has_synthetic}
    lacking = controls.without_control(given_mixes)
    assert controls.curve_mixes([*given_mixes, *(mix.control for mix in lacking), *added], n_seeds) == []


@pytest.mark.parametrize(
    ("mixes", "seeds", "added"),
    [
        ("real,82", "0,1,2", ["real20", "real60", "real40"]),
        ("real,82", "0,1", ["real20"]),
        ("real,82,real30", "0,1,2", ["real20", "real50"]),
        ("real,55", "0,1,2", ["real50", "real80", "real70"]),
        ("82", "0,1,2", ["real20"]),
        ("real,add50", "0,1,2", []),
        ("real,55,64,73,82", "0,1,2,3,4", ["real50", "real40", "real30", "real20"]),
    ],
)
def test_amounts_that_the_learning_curve_lacks_are_added(mixes: str, seeds: str, added: list[str]) -> None:
    actual = names("-m", f"mix={mixes}", f"seed={seeds}", "controls=true")
    assert [name for name in actual if name not in mixes.split(",")] == added


def test_nothing_is_added_for_a_curve_that_would_not_be_drawn() -> None:
    assert names("-m", "mix=real,82", "seed=0,1,2", "controls=true", "budget=epochs") == ["real", "82", "real20"]


CURVE = "real60 and real40 for the learning curve of real images"


def test_what_was_added_is_said_with_its_runs() -> None:
    told: list[str] = []
    with compose.initialized_hydra(None) as composer:
        sweep.sweep_jobs(composer, ["mix=real,82", "seed=0,1,2", "controls=true"], announce=told.append)
        sweep.sweep_jobs(
            composer, ["mix=real,82,real20,real40,real60", "seed=0,1,2", "controls=true"], announce=told.append
        )
        sweep.sweep_jobs(composer, ["mix=64", "seed=0,1", "controls=true"], announce=told.append)
    assert told == [
        f"controls=true adds real20, real60 and real40 ({CURVE}): 9 of 15 runs.",
        "controls=true adds real40: 2 of 4 runs.",
    ]


# --- sweeps over choices -------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["controls=true", "+controls=true", "++controls=true"])
def test_the_cards_study_with_controls(switch: str) -> None:
    typed = ["real", "55", "real50", "64", "real40", "73", "real30", "82", "real20"]
    assert names("-m", "mix=real,55,64,73,82", switch) == typed


@pytest.mark.parametrize("switch", [[], ["controls=false"]])
def test_a_sweep_without_controls_keeps_its_arms(switch: list[str]) -> None:
    assert names("-m", "mix=real,55", *switch) == ["real", "55"]


def test_controls_that_were_typed_are_not_added_again() -> None:
    assert names("-m", "mix=real50,64,55,real40", "controls=true") == ["real50", "64", "55", "real40"]


def test_arms_that_have_all_real_images_or_none_have_no_control() -> None:
    assert names("-m", "mix=real,add50,synthetic,strong", "controls=true") == ["real", "add50", "synthetic", "strong"]


def test_a_control_without_a_file_is_called_like_those_that_have_one() -> None:
    expected = [("28", 0.8, 0.2), ("real80", 0.8, 0.0), ("37", 0.7, 0.3), ("real70", 0.7, 0.0)]
    assert arms("-m", "mix=28,37", "controls=true") == expected
    named = names("-m", "mix=mine", "controls=true", "--config-dir", str(own_mix("real: 0.125\nsynthetic: 1\n")))
    assert named == ["mine", "real12.5"]


def own_mix(text: str, name: str = "mine") -> Path:
    folder = Path("own")
    (folder / "mix").mkdir(parents=True, exist_ok=True)
    (folder / "mix" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_file_of_ones_own_that_is_the_control_is_used() -> None:
    own_mix("real: 0.35\nsynthetic: 0.65\n")
    folder = own_mix("real: 0.35\nsynthetic: 0\n", "few")
    assert names("-m", "mix=mine", "controls=true", "--config-dir", str(folder)) == ["mine", "few"]


def test_a_file_that_has_the_name_but_not_the_numbers_is_left_alone() -> None:
    own_mix("real: 0.35\nsynthetic: 0.65\n")
    folder = own_mix("real: 0.35\nsynthetic: 0.1\n", "real35")
    actual = arms("-m", "mix=mine", "controls=true", "--config-dir", str(folder))
    assert actual == [("mine", 0.35, 0.65), ("real35-control", 0.35, 0.0)]


def test_a_control_has_the_augmentation_of_its_arm() -> None:
    folder = own_mix("real: 0.5\nsynthetic: 0.5\naugment: {policy: rand}\n")
    jobs = jobs_of("-m", "mix=mine,55", "controls=true", "--config-dir", str(folder))
    actual = [(job.arm, job.settings["mix"]["augment"]) for job in jobs]
    augment = {"policy": "rand"}
    assert actual == [("mine", augment), ("real50-policy_rand", augment), ("55", None), ("real50", None)]


def test_every_dataset_model_and_seed_has_the_controls_and_the_order_stays() -> None:
    jobs = jobs_of("-m", "mix=64", "seed=0,1", "model=resnet18,probe", "controls=true")
    actual = [(job.arm, job.key.seed, job.settings["model"]["name"]) for job in jobs]
    assert actual == list(itertools.product(["64", "real40"], [0, 1], ["resnet18", "probe"]))


def test_the_default_mix_has_no_control_and_a_single_one_has() -> None:
    assert names("-m", "seed=0,1", "controls=true") == ["real"]
    assert names("-m", "mix=64", "controls=true") == ["64", "real40"]


def test_another_number_of_real_images_is_heeded() -> None:
    expected = [("real0.3-synthetic0.6", 0.3, 0.6), ("real30", 0.3, 0)]
    assert arms("-m", "mix=64", "mix.real=0.3", "controls=true") == expected


# --- sweeps over numbers -------------------------------------------------------------------------------


def test_sweeps_over_numbers_get_none_as_a_number() -> None:
    actual = arms("-m", "mix.real=0.1,0.2", "mix.synthetic=0.5,1", "controls=true")
    assert [numbers[1:] for numbers in actual] == list(itertools.product([0.1, 0.2], [0.5, 1, 0]))
    actual = arms("-m", "mix.real=0.1,0.2", "mix.synthetic=0,0.25", "controls=true")
    assert [numbers[1:] for numbers in actual] == list(itertools.product([0.1, 0.2], [0, 0.25])), "not added again"
    actual = arms("-m", "mix.real=0.1", "mix.synthetic=0.3333333333333333", "controls=true")
    assert [numbers[1:] for numbers in actual] == [(0.1, 0.3333333333333333), (0.1, 0)]


def test_numbers_that_would_leave_nothing_are_refused() -> None:
    message = refusal("-m", "mix.real=0,0.5", "mix.synthetic=1", "controls=true")
    assert message.startswith(
        "controls=true: adds 0 to the values of mix.synthetic, but with mix.real=0 nothing would be"
    )
    assert "sweep over mix.real=0 in a command of its own" in message


# --- studies -------------------------------------------------------------------------------------------


def register(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(schema, "EXPERIMENTS", folder)
    schema.register()


def test_a_study_may_ask_for_controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "controls: true\nhydra: {sweeper: {params: {mix: 'real,37', seed: '0,1'}}}\n"
    register(tmp_path, monkeypatch, text)
    assert names("-m", "+experiments=mine") == ["real", "37", "real70"]
    assert names("-m", "+experiments=mine", "mix=64") == ["64", "real40"]
    assert names("-m", "+experiments=mine", "controls=false") == ["real", "37"]
    assert names("+experiments=mine", "mix=37", "seed=0") == ["37"], "one of its runs may be chosen"


def test_a_study_that_sweeps_over_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "controls: true\nhydra: {sweeper: {params: {mix.real: '0.1,0.2', mix.synthetic: '0.5'}}}\n"
    register(tmp_path, monkeypatch, text)
    actual = [numbers[1:] for numbers in arms("-m", "+experiments=mine")]
    assert actual == list(itertools.product([0.1, 0.2], [0.5, 0]))


def test_a_study_that_fixes_the_numbers_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path, monkeypatch, "controls: true\nmix: {real: 0.3, synthetic: 0.9}\n")
    message = refusal("-m", "+experiments=mine", "seed=0,1")
    assert message.startswith(
        "controls=true: no choice of mix makes a control of mix.real=0.3 mix.synthetic=0.9, since"
    )


# --- where there can be none ----------------------------------------------------------------------------


def test_another_sweeper_is_refused() -> None:
    node = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": {}}
    ConfigStore.instance().store(group="hydra/sweeper", name="elsewhere", node=node, provider="test")
    message = refusal("-m", "mix=64", "hydra/sweeper=elsewhere", "controls=true")
    assert "controls=true" in message
    assert "hydra._internal.core_plugins.basic_sweeper.BasicSweeper" in message
    assert "mix=64,real40" in message


def test_controls_for_some_runs_of_a_sweep_are_refused() -> None:
    message = refusal("-m", "mix=64", "controls=true,false")
    assert message.startswith("controls=true,false: ")


@pytest.mark.parametrize("typed", [["mix=real,56"], ["mix=64", "sed=1"], ["mix=64", "mix.real=many"]])
def test_mistakes_are_said_as_without_controls(typed: Sequence[str]) -> None:
    assert refusal("-m", *typed, "controls=true").startswith("The configuration cannot be used:\n  - ")
    with pytest.raises(UserError) as caught:
        jobs_of("-m", *typed)
    first = str(caught.value).split("choices")[0]
    assert refusal("-m", *typed, "controls=true").startswith(first)


# --- elsewhere -----------------------------------------------------------------------------------------


def test_a_registered_control_travels_to_where_a_run_is_computed() -> None:
    """Hydra's launchers for control processes and clusters pass on the state of its singletons."""
    jobs_of("-m", "mix=37", "controls=true")
    state = pickle.loads(pickle.dumps(Singleton.get_state()["instances"][ConfigStore]))
    assert state.repo["mix"]["real70.yaml"].node == {"real": 0.7, "synthetic": 0}


# --- shots, and classes that are filled ------------------------------------------------------------------


def test_a_few_shots_without_synthetic_images_control_those_with_some() -> None:
    for typed in (["mix=fill", "mix.real_per_class=1,4"], ["mix=real", "mix.real_per_class=1,4", "mix.fill=largest"]):
        named = names("-m", *typed, "controls=true")
        assert sorted(named) == ["shots1", "shots1-fill-largest", "shots4", "shots4-fill-largest"]
    assert names("-m", "mix=real,fill", "mix.real_per_class=4", "controls=true") == ["shots4", "shots4-fill-largest"]
    folder = own_mix("real: 1\nsynthetic: 2\nreal_per_class: 3\n")
    assert names("-m", "mix=mine", "controls=true", "--config-dir", str(folder)) == ["mine", "shots3"]


def test_the_control_of_classes_that_are_filled_has_the_same_real_images() -> None:
    assert names("-m", "mix=real,fill", "controls=true") == ["real", "fill"]
    typed = names("-m", "mix=real", "mix.real=0.5", "mix.fill=largest,200", "controls=true")
    assert typed == ["real0.5-fill-largest", "real0.5-fill-200", "real0.5-synthetic0"]

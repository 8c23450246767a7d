"""Names of arms: the mix, and what else differs between the arms of a study."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synthaug.runs.factors import arm_names, factor_keys, level, run_label, value_text
from synthaug.runs.layout import RunKey

SD15 = {"generator.name": "sd15", "generator.steps": 30, "generator.guidance_scale": 7.5, "prompts.name": "default"}
SDXL = {"generator.name": "sdxl", "generator.steps": 40, "generator.guidance_scale": 5.0, "prompts.name": "default"}


def arm(mix: str, *parts: dict[str, Any], **values: Any) -> dict[str, Any]:
    settings = {"mix.name": mix, "model.name": "resnet18", "model.lr": 0.1, "batch_size": 32}
    for part in (*parts, {key.replace("__", "."): value for key, value in values.items()}):
        settings |= part
    return settings


def names(*arms: dict[str, Any]) -> list[str]:
    return list(arm_names({f"folder-{number}": settings for number, settings in enumerate(arms)}).values())


def test_an_arm_is_called_after_its_mix_where_nothing_else_differs() -> None:
    assert names(arm("real"), arm("64", SD15), arm("82", SD15)) == ["real", "64", "82"]


def test_a_generator_is_a_factor_and_what_it_brings_along_is_none() -> None:
    assert names(arm("real"), arm("64", SD15), arm("64", SDXL)) == ["real", "64 · sd15", "64 · sdxl"]


def test_a_setting_that_differs_within_one_generator_is_a_factor() -> None:
    strong = arm("64", SDXL, generator__guidance_scale=7.5)
    expected = ["real", "64 · sd15 · guidance 7.5", "64 · sdxl · guidance 5", "64 · sdxl · guidance 7.5"]
    assert names(arm("real"), arm("64", SD15), arm("64", SDXL), strong) == expected


def test_rounds_are_no_factor_where_only_feedback_differs() -> None:
    with_feedback = arm("64", SD15, mix__synthetic=0.6, feedback="error", feedback_rounds=3)
    assert names(arm("64", SD15, mix__synthetic=0.6), with_feedback) == ["64", "64 · feedback error"]
    more = {**with_feedback, "feedback_rounds": 5}
    assert names(with_feedback, more) == ["64 · feedback rounds 3", "64 · feedback rounds 5"]


def test_a_level_tells_off_from_of_no_use() -> None:
    mixed = arm("64", SD15, mix__synthetic=0.6)
    assert level(arm("real"), "feedback") is None
    assert level(mixed, "feedback") == level(arm("real"), "sampling") == "none"
    assert level({**mixed, "generator.strength": None}, "generator.strength") == "none"
    assert level(mixed, "generator.strength") is None
    assert level(mixed, "feedback_rounds") is None
    assert level({**mixed, "feedback": "error"}, "feedback") == "error"


def test_settings_of_training_are_factors_of_all_arms() -> None:
    assert names(arm("real"), arm("64", SD15, batch_size=64)) == ["real · batch size 32", "64 · batch size 64"]
    assert names(arm("real"), arm("real", model__ema=0.99)) == ["real", "real · ema 0.99"]


def test_keys_of_one_name_are_told_apart_by_their_group() -> None:
    arms = arm("real", trainer__decay=1, model__decay=1), arm("real", trainer__decay=2, model__decay=2)
    assert names(*arms)[0] == "real · model.decay 1 · trainer.decay 1"


def test_two_mixes_of_one_name_are_told_apart_by_their_folders() -> None:
    assert names(arm("mine", mix__real=0.5), arm("mine", mix__real=0.6)) == ["mine · 0", "mine · 1"]


def test_values_in_words() -> None:
    assert [value_text(value) for value in (True, 7.5, 1e-4, [1, 4.0], "a\n b")] == [
        "on",
        "7.5",
        "0.0001",
        "1, 4",
        "a b",
    ]


VALUES = st.sampled_from([0, 1, 0.5, True, None, "a", "b", [1, 2]])
ARMS = st.lists(
    st.fixed_dictionaries(
        {"mix.name": st.sampled_from(["real", "64"]), "model.name": st.sampled_from(["m", "n"])},
        optional=dict.fromkeys(("model.lr", "seed2", "generator.scale", "trainer.lr"), VALUES),
    ),
    min_size=1,
    max_size=6,
)


@given(ARMS)
def test_every_arm_has_a_name_of_its_own(arms: list[dict[str, Any]]) -> None:
    assert len(set(names(*arms))) == len(arms)


@given(ARMS)
def test_a_factor_is_what_some_arms_differ_in(arms: list[dict[str, Any]]) -> None:
    for key in factor_keys(arms):
        assert len({repr(settings.get(key)) for settings in arms}) > 1


def test_the_name_of_a_run_tells_its_seed_and_its_fold() -> None:
    key = RunKey("digits", "64-tiny", 2, 1)
    assert run_label("64", key) == "64-seed2-fold1"
    assert run_label("64 · sdxl", key) == "64 · sdxl · seed 2 · fold 1"
    assert run_label("64 · sdxl", RunKey("digits", "64-tiny", 2)) == "64 · sdxl · seed 2"

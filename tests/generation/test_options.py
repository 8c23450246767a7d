"""Options of a call, on classes with the signatures and configurations of diffusers' pipelines."""

from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.generation.options import accepts_guidance, call_arguments


class Pipeline:
    """Its attributes are its components."""

    def __init__(self, **components: Any) -> None:
        self.__dict__ |= {"unet": SimpleNamespace(config=SimpleNamespace(time_cond_proj_dim=None)), **components}


class Guided(Pipeline):
    """As Stable Diffusion."""

    def __call__(
        self,
        prompt: Any,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: Any = None,
        output_type: str = "pil",
    ) -> None: ...


class Captioned(Pipeline):
    """As PixArt, which has no unet and cleans captions."""

    def __init__(self, **components: Any) -> None:
        self.__dict__ |= components

    def __call__(self, prompt: Any, guidance_scale: float = 4.5, clean_caption: bool = True) -> None: ...


class TwoScales(Pipeline):
    """As Flux: the guidance scale is not the one that a negative prompt needs."""

    def __call__(
        self, prompt: Any, guidance_scale: float = 3.5, negative_prompt: Any = None, true_cfg_scale: float = 1.0
    ) -> None: ...


class Unguided(Pipeline):
    def __call__(self, prompt: Any) -> None: ...


def scheduler(**config: Any) -> SimpleNamespace:
    return SimpleNamespace(config=config)


def refused(
    pipeline: Any, options: dict[str, Any], guidance: tuple[float, float] = (1.0, 1.0), negative_prompt: str = ""
) -> list[str]:
    """The keys that are refused."""
    with pytest.raises(UserError) as caught:
        call_arguments(pipeline, "a/model", options, guidance, negative_prompt)
    headline, *problems = str(caught.value).splitlines()
    assert "a/model" in headline
    return [problem.removeprefix("  - generator.").partition(":")[0] for problem in problems]


def test_options_that_are_set_are_passed_on() -> None:
    options = {"num_inference_steps": 9, "height": None}
    expected = {"num_inference_steps": 9, "output_type": "np"}
    assert call_arguments(Guided(), "a/model", options, (7.5, 7.5), "blurry") == expected
    assert call_arguments(Captioned(), "a/model", {}, (4.5, 4.5), "") == {"clean_caption": False}


def test_all_options_that_would_be_ignored_are_named_at_once() -> None:
    keys = refused(Unguided(), {"num_inference_steps": 9, "height": 8, "width": None}, (0.5, 1.5), "blurry")
    assert keys == ["num_inference_steps=9", "height=8", "guidance_scale=1.5", "negative_prompt=blurry"]
    assert not accepts_guidance(Unguided())
    assert accepts_guidance(Guided())


def test_the_highest_guidance_decides_and_one_is_none() -> None:
    assert call_arguments(Unguided(), "a/model", {}, (0.0, 1.0), "") == {}
    assert refused(Unguided(), {}, (0.0, 1.01)) == ["guidance_scale=1.01"]


@pytest.mark.parametrize(("embeds", "is_refused"), [(False, True), (True, False), (None, False)])
def test_a_distilled_transformer_takes_no_guidance(embeds: bool | None, is_refused: bool) -> None:
    pipeline = TwoScales(transformer=SimpleNamespace(config=SimpleNamespace(guidance_embeds=embeds)))
    if is_refused:
        assert refused(pipeline, {}, (3.5, 3.5)) == ["guidance_scale=3.5"]
    else:
        assert call_arguments(pipeline, "a/model", {}, (3.5, 3.5), "") == {}


TURBO = {"timestep_spacing": "trailing", "prediction_type": "epsilon"}


@pytest.mark.parametrize(
    ("changed", "is_refused"),
    [
        ({}, True),
        ({"timestep_spacing": "leading"}, False),
        ({"prediction_type": "v_prediction"}, False),
        ({"rescale_betas_zero_snr": True}, False),
    ],
)
def test_a_turbo_model_is_recognized_by_its_noise_schedule(changed: dict[str, Any], is_refused: bool) -> None:
    pipeline = Guided(scheduler=scheduler(**TURBO | changed))
    if is_refused:
        assert refused(pipeline, {}, (5.0, 5.0)) == ["guidance_scale=5"]
    else:
        assert "output_type" in call_arguments(pipeline, "a/model", {}, (5.0, 5.0), "")
    assert call_arguments(Captioned(scheduler=scheduler(**TURBO)), "a/model", {}, (5.0, 5.0), "") != {}, "no unet"


def test_a_negative_prompt_needs_a_second_prediction() -> None:
    assert refused(TwoScales(), {}, negative_prompt="blurry") == ["negative_prompt=blurry"]
    embedded = Guided(unet=SimpleNamespace(config=SimpleNamespace(time_cond_proj_dim=256)))
    assert refused(embedded, {}, negative_prompt="blurry") == ["negative_prompt=blurry"]
    assert refused(Captioned(), {}, negative_prompt="blurry") == ["negative_prompt=blurry"]

"""Options of a call, on classes with the signatures and configurations of diffusers' pipelines."""

from types import SimpleNamespace
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.generation.options import call_arguments, call_defaults, guidance_rule, read_component
from synthaug.generation.pipeline_guidance import Guidance, decide


class Pipeline:
    """Its attributes are its components."""

    def __init__(self, **components: Any) -> None:
        self.__dict__ |= {"unet": SimpleNamespace(config=SimpleNamespace(in_channels=4)), **components}


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


class Unguided(Pipeline):
    def __call__(self, prompt: Any) -> None: ...


def decided(
    pipeline: Any, guidance: tuple[float, float] | None = None, negative_prompt: str = "", **schedule: Any
) -> Guidance:
    """How a pipeline is guided whose weights came with a noise schedule."""

    def read(component: str, key: str) -> Any:
        return schedule.get(key) if component == "scheduler" else read_component(pipeline, component, key)

    kind = type(pipeline)
    rule, defaults = guidance_rule(kind), call_defaults(kind)
    return decide(kind.__name__, rule, "a/model", read, guidance, negative_prompt, defaults)


def refused(pipeline: Any, options: dict[str, Any], *guided: Any) -> list[str]:
    """The keys that are refused."""
    with pytest.raises(UserError) as caught:
        call_arguments(pipeline, "a/model", options, decided(pipeline, *guided))
    headline, *problems = str(caught.value).splitlines()
    assert "a/model" in headline
    return [problem.removeprefix("  - generator.").partition(":")[0] for problem in problems]


def test_options_that_are_set_are_passed_on() -> None:
    options = {"num_inference_steps": 9, "height": None}
    expected = {"num_inference_steps": 9, "output_type": "np"}
    assert call_arguments(Guided(), "a/model", options, decided(Guided(), (7.5, 7.5), "blurry")) == expected
    assert call_arguments(Captioned(), "a/model", {}, decided(Captioned(), (4.5, 4.5))) == {"clean_caption": False}


def test_all_options_that_would_be_ignored_are_named_at_once() -> None:
    options = {"num_inference_steps": 9, "height": 8, "width": None}
    keys = refused(Unguided(), options, (0.5, 1.5), "blurry")
    assert keys == ["num_inference_steps=9", "height=8", "guidance_scale=1.5", "negative_prompt=blurry"]


def test_a_class_that_the_table_lacks_is_judged_by_its_call() -> None:
    assert decided(Guided(), (5.0, 5.0)).arguments(5.0, 1) == {"guidance_scale": 5.0}
    assert decided(Guided()).arguments(None, 1) == {}
    assert decided(Guided()).scale == "7.5"
    assert decided(Guided(), (5.0, 5.0), "blurry").arguments(5.0, 2)["negative_prompt"] == ["blurry", "blurry"]
    assert decided(Unguided()).scale == "0"


def test_the_highest_guidance_decides_and_one_is_none() -> None:
    assert call_arguments(Unguided(), "a/model", {}, decided(Unguided(), (0.0, 1.0))) == {}
    assert refused(Unguided(), {}, (0.0, 1.01)) == ["guidance_scale=1.01"]


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
    decision = decided(Guided(), (5.0, 5.0), **TURBO | changed)
    assert bool(decision.problems) == is_refused
    assert decided(Guided(), **TURBO | changed).arguments(None, 1) == ({"guidance_scale": 1.0} if is_refused else {})
    assert not decided(Captioned(), (5.0, 5.0), **TURBO).problems, "no unet"


def test_a_negative_prompt_needs_a_call_that_takes_it() -> None:
    assert refused(Captioned(), {}, (4.5, 4.5), "blurry") == ["negative_prompt=blurry"]
    assert refused(Guided(), {}, (1.0, 7.0), "blurry") == ["negative_prompt=blurry"]

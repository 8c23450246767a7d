"""Options of a pipeline's call: those that it does not accept are refused, not ignored."""

import inspect
from collections.abc import Mapping
from typing import Any

from synthaug.errors import raise_all


def call_arguments(
    pipeline: Any, model: str, options: Mapping[str, Any], guidance: tuple[float, float], negative_prompt: str
) -> dict[str, Any]:
    """Return the arguments of every call of a pipeline besides prompts, random states and guidance.

    Args:
        pipeline: of any class of diffusers.
        model: its name.
        options: config key → value; None leaves the pipeline's default.
        guidance: lowest and highest guidance scale of the images.
        negative_prompt: "" is none.

    Raises:
        UserError: options that the pipeline would ignore, all at once.
    """
    kind = type(pipeline).__name__
    parameters = call_parameters(type(pipeline))
    options = {name: value for name, value in options.items() if value is not None}
    problems = [
        f"generator.{name}={value}: a {kind} does not accept it; set it to null"
        for name, value in options.items()
        if name not in parameters
    ]
    if guidance[1] > 1 and (reason := _guidance_problem(pipeline)):
        problems.append(f"generator.guidance_scale={guidance[1]:g}: {reason}; set it to 0")
    if negative_prompt and not _accepts_negative_prompt(pipeline):
        problems.append(f"generator.negative_prompt={negative_prompt}: {model} ignores it; leave it empty")
    raise_all(f"The model {model} does not support these settings:", problems)
    # Captions from the web are cleaned by two more packages where these are installed, which they need not be: the
    # same settings would generate other images elsewhere.
    fixed = {"clean_caption": False, "output_type": "np"}
    return {**{name: value for name, value in fixed.items() if name in parameters}, **options}


def call_parameters(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a pipeline class's call by name."""
    return inspect.signature(kind.__call__).parameters


def accepts_guidance(pipeline: Any) -> bool:
    """Return whether the call has a guidance scale at all, even one that it ignores."""
    return "guidance_scale" in call_parameters(type(pipeline))


def _guidance_problem(pipeline: Any) -> str:
    """Return why a guidance scale above 1 would do nothing or harm; "" where it works."""
    if not accepts_guidance(pipeline):
        return f"a {type(pipeline).__name__} does not accept it"
    if _component_config(pipeline, "transformer", "guidance_embeds") is False:  # Flux's schnell
        return "these weights are distilled without guidance and would ignore it"
    # No field marks the turbo models as distilled. But they alone are sampled from the last step backwards without
    # having been trained on pure noise.
    schedule = getattr(getattr(pipeline, "scheduler", None), "config", {})
    backwards = schedule.get("timestep_spacing") == "trailing" and schedule.get("prediction_type") == "epsilon"
    if backwards and not schedule.get("rescale_betas_zero_snr") and hasattr(pipeline, "unet"):
        return "these weights are distilled to a few steps without guidance"
    return ""


def _accepts_negative_prompt(pipeline: Any) -> bool:
    parameters = call_parameters(type(pipeline))
    # Where there are two scales, the guidance scale is not the one that a negative prompt needs; and a unet that gets
    # the scale as a number computes no unconditional prediction.
    if "negative_prompt" not in parameters or "true_cfg_scale" in parameters:
        return False
    return _component_config(pipeline, "unet", "time_cond_proj_dim") is None


def _component_config(pipeline: Any, component: str, name: str) -> Any:
    return getattr(getattr(getattr(pipeline, component, None), "config", None), name, None)

"""Which options a pipeline's call takes: those it does not take are refused, not ignored."""

import inspect
from collections.abc import Mapping
from typing import Any

from synthaug.errors import raise_all


def arguments(
    pipeline: Any, model: str, options: Mapping[str, Any], guidance: tuple[float, float], negative_prompt: str
) -> dict[str, Any]:
    """What every call of a pipeline is given besides prompts, random states and guidance.

    Args:
        pipeline: of any class of diffusers.
        model: its name.
        options: config key → value; None is the pipeline's own.
        guidance: lowest and highest guidance scale that will be asked for.
        negative_prompt: "" is none.

    Raises:
        UserError: all options that it would leave out of account.
    """
    kind = type(pipeline).__name__
    takes = taken_by(type(pipeline))
    given = {name: value for name, value in options.items() if value is not None}
    wrong = [
        f"generator.{name}={given[name]}: a {kind} takes none; set it to null" for name in given if name not in takes
    ]
    if guidance[1] > 1 and (reason := _needs_no_guidance(pipeline)):
        wrong.append(f"generator.guidance_scale={guidance[1]:g}: {reason}; set it to 0")
    if negative_prompt and not _takes_negative(pipeline):
        wrong.append(f"generator.negative_prompt={negative_prompt}: {model} is guided without one; leave it empty")
    raise_all(f"The model {model} cannot be used like this:", wrong)
    # Captions from the web are cleaned with two more packages where these are installed, which ours need not be:
    # the same settings would make other images elsewhere.
    ours = {"clean_caption": False, "output_type": "np"}
    return {**{name: value for name, value in ours.items() if name in takes}, **given}


def taken_by(kind: type) -> Mapping[str, inspect.Parameter]:
    """What the call of a pipeline class takes, by name."""
    return inspect.signature(kind.__call__).parameters


def takes_guidance(pipeline: Any) -> bool:
    """Whether the call has a guidance scale at all, even one that it leaves out of account."""
    return "guidance_scale" in taken_by(type(pipeline))


def _needs_no_guidance(pipeline: Any) -> str:
    """Why a guidance scale above 1 would do nothing or harm; "" where it has its place."""
    if not takes_guidance(pipeline):
        return f"a {type(pipeline).__name__} takes none"
    if _config(pipeline, "transformer", "guidance_embeds") is False:  # Flux's schnell
        return "these weights were distilled to do without, and it would be left out of account"
    # The turbo models say nowhere that they are such. But they alone are sampled from the last step backwards
    # without having been trained on pure noise.
    noise = getattr(getattr(pipeline, "scheduler", None), "config", {})
    backwards = noise.get("timestep_spacing") == "trailing" and noise.get("prediction_type") == "epsilon"
    if backwards and not noise.get("rescale_betas_zero_snr") and hasattr(pipeline, "unet"):
        return "these weights were distilled to a few steps without guidance"
    return ""


def _takes_negative(pipeline: Any) -> bool:
    takes = taken_by(type(pipeline))
    # Where there are two scales, the guidance scale is not the one that a negative prompt needs; and a unet that is
    # told the scale as a number computes nothing to steer away from.
    if "negative_prompt" not in takes or "true_cfg_scale" in takes:
        return False
    return _config(pipeline, "unet", "time_cond_proj_dim") is None


def _config(pipeline: Any, part: str, name: str) -> Any:
    return getattr(getattr(getattr(pipeline, part, None), "config", None), name, None)

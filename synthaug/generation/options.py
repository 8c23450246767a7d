"""Options of a pipeline's call: those that it does not accept are refused, not ignored."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from synthaug.errors import raise_all
from synthaug.generation.pipeline_guidance import RULES, Guidance, GuidanceRule, rule_of_call

_FROM_IMAGE = re.compile("Img2Img|Inpaint(ing)?")


def call_arguments(pipeline: Any, model: str, options: Mapping[str, Any], guidance: Guidance) -> dict[str, Any]:
    """Return the arguments of every call of a pipeline besides prompts, random states and guidance.

    Args:
        pipeline: of any class of diffusers.
        model: its name.
        options: config key → value; None leaves the pipeline's default.
        guidance: of the images.

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
    raise_all(f"The model {model} does not support these settings:", [*problems, *guidance.problems])
    # Captions from the web are cleaned by two more packages where these are installed, which they need not be: the
    # same settings would generate other images elsewhere.
    fixed = {"clean_caption": False, "output_type": "np"}
    return {**{name: value for name, value in fixed.items() if name in parameters}, **options}


def call_parameters(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a pipeline class's call by name."""
    return inspect.signature(kind.__call__).parameters


def call_defaults(kind: type) -> dict[str, Any]:
    """Return the defaults of a pipeline class's call by argument."""
    return {name: parameter.default for name, parameter in call_parameters(kind).items()}


def guidance_rule(kind: type) -> GuidanceRule:
    """Return how a pipeline class takes guidance; one that begins from an image, as its text-to-image class does."""
    name = kind.__name__
    return RULES.get(name) or RULES.get(_FROM_IMAGE.sub("", name)) or rule_of_call(call_parameters(kind))


def read_component(pipeline: Any, component: str, key: str) -> Any:
    """Return a value of a loaded pipeline's configurations; None where there is none.

    Args:
        pipeline: of any class of diffusers.
        component: name of its part; "" is the pipeline itself.
        key: of the configuration.
    """
    part = getattr(pipeline, component, None) if component else pipeline
    config = getattr(part, "config", None)
    return config.get(key) if isinstance(config, Mapping) else getattr(config, key, None)

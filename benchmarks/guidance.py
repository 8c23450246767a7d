"""Print what the call of each text-to-image pipeline class receives for guidance, and what its denoiser then computes.

    python -m benchmarks.guidance            # the table in benchmarks/README.md, on tiny pipelines of random weights
    python -m benchmarks.guidance --texts    # what keeping encoded texts saves on a text encoder of T5-small's size

Where a class is not built tiny here, what it would receive is printed in brackets.
"""

import argparse
import functools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.options import call_defaults
from synthaug.generation.pipeline_guidance import LISTED, RULES, GuidanceRule, decide
from synthaug.generation.quiet import quiet
from synthaug.generation.text_memory import remember_texts
from tests.factories.further_pipelines import BUILDERS, build
from tests.factories.pipelines import SAVERS

STEPS = 2
SAVED = {
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux_guided",
}


class Recorder:
    """A pipeline that notes the arguments of its calls, and how many images its denoiser saw."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.arguments: dict[str, Any] = {}
        self.predictions = 0
        denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
        denoiser.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden: Any = positional[0] if positional else named.get("hidden_states", named.get("sample"))
        self.predictions += len(hidden)

    def __call__(self, **arguments: Any) -> Any:
        self.arguments = arguments
        return self.pipeline(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipeline, name)


def rows() -> Iterator[tuple[str, ...]]:
    """Yield a row for each class of the table: its rule, and what a call received with guidance and without."""
    import diffusers

    with tempfile.TemporaryDirectory() as root:
        for name, rule in RULES.items():
            kind = getattr(diffusers, name)
            default = call_defaults(kind).get(rule.argument or rule.embedded or "")
            scale = float(default) if isinstance(default, (int, float)) and default > rule.above else 4.0
            listed = "yes" if name in LISTED else "no"
            yield name, listed, *described(rule), *received(name, Path(root), kind, rule, scale)


def described(rule: GuidanceRule) -> tuple[str, ...]:
    """Return a rule in words."""
    embedded = f"{rule.embedded} if {'.'.join(rule.embedded_if)}" if rule.embedded_if else rule.embedded or "–"
    above = f"{rule.above:g}" if rule.argument else "–"
    mark = rule.distilled_if[1] if rule.distilled_if else "–"
    return rule.argument or "–", above, rule.negative, embedded, mark


def received(name: str, root: Path, kind: Any, rule: GuidanceRule, scale: float) -> tuple[str, str]:
    """Return the arguments of a call with guidance, and predictions of an image in a step with it and without.

    Args:
        name: of the class.
        root: where its tiny pipeline is saved.
        kind: the class.
        rule: of the class.
        scale: that the configuration has.
    """
    if name not in BUILDERS and name not in SAVED:
        read = functools.partial(lambda value, *_: value, True if rule.argument is None else None)
        decision = decide(name, rule, "a/model", read, (scale, scale), "", call_defaults(kind))
        return f"({_shown(decision.arguments(scale, 1))})", "–"
    folder = root / name
    if name in BUILDERS:
        build(name).save_pretrained(folder)
    else:
        SAVERS[SAVED[name]](folder)
    guided = _sample(name, folder, scale)
    unguided = _sample(name, folder, rule.above if rule.argument else 0.0)
    names = {rule.argument, rule.embedded, "negative_prompt"}
    shown = _shown({key: value for key, value in guided.arguments.items() if key in names})
    return shown, f"{guided.predictions / STEPS:g} / {unguided.predictions / STEPS:g}"


def _sample(name: str, folder: Path, scale: float) -> Recorder:
    side = 256 if name.startswith("PixArt") else 32 if name.startswith("Sana") else 16
    generator = DiffusionGenerator(
        str(folder), "x", num_inference_steps=STEPS, guidance_scale=scale, height=side, width=side, device="cpu"
    )
    generator.load()
    assert generator._loaded is not None
    recorder = Recorder(generator.pipeline)
    generator._loaded = replace(generator._loaded, pipeline=recorder)
    generator.sample(["a cat"], [0])
    return recorder


def _shown(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in arguments.items())


def text_seconds(batches: int = 10, batch: int = 2) -> tuple[float, float]:
    """Return seconds of sampling one text with what is encoded kept and without, behind an encoder of T5-small's size.

    Args:
        batches: number of them.
        batch: images sampled at once.
    """
    from transformers import T5Config, T5EncoderModel

    seconds = []
    for kept in (True, False):
        pipeline = build("ChromaPipeline")
        pipeline.set_progress_bar_config(disable=True)
        pipeline.text_encoder = T5EncoderModel(T5Config(vocab_size=pipeline.text_encoder.config.vocab_size)).eval()
        width = pipeline.text_encoder.config.d_model
        inner = pipeline.transformer.context_embedder.out_features
        pipeline.transformer.context_embedder = torch.nn.Linear(width, inner)
        if kept:
            remember_texts(pipeline)
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(batches):
                pipeline(
                    prompt=["a photo of a cat"] * batch,
                    num_inference_steps=4,
                    height=16,
                    width=16,
                    max_sequence_length=64,
                )
        seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1]


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", action="store_true")
    torch.set_num_threads(1)
    with quiet():
        if parser.parse_args().texts:
            kept, encoded = text_seconds()
            print(f"20 images of one text in batches of 2: {kept:.1f} s kept, {encoded:.1f} s encoded for each batch")
            return
        head = "class|listed|guidance|on above|negative prompt|embedded|distilled by|call received|predictions on / off"
        print(f"| {head.replace('|', ' | ')} |\n|{'---|' * 9}")
        for row in rows():
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()

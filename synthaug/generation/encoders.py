"""How much of a prompt the text encoders of a pipeline read."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.options import taken_by
from synthaug.generation.quiet import quiet
from synthaug.messages import bullets

log = logging.getLogger(__name__)

_LONGEST = 100_000  # tokens; a tokenizer that knows no limit says 10^30


@dataclass(frozen=True)
class _Reading:
    """What one encoder makes of a prompt."""

    name: str
    tokens: int
    limit: int
    cut: str  # the end that it does not read


def refuse_cut(pipeline: Any, model: str, prompts: Sequence[str], longest: int | None) -> None:
    """Refuse prompts that no encoder reads to the end; say of the others where one does not.

    Args:
        pipeline: with its own tokenizers.
        model: its name.
        prompts: as they will be asked.
        longest: `max_sequence_length` of the call; None is the pipeline's own.

    Raises:
        UserError: all prompts that would be cut off, each with what would be lost.
    """
    lost, partly = [], []
    for prompt in dict.fromkeys(prompts):
        with quiet():
            readings = list(_readings(pipeline, prompt, longest))
        cut = [reading for reading in readings if reading.cut]
        if cut and len(cut) == len(readings):
            most = max(cut, key=lambda reading: reading.limit)
            lost.append(
                f"{prompt!r} has {most.tokens} tokens, {most.name} takes {most.limit}: {most.cut!r} would be cut off"
            )
        partly += [f"{reading.name} ({reading.tokens} tokens, it takes {reading.limit})" for reading in cut]
    way_out = "shorten them" + (", or raise generator.max_sequence_length" if _takes_length(pipeline) else "")
    if lost:
        raise UserError(f"Prompts are longer than {model} reads ({way_out}):\n{bullets(lost)}")
    if partly:
        log.info("%s reads the whole prompts, but not by %s", model, ", ".join(dict.fromkeys(partly)))


def _readings(pipeline: Any, prompt: str, longest: int | None) -> Iterator[_Reading]:
    for name, tokenizer in pipeline.components.items():
        if not name.startswith("tokenizer") or tokenizer is None:
            continue
        text = prompt
        if hasattr(pipeline, "maybe_convert_prompt"):  # a learned word may stand for several tokens
            text = pipeline.maybe_convert_prompt(prompt, tokenizer)
        limit = _limit(pipeline, tokenizer, longest)
        ids = tokenizer(text).input_ids
        # Of a text that is cut off, the last token that is kept is the one that ends it.
        cut = tokenizer.decode(ids[limit - 1 : -1]).strip() if len(ids) > limit else ""
        yield _Reading(name, len(ids), limit, cut or ("…" if len(ids) > limit else ""))


def _limit(pipeline: Any, tokenizer: Any, longest: int | None) -> int:
    own = tokenizer.model_max_length if tokenizer.model_max_length < _LONGEST else _LONGEST
    # CLIP has as many places as it was trained with; what the call can set is for the other kinds.
    if not _takes_length(pipeline) or type(tokenizer).__name__.startswith("CLIP"):
        return int(own)
    return int(longest or taken_by(type(pipeline))["max_sequence_length"].default or own)


def _takes_length(pipeline: Any) -> bool:
    return "max_sequence_length" in taken_by(type(pipeline))

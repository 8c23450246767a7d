"""How much of a prompt the text encoders of a pipeline read."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.options import call_parameters
from synthaug.generation.quiet import quiet
from synthaug.messages import bullets

log = logging.getLogger(__name__)

_UNLIMITED = 100_000  # tokens; a tokenizer without a limit reports 10^30


@dataclass(frozen=True)
class _Tokenization:
    """A prompt in the tokens of one encoder; `truncated` is the end that it does not read."""

    tokenizer: str
    tokens: int
    limit: int
    truncated: str


def check_prompt_lengths(pipeline: Any, model: str, prompts: Sequence[str], max_length: int | None) -> None:
    """Check that at least one encoder reads each prompt to the end; log those that do not.

    Args:
        pipeline: with its tokenizers.
        model: its name.
        prompts: as they are passed to the pipeline.
        max_length: `max_sequence_length` of the call in tokens; None is the pipeline's default.

    Raises:
        UserError: all prompts that would be truncated, each with the lost words.
    """
    lost, partly = [], []
    for prompt in dict.fromkeys(prompts):
        with quiet():
            tokenizations = list(_tokenize(pipeline, prompt, max_length))
        truncated = [item for item in tokenizations if item.truncated]
        if truncated and len(truncated) == len(tokenizations):
            longest = max(truncated, key=lambda item: item.limit)
            lost.append(
                f"{prompt!r} has {longest.tokens} tokens, {longest.tokenizer} reads {longest.limit}: "
                f"{longest.truncated!r} would be cut off"
            )
        partly += [f"{item.tokenizer} ({item.tokens} tokens, it reads {item.limit})" for item in truncated]
    if lost:
        remedy = "shorten them" + (", or raise generator.max_sequence_length" if _accepts_length(pipeline) else "")
        raise UserError(f"Prompts are too long for {model} ({remedy}):\n{bullets(lost)}")
    if partly:
        log.info("%s reads the whole prompts, but not by %s", model, ", ".join(dict.fromkeys(partly)))


def _tokenize(pipeline: Any, prompt: str, max_length: int | None) -> Iterator[_Tokenization]:
    for name, tokenizer in pipeline.components.items():
        if not name.startswith("tokenizer") or tokenizer is None:
            continue
        text = prompt
        if hasattr(pipeline, "maybe_convert_prompt"):  # a learned word may stand for several tokens
            text = pipeline.maybe_convert_prompt(prompt, tokenizer)
        limit = _token_limit(pipeline, tokenizer, max_length)
        ids = tokenizer(text).input_ids
        # Of a truncated text, the last token that is kept is the one that ends it.
        rest = tokenizer.decode(ids[limit - 1 : -1]).strip() if len(ids) > limit else ""
        yield _Tokenization(name, len(ids), limit, rest or ("…" if len(ids) > limit else ""))


def _token_limit(pipeline: Any, tokenizer: Any, max_length: int | None) -> int:
    trained = min(tokenizer.model_max_length, _UNLIMITED)
    # CLIP has as many positions as it was trained with; the call's argument is for the other encoders.
    if not _accepts_length(pipeline) or type(tokenizer).__name__.startswith("CLIP"):
        return int(trained)
    return int(max_length or call_parameters(type(pipeline))["max_sequence_length"].default or trained)


def _accepts_length(pipeline: Any) -> bool:
    return "max_sequence_length" in call_parameters(type(pipeline))

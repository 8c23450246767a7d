"""Words that stand for the images of a class: textual inversion trains their vectors and nothing else.

Gal, R. et al. (2022). An image is worth one word: personalizing text-to-image generation using textual inversion.
https://arxiv.org/abs/2208.01618
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.adapters import ENCODERS

FILE = "learned_embeds.safetensors"  # as diffusers calls it


@dataclass(frozen=True)
class LearnedWord:
    """A word to be learned.

    Attributes:
        token: how a prompt spells it, such as "<cat>".
        initializer: words from whose meaning it begins.
    """

    token: str
    initializer: str


def class_tokens(classes: Sequence[str]) -> dict[str, str]:
    """Return class → its token, in small letters, since tokenizers tell no others apart.

    Args:
        classes: names.
    """
    tokens: dict[str, str] = {}
    for name in classes:
        stem = re.sub(r"[\W_]+", "-", name.lower()).strip("-") or "class"
        token = next(
            token for number in range(len(classes)) if (token := f"<{stem}{number or ''}>") not in tokens.values()
        )
        tokens[name] = token
    return tokens


@contextmanager
def learned_word(pipeline: Any, word: LearnedWord, vectors: int) -> Iterator[dict[str, Any]]:
    """Give a pipeline a word that is trained, and take it away at the end.

    Args:
        pipeline: of the Stable Diffusion family.
        word: to be learned.
        vectors: tokens that it is read as.

    Yields:
        Text encoder → the vectors of the word (vectors, width), as a parameter in single precision.

    Raises:
        UserError: the word exists; the initializer is of no words that the model knows.
    """
    with ExitStack() as stack:
        yield {
            encoder: stack.enter_context(_extended(pipeline, encoder, tokenizer, word, vectors))
            for encoder, tokenizer in ENCODERS.values()
            if getattr(pipeline, encoder, None) is not None
        }


@contextmanager
def _extended(pipeline: Any, encoder_name: str, tokenizer_name: str, word: LearnedWord, vectors: int) -> Iterator[Any]:
    """Give one text encoder the word; yield its vectors."""
    import torch

    encoder, tokenizer = getattr(pipeline, encoder_name), getattr(pipeline, tokenizer_name)
    table = encoder.get_input_embeddings()
    meaning = tokenizer(word.initializer, add_special_tokens=False).input_ids
    if not meaning or set(meaning) <= {tokenizer.unk_token_id}:
        raise UserError(
            f"{word.initializer!r}, from which the word {word.token} begins, is not one that {tokenizer_name} knows; "
            "set another, such as adapt.initializer=object."
        )
    tokens = [word.token, *(f"{word.token}_{number}" for number in range(1, vectors))]
    extended = copy.deepcopy(tokenizer)
    if extended.add_tokens(tokens) != vectors:
        raise UserError(f"synthaug.adapt: {word.token} is in the model's vocabulary already: rename the class.")
    with torch.no_grad():
        start = table(torch.tensor(meaning, device=encoder.device)).float().mean(dim=0)
    learned = torch.nn.Parameter(start.repeat(vectors, 1))
    setattr(pipeline, tokenizer_name, extended)
    encoder.set_input_embeddings(_extend(table, learned, extended.convert_tokens_to_ids(word.token)))
    try:
        yield learned
    finally:
        encoder.set_input_embeddings(table)
        setattr(pipeline, tokenizer_name, tokenizer)


def _extend(table: Any, learned: Any, first: int) -> Any:
    """Return a table of embeddings with further rows, which alone are trained.

    Args:
        table: the model's.
        learned: rows of the word.
        first: number of its first token.
    """
    import torch

    class ExtendedEmbedding(torch.nn.Module):
        weight = table.weight  # where the libraries look for its type

        def forward(self, ids: Any) -> Any:
            is_learned = (ids >= first) & (ids < first + len(learned))
            rows = table(ids.masked_fill(is_learned, 0))
            return torch.where(is_learned[..., None], learned[(ids - first).clamp(0, len(learned) - 1)].to(rows), rows)

    return ExtendedEmbedding()


def save_word(word: LearnedWord, learned: Mapping[str, Any], destination: Path) -> None:
    """Write the vectors of a word, in the form that diffusers and others read.

    Args:
        word: that was learned.
        learned: from `learned_word`.
        destination: folder of the file.
    """
    import safetensors.torch

    parts = {encoder: part for part, (encoder, _) in ENCODERS.items()}
    tensors = {parts[encoder]: vectors.detach().cpu().contiguous() for encoder, vectors in learned.items()}
    if len(tensors) == 1:  # Stable Diffusion 1 and 2; XL has two encoders
        tensors = dict(zip([word.token], tensors.values(), strict=True))
    destination.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, destination / FILE)

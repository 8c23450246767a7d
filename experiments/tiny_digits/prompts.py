"""The prompts that the generator `tiny_digits` learns, and a CLIP tokenizer that knows their words.

Every word of a prompt is one token; any other word falls into its bytes, so no text is refused.
"""

from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

MAX_TOKENS = 32
START, END = "<|startoftext|>", "<|endoftext|>"

DEFAULT_PROMPT = "a handwritten digit {}"
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "a handwritten digit {}",
    "a handwritten {}",
    "handwritten {}",
    "the handwritten digit {}",
    "a photo of the digit {}",
    "a photo of a handwritten digit {}",
    "an image of the digit {}",
    "the digit {}",
    "{}",
)


def prompts_of(digit: int) -> list[str]:
    """All training prompts of one digit: each template with the figure and with the word."""
    return [template.format(name) for name in (str(digit), NAMES[digit]) for template in TEMPLATES]


def prompt_words() -> list[str]:
    return sorted({word for digit in range(10) for prompt in prompts_of(digit) for word in prompt.split()})


def build_tokenizer() -> CLIPTokenizer:
    """Bytes, bytes that end a word, the merges that build each prompt word, and the two marks."""
    symbols = sorted(ByteLevel.alphabet())
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    merges: dict[tuple[str, str], None] = {}
    for word in prompt_words():
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        left = pieces[0]
        for right in pieces[1:]:
            merges[left, right] = None
            left += right
    tokens += ["".join(pair) for pair in merges]
    vocab = {token: index for index, token in enumerate(dict.fromkeys([*tokens, START, END]))}
    pairs: Any = list(merges)  # annotated as strings, read as pairs
    tokenizer = CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=MAX_TOKENS)
    check_tokenizer(tokenizer)
    return tokenizer


def check_tokenizer(tokenizer: CLIPTokenizer) -> None:
    """Raise ValueError unless each prompt word is one token of the vocabulary between the two marks."""
    vocabulary = tokenizer.get_vocab()
    for word in prompt_words():
        expected = [vocabulary[START], vocabulary[f"{word}</w>"], vocabulary[END]]
        if (ids := tokenizer(word).input_ids) != expected:
            raise ValueError(f"the prompt word {word!r} became {tokenizer.convert_ids_to_tokens(ids)}")

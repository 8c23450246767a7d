"""Parts of messages: counts with their nouns, enumerations, bulleted lists, suggestions for a mistyped name."""

import difflib
from collections.abc import Iterable, Sequence

MAX_BULLETS = 10


def plural(count: int, singular: str, several: str | None = None) -> str:
    """Return a count with its noun: "1 image is", "2,000 images are".

    Args:
        count: how many.
        singular: the noun, and what follows it, for one.
        several: the same for any other count; by default the singular with an s.
    """
    return f"{count:,} {singular if count == 1 else several or f'{singular}s'}"


def join_words(words: Iterable[str | int], conjunction: str = "and") -> str:
    """Return "a", "a and b", or "a, b and c".

    Args:
        words: at least one.
        conjunction: the word before the last one.
    """
    *first, last = map(str, words)
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def bullets(lines: Sequence[str], limit: int = MAX_BULLETS) -> str:
    """Return an indented list that ends with the number of lines it leaves out.

    Args:
        lines: of the list.
        limit: largest number of lines shown.
    """
    rest = len(lines) - limit
    return "\n".join([f"  - {line}" for line in lines[:limit]] + ([f"  … and {rest} more"] if rest > 0 else []))


def suggest(
    name: str, candidates: Iterable[str], limit: int = 3, cutoff: float = 0.6, prefix: str = "", suffix: str = ""
) -> str:
    """Return "did you mean 'a' or 'b'?" with the candidates closest to `name` in any case, or "" if none is close.

    Args:
        name: as it was typed.
        candidates: names that exist.
        limit: largest number of suggestions.
        cutoff: least similarity of a suggestion, 0 to 1.
        prefix: shown before a suggestion, such as the key of a node.
        suffix: shown behind it, such as the value.
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=limit, cutoff=cutoff)
    names = [repr(f"{prefix}{by_lower[text]}{suffix}") for text in close]
    return f"did you mean {join_words(names, 'or')}?" if names else ""

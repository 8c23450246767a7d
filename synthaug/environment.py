"""Text of the environment that a configuration asked for: it may be a password, and reaches no file."""

import hashlib
from collections.abc import Mapping
from typing import Any

_SHORTEST = 6  # letters; what is shorter is not a secret, and part of too many words
_NAMES: dict[str, str] = {}  # text → the variable that holds it


def remember(variable: str, text: str) -> None:
    """Hide a text from now on.

    Args:
        variable: that holds it.
        text: as a configuration has read it.
    """
    if len(text) >= _SHORTEST:
        _NAMES[text] = variable


def remembered() -> dict[str, str]:
    """Return the hidden texts → the variables that hold them, for a process that is started."""
    return dict(_NAMES)


def hidden(text: str) -> str:
    """Return a text with the names of variables in the place of what they hold."""
    for secret in sorted(_NAMES, key=len, reverse=True):
        text = text.replace(secret, f"${{oc.env:{_NAMES[secret]}}}")
    return text


def hidden_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings whose texts are hidden; with a digest, so that another text is other settings."""
    return {name: _hidden_value(value) for name, value in settings.items()}


def _hidden_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return hidden_settings(value)
    if isinstance(value, list):
        return [_hidden_value(item) for item in value]
    if not isinstance(value, str) or (shown := hidden(value)) == value:
        return value
    return f"{shown} (sha256 {hashlib.sha256(value.encode()).hexdigest()[:8]})"

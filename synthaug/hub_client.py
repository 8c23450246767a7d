"""The client of the Hugging Face hub, which gives up on a server that is silent; by itself it waits for ever."""

import contextlib
import functools
import sys
from collections.abc import Iterator
from typing import Any

PATIENCE = 30.0  # seconds of silence, where the hub's library or its caller sets no limit
_FIRST_ANSWER = 10.0  # seconds until it says anything of a model


@functools.cache
def limit_silence() -> None:
    """Limit how long requests to the hub wait from here on, those of the libraries that load models and data too."""
    import huggingface_hub

    huggingface_hub.set_client_factory(_patient_client)


def _patient_client() -> Any:
    from huggingface_hub.utils import _http

    client = _http.default_client_factory()
    client.event_hooks["request"].append(_limit)  # a limit of the client itself gives way to a request's None
    return client


def _limit(request: Any) -> None:
    limits = request.extensions.get("timeout", {})
    limited = {name: limits.get(name) or PATIENCE for name in ("connect", "read", "write", "pool")}
    request.extensions = {**request.extensions, "timeout": limited}


@contextlib.contextmanager
def cache_alone_where_silent(name: str, kind: str = "model") -> Iterator[str]:
    """Leave the hub alone in the block where it does not answer now: its library tries each file for eight minutes.

    Args:
        name: id of what is loaded.
        kind: what it is, "model" or "dataset".

    Yields:
        Why the hub does not answer; empty where it does, or is left alone anyway.
    """
    from huggingface_hub import constants

    reason = "" if constants.HF_HUB_OFFLINE else _silence(name, kind)
    with contextlib.ExitStack() as stack:
        copies: list[Any] = [constants, sys.modules.get("datasets.config")]
        for settings in filter(None, copies):
            stack.callback(setattr, settings, "HF_HUB_OFFLINE", settings.HF_HUB_OFFLINE)
            settings.HF_HUB_OFFLINE = settings.HF_HUB_OFFLINE or bool(reason)
        yield reason


@functools.cache  # each arm of a sweep needs it
def _silence(name: str, kind: str) -> str:
    import huggingface_hub

    limit_silence()
    try:
        huggingface_hub.HfApi().repo_info(name, repo_type=kind, timeout=_FIRST_ANSWER)
    except huggingface_hub.errors.HfHubHTTPError:  # an answer, be it that there is no such thing
        return ""
    except Exception as error:  # of whichever HTTP library
        return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
    return ""

"""The client of the Hugging Face hub gives up on a server that accepts and stays silent."""

import socket
import time
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from synthaug import hub_client
from tests.factories.servers import serve


@pytest.mark.parametrize("limit", [None, 0.2])
def test_a_silent_server_is_given_up(limit: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library passes None on where it is given no limit, and that would be none at all."""
    monkeypatch.setattr(hub_client, "PATIENCE", 0.2 if limit is None else 60.0)
    hub_client.limit_silence()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(Exception, match="timed out"):  # of whichever HTTP library
            huggingface_hub.HfApi(endpoint=address).dataset_info("me/data", timeout=limit)
    assert 0.2 <= time.monotonic() - started < 10


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_silent_hub_is_left_alone(is_silent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_client._silence.cache_clear()
    monkeypatch.setattr(hub_client, "_FIRST_ANSWER", 0.2)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as silent, serve(tmp_path) as server:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}" if is_silent else server.address
        monkeypatch.setattr(constants, "ENDPOINT", address)
        with hub_client.cache_alone_where_silent("timm/a") as reason:  # which the other server does not have
            assert constants.HF_HUB_OFFLINE == bool(reason) == is_silent
    assert not constants.HF_HUB_OFFLINE
    hub_client._silence.cache_clear()

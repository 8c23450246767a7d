"""One run among others."""

import gc
import weakref
from unittest.mock import Mock

import pytest

from synthaug.config.job import Job
from synthaug.execution import runner
from synthaug.execution.session import Session


class Network:
    """Refers to itself, as a network and its Trainer do."""

    def __init__(self) -> None:
        self.trainer = self


def test_what_a_run_leaves_behind_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[weakref.ref[Network]] = []
    monkeypatch.setattr(runner, "run", lambda session, job: networks.append(weakref.ref(Network())))
    gc.disable()
    try:
        runner.execute(Mock(spec=Session), Mock(spec=Job))
    finally:
        gc.enable()
    assert [network() for network in networks] == [None]

"""Whoever waits for another process says so."""

import errno
import fcntl
import logging
import os
import threading
from pathlib import Path

import pytest

from synthaug import locks
from synthaug.errors import UserError


def test_a_command_says_that_it_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_SILENT", 0.05)
    waited, free, reached = threading.Event(), threading.Event(), threading.Event()
    monkeypatch.setattr(logging.getLogger(locks.__name__), "warning", lambda *_: waited.set())

    def wait() -> None:
        with locks.exclusive(tmp_path / ".lock", "splits the images of photos"):
            assert free.is_set()
            reached.set()

    with locks.exclusive(tmp_path / ".lock", "splits the images of photos"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waited.wait(10)
        free.set()
    thread.join(10)
    assert reached.is_set()


def test_a_free_lock_is_taken_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with locks.exclusive(tmp_path / ".lock", "writes"):
        pass
    assert not caplog.records


def test_whether_a_lock_is_free(tmp_path: Path) -> None:
    with locks.without_waiting(tmp_path / ".lock") as first, locks.without_waiting(tmp_path / ".lock") as second:
        assert (first, second) == (True, False)
    with locks.without_waiting(tmp_path / ".lock") as again:
        assert again


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    for lock in (locks.exclusive(tmp_path / ".lock", "writes"), locks.without_waiting(tmp_path / ".lock")):
        with pytest.raises(UserError, match=r"\.lock cannot be locked .*output_dir="), lock:
            raise AssertionError("two processes would be in here")


def test_other_errors_of_a_lock_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(IsADirectoryError), locks.exclusive(tmp_path / ".lock", "writes"):
        pass

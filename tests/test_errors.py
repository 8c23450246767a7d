"""Errors of disks and of the system's limits are told by the file and the next step, whatever library met them."""

import errno
import os
from pathlib import Path

import pytest

from synthaug.errors import UserError, disk_error, explain, is_environmental, underlying
from synthaug.files import whole_file


def raised_by_a_library(number: int) -> Exception:
    """The error of a library that closes what it could not write, as torch.save does."""
    try:
        try:
            raise OSError(number, os.strerror(number))
        finally:
            raise RuntimeError("PytorchStreamWriter failed")
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("number", [errno.EFBIG, errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
def test_a_file_that_cannot_be_written_is_named_whatever_wrote_it(tmp_path: Path, number: int) -> None:
    for error in (OSError(number, os.strerror(number)), raised_by_a_library(number)):
        with pytest.raises(OSError, match=os.strerror(number)) as raised, whole_file(tmp_path / "best.ckpt"):
            raise error
        assert (raised.value.errno, raised.value.filename) == (number, str(tmp_path / "best.ckpt"))
        assert is_environmental(raised.value)
        assert "best.ckpt" in explain(raised.value)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("no"), ConnectionResetError(errno.ECONNRESET, "reset"), OSError("no")])
def test_other_errors_of_a_block_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, whole_file(tmp_path / "a"):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EMFILE, errno.ENFILE])
def test_limits_of_the_system_name_what_raises_them_without_a_file_too(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert is_environmental(error)
    assert os.strerror(number) in explain(error)
    assert "same command again" in explain(error)


def test_a_missing_file_behind_another_error_is_not_its_cause() -> None:
    error = raised_by_a_library(errno.ENOENT)
    assert disk_error(error) is None
    assert underlying(error) is error


def test_the_users_error_comes_before_that_of_the_disk() -> None:
    error = RuntimeError("in a library")
    error.__cause__ = UserError("a sentence")
    assert underlying(error) is error.__cause__

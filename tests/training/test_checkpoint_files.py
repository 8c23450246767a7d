"""Checkpoint files: written while the training goes on, whole or absent, in their order, and never a failure unseen."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.models.checkpoints import is_sealed, is_whole, seal
from synthaug.runs import layout
from synthaug.training.checkpoint_files import AtomicCheckpointIO, load_tensors


class Disk:
    """Stands for `os.fsync`, which waits until it may go on; or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_free = threading.Event()
        self.fails = False
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, _descriptor: int) -> None:
        assert self.is_free.wait(20)
        if self.fails:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def content(value: float) -> dict[str, Any]:
    return {"state_dict": {"weight": torch.full((3,), value)}}


def weight(path: Path) -> float:
    return float(load_tensors(path)["state_dict"]["weight"][0])


def test_training_goes_on_while_the_disk_is_written(tmp_path: Path, disk: Disk) -> None:
    files, tensors = AtomicCheckpointIO(), content(1.0)
    files.save_checkpoint(tensors, tmp_path / layout.LAST)
    tensors["state_dict"]["weight"].fill_(2.0)  # by the next step
    assert not (tmp_path / layout.LAST).exists()
    disk.is_free.set()
    files.wait()
    assert weight(tmp_path / layout.LAST) == 1.0
    assert [path.name for path in tmp_path.iterdir()] == [layout.LAST]


@given(st.data())
def test_no_bit_of_a_sealed_checkpoint_flips_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("sealed") / layout.LAST
    torch.save(content(1.0), path)
    assert not is_sealed(path)
    seal(path)
    assert is_sealed(path)
    assert is_whole(path)
    assert weight(path) == 1.0
    written = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        written[data.draw(st.integers(0, len(written) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del written[data.draw(st.integers(0, len(written) - 1)) :]
    path.write_bytes(written)
    assert not is_sealed(path)


def test_at_most_one_epoch_is_not_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    files = AtomicCheckpointIO()
    files.save_checkpoint(content(1.0), tmp_path / layout.LAST)
    second = threading.Thread(target=files.save_checkpoint, args=(content(2.0), tmp_path / layout.LAST))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    disk.is_free.set()
    second.join(20)
    files.wait()
    assert (weight(tmp_path / layout.LAST), weight(tmp_path / layout.PREVIOUS)) == (2.0, 1.0)


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, disk: Disk) -> None:
    files = AtomicCheckpointIO()
    disk.is_free.set()
    files.save_checkpoint(content(1.0), tmp_path / layout.LAST)
    files.wait()
    disk.fails = True
    files.save_checkpoint(content(2.0), tmp_path / layout.LAST)
    with pytest.raises(OSError, match="No space left"):
        files.wait()
    files.wait()  # told once
    assert weight(tmp_path / layout.LAST) == 1.0
    assert not list(tmp_path.glob(".*"))

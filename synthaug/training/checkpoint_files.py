"""Checkpoint files of a run: whole or absent, written while the training goes on, loaded as plain tensors."""

import contextlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from synthaug.errors import UserError
from synthaug.files import whole_file
from synthaug.models import frozen_weights
from synthaug.models.checkpoints import is_sealed, seal
from synthaug.runs.layout import CHECKPOINT, LAST, PREVIOUS

log = logging.getLogger(__name__)

_HANDED_OVER = ".temp.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint to a temporary file beside its place, then renames it; reads no pickles but tensors.

    Lightning goes through the system's temporary folder: from another disk that is a copy, which a kill or a full
    disk cuts short. A checkpoint is written at once, as the next step changes its tensors; a thread waits for the
    disk and renames. The next checkpoints wait for it: a killed run has lost one epoch's at most. The one before the
    last is kept as `previous.ckpt`, for a disk that loses the end of the last.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None  # not until it is needed: a Trainer may be pickled
        self._unfinished: list[tuple[Path, Future[None]]] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        place = Path(path)
        if any(earlier == place for earlier, _ in self._unfinished):
            self.wait()
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(whole_file(place))
            with temporary.open("wb") as stream:  # torch.save's own writer hides why it could not write
                torch.save(checkpoint, stream)
            finishing = stack.pop_all()
        if place.name == _HANDED_OVER:  # another process reads it next
            finishing.close()
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "checkpoints")
        self._unfinished.append((place, self._thread.submit(_finish, place, temporary, finishing)))

    def wait(self) -> None:
        """Return once all checkpoints are on the disk.

        Raises:
            OSError: one could not be written.
        """
        unfinished, self._unfinished = self._unfinished, []
        thread, self._thread = self._thread, None
        if thread:
            thread.shutdown()
        for _, written in unfinished:
            written.result()

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        # Weights alone: what Lightning hands over from processes that it has started.
        return load_tensors(Path(path), required="" if Path(path).name == _HANDED_OVER else "state_dict")


def _finish(place: Path, temporary: Path, finishing: contextlib.ExitStack) -> None:
    with finishing:
        seal(temporary)
        if place.name == LAST:
            _keep(place, place.with_name(PREVIOUS))


def _keep(last: Path, previous: Path) -> None:
    """Give a checkpoint that is about to be written over a second name; at no moment is there none."""
    if last.is_file():
        try:
            previous.unlink(missing_ok=True)
            previous.hardlink_to(last)
        except OSError:  # a disk without such names
            last.replace(previous)


def resumable(folder: Path) -> Path | None:
    """Return the checkpoint to resume a run from: the last one that is whole; None where the run begins anew.

    Args:
        folder: of the run.
    """
    damaged: list[Path] = []
    whole: Path | None = None
    for path in (folder / LAST, folder / PREVIOUS):
        if whole is None and path.is_file():
            if is_sealed(path):
                whole = path
            else:
                damaged.append(path)
    best = folder / CHECKPOINT
    if best.is_file() and not is_sealed(best):
        damaged, whole = [*damaged, best], None
    if damaged:
        course = "begins anew" if whole is None else f"continues from {whole.name}, one epoch earlier"
        log.warning("%s is damaged: the run %s", " and ".join(map(str, damaged)), course)
    return whole


def load_tensors(checkpoint: Path, required: str = "state_dict") -> dict[str, Any]:
    """Load a checkpoint into the memory of the CPU; nothing in it is called, whatever the library's default.

    That of a head is completed by the frozen network that it was trained on.

    Args:
        checkpoint: the file.
        required: key that it must have; empty for none.

    Raises:
        UserError: it holds something else than tensors and plain values, or is damaged.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if required and required not in content:
            raise KeyError(required)
    except Exception as error:  # of whatever kind the bytes provoke
        reason = " ".join(str(error).split())
        raise UserError(
            f"{checkpoint} cannot be loaded ({type(error).__name__}: {reason:.200}): it is damaged, or not of this "
            f"program. Move {checkpoint.parent} away and run the same command again."
        ) from error
    return frozen_weights.complete(dict(content), checkpoint)


_HANDED_OVER = ".temp.ckpt"

"""Checkpoints of runs: whole or damaged, and loaded for evaluation."""

import hashlib
import os
import pkgutil
import zipfile
import zlib
from pathlib import Path

import torch

from synthaug.errors import UserError
from synthaug.models.classifier import Classifier

_NO_COMMENT = b"\0\0"  # the end of an archive: two bytes with the length of a comment
CLASSIFIER = "synthaug.models.classifier.Classifier"


def seal(checkpoint: Path) -> None:
    """Write the hash of a checkpoint's bytes behind them, as the comment of the archive that it is.

    The checksums in an archive are of its records: a flipped bit in its directory passes them.

    Args:
        checkpoint: as `torch.save` has written it.
    """
    with checkpoint.open("rb+") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        stream.seek(-len(_NO_COMMENT), os.SEEK_END)
        stream.write(len(digest).to_bytes(2, "little") + digest)


def is_sealed(checkpoint: Path) -> bool:
    """Whether the bytes of a checkpoint are those that `seal` has seen."""
    size = len(_NO_COMMENT) + hashlib.sha256().digest_size
    try:
        with checkpoint.open("rb") as stream:
            left = stream.seek(0, os.SEEK_END) - size
            stream.seek(0)
            digest = hashlib.sha256()
            while left > 0 and (block := stream.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
            digest.update(_NO_COMMENT)
            return left == 0 and stream.read() == digest.digest_size.to_bytes(2, "little") + digest.digest()
    except OSError:
        return False


def is_whole(checkpoint: Path) -> bool:
    """Whether the bytes of a checkpoint are those that were written, by the checksums in it."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError):
        return False


def load_classifier(checkpoint: Path, device: str = "auto", target: str = CLASSIFIER) -> Classifier:
    """Load a run's checkpoint for evaluation.

    Args:
        checkpoint: a `best.ckpt`.
        device: of PyTorch, such as "cpu" or "cuda:1"; "auto": a GPU where there is one.
        target: dotted name of its class.

    Raises:
        UserError: no such device; a checkpoint that cannot be loaded.
    """
    place = pick_device(device)
    try:
        if not is_whole(checkpoint):
            raise ValueError("its bytes are not those that were written")
        kind: type[Classifier] = pkgutil.resolve_name(target)
        classifier = kind.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).to(place)
        if classifier.view is None:
            raise KeyError("view")
    except UserError:
        raise
    except Exception as error:  # of whatever kind damaged bytes provoke
        reason = " ".join(str(error).split())
        raise UserError(
            f"{checkpoint} cannot be loaded ({type(error).__name__}: {reason:.200}): it is damaged, or an earlier "
            "version wrote it. Train the run again with overwrite=true."
        ) from error
    return classifier.eval()


def pick_device(name: str) -> torch.device:
    """Return a device of PyTorch; of "auto", a GPU where there is one.

    Raises:
        UserError: no such device.
    """
    if name == "auto":
        kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((kind for kind, is_available in kinds.items() if is_available), "cpu"))
    try:
        torch.zeros(1, device=name)
    except Exception as error:  # each kind of device has its own
        reason = str(error).partition("\n")[0]
        raise UserError(f"--device {name}: {reason}. Leave it out, or give cpu, cuda, cuda:1 or mps.") from None
    return torch.device(name)

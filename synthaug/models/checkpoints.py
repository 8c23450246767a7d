"""Checkpoints of runs: whole or damaged, and loaded for evaluation."""

import hashlib
import os
import pkgutil
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import torch

from synthaug.errors import UserError
from synthaug.models.classifier import Classifier

_NO_COMMENT = b"\0\0"  # the end of an archive: two bytes with the length of a comment
_LOCAL_HEADER = 30  # bytes before a record of an archive, without its name and further fields
# What reading a damaged archive raises.
_DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError),
    *(struct.error, KeyError),
)
CLASSIFIER = "synthaug.models.classifier.Classifier"


def seal(checkpoint: Path) -> None:
    """Write a hash behind the bytes of a checkpoint, as the comment of the archive that it is.

    An archive has checksums of its records, which `torch.save` computes: a flipped bit between them passes these. The
    hash is of all other bytes, which takes no time; that of all of them took as long as writing the file.

    Args:
        checkpoint: as `torch.save` has written it.
    """
    with checkpoint.open("rb+") as stream:
        with zipfile.ZipFile(stream) as archive:
            digest = _hash_between_records(stream, archive.infolist())
        stream.seek(-len(_NO_COMMENT), os.SEEK_END)
        stream.write(_as_comment(digest))


def is_sealed(checkpoint: Path) -> bool:
    """Whether the bytes of a checkpoint are those that `seal` has seen."""
    size = len(_as_comment(bytes(hashlib.sha256().digest_size)))
    try:
        with checkpoint.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            digest = _hash_between_records(stream, archive.infolist(), size)
            stream.seek(-size, os.SEEK_END)
            return stream.read() == _as_comment(digest) and archive.testzip() is None
    except _DAMAGED:
        return False


def _as_comment(digest: bytes) -> bytes:
    return len(digest).to_bytes(2, "little") + digest


def _hash_between_records(
    stream: IO[bytes], records: Sequence[zipfile.ZipInfo], comment: int = len(_NO_COMMENT)
) -> bytes:
    """Return the hash of the bytes of an archive that no checksum in it covers.

    Args:
        stream: the archive.
        records: of it.
        comment: length of its comment, and of the two bytes that tell it, which are left out.
    """
    digest, end = hashlib.sha256(), 0
    for record in sorted(records, key=lambda record: record.header_offset):
        stream.seek(record.header_offset)
        lengths = stream.read(_LOCAL_HEADER)[-4:]  # of the name and of further fields, which follow
        start = record.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", lengths))
        stream.seek(end)
        digest.update(stream.read(max(0, start - end)))
        end = start + record.compress_size
    last = stream.seek(0, os.SEEK_END) - comment
    stream.seek(end)
    digest.update(stream.read(max(0, last - end)))
    return digest.digest()


def is_whole(checkpoint: Path) -> bool:
    """Whether the bytes of a checkpoint are those that were written, by the checksums in it."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except _DAMAGED:
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

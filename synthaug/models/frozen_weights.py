"""The weights of a frozen network, kept once for all heads that were trained on what it sees.

The checkpoint of a head has the head alone, and the name and hash of the file with the rest: hundreds of runs would
write hundreds of copies of one network. The file lies in a folder `backbones` beside the checkpoint, or in one of the
folders around it, so a study can be moved as a whole.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from synthaug.errors import UserError
from synthaug.files import sha256, whole_file

REFERENCE = "frozen_weights"  # key of a head's checkpoint
FOLDER = "backbones"


def write(folder: Path, name: str, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Write the weights of a frozen network, unless they are there, and return what the checkpoint of a head says.

    Args:
        folder: in which the folder `backbones` is.
        name: of the file, which tells these weights from all others.
        state: the weights.
    """
    path = folder / FOLDER / f"{name}.safetensors"
    content = save({key: value.detach().cpu().contiguous().clone() for key, value in state.items()})
    digest = hashlib.sha256(content).hexdigest()
    if not path.is_file() or sha256(path) != digest:
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    return {"file": path.name, "sha256": digest}


def complete(content: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Return the content of a checkpoint with the weights of the frozen network to which it refers, if it does.

    Args:
        content: of the checkpoint.
        checkpoint: its file.

    Raises:
        UserError: the file with these weights is gone or damaged.
    """
    reference = content.get(REFERENCE)
    if reference is None:
        return content
    path = find(checkpoint, Path(reference["file"]).name)
    if path is None:
        raise UserError(
            f"{checkpoint} is the head of a frozen network whose weights are gone: put {reference['file']} beside it, "
            f"or into a folder {FOLDER} in one of the folders around it."
        )
    if sha256(path) != reference["sha256"]:
        raise UserError(
            f"{path} is damaged, or of another network than {checkpoint} was trained on: bring it back from a copy, "
            "or remove it and train the run again with overwrite=true."
        )
    return {**content, "state_dict": {**load_file(path), **content["state_dict"]}}


def find(checkpoint: Path, name: str) -> Path | None:
    """Return the file of a frozen network's weights; None where there is none.

    Args:
        checkpoint: that refers to it.
        name: of the file.
    """
    places = [checkpoint.parent / name, *(folder / FOLDER / name for folder in checkpoint.absolute().parents)]
    return next((path for path in places if path.is_file()), None)


def referred(checkpoint: Path) -> Path | None:
    """Return the file of the frozen network to which a checkpoint refers; None where it has all weights itself."""
    if not zipfile.is_zipfile(checkpoint):
        return None
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return find(checkpoint, Path(content[REFERENCE]["file"]).name) if REFERENCE in content else None


def whole_checkpoint(checkpoint: Any) -> Any:
    """Return a checkpoint as Lightning can load it: itself, or the head and its frozen network in one.

    Args:
        checkpoint: a path, or a file that is open.
    """
    if not isinstance(checkpoint, str | Path) or not Path(checkpoint).is_file():
        return checkpoint
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(content, dict) or REFERENCE not in content:
        return checkpoint
    stream = io.BytesIO()
    torch.save(complete(content, Path(checkpoint)), stream)
    stream.seek(0)
    return stream

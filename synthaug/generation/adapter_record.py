"""What an adapter was trained on: `adapter.json`, beside its weights or in the folder above them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import read_json

RECORD = "adapter.json"
_FORMAT = "synthaug adapter 1"


@dataclass(frozen=True)
class TrainingImage:
    """One real image that an adapter saw.

    Attributes:
        class_name: its class.
        path: as the dataset has it, relative to its folder.
        sha256: of the file.
    """

    class_name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class AdapterRecord:
    """What `synthaug.adapt` writes down.

    Attributes:
        recipe: everything that decides the adapter besides the images.
        images: real ones that it was trained on.
        losses: class, or "all" → mean loss of each hundredth of the steps.
        reconstruction: "before" and "after" → how well the autoencoder shows the images, in dB, where it was trained.
        origin: model, weights and versions of the libraries.
    """

    recipe: Mapping[str, Any]
    images: list[TrainingImage]
    losses: Mapping[str, list[float]]
    origin: Mapping[str, str]
    reconstruction: Mapping[str, float]

    @property
    def content(self) -> dict[str, Any]:
        """The record as JSON."""
        images = [vars(image) for image in self.images]
        return {
            "format": _FORMAT,
            "recipe": dict(self.recipe),
            "images": images,
            "losses": dict(self.losses),
            "reconstruction": dict(self.reconstruction),
            "origin": dict(self.origin),
        }


def read_record(folder: Path) -> AdapterRecord | None:
    """Return the record of an adapter; None where `synthaug.adapt` has written none, but perhaps another program.

    Args:
        folder: of the adapter, or of one of its classes.

    Raises:
        UserError: the file is damaged.
    """
    path = next((path for path in (folder / RECORD, folder.parent / RECORD) if path.is_file()), None)
    if path is None:
        return None
    content = read_json(path)
    if content.get("format") != _FORMAT:  # of another program
        return None
    try:
        images = [TrainingImage(**image) for image in content["images"]]
        return AdapterRecord(content["recipe"], images, content["losses"], content["origin"], content["reconstruction"])
    except (LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): train the adapter again with synthaug.adapt.") from error


def read_records(files: Iterable[Path]) -> dict[Path, AdapterRecord]:
    """Return folder → record of the adapters among local files that have one, each once.

    Args:
        files: weights, or folders of them.
    """
    records: dict[Path, AdapterRecord] = {}
    for file in files:
        folder = file if file.is_dir() else file.parent
        top = folder if (folder / RECORD).is_file() else folder.parent
        if top not in records and (record := read_record(folder)) is not None:
            records[top] = record
    return records

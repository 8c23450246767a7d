"""`dataset.json` in the folder of a dataset that a function wrote: its source, its licence, and the request."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import read_json, write_json

RECORD = "dataset.json"
FORMAT = 1


def write(folder: Path, request: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the record.

    Args:
        folder: of the dataset.
        request: the arguments that define the dataset, as plain JSON data.
        facts: source, licence and whatever else is recorded.
    """
    write_json(folder / RECORD, {"format": FORMAT, **facts, "request": dict(request)})


def is_made(root: Path, request: Mapping[str, Any]) -> bool:
    """Whether the folder exists and holds the requested dataset.

    Args:
        root: the dataset's folder.
        request: the arguments that define the dataset, as plain JSON data.

    Raises:
        UserError: the folder was not written by this dataset, or for another request.
    """
    if not root.exists():
        return False
    remedy = (
        "Have it written elsewhere with dataset.root=<folder> dataset.name=<name>, or move the folder away; to use it "
        f"as it is: dataset=imagefolder dataset.root={root}"
    )
    if not (root / RECORD).is_file():
        raise UserError(f"{root} exists but has no {RECORD}, so it was not written by this dataset. {remedy}")
    recorded = read_json(root / RECORD).get("request", {})
    differing = [
        f"  - dataset.prepare.{key}: {recorded.get(key)} there, {request.get(key)} now"
        for key in sorted({*recorded, *request})
        if recorded.get(key) != request.get(key)
    ]
    if differing:
        raise UserError("\n".join([f"{root} was written for another request:", *differing, remedy]))
    return True

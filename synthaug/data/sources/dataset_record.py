"""`dataset.json` in the folder of a dataset that a function wrote: its source, its licence, and what was asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import read_json, write_json

RECORD = "dataset.json"
FORMAT = 1


def write(folder: Path, request: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write down what was asked for and what is known of the images."""
    write_json(folder / RECORD, {"format": FORMAT, **facts, "request": dict(request)})


def is_made(root: Path, request: Mapping[str, Any]) -> bool:
    """Whether the folder is there and holds what is asked for; False where there is none yet.

    Args:
        root: the dataset's folder.
        request: what was asked for, as plain JSON data.

    Raises:
        UserError: the folder is another dataset's, or was asked for otherwise.
    """
    if not root.exists():
        return False
    way_out = (
        "Have it written elsewhere with dataset.root=<folder> dataset.name=<name>, or move the folder away; to use it "
        f"as it is: dataset=imagefolder dataset.root={root}"
    )
    if not (root / RECORD).is_file():
        raise UserError(f"{root} is there but has no {RECORD}, so it was not written by this dataset. {way_out}")
    there = read_json(root / RECORD).get("request", {})
    differing = [
        f"  - dataset.prepare.{key}: {there.get(key)} there, {request.get(key)} now"
        for key in sorted({*there, *request})
        if there.get(key) != request.get(key)
    ]
    if differing:
        raise UserError("\n".join([f"{root} was written for another request:", *differing, way_out]))
    return True

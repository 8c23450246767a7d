"""The manifest of a dataset: the SHA-256 of each of its files, in the format of `sha256sum`, which verifies it too."""

import logging
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthaug import files
from synthaug.errors import UserError
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

MANIFEST = "SHA256SUMS"
_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_UNESCAPED = {escaped: character for character, escaped in _ESCAPES.items()}


@dataclass(frozen=True)
class Changes:
    """What differs from a manifest: paths relative to the dataset's root."""

    changed: list[str]
    missing: list[str]
    added: list[str]


def write(root: Path, hashes: Mapping[str, str]) -> None:
    """Write the manifest of a dataset.

    Args:
        root: the dataset's folder.
        hashes: path relative to it → SHA-256.
    """
    files.write_text(root / MANIFEST, "".join(_line(path, sha256) for path, sha256 in sorted(hashes.items())))


def read(root: Path) -> dict[str, str] | None:
    """Return path → SHA-256 from the manifest of a dataset; None where there is none.

    Raises:
        UserError: the manifest is damaged.
    """
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        content = "?"
    matches = [_LINE.fullmatch(line) for line in content.split("\n")[:-1]]
    if not content.endswith("\n") or not all(matches):
        raise UserError(f"{path} is damaged: restore it, or {_remedy(root)}.")
    return {_path(match[3], bool(match[1])): match[2] for match in matches if match}


def compare(root: Path, recorded: Mapping[str, str], hashes: Mapping[str, str]) -> Changes:
    """Return what differs between a manifest and files.

    Args:
        root: the dataset's folder; a recorded file that was not hashed, but is in it, is not missing.
        recorded: from `read`.
        hashes: path → SHA-256 of the present files.
    """
    return Changes(
        changed=sorted(path for path, sha256 in hashes.items() if recorded.get(path, sha256) != sha256),
        missing=sorted(path for path in recorded if path not in hashes and not (root / path).is_file()),
        added=sorted(hashes.keys() - recorded.keys()),
    )


def verify(root: Path, hashes: Iterable[tuple[str, str]]) -> None:
    """Check files against the manifest of their folder, if it has one; warn of files that it does not have.

    Args:
        root: the dataset's folder.
        hashes: text of the path and SHA-256; those outside of the folder are not in its manifest.

    Raises:
        UserError: files are missing or not those that were recorded.
    """
    recorded = read(root)
    if recorded is None:
        return
    start, is_absolute = "" if root == Path() else f"{root}{os.sep}", root.is_absolute()
    present = {  # as texts: paths take ten times as long
        file[len(start) :].replace(os.sep, "/"): sha256
        for file, sha256 in hashes
        if file.startswith(start) and os.path.isabs(file) == is_absolute  # noqa: PTH117
    }
    changes = compare(root, recorded, present)
    lines = [f"changed: {path}" for path in changes.changed] + [f"missing: {path}" for path in changes.missing]
    if lines:
        what = plural(len(lines), "file is not as its manifest says", "files are not as their manifest says")
        raise UserError(
            f"{root}: {what} ({MANIFEST}):\n{bullets(lines)}\nRestore them from a copy; if the change is meant, "
            f"{_remedy(root)}."
        )
    if changes.added:
        what = plural(len(changes.added), "file is", "files are")
        log.warning("%s: %s not in %s:\n%s", root, what, MANIFEST, bullets(changes.added, limit=3))


def _remedy(root: Path) -> str:
    return f"record the files as they are now with python -m synthaug.check {shlex.quote(str(root))} --accept"


def _line(path: str, sha256: str) -> str:
    escaped = re.sub(r"[\\\n\r]", lambda match: _ESCAPES[match[0]], path)
    return f"{'' if escaped == path else chr(92)}{sha256}  {escaped}\n"


def _path(text: str, is_escaped: bool) -> str:
    return re.sub(r"\\[\\nr]", lambda match: _UNESCAPED[match[0]], text) if is_escaped else text

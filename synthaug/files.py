"""Files and folders that are either whole or absent: written under a temporary name, then renamed.

JSON files end in a checksum of their content, so that what changed on the disk later is noticed where it is read.
"""

import contextlib
import csv
import errno
import glob
import hashlib
import io
import itertools
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from synthaug.errors import UserError, disk_error
from synthaug.image_files import open_image_file

CHECKSUM = "checksum"  # key of JSON files
_MOST_SYNCED = 1000  # files, one by one; beyond that all that the system has in memory
_KEY = "[0-9a-f]" * 8


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` only if the block succeeds.

    The temporary name starts with a dot and ends with the suffix of `path`, since image libraries
    choose the format by suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary, mark = _begin(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # the name that people know
    try:
        with mark:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    except Exception as error:
        cause = disk_error(error)
        if cause is None or cause.filename not in (None, temporary, str(temporary)):
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error  # the name that people know
    finally:
        temporary.unlink(missing_ok=True)


def _begin(path: Path) -> tuple[Path, contextlib.AbstractContextManager[object]]:
    """Make an empty temporary file beside `path`; return it with what marks it as being written."""
    while True:
        # Not tempfile's: its files are private (0600), results are shared like any other file of the user's.
        temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
        temporary.touch(exist_ok=False)
        if (mark := _mark(temporary)) is not None:
            return temporary, mark


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` only if the block succeeds.

    What killed processes left of the same folder is removed, so no other process may be writing it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}-{_KEY}"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        sync_folder(temporary)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Have the disk write a folder and all that is in it: a power cut may leave the name of a file and not its bytes.

    Args:
        folder: what comes to stand elsewhere next, or tells that something is finished.
    """
    paths = [folder, *itertools.islice(folder.rglob("*"), _MOST_SYNCED)]
    if len(paths) > _MOST_SYNCED:
        os.sync()
        return
    for path in paths:
        sync_entries(path)


def sync_entries(path: Path) -> None:
    """Have the disk write a file, or which files a folder has."""
    with contextlib.suppress(OSError):  # some disks sync no folders, Windows opens none
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def why_not_writable(folder: Path) -> str:
    """Return why nothing can be written into a folder, which need not exist; empty if it can."""
    for path in (folder, *folder.absolute().parents):
        try:
            if path.is_dir():
                return "" if os.access(path, os.W_OK | os.X_OK) else f"{path} is read-only, or not yours"
            if path.is_symlink() and not path.exists():
                return f"{path} is a link that leads nowhere"
            if path.exists():
                return f"{path} is not a folder"
        except OSError as error:
            return f"{path}: {error.strerror}"
    return ""


def remove_unfinished(folder: Path) -> None:
    """Remove what `whole_file` left in a folder where a process was killed; what others are writing stays."""
    for path in folder.glob(f".*-{_KEY}.*"):
        with contextlib.suppress(OSError), path.open("rb") as leftover:
            if _try_lock(leftover.fileno()):
                path.unlink()


if sys.platform == "win32":  # where an open file can neither be renamed nor removed

    def _mark(path: Path) -> contextlib.AbstractContextManager[object] | None:
        return contextlib.nullcontext()

    def _try_lock(descriptor: int) -> bool:
        return False

else:
    import fcntl

    def _mark(path: Path) -> contextlib.AbstractContextManager[object] | None:
        """Tell `remove_unfinished` of other processes that a file is being written; None where one has removed it."""
        try:
            mark = path.open("rb")
        except FileNotFoundError:
            return None
        with contextlib.suppress(OSError):  # of a disk that knows no locks
            fcntl.flock(mark.fileno(), fcntl.LOCK_EX)
        if os.fstat(mark.fileno()).st_nlink:
            return mark
        mark.close()
        return None

    def _try_lock(descriptor: int) -> bool:
        """Lock an open file until it is closed; False where another process has, or the disk knows no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8.

    Args:
        path: of the file.
        text: its content.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def resolved(path: Path) -> Path:
    """Return the absolute path without links; `Path.resolve` would fail for one that leads to itself."""
    return Path(os.path.realpath(path))


def file_state(path: Path) -> str:
    """Return size and time of change of a file, which tell that it was replaced; "missing" where there is none."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def open_regular(path: Path) -> io.BufferedReader | io.BytesIO:
    """Open a file to read its bytes: a pipe would be waited for, and a device has no end.

    Raises:
        OSError: it is not a regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return open_image_file(path)


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, content: Mapping[str, Any], editable: bool = False) -> None:
    """Write a JSON file atomically, with a checksum that `read_json` verifies.

    Args:
        path: of the file.
        content: without NaN, which raises ValueError.
        editable: whether users may change it, so that it has no checksum.
    """
    plain = json.loads(json.dumps(content, allow_nan=False))
    end = {} if editable else {CHECKSUM: _checksum(plain)}
    text = json.dumps({**plain, **end}, indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically, as UTF-8.

    Args:
        path: of the file.
        header: names of the columns.
        rows: one value per column.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        write_csv(stream, itertools.chain([header], rows))


def write_csv(stream: IO[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows as CSV whose lines end in a line feed.

    Python's writer quotes the signs of its own end of a line alone, and its reader takes a carriage return for one.

    Args:
        stream: text, opened with newline="".
        rows: one value per column.
    """
    csv.writer(_LineFeeds(stream), lineterminator="\r\n").writerows(rows)


class _LineFeeds:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix("\r\n") + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object as `write_json` has written it; without a checksum it is taken as it is.

    Raises:
        UserError: the file is damaged, or cannot be read.
    """
    remedy = "move it away and run the same command again"
    try:
        with open_regular(path) as stream:
            content = json.loads(stream.read().decode("utf-8"))
        if not isinstance(content, dict):
            raise UserError(f"{path} does not hold a JSON object: {remedy}.")
        recorded = content.pop(CHECKSUM, None)
        computed = _checksum(content)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give yourself the right to read it.") from None
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, of numbers without end, of NaN
        raise UserError(f"{path} is damaged ({error}): {remedy}.") from None
    if recorded not in (None, computed):
        raise UserError(
            f"{path} is not as it was written: if you edited it, delete its line {CHECKSUM!r} as well; if not, it is "
            f"damaged: {remedy}."
        )
    return content

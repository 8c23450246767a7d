"""Web files as streams that resume after a broken connection."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from synthaug.errors import UserError
from synthaug.files import whole_file

_PIECE = 1 << 20  # bytes read at once
_TIMEOUT = 60  # seconds without an answer
_ATTEMPTS = 5  # in a row that bring nothing
_PAUSE = 1.0  # seconds before the second attempt; doubled before each further one


class UnreachableError(UserError):
    """The server does not answer, or not with the file."""


class GoneError(Exception):
    """The server answers that it has no such file."""


def read(url: str) -> bytes:
    """Return the bytes of an http, https or file address.

    Raises:
        GoneError: there is no such file.
        UnreachableError: the server fails again and again.
    """
    return b"".join(piece for piece, _ in _pieces(url))


def save(url: str, path: Path) -> None:
    """Write a file as it is on the web, whole or not at all, under a progress bar; errors as for `read`.

    Args:
        url: http, https or file.
        path: where it goes.
    """
    with (
        whole_file(path) as temporary,
        temporary.open("wb") as stream,
        tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar,
    ):
        for piece, total in _pieces(url):
            bar.total = total
            bar.update(stream.write(piece))


def lines(url: str, title: str) -> Iterator[str]:
    """Yield the lines of a text file (UTF-8), with their ends, under a progress bar; errors as for `read`.

    Args:
        url: http, https or file.
        title: of the bar.
    """
    rest = b""
    with tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        for piece, total in _pieces(url):
            bar.total = total
            bar.update(len(piece))
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield f"{line.decode('utf-8', 'replace')}\n"
    if rest:
        yield rest.decode("utf-8", "replace")


def _pieces(url: str) -> Iterator[tuple[bytes, int | None]]:
    """Yield pieces, each with the length of the whole file if the server gives it."""
    done, failures = 0, 0
    while True:
        try:
            with _open(url, done) as answer:
                length = answer.headers.get("Content-Length")
                is_rest = getattr(answer, "status", None) == 206
                total = int(length) + done * is_rest if length else None
                if not is_rest:
                    _skip(answer, done)
                while piece := answer.read(_PIECE):
                    done, failures = done + len(piece), 0
                    yield piece, total
            if total is None or done >= total:
                return
            raise ConnectionError(f"the connection broke after {done:,} of {total:,} bytes")
        except (OSError, http.client.HTTPException) as error:
            failures += 1
            _raise_if_final(url, error, failures)
            time.sleep(_PAUSE * 2 ** (failures - 1))


def _open(url: str, start: int) -> Any:
    headers = {"User-Agent": "synthaug"} | ({"Range": f"bytes={start}-"} if start else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)


def _skip(answer: Any, count: int) -> None:
    while count > 0 and (piece := answer.read(min(_PIECE, count))):
        count -= len(piece)


def _raise_if_final(url: str, error: Exception, failures: int) -> None:
    """Raise if another attempt would not help."""
    status = None
    if isinstance(error, urllib.error.HTTPError):
        status = error.code
        error.close()  # it is the answer, and holds the connection
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if status in (403, 404, 410) or isinstance(reason, FileNotFoundError):
        raise GoneError(f"{url}: there is no such file ({reason})") from None
    is_busy = status in (408, 425, 429) or (status or 500) >= 500
    if not is_busy or failures >= _ATTEMPTS:
        text = f"HTTP {status} {reason}" if status else str(reason) or type(reason).__name__
        raise UnreachableError(f"{url} cannot be reached: {text}") from None

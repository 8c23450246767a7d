"""Web files as streams: a broken line is taken up again where it broke, and what cannot be had is said in words."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from synthaug.errors import UserError

_PIECE = 1 << 20  # bytes read at once
_TIMEOUT = 60  # seconds without an answer after which a line counts as broken
_ATTEMPTS = 5  # in a row that bring nothing
_PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
_AGENT = "synthaug"


class UnreachableError(UserError):
    """The server does not answer, or not with the file."""


class GoneError(Exception):
    """The server answers that it has no such file."""


def pieces(url: str) -> Iterator[bytes]:
    """The bytes of a file, piece by piece.

    Args:
        url: http, https or file.

    Raises:
        GoneError: there is no such file.
        UnreachableError: it cannot be had now.
    """
    for piece, _ in _pieces(url):
        yield piece


def lines(url: str, title: str) -> Iterator[str]:
    """The lines of a text file (UTF-8), with their ends, under a bar of bytes, rate and time left; errors as above."""
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
    """Pieces, each with the length of the whole file where the server tells."""
    done, failures = 0, 0
    total: int | None = None
    while True:
        try:
            with _open(url, done) as answer:
                length = answer.headers.get("Content-Length")
                if getattr(answer, "status", None) == 206:
                    total = done + int(length) if length else total
                else:
                    total = int(length) if length else None
                    _skip(answer, done)  # this server begins at the beginning again
                while piece := answer.read(_PIECE):
                    done, failures = done + len(piece), 0
                    yield piece, total
            if total is None or done >= total:
                return
            raise ConnectionError(f"the line broke after {done:,} of {total:,} bytes")
        except (OSError, http.client.HTTPException) as error:
            failures += 1
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the answer, and holds the line
            _require_hope(url, error, failures)
            time.sleep(_PAUSE * 2 ** (failures - 1))


def _open(url: str, start: int) -> Any:
    headers = {"User-Agent": _AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)


def _skip(answer: Any, count: int) -> None:
    while count > 0 and (piece := answer.read(min(_PIECE, count))):
        count -= len(piece)


def _require_hope(url: str, error: Exception, failures: int) -> None:
    """Raise where another attempt would not help."""
    status = error.code if isinstance(error, urllib.error.HTTPError) else None
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if status in (403, 404, 410) or isinstance(reason, FileNotFoundError):
        raise GoneError(f"{url}: there is no such file ({reason})") from None
    busy = status in (408, 425, 429) or (status or 500) >= 500
    if not busy or failures >= _ATTEMPTS:
        said = f"HTTP {status} {reason}" if status else str(reason) or type(reason).__name__
        raise UnreachableError(f"{url} cannot be reached: {said}") from None

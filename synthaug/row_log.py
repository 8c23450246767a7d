"""Append-only logs of rows with checksums: appending takes constant time.

A killed process or a power failure leaves at most one truncated row at the end; readers ignore it, and the next writer
overwrites it. An invalid row before the last one is reported as damage.
"""

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from synthaug.checked_rows import CHECK, check_of, write_checked_rows
from synthaug.files import open_regular

_SEARCHED = 100  # lines after a seemingly truncated row that are searched for valid rows, which prove damage


class DamagedLogError(ValueError):
    """A row fails its check; `line` is its line number in the file."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is not what was written")
        self.line = line


class _Reader:
    """Reads the rows of a log, and finds where the valid ones end.

    Args:
        stream: of the log.
        header: names of the columns, without that of the check.
    """

    def __init__(self, stream: BinaryIO, header: Sequence[str]) -> None:
        self._stream = stream
        self._header = [*header, CHECK]
        self._read = 0
        self._is_ended = False
        self.end = 0

    def _lines(self) -> Iterator[str]:
        for line in self._stream:
            self._read += len(line)
            self._is_ended = line.endswith(b"\n")
            yield line.decode("utf-8", "replace")

    def rows(self) -> Iterator[list[str]]:
        """Yield the cells of each row without their check.

        Raises:
            DamagedLogError: a row but the last is not what was written, or the header.
        """
        reader, cut, line = csv.reader(self._lines()), 0, 1
        try:
            if next(reader, None) != self._header:
                raise DamagedLogError(1)
            self.end = self._read
            line = reader.line_num + 1
            for cells in reader:
                if cut:
                    raise DamagedLogError(cut)
                if self._is_ended and self._is_whole(cells):
                    self.end = self._read
                    yield cells[:-1]
                elif self._is_ended and len(cells) >= len(self._header):
                    raise DamagedLogError(line)
                elif cells:  # truncated, unless more rows follow
                    cut = line
                line = reader.line_num + 1
        except csv.Error:  # an unterminated cell
            if not self.end:
                raise DamagedLogError(1) from None
            cut = line
        if cut and self._has_rows_behind():
            raise DamagedLogError(cut)

    def _is_whole(self, cells: Sequence[str]) -> bool:
        return len(cells) == len(self._header) and cells[-1] == check_of(cells[:-1])

    def _has_rows_behind(self) -> bool:
        """Whether valid rows follow in a seemingly truncated row: a damaged quotation mark hides them."""
        self._stream.seek(self.end)
        lines = self._stream.read().decode("utf-8", "replace").split("\n")
        for start in range(1, min(len(lines), _SEARCHED)):
            with contextlib.suppress(csv.Error):
                if self._is_whole(next(csv.reader(f"{line}\n" for line in lines[start:]), [])):
                    return True
        return False


def logged_rows(path: Path, header: Sequence[str]) -> Iterator[list[str]]:
    """Yield the rows of a log without their checks, while others may append to it.

    Args:
        path: of the log.
        header: names of the columns, without that of the check.

    Raises:
        DamagedLogError: a row but the last is not what was written, or the header.
    """
    with open_regular(path) as stream:
        yield from _Reader(stream, header).rows()


class LogWriter:
    """Appends to a log; the caller holds its lock.

    Args:
        path: of the log, which is begun where it is missing.
        header: names of the columns, without that of the check.

    Raises:
        DamagedLogError: as `logged_rows` does.
    """

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        if not path.exists():
            write_checked_rows(path, header, [])
        with open_regular(path) as content:
            reader = _Reader(content, header)
            for _ in reader.rows():
                pass
        self._path = path
        # Unbuffered: a buffer would retry what a full disk has refused.
        self._stream = path.open("r+b", buffering=0)
        self._end = reader.end
        self._cut()

    def __enter__(self) -> "LogWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def append(self, rows: Iterable[Sequence[object]]) -> None:
        """Append rows durably; if this raises, the log has none of them.

        Args:
            rows: one value per column.
        """
        content = memoryview("".join(map(_line, rows)).encode())
        try:
            while content:
                content = content[self._stream.write(content) :]
            os.fsync(self._stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # else a truncated row remains, which the next one overwrites
                self._cut()
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._end = self._stream.tell()

    def _cut(self) -> None:
        self._stream.seek(self._end)
        self._stream.truncate()


def _line(row: Sequence[object]) -> str:
    cells = [*map(str, row), check_of(map(str, row))]
    text = io.StringIO()
    # `csv` quotes only its own line terminator, but readers end a row at a carriage return as well.
    has_return = any("\r" in cell for cell in cells)
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL).writerow(cells)
    return text.getvalue()

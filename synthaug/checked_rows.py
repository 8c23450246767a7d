"""CSV files whose rows end in a check of their cells: a row that changed on the disk, or was cut, is noticed."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from synthaug.files import open_regular, write_csv, write_rows

CHECK = "check"  # the last column
_LONGEST_LINE = 2**16  # bytes; a table that ends in a longer one is written anew where rows are appended


def write_checked_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically, as UTF-8, each row with its check.

    Args:
        path: of the file.
        header: names of the columns, without that of the check.
        rows: one value per column.
    """
    write_rows(path, [*header, CHECK], ([*row, check_of(map(str, row))] for row in rows))


def append_checked_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Append to a CSV file of checked rows; one that is missing, or of another header, is written.

    A process that is killed meanwhile, or a full disk, leaves a row without end, which the next one removes: an open
    quotation mark in it would hide all rows behind.

    Args:
        path: of the file.
        header: names of the columns, without that of the check.
        rows: one value per column.
    """
    rows = list(rows)
    first = ",".join([*header, CHECK]).encode() + b"\n"
    try:
        with open_regular(path) as content:
            is_table = content.readline() == first
            is_whole = is_table and _ends_whole(content, header)
    except FileNotFoundError:
        is_table = False
    if not is_table:
        write_checked_rows(path, header, rows)
    elif not is_whole:
        write_checked_rows(path, header, [*read_checked_rows(path, header)[0], *rows])
    else:
        text = io.StringIO()
        write_csv(text, ([*row, check_of(map(str, row))] for row in rows))
        with path.open("ab") as stream:
            stream.write(text.getvalue().encode())
            stream.flush()
            os.fsync(stream.fileno())


def _ends_whole(content: BinaryIO, header: Sequence[str]) -> bool:
    """Whether the last line of a table is a whole row, or its header: a row that was cut may end in a line feed too.

    Args:
        content: of the table.
        header: names of the columns, without that of the check.
    """
    start = max(0, content.seek(0, os.SEEK_END) - _LONGEST_LINE)
    content.seek(start)
    *lines, rest = content.read().decode("utf-8", "replace").split("\n")
    if rest or not lines:
        return False
    cells = next(csv.reader(lines[-1:]), [])
    return cells == [*header, CHECK] or _is_whole(cells, header)


def _is_whole(cells: Sequence[str], header: Sequence[str]) -> bool:
    return len(cells) == len(header) + 1 and cells[-1] == check_of(cells[:-1])


def read_checked_rows(path: Path, header: Sequence[str]) -> tuple[list[list[str]], list[int]]:
    """Read what `write_checked_rows` wrote.

    Args:
        path: of the file.
        header: names of the columns, without that of the check.

    Returns:
        The rows that are as they were written, without their checks, and the numbers of the lines that are not.
    """
    damaged: list[int] = []
    return list(checked_rows(path, header, damaged)), damaged


def checked_rows(path: Path, header: Sequence[str], damaged: list[int]) -> Iterator[list[str]]:
    """Yield the rows of `read_checked_rows` one by one: a million of them as lists take a gigabyte.

    Args:
        path: of the file.
        header: names of the columns, without that of the check.
        damaged: is given the numbers of the lines that are not as they were written.
    """
    with open_regular(path) as content, io.TextIOWrapper(content, "utf-8", "replace", newline="") as stream:
        reader = csv.reader(stream)
        try:
            if next(reader, None) != [*header, CHECK]:
                damaged.append(1)
            for cells in filter(None, reader):
                if _is_whole(cells, header):
                    yield cells[:-1]
                else:
                    damaged.append(reader.line_num)
        except csv.Error:  # a cell without end
            damaged.append(reader.line_num)


def check_of(cells: Iterable[str]) -> str:
    """Return what a row of these cells ends in."""
    return hashlib.sha256("\0".join(cells).encode(errors="replace")).hexdigest()[:8]

"""CSV files whose rows end in a check of their cells: a row that changed on the disk, or was cut, is noticed."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from synthaug.files import open_regular, write_csv, write_rows

CHECK = "check"  # the last column


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
    except FileNotFoundError:
        is_table = False
    if not is_table:
        write_checked_rows(path, header, rows)
        return
    text = io.StringIO()
    write_csv(text, ([*row, check_of(map(str, row))] for row in rows))
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        if is_whole := stream.read(1) == b"\n":
            stream.write(text.getvalue().encode())
            stream.flush()
            os.fsync(stream.fileno())
    if not is_whole:
        write_checked_rows(path, header, [*read_checked_rows(path, header)[0], *rows])


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
            for *cells, check in filter(None, reader):
                if len(cells) == len(header) and check == check_of(cells):
                    yield cells
                else:
                    damaged.append(reader.line_num)
        except csv.Error:  # a cell without end
            damaged.append(reader.line_num)


def check_of(cells: Iterable[str]) -> str:
    """Return what a row of these cells ends in."""
    return hashlib.sha256("\0".join(cells).encode(errors="replace")).hexdigest()[:8]

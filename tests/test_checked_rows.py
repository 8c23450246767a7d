"""Rows that changed on the disk are told from those that are as they were written."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthaug.checked_rows import append_checked_rows, read_checked_rows, write_checked_rows
from synthaug.row_log import LogWriter, logged_rows

CHARACTERS = st.characters(codec="utf-8")
HEADER = ("name", "count")
ROWS = [['a, "b"', "1"], ["", "2"], ["käse\n猫", "3"]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_checked_rows(tmp_path / "a.csv", HEADER, ROWS)
    return tmp_path / "a.csv"


def test_rows_come_back_as_text(table: Path) -> None:
    assert read_checked_rows(table, HEADER) == (ROWS, [])


@pytest.mark.parametrize(
    ("before", "after", "left", "lines"),
    [
        (b",2,", b",3,", [0, 2], [3]),  # a cell
        (b"\n,2", b"\n2,", [0, 2], [3]),  # columns that changed places
        ("käse".encode(), b"k\xffse", [0, 1], [5]),  # no text
        ("käse".encode(), b"k\0se", [0, 1], [5]),
        (b"name,", b"mane,", [0, 1, 2], [1]),
        (b"name,count,check\n", b"", [1, 2], [1]),
        (b"\n,2", b"\n,2,2", [0, 2], [3]),  # a cell more
    ],
)
def test_a_row_that_changed_is_named_by_its_line(
    table: Path, before: bytes, after: bytes, left: list[int], lines: list[int]
) -> None:
    content = table.read_bytes()
    assert before in content
    table.write_bytes(content.replace(before, after, 1))
    assert read_checked_rows(table, HEADER) == ([ROWS[row] for row in left], lines)


@pytest.mark.parametrize("cut", [1, 3, 9, 14])
def test_a_row_that_was_cut_is_damaged(table: Path, cut: int) -> None:
    content = table.read_bytes()
    table.write_bytes(content[:-cut])
    rows, damaged = read_checked_rows(table, HEADER)
    assert rows == (ROWS if cut == 1 else ROWS[:2])  # the end of the line is not part of it
    assert bool(damaged) == (cut > 1)


def test_an_empty_file_has_a_damaged_first_line(table: Path) -> None:
    table.write_bytes(b"")
    assert read_checked_rows(table, HEADER) == ([], [1])


def test_a_cell_without_end_is_damaged(table: Path) -> None:
    table.write_bytes(table.read_bytes() + b'"' + b"x" * 200_000)
    assert read_checked_rows(table, HEADER) == (ROWS, [6])


def test_rows_are_appended(tmp_path: Path) -> None:
    for row in ROWS:
        append_checked_rows(tmp_path / "a.csv", HEADER, [row])
    assert read_checked_rows(tmp_path / "a.csv", HEADER) == (ROWS, [])


@pytest.mark.parametrize("kept", [-1, -4])
def test_a_row_that_was_not_written_to_its_end_is_left_behind(table: Path, kept: int) -> None:
    table.write_bytes(table.read_bytes()[:kept])
    append_checked_rows(table, HEADER, ROWS)
    whole = ROWS if kept == -1 else ROWS[:-1]
    assert read_checked_rows(table, HEADER)[0] == [*whole, *ROWS]


@pytest.mark.parametrize("content", [b"", b"other,header\n1,2\n", b"\xff"])
def test_a_file_that_is_no_such_table_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    append_checked_rows(tmp_path / "a.csv", HEADER, ROWS)
    assert read_checked_rows(tmp_path / "a.csv", HEADER) == (ROWS, [])


@given(st.lists(st.text(CHARACTERS, max_size=8), min_size=2, max_size=2), st.data())
@example(["\n", ""], None)
def test_a_row_that_was_cut_anywhere_hides_no_row_behind_it(row: list[str], data: st.DataObject | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.csv")
        write_checked_rows(path, HEADER, ROWS)
        start = path.stat().st_size
        append_checked_rows(path, HEADER, [row])
        os.truncate(path, data.draw(st.integers(start, path.stat().st_size - 2)) if data else start + 2)
        append_checked_rows(path, HEADER, [row])
        assert read_checked_rows(path, HEADER) == ([*ROWS, row], [])


def test_rows_behind_a_row_of_several_lines_and_a_long_one_are_all_read(table: Path) -> None:
    for row in (["a\nb", "4"], ["x" * 2**17, "5"], ["c", "6"]):
        append_checked_rows(table, HEADER, [row])
    assert [len(name) for name, _ in read_checked_rows(table, HEADER)[0]] == [6, 0, 6, 3, 2**17, 1]


@pytest.mark.parametrize("left", range(1, 9))
def test_a_quoted_cell_that_was_cut_hides_no_row_behind_it(table: Path, left: int) -> None:
    whole = table.read_bytes()
    append_checked_rows(table, HEADER, [['b, "c"', "4"]])
    table.write_bytes(table.read_bytes()[: len(whole) + left])
    append_checked_rows(table, HEADER, ROWS)
    append_checked_rows(table, HEADER, [["d", "5"]])
    assert read_checked_rows(table, HEADER) == ([*ROWS, *ROWS, ["d", "5"]], [])


@given(st.lists(st.tuples(st.text(CHARACTERS), st.text(CHARACTERS)), max_size=4))
@example([("\r", "\0"), ("a\rb", '"\r\n'), ("\x85\u2028", "\x1c\x0b")])
@example([("", "")])
def test_any_text_comes_back_from_any_way_of_writing(rows: list[tuple[str, str]]) -> None:
    expected = [list(row) for row in rows]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.csv")
        write_checked_rows(path, HEADER, rows)
        assert read_checked_rows(path, HEADER) == (expected, [])
        append_checked_rows(path, HEADER, rows)
        assert read_checked_rows(path, HEADER) == (expected * 2, [])
        with LogWriter(Path(name, "log.csv"), HEADER) as log:
            for row in rows:
                log.append([row])
        assert list(logged_rows(Path(name, "log.csv"), HEADER)) == expected

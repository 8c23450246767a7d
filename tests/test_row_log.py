"""Logs of checked rows: what was appended is read back, a cut end is left out, other damage is named."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.row_log import DamagedLogError, LogWriter, logged_rows

HEADER = ["name", "text"]
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
ROWS = st.lists(st.tuples(TEXTS, TEXTS).map(list), min_size=1, max_size=6)


def write(path: Path, *batches: Sequence[Sequence[str]]) -> None:
    for rows in batches:
        with LogWriter(path, HEADER) as log:
            log.append(rows)


def read(path: Path) -> list[list[str]]:
    return list(logged_rows(path, HEADER))


@settings(max_examples=25, deadline=None)
@given(ROWS, ROWS)
def test_rows_are_read_as_they_were_appended(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], more: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    write(path, rows, more)
    assert read(path) == [*rows, *more]


@settings(max_examples=25, deadline=None)
@given(ROWS, st.lists(TEXTS, min_size=2, max_size=2), st.data(), st.booleans())
def test_a_cut_last_row_is_left_out_and_overwritten(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], last: list[str], data: st.DataObject, zeros: bool
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    write(path, rows)
    start = path.stat().st_size
    write(path, [last])
    size = path.stat().st_size
    kept = data.draw(st.integers(start, size - 1))
    os.truncate(path, kept)
    if zeros:  # as some file systems leave behind what was not written before a power cut
        os.truncate(path, size)
    assert read(path) == rows
    write(path, [["new", "row"]])
    assert read(path) == [*rows, ["new", "row"]]


@pytest.mark.parametrize(("old", "new"), [(b"two", b"tow"), (b'"a\nb"', b'"a\nb'), (b"two,", b"two"), (b"\n2,", b"2,")])
def test_damage_before_the_end_is_named_by_its_line(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "log.csv"
    write(path, [["1", "a\nb"], ["2", "two"], ["3", "c"], ["4", "d"]])
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(DamagedLogError) as caught:
        read(path)
    assert caught.value.line in (2, 4)
    with pytest.raises(DamagedLogError):
        LogWriter(path, HEADER)
    assert path.read_bytes() == content.replace(old, new)


def test_a_last_row_that_is_whole_and_wrong_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    write(path, [["1", "one"], ["2", "two"]])
    path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
    with pytest.raises(DamagedLogError, match="line 3"):
        read(path)


def test_another_header_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    write(path, [["1", "one"]])
    with pytest.raises(DamagedLogError, match="line 1"):
        list(logged_rows(path, ["name", "other"]))


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    write(path, [["1", "one"]])
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with LogWriter(path, HEADER) as log:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"No space.*{path.name}"):
            log.append([["2", "two"], ["3", "three"]])
        monkeypatch.undo()
        assert path.read_bytes() == before
        log.append([["2", "two"]])
    assert read(path) == [["1", "one"], ["2", "two"]]

"""Files are whole or absent."""

import hashlib
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthaug import files
from synthaug.errors import UserError
from synthaug.files import (
    file_state,
    read_json,
    remove_unfinished,
    sha256,
    whole_file,
    whole_folder,
    why_not_writable,
    write_json,
    write_rows,
    write_text,
)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_the_file_has_its_name_only_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "result.json"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across disks is not atomic
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".json"
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_leaves_can_be_removed_and_what_others_write_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "best-0123abcd.ckpt", "whole")
    write_text(tmp_path / ".lock", "")
    (tmp_path / ".best-89abcdef.ckpt").write_bytes(b"half")
    with whole_file(tmp_path / "best.ckpt") as temporary:
        remove_unfinished(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"best-0123abcd.ckpt", ".lock", temporary.name}
        temporary.write_bytes(b"whole")
    assert (tmp_path / "best.ckpt").read_bytes() == b"whole"


def test_an_older_file_is_whole_until_the_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_nothing_is_left_behind_by_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(error), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="too long") as caught, whole_file(path):
        pass
    assert caught.value.filename == str(path)


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"), whole_file(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, expected: int) -> None:
    with umask(mask):
        write_text(tmp_path / "a.txt", "a")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == expected


def test_two_writers_of_one_name_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as first, whole_file(path) as second:
        assert first != second
        first.write_text("one")
        second.write_text("other")
    assert path.read_text() == "one"  # the outer block ends last


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "ä.txt", "käse 猫\n")
    assert (tmp_path / "ä.txt").read_bytes() == "käse 猫\n".encode()


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


def test_lines_end_the_same_on_every_system(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["a", "b"], [[1, 2]])
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n1,2\n"


def test_rows_that_fail_halfway_leave_the_older_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["a"], [[1]])
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / "a.csv", ["a"], ([1 / (2 - number)] for number in range(4)))
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_json_is_readable_and_holds_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "猫", "values": [1, 0.5, None]})
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"name": "猫", "values": [1, 0.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"loss": math.nan})
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"half": ', "is damaged"),
        (b"", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[1]", "JSON object"),
        (b"[" * 100_000, "is damaged"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "is damaged"),
        (b'{"loss": NaN}', "is damaged"),
        (b'{"name": "\\ud800"}', "is damaged"),
    ],
)
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "move it away and run the same command again" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after"), [("0.93", "0.98"), ('"seed"', '"sead"'), (' "b": null,', ""), ("猫", "犬")]
)
def test_content_that_changed_on_the_disk_is_noticed(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"accuracy": 0.93, "seed": {"a": 1, "b": None, "c": ("猫",), 2: "number"}})
    assert read_json(path)["seed"] == {"a": 1, "b": None, "c": ["猫"], "2": "number"}
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        read_json(path)
    path.write_text(text.replace("\n", "").replace(" ", ""), encoding="utf-8")  # the same content, written otherwise
    assert read_json(path)["accuracy"] == 0.93


def test_a_json_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="regular file"):
            read_json(path)
        with pytest.raises(OSError, match="regular file"):
            sha256(path)


def test_the_bytes_are_on_the_disk_before_the_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    events: list[tuple[str, int, int]] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        events.append(("fsync", os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
        fsync(descriptor)

    def recorded_replace(self: Path, target: Path) -> Path:
        events.append(("replace", self.stat().st_ino, self.stat().st_size))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    write_text(path, "whole")
    assert events == [("fsync", path.stat().st_ino, 5), ("replace", path.stat().st_ino, 5)]


# --- folders -----------------------------------------------------------------------------------------


def test_the_folder_has_its_name_only_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data"
    with umask(0o027), whole_folder(path) as temporary:
        (temporary / "a.txt").write_text("a")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across disks is not atomic
    assert [item.name for item in path.iterdir()] == ["a.txt"]
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), whole_folder(tmp_path / "data") as temporary:  # noqa: PT012
        (temporary / "a.txt").write_text("a")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_no_other_one(tmp_path: Path) -> None:
    write_text(tmp_path / "data" / "a.txt", "a")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "data"):
        pass
    assert [item.name for item in tmp_path.rglob("*")] == ["data", "a.txt"]


def test_what_a_killed_process_left_of_a_folder_is_removed_with_the_next_one(tmp_path: Path) -> None:
    for name in (".da[t]a-0123abcd", ".data-0123abcd", ".da[t]a-notes"):
        write_text(tmp_path / name / "a.txt", "half")
    with whole_folder(tmp_path / "da[t]a") as temporary:
        assert {path.name for path in tmp_path.iterdir()} == {".data-0123abcd", ".da[t]a-notes", temporary.name}


def test_why_a_folder_cannot_be_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "linked").symlink_to(tmp_path)
    for name in ("", "new/deep", "linked/new"):
        assert why_not_writable(tmp_path / name) == ""
    for name in ("file", "file/deep/er", "loop", "loop/deep", "dangling", "dangling/deep", "x" * 300):
        assert name.split("/")[0] in why_not_writable(tmp_path / name)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert str(tmp_path) in why_not_writable(tmp_path / "new/deep")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "loop", "dangling", "linked"}


def test_the_state_of_a_file_tells_that_it_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    assert file_state(file) == "missing"
    file.write_bytes(b"one")
    first = file_state(file)
    os.utime(file, ns=(0, 1))
    touched = file_state(file)
    file.write_bytes(b"four")
    os.utime(file, ns=(0, 1))
    assert len({first, touched, file_state(file), "missing"}) == 4


@pytest.mark.parametrize("most", [100, 2])
def test_a_folder_comes_to_stand_once_the_disk_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(files, "_MOST_SYNCED", most)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(os, "sync", lambda: synced.update(path.stat().st_ino for path in tmp_path.rglob("*")))
    replace = Path.replace

    def checked(self: Path, target: Path) -> Path:
        assert {path.stat().st_ino for path in (self, *self.rglob("*"))} <= synced
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", checked)
    with files.whole_folder(tmp_path / "whole") as folder:
        (folder / "class").mkdir()
        for name in ("a", "b"):
            (folder / "class" / name).write_text(name)
    assert (tmp_path / "whole" / "class" / "b").read_text() == "b"

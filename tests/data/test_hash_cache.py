"""A file is hashed once per change, and never has the hash of another content."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from synthaug import files
from synthaug.data import hash_cache
from synthaug.data.hash_cache import SETTLED_NS, HashCache

LATER = 10 * SETTLED_NS


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read, by name."""
    counts: Counter[str] = Counter()
    sha256 = files.sha256

    def counted(path: Path) -> str:
        counts[path.name] += 1
        return sha256(path)

    monkeypatch.setattr(files, "sha256", counted)
    return counts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is ahead, so that files that were just written have settled."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + LATER)


def digest(folder: Path, path: Path) -> str:
    """The hash of a file as a new command gets it."""
    with HashCache(folder / "hashes.csv") as cache:
        return cache.sha256(path)


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


@pytest.mark.usefixtures("clock")
def test_a_file_is_read_once(tmp_path: Path, hashed: Counter[str]) -> None:
    path = write(tmp_path / '猫, "a"\n.png', "content")
    expected = files.sha256(path)
    hashed.clear()
    with HashCache(tmp_path / "hashes.csv") as cache:
        assert cache.sha256(path) == cache.sha256(path) == expected
    assert digest(tmp_path, path) == expected
    assert hashed == {path.name: 1}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("how", ["written", "replaced", "touched", "set back"])
def test_a_file_that_was_changed_is_read_again(tmp_path: Path, how: str, hashed: Counter[str]) -> None:
    path = write(tmp_path / "a.png", "old")
    digest(tmp_path, path)
    before = path.stat()
    time.sleep(0.02)  # some ticks of the clock that stamps files
    if how == "touched":
        os.utime(path, ns=(0, 0))
    elif how == "replaced":
        write(tmp_path / "b.png", "new").replace(path)
    else:
        write(path, "new")
    if how == "set back":  # as a copy that keeps the times does
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert digest(tmp_path, path) == files.sha256(path)
    assert hashed["a.png"] == 3  # with the line above


@pytest.mark.parametrize(("age", "reads"), [(0, 2), (SETTLED_NS, 2), (SETTLED_NS + 1, 1), (-LATER, 2)])
def test_a_young_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int, reads: int, hashed: Counter[str]
) -> None:
    path = write(tmp_path / "a.png", "old")
    stamp = hash_cache.Stamp.of(path)
    monkeypatch.setattr(time, "time_ns", lambda: max(stamp.mtime_ns, stamp.ctime_ns) + age)
    digest(tmp_path, path)
    digest(tmp_path, path)
    assert hashed["a.png"] == reads


def test_a_change_within_a_tick_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system stamps both contents alike."""
    path = write(tmp_path / "a.png", "old")
    stamp = hash_cache.Stamp.of(path)
    monkeypatch.setattr(hash_cache.Stamp, "of", lambda _: stamp)
    monkeypatch.setattr(time, "time_ns", lambda: stamp.mtime_ns)
    old = digest(tmp_path, path)
    write(path, "new")
    assert digest(tmp_path, path) != old


@pytest.mark.usefixtures("clock")
def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png", "old")
    sha256 = files.sha256

    def slow(path: Path) -> str:
        value = sha256(path)
        write(path, "newer")
        return value

    monkeypatch.setattr(files, "sha256", slow)
    digest(tmp_path, path)
    assert not (tmp_path / "hashes.csv").exists()


@pytest.mark.usefixtures("clock")
def test_two_commands_keep_the_entries_of_both(tmp_path: Path, hashed: Counter[str]) -> None:
    first, second = write(tmp_path / "a.png", "a"), write(tmp_path / "b.png", "b")
    with HashCache(tmp_path / "hashes.csv") as item, HashCache(tmp_path / "hashes.csv") as two:
        item.sha256(first)
        two.sha256(second)
    for path in (first, second):
        digest(tmp_path, path)
    assert hashed == {"a.png": 1, "b.png": 1}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"path,size\n/a,1\n", b"path\n/a,1,x,2,hash\n", b"a\0b"])
def test_a_damaged_cache_is_an_empty_one(tmp_path: Path, content: bytes, hashed: Counter[str]) -> None:
    path = write(tmp_path / "a.png", "a")
    (tmp_path / "hashes.csv").write_bytes(content)
    assert digest(tmp_path, path) == digest(tmp_path, path) == files.sha256(path)
    assert hashed["a.png"] == 2  # with the line above


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("damage", [lambda text: text[:-20], lambda text: text.translate({48: "1", 49: "0"})])
def test_a_hash_that_changed_on_the_disk_is_computed_again(tmp_path: Path, damage: Callable[[str], str]) -> None:
    path, cache = write(tmp_path / "a.png", "a"), tmp_path / "hashes.csv"
    expected = digest(tmp_path, path)
    cache.write_text(damage(cache.read_text(encoding="utf-8")), encoding="utf-8")
    assert digest(tmp_path, path) == expected


@pytest.mark.usefixtures("clock")
def test_an_interrupted_scan_keeps_what_it_has(tmp_path: Path, hashed: Counter[str]) -> None:
    path = write(tmp_path / "a.png", "a")
    with pytest.raises(FileNotFoundError), HashCache(tmp_path / "hashes.csv") as cache:  # noqa: PT012
        cache.sha256(path)
        cache.sha256(tmp_path / "none.png")
    digest(tmp_path, path)
    assert hashed["a.png"] == 1


@pytest.mark.usefixtures("clock")
def test_a_folder_that_was_moved_is_read_again(tmp_path: Path, hashed: Counter[str]) -> None:
    path = write(tmp_path / "a.png", "a")
    digest(tmp_path, path)
    (tmp_path / "moved").mkdir()
    shutil.move(path, tmp_path / "moved" / "a.png")
    digest(tmp_path, tmp_path / "moved" / "a.png")
    assert hashed["a.png"] == 2


@pytest.mark.usefixtures("clock")
def test_hashes_of_earlier_contents_do_not_pile_up(tmp_path: Path, hashed: Counter[str]) -> None:
    kept, changing = write(tmp_path / "kept.png", "kept"), tmp_path / "changing.png"
    digest(tmp_path, kept)
    for version in range(12):
        digest(tmp_path, write(changing, f"version {version}" + version * "!"))
        assert len((tmp_path / "hashes.csv").read_text().splitlines()) < 8
    hashed.clear()
    assert digest(tmp_path, kept)
    assert digest(tmp_path, changing)
    assert not hashed


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("at_once", [2**14, 3])
def test_the_new_files_of_a_folder_are_read_together_and_each_once(
    tmp_path: Path, hashed: Counter[str], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "_MOST_AT_ONCE", at_once)
    folder = tmp_path / "class"
    folder.mkdir()
    paths = [write(folder / f"{number:02d}.png", str(number)) for number in range(20)]
    write(folder / ".hidden.png", "of no class")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
    expected = [files.sha256(path) for path in paths]
    hashed.clear()
    with HashCache(tmp_path / "hashes.csv") as cache:
        first = cache.sha256(paths[3])
        assert hashed == {path.name: 1 for path in paths}
        assert [first, *(cache.sha256(path) for path in paths)] == [expected[3], *expected]
    write(paths[5], "changed")
    with HashCache(tmp_path / "hashes.csv") as cache:
        assert [cache.sha256(path) for path in paths[:5]] == expected[:5]
        assert cache.sha256(paths[5]) != expected[5]
    assert {name for name, count in hashed.items() if count > 1} == {paths[5].name}

"""The command that checks a dataset: what it writes, and its exit codes."""

import csv
import os
import sys
from pathlib import Path

import pytest

from synthaug import check
from synthaug.data import checksums
from synthaug.generation.synthetic_set import FILES, TAR, SyntheticSet
from tests.factories.images import image, write_dataset
from tests.generation.test_synthetic_set import Painter


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_dataset(tmp_path / "photos")


def findings(folder: Path) -> list[dict[str, str]]:
    with (folder / "findings.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_clean_dataset_is_recorded_and_verified_from_then_on(root: Path) -> None:
    assert check.main([str(root)]) == 0
    assert findings(Path("outputs/checks/photos")) == []
    recorded = checksums.read(root)
    assert recorded is not None
    assert len(recorded) == 26
    assert check.main([str(root)]) == 0
    image(900).save(root / "train/cat/001.png")
    assert check.main([str(root)]) == 1
    assert checksums.read(root) == recorded
    assert check.main([str(root), "--accept"]) == 0
    assert checksums.read(root) != recorded
    assert check.main([str(root)]) == 0


def test_a_damaged_manifest_is_refused_until_it_is_written_anew(root: Path) -> None:
    (root / checksums.MANIFEST).write_text("?", encoding="utf-8")
    assert check.main([str(root)]) == 2
    assert check.main([str(root), "--accept"]) == 0
    assert len(checksums.read(root) or {}) == 26


@pytest.mark.parametrize("storage", [FILES, TAR])
def test_a_synthetic_set_is_left_to_the_command_that_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    SyntheticSet(tmp_path / "set", Painter(), storage=storage).ensure({"cat": 2})
    assert check.main(["set"]) == 2
    assert "verify=20" in capsys.readouterr().err
    assert checksums.read(tmp_path / "set") is None


def test_new_files_join_the_manifest(root: Path) -> None:
    assert check.main([str(root)]) == 0
    image(900).save(root / "train/cat/new.png")
    assert check.main([str(root)]) == 0
    assert "train/cat/new.png" in (checksums.read(root) or {})


def test_findings_are_in_the_table_and_on_the_page(root: Path, tmp_path: Path) -> None:
    (root / "train/cat/000.png").rename(root / "train/cat/<b>&.png")
    (root / "test/cat/copy.png").write_bytes((root / "train/cat/<b>&.png").read_bytes())
    assert check.main([str(root), "--output", str(tmp_path / "check")]) == 1
    (row,) = findings(tmp_path / "check")
    assert (row["severity"], row["finding"], row["split"], row["class"]) == ("serious", "leak", "test", "cat")
    assert (row["path"], row["other_path"]) == ("test/cat/copy.png", "train/cat/<b>&.png")
    page = (tmp_path / "check/report.html").read_text(encoding="utf-8")
    assert "train/cat/&lt;b&gt;&amp;.png" in page
    assert "<b>" not in page
    assert page.count("data:image/png;base64,") == 2
    assert "<script" not in page


def test_splits_of_other_names(root: Path) -> None:
    (root / "train").rename(root / "learn")
    assert check.main([str(root), "dataset.train=learn"]) == 0
    assert "learn/cat/000.png" in (checksums.read(root) or {})


@pytest.mark.parametrize("words", [["dataset.trian=a"], ["dataset.train="], ["train"]])
def test_other_keys_are_refused(words: list[str], root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(root), *words]) == 2
    assert "dataset.train=" in capsys.readouterr().err


def test_a_dataset_that_cannot_be_written_to_is_checked_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checksums, "write", refuse)
    assert check.main([str(root)]) == 0
    assert checksums.MANIFEST in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_a_name_that_cannot_be_written_down_is_escaped(root: Path) -> None:
    (root / "train/cat/000.png").rename(root / "train/cat" / os.fsdecode(b"caf\xe9.png"))
    assert check.main([str(root)]) == 1
    (row,) = findings(Path("outputs/checks/photos"))
    assert (row["finding"], row["path"]) == ("bad_name", "train/cat/caf\\udce9.png")
    assert len(checksums.read(root) or {}) == 25


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_do_not_reach_the_terminal_as_commands(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "train/cat/000.png").rename(root / "train/cat/\x1b[31m.png")
    (root / "train/cat/\x1b[31m.png").write_bytes(b"no image")
    moved = root.rename(root.with_name("\x1b[2J"))
    assert check.main([str(moved)]) == 1
    assert "\x1b" not in "".join(capsys.readouterr())


def test_an_output_that_cannot_be_written_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").touch()
    assert check.main([str(root), "--output", "taken"]) == 1
    assert "taken" in capsys.readouterr().err

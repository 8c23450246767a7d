"""The manifest of a dataset: written as sha256sum does, and noticed where files differ from it."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data import checksums
from synthaug.data.samples import scan, scan_more
from synthaug.errors import UserError
from synthaug.generation.folder import FolderGenerator, FolderPool
from tests.factories.images import SPLIT_FOLDERS, image, write_dataset

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
HASHES = st.binary(max_size=3).map(lambda content: hashlib.sha256(content).hexdigest())


@given(hashes=st.dictionaries(NAMES, HASHES, min_size=1))
def test_what_is_written_is_read(hashes: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("dataset")
    checksums.write(root, hashes)
    assert checksums.read(root) == hashes


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no coreutils here")
@pytest.mark.parametrize("name", ["a b.png", "back\\slash.png", "new\nline.png", " leading", "ünï.png"])
def test_sha256sum_verifies_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"content")
    checksums.write(tmp_path, {name: hashlib.sha256(b"content").hexdigest()})
    command = ["sha256sum", "--check", "--strict", checksums.MANIFEST]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / name).write_bytes(b"Content")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checksums.read(tmp_path) is None


@pytest.mark.parametrize("content", [b"abc  cat/0.png\n", b"\xff\xfe", b"0" * 64 + b"  cut", b"0" * 64 + b"\n"])
def test_a_damaged_one_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / checksums.MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match=checksums.MANIFEST):
        checksums.read(tmp_path)


def record(root: Path) -> None:
    paths = [path for path in root.rglob("*") if path.is_file()]
    checksums.write(root, {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths})


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_a_dataset_is_noticed_and_so_is_a_missing_file(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    record(root)
    assert len(scan(root, SPLIT_FOLDERS).train) == 12
    flip_a_bit(root / "train/cat/001.png")
    (root / "test/dog/002.png").unlink()
    with pytest.raises(UserError) as error:
        scan(root, SPLIT_FOLDERS)
    assert "changed: train/cat/001.png" in str(error.value)
    assert "missing: test/dog/002.png" in str(error.value)
    assert str(error.value).count(".png") == 2


def test_files_that_the_manifest_does_not_have_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_dataset(tmp_path)
    record(root)
    image(900).save(root / "train/cat/new.png")
    assert len(scan(root, SPLIT_FOLDERS).train) == 13
    assert "train/cat/new.png" in caplog.text


def test_further_images_are_verified(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    (root / "more/cat").mkdir(parents=True)
    image(900).save(root / "more/cat/0.png")
    record(root)
    real = scan(root, SPLIT_FOLDERS)
    assert len(scan_more(root, "more", real).more) == 1
    flip_a_bit(root / "more/cat/0.png")
    with pytest.raises(UserError, match=r"changed: more/cat/0\.png"):
        scan_more(root, "more", scan(root, SPLIT_FOLDERS))


def test_a_pool_is_verified(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        image(number).save(root / name / "0.png")
    record(root)
    assert len(FolderPool(tmp_path / "out", FolderGenerator(str(root))).samples(["cat", "dog"])) == 2
    flip_a_bit(root / "dog/0.png")
    with pytest.raises(UserError, match=r"changed: dog/0\.png"):
        FolderPool(tmp_path / "out", FolderGenerator(str(root))).samples(["cat", "dog"])

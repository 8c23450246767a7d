"""Listing of class folders: litter, links, Unicode forms, and what cannot be read."""

import os
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest

from synthaug import files
from synthaug.data.decoding import try_decode
from synthaug.data.folders import class_files, class_folders, file_hash, files_below
from synthaug.errors import UserError
from tests.factories.images import image

COMPOSED = unicodedata.normalize("NFC", "größe")
DECOMPOSED = unicodedata.normalize("NFD", "größe")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        image(len(name)).save(tmp_path / "photos" / name / "a.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "litter",
    [
        *("@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.png", "#recycle/a.png", "$RECYCLE.BIN/a.png"),
        *("a.png:Zone.Identifier", "a.png\uf03aZone.Identifier", "a.png.Zone.Identifier", "Thumbs.db", "ehthumbs.db"),
        *(".a.png", ".thumbnails/a.png", "deep/@eaDir/a.png", "lost+found/a.png", "@Recycle/deep/a.png", "Icon\r"),
        *("~$a.png", "a.png~", "a.xmp", "a.AAE", "ZbThumbnail.info"),
    ],
)
def test_litter_is_ignored_among_classes_and_in_them(root: Path, litter: str) -> None:
    for place in (root / litter, root / "cat" / litter):
        place.parent.mkdir(parents=True, exist_ok=True)
        image(9).save(place, "PNG")
    shutil.rmtree(root / "deep", ignore_errors=True)
    assert class_folders(root) == ["cat", "dog"]
    assert class_files(root, "cat") == [root / "cat/a.png"]
    assert files_below(root, root) == [root / "cat/a.png", root / "dog/a.png"]


def test_links_are_followed_but_not_in_circles(root: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "deep").mkdir(parents=True)
    image(7).save(tmp_path / "more" / "deep" / "b.png")
    (root / "cat" / "more").symlink_to(tmp_path / "more")
    (tmp_path / "more" / "deep" / "up").symlink_to(tmp_path / "more")
    (root / "cat" / "all").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat" / "self")
    (root / "bird").symlink_to(tmp_path / "more")
    assert class_files(root, "cat") == [root / "cat/a.png", root / "cat/more/deep/b.png", root / "cat/self"]
    assert class_folders(root) == ["bird", "cat", "dog"]
    assert class_files(root, "bird") == [root / "bird/deep/b.png"]


def test_what_leads_nowhere_is_listed_and_named_by_decoding(root: Path) -> None:
    gone = root / "cat" / "gone.png"
    gone.symlink_to("/nowhere/a.png")
    assert gone in class_files(root, "cat")
    key = file_hash(gone, files.sha256)
    assert len(key) == 64
    assert key != file_hash(root / "cat" / "a.png", files.sha256) == files.sha256(root / "cat" / "a.png")
    assert try_decode(key, gone, 8) == "a link to /nowhere/a.png, which does not exist"


def test_pipes_are_never_read(root: Path) -> None:
    os.mkfifo(root / "cat" / "pipe")
    assert file_hash(root / "cat" / "pipe", lambda path: pytest.fail("read")) != ""


def test_files_and_folders_that_may_not_be_read_are_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    assert len(file_hash(root / "cat" / "a.png", refused)) == 64
    (root / "cat" / "locked").mkdir()
    scandir = os.scandir

    def guarded(path: Path) -> object:
        return refused(path) if Path(path).name in ("locked", "closed") else scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert class_files(root, "cat") == [root / "cat/a.png", root / "cat/locked"]
    assert try_decode("key", root / "cat/locked", 8) == "cannot be read (Permission denied)"
    with pytest.raises(UserError, match="closed cannot be listed"):
        class_folders(root / "closed")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has one form of each name")
def test_two_forms_of_a_name_are_one_class(root: Path) -> None:
    assert COMPOSED != DECOMPOSED
    for number, name in enumerate((COMPOSED, DECOMPOSED)):
        (root / name).mkdir()
        image(20 + number).save(root / name / f"{number}.png")
    assert class_folders(root) == ["cat", "dog", COMPOSED]
    assert {path.name for path in class_files(root, COMPOSED)} == {"0.png", "1.png"}
    shutil.rmtree(root / COMPOSED)
    assert class_folders(root) == ["cat", "dog", COMPOSED]
    assert class_files(root, COMPOSED) == [root / DECOMPOSED / "1.png"]

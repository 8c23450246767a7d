"""Copies of test images among the training images, missing files, changed test images."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from synthaug.analysis.validity import copies, overlap
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, UNCHECKED, WARNING, Check
from synthaug.analysis.validity.sources import Sources
from synthaug.data.samples import REAL, SYNTHETIC, Sample, digest
from synthaug.files import sha256
from tests.factories.arms import make_group
from tests.factories.origins import picture, write_lists


def checks_of(real: Sequence[Sample], synthetic: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Check]:
    """Return the checks by code, for runs tested on the images in `test`."""
    paths = tuple((row.file, row.class_name) for row in test)
    images = Sources({REAL: tuple(real), SYNTHETIC: tuple(synthetic)}, paths, digest(test), {})
    return {check.code: check for check in overlap.overlap_checks(images, Path)}


def test_different_images_do_not_overlap(tmp_path: Path) -> None:
    checks = checks_of(*write_lists(tmp_path))
    assert {check.severity for check in checks.values()} == {PASSED}
    counts = {
        name: checks["overlap_real"].data[name] for name in ("train", "train_total", "test", "test_total", "pairs")
    }
    assert counts == {"train": 60, "train_total": 60, "test": 60, "test_total": 60, "pairs": 0}


@pytest.mark.parametrize(
    ("save", "exact"),
    [
        (lambda image, path: image.save(path), 1),
        (lambda image, path: image.convert("RGB").save(path, quality=60), 0),
        (lambda image, path: image.resize((90, 80), Image.Resampling.BICUBIC).save(path), 0),
        (lambda image, path: image.point(lambda value: min(255, int(1.1 * value))).save(path), 0),
        (lambda image, path: ImageOps.mirror(image).save(path), 0),
        (lambda image, path: image.crop((2, 1, 46, 45)).save(path), 0),
    ],
    ids=["the same pixels", "JPEG", "resized", "brighter", "mirrored", "cropped"],
)
@pytest.mark.parametrize("origin", [REAL, SYNTHETIC])
def test_copies_across_classes(
    tmp_path: Path, save: Callable[[Image.Image, Path], object], exact: int, origin: str
) -> None:
    real, synthetic, test = write_lists(tmp_path)
    copy = tmp_path / ("copy.jpg" if exact == 0 else "copy.png")
    with Image.open(test[0].path) as opened:  # a cat
        save(opened, copy)
    (real if origin == REAL else synthetic).append(Sample(str(copy), 0, "dog", origin, sha256(copy)))
    checks = checks_of(real, synthetic, test)
    check = checks[f"overlap_{origin}"]
    assert check.severity == SERIOUS
    assert {name: check.data[name] for name in ("copied", "exact", "pairs", "other_class")} == {
        "copied": 1, "exact": exact, "pairs": 1, "other_class": 1
    }  # fmt: skip
    assert check.data["examples"] == [{"train": str(copy), "test": test[0].file}]
    assert {item.severity for code, item in checks.items() if code != f"overlap_{origin}"} == {PASSED}


def test_exact_copies_come_first(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "z.png")
    picture(1).save(tmp_path / "a.jpg")
    picture(1).save(tmp_path / "b.bmp")
    near, exact, test = (
        copies.read_pictures([copies.ListedImage(name, "cat", tmp_path / name)])[0][0]
        for name in ("a.jpg", "b.bmp", "z.png")
    )
    pairs = copies.find_copies([near, exact], [test])
    assert [(pair.train.path, pair.exact) for pair in pairs] == [("b.bmp", True), ("a.jpg", False)]


def test_near_duplicates_among_the_test_images_are_counted() -> None:
    clusters = np.array([0, 1, 1, 3, 0, 5, 1])
    paths = tuple(f"{number}.png" for number in range(7))
    (check,) = overlap.duplicates_check(make_group(clusters=clusters, paths=paths))
    assert check.severity == WARNING
    assert check.data == {
        "test": 7, "images": 5, "clusters": 2, "largest": 3, "examples": [["1.png", "2.png"], ["0.png", "4.png"]]
    }  # fmt: skip
    (check,) = overlap.duplicates_check(make_group(clusters=np.arange(7), paths=paths))
    assert (check.severity, check.data["images"], check.data["examples"]) == (PASSED, 0, [])
    assert overlap.duplicates_check(make_group()) == []


def test_images_of_one_colour_are_copies_of_their_like_only(tmp_path: Path) -> None:
    for name, colour in (("a", 10), ("b", 10), ("c", 200)):
        Image.new("L", (16, 16), colour).save(tmp_path / f"{name}.png")
    a, b, c = (
        copies.read_pictures([copies.ListedImage(name, "cat", tmp_path / f"{name}.png")])[0][0] for name in "abc"
    )
    assert [copy.exact for copy in copies.find_copies([a, c], [b])] == [True]
    assert copies.find_copies([], [b]) == copies.find_copies([a], []) == []


def test_missing_files_and_changed_test_images(tmp_path: Path) -> None:
    real, synthetic, test = write_lists(tmp_path)
    Path(real[0].path).unlink()
    Path(synthetic[0].path).write_bytes(b"no image")
    picture(5000).save(test[0].path)
    checks = checks_of(real, synthetic, test)
    assert checks["files"] == Check("files", WARNING, {"missing": 2, "examples": [real[0].file, synthetic[0].file]})
    assert checks["overlap_real"].data["train"] == 59
    assert checks["test_images"].severity == WARNING
    assert checks["test_images"].data["current"] != checks["test_images"].data["recorded"]


def test_test_images_are_compared_with_their_digest_only_if_all_are_there(tmp_path: Path) -> None:
    real, synthetic, test = write_lists(tmp_path)
    Path(test[0].path).unlink()
    assert "test_images" not in checks_of(real, synthetic, test)


def test_nothing_to_compare(tmp_path: Path) -> None:
    real, synthetic, test = write_lists(tmp_path)
    absent = [row._replace(name=f"{row.name}.gone") for row in test]
    check = checks_of(real, synthetic, absent)["overlap_real"]
    assert check == Check("overlap_real", UNCHECKED, {"unavailable": "test"})
    absent = [row._replace(name=f"{row.name}.gone") for row in real]
    check = checks_of(absent, synthetic, test)["overlap_real"]
    assert check == Check("overlap_real", UNCHECKED, {"unavailable": "real"})


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_spread_is_bounded_and_starts_with_the_first(items: list[int], limit: int) -> None:
    chosen = overlap.spread(items, limit)
    assert len(chosen) <= limit
    assert list(chosen[:1]) == items[:1]
    if len(items) <= limit:
        assert list(chosen) == items

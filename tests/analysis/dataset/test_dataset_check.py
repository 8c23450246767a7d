"""Each defect that a dataset may have is found, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from synthaug.analysis.dataset.dataset_check import DatasetCheck, check_dataset
from synthaug.analysis.text import dataset_text
from synthaug.data import checksums
from synthaug.errors import UserError
from tests.factories.images import SPLIT_FOLDERS

CLASSES = ("cat", "dog", "sea lion")
Row = tuple[str, str, str | None]


def photograph(seed: int, size: tuple[int, int] = (80, 64)) -> Image.Image:
    """A picture with enough in it that no two are alike."""
    generator = np.random.default_rng(seed)
    picture = Image.fromarray(generator.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    picture = picture.resize((160, 128), Image.Resampling.BICUBIC)
    for x, y, side in generator.integers(10, 90, (4, 3)).tolist():
        ImageDraw.Draw(picture).ellipse([x, y, x + side, y + side], fill=(side, x, y))
    return picture.resize(size)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "photos"
    seed = 0
    for split, count in (("train", 4), ("val", 3), ("test", 3)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                photograph(seed).save(root / split / name / f"{number:03d}.jpg", quality=92)
                seed += 1
    return root


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "photos"))


def rows(check: DatasetCheck) -> list[Row]:
    return [(f.code, f.listed.path, f.other.path if f.other else None) for f in check.findings]


def resaved(
    root: Path, source: str, target: str, change: Callable[[Image.Image], Image.Image] = Image.Image.copy
) -> None:
    change(Image.open(root / source)).save(root / target)


DEFECTS: dict[str, tuple[Callable[[Path], object], list[Row]]] = {
    "truncated": (
        lambda r: (r / "train/cat/new.jpg").write_bytes((r / "train/cat/000.jpg").read_bytes()[:700]),
        [("unreadable", "train/cat/new.jpg", None)],
    ),
    "empty": (lambda r: (r / "val/dog/new.png").touch(), [("unreadable", "val/dog/new.png", None)]),
    "dangling link": (
        lambda r: (r / "test/dog/new.png").symlink_to(r / "gone.png"),
        [("unreadable", "test/dog/new.png", None)],
    ),
    "class lost in a split": (lambda r: shutil.rmtree(r / "val/dog"), [("empty_class", "val/dog", None)]),
    "class of the test alone": (
        lambda r: shutil.copytree(r / "test/dog", r / "test/horse"),
        [
            ("unknown_class", "test/horse", None),
            *(("two_classes", f"test/horse/{n:03d}.jpg", f"test/dog/{n:03d}.jpg") for n in range(3)),
        ],
    ),
    "the same file in two splits": (
        lambda r: shutil.copy(r / "train/cat/001.jpg", r / "test/cat/copy.jpg"),
        [("leak", "test/cat/copy.jpg", "train/cat/001.jpg")],
    ),
    "a smaller copy in two splits": (
        lambda r: resaved(r, "train/cat/001.jpg", "val/cat/copy.jpg", lambda p: p.resize((60, 48))),
        [("leak", "val/cat/copy.jpg", "train/cat/001.jpg")],
    ),
    "a mirrored copy in another split and class": (
        lambda r: resaved(
            r, "train/cat/001.jpg", "test/dog/copy.jpg", lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        ),
        [("leak", "test/dog/copy.jpg", "train/cat/001.jpg"), ("two_classes", "test/dog/copy.jpg", "train/cat/001.jpg")],
    ),
    "cropped, validation and test": (
        lambda r: resaved(r, "val/cat/001.jpg", "test/cat/copy.jpg", lambda p: p.crop((3, 2, 77, 62))),
        [("leak", "test/cat/copy.jpg", "val/cat/001.jpg")],
    ),
    "twice in training": (
        lambda r: resaved(r, "train/cat/001.jpg", "train/cat/again.bmp"),
        [("duplicate", "train/cat/again.bmp", "train/cat/001.jpg")],
    ),
    "named as another class": (
        lambda r: (r / "train/cat/000.jpg").rename(r / "train/cat/Sea-Lion_7.jpg"),
        [("other_class_in_name", "train/cat/Sea-Lion_7.jpg", None)],
    ),
    "named as both": (lambda r: (r / "train/cat/000.jpg").rename(r / "train/cat/cat and dog.jpg"), []),
    "part of a word": (lambda r: (r / "train/cat/000.jpg").rename(r / "train/cat/dogma.jpg"), []),
    "one colour": (
        lambda r: Image.new("RGB", (80, 64), (7, 7, 7)).save(r / "train/cat/new.png"),
        [("one_colour", "train/cat/new.png", None)],
    ),
    "small": (lambda r: photograph(90, (15, 15)).save(r / "train/cat/new.png"), [("small", "train/cat/new.png", None)]),
    "not small": (lambda r: photograph(90, (20, 16)).save(r / "train/cat/new.png"), []),
    "long": (
        lambda r: photograph(90, (400, 64)).save(r / "train/cat/new.png"),
        [("elongated", "train/cat/new.png", None)],
    ),
    "animated": (
        lambda r: photograph(90).save(r / "train/cat/new.gif", save_all=True, append_images=[photograph(91)]),
        [("animated", "train/cat/new.gif", None)],
    ),
    "transparent": (
        lambda r: photograph(90).convert("RGBA").save(r / "train/cat/new.png"),
        [("transparent", "train/cat/new.png", None)],
    ),
    "wrong suffix": (
        lambda r: photograph(90).save(r / "train/cat/new.jpg", format="PNG"),
        [("wrong_suffix", "train/cat/new.jpg", None)],
    ),
    "no suffix": (lambda r: photograph(90).save(r / "train/cat/new", format="PNG"), []),
    "beside the classes": (
        lambda r: photograph(90).save(r / "train/new.jpg"),
        [("outside_classes", "train/new.jpg", None)],
    ),
    "a note beside the classes": (lambda r: (r / "train/README.txt").write_text("cats"), []),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_and_nothing_else(name: str, root: Path) -> None:
    make, expected = DEFECTS[name]
    make(root)
    check = check_dataset(root, SPLIT_FOLDERS)
    assert rows(check) == expected
    assert all(dataset_text.title(code) and dataset_text.remedy(code) for code, _, _ in expected)
    dataset_text.document(check)
    assert [bool(dataset_text.detail(f)) for f in check.findings] == [
        f.code not in dataset_text.WITHOUT_DETAIL for f in check.findings
    ]


def test_a_clean_dataset_has_no_finding(clean: Path) -> None:
    check = check_dataset(clean, SPLIT_FOLDERS)
    assert rows(check) == []
    assert not check.is_serious(accepted=False)
    assert check.counts == {split: dict.fromkeys(CLASSES, n) for split, n in (("train", 4), ("val", 3), ("test", 3))}
    assert len(check.hashes) == 30


def test_how_files_are_copies(root: Path) -> None:
    shutil.copy(root / "train/cat/000.jpg", root / "train/cat/bytes.jpg")
    resaved(root, "train/cat/001.jpg", "train/cat/pixels.png")
    resaved(root, "train/cat/002.jpg", "train/cat/near.png", lambda picture: picture.resize((60, 48)))
    check = check_dataset(root, SPLIT_FOLDERS)
    assert {f.listed.file.stem: f.data["how"] for f in check.findings} == {n: n for n in ("bytes", "pixels", "near")}


def test_many_copies_are_each_named_once(root: Path) -> None:
    for number in range(5):
        shutil.copy(root / "train/cat/000.jpg", root / f"train/dog/copy{number}.jpg")
    assert rows(check_dataset(root, SPLIT_FOLDERS)) == [
        *(("two_classes", f"train/dog/copy{number}.jpg", "train/cat/000.jpg") for number in range(5)),
        *(("duplicate", f"train/dog/copy{number}.jpg", "train/dog/copy0.jpg") for number in range(1, 5)),
    ]


def test_a_folder_that_is_not_split_yet(root: Path) -> None:
    check = check_dataset(root / "train", SPLIT_FOLDERS)
    assert check.counts == {"": dict.fromkeys(CLASSES, 4)}
    assert rows(check) == []


@pytest.mark.parametrize(("trait", "suffix", "size"), [("format", "png", (80, 64)), ("size", "jpg", (64, 64))])
def test_what_one_class_alone_has_is_found(trait: str, suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    for number in range(36):
        name = CLASSES[number % 3]
        (tmp_path / name).mkdir(exist_ok=True)
        is_dog = name == "dog"
        picture = photograph(number, size if is_dog else (80, 64))
        picture.save(tmp_path / name / f"{number}.{suffix if is_dog else 'jpg'}")
    (finding,) = check_dataset(tmp_path, SPLIT_FOLDERS).findings
    assert (finding.code, finding.listed.class_name, finding.data["trait"]) == ("class_trait", "dog", trait)
    assert (finding.data["share"], finding.data["elsewhere"]) == (1, 0)


def test_changes_since_the_manifest_are_found_and_can_be_accepted(root: Path) -> None:
    checksums.write(root, check_dataset(root, SPLIT_FOLDERS).hashes)
    photograph(90).save(root / "val/cat/001.jpg", quality=92)
    (root / "val/dog/001.jpg").unlink()
    photograph(91).save(root / "val/dog/added.jpg", quality=92)
    check = check_dataset(root, SPLIT_FOLDERS)
    assert rows(check) == [("changed", "val/cat/001.jpg", None), ("missing", "val/dog/001.jpg", None)]
    assert (check.recorded, check.added, check.manifest_differs) == (True, 1, True)
    assert (check.is_serious(accepted=False), check.is_serious(accepted=True)) == (True, False)


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, Path.mkdir], ids=["absent", "file", "empty"])
def test_what_is_no_dataset_is_refused(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "photos")
    with pytest.raises(UserError, match="photos"):
        check_dataset(tmp_path / "photos", SPLIT_FOLDERS)

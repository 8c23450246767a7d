"""Listing of image folders, and what is said of folders that cannot be used."""

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synthaug import files
from synthaug.data.layouts import layout_problems
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import (
    REAL,
    RealImages,
    Samples,
    per_class,
    repeated,
    require_distinct,
    require_every_class,
    scan,
    scan_more,
)
from synthaug.errors import UserError
from tests.factories.images import SPLIT_FOLDERS, image, sample, write_dataset


def scan_error(root: Path, split_folders: dict[str, str] = SPLIT_FOLDERS) -> str:
    with pytest.raises(UserError) as caught:
        scan(root, split_folders)
    return str(caught.value)


def require_distinct_pixels(root: Path) -> None:
    real = scan(root, SPLIT_FOLDERS)
    store = PixelStore(root.parent / "pixels", 32)
    assert not store.add({s.sha256: s.path for samples in real.splits.values() for s in samples})
    require_distinct(real, store.contents)


def test_every_image_is_listed_with_its_label_origin_and_hash(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", train=3, val=2, test=1)
    real = scan(root, SPLIT_FOLDERS)
    assert real.classes == ["cat", "dog"]
    assert {split: len(samples) for split, samples in real.splits.items()} == {"train": 6, "val": 4, "test": 2}
    first, last = real.train[0], real.train[-1]
    assert (first.path, first.label, first.class_name) == (root / "train/cat/000.png", 0, "cat")
    assert (last.path, last.label, last.class_name) == (root / "train/dog/002.png", 1, "dog")
    assert (first.origin, first.order, first.sha256) == (REAL, None, files.sha256(first.path))


def test_other_folder_names(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    (root / "val").rename(root / "valid")
    (root / "lists").mkdir()
    (root / "train").rename(root / "lists" / "train")
    real = scan(root, {"train": "lists/train", "val": "valid", "test": "test"})
    assert (len(real.train), len(real.val), len(real.test)) == (12, 6, 8)


def test_the_order_of_the_file_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dataset(tmp_path / "data", classes=("b", "a", "c"))
    expected = scan(root, SPLIT_FOLDERS)
    scandir, rglob = os.scandir, Path.rglob

    class Backwards:
        def __init__(self, path: Any) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    def backwards(self: Path, pattern: str) -> Generator[Path, None, None]:
        yield from sorted(rglob(self, pattern), reverse=True)

    monkeypatch.setattr(os, "scandir", Backwards)
    monkeypatch.setattr(Path, "rglob", backwards)
    listed = scan(root, SPLIT_FOLDERS)
    assert listed == expected
    assert listed.classes == ["a", "b", "c"]
    assert [s.path for s in listed.train] == sorted(s.path for s in listed.train)


def test_images_in_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    (root / "train/cat/2024/may").mkdir(parents=True)
    image(900).save(root / "train/cat/2024/may/000.png")
    nested = [s for s in scan(root, SPLIT_FOLDERS).train if s.path.parent.name == "may"]
    assert [s.class_name for s in nested] == ["cat"]


@pytest.mark.parametrize(
    "litter", ["Thumbs.db", "desktop.ini", ".DS_Store", "._000.png", ".ipynb_checkpoints/000-checkpoint.png"]
)
def test_litter_is_no_image(tmp_path: Path, litter: str) -> None:
    root = write_dataset(tmp_path / "data")
    expected = scan(root, SPLIT_FOLDERS)
    (root / "train/cat" / litter).parent.mkdir(exist_ok=True)
    (root / "train/cat" / litter).write_bytes(b"x")
    (root / "train/.hidden").mkdir()
    (root / "val/notes.txt").write_text("not in a class")
    assert scan(root, SPLIT_FOLDERS) == expected


def test_a_hidden_folder_above_the_dataset_hides_nothing(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / ".cache" / "data")
    assert len(scan(root, SPLIT_FOLDERS).train) == 12


def test_files_that_are_no_images_are_listed_so_that_decoding_names_them(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    (root / "train/cat/notes.txt").write_text("hello")
    assert root / "train/cat/notes.txt" in [s.path for s in scan(root, SPLIT_FOLDERS).train]


# --- folders that cannot be used ---------------------------------------------------------------------


def test_missing_root(tmp_path: Path) -> None:
    message = scan_error(tmp_path / "nowhere")
    assert f"there is no folder {tmp_path / 'nowhere'}" in message
    assert "dataset.root=<folder>" in message


def test_a_file_as_root(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"x")
    assert f"{tmp_path / 'data.zip'} is a file: give a folder with dataset.root=" in scan_error(tmp_path / "data.zip")


def test_empty_root(tmp_path: Path) -> None:
    assert "it is empty; expected train/, val/, test/ with one folder of images per class in each" in scan_error(
        tmp_path
    )


def test_a_root_of_loose_images_is_not_called_empty(tmp_path: Path) -> None:
    image(0).save(tmp_path / "0.png")
    message = scan_error(tmp_path)
    assert "empty" not in message
    assert "it has no folder 'train/' (key dataset.train)" in message


def test_every_missing_split_folder_is_named_with_its_key(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    shutil.rmtree(root / "test")
    message = scan_error(root, {"train": "train", "val": "valid", "test": "test"})
    assert "it has no folder 'valid/' (key dataset.val)" in message
    assert "it has no folder 'test/' (key dataset.test)" in message
    assert "'train/' (" not in message


def test_one_folder_cannot_be_two_splits(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    assert layout_problems(root, SPLIT_FOLDERS) == []
    for same in ("./test", "val/../test"):
        message = scan_error(root, {"train": "train", "val": "test", "test": same})
        assert f"dataset.val and dataset.test are the same folder {root / 'test'}" in message


def test_one_class(tmp_path: Path) -> None:
    message = scan_error(write_dataset(tmp_path / "data", classes=("cat",)))
    assert "holds 1 class (cat)" in message
    assert "at least two folders" in message


def test_no_class(tmp_path: Path) -> None:
    for split in SPLIT_FOLDERS.values():
        (tmp_path / split).mkdir()
    assert "holds 0 classes (none)" in scan_error(tmp_path)


@pytest.mark.parametrize(
    ("folders", "wanted"),
    [
        (("cat/train", "cat/test", "dog/train", "dog/test"), "test/cat/"),
        (("cat/Training", "dog/Training", "dog/Testing"), "Training/cat/"),
        (("cat_train", "cat_test", "dog_train", "dog_test"), "test/cat/"),
        (("test-cat", "train-cat", "train-dog"), "test/cat/"),
    ],
)
def test_classes_that_hold_the_splits_are_not_mixed(folders: tuple[str, ...], wanted: str, tmp_path: Path) -> None:
    for number, name in enumerate(folders):
        (tmp_path / name).mkdir(parents=True)
        image(number).save(tmp_path / name / "0.png")
    with pytest.raises(UserError, match=wanted):
        scan(tmp_path, SPLIT_FOLDERS, can_split=True)
    assert len(scan(tmp_path, {**SPLIT_FOLDERS, "train": "."}, can_split=True).train) == len(folders)


@pytest.mark.parametrize(
    "folders", [("freight train", "passenger train"), ("train station", "bus"), ("cat/a", "dog/train")]
)
def test_words_of_a_split_in_the_names_of_classes(folders: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(folders):
        (tmp_path / name).mkdir(parents=True)
        image(number).save(tmp_path / name / "0.png")
    assert len(scan(tmp_path, SPLIT_FOLDERS, can_split=True).classes) == 2


@pytest.mark.parametrize(("file", "hint"), [("photos.zip", "unpack photos.zip"), ("cat_1.png", r"cat_1\.png")])
def test_what_lies_there_instead_of_classes_is_said(file: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    with pytest.raises(UserError, match=hint):
        scan(tmp_path, SPLIT_FOLDERS, can_split=True)
    root = write_dataset(tmp_path / "data")
    shutil.rmtree(root / "test")
    (root / "test").mkdir()
    (root / "test" / file).touch()
    with pytest.raises(UserError, match=hint):
        scan(root, SPLIT_FOLDERS)


def test_classes_written_in_two_ways_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_dataset(tmp_path / "data", classes=("Sea lion", "sea  Lion", "dog"))
    assert len(scan(root, SPLIT_FOLDERS).classes) == 3
    assert "'Sea lion', 'sea  Lion'" in caplog.text
    assert "dog" not in caplog.text


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_that_train_does_not_know(tmp_path: Path, split: str) -> None:
    root = write_dataset(tmp_path / "data")
    (root / split / "cow").mkdir()
    message = scan_error(root)
    assert f"{root / split} has classes that {root / 'train'} has not: cow; rename or remove them" in message


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("how", ["empty", "missing", "litter only"])
def test_a_class_without_images(tmp_path: Path, split: str, how: str) -> None:
    root = write_dataset(tmp_path / "data", classes=("cat", "cow", "dog"))
    shutil.rmtree(root / split / "cow")
    if how != "missing":
        (root / split / "cow").mkdir()
    if how == "litter only":
        (root / split / "cow" / "Thumbs.db").write_bytes(b"x")
    message = scan_error(root)
    if split == "train" and how == "missing":  # then it is not a class at all
        assert f"{root / 'test'} has classes that {root / 'train'} has not: cow" in message
    else:
        assert f"{root / split} has no images of cow" in message


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_cannot_be_written_down(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    image(900).save(root / "val/dog/猫 ä.png")
    scan(root, SPLIT_FOLDERS)
    (root / "val/dog/猫 ä.png").rename(root / "val/dog" / os.fsdecode(b"caf\xe9.png"))
    message = scan_error(root)
    assert (
        f"{root / 'val'} has 1 file with names that are not valid Unicode, such as {root / 'val/dog/caf'}\\udce9.png"
        in message
    )
    message.encode()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_of_further_images_that_cannot_be_written_down(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    real = scan(root, SPLIT_FOLDERS)
    (root / "more" / "cat").mkdir(parents=True)
    image(900).save(root / "more/cat" / os.fsdecode(b"caf\xe9.png"))
    with pytest.raises(UserError, match=r"1 file with names that are not valid Unicode"):
        scan_more(root, "more", real)


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", classes=("cat",))
    shutil.rmtree(root / "val/cat")
    (root / "test/cow").mkdir()
    problems = scan_error(root).splitlines()
    assert problems[0] == f"The dataset folder {root} cannot be used:"
    assert len(problems) == 4
    assert all(line.startswith("  - ") for line in problems[1:])


# --- the same image twice ----------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("train", "test"), ("train", "val"), ("val", "test")])
def test_the_same_pixels_in_two_splits_are_refused(tmp_path: Path, first: str, second: str) -> None:
    root = write_dataset(tmp_path / "data")
    with Image.open(root / first / "cat/000.png") as original:
        original.save(root / second / "dog/copy.bmp")
    with pytest.raises(UserError) as caught:
        require_distinct_pixels(root)
    message = str(caught.value)
    assert f"{first}: {root / first / 'cat/000.png'}  =  {second}: {root / second / 'dog/copy.bmp'}" in message
    assert message.startswith("1 image is in more than one split")
    assert "1 image is in more than one class" in message


def test_every_clash_is_counted_and_the_first_ones_shown(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", train=8)
    for name in ("cat", "dog"):
        shutil.copytree(root / "train" / name, root / "test" / name, dirs_exist_ok=True)
    with pytest.raises(UserError, match=r"16 images .*(?s:.)*… and 6 more"):
        require_distinct_pixels(root)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_same_pixels_in_two_classes_are_refused(tmp_path: Path, split: str) -> None:
    root = write_dataset(tmp_path / "data")
    cat, dog = root / split / "cat/000.png", root / split / "dog/copy.bmp"
    with Image.open(cat) as original:
        original.save(dog)
    shutil.copy(cat, cat.with_name("again.png"))
    with pytest.raises(UserError) as caught:
        require_distinct_pixels(root)
    assert str(caught.value).startswith(
        f"1 image is in more than one class, so one of the labels is wrong:\n  - cat: {cat}  =  dog: {dog}\nRemove one"
    )
    assert "split" not in str(caught.value)


def test_the_same_pixels_twice_in_one_class_and_split_are_allowed_and_listed(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    first = root / "train/cat/000.png"
    shutil.copy(first, root / "train/cat/again.png")
    with Image.open(first) as original:
        original.save(root / "train/cat/and again.bmp")
    require_distinct_pixels(root)
    samples = scan(root, SPLIT_FOLDERS).train
    contents = Samples.of(samples).digests
    contents[[s.name == "and again.bmp" for s in samples]] = bytearray.fromhex(files.sha256(first))
    again = [f"{first}  =  {root / 'train/cat' / name}" for name in ("again.png", "and again.bmp")]
    assert repeated(samples, lambda _: contents) == again


# --- small parts -------------------------------------------------------------------------------------


def test_without_leaves_out_by_path_in_every_split() -> None:
    first, two, three = (sample(number) for number in range(3))
    real = RealImages(["cat"], [first, two], [two], [three]).without([two.path])
    assert (real.train, real.val, real.test) == ([first], [], [three])


def test_a_class_that_leaving_out_has_emptied_is_named() -> None:
    cat, dog = sample(0), sample(1, "dog", 1)
    real = RealImages(["cat", "dog"], [cat, dog], [cat, dog], [cat, dog])
    require_every_class(real)
    with pytest.raises(UserError) as caught:
        require_every_class(RealImages(["cat", "dog"], [cat], [dog], [cat, dog], more=[cat]))
    assert "train: no whole image of dog is left" in str(caught.value)
    assert "val: no whole image of cat is left" in str(caught.value)
    assert "more:" not in str(caught.value)  # may lack classes


def test_per_class_keeps_the_order_and_the_empty_classes() -> None:
    first, two, three = sample(1), sample(2, "dog", 1), sample(0)
    assert per_class([first, two, three], ["cow", "cat", "dog"]) == {"cow": [], "cat": [first, three], "dog": [two]}

"""Splitting a folder's own images: by content and seed alone, copies together, written down, and kept."""

import contextlib
import csv
import dataclasses
import io
import logging
import math
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from synthaug.data import splitting
from synthaug.data.samples import RealImages, scan
from synthaug.data.split_rule import Rule, apportion, draw
from synthaug.data.splitting import IMAGES, RULE, Divided, count_test, divide, redraw_validation
from synthaug.errors import UserError
from synthaug.files import read_json
from tests.factories.images import SPLIT_FOLDERS, image, skip, stop, write_dataset, write_flat

FIFTH = Rule(0.2, 0.2)


def divided(root: Path, rule: Rule | None = FIFTH, refuse: Callable[[Mapping[Path, str]], None] = stop) -> Divided:
    return divide(root, SPLIT_FOLDERS, rule, root.parent / "splits", refuse)


def image_bytes(seed: int) -> bytes:
    stream = io.BytesIO()
    image(seed).save(stream, "png")
    return stream.getvalue()


def refusal(root: Path, rule: Rule | None = FIFTH) -> str:
    with pytest.raises(UserError) as caught:
        divided(root, rule)
    return str(caught.value)


def hashes(real: RealImages) -> dict[str, set[str]]:
    return {split: {sample.sha256 for sample in samples} for split, samples in real.splits.items()}


def sizes(real: RealImages) -> dict[str, dict[str, int]]:
    return {
        split: {name: sum(sample.class_name == name for sample in samples) for name in real.classes}
        for split, samples in real.splits.items()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_flat(tmp_path / "photos", {"cat": 10, "dog": 20})


# --- in bounded memory --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "is_unchanged"),
    [
        (lambda root: None, True),
        (lambda root: (root / "cat" / "new.png").write_bytes(image_bytes(77)), False),
        (lambda root: next(iter(sorted((root / "cat").iterdir()))).rename(root / "cat" / "zz.png"), False),
    ],
)
def test_a_record_read_beside_the_images_says_what_the_whole_record_says(
    root: Path, change: Callable[[Path], object], is_unchanged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    divided(root)
    change(root)
    copy = root.parent / "copy" / "splits"
    shutil.copytree(root.parent / "splits", copy)
    passes: list[bool] = []

    def counted(request: splitting._Request) -> splitting._Assigned | None:
        passes.append((assigned := unchanged(request)) is not None)
        return assigned

    unchanged = splitting._unchanged
    monkeypatch.setattr(splitting, "_unchanged", counted)
    quick = divided(root)
    monkeypatch.setattr(splitting, "_unchanged", lambda request: None)
    whole = divide(root, SPLIT_FOLDERS, FIFTH, copy, stop)
    assert passes == [is_unchanged]
    assert quick == whole
    assert {split: list(samples) for split, samples in quick.real.splits.items()}["train"]


def test_a_damaged_row_is_not_taken_for_an_unchanged_one(root: Path) -> None:
    divided(root)
    record = root.parent / "splits" / IMAGES
    record.write_bytes(record.read_bytes().replace(b",test,", b",val,", 1))
    assert "damaged" in refusal(root)


# --- counted before it is drawn -----------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [0.2, 7])
def test_as_many_test_images_are_foretold_as_are_drawn(root: Path, wanted: float) -> None:
    foretold = count_test(root, SPLIT_FOLDERS, wanted)
    assert not (root.parent / "splits").exists()
    assert foretold == (len(divided(root, Rule(0.2, wanted)).real.test), False)


def test_test_images_that_are_there_are_counted(tmp_path: Path) -> None:
    write_dataset(tmp_path / "photos", train=3, val=2, test=5)
    assert count_test(tmp_path / "photos", SPLIT_FOLDERS, 0.15) == (10, True)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ({"cat": 5}, "has no two folders of images"),
        ({"cat": 1, "dog": 1}, "2 for the test would leave none to train on"),
    ],
)
def test_a_folder_too_small_for_a_test_is_refused_before_it_is_drawn(
    tmp_path: Path, counts: dict[str, int], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        count_test(write_flat(tmp_path / "photos", counts), SPLIT_FOLDERS, 0.2)


# --- the rule --------------------------------------------------------------------------------------


def test_a_folder_of_classes_is_split_in_three_by_class(root: Path) -> None:
    real = divided(root).real
    assert real.classes == ["cat", "dog"]
    assert sizes(real) == {"train": {"cat": 6, "dog": 12}, "val": {"cat": 2, "dog": 4}, "test": {"cat": 2, "dog": 4}}
    assert len({sample.path for samples in real.splits.values() for sample in samples}) == 30


def test_numbers_are_of_all_classes_together(root: Path) -> None:
    real = divided(root, Rule(3, 9)).real
    assert sizes(real)["val"] == {"cat": 1, "dog": 2}
    assert sizes(real)["test"] == {"cat": 3, "dog": 6}


@pytest.mark.parametrize("missing", [["val"], ["test"], ["val", "test"]])
def test_what_is_missing_beside_train_is_taken_from_train(tmp_path: Path, missing: list[str]) -> None:
    root = write_dataset(tmp_path / "photos", train=10, val=3, test=4)
    members = hashes(divided(root).real)
    for split in missing:
        shutil.rmtree(root / split)
    actual = hashes(divided(root).real)
    for split in ("val", "test"):
        assert (actual[split] <= members["train"]) if split in missing else (actual[split] == members[split])
        assert actual[split]
    assert set.union(*(actual[split] for split in ("train", *missing))) == members["train"]


def test_folders_that_are_split_by_hand_need_no_rule_and_leave_nothing(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    assert hashes(divided(root).real) == hashes(divided(root, None).real)
    assert not (tmp_path / "splits").exists()


def test_names_places_and_order_do_not_matter(root: Path, tmp_path: Path) -> None:
    expected = hashes(divided(root).real)
    elsewhere = tmp_path / "elsewhere" / "photos"
    for number, path in enumerate(sorted(root.rglob("*.png"), reverse=True)):
        place = elsewhere / path.parent.name / f"{path.parent.name}{number % 3}" / f"猫{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    assert hashes(divided(elsewhere).real) == expected


def test_another_seed_is_another_split_and_the_same_one_the_same(root: Path) -> None:
    first = hashes(divided(root).real)
    for seed, same in ((0, True), (1, False)):
        shutil.rmtree(root.parent / "splits")
        assert (hashes(divided(root, Rule(0.2, 0.2, seed)).real) == first) == same


def test_copies_are_drawn_together(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 20, "dog": 20})
    for path in sorted(root.glob("*/*.png"))[::4]:
        with Image.open(path) as opened:
            opened.save(path.with_suffix(".bmp"))
            opened.save(path.with_suffix(".jpg"), quality=80)
    split_of = {
        sample.path.name + sample.class_name: split
        for split, samples in divided(root).real.splits.items()
        for sample in samples
    }
    assert len(split_of) == 60
    for path in root.glob("*/*.jpg"):
        members = {split_of[path.with_suffix(suffix).name + path.parent.name] for suffix in (".png", ".bmp", ".jpg")}
        assert len(members) == 1
    assert len({split_of[path.name + path.parent.name] for path in root.glob("*/*.jpg")}) > 1


def test_without_a_limit_only_the_same_pixels_are_copies(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 3, "dog": 9})
    for quality in range(60, 90, 3):
        image(1000, (64, 48)).save(root / "cat" / f"{quality}.jpg", quality=quality)
    message = refusal(root)
    assert "cat: too small to be split: 11 of its 13 images are copies of " in message
    assert "dataset.split.near_duplicates=false" in message
    assert not (tmp_path / "splits" / IMAGES).exists()
    assert sizes(divided(root, Rule(0.2, 0.2, near_duplicates=False)).real)["test"] == {"cat": 2, "dog": 2}


def test_classes_that_are_too_small_are_all_named(tmp_path: Path) -> None:
    message = refusal(write_flat(tmp_path / "photos", {"cat": 2, "dog": 30, "eel": 1}))
    assert "cat: too small to be split: 2 images, 1 for test and 1 for val would leave none to train on" in message
    assert "eel: too small to be split: 1 image" in message
    assert "dog" not in message
    assert "add images of it" in message


def test_fewer_images_than_classes_are_refused(root: Path) -> None:
    message = refusal(root, Rule(0.2, 1))
    assert "dataset.split.test=1: fewer images than the 2 classes, and each needs one: give at least 2" in message


def test_one_image_in_two_classes_is_refused_before_anything_is_written(root: Path) -> None:
    shutil.copy(root / "cat/000.png", root / "dog/copy.png")
    assert "1 image is in more than one class" in refusal(root)
    assert not (root.parent / "splits" / IMAGES).exists()


@given(st.dictionaries(st.text(min_size=1), st.integers(3, 500), min_size=1), st.floats(0.01, 0.99))
def test_apportioning_sums_up_and_keeps_every_class(counts: dict[str, int], share: float) -> None:
    parts = apportion(counts, share)
    total = max(math.floor(sum(counts.values()) * share + 0.5), len(counts))
    assert sum(parts.values()) == total
    assert min(parts.values()) >= 1
    for name, part in parts.items():
        due = total * counts[name] / sum(counts.values())
        assert part <= max(1, math.ceil(due))


def test_apportioning_by_largest_remainders() -> None:
    assert apportion({"a": 10, "b": 10, "c": 10}, 4) == {"a": 2, "b": 1, "c": 1}
    assert apportion({"a": 1000, "b": 1, "c": 1}, 10) == {"a": 8, "b": 1, "c": 1}
    assert apportion({"a": 75, "b": 25}, 0.1) == {"a": 8, "b": 2}


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 6), min_size=8, max_size=40), min_size=1),
    st.integers(0, 3),
)
def test_groups_stay_whole_and_every_split_has_its_share(counts: dict[str, list[int]], seed: int) -> None:
    groups = {
        name: {f"{name}{number}": ["image"] * size for number, size in enumerate(sizes)}
        for name, sizes in counts.items()
    }
    with contextlib.suppress(UserError):  # too many are copies
        chosen = draw(groups, Rule(0.15, 0.25, seed), ["test", "val"])
        require_shares(groups, chosen)


def require_shares(groups: Mapping[str, Mapping[str, list[str]]], chosen: Mapping[tuple[str, str], str]) -> None:
    for name, group in groups.items():
        images = sum(map(len, group.values()))
        got = {split: sum(len(group[g]) for g in group if chosen.get((name, g)) == split) for split in ("test", "val")}
        assert min(got.values()) >= 1
        assert sum(got.values()) < images


# --- written down and kept -------------------------------------------------------------------------


def test_what_is_written_down(root: Path) -> None:
    real = divided(root).real
    with (root.parent / "splits" / IMAGES).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:5] == ["path", "class", "split", "sha256", "group"]
    assert {(row["path"], row["split"]) for row in rows} == {
        (sample.path.relative_to(root).as_posix(), split)
        for split, samples in real.splits.items()
        for sample in samples
    }
    rule = read_json(root.parent / "splits" / RULE)
    assert {key: rule[key] for key in ("drawn", "val", "test", "seed", "near_duplicates")} == {
        "drawn": "test and val", "val": 0.2, "test": 0.2, "seed": 0, "near_duplicates": True,
    }  # fmt: skip
    assert rule["counts"]["val"] == {"cat": 2, "dog": 4}
    assert rule["copies"] == {"groups": 0, "images": 0, "largest": 1}
    assert "numpy" in rule["versions"]


def test_a_second_reading_changes_nothing(root: Path) -> None:
    first = divided(root).real
    before = {path: path.stat().st_mtime_ns for path in (root.parent / "splits").glob("split*")}
    assert divided(root).real == first
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_images_keep_their_split_when_they_move(root: Path) -> None:
    before = hashes(divided(root).real)
    (root / "cat" / "moved").mkdir()
    for path in sorted((root / "cat").glob("*.png")):
        path.rename(root / "cat" / "moved" / f"x{path.name}")
    root.rename(root.parent / "pictures")
    assert hashes(divided(root.parent / "pictures").real) == before
    assert "cat/moved/x000.png" in (root.parent / "splits" / IMAGES).read_text(encoding="utf-8")


def test_new_images_join_train_and_it_is_said_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = hashes(divided(root).real)
    for number in (1, 2):
        image(number, (64, 48)).save(root / "dog" / f"new{number}.png")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        real = divided(root).real
        assert divided(root).real == real
    after = hashes(real)
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    assert len(after["train"] - before["train"]) == 2
    assert caplog.messages == [f"{root}: 2 new images join the training images (see {root.parent / 'splits' / IMAGES})"]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("near", [True, False])
def test_new_copies_of_what_must_stay_unseen_are_left_out(root: Path, split: str, near: bool) -> None:
    rule = Rule(0.2, 0.2, near_duplicates=near)
    before = divided(root, rule).real
    shown = before.splits[split][0].path
    with Image.open(shown) as opened:
        opened.save(shown.with_name("same.bmp"))
        opened.save(shown.with_name("near.jpg"), quality=80)
        ImageOps.mirror(opened).save(shown.with_name("mirrored.png"))
    after = divided(root, rule)
    wanted = ["mirrored.png", "near.jpg", "same.bmp"] if near else ["same.bmp"]
    assert [path.name for path in after.copies] == wanted
    assert len(after.real.train) == len(before.train) + 3 - len(wanted)
    assert divided(root, rule) == after


def test_a_copy_of_an_image_that_was_left_out_is_judged_by_itself(root: Path) -> None:
    """A chain: the second cut is a copy of the first alone, which is a copy of a test image."""
    tested = divided(root).real.test[0]
    with Image.open(tested.path) as opened:
        larger = opened.resize((640, 480))
    for number in (1, 2):
        larger = larger.crop((30, 22, larger.width - 30, larger.height - 22))
        larger.save(tested.path.with_name(f"cut{number}.png"))
        assert [path.name for path in divided(root).copies] == ["cut1.png"]
    shutil.copy(tested.path.with_name("cut1.png"), tested.path.with_name("again.png"))
    larger = Image.open(tested.path.with_name("cut1.png"))
    larger.save(tested.path.with_name("again.bmp"))
    assert [path.name for path in divided(root).copies] == ["again.bmp", "again.png", "cut1.png"]
    with (root.parent / "splits" / IMAGES).open(newline="", encoding="utf-8") as stream:
        groups = {Path(row["path"]).name: row["group"] for row in csv.DictReader(stream) if row["class"] == "cat"}
    assert groups[tested.path.name] == groups["cut1.png"] == groups["again.bmp"] != groups["cut2.png"]


def test_how_many_images_are_copies_is_counted_and_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, suffix in ((0, ".bmp"), (0, ".jpg"), (1, ".jpg")):
        with Image.open(root / "cat" / f"{number:03d}.png") as opened:
            opened.save(root / "cat" / f"{number:03d}{suffix}")
    with caplog.at_level(logging.WARNING):
        divided(root)
    assert read_json(root.parent / "splits" / RULE)["copies"] == {"groups": 2, "images": 5, "largest": 3}
    assert caplog.messages[-1] == f"{root}: 5 images are copies of one another, in 2 groups that stay together"


def is_test_image(root: Path, rule: Rule, name: str) -> bool:
    shutil.rmtree(root.parent / "splits", ignore_errors=True)
    return any(sample.path.name == name for sample in divided(root, rule).real.test)


def test_a_group_has_the_name_of_its_least_pixels(root: Path) -> None:
    for number in range(3):
        with Image.open(root / "dog" / f"{number:03d}.png") as opened:
            opened.save(root / "dog" / f"{number:03d}.jpg", quality=90)
    divided(root)
    with (root.parent / "splits" / IMAGES).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    groups = {row["group"]: {item["pixels"] for item in rows if item["group"] == row["group"]} for row in rows}
    assert sorted(map(len, groups.values()))[-4:] == [1, 2, 2, 2]
    assert all(name == min(pixels) for name, pixels in groups.items())


def test_a_new_image_in_two_classes_is_refused_before_it_joins(root: Path) -> None:
    real = divided(root).real
    unseen = next(sample for sample in real.test if sample.class_name == "cat").path
    for name in ("cat", "dog"):
        Image.open(unseen).save(root / name / "copy.bmp")
    assert "1 image is in more than one class" in refusal(root)
    (root / "dog" / "copy.bmp").unlink()
    assert divided(root).copies == [root / "cat" / "copy.bmp"]


def test_training_images_may_go_and_come_back(root: Path) -> None:
    before = divided(root).real
    path = before.train[0].path
    content = path.read_bytes()
    path.unlink()
    assert len(divided(root).real.train) == len(before.train) - 1
    path.write_bytes(content)
    assert hashes(divided(root).real) == hashes(before)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_images_that_must_not_go_are_named(root: Path, split: str, how: str) -> None:
    path = divided(root).real.splits[split][0].path
    if how == "gone":
        path.unlink()
    else:
        image(7, (64, 48)).save(path)
    message = refusal(root)
    assert message.startswith("1 validation or test image is gone, or changed, since the images were split:")
    assert f"{split}: {path}" in message
    assert f"Bring them back, or move {root.parent / 'splits'} away" in message


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"val": 0.3}, "dataset.split.val: 0.2 there, 0.3 now"),
        ({"test": 5}, "dataset.split.test: 0.2 there, 5 now"),
        ({"seed": 4}, "dataset.split.seed: 0 there, 4 now"),
        ({"near_duplicates": False}, "dataset.split.near_duplicates: True there, False now"),
    ],
)
def test_another_rule_is_refused(root: Path, changed: dict[str, float | None], problem: str) -> None:
    divided(root)
    message = refusal(root, dataclasses.replace(FIFTH, **changed))  # type: ignore[arg-type]
    assert problem in message
    assert "dataset.name=<name>" in message
    assert message.count(" there, ") == 1


def test_a_split_that_was_drawn_and_then_made_by_hand_is_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos", train=10)
    shutil.rmtree(root / "val")
    shutil.rmtree(root / "test")
    divided(root)
    (root / "val").mkdir()
    for name in ("cat", "dog"):
        (root / "val" / name).mkdir()
        (root / "train" / name / "000.png").rename(root / "val" / name / "000.png")
    assert "drawn: test and val there, test now" in refusal(root)


def test_a_split_of_another_folder_is_refused(root: Path, tmp_path: Path) -> None:
    divided(root)
    elsewhere = tmp_path / "other"
    for name in ("cat", "dog"):
        (elsewhere / name).mkdir(parents=True)
        for seed in range(5):
            image(seed + 50 * (name == "dog")).save(elsewhere / name / f"{seed}.png")
    message = refusal(elsewhere)
    assert f"holds the split of another folder: none of its 30 images is in {elsewhere}" in message
    assert "dataset.name=<name>" in message


def damage(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(change(path.read_text(encoding="utf-8").splitlines(keepends=True))), encoding="utf-8")


def rewritten(word: str, new: str) -> Callable[[list[str]], list[str]]:
    def change(rows: list[str]) -> list[str]:
        row = next(number for number, text in enumerate(rows) if word in text)
        return [*rows[:row], rows[row].replace(word, new, 1), *rows[row + 1 :]]

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [],
        lambda rows: ["path,class\n", "a,b\n"],
        lambda rows: [*rows[:-1], rows[-1][:-20]],
        lambda rows: [rows[0].replace("split", "spilt"), *rows[1:]],
        lambda rows: [text for text in rows if ",val," not in text],  # whole rows, but not all of them
        rewritten(",test,", ",tset,"),
        rewritten(",test,", ",train,"),
        rewritten(",train,", ",left out,"),
        rewritten(",cat,", ",dog,"),
        rewritten(",cat,", ',"cat,'),
        rewritten(",cat,", ",c\0t,"),
    ],
)
def test_a_damaged_split_is_named(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    divided(root)
    path = root.parent / "splits" / IMAGES
    damage(path, change)
    assert refusal(root).startswith(f"{path} is damaged")


def test_bytes_that_are_no_text_damage_a_split(root: Path) -> None:
    divided(root)
    path = root.parent / "splits" / IMAGES
    path.write_bytes(path.read_bytes().replace(b",train,", b",tr\xffin,", 1))
    assert refusal(root).startswith(f"{path} is damaged")


def test_a_lost_rule_is_no_licence_for_another(root: Path) -> None:
    divided(root)
    (root.parent / "splits" / RULE).unlink()
    assert f"{RULE} is gone" in refusal(root)


def test_a_lost_split_is_drawn_again_if_it_comes_out_the_same(root: Path) -> None:
    first = divided(root)
    path = root.parent / "splits" / IMAGES
    path.unlink()
    assert divided(root).real == first.real
    for number in range(40, 60):  # which change what is drawn
        image(number).save(root / "cat" / f"{number}.png")
    divided(root)
    path.unlink()
    assert f"{path} is gone" in refusal(root)


# --- files that are not images ----------------------------------------------------------------------


def test_files_that_are_no_images_stop_before_the_split_or_are_left_out(root: Path) -> None:
    (root / "cat" / "notes.txt").write_text("no image")
    assert refusal(root) == "not whole: ['notes.txt']"
    assert not (root.parent / "splits" / IMAGES).exists()
    first = divided(root, refuse=skip)
    assert {path.name: reason for path, reason in first.bad.items()} == {
        "notes.txt": "not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF image"
    }
    assert sum(len(samples) for samples in first.real.splits.values()) == 30
    assert divided(root, refuse=skip) == first
    assert refusal(root) == "not whole: ['notes.txt']"


# --- folders that cannot be split ------------------------------------------------------------------


def test_val_without_train_is_no_class(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    shutil.rmtree(root / "train")
    message = refusal(root)
    assert "it has no folder 'train/' (key dataset.train)" in message
    for split in ("val", "test"):
        assert f"if '{split}' is a class and not a split, give dataset.{split}=<another name>" in message


def test_a_folder_without_classes_is_not_taken_for_one(tmp_path: Path) -> None:
    image(1).save(tmp_path / "loose.png")
    assert "is a class and not a split" not in refusal(tmp_path)


@pytest.mark.parametrize(("split", "name"), [("train", "Training"), ("val", "validation"), ("test", "eval")])
def test_a_split_under_another_name_is_not_drawn_anew(tmp_path: Path, split: str, name: str) -> None:
    root = write_dataset(tmp_path / "photos")
    (root / split).rename(root / name)
    message = refusal(root)
    assert f"it has no folder '{split}/' (key dataset.{split}), but '{name}/'" in message
    assert f"dataset.{split}={name}" in message


def test_a_class_called_train_is_told_apart(root: Path) -> None:
    (root / "cat").rename(root / "train")
    assert "if 'train' is a class and not a split, give dataset.train=." in refusal(root)
    (root / "train" / "steam").mkdir()
    (root / "train" / "electric").mkdir()
    assert "if 'train' is a class and not a split, give dataset.train=." in refusal(root)
    real = divide(root, {**SPLIT_FOLDERS, "train": "."}, FIFTH, root.parent / "splits", stop).real
    assert real.classes == ["dog", "train"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("TrainData", "Testing"),
        ("2.train-images", "3 evaluation"),
    ],
)
def test_folders_that_look_like_splits_are_named_with_their_keys(tmp_path: Path, train: str, test: str) -> None:
    flat = write_flat(tmp_path / "flat", {"cat": 20, "dog": 20})
    root = tmp_path / "photos"
    shutil.copytree(flat, root / train)
    shutil.copytree(flat, root / test)
    message = refusal(root)
    assert f"dataset.train={train}, or" in message
    assert f"dataset.test={test}, or" in message


def test_folders_of_other_names_that_hold_the_same_folders_are_refused_unless_they_are_called_classes(
    tmp_path: Path,
) -> None:
    root = tmp_path / "photos"
    for name in ("a", "b"):
        write_flat(root / name, {"cat": 20, "dog": 20})
        for path in sorted(root.glob(f"{name}/*/*.png")):
            image(zlib.crc32(str(path.relative_to(root)).encode())).save(path)
    message = refusal(root)
    assert "dataset.train=a dataset.test=b" in message
    assert "if they are the classes, give dataset.train=." in message
    real = divide(root, {**SPLIT_FOLDERS, "train": "."}, FIFTH, tmp_path / "splits", stop).real
    assert real.classes == ["a", "b"]


def test_a_folder_in_a_folder_is_named(tmp_path: Path) -> None:
    write_flat(tmp_path / "photos" / "photos", {"cat": 4, "dog": 4})
    assert f"give dataset.root={tmp_path / 'photos' / 'photos'}" in refusal(tmp_path / "photos")


def test_validation_images_are_drawn_anew_by_the_seed_alone(tmp_path: Path) -> None:
    real = scan(write_dataset(tmp_path / "photos", train=6, val=3, test=2), SPLIT_FOLDERS)
    first, again, second = (redraw_validation(real, seed) for seed in (0, 0, 1))
    assert first == again
    assert {sample.sha256 for sample in first.val} != {sample.sha256 for sample in second.val}
    for drawn in (first, second):
        assert drawn.test == real.test
        assert sorted([*drawn.train, *drawn.val], key=str) == sorted([*real.train, *real.val], key=str)
        for split in ("train", "val"):
            counts = [Counter(sample.class_name for sample in item.splits[split]) for item in (drawn, real)]
            assert counts[0] == counts[1]

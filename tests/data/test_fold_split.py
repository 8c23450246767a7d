"""All images dealt into folds: each a test image once, copies together, classes alike, written down, and kept."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.fold_split import divide_by_folds
from synthaug.data.samples import RealImages, per_class, require_distinct
from synthaug.data.split_rule import Fold, Rule, deal
from synthaug.data.splitting import Divided
from synthaug.errors import UserError
from tests.factories.images import SPLIT_FOLDERS, image, skip, stop, write_dataset, write_flat

RULE = Rule(0.2, 0.2)
CLASSES = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(1, 4), min_size=3, max_size=12), min_size=1, max_size=3
)


def divided(root: Path, number: int, count: int = 3, rule: Rule | None = RULE, **how: object) -> Divided:
    options = {"refuse": stop, **how}
    return divide_by_folds(root, SPLIT_FOLDERS, rule, root.parent / "splits", Fold(count, number), **options)  # type: ignore[arg-type]


def all_folds(root: Path, count: int = 3, **how: object) -> list[RealImages]:
    return [divided(root, number, count, **how).real for number in range(count)]  # type: ignore[arg-type]


def refusal(root: Path, count: int = 3, **how: object) -> str:
    with pytest.raises(UserError) as caught:
        divided(root, 0, count, **how)  # type: ignore[arg-type]
    return str(caught.value)


def sizes(real: RealImages) -> dict[str, list[int]]:
    """Split → images of each class."""
    return {
        split: [len(samples) for samples in per_class(listed, real.classes).values()]
        for split, listed in real.splits.items()
    }


@given(CLASSES, st.integers(2, 3), st.integers(0, 3))
def test_groups_are_dealt_evenly(classes: dict[str, list[int]], count: int, seed: int) -> None:
    groups = {
        name: {f"{name}{number}": ["image"] * size for number, size in enumerate(of_class)}
        for name, of_class in classes.items()
    }
    dealt = deal(groups, count, seed)
    assert dealt.keys() == {(name, group) for name, members in groups.items() for group in members}
    for name, members in groups.items():
        totals = Counter(dict.fromkeys(range(count), 0))
        for group, images in members.items():
            totals[dealt[name, group]] += len(images)
        assert min(totals.values()) > 0, "a class is tested in every fold"
        assert max(totals.values()) - min(totals.values()) <= max(map(len, members.values()))


def test_a_large_group_does_not_keep_other_classes_out_of_its_fold() -> None:
    groups = {
        name: {f"{name}{number}": ["image"] * size for number, size in enumerate(of_class)}
        for name, of_class in {"cat": [9, 1, 1], "dog": [1] * 6}.items()
    }
    dealt = deal(groups, 3, 0)
    assert Counter(fold for (name, _), fold in dealt.items() if name == "dog") == {0: 2, 1: 2, 2: 2}


def test_the_deal_stands_from_release_to_release() -> None:
    # Frozen: whoever changes these deals other folds for every dataset that is still to be dealt.
    groups = {name: {str(number): ["image"] for number in range(5)} for name in ("cat", "dog")}
    folds: dict[int, list[str]] = {}
    for (name, group), fold in deal(groups, 2, seed=3).items():
        folds.setdefault(fold, []).append(name + group)
    assert folds == {0: ["cat0", "cat2", "cat1", "dog2", "dog3"], 1: ["cat4", "cat3", "dog1", "dog0", "dog4"]}


def test_every_image_is_a_test_image_once_and_classes_are_alike(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 20, "dog": 10})
    folds = all_folds(root)
    tests = [sample.path for real in folds for sample in real.test]
    assert sorted(tests) == sorted(root.rglob("*.png"))
    assert [sizes(real)["test"] for real in folds] == [[7, 3], [7, 3], [6, 4]]
    for real in folds:
        assert sizes(real)["val"] == [4, 2], "a fifth of all images"
        listed = [sample.path for samples in real.splits.values() for sample in samples]
        assert sorted(listed) == sorted(tests), "no image is in two splits, and none in no one"
    drawn = {sample.path for real in folds for sample in real.val}
    assert len(drawn) > 10, "folds do not draw the same validation images as far as they can"


def test_images_of_all_folders_are_dealt_and_validation_keeps_its_share(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos", train=9, val=3, test=6)
    for rule in (None, RULE):
        folds = all_folds(root, rule=rule)
        assert sorted(sample.path for real in folds for sample in real.test) == sorted(root.rglob("*.png"))
        assert [sizes(real)["val"] for real in folds] == [[3, 3]] * 3, "a quarter of what is not for the test"


def test_without_a_rule_nor_a_folder_validation_has_a_usual_share(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 20, "dog": 20})
    assert [sizes(real)["val"] for real in all_folds(root, rule=None)] == [[3, 3]] * 3
    assert [sizes(real)["val"] for real in all_folds(root, 2, rule=Rule(10, 1))] == [[5, 5]] * 2


def test_copies_are_in_one_fold_whatever_their_folder(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos", train=6, val=3, test=6, size=(64, 48))
    whole = image(7000, (64, 48))
    for split in SPLIT_FOLDERS:
        whole.save(root / split / "cat" / "copy.png" if split == "train" else root / split / "cat" / "copy.jpg")
    for real in all_folds(root):
        places = {split for split, listed in real.splits.items() for item in listed if item.path.stem == "copy"}
        assert len(places) == 1
        require_distinct(real, lambda samples: samples.digests)


def test_a_moved_image_keeps_its_fold_and_a_changed_set_is_refused(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 9})
    before = {sample.sha256 for sample in divided(root, 1).real.test}
    (root / "cat" / "000.png").rename(root / "cat" / "moved.png")
    assert {sample.sha256 for sample in divided(root, 1).real.test} == before
    image(9000).save(root / "cat" / "new.png")
    assert f"new: {root / 'cat' / 'new.png'}" in refusal(root)
    (root / "cat" / "new.png").unlink()
    (root / "dog" / "003.png").unlink()
    assert f"gone or changed: {root / 'dog' / '003.png'}" in refusal(root)


def test_another_rule_is_refused_and_another_number_of_folds_is_not(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 9})
    first = divided(root, 0)
    for change in ({"seed": 1}, {"val": 0.3}, {"near_duplicates": False}):
        message = refusal(root, rule=dataclasses.replace(RULE, **change))
        assert all(f"dataset.split.{key}: " in message for key in change)
    assert len(divided(root, 0, count=2).real.test) == 9
    assert divided(root, 0) == first


@pytest.mark.parametrize("damage", ["line", "rows", "rule"])
def test_a_damaged_record_is_named(tmp_path: Path, damage: str) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 9})
    divided(root, 0)
    file = tmp_path / "splits" / "folds3.csv"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if damage == "line":
        file.write_text("".join(lines).replace("cat", "cut", 1), encoding="utf-8")
    elif damage == "rows":
        file.write_text("".join(lines[:-1]), encoding="utf-8")
    else:
        file.with_suffix(".json").unlink()
    assert f"{file} is damaged" in refusal(root)


def test_a_lost_record_comes_back_for_the_same_images_alone(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 9})
    first, file = divided(root, 0), tmp_path / "splits" / "folds3.csv"
    file.unlink()
    assert divided(root, 0) == first
    file.unlink()
    image(9000).save(root / "cat" / "new.png")
    assert f"{file} is gone" in refusal(root)


def test_small_classes_are_refused_by_name_and_number(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 2, "fox": 1})
    (root / "dog" / "copy.png").write_bytes((root / "dog" / "000.png").read_bytes())
    message = refusal(root)
    assert "dog: too small: 3 images, of which copies stay together in 2 groups" in message
    assert "at most folds=2" in message
    assert "fox: too small: 1 image, and each fold needs one: add images of it, give no folds" in message
    assert not list((tmp_path / "splits").glob("folds*"))


def test_what_is_no_image_is_left_out_again(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 9})
    (root / "cat" / "broken.png").write_bytes(b"no image")
    assert "broken.png" in refusal(root)
    for _ in range(2):
        left = divided(root, 0, refuse=skip)
        assert [path.name for path in left.bad] == ["broken.png"]
    assert len(left.real.train) + len(left.real.val) + len(left.real.test) == 18
    assert "broken.png" in refusal(root)


def test_images_in_two_classes_are_refused_or_left_out(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "photos", {"cat": 9, "dog": 9})
    (root / "dog" / "cat.png").write_bytes((root / "cat" / "000.png").read_bytes())
    assert "in more than one class" in refusal(root)
    for _ in range(2):
        left = divided(root, 0, drop_conflicts=True)
        assert sorted(path.name for path in left.conflicts) == ["000.png", "cat.png"]
    assert "in more than one class" in refusal(root)

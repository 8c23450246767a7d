"""What a further test set is: which images it has, what it is refused for, when two are the same."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.arms.shifts import Corruptions, Folder, Shift, ShiftSet, Synthetic, absent_classes, require_unseen
from synthaug.data.samples import RealImages, Sample, scan
from synthaug.errors import UserError
from tests.factories.images import SPLIT_FOLDERS, image, sample, write_dataset


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealImages:
    return scan(write_dataset(tmp_path_factory.mktemp("data") / "photos"), SPLIT_FOLDERS)


def write(root: Path, **classes: list[int]) -> Path:
    """Images of these numbers by class."""
    for name, numbers in classes.items():
        (root / name).mkdir(parents=True)
        for number in numbers:
            image(number).save(root / name / f"{number}.png")
    return root


def none(_: int) -> list[Sample]:
    raise AssertionError("no synthetic image is asked for")


def test_a_folder_has_the_classes_of_the_dataset(tmp_path: Path, real: RealImages) -> None:
    root = write(tmp_path / "other", dog=[100, 101], cat=[102])
    (item,) = Folder(str(root)).sets("other", real, none)
    assert [(s.class_name, s.label, s.origin) for s in item.samples] == [
        ("cat", 0, "real"),
        ("dog", 1, "real"),
        ("dog", 1, "real"),
    ]
    assert (item.name, item.origin, item.corruption, item.paired_with) == (
        "other",
        "real",
        None,
        None,
    )
    assert absent_classes(item, real.classes) == []


def test_a_folder_may_have_some_of_the_classes(tmp_path: Path, real: RealImages) -> None:
    (item,) = Folder(str(write(tmp_path / "other", dog=[100]))).sets("other", real, none)
    assert [s.label for s in item.samples] == [1]
    assert absent_classes(item, real.classes) == ["cat"]


@pytest.mark.parametrize(
    ("classes", "problem"),
    [({"cat": [100], "fox": [101]}, "fox/"), ({"fox": [101]}, "cat, dog"), ({"cat": [100], "dog": []}, "dog/")],
)
def test_a_folder_of_other_classes_is_refused(
    classes: dict[str, list[int]], problem: str, tmp_path: Path, real: RealImages
) -> None:
    root = write(tmp_path / "other", **classes)
    with pytest.raises(UserError) as error:
        Folder(str(root)).sets("dusk", real, none)
    headline, line = str(error.value).splitlines()
    assert f"shift.dusk.root={root}" in headline
    assert problem in line


def test_a_folder_that_is_not_there_and_an_origin_that_is_none_are_refused(tmp_path: Path, real: RealImages) -> None:
    with pytest.raises(UserError, match=r"shift.dusk.root=.*: there is no folder|there is no folder .*: give one that"):
        Folder(str(tmp_path / "no")).sets("dusk", real, none)
    with pytest.raises(UserError, match="its origin=painted: must be real or synthetic"):
        Folder(str(tmp_path), origin="painted").sets("dusk", real, none)


def test_a_folder_is_the_same_wherever_it_lies_and_another_with_other_images(tmp_path: Path, real: RealImages) -> None:
    left, right = (write(tmp_path / name, cat=[100], dog=[101]) for name in ("here", "there"))
    first, same = (Folder(str(root)).sets("other", real, none)[0] for root in (left, right))
    assert (first.settings, first.digest) == (same.settings, same.digest)
    image(102).save(right / "dog" / "102.png")
    (grown,) = Folder(str(right)).sets("other", real, none)
    assert grown.settings != first.settings
    assert grown.digest != first.digest


def test_a_folder_of_synthetic_images_is_another_set(
    tmp_path: Path, real: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "other", cat=[100], dog=[101])
    (of_real,) = Folder("~/other").sets("other", real, none)
    (synthetic,) = Folder("~/other", origin="synthetic").sets("other", real, none)
    assert synthetic.origin == "synthetic"
    assert {sample.origin for sample in synthetic.samples} == {"synthetic"}
    assert synthetic.digest != of_real.digest


def test_corruptions_are_of_the_test_images_one_set_for_each_severity(real: RealImages) -> None:
    severities: dict[Any, Any] = {1: {"sigma": 0.1}, 3: {"sigma": 0.3}, "mild": None}
    noise = Corruptions("v2.GaussianNoise", severities, pixels="float32")
    sets = noise.sets("noise", real, none)
    assert [item.name for item in sets] == noise.names("noise") == ["noise-1", "noise-3", "noise-mild"]
    assert all(item.samples == real.test and item.paired_with == "test" for item in sets)
    assert [dict(item.corruption.arguments) for item in sets if item.corruption] == [
        {"sigma": 0.1},
        {"sigma": 0.3},
        {},
    ]
    assert len({item.digest for item in sets}) == 3, "the same images, corrupted otherwise"


def test_a_corruption_is_the_same_by_its_settings_whatever_it_is_called(real: RealImages) -> None:
    def digest(name: str, **changed: Any) -> str:
        arguments = {"transform": "v2.Blur", "severities": {"1": {"sigma": 1}}, "pixels": "uint8"} | changed
        return Corruptions(**arguments).sets(name, real, none)[0].digest

    assert digest("blur") == digest("other name")
    for changed in ({"transform": "v2.Noise"}, {"severities": {"1": {"sigma": 2}}}, {"pixels": "float32"}):
        assert digest("blur", **changed) != digest("blur")


@pytest.mark.parametrize(
    ("shift", "problem"),
    [
        (Corruptions("v2.Blur", {"1": {}}, pixels="int8"), "shift.mine.pixels=int8: must be uint8 or float32."),
        (Synthetic(per_class=0), "shift.mine.per_class=0: must be at least 1."),
    ],
)
def test_values_that_cannot_be_are_refused(shift: Shift, problem: str, real: RealImages) -> None:
    with pytest.raises(UserError) as error:
        shift.sets("mine", real, none)
    assert str(error.value) == problem


def test_synthetic_images_are_those_held_out(real: RealImages) -> None:
    (item,) = Synthetic(per_class=2).sets("held", real, lambda count: [sample(count, origin="synthetic")] * count)
    assert (len(item.samples), item.origin, item.settings) == (
        2,
        "synthetic",
        {"kind": "synthetic", "per_class": 2},
    )


@given(st.permutations(range(6)))
def test_the_order_of_images_and_settings_does_not_matter_to_the_digest(order: list[int]) -> None:
    samples = [sample(number) for number in range(6)]
    first = ShiftSet("a", [samples[place] for place in order], {"kind": "folder", "origin": "real"})
    assert first.digest == ShiftSet("b", samples, {"origin": "real", "kind": "folder"}).digest


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_that_training_knows_is_refused_with_where_it_is(split: str, real: RealImages) -> None:
    """By the content of its pixels: a copy may be saved in another format."""
    seen = real.splits[split][0]
    copy = Sample(Path("other/cat/copy.bmp"), 0, "cat", "real", "f" * 64)
    fine = Sample(Path("other/cat/fine.bmp"), 0, "cat", "real", "e" * 64)
    with pytest.raises(UserError) as error:
        require_unseen(
            ShiftSet("dusk", [copy, fine], {}), real, {}, lambda key: seen.sha256 if key == copy.sha256 else key
        )
    assert str(error.value) == (
        "shift.dusk: 1 image was trained on, or chose the checkpoint:\n"
        f"  - {copy.path}  =  {split}: {seen.path}\n"
        "Remove them from the test set; then run the same command again."
    )


def test_a_synthetic_image_that_the_arm_trains_on_is_refused(real: RealImages) -> None:
    trained = sample(1, origin="synthetic")
    with pytest.raises(UserError, match=r"synthetic/cat/0001.png  =  trained/1.png"):
        require_unseen(ShiftSet("held", [trained], {}), real, {trained.sha256: "trained/1.png"}, str)


def test_an_image_in_two_classes_is_refused_and_one_of_the_test_is_not(real: RealImages) -> None:
    cat, dog = sample(1, "cat", 0), sample(2, "dog", 1)
    with pytest.raises(UserError, match=r"1 image is in more than one class:\n  - cat: .*0001.png  =  dog: .*0002.png"):
        require_unseen(ShiftSet("dusk", [cat, dog], {}), real, {}, lambda key: key if len(key) < 64 else "same")
    require_unseen(ShiftSet("dusk", real.test, {}), real, {}, str)


def test_corrupted_test_images_were_refused_before_if_at_all(real: RealImages) -> None:
    (item,) = Corruptions("v2.Blur", {"1": {}}).sets("blur", real, none)
    require_unseen(item, real, {real.test[0].sha256: "trained"}, lambda _: "same")

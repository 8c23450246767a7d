"""From settings to the images of an arm: what is stored, said, left out and refused on the way."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from synthaug.arms import build as arms
from synthaug.data import fingerprints
from synthaug.data.augment import DRAWS, Augmentation, training_view
from synthaug.data.samples import SYNTHETIC, digest, per_class, scan
from synthaug.errors import UserError
from synthaug.generation.synthetic_set import SyntheticSet
from tests.factories.commands import Painter, build_arm, settings
from tests.factories.images import SPLIT_FOLDERS, image, write_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", train=10)


def dataset(root: Path, scale: float = 1.0, **changed: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = settings(root, root.parent)["dataset"]
    return {**arguments, "augment": {"scale": [scale, 1.0]}, **changed}


def read(root: Path, **changed: Any) -> arms.RealData:
    return arms.read_real(dataset(root, **changed), root.parent / "outputs")


@pytest.mark.parametrize(
    ("image_size", "crop_pct", "scale", "short_side"),
    [
        (224, 0.875, 1.0, 256),  # evaluation asks for most
        (224, 0.875, 0.25, 448),  # a crop of half the side
        (64, 0.875, 0.25, 128),
        (224, 0.875, 0.01, 512),  # twice what evaluation needs at most
        (32, 1.0, 0.8, 36),  # digits
    ],
)
def test_the_store_has_the_pixels_of_the_smallest_crop(
    root: Path, image_size: int, crop_pct: float, scale: float, short_side: int
) -> None:
    assert read(root, image_size=image_size, crop_pct=crop_pct, scale=scale).store.short_side == short_side


def test_an_arms_own_augmentation_asks_for_no_store_of_its_own(root: Path) -> None:
    job = settings(root, root.parent, 1.0, 0.0)
    augmented = {**job, "mix": {**job["mix"], "augment": {"scale": [0.1, 1.0]}}}
    plain, strong = build_arm(job), build_arm(augmented)
    assert strong.store.folder == plain.store.folder
    assert strong.digests == plain.digests


def test_a_small_crop_keeps_its_detail(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    sharp = Image.fromarray(noise).resize((192, 192), Image.Resampling.BICUBIC)
    sharp.save(root / "train/cat/sharp.png")
    data = read(root, image_size=48, crop_pct=0.875, scale=0.25)
    (sharp_sample,) = (s for s in data.real.train if s.path.name == "sharp.png")
    pixels, sizes = (torch.from_numpy(array) for array in data.store.batch([sharp_sample.sha256]))
    middle = torch.full((1, len(DRAWS)), 0.5)
    view = training_view(pixels, sizes, middle, 48, Augmentation((0.25, 0.25)), supersample=2)[0]
    ideal = np.asarray(sharp.resize((48, 48), Image.Resampling.BICUBIC, box=(48, 48, 144, 144))) / 255
    shown = view.permute(1, 2, 0).numpy()
    assert shown.std() > 0.65 * ideal.std()
    assert np.corrcoef(shown.ravel(), ideal.ravel())[0, 1] > 0.95


def test_synthetic_images_in_two_classes_are_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Blind(Painter):
        """Makes the same picture for every class."""

        def sample(
            self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
        ) -> list[Image.Image | str]:
            return super().sample(["a picture"] * len(prompts), list(range(len(seeds))))

    job = settings(root, root.parent, 0.5, 0.5)
    build_arm(job)
    assert "more than one class" not in caplog.text
    synthetic = SyntheticSet(root.parent / "blind", Blind())
    arms.build(arms.read_real(job["dataset"], root.parent / "outputs"), job["mix"], 0, synthetic)
    assert "more than one class" in caplog.text


def test_files_that_are_left_out_are_named_with_their_reasons(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train/cat/notes.txt").write_text("no image")
    (root / "val/dog/empty.png").touch()
    with pytest.raises(UserError, match="2 files are not whole images:"):
        read(root)
    with caplog.at_level(logging.WARNING):
        data = read(root, on_bad_image="skip")
    assert data.left_out == 2
    (message,) = caplog.messages
    assert message.splitlines() == [
        "2 files: left out, since they are not whole images:",
        f"  - {root / 'train/cat/notes.txt'}: not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF image",
        f"  - {root / 'val/dog/empty.png'}: the file is empty (0 bytes)",
    ]


@pytest.mark.parametrize("drawn", [False, True])
def test_images_with_two_labels_are_refused_or_dropped_and_counted(
    root: Path, drawn: bool, caplog: pytest.LogCaptureFixture
) -> None:
    where: dict[str, Any] = {"root": root}
    if drawn:
        where = {"root": root / "train", "split": {"val": 0.3, "test": 0.3, "seed": 0, "near_duplicates": True}}
    cat = root / "train/cat/000.png"
    dog = root / ("train" if drawn else "test") / "dog/copy.bmp"
    with Image.open(cat) as opened:
        opened.save(dog)
    with pytest.raises(UserError, match=r"in more than one class(?s:.)*dataset\.on_label_conflict=drop"):
        read(**where)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            data = read(**where, on_label_conflict="drop")
        assert data.conflicts == 2
        assert data.left_out == 0
        assert not {cat, dog} & {sample.path for samples in data.real.splits.values() for sample in samples}
        assert sum(str(cat) in text and str(dog) in text for text in caplog.messages) == 1


def test_what_a_split_leaves_out_is_named_and_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    rule = {"val": 0.3, "test": 0.3, "seed": 0, "near_duplicates": True}
    flat = root / "train"
    first = read(flat, split=rule)
    (flat / "cat/notes.txt").write_text("no image")
    shown = first.real.test[0].path
    with Image.open(shown) as opened:
        opened.save(shown.with_name("again.bmp"))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        data = read(flat, split=rule, on_bad_image="skip")
    assert data.left_out == 1
    assert data.scanned == first.scanned
    assert [message.splitlines() for message in caplog.messages] == [
        [
            "1 file: left out, since they are not whole images:",
            f"  - {flat / 'cat/notes.txt'}: not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF image",
        ],
        [
            "1 image is a near duplicate of validation or test images and left out:",
            f"  - {shown.with_name('again.bmp')}",
        ],
    ]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_repeats_within_a_class_are_named(root: Path, split: str, caplog: pytest.LogCaptureFixture) -> None:
    first = root / split / "cat/000.png"
    for number in range(5):
        with Image.open(first) as original:
            original.save(first.with_name(f"again{number}.bmp"))
    with caplog.at_level(logging.WARNING):
        read(root)
    (message,) = caplog.messages
    assert message.startswith(f"{split}: 5 images repeat another one of its class:\n  - {first}  =  ")
    assert message.endswith("  … and 2 more")


def test_what_was_scanned_is_known_whatever_is_left_out(root: Path) -> None:
    before = read(root)
    assert set(before.scanned) == {"train", "val", "test"}
    (root / "val/dog/empty.png").touch()
    after = read(root, on_bad_image="skip")
    assert after.real.val == before.real.val
    assert after.scanned == {split: digest(samples) for split, samples in scan(root, SPLIT_FOLDERS).splits.items()}
    assert {split for split in before.scanned if before.scanned[split] != after.scanned[split]} == {"val"}


def test_an_arm_has_what_was_scanned_and_is_not_failed_by_another(root: Path, tmp_path: Path) -> None:
    data = read(root)
    synthetic = SyntheticSet(tmp_path / "synthetic", Painter())
    mix = {"real": 0.5, "synthetic": 0.5}
    with pytest.raises(UserError, match="comes to 0 training images in 2 classes"):
        arms.build(data, {"real": 0.01, "synthetic": 0.99}, 0, synthetic)
    siblings = [{"real": 0.01 * (i == 0), "synthetic": amount} for i, amount in enumerate((0.99, 0.01, 0.7))]
    arm = arms.build(data, mix, 0, synthetic, siblings=siblings)
    assert arm.scanned == data.scanned
    assert (arm.counts["real"], arm.counts["synthetic"]) == (10, 10)
    assert [len(list((tmp_path / "synthetic" / name).glob("*.png"))) for name in ("cat", "dog")] == [10, 10]


def test_the_images_of_smaller_mixes_are_made_first_and_told_of(root: Path, tmp_path: Path) -> None:
    data, told = read(root), list[tuple[list[int], list[int]]]()

    def build(name: str, announce: Any, *amounts: float) -> arms.Arm:
        siblings = [{"real": 1 - amount, "synthetic": amount} for amount in amounts]
        return arms.build(data, mix, 0, SyntheticSet(tmp_path / name, Painter()), siblings, announce=announce)

    def announce(at_hand: Any) -> None:
        files = [len(list((tmp_path / "told" / name).glob("*.png"))) for name in ("cat", "dog")]
        told.append(([at_hand["cat"], at_hand["dog"]], files))

    mix = {"real": 0.5, "synthetic": 0.5}
    arm = build("told", announce, 0.7, 0.2, 0.5, 0.7)
    assert told == [([count] * 2, [made] * 2) for count, made in [(2, 2), (5, 5), (7, 7), (5, 7)]]
    assert arm.digests == build("at once", None, 0.7, 0.2).digests
    told.clear()
    build("told", announce, 0.7)
    assert told == [([5, 5], [7, 7])], "nothing is made"


def test_a_run_records_the_screening_of_its_own_images(root: Path, tmp_path: Path) -> None:
    data, few, many = read(root), {"real": 0.5, "synthetic": 0.5}, {"real": 0.2, "synthetic": 0.8}
    job = {**settings(root, tmp_path), "screening": {"test_copies": "stop"}}

    def record(name: str, *mixes: dict[str, float]) -> Any:
        for mix in mixes:
            source = SyntheticSet(tmp_path / name, Painter())
            synthetic = arms.screened_images(source, job, data.real, data.store)
            arm = arms.build(data, mix, 0, synthetic)
        assert arm.screening
        return arm.screening["classes"]

    alone = record("alone", few)
    assert alone == record("after a larger one", many, few)
    assert alone != record("after a larger one", many)


def test_classes_are_filled_beside_few_real_images(root: Path, tmp_path: Path) -> None:
    data = read(root)
    synthetic = SyntheticSet(tmp_path / "synthetic", Painter())
    filled = {"real": 1, "synthetic": 0, "fill": {"cat": 13}}
    few = {"real": 1, "synthetic": 0, "real_per_class": 3}
    arm = arms.build(data, few, 0, synthetic, siblings=[filled])
    assert arm.counts["per_class"] == {name: {"real": 3, "synthetic": 0} for name in ("cat", "dog")}
    arm = arms.build(data, filled, 0, synthetic)
    assert arm.counts["per_class"] == {"cat": {"real": 10, "synthetic": 3}, "dog": {"real": 10, "synthetic": 0}}
    assert len(list((tmp_path / "synthetic").rglob("*.png"))) == 3
    both = arms.build(data, {**few, "fill": "largest"}, 0, synthetic, siblings=[filled, few])
    assert both.counts["per_class"] == {name: {"real": 3, "synthetic": 7} for name in ("cat", "dog")}
    assert both.scanned == arm.scanned


def test_a_synthetic_image_that_was_replaced_is_made_anew(root: Path, tmp_path: Path) -> None:
    data = read(root)
    synthetic = SyntheticSet(tmp_path / "synthetic", Painter())
    mix = {"real": 0.5, "synthetic": 0.5}
    synthetic.ensure({"cat": 5, "dog": 5})
    replaced = synthetic.samples(["cat", "dog"])[0].path
    content = replaced.read_bytes()
    replaced.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match=r"its content is not what was listed \(sha256 .*(?s:.)*generated anew"):
        arms.build(data, mix, 0, synthetic)
    replaced.unlink()
    arms.build(data, mix, 0, synthetic)
    assert replaced.read_bytes() == content


def test_generation_is_checked_where_images_are_missing_and_only_there(root: Path, tmp_path: Path) -> None:
    data = read(root)
    synthetic = SyntheticSet(tmp_path / "synthetic", Painter())

    def stop() -> None:
        raise UserError("not now")

    with pytest.raises(UserError, match="not now"):
        arms.build(data, {"real": 0.5, "synthetic": 0.5}, 0, synthetic, check=stop)
    assert not list((tmp_path / "synthetic").rglob("*.png"))
    made = arms.build(data, {"real": 0.5, "synthetic": 0.5}, 0, synthetic)
    assert arms.build(data, {"real": 0.5, "synthetic": 0.5}, 0, synthetic, check=stop).train == made.train


def test_an_arm_counts_and_hashes_each_of_its_lists(root: Path, tmp_path: Path) -> None:
    (root / "train/cat/notes.txt").write_text("no image")
    data = read(root, on_bad_image="skip")
    arm = arms.build(data, {"real": 0.4, "synthetic": 0.2}, 0, SyntheticSet(tmp_path / "synthetic", Painter()))
    assert arm.counts == {
        "real": 8, "synthetic": 4, "per_class": {name: {"real": 4, "synthetic": 2} for name in ("cat", "dog")},
        "val": len(data.real.val), "test": len(data.real.test), "left_out": 1,
    }  # fmt: skip
    assert len(data.real.val) != len(data.real.test)
    lists = {"train": arm.train, "val": data.real.val, "test": data.real.test}
    lists["synthetic"] = [sample for sample in arm.train if sample.origin == SYNTHETIC]
    assert arm.digests == {name: digest(samples) for name, samples in lists.items()}


def test_near_duplicates_in_the_test_are_clusters_and_compared_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Image.open(root / "test" / "cat" / "001.png") as opened:
        large = opened.resize((200, 160))
    large.save(root / "test" / "dog" / "a.jpg")
    ImageOps.mirror(large).save(root / "test" / "cat" / "b.png")
    arm = build_arm(settings(root, root.parent, 1.0, 0.0))
    names = [f"{sample.class_name}/{sample.path.name}" for sample in arm.real.test]
    original = names.index("cat/001.png")
    copied = {"cat/b.png", "dog/a.jpg"}
    expected = [original if name in copied else number for number, name in enumerate(names)]
    assert arm.clusters == expected
    monkeypatch.setattr(fingerprints, "groups", None)
    assert build_arm(settings(root, root.parent, 0.5, 0.0)).clusters == expected
    monkeypatch.undo()
    (kept,) = root.parent.glob(f"pixels/*/*/{arms.CLUSTERS}")
    kept.write_text("{", encoding="utf-8")
    assert build_arm(settings(root, root.parent, 0.5, 0.0)).clusters == expected


def test_a_class_that_loses_all_images_of_a_split_is_refused(root: Path) -> None:
    for path in (root / "val/dog").iterdir():
        path.write_text("no image")
    with pytest.raises(UserError, match="val: no whole image of dog is left"):
        read(root, on_bad_image="skip")


# --- classes with few images ---------------------------------------------------------------------------


def test_training_images_alone_are_made_few_and_what_is_real_is_recorded(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = read(root)
    with caplog.at_level(logging.INFO):
        data = read(root, class_counts={"dog": 3})
    assert "13 of 20 training images are kept (cat: 10, dog: 3)" in caplog.text
    assert [len(listed) for listed in per_class(data.real.train, data.real.classes).values()] == [10, 3]
    assert (data.real.val, data.real.test) == (before.real.val, before.real.test)
    assert {split for split in data.scanned if data.scanned[split] != before.scanned[split]} == {"train"}
    tail = read(root, imbalance=0.2).real.train
    assert [len(listed) for listed in per_class(tail, data.real.classes).values()] == [10, 2]
    assert set(tail) < set(data.real.train)
    with pytest.raises(UserError, match="dog: 11 of 10 training images"):
        read(root, class_counts={"dog": 11})


def test_few_images_are_drawn_after_the_split(root: Path) -> None:
    rule = {"val": 0.3, "test": 0.3, "seed": 0, "near_duplicates": True}
    before, data = (read(root / "train", split=rule, **few) for few in ({}, {"class_counts": {"cat": 1}}))
    assert (data.real.val, data.real.test) == (before.real.val, before.real.test)
    assert len(per_class(data.real.train, data.real.classes)["cat"]) == 1


# --- further real images -------------------------------------------------------------------------------


def write_more(root: Path, counts: dict[str, int]) -> None:
    for label, (name, count) in enumerate(counts.items()):
        (root / "more" / name).mkdir(parents=True)
        for number in range(count):
            image(5000 + 100 * label + number).save(root / "more" / name / f"{number:03d}.png")


def build(root: Path, real: float, seed: int = 0) -> arms.Arm:
    data = read(root, more="more")
    none = SyntheticSet(root.parent / "synthetic", Painter())
    return arms.build(data, {"real": real, "synthetic": 0}, seed, none)


def test_an_arm_may_have_further_real_images(root: Path) -> None:
    write_more(root, {"cat": 12, "dog": 10})
    arm = build(root, 2)
    assert arm.counts["per_class"] == {name: {"real": 20, "synthetic": 0} for name in ("cat", "dog")}
    assert (arm.counts["real"], arm.counts["synthetic"]) == (40, 0)
    assert set(arm.real.train) < set(arm.train)
    assert {s.path.parent.parent.name for s in arm.train} == {"train", "more"}
    assert set(build(root, 1.5).train) < set(arm.train)
    assert set(arm.scanned) == {"train", "val", "test", "more"}
    pixels, _ = arm.store.batch([sample.sha256 for sample in arm.train])
    assert len(pixels) == 40


def test_further_images_change_nothing_for_the_others(root: Path) -> None:
    before = arms.build(read(root), {"real": 0.5, "synthetic": 0}, 0, SyntheticSet(root.parent / "s", Painter()))
    write_more(root, {"cat": 12, "dog": 10})
    after = build(root, 0.5)
    assert (after.train, after.digests, after.counts) == (before.train, before.digests, before.counts)
    assert read(root).scanned == before.scanned  # a folder that nobody asked for is not looked at


def test_further_images_that_are_in_a_split_are_refused(root: Path) -> None:
    write_more(root, {"cat": 3, "dog": 3})
    shown = root / "test/cat/000.png"
    with Image.open(shown) as opened:
        opened.save(root / "more/cat/again.bmp")
    with pytest.raises(UserError, match="1 image is in more than one split") as caught:
        read(root, more="more")
    assert f"test: {shown}  =  more: {root / 'more/cat/again.bmp'}" in str(caught.value)


def test_a_folder_of_further_images_that_cannot_be_used(root: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(root, more="more")
    assert str(caught.value) == (
        f"dataset.more=more cannot be used:\n  - there is no folder {root / 'more'}: give one that exists, with a "
        "folder per class, or leave it out"
    )
    write_more(root, {"cat": 3, "cow": 3})
    with pytest.raises(UserError) as caught:
        read(root, more="more")
    assert str(caught.value) == (
        f"dataset.more=more cannot be used:\n  - {root / 'more'} has classes that dataset.train has not: cow; rename "
        "or remove them, or add them to dataset.train"
    )


def test_a_class_without_further_images_is_named_where_some_are_asked_for(root: Path) -> None:
    write_more(root, {"cat": 12})
    assert len(build(root, 1).train) == 20
    with pytest.raises(UserError, match="dog: 20 of 10 training images and 0 further ones"):
        build(root, 2)


def test_further_files_that_are_no_images_are_named_or_left_out(root: Path) -> None:
    write_more(root, {"cat": 10, "dog": 10})
    (root / "more/cat/notes.txt").write_text("no image")
    with pytest.raises(UserError, match="1 file is not a whole image"):
        read(root, more="more")
    assert len(read(root, more="more", on_bad_image="skip").real.more) == 20

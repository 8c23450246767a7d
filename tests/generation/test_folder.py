"""A pool of images made elsewhere: its classes, what is left out of it, and what a mix takes from it."""

import logging
import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synthaug.arms import build as arms
from synthaug.data.samples import SYNTHETIC
from synthaug.errors import UserError
from synthaug.generation.folder import FolderGenerator, FolderPool
from tests.factories.images import image, write_dataset

NONE: dict[str, Any] = {"name": "default", "templates": [], "settings": {}, "names": {}, "lists": {}, "file": None}
DATASET: dict[str, Any] = {
    "name": "photos", "train": "train", "val": "val", "test": "test", "prepare": None, "split": None,
    "image_size": 16, "crop_pct": 1.0, "on_bad_image": "stop", "augment": {"scale": [1.0, 1.0]},
}  # fmt: skip


def write_pool(root: Path, **classes: int) -> Path:
    for number, (name, count) in enumerate(classes.items()):
        for index in range(count):
            path = root / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image(10_000 + 1000 * number + index, (16, 16)).save(path)
    return root


def pool(root: Path, tmp_path: Path, partial: bool = False) -> FolderPool:
    return FolderPool(tmp_path / "kept", FolderGenerator(str(root), partial))


def test_a_pool_is_taken_as_it_is(tmp_path: Path) -> None:
    images = pool(write_pool(tmp_path / "pool", cat=3, dog=2), tmp_path)
    images.check({"cat": 3, "dog": 1})
    assert images.ensure({"cat": 3, "dog": 1}) == images.count_missing({"cat": 3, "dog": 1}) == 0
    samples = images.samples(["dog", "cat"])
    assert [(s.class_name, s.label, s.path.name) for s in samples] == [
        ("dog", 0, "0.png"), ("dog", 0, "1.png"), ("cat", 1, "0.png"), ("cat", 1, "1.png"), ("cat", 1, "2.png")
    ]  # fmt: skip
    assert {(s.origin, s.order) for s in samples} == {(SYNTHETIC, None)}
    assert images.available({"cat": 2, "dog": 2}) == {"cat": 2, "dog": 2}


def test_flat_damaged_and_repeated_images_are_rejected_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_pool(tmp_path / "pool", cat=2, dog=2)
    Image.new("RGB", (512, 512)).save(root / "cat" / "black.png")
    (root / "dog" / "cut.png").write_bytes((root / "dog" / "0.png").read_bytes()[:-40])
    (root / "dog" / "again.png").write_bytes((root / "dog" / "0.png").read_bytes())
    (root / "dog" / ".hidden.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert len(pool(root, tmp_path).samples(["cat", "dog"])) == 4
    (message,) = caplog.messages
    assert re.findall(r"2 images|black.png|cut.png", message) == ["2 images", "black.png", "cut.png"]
    caplog.clear()
    image(1, (16, 16)).save(root / "cat" / "new.png")
    with caplog.at_level(logging.WARNING):
        assert len(pool(root, tmp_path).samples(["cat", "dog"])) == 5
    assert not caplog.messages
    assert (tmp_path / "kept" / "screened.csv").read_text().count("flat") == 1


def test_verdicts_that_are_damaged_are_reached_again(tmp_path: Path) -> None:
    root = write_pool(tmp_path / "pool", cat=2)
    Image.new("RGB", (32, 32)).save(root / "cat" / "flat.png")
    assert len(pool(root, tmp_path).samples(["cat"])) == 2
    screened = tmp_path / "kept" / "screened.csv"
    text = screened.read_text(encoding="utf-8")
    for damaged in (text[:-15], re.sub(",[^,]*flat[^,]*,", ",,", text), ""):
        screened.write_text(damaged, encoding="utf-8")
        assert len(pool(root, tmp_path).samples(["cat"])) == 2
        assert screened.read_text(encoding="utf-8") == text


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"generator.root={tmp_path / 'no'}: "):
        pool(tmp_path / "no", tmp_path).check({"cat": 1})


def test_none_of_the_classes(tmp_path: Path) -> None:
    root = write_pool(tmp_path / "pool", train=1)
    for partial in (False, True):
        with pytest.raises(UserError, match=r"generator.root=.*\(cat, dog\), but train: "):
            pool(root, tmp_path, partial).check({"cat": 1, "dog": 1})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="but no folders at all"):
        pool(tmp_path / "empty", tmp_path).check({"cat": 1})


def test_classes_that_differ_are_accepted_only_on_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_pool(tmp_path / "pool", cat=2, dogs=2, owl=1)
    wanted = {"cat": 2, "dog": 1}
    with pytest.raises(UserError) as caught:
        pool(root, tmp_path).check(wanted)
    headline, *differences, remedy = str(caught.value).splitlines()
    assert f"generator.root={root}" in headline
    assert [line.partition(":")[0] for line in differences] == ["  - dog", "  - dogs", "  - owl"]
    assert "'dogs'" in differences[0]
    assert "generator.partial=true" in remedy
    some = pool(root, tmp_path, partial=True)
    some.check(wanted)
    with caplog.at_level(logging.WARNING):
        assert some.available(wanted) == {"cat": 2, "dog": 0}
    assert "\n  - dog: 0 of 1" in caplog.text
    assert {sample.class_name for sample in some.samples(["cat", "dog"])} == {"cat"}


def test_too_few_images(tmp_path: Path) -> None:
    root = write_pool(tmp_path / "pool", cat=2, dog=3)
    with pytest.raises(UserError, match=r"generator.root=.* 1 class:\n  - cat: 2 of 3\n.*generator.partial=true"):
        pool(root, tmp_path).check({"cat": 3, "dog": 3})
    assert pool(root, tmp_path, partial=True).available({"cat": 3, "dog": 3}) == {"cat": 2, "dog": 3}


# --- in an arm -------------------------------------------------------------------------------------


def build(tmp_path: Path, root: Path, mix: dict[str, float], seed: int = 0, **options: Any) -> arms.Arm:
    data = arms.read_real({**DATASET, "root": str(tmp_path / "photos")}, tmp_path / "outputs")
    settings = {"output_dir": str(tmp_path / "outputs"), "prompts": NONE, "generator": {}}
    synthetic = arms.synthetic_images(settings, "photos", "pool", FolderGenerator(str(root), **options))
    return arms.build(data, mix, seed, synthetic, siblings=[{"real": 0.0, "synthetic": 100.0}])


def test_a_mix_draws_from_the_pool_by_its_seed(tmp_path: Path) -> None:
    write_dataset(tmp_path / "photos", train=10)
    root = write_pool(tmp_path / "pool", cat=9, dog=9)
    drawn = [build(tmp_path, root, {"real": 0.5, "synthetic": 0.5}, seed) for seed in (0, 0, 1)]
    assert [arm.counts["synthetic"] for arm in drawn] == [10, 10, 10]
    assert drawn[0].train == drawn[1].train != drawn[2].train


def test_a_partial_pool_gives_what_it_has(tmp_path: Path) -> None:
    write_dataset(tmp_path / "photos", train=10)
    root = write_pool(tmp_path / "pool", cat=3)
    arm = build(tmp_path, root, {"real": 0.5, "synthetic": 0.5}, partial=True)
    assert arm.counts["per_class"] == {"cat": {"real": 5, "synthetic": 3}, "dog": {"real": 5, "synthetic": 0}}
    with pytest.raises(UserError, match="no synthetic images of dog"):
        build(tmp_path, root, {"real": 0.0, "synthetic": 0.2}, partial=True)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_photograph_of_the_dataset_in_the_pool_is_refused(tmp_path: Path, split: str) -> None:
    write_dataset(tmp_path / "photos", train=2)
    root = write_pool(tmp_path / "pool", cat=0, dog=2)
    photograph = next((tmp_path / "photos" / split / "cat").iterdir())
    (root / "cat").mkdir(parents=True)
    for number in range(2):  # a copy of the file, and one with other bytes
        with Image.open(photograph) as opened:
            opened.save(root / "cat" / f"{number}.png", compress_level=number)
    with pytest.raises(UserError, match=rf"2 synthetic images are real ones:\n.*0.png  =  {split}: "):
        build(tmp_path, root, {"real": 0.0, "synthetic": 1.0})


def test_prompts_for_a_pool_are_refused(tmp_path: Path) -> None:
    settings = {
        "output_dir": str(tmp_path),
        "prompts": {**NONE, "name": "clip", "templates": ["{class_name}"]},
        "generator": {},
    }
    with pytest.raises(UserError, match=r"prompts=clip: .*generator.root=pool"):
        arms.synthetic_images(settings, "photos", "pool", FolderGenerator("pool"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_cannot_be_written_down_are_refused_at_once(tmp_path: Path) -> None:
    root = write_pool(tmp_path / "pool", cat=3, dog=3)
    (root / "dog" / "0.png").rename(root / "dog" / os.fsdecode(b"caf\xe9.png"))
    with pytest.raises(UserError, match=r"1 file with names that are not valid Unicode.*caf\\udce9\.png") as caught:
        pool(root, tmp_path).check({"cat": 1, "dog": 1})
    str(caught.value).encode()


def test_a_pool_of_another_unicode_form_with_litter_and_a_dangling_link(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFC", "Zürich")
    root = write_pool(tmp_path / "pool", **{unicodedata.normalize("NFD", name): 3, "dog": 2, "__MACOSX": 1})
    (root / "@eaDir").mkdir()
    (root / "dog" / "gone.png").symlink_to("/nowhere.png")
    (root / "dog" / "0.png:Zone.Identifier").write_text("[ZoneTransfer]")
    images = pool(root, tmp_path)
    images.check({name: 3, "dog": 2})
    assert images.available({name: 9, "dog": 9}) == {name: 3, "dog": 2}


def test_a_pool_has_no_draws() -> None:
    settings = {"output_dir": "outputs", "prompts": NONE, "generator": {"draw": 1}}
    with pytest.raises(UserError, match=r"generator\.draw=1"):
        arms.synthetic_images(settings, "photos", "pool", FolderGenerator("pool"))

"""Photographs selected from lists in the form of Open Images, made up, from a server on this machine."""

import contextlib
import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthaug.data import fingerprints
from synthaug.data.decoding import decode
from synthaug.data.samples import SPLITS, scan
from synthaug.data.sources import download, open_images
from synthaug.data.sources.open_images import ATTRIBUTION, upright, write_open_images
from synthaug.errors import UserError
from synthaug.files import read_json
from tests.factories.images import image
from tests.factories.open_images_files import OpenImages
from tests.factories.servers import serve

CLASSES = {"bear": ["Bear", "Brown bear"], "dog": ["Dog"]}


def select(published: OpenImages, root: Path, **changed: Any) -> None:
    arguments: dict[str, Any] = {"classes": CLASSES, "train": 4, "val": 2, "test": 3, "threads": 3, **changed}
    write_open_images(root, **arguments | published.addresses)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenImages]:
    """Eight photographs of each class that may be taken."""
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    (tmp_path / "web").mkdir()
    with serve(tmp_path / "web") as server:
        built = OpenImages(server)
        for number in range(8):
            built.add(f"bear{number}", (("Bear", "Brown bear")[number % 2], 0.5, ""), ("Car", 1.0, "group"))
            built.add(f"dog{number}", ("Dog", 0.01, ""), ("Dog", 0.4, "occluded"))
        built.publish()
        yield built


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "animals"


def photographs_in(root: Path) -> dict[str, list[str]]:
    """Split → names of its photographs."""
    return {split: sorted(path.stem for path in (root / split).rglob("*.jpg")) for split in SPLITS}


def refusal(published: OpenImages, root: Path, **changed: Any) -> str:
    with pytest.raises(UserError) as caught:
        select(published, root, **changed)
    assert not root.exists() or changed
    return str(caught.value)


def test_the_folder_has_the_numbers_as_equal_over_the_classes_as_can_be(published: OpenImages, root: Path) -> None:
    select(published, root)
    real = scan(root, {split: split for split in SPLITS})
    assert real.classes == ["bear", "dog"]
    counts = {
        split: [sum(sample.label == label for sample in samples) for label in (0, 1)]
        for split, samples in real.splits.items()
    }
    assert counts == {"train": [2, 2], "val": [1, 1], "test": [2, 1]}
    assert {path.name for path in root.iterdir()} == {*SPLITS, ATTRIBUTION, "dataset.json"}
    assert list((root.parent / "open_images" / "images").iterdir()) == []
    assert {path.name for path in root.parent.iterdir()} == {"animals", "open_images"}


def test_authors_and_licence_are_written_down(published: OpenImages, root: Path) -> None:
    select(published, root)
    with (root / ATTRIBUTION).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["file"] for row in rows) == sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*.jpg")
    )
    first = rows[0]
    name = first["image_id"]
    assert first == {
        "file": f"train/bear/{name}.jpg", "image_id": name, "author": 'Åsa "猫", x', "author_url": "http://p/a",
        "title": "a\ntitle", "licence": "http://cc/by/2.0/", "original_url": f"http://o/{name}",
        "landing_url": f"http://l/{name}",
    }  # fmt: skip
    facts = read_json(root / "dataset.json")
    assert "CC BY 2.0" in facts["licence"]
    assert "verify" in facts["licence"]
    assert facts["licences_listed"] == {"http://cc/by/2.0/": 9}
    assert facts["counts"]["test"] == {"bear": 2, "dog": 1}
    assert facts["request"]["classes"] == CLASSES


def test_only_photographs_of_one_class_and_no_group_picture_or_speck(published: OpenImages, root: Path) -> None:
    for number in range(4):
        published.add(f"both{number}", ("Bear", 0.5, ""), ("Dog", 0.5, ""))
        published.add(f"group{number}", ("Bear", 0.5, ""), ("Bear", 0.5, "group"))
        published.add(f"drawn{number}", ("Dog", 0.5, "depiction"))
        published.add(f"speck{number}", ("Dog", 0.09, ""))
        published.add(f"car{number}", ("Car", 0.9, ""))
    published.publish()
    select(published, root, train=8, val=4, test=4)
    names = {name for members in photographs_in(root).values() for name in members}
    assert names == {f"{kind}{number}" for kind in ("bear", "dog") for number in range(8)}


def test_the_seed_decides_and_a_larger_test_set_contains_the_smaller(published: OpenImages, root: Path) -> None:
    select(published, root)
    select(published, root.parent / "again", threads=1)
    select(published, root.parent / "larger", test=8)
    select(published, root.parent / "other", seed=1)
    small, larger = photographs_in(root), photographs_in(root.parent / "larger")
    assert photographs_in(root.parent / "again") == small
    assert photographs_in(root.parent / "other") != small
    assert (larger["train"], larger["val"]) == (small["train"], small["val"])
    assert set(larger["test"]) > set(small["test"])


def test_lists_are_read_once_and_photographs_fetched_once(published: OpenImages, root: Path) -> None:
    select(published, root)
    requests = dict(published.server.requests)
    assert requests["boxes.csv"] == requests["metadata.csv"] == requests["classes.csv"] == 1
    assert sum(name.endswith(".jpg") for name in requests) == 9
    assert set(requests.values()) == {1}
    select(published, root)
    assert published.server.requests == requests
    select(published, root.parent / "larger", test=8)
    assert published.server.requests["boxes.csv"] == 1


def test_an_interruption_is_taken_up_where_it_was(
    published: OpenImages, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = fingerprints.perceptual_hash
    calls = []

    def interrupted(pixels: Any) -> Any:
        calls.append(pixels)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return of(pixels)

    monkeypatch.setattr(fingerprints, "perceptual_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        select(published, root)
    assert not root.exists()
    monkeypatch.setattr(fingerprints, "perceptual_hash", of)
    before = dict(published.server.requests)
    select(published, root)
    assert before["boxes.csv"] == published.server.requests["boxes.csv"] == 1
    assert max(published.server.requests.values()) == 1
    select(published, root.parent / "again")
    assert photographs_in(root) == photographs_in(root.parent / "again")


def test_what_is_gone_unreadable_or_a_placeholder_is_passed_over(published: OpenImages, root: Path) -> None:
    select(published, root)
    lost = photographs_in(root)["test"]
    shutil.rmtree(root)
    folder = published.server.folder / "train"
    (folder / f"{lost[0]}.jpg").unlink()
    (folder / f"{lost[1]}.jpg").write_bytes(b"<html>")
    Image.new("RGB", (1, 1)).save(folder / f"{lost[2]}.jpg")
    select(published, root)
    assert set(lost).isdisjoint({name for members in photographs_in(root).values() for name in members})
    assert [len(members) for members in photographs_in(root).values()] == [4, 2, 3]


@pytest.mark.parametrize("near", [8, None])
def test_of_near_duplicates_one_is_taken(published: OpenImages, root: Path, near: int | None) -> None:
    folder = published.server.folder / "train"
    with Image.open(folder / "dog0.jpg") as original:
        for number in range(1, 8):
            original.save(folder / f"dog{number}.jpg", quality=60 + number)
    if near is None:
        select(published, root, near=None)
        assert sum(name.startswith("dog") for members in photographs_in(root).values() for name in members) == 4
    else:
        assert "dog: 1 photograph of 4 requested" in refusal(published, root)


def test_a_busy_server_and_a_broken_line_are_no_matter(published: OpenImages, root: Path) -> None:
    published.server.busy = {f"train/bear{number}.jpg": 1 for number in range(8)}
    published.server.breaks = {"boxes.csv": 2, "metadata.csv": 1, "train/dog1.jpg": 1}
    select(published, root)
    for path in root.rglob("*.jpg"):
        assert path.read_bytes() == (published.server.folder / "train" / path.name).read_bytes()


# --- standing upright ------------------------------------------------------------------------------


@pytest.mark.parametrize(("rotation", "turns"), [("90.0", 1), ("180.0", 2), ("270.0", 3), ("nan", 0), ("", 0)])
def test_photographs_stand_upright_without_loss(published: OpenImages, root: Path, rotation: str, turns: int) -> None:
    for row in published.rows[1:]:
        row[-1] = rotation
    published.publish()
    select(published, root)
    path = next(root.rglob("*.jpg"))
    lying = decode(published.server.folder / "train" / path.name, 1000)
    assert np.array_equal(decode(path, 1000), np.rot90(lying, turns))


def test_a_photograph_that_says_itself_how_it_lies_is_believed(tmp_path: Path) -> None:
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "a camera"
        image(1).save(tmp_path / "a.jpg", exif=exif)
        content = (tmp_path / "a.jpg").read_bytes()
        turned = upright(content, 180)
        assert (turned == content) == (orientation == 6)
        (tmp_path / "b.jpg").write_bytes(turned)
        with Image.open(tmp_path / "b.jpg") as opened:
            assert opened.getexif()[0x0112] == (3 if orientation == 1 else 6)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00\x0aExif\0\0xx", b"GIF89a", b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_whole_photograph_is_passed_on(content: bytes) -> None:
    with contextlib.suppress(IndexError):
        assert upright(content, 0) == content
    assert isinstance(upright(content, 90), bytes)


# --- what is said ----------------------------------------------------------------------------------


def test_a_class_that_there_is_not(published: OpenImages, root: Path) -> None:
    message = refusal(published, root, classes={"bear": ["bear"], "dog": ["Dogs", "Wolf"]})
    assert "dataset.prepare.classes.bear: Open Images has no class 'bear'; did you mean 'Bear'" in message
    assert "dataset.prepare.classes.dog: Open Images has no class 'Dogs'; did you mean 'Dog'" in message
    assert "no class 'Wolf'" in message


def test_too_few_photographs_are_said_before_any_is_fetched(published: OpenImages, root: Path) -> None:
    message = refusal(published, root, train=10, test=8)
    assert "bear: 8 photographs of 10 requested (5 train, 1 val, 4 test)" in message
    assert "dog: 8 photographs of 10 requested" in message
    assert "dataset.prepare.smallest_box" in message
    assert not any(name.endswith(".jpg") for name in published.server.requests)


def test_no_connection_names_the_address_and_the_ways_out(published: OpenImages, root: Path) -> None:
    published.server.busy["boxes.csv"] = 100
    message = refusal(published, root)
    assert message.startswith(f"{published.server.address}/boxes.csv cannot be reached: HTTP 503")
    assert f"downloaded by hand into {root.parent / 'open_images'}" in message
    assert "dataset=imagefolder" in message
    shutil.copy(published.server.folder / "boxes.csv", root.parent / "open_images" / "boxes.csv")
    select(published, root)
    assert len(photographs_in(root)["train"]) == 4


def test_a_server_that_gives_no_photograph_is_not_asked_for_all(
    published: OpenImages, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_images, "_MAX_FAILURES", 3)
    shutil.rmtree(published.server.folder / "train")
    message = refusal(published, root)
    assert f"None of the first 3 photographs of bear can be downloaded from {published.server.address}/train" in message


def test_a_list_without_its_columns_is_refused(published: OpenImages, root: Path) -> None:
    published.write("boxes.csv", ["ImageID,LabelName", "a,b"])
    assert "lacks the columns XMin, XMax, YMin, YMax, IsGroupOf, IsDepiction" in refusal(published, root)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"classes": {"bear": ["Bear"]}}, "must be at least two classes"),
        ({"classes": {"bear": "Bear", "dog": ["Dog"]}}, "each with a list of names"),
        ({"val": 1}, "dataset.prepare.val=1: must be at least 2"),
        ({"smallest_box": 1.5}, "dataset.prepare.smallest_box=1.5: must be 0 to 1"),
        ({"threads": 0}, "dataset.prepare.threads=0: must be at least 1"),
    ],
)
def test_numbers_that_make_no_sense(published: OpenImages, root: Path, changed: dict[str, Any], problem: str) -> None:
    assert problem in refusal(published, root, **changed)
    assert not published.server.requests


def test_a_folder_that_was_asked_for_otherwise_is_refused(published: OpenImages, root: Path) -> None:
    select(published, root)
    message = refusal(published, root, test=8)
    assert "dataset.prepare.test: 3 there, 8 now" in message
    assert "dataset.root=<folder>" in message
    (root / "dataset.json").unlink()
    assert "was not written by this dataset" in refusal(published, root, test=3)

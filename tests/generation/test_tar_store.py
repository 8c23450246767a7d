"""Synthetic sets in tar files: the same images, read in place, by foreign readers too, and safe to cut anywhere."""

import contextlib
import dataclasses
import hashlib
import os
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.analysis.synthetic.set_record import read_set
from synthaug.analysis.training_images import GONE, SAME, place, set_folder, state
from synthaug.data.decoding import try_decode
from synthaug.export import exported_set
from synthaug.files import sha256
from synthaug.generation import synthetic_set, tar_store
from synthaug.generation.manifest import part_files, read_manifest
from synthaug.generation.shard import Shard
from synthaug.generation.synthetic_set import AUTO, TAR, SyntheticSet
from synthaug.generation.verification import file_problems
from synthaug.generation.webdataset import read_shard
from synthaug.image_files import Member, image_bytes, is_image_file, size_of
from tests.generation.test_shards import COUNTS, Censor, rows
from tests.generation.test_synthetic_set import Painter

CLASSES = list(COUNTS)


def make(folder: Path, shards: int = 1, storage: str = TAR) -> SyntheticSet:
    for number in range(shards):
        SyntheticSet(folder, Censor(batch_size=2), storage=storage).ensure(COUNTS, Shard(number, shards))
    images = SyntheticSet(folder, Censor(), storage=storage)
    images.ensure(COUNTS)
    return images


def images_of(images: SyntheticSet) -> dict[tuple[str, int | None], bytes]:
    return {(sample.class_name, sample.order): image_bytes(sample.path) for sample in images.samples(CLASSES)}


@pytest.fixture(scope="module")
def in_files(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return make(tmp_path_factory.mktemp("files"), storage=AUTO)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_same_images_and_rows_as_in_files(tmp_path: Path, in_files: SyntheticSet, shards: int) -> None:
    images = make(tmp_path, shards)
    assert images_of(images) == images_of(in_files)
    assert [dataclasses.replace(row, member="") for row in rows(tmp_path)] == rows(in_files.folder)
    assert not list(tmp_path.rglob("*.png"))
    assert file_problems(images, CLASSES) == []
    for sample in images.samples(CLASSES):
        assert sha256(sample.path) == sample.sha256
        assert not isinstance(try_decode(sample.sha256, sample.path, 8), str)


def test_foreign_readers_find_images_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_store, "MOST_BYTES", 5000)
    images = make(tmp_path)
    tars = sorted(tmp_path.glob("*.tar"))
    assert len(tars) > 2
    by_name = {}
    for path in tars:
        with tarfile.open(path) as archive:
            for entry in archive:
                stream = archive.extractfile(entry)
                assert stream is not None
                by_name[entry.name] = stream.read()
    expected = {f"{name}/{index:06d}.png": content for (name, index), content in images_of(images).items()}
    assert {name: content for name, content in by_name.items() if name.endswith(".png")} == expected
    left_out: list[tuple[str, str]] = []
    entries = [
        entry
        for path in tars
        for entry in read_shard(path, path.name, "json.class", "json.prompt", lambda *what: left_out.append(what))
    ]
    assert left_out == []
    assert {(entry.label, entry.caption) for entry in entries} == {
        (name, f"a photo of a {name.replace('_', ' ')}") for name in CLASSES
    }


@settings(max_examples=10, deadline=None)
@given(shards=st.sampled_from([1, 2]), seed=st.integers(0, 999), is_lost=st.booleans())
def test_a_cut_tar_or_log_is_made_whole_again(
    tmp_path_factory: pytest.TempPathFactory, in_files: SyntheticSet, shards: int, seed: int, is_lost: bool
) -> None:
    folder = tmp_path_factory.mktemp("set")
    make(folder, shards)
    draw = random.Random(seed)
    for tar in folder.glob("*.tar"):
        os.truncate(tar, draw.randint(0, tar.stat().st_size))
        if is_lost:
            tar.unlink()
    part = draw.choice(part_files(folder))
    os.truncate(part, part.stat().st_size - 5)
    images = make(folder, shards)
    assert images_of(images) == images_of(in_files)
    assert [dataclasses.replace(row, member="") for row in rows(folder)] == rows(in_files.folder)
    for tar in folder.glob("*.tar"):
        names = []
        with contextlib.suppress(tarfile.ReadError), tarfile.open(tar) as archive:  # its end mark alone may be gone
            names += [entry.name for entry in archive]
        assert len(names) == len(set(names)), "an image is in it twice"


def test_what_was_changed_or_cut_is_said(tmp_path: Path) -> None:
    first, *_, last = make(tmp_path).samples(CLASSES)
    assert last is not None
    tar = next(tmp_path.glob("*.tar"))
    content = bytearray(tar.read_bytes())
    member = Member.of(first.path)
    assert member is not None
    content[member.offset + 50] ^= 1
    tar.write_bytes(content)
    assert "not what was listed" in str(try_decode(first.sha256, first.path, 8))
    os.truncate(tar, member.offset + 10)
    assert "cut" in str(try_decode(first.sha256, first.path, 8))
    assert (is_image_file(first.path), state(first.path, first.sha256)) == (False, GONE)
    tar.unlink()
    assert "No such file" in str(try_decode(first.sha256, first.path, 8))


def test_pages_reports_and_exports_read_them(tmp_path: Path) -> None:
    images = make(tmp_path / "set")
    samples = images.samples(CLASSES)
    assert [sample.sha256 for sample in read_set(tmp_path / "set", tmp_path / "page").samples] == [
        row.sha256 for row in read_manifest(tmp_path / "set") if not row.rejected
    ]
    exported = exported_set.read_set(tmp_path / "set")
    exported_set.write_dataset(exported, tmp_path / "exported", "a name", None)
    assert sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "exported").rglob("*.png")) == (
        sorted(sample.sha256 for sample in samples)
    )
    for sample in samples:
        assert (set_folder(sample), place(sample)) == (
            str(tmp_path / "set"),
            (sample.class_name, f"{sample.order:06d}"),
        )
        assert state(sample.path, sample.sha256) == SAME


def test_tars_are_chosen_by_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_set, "MOST_FILES", 4)
    for each in (2, 3):
        SyntheticSet(tmp_path, Painter()).ensure({"cat": each, "dog": each})
    rows_of = read_manifest(tmp_path)
    assert [bool(row.member) for row in rows_of] == [False, False, True] * 2
    assert len(SyntheticSet(tmp_path, Painter()).samples(["cat", "dog"])) == 6


@given(st.text(min_size=1).filter(lambda name: "\0" not in name), st.integers(0, 2**40), st.integers(0, 2**30))
def test_a_path_leads_to_its_member(name: str, offset: int, size: int) -> None:
    member = Member("a/set/images-0-of-1-00000.tar", name, offset, size, ".png")
    assert Member.of(str(member)) == member
    assert Member.of("a!/b@1+2.png") is None
    assert size_of(str(member).replace("\ud800", "")) == -1

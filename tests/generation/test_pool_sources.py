"""Pools of images in tar shards, Parquet files and Hugging Face datasets: read once, whole, and nothing outside."""

import io
import json
import logging
import re
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug import files
from synthaug.errors import UserError
from synthaug.generation import pool_files, pool_sources, webdataset
from synthaug.generation.folder import FolderPool
from synthaug.generation.pool_files import captions
from synthaug.generation.pool_sources import (
    HuggingFaceGenerator,
    ParquetGenerator,
    PoolSource,
    WebDatasetGenerator,
)
from synthaug.runs.identity import is_pool, synthetic_set_name
from tests.factories.images import image
from tests.factories.servers import serve

Members = Sequence[tuple[str, bytes] | tarfile.TarInfo]


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    image(seed, (16, 16)).save(stream, "PNG")
    return stream.getvalue()


def write_tar(path: Path, members: Members, mode: Any = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(b"x" * member.size))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def samples(first: int, labels: Sequence[str]) -> list[tuple[str, bytes]]:
    """Members of one sample for each label."""
    return [
        member
        for number, label in enumerate(labels, first)
        for member in (
            (f"{number:04d}.png", png(number)),
            (f"{number:04d}.cls", label.encode()),
            (f"{number:04d}.txt", f"tale {number} of {label}".encode()),
            (f"{number:04d}.json", json.dumps({"class": {"name": f"the {label}"}, "prompt": f"p{number}"}).encode()),
        )
    ]


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def pool(generator: PoolSource, tmp_path: Path) -> FolderPool:
    generator.place(tmp_path / "outputs" / "pools")
    return FolderPool(tmp_path / "outputs" / "kept", generator)


def contents(images: FolderPool, classes: Sequence[str]) -> dict[str, list[bytes]]:
    by_class: dict[str, list[bytes]] = {name: [] for name in classes}
    for sample in images.samples(classes):
        by_class[sample.class_name].append(sample.path.read_bytes())
        assert files.sha256(sample.path) == sample.sha256
    return by_class


# --- WebDataset ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "ending"), [("w", "tar"), ("w:gz", "tar.gz"), ("w:xz", "tar.xz")])
def test_shards_are_a_pool_with_captions(tmp_path: Path, mode: str, ending: str) -> None:
    write_tar(tmp_path / f"000.{ending}", samples(0, ["cat", "dog"]), mode)
    write_tar(tmp_path / f"001.{ending}", samples(0, ["cat"])[1:2] + samples(10, ["dog", "cat"]), mode)
    images = pool(WebDatasetGenerator(f"{tmp_path}/{{000..001}}.{ending}"), tmp_path)
    images.check({"cat": 2, "dog": 2})
    assert contents(images, ["cat", "dog"]) == {"cat": [png(0), png(11)], "dog": [png(1), png(10)]}
    assert sorted(captions(images.root).values()) == [
        "tale 0 of cat", "tale 1 of dog", "tale 10 of dog", "tale 11 of cat"
    ]  # fmt: skip
    assert not (images.root / ".shards").exists()


@pytest.mark.parametrize(
    ("options", "classes", "caption"),
    [
        ({"label": "json.class.name", "caption": "json.prompt"}, ["the cat", "the dog"], "p0"),
        ({"class_names": {"cat": "feline", "dog": "feline"}}, ["feline"], "tale 0 of cat"),
        ({"caption": "none"}, ["cat", "dog"], None),
    ],
)
def test_classes_and_captions_from_elsewhere(
    tmp_path: Path, options: dict[str, Any], classes: list[str], caption: str | None
) -> None:
    write_tar(tmp_path / "a.tar", samples(0, ["cat", "dog"]))
    images = pool(WebDatasetGenerator(str(tmp_path / "*.tar"), **options), tmp_path)
    assert sum(map(len, contents(images, classes).values())) == 2
    assert next(iter(captions(images.root).values()), None) == caption


def test_classes_by_number_and_by_folder(tmp_path: Path) -> None:
    write_tar(tmp_path / "numbers.tar", samples(0, ["0", "1", "1"]))
    write_tar(tmp_path / "folders.tar", [("train/owl/a.png", png(1)), ("train/owl/b.png", png(2))])
    numbers = pool(WebDatasetGenerator(str(tmp_path / "numbers.tar"), class_names=["cat", "dog"]), tmp_path)
    numbers.check({"cat": 1, "dog": 2})
    folders = pool(WebDatasetGenerator(str(tmp_path / "folders.tar"), label="folder"), tmp_path)
    folders.check({"owl": 2})
    unnamed = pool(WebDatasetGenerator(str(tmp_path / "numbers.tar")), tmp_path)
    assert unnamed.root == numbers.root, "names of classes are no other pool"
    with pytest.raises(UserError, match=r"generator.class_names="):
        unnamed.check({"cat": 1, "dog": 2})
    with pytest.raises(UserError, match=r"generator.class_names=cat: .*\[cat,"):
        WebDatasetGenerator("x.tar", class_names="cat")


def test_what_cannot_be_used_is_left_out_and_named_and_nothing_is_written_outside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evil: list[tuple[str, bytes] | tarfile.TarInfo] = [
        ("../evil.png", png(90)), ("/tmp/absolute.png", png(91)), ("a/../../up.png", png(92)),
        special("link.png", tarfile.SYMTYPE, "/etc/passwd"), special("hard.png", tarfile.LNKTYPE, "0000.png"),
        special("device.png", tarfile.CHRTYPE), special("pipe.png", tarfile.FIFOTYPE),
    ]  # fmt: skip
    odd = [
        ("5000.txt", b"no image"), ("6000.png", png(93)), ("7000.png", png(94)), ("7000.png", png(95)),
        ("7000.cls", b"cat"), ("8000.png", png(96)), ("8000.cls", b"../up"), ("9000.png", png(97)),
        ("9000.cls", b"\xff\xfe"), ("._0000.png", b"of a Mac"),
    ]  # fmt: skip
    again = [("0000.png", png(98)), ("0000.cls", b"dog")]
    write_tar(tmp_path / "in" / "a.tar", [*samples(0, ["cat", "dog"]), *evil, *odd, *again])
    before = set(tmp_path.rglob("*"))
    images = pool(WebDatasetGenerator(str(tmp_path / "in" / "a.tar")), tmp_path)
    with caplog.at_level(logging.WARNING):
        assert contents(images, ["cat", "dog"]) == {"cat": [png(0), png(94)], "dog": [png(1), png(98)]}
    record = files.read_json(images.root / pool_files.RECORD)
    named = [line.partition("a.tar, ")[2].partition(":")[0] for line in record["left_out_first"]]
    assert named == [
        "../evil.png", "/tmp/absolute.png", "a/../../up.png", "link.png", "hard.png", "device.png", "pipe.png", "5000",
        "6000", "7000.png", "8000", "9000", "0000",
    ]  # fmt: skip
    assert record["left_out"] == 13
    assert "../evil.png: its path leads out of the archive" in caplog.text
    written = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "outputs") for path in written)


@pytest.mark.parametrize("cut", [700, 512 * 3 + 100, -1024, -600])
def test_a_truncated_shard_is_named_and_the_others_stay(tmp_path: Path, cut: int) -> None:
    first = write_tar(tmp_path / "0.tar", samples(0, ["cat", "dog"]))
    second = write_tar(tmp_path / "1.tar", samples(10, ["cat", "dog"]))
    whole = second.read_bytes()
    whole = whole[: len(whole.rstrip(b"\0")) // 512 * 512 + 512 + 1024]  # without the padding to a record
    second.write_bytes(whole[:cut])
    with pytest.raises(UserError, match=re.escape(f"{second} ends in the middle")):
        pool(WebDatasetGenerator(str(tmp_path / "*.tar")), tmp_path).check({"cat": 1})
    first_copy = first.read_bytes()
    stamp = first.stat()
    second.write_bytes(whole)
    assert first.stat() == stamp
    images = pool(WebDatasetGenerator(str(tmp_path / "*.tar")), tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in images.root.glob("*/00000-*")}
    assert len(kept) == 2
    images.check({"cat": 2, "dog": 2})
    assert {path: path.stat().st_mtime_ns for path in images.root.glob("*/00000-*")} == kept, "it was not read again"
    assert first.read_bytes() == first_copy


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no archive" * 200, "is not a tar file"),
        (b"", "is not a tar file"),
        (b"\x1f\x8b\x08cut", "is not a tar file|ends"),
    ],
)
def test_what_is_no_shard_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.tar ({problem})"):
        pool(WebDatasetGenerator(str(tmp_path / "a.tar")), tmp_path).check({"cat": 1})


def test_a_missing_class_is_named_with_what_there_is(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.jpg", b"x"), ("0.txt", b"t"), ("1.jpg", b"x"), ("1.label", b"cat")])
    with pytest.raises(
        UserError, match=r"a.tar: no sample has a class in cls; .* jpg, label, txt\. .*generator.label="
    ):
        pool(WebDatasetGenerator(str(tmp_path / "a.tar")), tmp_path).check({"cat": 1})
    with pytest.raises(UserError, match=r"b.tar: there is no such file\n.*c0.tar: there"):
        pool(WebDatasetGenerator([str(tmp_path / "b.tar"), str(tmp_path / "c{0..1}.tar")]), tmp_path).check({"cat": 1})
    write_tar(tmp_path / "empty.tar", [("0.txt", b"t")])
    with pytest.raises(UserError, match=r"would have no images:\n  - .*empty.tar, 0: no image"):
        pool(WebDatasetGenerator(str(tmp_path / "empty.tar")), tmp_path).check({"cat": 1})


def test_a_stopped_command_begins_anew_with_the_shard_that_it_stopped_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", samples(10 * number, ["cat", "dog"]))
    read: list[str] = []
    read_shard = webdataset.read_shard

    def stop(path: Path, *arguments: Any) -> Any:
        read.append(path.stem)
        for entry in read_shard(path, *arguments):
            yield entry
            if path.stem == "1" and read.count("1") == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(webdataset, "read_shard", stop)
    generator = WebDatasetGenerator(f"{tmp_path}/{{0..2}}.tar")
    with pytest.raises(KeyboardInterrupt):
        pool(generator, tmp_path).check({"cat": 1})
    images = pool(generator, tmp_path)
    images.check({"cat": 3, "dog": 3})
    assert read == ["0", "1", "1", "2"]
    pool(WebDatasetGenerator(f"{tmp_path}/{{0..2}}.tar"), tmp_path).check({"cat": 3, "dog": 3})
    assert len(read) == 4
    assert len(list(images.root.glob("*/*.png"))) == 6


def test_of_two_commands_at_once_one_reads_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "a.tar", samples(0, ["cat", "dog"] * 20))
    reads: list[str] = []
    read_shard = webdataset.read_shard

    def slowly(path: Path, *arguments: Any) -> Any:
        reads.append(path.name)
        for entry in read_shard(path, *arguments):
            time.sleep(0.005)
            yield entry

    monkeypatch.setattr(webdataset, "read_shard", slowly)

    def check(_: int) -> int:
        images = pool(WebDatasetGenerator(str(tmp_path / "a.tar")), tmp_path)
        images.generator.prepare()
        return len(list(images.root.glob("*/*.png")))

    with ThreadPoolExecutor(2) as commands:
        assert list(commands.map(check, range(2))) == [40, 40]
    assert reads == ["a.tar"]


def test_shards_and_images_that_change_later_are_named(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "a.tar", samples(0, ["cat", "dog"]))
    generator = WebDatasetGenerator(str(shard))
    images = pool(generator, tmp_path)
    images.check({"cat": 1, "dog": 1})
    write_tar(shard, samples(5, ["cat", "dog", "cat"]))
    with pytest.raises(UserError, match=r"a\.tar\n.*[Mm]ove"):
        pool(generator, tmp_path).check({"cat": 1, "dog": 1})
    shard.unlink()
    pool(generator, tmp_path).check({"cat": 1, "dog": 1})
    (image_file, *_) = (images.root / "cat").iterdir()
    image_file.write_bytes(png(50))
    with pytest.raises(UserError, match=f"changed: cat/{image_file.name}"):
        pool(generator, tmp_path).check({"cat": 1, "dog": 1})


def test_shards_on_the_web(tmp_path: Path) -> None:
    write_tar(tmp_path / "web" / "0.tar", samples(0, ["cat", "dog"]))
    with serve(tmp_path / "web") as server:
        images = pool(WebDatasetGenerator(f"{server.address}/{{0,0}}.tar"), tmp_path)
        images.check({"cat": 1, "dog": 1})
        with pytest.raises(UserError, match=r"generator.urls: .*/5\.tar: there is no such file"):
            pool(WebDatasetGenerator(f"{server.address}/5.tar"), tmp_path).check({"cat": 1})
        images.check({"cat": 1, "dog": 1})
        assert server.requests["0.tar"] == 1


@given(st.integers(0, 99), st.integers(0, 99), st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
def test_braces(first: int, last: int, choices: list[str]) -> None:
    expected = [f"{number:02d}-{choice}" for number in range(first, last + 1) for choice in choices]
    assert webdataset.expand(f"{{{first:02d}..{last:02d}}}-{{{','.join(choices)}}}") == expected
    assert webdataset.expand("plain.tar") == ["plain.tar"]


# --- Parquet and Hugging Face ----------------------------------------------------------------------


def table(labels: Sequence[Any], **columns: Sequence[Any]) -> datasets.Dataset:
    images = [{"bytes": png(number), "path": None} for number in range(len(labels))]
    built = datasets.Dataset.from_dict({"image": images, "label": list(labels), **columns})
    return built.cast_column("image", datasets.Image())


LABELS = datasets.ClassLabel(names=["cat", "dog"])


@pytest.mark.parametrize("kind", ["names", "class labels", "numbers", "plain bytes"])
def test_parquet_files(tmp_path: Path, kind: str) -> None:
    labels: list[Any] = ["cat", "dog", "cat"] if kind in ("names", "plain bytes") else [0, 1, 0]
    built = table(labels, caption=["a", "b", None])
    if kind == "class labels":
        built = built.cast_column("label", LABELS)
    if kind == "plain bytes":
        built = datasets.Dataset.from_dict({"image": [png(0), png(1), png(2)], "label": labels, "text": ["a", "b", ""]})
    built.to_parquet(tmp_path / "a.parquet")
    names: Mapping[Any, str] | None = {0: "cat", 1: "dog"} if kind == "numbers" else None
    images = pool(ParquetGenerator(str(tmp_path / "*.parquet"), class_names=names), tmp_path)
    assert contents(images, ["cat", "dog"]) == {"cat": [png(0), png(2)], "dog": [png(1)]}
    assert sorted(captions(images.root).values()) == ["a", "b"]


def test_datasets_of_the_hub_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_sources, "_ROWS", 2)
    built = table([0, 1, 0, 1, 1], prompt=list("abcde")).cast_column("label", LABELS)
    datasets.DatasetDict({"made": built}).save_to_disk(tmp_path / "saved")
    images = pool(HuggingFaceGenerator(str(tmp_path / "saved"), split="made"), tmp_path)
    images.check({"cat": 2, "dog": 3})
    assert sorted(captions(images.root).values()) == list("abcde")
    with pytest.raises(UserError, match=r"generator\.split=train: there is no such split; .* has made"):
        pool(HuggingFaceGenerator(str(tmp_path / "saved")), tmp_path).check({"cat": 1})
    with pytest.raises(UserError, match=r"generator\.id=.*no: there is no folder"):
        pool(HuggingFaceGenerator(str(tmp_path / "no")), tmp_path).check({"cat": 1})


def test_columns_that_there_are_not(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    table(["cat", "dog"]).to_parquet(path)
    for options, problem in (
        ({"label_column": "class"}, r"generator\.label_column=class: there is no such column; .* image, label"),
        ({"image_column": "photo"}, r"generator\.image_column=photo: there is no such column"),
        ({"image_column": "label", "label_column": "image"}, r"generator\.image_column=label: holds"),
        ({"caption_column": "tale"}, r"generator\.caption_column=tale: there is no such column"),
    ):
        with pytest.raises(UserError, match=problem):
            pool(ParquetGenerator(path, **options), tmp_path).check({"cat": 1})  # type: ignore[arg-type]


def test_rows_without_image_are_left_out(tmp_path: Path) -> None:
    built = datasets.Dataset.from_dict({"image": [{"bytes": png(0), "path": None}, None], "label": ["cat", "cat"]})
    built.cast_column("image", datasets.Image()).to_parquet(tmp_path / "a.parquet")
    images = pool(ParquetGenerator(str(tmp_path / "a.parquet")), tmp_path)
    images.check({"cat": 1})
    assert files.read_json(images.root / pool_files.RECORD)["left_out_first"] == ["rows 0 to 1, row 1: no image"]


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    table(["cat", "dog"]).to_parquet(tmp_path / "0.parquet")
    table(["cat", "dog"]).to_parquet(tmp_path / "1.parquet")
    path = tmp_path / "1.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"generator\.files: \S*1\.parquet cannot be read"):
        pool(ParquetGenerator(str(tmp_path / "*.parquet")), tmp_path).check({"cat": 1})


def test_pools_are_no_generators_of_draws_and_differ_by_their_source() -> None:
    for key in ("root", "urls", "files", "id"):
        assert is_pool({"name": "x", key: "y"})
    assert not is_pool({"name": "x", "model": "y"})
    names = {synthetic_set_name({"generator": {"name": "webdataset", "urls": urls}}) for urls in ("a", "b", ["a", "b"])}
    assert len(names) == 3

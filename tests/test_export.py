"""A synthetic set exported and read back by the libraries that others load it with."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthaug.export import exported_set
from synthaug.export.__main__ import main
from synthaug.export.exported_set import CARD, CROISSANT, METADATA
from synthaug.files import sha256
from synthaug.generation.manifest import read_manifest
from synthaug.generation.prompts import Prompts
from synthaug.generation.synthetic_set import SyntheticSet
from synthaug.screening.verdicts import Verdict, VerdictFile
from tests.factories.commands import Painter

COUNTS = {"cat": 3, "sea lion": 2, "test": 1, "犬": 1}  # a class that is called like a split, too
PROMPTS = Prompts(["a {class_name}", 'a "{class_name}", asleep|awake'])


class Author(Painter):
    """A painter that is called like a model of the hub."""

    def provenance(self) -> dict[str, str]:
        return {**super().provenance(), "model": "someone/a-model", "revision": "abc"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "painter-a1b2c3"
    SyntheticSet(folder, Author(), PROMPTS).ensure(COUNTS)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "set")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / METADATA).read_text(encoding="utf-8").splitlines()]


def write_verdicts(folder: Path, name: str, rejected: str) -> None:
    verdicts = [
        Verdict(row.class_name, f"{row.class_name}/{row.index:06d}.png", row.sha256, row.class_name != rejected)
        for row in read_manifest(folder)
    ]
    VerdictFile(folder / name, {"duplicates": True}, {"train": "123"}).write(verdicts, {})


def test_the_set_is_read_back_by_datasets(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    target = tmp_path / "exported"
    assert main([str(folder), str(target)]) == 0
    manifest = [(row.class_name, row.prompt, row.seed, row.model, row.sha256) for row in read_manifest(folder)]
    for arguments in (["imagefolder"], [str(target)]):  # by the kind of its files, and by its card
        loaded = datasets.load_dataset(
            *arguments,
            **({"data_dir": str(target)} if arguments == ["imagefolder"] else {}),
            cache_dir=str(tmp_path / "cache"),
        )
        assert list(loaded) == ["train"]
        columns = ("class", "prompt", "seed", "model", "sha256")
        assert sorted(tuple(line[column] for column in columns) for line in loaded["train"]) == sorted(manifest)
        assert {(line["class"], line["label"]) for line in loaded["train"]} == {
            (name, number) for number, name in enumerate(sorted(COUNTS))
        }
        assert loaded["train"][0]["image"].size == (16, 16)


def test_every_image_is_the_file_of_its_line(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    assert main([str(folder), str(target)]) == 0
    rows = rows_of(target)
    assert len(rows) == sum(COUNTS.values())
    assert all(sha256(target / row["file_name"]) == row["sha256"] for row in rows)
    folders = {row["class"]: row["file_name"].partition("/")[0] for row in rows}
    assert folders == {"cat": "cat", "sea lion": "sea lion", "test": "class2", "犬": "犬"}
    images = {path.relative_to(target).as_posix() for path in target.rglob("*.png")}
    assert images == {row["file_name"] for row in rows}
    assert sorted(path.name for path in target.iterdir() if path.is_file()) == sorted([METADATA, CARD, CROISSANT])


@pytest.mark.filterwarnings("ignore")
def test_croissant_is_valid_and_has_the_same_records(folder: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    target = tmp_path / "exported"
    assert main([str(folder), str(target), "--license", "https://creativecommons.org/licenses/by/4.0/"]) == 0
    dataset = mlcroissant.Dataset(jsonld=str(target / CROISSANT))  # raises what is invalid
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    records = [
        {
            key.removeprefix("images/"): value.decode() if isinstance(value, bytes) else value
            for key, value in it.items()
        }
        for it in dataset.records("images")
    ]
    expected = rows_of(target)
    assert [record["file_name"] for record in records] == [row["file_name"] for row in expected]
    for column in ("class", "prompt", "seed", "label", "model"):
        assert [record[column] for record in records] == [row[column] for row in expected]


def test_croissant_has_what_the_specification_requires(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    assert main([str(folder), str(target), "--name", "My images"]) == 0
    described = json.loads((target / CROISSANT).read_text(encoding="utf-8"))
    assert described["name"] == "My images"
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert {"@context", "@type", "description", "datePublished", "distribution", "recordSet"} <= described.keys()
    assert "license" not in described, "the user has yet to confirm one"
    (metadata, images) = described["distribution"]
    assert metadata["sha256"] == sha256(target / METADATA)
    assert images["includes"] == "*/*.png"
    fields = {field["name"] for field in described["recordSet"][0]["field"]}
    assert fields == set(rows_of(target)[0])


def test_the_card_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    for licence, expected in ((None, None), ("cc-by-4.0", "cc-by-4.0")):
        target = tmp_path / f"exported-{licence}"
        assert main([str(folder), str(target), *(["--license", licence] if licence else [])]) == 0
        text = (target / CARD).read_text(encoding="utf-8")
        front = yaml.safe_load(text.split("---\n")[1])
        assert front.get("license") == expected
        assert front["size_categories"] == ["n<1K"]
        assert "synthetic" in front["tags"]
        assert ("To be confirmed" in text) is (licence is None)
        for words in ("someone/a-model", "a cat", "| cat | 3 |", r"asleep\|awake"):
            assert words in text


def test_only_what_the_screening_keeps_is_exported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_verdicts(folder, "screening-strict-1", "cat")
    assert main([str(folder), str(tmp_path / "a")]) == 0
    assert {row["class"] for row in rows_of(tmp_path / "a")} == set(COUNTS) - {"cat"}
    assert "3 not kept by screening-strict-1" in capsys.readouterr().out
    assert "screening-strict-1" in (tmp_path / "a" / CARD).read_text(encoding="utf-8")
    write_verdicts(folder, "screening-other-2", "犬")
    assert main([str(folder), str(tmp_path / "b")]) == 2
    printed = capsys.readouterr().err
    assert "screening-strict-1" in printed
    assert "screening-other-2" in printed
    assert main([str(folder), str(tmp_path / "b"), "--screening", "screening-other-2"]) == 0
    assert {row["class"] for row in rows_of(tmp_path / "b")} == set(COUNTS) - {"犬"}
    assert main([str(folder), str(tmp_path / "c"), "--screening", "none"]) == 0
    assert len(rows_of(tmp_path / "c")) == sum(COUNTS.values())


def test_images_that_were_deleted_or_changed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cat/000001.png").unlink()
    assert main([str(folder), str(tmp_path / "a")]) == 0
    assert len(rows_of(tmp_path / "a")) == sum(COUNTS.values()) - 1
    assert "1 deleted" in capsys.readouterr().out
    for name in ("cat/000000.png", "test/000000.png"):
        (folder / name).write_bytes((folder / "cat/000002.png").read_bytes())
    assert main([str(folder), str(tmp_path / "b")]) == 2
    printed = capsys.readouterr().err
    assert "cat/000000.png" in printed
    assert "test/000000.png" in printed
    assert not (tmp_path / "b").exists()


def test_images_of_several_formats_and_without_a_row(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cat/000000.png").rename(folder / "cat/000000.webp")
    shutil.copy(folder / "cat/000001.png", folder / "cat/000077.png")
    assert main([str(folder), str(tmp_path / "a")]) == 0
    assert "1 without a row in manifest.csv" in capsys.readouterr().out
    assert [row["file_name"] for row in rows_of(tmp_path / "a")][:2] == ["cat/000000.webp", "cat/000001.png"]
    described = json.loads((tmp_path / "a" / CROISSANT).read_text(encoding="utf-8"))
    encodings = [entry["encodingFormat"] for entry in described["distribution"]]
    assert encodings == ["application/jsonlines", "image/png", "image/webp"]


def test_a_target_that_cannot_be_written_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    for target in (tmp_path / "there", tmp_path / "file", folder / "inside", tmp_path / "file" / "below"):
        assert main([str(folder), str(target)]) == 2
        assert str(target) in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "set", "there"]


def test_a_folder_that_is_no_set(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent"), str(tmp_path / "a")]) == 2
    assert re.search("absent is not a synthetic set: there is no such folder", capsys.readouterr().err)
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), str(tmp_path / "a")]) == 2
    assert "manifest.csv" in capsys.readouterr().err
    shutil.rmtree(folder / "cat")
    for name in ("sea lion", "test", "犬"):
        shutil.rmtree(folder / name)
    assert main([str(folder), str(tmp_path / "a")]) == 2
    assert "Nothing of" in capsys.readouterr().err


def test_a_killed_export_leaves_no_target(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exported_set, "image_bytes", interrupt)
    with pytest.raises(SystemExit) as ended:
        main([str(folder), str(tmp_path / "a")])
    assert ended.value.code == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_verdicts_that_were_damaged(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_verdicts(folder, "screening-x-1", "cat")
    path = folder / "screening-x-1" / "verdicts.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("yes", "no", 1), encoding="utf-8")
    assert main([str(folder), str(tmp_path / "a")]) == 2
    assert "verdicts.csv" in capsys.readouterr().err

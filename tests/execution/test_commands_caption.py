"""Captions through the command as a user types it, and the images that are generated from them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.factories.captioners import save_blip, save_language_model
from tests.factories.commands import Commands


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("commands"))


def rows_of(commands: Commands, name: str) -> list[dict[str, Any]]:
    (path,) = (commands.folder / "outputs/captions/photos").glob(f"{name}-*/*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_language_model_writes_what_a_generator_paints(commands: Commands) -> None:
    save_language_model(commands.folder / "author")
    captioner = ["captioner.model=author", "captioner.max_new_tokens=20", "captioner.max_tries=20"]
    code, printed = commands.run(*captioner, "per_class=2", command="caption")
    assert code == 0, printed
    rows = rows_of(commands, "instruct-author")
    assert [row["class"] for row in rows] == ["cat", "cat", "dog", "dog"]
    (path,) = (commands.folder / "outputs/captions/photos").glob("instruct-author-*/*.jsonl")
    assert f"prompts=file prompts.file={path.relative_to(commands.folder)}" in printed
    code, printed = commands.run(*captioner, "per_class=2", command="caption")
    assert code == 0, printed
    assert "0 captions written, 4 existed" in printed
    code, printed = commands.run(
        "prompts=file", f"prompts.file={path.relative_to(commands.folder)}", "per_class=3", command="generate"
    )
    assert code == 0, printed
    (manifest,) = (commands.folder / "outputs/synthetic/photos").glob("painter-file-instruct-author-*/manifest.csv")
    with manifest.open(newline="", encoding="utf-8") as stream:
        painted = [(row["class_name"], row["prompt"]) for row in csv.DictReader(stream)]
    assert painted == [
        (name, captions[number % 2])
        for name in ("cat", "dog")
        for captions in [[row["caption"] for row in rows if row["class"] == name]]
        for number in range(3)
    ]


def test_a_captioner_sees_training_images_of_the_mix_alone(commands: Commands) -> None:
    save_blip(commands.folder / "eye")
    captioner = ["captioner=blip", "captioner.model=eye", "captioner.max_new_tokens=8"]
    code, printed = commands.run(*captioner, command="caption")
    assert code == 0, printed
    everything = {row["source"] for row in rows_of(commands, "blip-eye")}
    assert {Path(source).parts[-3] for source in everything} == {"train"}
    (written,) = (commands.folder / "outputs/captions/photos").glob("blip-eye-*")
    written.rename(commands.folder / "all")
    code, printed = commands.run(*captioner, "mix=55", "per_class=5", command="caption")
    assert code == 0, printed
    sources = {row["source"] for row in rows_of(commands, "blip-eye")}
    assert len(sources) == 10, "half of the ten images of each class"
    code, printed = commands.run(*captioner, "mix=synthetic", command="caption")
    assert code == 1, printed
    assert "mix=real" in printed


def test_another_command_has_no_captioner(commands: Commands) -> None:
    code, printed = commands.run("mix=55", "captioner=blip")
    assert code == 2, printed
    assert "captioner=blip: python -m synthaug.caption" in printed


def test_what_cannot_be_used_is_named(commands: Commands) -> None:
    for argument, words in {
        "captioner.model=no/such/folder": "The captioner no/such/folder could not be loaded",
        "captioner=blib": "there is no captioner blib; did you mean 'blip'?",
        "captioner.temprature=1": "did you mean 'temperature'?",
        "captioner.temperature=-1": "captioner.temperature=-1: must be at least 0",
    }.items():
        code, printed = commands.run(argument, command="caption")
        assert code in (1, 2), printed
        assert words in printed
        assert "Traceback" not in printed

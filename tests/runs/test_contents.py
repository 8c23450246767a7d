"""Predictions, mix and history are read as they were written."""

import csv
import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.files import read_json, write_rows
from synthaug.runs import contents, layout
from synthaug.runs.contents import MixRow, Predictions, UnreadableFileError
from tests.factories.runs import result

# Classes may be named like the columns, like their prefix, like numbers; paths may hold whatever a path may.
NAMES = ["path", "label", "p:", "p:cat", "1.0", "", "a,b", 'a"b', "a\nb", "猫", " ", "nan"]


def predictions(classes: list[str], paths: list[str]) -> Predictions:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(len(classes)), len(paths))
    labels = random.integers(0, len(classes), len(paths))
    return Predictions(paths, labels, probabilities.argmax(1), probabilities, classes, labels // 2)


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = predictions(NAMES, [f"test/{name}/{number}.png" for number, name in enumerate(NAMES * 3)])
    contents.write_predictions(tmp_path, written)
    read = contents.read_predictions(tmp_path)
    assert (read.classes, read.paths) == (written.classes, written.paths)
    assert np.array_equal(read.labels, written.labels)
    assert np.array_equal(read.predicted, written.predicted)
    assert np.array_equal(read.clusters, written.clusters)
    np.testing.assert_allclose(read.probabilities, written.probabilities, rtol=1e-5)


def test_predictions_may_be_read_without_the_probabilities(tmp_path: Path) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    contents.write_predictions(tmp_path, written)
    read = contents.read_predictions(tmp_path, probabilities=False)
    assert read.probabilities.shape == (3, 0)
    assert np.array_equal(read.clusters, written.clusters)
    assert np.array_equal(read.predicted, written.predicted)


def test_predictions_of_unequal_length_are_refused(tmp_path: Path) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    short = dataclasses.replace(written, paths=written.paths[:2])
    with pytest.raises(ValueError, match="zip"):
        contents.write_predictions(tmp_path, short)
    assert list(tmp_path.iterdir()) == []


def test_the_mix_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [MixRow(f"train/{name}/1.png", name, "real", "0" * 64) for name in NAMES]
    contents.write_mix(tmp_path, rows)
    assert contents.read_mix(tmp_path) == rows
    with (tmp_path / layout.MIX).open(newline="", encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == ["path", "label", "origin", "sha256"]


def test_the_history_has_nan_where_a_cell_is_empty(tmp_path: Path) -> None:
    write_rows(tmp_path / layout.HISTORY, ["epoch", "val/accuracy"], [[0, ""], [1, 0.5], [2, 0.0]])
    history = contents.read_history(tmp_path)
    assert history["epoch"] == [0, 1, 2]
    assert math.isnan(history["val/accuracy"][0])
    assert history["val/accuracy"][1:] == [0.5, 0.0]


def test_a_history_without_epochs_is_empty(tmp_path: Path) -> None:
    write_rows(tmp_path / layout.HISTORY, ["epoch"], [])
    assert contents.read_history(tmp_path) == {}


FILES = (layout.MIX, layout.PREDICTIONS, layout.HISTORY)


def finished(folder: Path) -> Mapping[str, Any]:
    """A run's files, and what `result.json` has of them."""
    contents.write_mix(folder, [MixRow(f"train/cat/{i}.png", "cat", "real", f"{i:064}") for i in range(3)])
    contents.write_predictions(folder, predictions(["cat", "dog"], ["a", "b", "c"]))
    write_rows(folder / layout.HISTORY, ["epoch", "val/accuracy"], [[0, 0.4], [1, 0.5]])
    layout.finish(folder, result(), FILES)
    return read_json(folder / layout.RESULT)


def read(name: str, folder: Path, recorded: Mapping[str, Any] | None) -> object:
    if name == layout.PREDICTIONS:
        return contents.read_predictions(folder, result=recorded)
    return (contents.read_mix if name == layout.MIX else contents.read_history)(folder, recorded)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-2],
        lambda content: content[: content.rindex(b"\n", 0, -1) + 1],
        lambda content: content + content[content.rindex(b"\n", 0, -1) + 1 :],
        lambda content: content.replace(b"0.", b"1.", 1).replace(b"cat/0", b"cat/9", 1),
        lambda content: content.replace(b"\n", b"\n\xff", 1),
        lambda content: content.replace(b",", b",\0", 3),
    ],
)
def test_a_file_that_is_not_the_one_of_the_run_cannot_be_read(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    recorded, path = finished(tmp_path), tmp_path / name
    assert read(name, tmp_path, recorded)
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.raises(UnreadableFileError) as caught:
        read(name, tmp_path, recorded)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content", ["", "x\n", "path,label\na,b\n", "path,label,predicted,cluster,p:a\na,a,a,0,much\n"]
)
def test_a_file_of_another_shape_cannot_be_read_although_nothing_is_recorded(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    if (name, content) != (layout.HISTORY, "x\n"):
        with pytest.raises(UnreadableFileError):
            read(name, tmp_path, None)


def test_a_file_that_is_missing_or_no_file_cannot_be_read(tmp_path: Path) -> None:
    for name in FILES:
        os.mkfifo(tmp_path / name)
        with pytest.raises(UnreadableFileError):
            read(name, tmp_path, None)
        (tmp_path / name).unlink()
        with pytest.raises(UnreadableFileError):
            read(name, tmp_path, None)
        (tmp_path / name).mkdir()
        with pytest.raises(UnreadableFileError):
            read(name, tmp_path, None)

"""Predictions, mix and history are read as they were written."""

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from synthaug.files import write_rows
from synthaug.runs import contents, layout
from synthaug.runs.contents import MixRow, Predictions

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

"""Predictions, mix and history are read as they were written."""

import contextlib
import dataclasses
import io
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.sample_list import Sample
from synthaug.files import read_json, write_rows
from synthaug.runs import contents, layout, prediction_files
from synthaug.runs.contents import UnreadableFileError
from synthaug.runs.prediction_files import Predictions
from tests.factories.runs import result

# Classes may be named like the columns, like their prefix, like numbers; paths may hold whatever a path may.
NAMES = ["path", "label", "p:", "p:cat", "1.0", "", "a,b", 'a"b', "a\nb", "猫", " ", "nan"]


def predictions(classes: list[str], paths: list[str]) -> Predictions:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(len(classes)), len(paths))
    labels = random.integers(0, len(classes), len(paths))
    return Predictions(paths, labels, probabilities.argmax(1), probabilities, classes, labels // 2)


@pytest.fixture(params=["table", "arrays"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In which of the two forms predictions are written, whatever their size."""
    monkeypatch.setattr(prediction_files, "MOST_CELLS", {"table": 10**9, "arrays": 0}[request.param])
    return str(request.param)


def test_predictions_are_read_as_they_were_written(tmp_path: Path, form: str) -> None:
    written = predictions(NAMES, [f"test/{name}/{number}.png" for number, name in enumerate(NAMES * 3)])
    contents.write_predictions(tmp_path, written)
    read = contents.read_predictions(tmp_path)
    assert (read.classes, read.paths) == (written.classes, written.paths)
    assert np.array_equal(read.labels, written.labels)
    assert np.array_equal(read.predicted, written.predicted)
    assert np.array_equal(read.clusters, written.clusters)
    rows, exact = np.arange(len(read.paths)), {"table": 1e-5, "arrays": 1e-6}[form]
    np.testing.assert_allclose(read.probabilities, written.probabilities, rtol={"table": 1e-5, "arrays": 5e-4}[form])
    for column in (written.labels, written.predicted):
        np.testing.assert_allclose(read.probabilities[rows, column], written.probabilities[rows, column], rtol=exact)
    assert read.confidence is not None
    np.testing.assert_allclose(read.confidence, written.probabilities[rows, written.predicted], rtol=exact)


def test_predictions_may_be_read_without_the_probabilities(tmp_path: Path, form: str) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    contents.write_predictions(tmp_path, written)
    read = contents.read_predictions(tmp_path, probabilities=False)
    assert read.probabilities.shape == (3, 0)
    assert np.array_equal(read.clusters, written.clusters)
    assert np.array_equal(read.predicted, written.predicted)
    assert read.confidence is not None
    np.testing.assert_allclose(read.confidence, written.probabilities.max(axis=1), rtol=1e-5)


def test_large_predictions_take_the_place_of_a_table_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    for most, name in ((6, layout.PREDICTIONS), (5, layout.PREDICTION_ARRAYS), (6, layout.PREDICTIONS)):
        monkeypatch.setattr(prediction_files, "MOST_CELLS", most)
        contents.write_predictions(tmp_path, written)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert layout.predictions_file(tmp_path) == tmp_path / name
        assert contents.read_predictions(tmp_path).paths == written.paths


def test_arrays_are_the_same_bytes_for_the_same_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_files, "MOST_CELLS", 0)
    for name in ("first", "second"):
        contents.write_predictions(tmp_path / name, predictions(NAMES, ["a", "b", "c"]))
        time.sleep(0.002)
    first, second = (tmp_path / name / layout.PREDICTION_ARRAYS for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_predictions_of_no_image_are_read_as_none(tmp_path: Path, form: str) -> None:
    contents.write_predictions(tmp_path, predictions(["cat", "dog"], []))
    read = contents.read_predictions(tmp_path)
    assert (read.paths, read.classes, len(read.labels)) == ([], ["cat", "dog"], 0)


@given(data=st.data())
def test_any_damage_to_arrays_is_noticed(data: st.DataObject, large: bytes) -> None:
    """Without a recorded hash: cut anywhere, a changed byte, or anything else in their place."""
    place = data.draw(st.integers(0, len(large) - 1))
    damaged = data.draw(
        st.sampled_from([large[:place], large[:place] + bytes([large[place] ^ 255]) + large[place + 1 :]])
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, layout.PREDICTION_ARRAYS).write_bytes(damaged)
        with contextlib.suppress(UnreadableFileError):  # names and dates of members are of no consequence
            read, whole = contents.read_predictions(Path(folder)), _read(large)
            assert read.paths == whole.paths
            assert np.array_equal(read.probabilities, whole.probabilities)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of arrays."""
    file = tmp_path_factory.mktemp("large") / layout.PREDICTION_ARRAYS
    prediction_files.write_arrays(file, predictions(["cat", "dog", "owl"], ["a", "b", "c", "d"]))
    return file.read_bytes()


def _read(content: bytes) -> Predictions:
    return prediction_files.from_arrays(io.BytesIO(content), probabilities=True)


def foreign_files() -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Arrays that are none of predictions, by what is wrong with them."""
    with np.load(io.BytesIO(_foreign_base())) as base:
        whole = dict(base)
    return {
        "another program's": {"x": np.zeros(3)},
        "a class that there is not": {**whole, "labels": np.array([0, 9, 0], "<i4")},
        "a negative class": {**whole, "predicted": np.array([0, -1, 0], "<i4")},
        "another length": {**whole, "clusters": np.zeros(2, "<i4")},
        "too few classes": {**whole, "probabilities": whole["probabilities"][:, :1]},
        "the wrong way round": {**whole, "probabilities": np.asfortranarray(whole["probabilities"])},
        "other numbers": {**whole, "probabilities": whole["probabilities"].astype("<f8")},
        "objects": {**whole, "labels": np.array([None] * 3)},
        "no text": {**whole, "paths": np.full(6, 255, "|u1")},
    }


def _foreign_base() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        prediction_files.write_arrays(Path(folder, "a.npz"), predictions(["cat", "dog"], ["a", "b", "c"]))
        return Path(folder, "a.npz").read_bytes()


@pytest.mark.parametrize("wrong", foreign_files())
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_foreign_arrays_are_named_with_the_way_out(tmp_path: Path, wrong: str, save: Callable[..., None]) -> None:
    save(tmp_path / layout.PREDICTION_ARRAYS, **foreign_files()[wrong])
    with pytest.raises(UnreadableFileError, match=re.escape(f"move {tmp_path} away")):
        contents.read_predictions(tmp_path)


def test_arrays_that_claim_to_be_huge_take_no_memory(tmp_path: Path, large: bytes) -> None:
    assert large.count(b"(4, 3)") == 1
    (tmp_path / layout.PREDICTION_ARRAYS).write_bytes(large.replace(b"(4, 3), ", b"(4, 3e9)"))
    with pytest.raises(UnreadableFileError):
        contents.read_predictions(tmp_path)


def test_compressed_arrays_are_not_unpacked(tmp_path: Path) -> None:
    """A small file could hold more than the memory takes."""
    with np.load(io.BytesIO(_foreign_base())) as base:
        np.savez_compressed(tmp_path / layout.PREDICTION_ARRAYS, **base)
    with pytest.raises(UnreadableFileError):
        contents.read_predictions(tmp_path)


def test_predictions_of_unequal_length_are_refused(tmp_path: Path, form: str) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    short = dataclasses.replace(written, paths=written.paths[:2])
    with pytest.raises(ValueError, match=r"zip|probabilities"):
        contents.write_predictions(tmp_path, short)
    assert list(tmp_path.iterdir()) == []


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
    contents.write_mix(folder, [Sample(f"train/cat/{i}.png", 0, "cat", "real", f"{i:064}") for i in range(3)])
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

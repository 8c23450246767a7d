"""Where the files of a run are, and what marks it as finished."""

import dataclasses
import math
import re
from pathlib import Path

import pytest

from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.runs import layout
from synthaug.runs.layout import RunKey
from tests.factories.runs import KEY, result


def test_the_folder_of_a_run() -> None:
    assert KEY.folder == Path("digits/64/seed3")
    assert dataclasses.replace(KEY, fold=1).folder == Path("digits/64/seed3-fold1")


@pytest.mark.parametrize("key", [KEY, dataclasses.replace(KEY, fold=0)])
def test_a_key_is_read_as_it_was_written(key: RunKey) -> None:
    assert RunKey.of(key.names) == key
    assert ("fold" in key.names) == (key.fold is not None)


def test_a_run_that_cannot_be_written_down_is_not_finished(tmp_path: Path) -> None:
    write_json(tmp_path / layout.FAILED, {"error": "out of memory"})
    (tmp_path / layout.LAST).write_bytes(b"x")
    with pytest.raises(ValueError, match="not JSON compliant"):
        layout.finish(tmp_path, {**result(), "loss": math.inf}, ())
    assert {path.name for path in tmp_path.iterdir()} == {layout.FAILED, layout.LAST}


def test_a_run_that_lost_its_files_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / layout.MIX).write_text("path", encoding="utf-8")
    with pytest.raises(UserError, match=layout.HISTORY):
        layout.finish(tmp_path, result(), (layout.MIX, layout.HISTORY))
    assert not (tmp_path / layout.RESULT).exists()


def test_a_file_that_is_not_the_one_of_the_run_is_named(tmp_path: Path) -> None:
    checkpoint = tmp_path / layout.CHECKPOINT
    checkpoint.write_bytes(b"weights")
    layout.finish(tmp_path, result(), (layout.CHECKPOINT,))
    layout.require_as_written(tmp_path, layout.CHECKPOINT, read_json(tmp_path / layout.RESULT))
    checkpoint.write_bytes(b"weighty")
    with pytest.raises(UserError, match=layout.CHECKPOINT):
        layout.require_as_written(tmp_path, layout.CHECKPOINT, read_json(tmp_path / layout.RESULT))
    layout.require_as_written(tmp_path, layout.CHECKPOINT, result())  # nothing to compare with


@pytest.mark.parametrize(
    "names",
    [
        {"dataset": "../digits"},
        {"arm": ".."},
        {"dataset": ""},
        {"arm": "sd\x1b[2J"},
        {"arm": 64},
        {"seed": "3"},
        {"seed": True},
        {"seed": 3.0},
    ],
)
def test_names_that_lead_elsewhere_are_none_of_a_run(names: dict[str, object]) -> None:
    recorded = KEY.names
    assert RunKey.of(recorded) == KEY
    with pytest.raises(ValueError, match=re.escape(repr(*names.values()))):
        RunKey.of(recorded | names)
    with pytest.raises(LookupError):
        RunKey.of({name: value for name, value in recorded.items() if name not in names})


@pytest.mark.parametrize("fold", ["1", True, -1])
def test_a_fold_that_is_none_is_refused(fold: object) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(fold))):
        RunKey.of(KEY.names | {"fold": fold})


def test_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        (tmp_path / layout.RESULT).write_text(attempt)
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "a.txt").write_text(attempt)
        aside = layout.set_aside(tmp_path)
        assert (aside / layout.RESULT).read_text() == attempt
        assert (aside / "logs" / "a.txt").read_text() == attempt
    assert {path.name for path in tmp_path.iterdir()} == {"earlier1", "earlier2"}

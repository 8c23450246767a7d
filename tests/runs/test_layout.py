"""Where the files of a run are, and what marks it as finished."""

import math
from pathlib import Path

import pytest

from synthaug.files import write_json
from synthaug.runs import layout
from tests.factories.runs import KEY, result


def test_names_of_a_run() -> None:
    assert KEY.folder == Path("digits/tiny_digits/resnet18/64/seed3")
    assert KEY.label == "64-seed3"


def test_a_run_that_cannot_be_written_down_is_not_finished(tmp_path: Path) -> None:
    write_json(tmp_path / layout.FAILED, {"error": "out of memory"})
    (tmp_path / layout.LAST).write_bytes(b"x")
    with pytest.raises(ValueError, match="not JSON compliant"):
        layout.finish(tmp_path, {**result(), "loss": math.inf})
    assert {path.name for path in tmp_path.iterdir()} == {layout.FAILED, layout.LAST}


def test_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        (tmp_path / layout.RESULT).write_text(attempt)
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "a.txt").write_text(attempt)
        aside = layout.set_aside(tmp_path)
        assert (aside / layout.RESULT).read_text() == attempt
        assert (aside / "logs" / "a.txt").read_text() == attempt
    assert {path.name for path in tmp_path.iterdir()} == {"earlier1", "earlier2"}

"""The run folder and the study folder: what is written can be read again, and nothing is half there."""

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.errors import UserError
from synthaug.files import read_json, write_json, write_rows
from synthaug.runs import contents, discovery, identity, layout, planning
from synthaug.runs.contents import MixRow, Predictions
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun

KEY = RunKey("digits", "tiny_digits", "resnet18", "64", 3)


def result(key: RunKey = KEY, real: float = 0.4, synthetic: float = 0.6) -> dict[str, Any]:
    names = {"dataset": key.dataset, "generator": key.generator, "model": key.model, "arm": key.arm, "seed": key.seed}
    return {"format": layout.FORMAT, **names, "mix": {"real": real, "synthetic": synthetic}}


def planned(arm: str, seed: int, real: float = 1.0, synthetic: float = 0.0) -> PlannedRun:
    return PlannedRun(RunKey("digits", "tiny_digits", "resnet18", arm, seed), real, synthetic)


def predictions(classes: list[str], paths: list[str]) -> Predictions:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(len(classes)), len(paths))
    labels = random.integers(0, len(classes), len(paths))
    return Predictions(paths, labels, probabilities.argmax(1), probabilities, classes)


# --- files that can be read again --------------------------------------------------------------------------


# Classes may be called like the columns, like their prefix, like numbers; paths may hold whatever a path may.
NAMES = ["path", "label", "p:", "p:cat", "1.0", "", "a,b", 'a"b', "a\nb", "猫", " ", "nan"]


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = predictions(NAMES, [f"test/{name}/{number}.png" for number, name in enumerate(NAMES * 3)])
    contents.write_predictions(tmp_path, written)
    read = contents.read_predictions(tmp_path)
    assert (read.classes, read.paths) == (written.classes, written.paths)
    assert np.array_equal(read.labels, written.labels)
    assert np.array_equal(read.predicted, written.predicted)
    np.testing.assert_allclose(read.probabilities, written.probabilities, rtol=1e-5)


def test_predictions_may_be_read_without_the_probabilities(tmp_path: Path) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    contents.write_predictions(tmp_path, written)
    read = contents.read_predictions(tmp_path, probabilities=False)
    assert read.probabilities.shape == (3, 0)
    assert np.array_equal(read.predicted, written.predicted)


def test_predictions_of_unequal_length_are_refused(tmp_path: Path) -> None:
    written = predictions(["cat", "dog"], ["a", "b", "c"])
    short = Predictions(written.paths[:2], written.labels, written.predicted, written.probabilities, written.classes)
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


def test_lines_end_the_same_on_every_system(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["a", "b"], [[1, 2]])
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n1,2\n"


def test_rows_that_fail_halfway_leave_the_older_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["a"], [[1]])
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / "a.csv", ["a"], ([1 / (2 - number)] for number in range(4)))
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_json_is_readable_and_holds_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "猫", "values": [1, 0.5, None]})
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"name": "猫", "values": [1, 0.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"loss": math.nan})
    assert not (tmp_path / "b.json").exists()


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_json_to_the_last_bit(number: float) -> None:
    assert json.loads(json.dumps(number, allow_nan=False)) == number


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"half": ', "is damaged"), (b"", "is damaged"), (b"\xff\xfe", "is damaged"), (b"[1]", "JSON object")],
)
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "move it away and run the same command again" in str(caught.value)


# --- the run folder ------------------------------------------------------------------------------------------


def test_names_of_a_run() -> None:
    assert KEY.folder == Path("digits/tiny_digits/resnet18/64/seed3")
    assert KEY.label == "64-seed3"


def test_the_states_of_a_run(tmp_path: Path) -> None:
    def state() -> str:
        return discovery.read_run(tmp_path, KEY, 0.4, 0.6).state

    assert state() == "missing"
    (tmp_path / layout.CONFIG).write_text("seed: 3\n")
    assert state() == "unfinished"
    write_json(tmp_path / layout.FAILED, {"error": "out of memory", "type": "RuntimeError"})
    assert state() == "failed"
    (tmp_path / layout.LAST).write_bytes(b"x")
    (tmp_path / ".best-0123abcd.ckpt").write_bytes(b"x")  # the process was killed while it wrote
    layout.finish(tmp_path, result())
    assert state() == "finished"
    assert {path.name for path in tmp_path.iterdir()} == {layout.CONFIG, layout.RESULT}


def test_a_run_that_cannot_be_written_down_is_not_finished(tmp_path: Path) -> None:
    write_json(tmp_path / layout.FAILED, {"error": "out of memory"})
    (tmp_path / layout.LAST).write_bytes(b"x")
    with pytest.raises(ValueError, match="not JSON compliant"):
        layout.finish(tmp_path, {**result(), "loss": math.inf})
    assert {path.name for path in tmp_path.iterdir()} == {layout.FAILED, layout.LAST}


def test_a_run_says_what_it_holds(tmp_path: Path) -> None:
    write_json(tmp_path / layout.FAILED, {"error": "out of memory"})
    failed = discovery.read_run(tmp_path, KEY, 0.4, 0.6)
    assert (failed.result, failed.failure) == (None, {"error": "out of memory"})
    write_json(tmp_path / layout.RESULT, result())
    finished = discovery.read_run(tmp_path, KEY, 0.4, 0.6)
    assert (finished.result, finished.failure) == (result(), None)
    assert (finished.key, finished.folder, finished.real, finished.synthetic) == (KEY, tmp_path, 0.4, 0.6)


def test_a_damaged_result_is_a_failed_run_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / layout.RESULT).write_text('{"half": ')
    run = discovery.read_run(tmp_path, KEY, 0.4, 0.6)
    assert run.state == "failed"
    assert run.failure is not None
    assert "is damaged" in run.failure["error"]


def test_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        (tmp_path / layout.RESULT).write_text(attempt)
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "a.txt").write_text(attempt)
        aside = layout.set_aside(tmp_path)
        assert (aside / layout.RESULT).read_text() == attempt
        assert (aside / "logs" / "a.txt").read_text() == attempt
    assert {path.name for path in tmp_path.iterdir()} == {"earlier1", "earlier2"}


# --- the study folder ----------------------------------------------------------------------------------------


def test_a_study_without_a_plan_is_empty(tmp_path: Path) -> None:
    assert planning.read_plan(tmp_path) == []
    assert discovery.find_runs(tmp_path) == []


def test_a_plan_grows_and_holds_every_run_once(tmp_path: Path) -> None:
    study = tmp_path / "new" / "study"
    planning.plan(study, [planned("real", 0), planned("64", 0, 0.4, 0.6)])
    planning.plan(study, [planned("64", 0, 0.4, 0.6), planned("64", 1, 0.4, 0.6)])
    assert planning.read_plan(study) == [planned("64", 0, 0.4, 0.6), planned("64", 1, 0.4, 0.6), planned("real", 0)]


def test_the_margin_of_the_last_command_is_kept(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0)])
    assert planning.read_margin(tmp_path) == 0.01
    planning.plan(tmp_path, [planned("real", 1)], margin=0.5)
    planning.plan(tmp_path, [planned("55", 0, 0.5, 0.5)])
    assert planning.read_margin(tmp_path) == 0.005
    planning.plan(tmp_path, [], margin=2)
    assert (planning.read_margin(tmp_path), len(planning.read_plan(tmp_path))) == (0.02, 3)


def test_a_study_without_a_margin_means_one_point(tmp_path: Path) -> None:
    assert planning.read_margin(tmp_path) == 0.01
    write_json(tmp_path / layout.PLANNED, {"format": 1, "runs": []})
    assert planning.read_margin(tmp_path) == 0.01


@pytest.mark.parametrize("changed", [{"margin": 2.0}, {"controls": True}])
def test_what_a_study_asks_for_beside_its_runs_makes_no_other_run(changed: dict[str, object]) -> None:
    settings = {"seed": 0, "margin": 1.0, "controls": False}
    assert identity.differences(settings, settings | changed) == {}
    assert identity.differences({"seed": 0}, settings | changed) == {}


def test_runs_are_found_whether_planned_or_not(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0), planned("64", 0, 0.4, 0.6), planned("82", 0, 0.2, 0.8)])
    for run in (planned("real", 0), planned("55", 7, 0.5, 0.5)):
        write_json(tmp_path / run.key.folder / layout.RESULT, result(run.key, run.real, run.synthetic))
    write_json(tmp_path / planned("82", 0).key.folder / layout.FAILED, {"error": "x"})
    found = [(run.key.arm, run.key.seed, run.synthetic, run.state) for run in discovery.find_runs(tmp_path)]
    assert found == [
        ("real", 0, 0.0, "finished"),
        ("55", 7, 0.5, "finished"),
        ("64", 0, 0.6, "missing"),
        ("82", 0, 0.8, "failed"),
    ]


def test_an_arms_own_augmentation_is_planned_and_found(tmp_path: Path) -> None:
    own = {"policy": "trivial", "scale": [0.5, 1.0]}
    strong = dataclasses.replace(planned("strong", 0), augment=own)
    planning.plan(tmp_path, [strong, planned("real", 0)])
    assert planning.read_plan(tmp_path) == [planned("real", 0), strong]
    (tmp_path / layout.PLANNED).unlink()
    key = planned("more", 0).key
    content = result(key, 1, 0)
    write_json(tmp_path / key.folder / layout.RESULT, content | {"mix": content["mix"] | {"augment": own}})
    planning.plan(tmp_path, [strong, planned("real", 0)])
    found = {run.key.arm: run.augment for run in discovery.find_runs(tmp_path)}
    assert found == {"real": None, "more": own, "strong": own}
    assert list(found) == ["real", "more", "strong"], "after the arm without"


def test_a_plan_that_knows_of_no_augmentation_is_read(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0)])
    content = read_json(tmp_path / layout.PLANNED)
    for entry in content["runs"]:
        del entry["augment"]
    write_json(tmp_path / layout.PLANNED, content)
    assert planning.read_plan(tmp_path) == [planned("real", 0)]


def test_runs_from_before_a_setting_was_there_are_the_same_run() -> None:
    crop = {"scale": [0.8, 1.0], "rotation": 10.0}
    before = {"dataset": {"augment": crop}, "mix": {"real": 1.0, "synthetic": 0.0}}
    added = {"whole": False, "vertical_flip": 0.0, "hue": 0.0, "grayscale": 0.0, "blur": 0.0, "policy": None}
    now = {
        "dataset": {"augment": crop | added | {"erasing": 0.0}},
        "mix": {"real": 1.0, "synthetic": 0.0, "augment": None},
    }
    assert identity.difference(before, now) == []
    changed = {
        "dataset": {"augment": crop | added | {"erasing": 0.5}},
        "mix": {"real": 1.0, "synthetic": 0.0, "augment": {"policy": "rand"}},
    }
    for there, erasing in ((before, "absent"), (now, 0.0)):
        assert identity.difference(there, changed) == [
            f"dataset.augment.erasing: {erasing} there, 0.5 now",
            "mix.augment.policy: absent there, rand now",
        ]


def test_runs_are_sorted_by_synthetic_share_and_then_by_seed(tmp_path: Path) -> None:
    runs = [
        planned("synthetic", 0, 0, 1),
        planned("add100", 0, 1, 1),
        planned("real200", 0, 2, 0),
        planned("real20", 10, 0.2, 0),
        planned("real20", 9, 0.2, 0),
        planned("55", 0, 0.5, 0.5),
        planned("real", 0),
    ]
    planning.plan(tmp_path, runs)
    found = [(run.key.arm, run.key.seed) for run in discovery.find_runs(tmp_path)]
    without = [("real", 0), ("real20", 9), ("real20", 10), ("real200", 0)]
    assert found == [*without, ("add100", 0), ("55", 0), ("synthetic", 0)]


def test_earlier_attempts_are_no_runs(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0)])
    folder = tmp_path / planned("real", 0).key.folder
    write_json(folder / layout.RESULT, result(planned("real", 0).key, 1, 0))
    layout.set_aside(folder)
    assert [run.state for run in discovery.find_runs(tmp_path)] == ["missing"]


def test_an_unplanned_result_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stray = tmp_path / "digits" / "tiny_digits" / "resnet18" / "real" / "seed0"
    stray.mkdir(parents=True)
    (stray / layout.RESULT).write_text("{", encoding="utf-8")
    assert discovery.find_runs(tmp_path) == []
    assert str(stray) in caplog.text


def test_a_damaged_failure_is_still_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / layout.FAILED).write_text("{", encoding="utf-8")
    run = discovery.read_run(tmp_path, layout.RunKey("d", "g", "m", "real", 0), 1, 0)
    assert run.state == "failed"


# --- what counts as the same run ------------------------------------------------------------------


def test_a_key_that_a_later_version_added_and_that_is_off_makes_no_other_run() -> None:
    before = {"seed": 0, "dataset": {"image_size": 32}, "model": {"lr": 0.1}}
    new: dict[str, object] = {"split": None, "whole": False, "hue": 0.0, "templates": [], "augment": {}}
    assert identity.differences(before, {**before, "prompts": new}) == {}
    assert identity.differences({**before, "prompts": new}, before) == {}
    assert identity.differences(before, {**before, "prompts": {"hue": 0.1}}) == {"prompts.hue": ("absent", 0.1)}
    assert identity.differences(before, {**before, "budget": "epochs"}) == {}
    assert identity.differences(before, {**before, "budget": "steps"}) == {"budget": ("absent", "steps")}
    # An argument that is left out has the default of what it is given to, which need not be off.
    after = {**before, "model": {"lr": 0.1, "synthetic_weight": 0}}
    assert identity.differences(before, after) == {"model.synthetic_weight": ("absent", 0)}

"""The runs of a study as they are on disk."""

import dataclasses
from pathlib import Path

import pytest

from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.runs import discovery, layout, planning
from synthaug.runs.layout import RunKey
from tests.factories.runs import KEY, planned, result
from tests.factories.studies import MadeUp, make_study

MADE_UP = MadeUp(arms={"real": (1.0, 0.0), "64": (0.4, 0.6)}, n_test=20, n_train=20)
PLANNED = planned("64", 3, 0.4, 0.6)
OF_MADE_UP = RunKey("digits", "64", 0)


def test_the_states_of_a_run(tmp_path: Path) -> None:
    def state() -> str:
        return discovery.read_run(tmp_path, PLANNED, "64").state

    assert state() == "missing"
    (tmp_path / layout.CONFIG).write_text("seed: 3\n")
    assert state() == "unfinished"
    write_json(tmp_path / layout.FAILED, {"error": "out of memory", "type": "RuntimeError"})
    assert state() == "failed"
    (tmp_path / layout.LAST).write_bytes(b"x")
    (tmp_path / ".best-0123abcd.ckpt").write_bytes(b"x")  # the process was killed while it wrote
    layout.finish(tmp_path, result(), ())
    assert state() == "finished"
    assert {path.name for path in tmp_path.iterdir()} == {layout.CONFIG, layout.RESULT}


def test_a_run_says_what_it_holds(tmp_path: Path) -> None:
    write_json(tmp_path / layout.FAILED, {"error": "out of memory"})
    failed = discovery.read_run(tmp_path, PLANNED, "64")
    assert (failed.result, failed.failure) == (None, {"error": "out of memory"})
    write_json(tmp_path / layout.RESULT, result())
    finished = discovery.read_run(tmp_path, PLANNED, "64")
    assert (finished.result, finished.failure) == (result(), None)
    assert (finished.key, finished.folder, finished.real, finished.synthetic) == (KEY, tmp_path, 0.4, 0.6)


def test_a_damaged_result_is_a_failed_run_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / layout.RESULT).write_text('{"half": ')
    run = discovery.read_run(tmp_path, PLANNED, "64")
    assert run.state == "failed"
    assert run.failure is not None
    assert "is damaged" in run.failure["error"]


def test_runs_are_found_whether_planned_or_not(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0), planned("64", 0, 0.4, 0.6), planned("82", 0, 0.2, 0.8)])
    for run in (planned("real", 0), planned("55", 7, 0.5, 0.5)):
        amounts = run.settings["mix.real"], run.settings["mix.synthetic"]
        write_json(tmp_path / run.key.folder / layout.RESULT, result(run.key, *amounts))
    write_json(tmp_path / planned("82", 0).key.folder / layout.FAILED, {"error": "x"})
    actual = [(run.key.arm, run.key.seed, run.synthetic, run.state) for run in discovery.find_runs(tmp_path)]
    assert actual == [
        ("real", 0, 0.0, "finished"),
        ("55", 7, 0.5, "finished"),
        ("64", 0, 0.6, "missing"),
        ("82", 0, 0.8, "failed"),
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
    actual = [(run.key.arm, run.key.seed) for run in discovery.find_runs(tmp_path)]
    without = [("real", 0), ("real20", 9), ("real20", 10), ("real200", 0)]
    assert actual == [*without, ("add100", 0), ("55", 0), ("synthetic", 0)]


def test_earlier_attempts_are_no_runs(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0)])
    folder = tmp_path / planned("real", 0).key.folder
    write_json(folder / layout.RESULT, result(planned("real", 0).key, 1, 0))
    layout.set_aside(folder)
    assert [run.state for run in discovery.find_runs(tmp_path)] == ["missing"]


def test_an_unplanned_result_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stray = tmp_path / "digits" / "real" / "seed0"
    stray.mkdir(parents=True)
    (stray / layout.RESULT).write_text("{", encoding="utf-8")
    assert discovery.find_runs(tmp_path) == []
    assert str(stray) in caplog.text


def test_a_result_in_the_folder_of_another_run_is_none_of_the_study(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = planned("real", 0).key
    for folder in (key.folder, Path("other", *key.folder.parts[1:]), key.folder.with_name("seed7")):
        (tmp_path / folder).mkdir(parents=True)
        write_json(tmp_path / folder / layout.RESULT, result(key, 1, 0))
    assert [run.folder for run in discovery.find_runs(tmp_path)] == [tmp_path / key.folder]
    assert len(caplog.records) == 2
    with pytest.raises(UserError, match="seed0"):
        discovery.load_run(tmp_path / key.folder.with_name("seed7"))


@pytest.mark.parametrize(("real", "synthetic"), [(0.9, 0.6), (0.4, 0.1)])
def test_a_plan_with_other_numbers_than_the_result_is_a_contradiction(
    tmp_path: Path, real: float, synthetic: float
) -> None:
    write_json(tmp_path / layout.RESULT, result(KEY, 0.4, 0.6))
    assert discovery.read_run(tmp_path, PLANNED, "64").state == "finished"
    run = discovery.read_run(tmp_path, planned("64", 3, real, synthetic), "64")
    assert (run.state, (run.failure or {})["type"]) == ("failed", "damaged")


def test_a_damaged_failure_is_still_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / layout.FAILED).write_text("{", encoding="utf-8")
    run = discovery.read_run(tmp_path, planned("real", 0), "real")
    assert run.state == "failed"


def test_an_augmentation_of_the_arm_is_read_from_plan_or_result(tmp_path: Path) -> None:
    augment = {"policy": "trivial", "scale": [0.5, 1.0]}
    strong = planned("strong", 0)
    strong = dataclasses.replace(
        strong, settings={**strong.settings, **{f"mix.augment.{name}": value for name, value in augment.items()}}
    )
    planning.plan(tmp_path, [strong, planned("real", 0)])
    assert planning.read_plan(tmp_path).runs == (planned("real", 0), strong)
    key = planned("more", 0).key
    content = result(key, 1, 0)
    content["settings"]["mix"]["augment"] = augment
    write_json(tmp_path / key.folder / layout.RESULT, content)
    augment_of = {run.key.arm: run.augment for run in discovery.find_runs(tmp_path)}
    assert augment_of == {"real": {}, "more": augment, "strong": augment}
    assert list(augment_of) == ["real", "more", "strong"], "after the arm without"


def test_a_folder_that_is_no_run_lists_its_runs(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MADE_UP)
    with pytest.raises(UserError, match=r"is a study\. Give one of its runs:\n  - .*64/seed0\n  - "):
        discovery.load_run(study)
    with pytest.raises(UserError, match="is not a run itself"):
        discovery.load_run(study / "digits")
    with pytest.raises(UserError, match="is a study"):
        discovery.load_run(study / OF_MADE_UP.folder / ".." / ".." / "..")
    with pytest.raises(UserError, match="is not a folder"):
        discovery.load_run(study / "nothing")
    with pytest.raises(UserError, match=r"result\.json is a file"):
        discovery.load_run(study / OF_MADE_UP.folder / layout.RESULT)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="holds no run"):
        discovery.load_run(tmp_path / "photos")


def test_runs_without_numbers_say_why(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", dataclasses.replace(MADE_UP, failed=[("real", 0)], unfinished=[("64", 0)]))
    with pytest.raises(UserError, match="failed, so it has no result: loss is <nan>"):
        discovery.load_run(study / dataclasses.replace(OF_MADE_UP, arm="real").folder)
    with pytest.raises(UserError, match="is not finished, so it has no result"):
        discovery.load_run(study / OF_MADE_UP.folder)


def test_a_result_of_another_version_or_a_damaged_one(tmp_path: Path) -> None:
    run = make_study(tmp_path / "study", MADE_UP) / OF_MADE_UP.folder
    content = read_json(run / layout.RESULT)
    write_json(run / layout.RESULT, content | {"format": 99})
    with pytest.raises(UserError, match=rf"has format 99, this version reads {layout.FORMAT}: .* \(0\.1\.0\)"):
        discovery.load_run(run)
    write_json(run / layout.RESULT, {"format": layout.FORMAT})
    with pytest.raises(UserError, match="is damaged"):
        discovery.load_run(run)

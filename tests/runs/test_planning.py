"""The plan of a study: every requested run once, and the margin of the last command."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.runs import discovery, layout, planning
from synthaug.runs.layout import RunKey
from synthaug.runs.planning import PlannedRun, StudyPlan
from tests.factories.runs import planned

# Plans one run, and waits for a line between reading the plan and writing it.
SLOW_PLANNER = """
import sys
from pathlib import Path
from synthaug.runs import planning
from tests.factories.runs import planned

write_json = planning.write_json

def wait_and_write(path, content, editable):
    print("has read the plan", flush=True)
    sys.stdin.readline()
    write_json(path, content, editable)

planning.write_json = wait_and_write
planning.plan(Path(sys.argv[1]), [planned("slow", 0)])
"""


def test_a_study_without_a_plan_is_empty(tmp_path: Path) -> None:
    assert planning.read_plan(tmp_path) == StudyPlan((), 1)
    assert discovery.find_runs(tmp_path) == []


def test_a_plan_grows_and_holds_every_run_once(tmp_path: Path) -> None:
    study = tmp_path / "new" / "study"
    planning.plan(study, [planned("real", 0), planned("64", 0, 0.4, 0.6)])
    planning.plan(study, [planned("64", 0, 0.4, 0.6), planned("64", 1, 0.4, 0.6)])
    runs = (planned("64", 0, 0.4, 0.6), planned("64", 1, 0.4, 0.6), planned("real", 0))
    assert planning.read_plan(study).runs == runs


def test_the_margin_of_the_last_command_is_kept(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0)])
    assert planning.read_plan(tmp_path).margin == 1
    planning.plan(tmp_path, [planned("real", 1)], margin_points=0.5)
    planning.plan(tmp_path, [planned("55", 0, 0.5, 0.5)])
    assert planning.read_plan(tmp_path).margin == 0.5
    planning.plan(tmp_path, [], margin_points=2)
    plan = planning.read_plan(tmp_path)
    assert (plan.margin, len(plan.runs)) == (2, 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda plan: {},
        lambda plan: {**plan, "runs": {}} | {"runs": None},
        lambda plan: {**plan, "runs": [{"dataset": "digits", "arm": "real", "sead": 1}]},
        lambda plan: {**plan, "arms": []},
        lambda plan: {**plan, "settings": {**plan["settings"], "mix.real": "all"}},
        lambda plan: {**plan, "settings": None},
        lambda plan: {**plan, "comparisons": [{"dataset": "digits", "arms": ["real"], "exploratory": False}]},
        lambda plan: {**plan, "runs": [{**plan["runs"][0], "dataset": "../digits"}]},
        lambda plan: {**plan, "runs": ["real"]},
        lambda plan: {**plan, "margin": "1"},
        lambda plan: {**plan, "margin": -1},
    ],
)
def test_a_plan_that_cannot_be_used_is_named(tmp_path: Path, damage: Callable[[Any], dict[str, Any]]) -> None:
    planning.plan(tmp_path, [planned("real", 0)])
    path = tmp_path / layout.PLANNED
    write_json(path, damage(read_json(path)))
    with pytest.raises(UserError, match="is damaged") as reading:
        planning.read_plan(tmp_path)
    with pytest.raises(UserError, match="is damaged") as planning_more:
        planning.plan(tmp_path, [planned("64", 0)])
    assert all(str(path) in str(caught.value) for caught in (reading, planning_more))


def test_an_entry_may_be_deleted_by_hand(tmp_path: Path) -> None:
    planning.plan(tmp_path, [planned("real", 0), planned("64", 0)])
    path = tmp_path / layout.PLANNED
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "runs": content["runs"][1:]}), encoding="utf-8")
    assert planning.read_plan(tmp_path).runs == (planned("real", 0),)


@pytest.mark.parametrize("content", [{}, {"seeds": 3}, {"seeds": ["many"]}])
def test_looks_that_cannot_be_read_are_named(tmp_path: Path, content: dict[str, Any]) -> None:
    write_json(tmp_path / layout.LOOKS, content)
    with pytest.raises(UserError, match="is damaged"):
        planning.read_plan(tmp_path)


def test_two_processes_that_plan_at_once_lose_no_run(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_PLANNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdin
        assert slow.stdout
        slow.stdout.readline()
        fast = threading.Thread(target=planning.plan, args=(tmp_path, [planned("fast", 0)]))
        fast.start()
        fast.join(0.3)  # time to write, if nothing holds it back
        slow.stdin.write("\n")
        slow.stdin.flush()
        assert slow.wait(30) == 0
        fast.join(30)
    assert planning.read_plan(tmp_path).runs == (planned("fast", 0), planned("slow", 0))


# --- comparisons that a study names -----------------------------------------------------------------


ARMS = [planned("real", 0), planned("64", 0, 0.4, 0.6), planned("strong", 0)]


def finish(study: Path, *arms: str) -> None:
    for arm in arms:
        write_json(study / "digits" / arm / "seed0" / layout.RESULT, {})


def pairs(study: Path) -> list[tuple[str, str, bool]]:
    return [(item.first, item.second, item.exploratory) for item in planning.read_plan(study).comparisons]


def test_a_pair_is_planned_until_both_arms_have_results(tmp_path: Path) -> None:
    planning.plan(tmp_path, ARMS)
    finish(tmp_path, "64")
    planning.plan(tmp_path, ARMS, compare=[["64", "strong"]])
    assert pairs(tmp_path) == [("64", "strong", False)]
    finish(tmp_path, "strong", "real")
    planning.plan(tmp_path, ARMS, compare=[["strong", "64"], ["strong", "real"]])
    assert pairs(tmp_path) == [("64", "strong", False), ("strong", "real", True)], "asked again it stays planned"
    planning.plan(tmp_path, [planned("82", 0, 0.2, 0.8)])
    assert len(pairs(tmp_path)) == 2


def test_all_pairs(tmp_path: Path) -> None:
    planning.plan(tmp_path, ARMS, compare=planning.ALL)
    assert [pair[:2] for pair in pairs(tmp_path)] == [("64", "real"), ("64", "strong"), ("real", "strong")]


def test_a_pair_of_a_dropped_arm_is_dropped(tmp_path: Path) -> None:
    planning.plan(tmp_path, ARMS, compare=[["64", "strong"]])
    content = read_json(tmp_path / layout.PLANNED)
    content["runs"] = [run for run in content["runs"] if run["arm"] != "strong"]
    write_json(tmp_path / layout.PLANNED, content)
    assert pairs(tmp_path) == []


@pytest.mark.parametrize(
    ("compare", "problem"),
    [
        ([["64", "82"]], "'82' is not an arm"),
        ([["64", "64"]], "both are the arm 64"),
        ([["", "64"]], "'' is not an arm"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_named(tmp_path: Path, compare: list[list[str]], problem: str) -> None:
    assert planning.check_comparisons(ARMS, tmp_path, [["64", "real"]]) == []
    (message,) = planning.check_comparisons(ARMS, tmp_path, compare)
    assert problem in message
    with pytest.raises(UserError):
        planning.plan(tmp_path, ARMS, compare=compare)


def test_an_arm_is_meant_by_parts_of_its_name() -> None:
    names = {("d", "a-1"): "64 · sd15 · guidance 2", ("d", "a-2"): "64 · sdxl · guidance 2", ("d", "r-3"): "real"}
    assert planning.find_arm(names, "64, sdxl") == [("d", "a-2")]
    assert planning.find_arm(names, "a-1") == planning.find_arm(names, "guidance 2 · sd15") == [("d", "a-1")]
    with pytest.raises(UserError, match="several arms"):
        planning.find_arm(names, "64")


def test_what_arms_share_is_written_once(tmp_path: Path) -> None:
    planning.plan(tmp_path, ARMS)
    content = read_json(tmp_path / layout.PLANNED)
    assert all(content["settings"].keys().isdisjoint(arm["settings"]) for arm in content["arms"])
    assert planning.read_plan(tmp_path).runs == tuple(sorted(ARMS, key=lambda run: run.key))


def test_a_plan_has_the_folds_of_its_arms(tmp_path: Path) -> None:
    settings = {"mix.name": "real", "mix.real": 1.0, "mix.synthetic": 0.0, "folds": 2}
    runs = [PlannedRun(RunKey("digits", "real", 0, fold), settings) for fold in (1, 0)]
    planning.plan(tmp_path, runs)
    assert planning.read_plan(tmp_path).runs == (runs[1], runs[0])
    content = read_json(tmp_path / layout.PLANNED)
    for fold in (2, None, "0"):
        content["runs"][0]["fold"] = fold
        write_json(tmp_path / layout.PLANNED, content, editable=True)
        with pytest.raises(UserError, match="fold"):
            planning.read_plan(tmp_path)


def test_all_pairs_of_very_many_arms_are_refused(tmp_path: Path) -> None:
    many = [planned(f"a{number}", 0) for number in range(planning.MOST_ARMS + 1)]
    assert planning.check_comparisons(many[:-1], tmp_path, planning.ALL) == []
    (problem,) = planning.check_comparisons(many, tmp_path, planning.ALL)
    assert "1,275 pairs" in problem

"""The plan of a study: every requested run once, and the margin of the last command."""

import subprocess
import sys
import threading
from pathlib import Path

from synthaug.runs import discovery, planning
from synthaug.runs.planning import StudyPlan
from tests.factories.runs import planned

# Plans one run, and waits for a line between reading the plan and writing it.
SLOW_PLANNER = """
import sys
from pathlib import Path
from synthaug.runs import planning
from tests.factories.runs import planned

write_json = planning.write_json

def wait_and_write(path, content):
    print("has read the plan", flush=True)
    sys.stdin.readline()
    write_json(path, content)

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

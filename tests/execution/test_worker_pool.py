"""Runs beside each other: which begins when, what becomes of those whose process ends, how all are stopped."""

import logging
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug import progress_bar, signals
from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.config.sweep import Combination
from synthaug.errors import UserError
from synthaug.execution import worker_pool
from synthaug.execution.parallelism import Concurrency
from synthaug.execution.session import Session
from synthaug.execution.sweep_time import makespan
from synthaug.execution.worker import ProcessContext
from synthaug.progress_bar import Step
from tests.factories import processes  # shares its process with imported libraries, from which workers are forked
from tests.factories.commands import jobs_of

COMMAND = "THE_COMMAND"  # variable with the process of the command
assert processes


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Have SIGINT raise, as it does not where the tests run in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def fake_run(session: Session, job: Job) -> None:
    """What a run does depends on its seed."""
    log = logging.getLogger("synthaug.fake")
    assert multiprocessing.get_start_method(allow_none=True) is None, "a data loader would import torch anew"
    if 20 <= job.key.seed < 30:
        _make_images(job)
    if 30 <= job.key.seed < 40:
        _meet_two_others(job)
    if job.key.seed == 40:
        _make_images_until_another_has_run(session, job)
    ready = [job] if job.key.seed >= 40 else session.jobs.values()
    progress_bar.report(Step("begins", 0, 1, ready=frozenset(sibling.folder for sibling in ready)))
    if job.key.seed == 1:
        session.failed.append(job.label)
        log.error("%s failed", job.label)
    elif job.key.seed in (2, 5) and not _is_last_attempt(job):
        os.kill(os.getpid(), signal.SIGKILL)
    elif 10 <= job.key.seed < 20:
        _wait_until_stopped(job)
    session.announced.add(job.label)
    print(f"{job.label} prints")
    log.warning("what every run warns of")
    log.info("%s ends", job.label)
    (Path(job.settings["output_dir"]) / job.label).write_text(str(os.getpid()), encoding="utf-8")


def _make_images(job: Job) -> None:
    """Make what the runs share, alone; the process of seed 20 is killed meanwhile."""
    folder = Path(job.settings["output_dir"])
    if (folder / "complete").exists():
        return
    (folder / "making").mkdir()
    if job.key.seed == 20:
        (folder / "making").rmdir()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.4)  # as long as it takes to start further processes
    (folder / "making").rmdir()
    (folder / "complete").touch()


def _meet_two_others(job: Job) -> None:
    """Wait until three such runs work at the same time."""
    folder, end = Path(job.settings["output_dir"]), time.monotonic() + 30
    (folder / f"{job.label} works").touch()
    while len(list(folder.glob("* works"))) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)


def _make_images_until_another_has_run(session: Session, job: Job) -> None:
    """Say that the images of seed 41 are complete, and make those of all others until that run is at its end."""
    other = next(sibling for sibling in session.jobs.values() if sibling.key.seed == 41)
    progress_bar.report(Step("images", 0, 1, ready=frozenset({other.folder})))
    folder, end = Path(job.settings["output_dir"]), time.monotonic() + 30
    while not (folder / other.label).exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert [path.name for path in folder.glob("55-seed*")] == [other.label]


def _is_last_attempt(job: Job) -> bool:
    """Whether a run is to live: number 2 is always killed, number 5 the first time."""
    attempts = Path(job.settings["output_dir"]) / f"attempts of {job.label}"
    with attempts.open("a", encoding="utf-8") as stream:
        stream.write(f"{sorted(path.name for path in attempts.parent.glob('real-seed*'))}\n")
    return job.key.seed == 5 and len(attempts.read_text(encoding="utf-8").splitlines()) == 2


def _wait_until_stopped(job: Job) -> None:
    folder = Path(job.settings["output_dir"])
    try:
        (folder / f"{job.label} waits").touch()
        if job.key.seed == 11:
            while not (folder / "real-seed10 waits").exists():
                time.sleep(0.01)
            os.kill(int(os.environ[COMMAND]), signal.Signals[os.environ["SIGNAL"]])
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / f"{job.label} left").touch()
        sys.exit(130)


@pytest.fixture
def handler() -> Iterator[logging.Handler]:
    """The log of the command; the handlers of the tests come back after it."""
    before, records = logging.root.handlers[:], Records()
    yield records
    logging.root.handlers[:] = before


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    handler: logging.Handler,
    seeds: str,
    workers: int = 2,
    mix: str = "real",
    last: int = 0,
) -> tuple[Session, list[tuple[str, str]]]:
    """Carry out fake runs; the session, and the failures that were recorded."""
    monkeypatch.setenv(COMMAND, str(os.getpid()))
    monkeypatch.setattr(logging.root, "level", logging.INFO)
    schema.register()
    session = Session(fake_run)
    jobs = jobs_of("-m", f"mix={mix}", f"seed={seeds}", f"output_dir={tmp_path}")
    session.jobs = {(f"seed={job.key.seed}",): job for job in jobs}
    recorded: list[tuple[str, str]] = []
    combinations: list[Combination] = list(session.jobs)

    def record(job: Job, error: Exception) -> None:
        recorded.append((job.label, str(error)))

    worker_pool.run_in_workers(session, combinations, Concurrency(workers, last), record, {jobs[0].study: [handler]})
    return session, recorded


def test_runs_that_fail_or_are_killed_do_not_keep_the_others_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    session, recorded = run(tmp_path, monkeypatch, handler, "0,1,2,3,4,5")
    assert sorted(session.failed) == ["real-seed1", "real-seed2"]
    ((label, message),) = recorded
    assert label == "real-seed2"
    assert "SIGKILL" in message
    attempts = {seed: (tmp_path / f"attempts of real-seed{seed}").read_text(encoding="utf-8") for seed in (2, 5)}
    assert [len(text.splitlines()) for text in attempts.values()] == [2, 2]
    finished = {f"real-seed{seed}" for seed in (0, 1, 3, 4)}
    last = attempts[2].splitlines()[-1]
    assert all(label in last for label in finished), "it is tried again once all others are finished"
    ran = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("real-seed*")}
    assert ran.keys() == finished | {"real-seed5"}
    assert len(set(ran.values())) < len(ran), "a worker has more than one run"
    assert str(os.getpid()) not in ran.values()
    assert session.announced == set(ran)
    assert {message for message in handler.messages if message.startswith("real-seed") and ":" not in message} == {
        "real-seed1 failed", *(f"{label} ends" for label in ran)
    }  # fmt: skip
    assert handler.messages.count("what every run warns of") == 1
    assert capfd.readouterr().err.count("prints") == 5


def test_the_last_runs_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any) -> None:
    session, recorded = run(tmp_path, monkeypatch, handler, "0,30,31,32", last=3)
    assert not recorded
    assert not session.failed
    assert len(list(tmp_path.glob("* works"))) == 3


def test_images_that_a_killed_process_was_making_are_resumed_by_one_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    session, recorded = run(tmp_path, monkeypatch, handler, "20,21,22,23", workers=3, mix="55")
    assert not recorded
    assert not session.failed
    assert {path.name for path in tmp_path.glob("55-seed*")} == {f"55-seed{seed}" for seed in (20, 21, 22, 23)}


def test_a_run_begins_once_its_own_images_are_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    session, recorded = run(tmp_path, monkeypatch, handler, "40,42,41,43", workers=3, mix="55")
    assert not recorded
    assert not session.failed
    assert {path.name for path in tmp_path.glob("55-seed*")} == {f"55-seed{seed}" for seed in (40, 41, 42, 43)}


def test_the_process_that_workers_are_forked_from_ends_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(subprocess.Popen(["sh", "-c", "mktemp -d && exec sleep 60"], stdout=subprocess.PIPE))

    monkeypatch.setattr(worker_pool, "_temporary", [])
    monkeypatch.setattr(multiprocessing.forkserver, "set_forkserver_preload", lambda names: None)
    monkeypatch.setattr(multiprocessing.forkserver, "ensure_running", start)
    before = dict(os.environ)
    worker_pool.preload_libraries([])
    assert dict(os.environ) == before
    (server,) = started
    assert server.stdout
    with server.stdout:
        left = Path(server.stdout.readline().decode().strip())
    assert left.is_dir()
    monkeypatch.setattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", server.pid)
    worker_pool.end_server()
    assert server.wait(10) == -signal.SIGKILL
    assert not left.exists()
    worker_pool.end_server()


def test_the_process_that_imports_the_libraries_ignores_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[Any] = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(multiprocessing.forkserver, "set_forkserver_preload", lambda names: None)
    monkeypatch.setattr(
        multiprocessing.forkserver, "ensure_running", lambda: handlers.extend(map(signal.getsignal, signals.STOPPING))
    )
    worker_pool.preload_libraries([])
    assert set(handlers) == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGINT) == before


def _double(text: str) -> int:
    return 2 * int(text)


def _signal_and_wait(process: int) -> None:
    os.kill(process or os.getpid(), signal.SIGINT if process else signal.SIGKILL)
    time.sleep(60)


def test_a_call_in_another_process_ends_with_the_command_or_says_why_it_cannot() -> None:
    with pytest.raises(KeyboardInterrupt):
        worker_pool.call_in_worker_process(_signal_and_wait, os.getpid())
    assert multiprocessing.active_children() == []
    with pytest.raises(UserError, match="SIGKILL"):
        worker_pool.call_in_worker_process(_signal_and_wait, 0)
    assert worker_pool.call_in_worker_process(_double, "5") == 10
    with pytest.raises(ValueError, match="five") as raised:
        worker_pool.call_in_worker_process(_double, "five")
    assert "in _double" in raised.value.__notes__[0], "where it was raised"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR2])
def test_runs_are_left_where_the_command_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any, number: signal.Signals
) -> None:
    monkeypatch.setenv("SIGNAL", number.name)
    with pytest.raises(SystemExit) as ended, signals.stoppable("what is finished stays"):
        run(tmp_path, monkeypatch, handler, "10,11,12")
    assert ended.value.code == 128 + number
    assert {path.name for path in tmp_path.glob("real*")} == {
        f"real-seed{seed} {state}" for seed in (10, 11) for state in ("waits", "left")
    }


@pytest.mark.parametrize(
    ("visible", "devices", "expected"),
    [("", 2, ["0", "1", "0"]), ("3,5", 2, ["3", "5", "3"]), ("7", 1, ["7", "7", "7"]), ("", 0, ["", "", ""])],
)
def test_workers_share_out_the_gpus(visible: str, devices: int, expected: list[str]) -> None:
    context = ProcessContext({"CUDA_VISIBLE_DEVICES": visible}, {}, {})
    shares = [context.on_device(number, devices).variables for number in range(3)]
    assert [variables["CUDA_VISIBLE_DEVICES"] for variables in shares] == expected


def test_a_run_that_others_wait_for_begins_first_and_nobody_waits_in_a_worker() -> None:
    sets, amounts = [None, None, ("a",), ("a",), ("b",)], [9, 9, 1, 2, 2]
    assert worker_pool.choose_next(sets, amounts, set()) == 3, "the images of the smaller arm are complete before"
    assert worker_pool.choose_next(sets, amounts, {("a",)}) == 4
    assert worker_pool.choose_next(sets, amounts, {("a",), ("b",)}) == 0
    assert worker_pool.choose_next(sets[2:4], amounts[2:4], {("a",)}) is None
    assert worker_pool.choose_next([None] * 3, [1, 3, 2], set()) == 0
    assert worker_pool.choose_next([], [], set()) is None


@given(st.lists(st.floats(0, 1e4)), st.lists(st.floats(0, 1e4)), st.integers(1, 9), st.integers(0, 8))
def test_the_time_left_lies_between_its_bounds(
    running: list[float], waiting: list[float], workers: int, more: int
) -> None:
    running, concurrency = running[:workers], Concurrency(workers, workers + more)
    left, everything = makespan(running, waiting, concurrency), [*running, *waiting]
    assert left is not None
    assert left <= sum(everything) + 1e-6
    assert left >= max(everything, default=0) - 1e-6
    assert left >= sum(everything) / workers - 1e-6
    assert left <= (makespan(running, waiting, Concurrency(workers, workers)) or 0) + 1e-6
    assert makespan(running, [*waiting, None], concurrency) is None


def test_the_time_left_knows_that_the_last_runs_share_the_cores() -> None:
    assert makespan([], [30.0] * 5, Concurrency(2, 2)) == 90
    assert makespan([], [30.0] * 5, Concurrency(2, 3)) == 75
    assert makespan([10.0, 20.0], [30.0, 30.0], Concurrency(2, 3)) == 45
    assert makespan([10.0], [], Concurrency(2, 3)) == 10


@pytest.mark.parametrize("error", [BrokenPipeError(), EOFError(), ConnectionResetError()])
def test_a_process_starts_although_the_one_it_is_forked_from_was_killed(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, folders = [error], []

    class Starting(multiprocessing.process.BaseProcess):
        def start(self) -> None:
            folders.append(os.environ.get("TMPDIR"))  # of the new one to fork from
            if errors:
                raise errors.pop()

    monkeypatch.setattr(worker_pool, "_temporary", [tmp_path])
    worker_pool._start(Starting())
    assert folders == [str(tmp_path)] * 2
    errors += [error, error]
    with pytest.raises(UserError, match="killed twice"):
        worker_pool._start(Starting())

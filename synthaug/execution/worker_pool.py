"""The runs of a sweep beside each other: worker processes take one after the other, and one display shows them all."""

import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection, forkserver, util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from synthaug import signals
from synthaug.arms.mixing import Mix
from synthaug.config.job import Job
from synthaug.config.sweep import Combination
from synthaug.errors import ProcessEndedError, UserError
from synthaug.execution import temporary_files
from synthaug.execution.parallelism import Concurrency
from synthaug.execution.session import Session
from synthaug.execution.sweep_display import SweepDisplay
from synthaug.execution.worker import (
    PRELOADED,
    PRELOADED_FOR_WANDB,
    STOP,
    Assignment,
    Ended,
    Message,
    ProcessContext,
    send_result,
    work,
)
from synthaug.messages import plural
from synthaug.progress_bar import Step

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds between two looks at the clock
_GRACE = 30.0  # seconds in which a run is left
_temporary: list[Path] = []  # the folder for temporary files of workers, once there is one
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")
RecordFailure = Callable[[Job, Exception], None]


def preload_libraries(jobs: Iterable[Job]) -> None:
    """Begin to import what every worker needs, in the process that workers are forked from.

    Args:
        jobs: the runs.
    """
    first = [PRELOADED_FOR_WANDB] if any(job.is_in_wandb for job in jobs) else []
    forkserver.set_forkserver_preload([*first, *PRELOADED])
    if not _temporary:
        _temporary.append(temporary_files.make_folder())
        atexit.register(end_server)
        signals.before_end_at_once.append(end_server)
    with contextlib.ExitStack() as stack:
        # Sent to a whole group of processes, signals would end it, and the command takes its workers for dead then.
        for number in signals.STOPPING:
            stack.enter_context(_handling(number, signal.SIG_IGN))
        stack.enter_context(temporary_files.inside(_temporary[0]))
        forkserver.ensure_running()


def end_server() -> None:
    """Kill the process that workers are forked from, and remove the temporary files of workers.

    It would end by itself, but the interpreter takes a second of processor time to take its libraries apart, and
    whatever reads the output of the command waits for that. W&B makes temporary folders when it is imported.
    """
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
    for finalizer in list(util._finalizer_registry.values()):  # type: ignore[attr-defined]
        if finalizer._callback is util._remove_temp_dir and Path(finalizer._args[1]).parent in _temporary:  # type: ignore[attr-defined]
            finalizer()  # or it finds its folder gone
    while _temporary:
        temporary_files.remove_folder(_temporary.pop())


def call_in_worker_process(function: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
    """Call a function in a process of its own, which has the libraries of workers; return what it returns.

    The process is killed where this one is interrupted: it may wait for a hub.

    Args:
        function: of a module.
        argument: of it.

    Raises:
        Exception: what the function raises; `ProcessEndedError` where its process is killed.
    """
    context = multiprocessing.get_context("forkserver")
    results, theirs = context.Pipe(duplex=False)
    process = context.Process(target=send_result, args=(theirs, function, argument))
    _start(process)
    theirs.close()
    try:
        result: _Result | Exception = results.recv()
    except EOFError:
        process.join(_GRACE)
        raise ProcessEndedError(f"The networks cannot be tried: {_exit_reason(process.exitcode)}") from None
    finally:
        process.kill()
        process.join()
        results.close()
    if isinstance(result, Exception):
        raise result
    return result


def _start(process: BaseProcess) -> None:
    """Start a process; where the one that it is forked from was killed, multiprocessing starts another one.

    Raises:
        ProcessEndedError: that one was killed, too.
    """
    lost = EOFError, BrokenPipeError, ConnectionError
    with temporary_files.inside(_temporary[0]) if _temporary else contextlib.nullcontext():
        try:
            process.start()
        except lost:  # it was killed just now, and not noticed yet
            try:
                process.start()
            except lost as error:
                raise ProcessEndedError(
                    "The process that runs are forked from was killed twice, as the system does where memory runs out "
                    "(fewer runs at a time need less: parallel=<n>). The same command resumes."
                ) from error


def run_in_workers(
    session: Session,
    combinations: Sequence[Combination],
    concurrency: Concurrency,
    record_failure: RecordFailure,
    handlers: Mapping[Path, list[logging.Handler]],
    meanwhile: Callable[[threading.Event], None] = lambda all_ended: None,
) -> None:
    """Bring runs to their end in worker processes; each failure is recorded, and the others go on.

    Where a signal stops the command, the workers leave their runs first.

    Args:
        session: of the command.
        combinations: overrides of the runs, in their order.
        concurrency: how many run at a time.
        record_failure: writes down that a run has failed.
        handlers: study → where its log goes.
        meanwhile: what this process does once the first runs have begun, in a thread; the event is set at their end.
    """
    pending = [session.jobs[combination] for combination in combinations]
    display = SweepDisplay(list(session.jobs.values()), pending, concurrency)
    sweep = _Sweep(session, pending, concurrency, display, record_failure, handlers)
    all_ended = threading.Event()
    thread = threading.Thread(target=meanwhile, args=(all_ended,), daemon=True)
    try:
        sweep.assign_runs()
        thread.start()
        sweep.run()
        all_ended.set()
        thread.join()
    except KeyboardInterrupt:
        sweep.stop()
        raise
    finally:
        sweep.close()


@contextlib.contextmanager
def _handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal in another way in the block; processes that start in it ignore it where it is ignored."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def shared_set(job: Job) -> tuple[str, ...] | None:
    """Return what a run's synthetic images are shared by: one run makes them for all; None without any."""
    if not Mix.of(job.settings["mix"]).has_synthetic:
        return None
    return str(job.output_dir), job.key.dataset, job.synthetic_set, repr(job.settings["screening"])


def choose_next(sets: Sequence[tuple[str, ...] | None], amounts: Sequence[float], in_making: set[Any]) -> int | None:
    """Return which of the waiting runs begins: the first that needs not wait for images which another one makes.

    One that makes images for others comes first, since they wait for them: that with most images, as those of smaller
    arms are complete before.

    Args:
        sets: of which each waiting run lacks images, in their order; None: it has all that it needs.
        amounts: of synthetic images of each, in any unit.
        in_making: sets that a run is making.
    """
    free = [number for number, lacking in enumerate(sets) if lacking not in in_making]
    makers = [number for number in free if sets[number] is not None]
    if makers:
        return max(makers, key=lambda number: amounts[number])
    return next(iter(free), None)


@dataclass
class _Worker:
    process: BaseProcess
    channel: Connection
    output: Connection
    number: int  # lowest that no other has
    job: Job | None = None
    text: bytes = b""
    ended: bool = False


class _Sweep:
    def __init__(
        self,
        session: Session,
        pending: list[Job],
        concurrency: Concurrency,
        display: SweepDisplay,
        record_failure: RecordFailure,
        handlers: Mapping[Path, list[logging.Handler]],
    ) -> None:
        self.session = session
        self.pending = pending
        self.combinations = {job.folder: combination for combination, job in session.jobs.items()}
        self.killed: set[Path] = set()  # folders of runs that are tried again
        self.concurrency = concurrency
        self.display = display
        self.record_failure = record_failure
        self.handlers = handlers
        self.workers: list[_Worker] = []
        self.ready: set[Path] = set()  # folders of runs whose images are complete
        self.warned: set[str] = set()
        self._context = multiprocessing.get_context("forkserver")
        self._process_context = ProcessContext.current()

    def run(self) -> None:
        while self.assign_runs() or any(worker.job for worker in self.workers):
            self._receive(_TICK)
            self.display.refresh()

    def stop(self) -> None:
        """Ask the workers to leave their runs, and wait for that."""
        for worker in self.workers:
            if worker.job and worker.process.pid and worker.process.is_alive():
                os.kill(worker.process.pid, STOP)
        end = time.monotonic() + _GRACE
        while any(worker.job for worker in self.workers) and time.monotonic() < end:
            self._receive(_TICK, stopping=True)

    def close(self) -> None:
        """Let idle workers end, kill the others, and take the display away."""
        for worker in self.workers:
            worker.channel.close()
            if worker.job:
                worker.process.kill()
        for worker in self.workers:
            worker.process.join(_GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            self._print_output(worker)
            worker.output.close()
        self.display.close()

    def assign_runs(self) -> bool:
        """Give each idle worker a run, and start workers for further ones; False where no run is left."""
        while self.pending:
            in_making = {self._lacking_set(worker.job) for worker in self.workers if worker.job}
            lacking = [self._lacking_set(job) for job in self.pending]
            amounts = [float(job.settings["mix"]["synthetic"]) for job in self.pending]
            number = choose_next(lacking, amounts, in_making - {None})
            if number is None or not (worker := self._idle_worker()):
                break
            job = worker.job = self.pending.pop(number)
            self.display.begin(job)
            assignment = Assignment(self.combinations[job.folder], frozenset(self.session.announced))
            with contextlib.suppress(OSError):  # killed since: `_receive` finds it
                worker.channel.send(assignment)
        return bool(self.pending)

    def _lacking_set(self, job: Job) -> tuple[str, ...] | None:
        """Return the set of which a run may lack images."""
        return None if job.folder in self.ready else shared_set(job)

    def _idle_worker(self) -> _Worker | None:
        idle = [worker for worker in self.workers if worker.job is None]
        running = len(self.workers) - len(idle)
        if running >= self.concurrency.allowed(running, len(self.pending)):
            return None
        return idle[0] if idle else self._start()

    def _start(self) -> _Worker:
        channel, theirs = self._context.Pipe()
        output, printed = self._context.Pipe(duplex=False)
        number = min(set(range(len(self.workers) + 1)) - {worker.number for worker in self.workers})
        context = self._process_context.on_device(number, self.session.devices)
        arguments = (theirs, printed, self.session, context)
        process = self._context.Process(target=work, args=arguments)  # no daemon: it may have workers that read images
        _start(process)
        theirs.close()
        printed.close()
        self.workers.append(_Worker(process, channel, output, number))
        return self.workers[-1]

    def _receive(self, seconds: float, stopping: bool = False) -> None:
        """Take in what workers say, for so long at most."""
        sources = [worker.process.sentinel for worker in self.workers]
        sources += [source for worker in self.workers for source in (worker.channel, worker.output)]  # type: ignore[misc]
        ready = connection.wait(sources, seconds)
        for worker in list(self.workers):
            if worker.output in ready:
                self._print_output(worker)
            has_ended = worker.process.sentinel in ready
            if worker.channel in ready or has_ended:
                self._receive_messages(worker)
            if has_ended:
                self._remove_worker(worker, stopping)

    def _receive_messages(self, worker: _Worker) -> None:
        try:
            while worker.channel.poll():
                self._handle_message(worker, worker.channel.recv())
        except (EOFError, OSError):  # it has ended, maybe in the midst of a message
            worker.process.join(_GRACE)

    def _handle_message(self, worker: _Worker, message: Message) -> None:
        assert worker.job is not None, "a worker without a run sends nothing"
        if isinstance(message, Step):
            self.ready |= message.ready
            self.display.advance(worker.job, message)
        elif isinstance(message, Ended):
            self.session.failed += message.failed
            self.session.announced |= message.announced
            self.session.unwritable |= message.unwritable
            job, worker.job = worker.job, None
            self.display.end(job, failed=bool(message.failed))
        else:
            self._log(worker.job, message)

    def _log(self, job: Job, record: logging.LogRecord) -> None:
        """Log what a run does; a warning that other runs have given as well is left out."""
        if record.levelno == logging.WARNING:
            if (text := record.getMessage()) in self.warned:
                return
            self.warned.add(text)
        handlers = self.handlers.get(job.study)
        if handlers is not None:
            logging.root.handlers[:] = handlers
        with self.display.above():
            logging.getLogger(record.name).handle(record)

    def _remove_worker(self, worker: _Worker, stopping: bool) -> None:
        """Say of a process that has ended which run it leaves, unless it was told to."""
        worker.process.join()
        self._print_output(worker)
        worker.channel.close()
        worker.output.close()
        self.workers.remove(worker)
        if (job := worker.job) is None:
            return
        if stopping:
            self.display.withdraw(job)
        elif worker.process.exitcode == -signal.SIGKILL and job.folder not in self.killed:
            self._try_again(job)
        else:
            self.session.failed.append(job.label)
            with self.display.above():
                self.record_failure(job, UserError(_exit_reason(worker.process.exitcode)))
            self.display.end(job, failed=True)

    def _try_again(self, job: Job) -> None:
        """Put a run whose process was killed behind all others, with fewer at a time: memory has run out, most likely.

        It resumes from its last epoch.
        """
        self.killed.add(job.folder)
        fewer = max(1, self.concurrency.runs - 1)
        self.concurrency = Concurrency(fewer, fewer)
        self.pending.append(job)
        self.display.withdraw(job)
        self.display.concurrency = self.concurrency
        with self.display.above():
            log.warning(
                "%s: its process was killed, as the system does where memory runs out; it is tried once more at the "
                "end, and from here on with %s at a time",
                job.label,
                plural(fewer, "run"),
            )

    def _print_output(self, worker: _Worker) -> None:
        """Print whole lines of what libraries have printed in a worker."""
        try:
            while worker.output.poll() and (read := os.read(worker.output.fileno(), 65536)):
                worker.text += read
        except OSError:
            pass
        lines, newline, worker.text = worker.text.rpartition(b"\n")
        if lines:
            with self.display.above():
                sys.stderr.write((lines + newline).decode("utf-8", "replace"))
                sys.stderr.flush()


def _exit_reason(exitcode: int | None) -> str:
    """Return how a process has ended that should not have."""
    name = signal.Signals(-exitcode).name if exitcode is not None and exitcode < 0 else ""
    cause = f"was stopped by {name}" if name else f"ended with code {exitcode}"
    hint = ", as the system does where memory runs out (fewer runs at a time need less: parallel=<n>)" if name else ""
    return f"its process {cause}{hint}. The same command resumes it."

"""Commands in processes of their own, forked from one that has imported the libraries: most of a small run's time."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

WITHOUT = "TEST_WITHOUT_MODULES"  # variable with modules that a command cannot import
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.factories.preloaded"])


class Process(Protocol):
    """What tests do with a command that runs."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


def start_process(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    fresh: bool = False,
    before: Callable[[], object] | None = None,
) -> Process:
    """Start `python -m <module> <arguments>`; what it prints goes to `log` in its folder.

    Args:
        module: of the command.
        arguments: of the command.
        folder: that it works in.
        environment: its variables, all of them.
        fresh: start an interpreter that has imported nothing, as a user does.
        before: called in the process before the command, a function of a module: takes away what the command needs.
    """
    log = folder / "log"
    log.write_bytes(b"")
    if not fresh:
        return _Fork(module, arguments, folder, environment, before)
    with log.open("w", encoding="utf-8") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**environment, "PYTHONWARNINGS": "default"},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # Where the tests themselves run in a shell's background, Ctrl-C is ignored, and that is inherited.
            preexec_fn=_heed_interrupts,
        )


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Fork:
    """A process with the libraries imported, in the interface of `subprocess.Popen`."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        before: Callable[[], object] | None,
    ) -> None:
        self._process = _FORKS.Process(target=_run, args=(module, list(arguments), folder, dict(environment), before))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"the command takes longer than {timeout:.0f} s")
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, sig)

    def kill(self) -> None:
        self._process.kill()


def _run(
    module: str,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    before: Callable[[], object] | None,
) -> None:
    """Make the forked process one that was started for the command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in environment.get(WITHOUT, "").split():
        sys.modules[name] = None  # type: ignore[assignment]
    warnings.resetwarnings()
    warnings.simplefilter("default")
    import torch

    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))  # read when it was imported
    sys.argv = [module, *arguments]
    if before:
        before()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # A forked process ends without what the interpreter does at its end.
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()

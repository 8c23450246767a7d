"""What each fault does to each command: what was broken, the exit code, and what was lost.

    python -m benchmarks.faults                       # all of them, half an hour of one core
    python -m benchmarks.faults --only disk streams   # those whose names hold one of these words, again
    python -m benchmarks.faults --table               # the table of faults.json

Each row breaks one thing for one command, in a folder of its own with a small study. A fault is met well where the
command ends with an exit code of its help and a sentence, never a traceback, and where the same command, once the fault
is mended, ends with the table of a study that nothing disturbed.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from synthaug.files import sha256
from tests.factories.commands import ROOT, Commands
from tests.factories.processes import Process

RESULTS = Path(__file__).with_suffix(".json")
NOBODY = 65534
LONGEST = 240.0  # seconds of a command
_STUDY = ("-m", "mix=real,55")
# Command → its words, and whether it begins with a finished study.
COMMANDS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "train": ("train", ("mix=55",), False),
    "sweep": ("train", (*_STUDY, "parallel=1"), False),
    "workers": ("train", (*_STUDY, "parallel=2"), False),
    "generate": ("generate", ("per_class=2", "quality=null"), False),
    "report": ("report", ("outputs/default",), True),
    "predict": ("predict", ("RUN", "photos/test", "-o", "outputs/new.csv"), True),
    "check": ("check", ("photos", "-o", "outputs/check"), False),
    "export": ("export", ("SET", "outputs/exported"), True),
}
TRAINING = ("train", "sweep", "workers")
WRITING = tuple(COMMANDS)


@dataclass(frozen=True)
class Fault:
    """Something that is broken.

    Attributes:
        name: of the group and of the fault.
        commands: that meet it.
        around: breaks it in a lab's folder, and mends it at the end.
        before: breaks it in the process of the command.
        arguments: further words of the command.
        codes: exit codes that may answer it.
        shell: the end of the command's line in a shell, in which it is started afresh.
        resumes: whether the same command without the fault is to end well.
    """

    name: str
    commands: tuple[str, ...]
    around: Callable[[Commands], contextlib.AbstractContextManager[object]] | None = None
    before: Callable[[], object] | None = None
    arguments: tuple[str, ...] = ()
    codes: tuple[int, ...] = (1, 2)
    shell: str = ""
    resumes: bool = True


@dataclass
class Row:
    """What became of a fault.

    Attributes:
        fault: its name.
        command: that met it.
        code: its exit code.
        answer: the last line of what it printed.
        lost: what the same command lacked afterwards; empty: nothing.
        problems: what was not right.
        seconds: of the command.
    """

    fault: str
    command: str
    code: int
    answer: str
    lost: str
    problems: list[str] = field(default_factory=list)
    seconds: float = 0


# What is broken in a folder.


@contextlib.contextmanager
def instead(path: str, as_folder: bool, lab: Commands) -> Iterator[None]:
    """Put a file in the place of a folder, or the other way round."""
    place = lab.folder / path.replace("RUN", str(lab.run_folder("55").relative_to(lab.folder)))
    away = place.with_name(f"{place.name}.away")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(away)
    if as_folder:
        place.mkdir()
        (place / "thing").write_text("x", encoding="utf-8")
    else:
        place.write_text("x", encoding="utf-8")
    try:
        yield
    finally:
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        if away.exists():
            away.rename(place)


@contextlib.contextmanager
def read_only(lab: Commands) -> Iterator[None]:
    """Let nobody write into the output folder."""
    folder = lab.folder / "outputs"
    folder.mkdir(exist_ok=True)
    changed = [lab.folder, folder, *(path for path in folder.rglob("*") if path.is_dir())]
    modes = {path: path.stat().st_mode for path in changed}
    for path in changed:
        path.chmod(0o555)
    (lab.folder / "home").chmod(0o777)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@contextlib.contextmanager
def mounted(options: str, lab: Commands) -> Iterator[None]:
    """Put the output folder on a small disk."""
    folder = lab.folder / "outputs"
    stored = lab.folder / "stored"
    if folder.exists():
        shutil.copytree(folder, stored)
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        if stored.exists():
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(stored, folder, dirs_exist_ok=True)
        yield
    finally:
        kept = lab.folder / "kept"
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        subprocess.run(["umount", str(folder)], check=True)
        shutil.copytree(kept, folder, dirs_exist_ok=True)


# What is broken in the process of a command.


def as_nobody() -> None:
    """Become a user who owns nothing."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def limit(kind: int, most: int) -> None:
    """Set a limit of the system for the process and those that it starts."""
    if kind == resource.RLIMIT_FSIZE:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its start
        # What the command prints into the log counts, too: the log is a pipe's end.
        reading, writing = os.pipe()
        log = os.dup(1)
        if os.fork() == 0:
            os.close(writing)
            while read := os.read(reading, 65536):
                os.write(log, read)
            os._exit(0)
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    resource.setrlimit(kind, (most, most))


def no_memory(after: int) -> None:
    """Let the device run out of memory in a step."""
    import torch

    from synthaug.models.classifier import Classifier

    whole, calls = Classifier.training_step, iter(range(10**9))

    def step(self: Classifier, *arguments: object) -> object:
        if next(calls) == after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return whole(self, *arguments)  # type: ignore[arg-type]

    Classifier.training_step = step  # type: ignore[assignment, method-assign]


def without_locks() -> None:
    """Let the disk know no locks."""
    import errno
    import fcntl

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    fcntl.flock = flock  # type: ignore[assignment]


def faults() -> list[Fault]:
    """Return all of them."""
    every = WRITING
    places = {
        "outputs": every,
        "outputs/default": TRAINING,
        "outputs/default/photos": TRAINING,
        "outputs/splits": (*TRAINING, "generate"),
        "outputs/splits/photos": (*TRAINING, "generate"),
        "outputs/pixels": (*TRAINING, "generate"),
        "outputs/pixels/photos": (*TRAINING, "generate"),
        "outputs/synthetic": (*TRAINING, "generate"),
        "outputs/synthetic/photos": (*TRAINING, "generate"),
        "outputs/check": ("check",),
    }
    folders = {
        "outputs/default/.planned.lock": TRAINING,
        "outputs/default/planned.json": (*TRAINING, "report"),
        "outputs/default/report.html": ("report", "sweep"),
        "outputs/default/results.csv": ("report", "sweep"),
        "outputs/new.csv": ("predict",),
        "outputs/check/report.html": ("check",),
        "photos/SHA256SUMS": ("check",),
    }
    rows = [
        Fault("output read-only", every, read_only, as_nobody, codes=(0, 1, 2)),  # a report may be there already
        Fault("output below /proc", every, arguments=("output_dir=/proc/x",)),
        Fault("output name too long", every, arguments=(f"output_dir={'x' * 300}",)),
        Fault("output path too long", every, arguments=("output_dir=" + "/".join(["y" * 200] * 30),)),
        Fault("output with a newline", every, arguments=("output_dir='a\nb'",), codes=(0, 1, 2)),
        Fault("output below a file", every, arguments=("output_dir=conf/model/tiny.yaml/out",)),
    ]
    rows += [Fault(f"file for {path}", names, partial(instead, path, False)) for path, names in places.items()]
    rows += [
        Fault(f"folder for {path}", names, partial(instead, path, True), codes=(0, 1, 2))
        for path, names in folders.items()
    ]
    rows += [
        Fault(f"file size {size}", every, before=partial(limit, resource.RLIMIT_FSIZE, size), codes=(0, 1, 2))
        for size in (0, 500, 5_000, 50_000, 300_000)
    ]
    rows += [Fault(f"open files {most}", every, shell=f"ulimit -n {most}", codes=(0, 1, 2)) for most in (6, 12, 20, 40)]
    if os.geteuid() == 0:
        rows += [
            Fault(f"disk of {size}", every, partial(mounted, f"size={size}"), codes=(0, 1, 2))
            for size in ("4k", "32k", "256k", "2m")
        ]
        rows += [
            Fault(f"disk of {count} inodes", every, partial(mounted, f"nr_inodes={count}"), codes=(0, 1, 2))
            for count in (2, 8, 24)
        ]
    rows += [
        Fault(f"streams {end}", every, shell=end, codes=(0, 1, 2))
        for end in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -1", "2>&1 | true", ">/dev/full", "2>/dev/full")
    ]
    rows += [
        # Workers come from a process that has the libraries as they are.
        Fault("device memory in the first step", ("train", "sweep"), before=partial(no_memory, 0)),
        Fault("device memory in the third step", ("train", "sweep"), before=partial(no_memory, 2)),
        Fault("locks not supported", every, before=without_locks, codes=(0, 1, 2)),
    ]
    return rows


class Bench:
    """Labs with a small study, copied for each fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fresh = Commands(folder / "fresh")
        self.finished = self.fresh.copy_to(self.folder / "finished")
        code, printed = self.finished.run(*_STUDY)
        assert code == 0, printed
        self.right = self._table(self.finished)

    def meet(self, fault: Fault, name: str) -> Row:
        """Let a command meet a fault, then mend it."""
        command, words, begins_finished = COMMANDS[name]
        lab = (self.finished if begins_finished else self.fresh).copy_to(self.folder / "lab")
        started = time.perf_counter()
        with fault.around(lab) if fault.around else contextlib.nullcontext():
            code, printed = self._run(lab, command, words, fault)
        seconds = time.perf_counter() - started
        problems = []
        if "Traceback" in printed:
            problems.append("traceback")
        if code not in fault.codes:
            problems.append(f"exit code {code}")
        if code and not printed.strip() and not fault.shell:
            problems.append("not a word")
        # What was refused at its beginning has nothing to lose.
        lost = self._lost(lab, command, words) if fault.resumes and code != 2 else ""
        lines = printed.strip().splitlines()
        answer = lines[-1].replace(str(lab.folder), "<lab>")[:300] if lines else ""
        row = Row(fault.name, name, code, answer, lost, problems, round(seconds, 1))
        if problems or lost:
            log = self.folder / "failures" / re.sub(r"\W+", "-", f"{fault.name} {name}")
            log.parent.mkdir(exist_ok=True)
            log.write_text(printed, encoding="utf-8")
        shutil.rmtree(lab.folder)
        return row

    def _run(self, lab: Commands, command: str, words: Sequence[str], fault: Fault) -> tuple[int, str]:
        if fault.shell:
            return self._run_in_shell(lab, command, words, fault.shell)
        process = self._start(lab, command, [*words, *fault.arguments], fault.before)
        try:
            code = process.wait(LONGEST)
        except TimeoutError:
            process.kill()
            code = 124
        return code, (lab.folder / "log").read_text(encoding="utf-8", errors="replace")

    def _start(self, lab: Commands, command: str, words: Sequence[str], before: Callable[[], object] | None) -> Process:
        if command in ("train", "generate"):
            return lab.start(*words, command=command, before=before)
        return lab.start_plain(command, self._plain_words(lab, words), before)

    @staticmethod
    def _plain_words(lab: Commands, words: Sequence[str]) -> list[str]:
        """Return the words of a command without configuration: run, set, and the file that it writes."""
        output = next((word.partition("=")[2] for word in words if word.startswith("output_dir=")), "")
        sets = sorted(path for path in (lab.folder / "outputs/synthetic/photos").glob("*") if path.is_dir())
        names = {"RUN": lab.run_folder("55"), "SET": sets[0] if sets else ""}
        plain = [str(names.get(word, word)) for word in words if not word.startswith("output_dir=")]
        if output:
            plain = [word.replace("outputs", output, 1) if word.startswith("outputs") else word for word in plain]
        return plain

    def _run_in_shell(self, lab: Commands, command: str, words: Sequence[str], end: str) -> tuple[int, str]:
        module = f"synthaug.{command}"
        if command in ("train", "generate"):
            further = "dataset=imagefolder dataset.root=photos dataset.image_size=32 generator=painter model=tiny "
            further += "trainer.max_epochs=2 trainer.accelerator=cpu batch_size=4 logger=none"
            line = [sys.executable, "-m", module, "--config-dir", "conf", *words, *further.split()]
            if not any(word.startswith("parallel=") for word in words):
                line.append("parallel=1")
        else:
            line = [sys.executable, "-m", module, *self._plain_words(lab, words)]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
        home = str(lab.folder / "home")
        environment = {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": home}
        environment["SYNTHAUG_TARGETS"] = "tests"
        text = shlex.join(line)
        script = f"{end}; {text}" if end.startswith("ulimit") else f"{text} {end}; exit ${{PIPESTATUS[0]}}"
        with (lab.folder / "log").open("w", encoding="utf-8") as log:
            try:
                code = subprocess.run(
                    ["bash", "-c", script],
                    cwd=lab.folder, env=environment, stdout=log, stderr=log, timeout=LONGEST, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                code = 124
        return code, (lab.folder / "log").read_text(encoding="utf-8", errors="replace")

    def _lost(self, lab: Commands, command: str, words: Sequence[str]) -> str:
        """Return what the command lacks once the fault is mended; empty: nothing."""
        if command == "export":
            shutil.rmtree(lab.folder / "outputs/exported", ignore_errors=True)
        code = self._start(lab, command, words, None).wait(LONGEST)
        printed = (lab.folder / "log").read_text(encoding="utf-8", errors="replace")
        if code != 0:
            return f"the same command ends with {code}: {printed.strip().splitlines()[-1][:200] if printed else ''}"
        if command == "train" and "-m" in words and self._table(lab) != self.right:
            return "another table"
        return ""

    @staticmethod
    def _table(lab: Commands) -> object:
        """Return what the table is made of: the predictions of each run."""
        files = lab.study().rglob("predictions.csv")
        return {path.parent.name + path.parts[-3]: sha256(path) for path in sorted(files)}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, commands of one fault in one line."""
    lines = ["| broken | commands | exit codes | lost | wrong |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(row.fault for row in rows):
        alike = [row for row in rows if row.fault == name]
        codes = ", ".join(map(str, sorted({row.code for row in alike})))
        lost = "; ".join(sorted({row.lost for row in alike} - {""})) or "nothing"
        wrong = "; ".join(sorted({problem for row in alike for problem in row.problems})) or "nothing"
        shown = name.replace("|", "\\|")
        lines.append(f"| {shown} | {len(alike)} | {codes} | {lost} | {wrong} |")
    return "\n".join(lines)


def keep(rows: Sequence[Row], whole: bool) -> None:
    """Write rows into the results.

    Args:
        rows: of this run.
        whole: whether they are all; else they take the place of earlier ones of the same fault and command.
    """
    earlier = [] if whole or not RESULTS.exists() else json.loads(RESULTS.read_text(encoding="utf-8"))
    kept = {(row["fault"], row["command"]): row for row in [*earlier, *map(asdict, rows)]}
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in kept.values())
    RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Break things; return 1 where one of them was not met well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="faults whose names hold one of these")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS), help="these alone")
    parser.add_argument("--table", action="store_true", help=f"the table of {RESULTS.name}")
    parsed = parser.parse_args(arguments)
    if parsed.table:
        print(table([Row(**row) for row in json.loads(RESULTS.read_text(encoding="utf-8"))]))
        return 0
    chosen = [fault for fault in faults() if not parsed.only or any(word in fault.name for word in parsed.only)]
    cases = [(fault, name) for fault in chosen for name in fault.commands if name in parsed.commands]
    rows: list[Row] = []
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    bench, started = Bench(folder), time.perf_counter()
    for number, (fault, name) in enumerate(cases, 1):
        row = bench.meet(fault, name)
        rows.append(row)
        left = (time.perf_counter() - started) / number * (len(cases) - number) / 60
        state = "; ".join([*row.problems, row.lost]).strip("; ") or "well"
        print(f"{number}/{len(cases)} {fault.name} | {name}: code {row.code}, {state} ({left:.0f} min left)")
        print(f"    {row.answer}", flush=True)
    print(table(rows))
    keep(rows, whole=not parsed.only and parsed.commands == list(COMMANDS))
    failed = any(row.problems or row.lost for row in rows)
    print(f"{len(rows)} faults on {socket.gethostname()}; logs of those not met well: {folder / 'failures'}")
    if not failed:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Hundreds of short runs whose processes are killed at random, until the same command has finished all of them.

    python -m benchmarks.soak --runs 500                      # an hour of two idle cores
    python -m benchmarks.soak --runs 40 --folder soak --keep  # a study that stays, and may be resumed

The study has two arms and as many seeds as the runs ask for: 40 made-up images of 16 pixels, one epoch, a small
network. The command is started again and again; each time the command, one of its workers, or the process that they are
forked from gets SIGKILL, SIGTERM or SIGINT after a random time. At the end all runs are finished, their predictions are
those of a study that nothing disturbed, and memory, open files, processes and temporary files are what they were at the
tenth start.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.files import sha256
from synthaug.runs import layout
from tests.factories.commands import ROOT, Commands

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SETTLED = 10  # starts after which nothing may grow
MOST_STARTS = 20  # without a further finished run, after which the soak gives up
_TICK = 0.2


@dataclass(frozen=True)
class Start:
    """One start of the command.

    Attributes:
        victim: what was killed, and how; "nothing" where the command came to its end.
        seconds: that it worked.
        finished: runs that were finished then.
        code: its exit code.
        megabytes: largest memory of all its processes together.
        files: most open files of one of its processes.
        processes: most of them at a time.
        left: processes that outlived the command by five seconds.
        temporary: files of the study that no finished run or killed one owns, and folders in the temporary folder.
    """

    victim: str
    seconds: float
    finished: int
    code: int
    megabytes: float
    files: int
    processes: int
    left: int
    temporary: int


class Soak:
    """A study in a folder, and the command that makes it.

    Args:
        folder: of the study.
        runs: how many.
        chance: chooses what is killed, and when.
    """

    def __init__(self, folder: Path, runs: int, chance: random.Random) -> None:
        self.chance = chance
        if (folder / "conf").is_dir():
            self.lab = Commands.__new__(Commands)
            self.lab.folder, self.lab.environment = folder, {}
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self.lab = Commands(folder)
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.seeds = range((runs + 1) // 2)
        self.runs = 2 * len(self.seeds)

    def command(self, experiment: str, seeds: Sequence[int], parallel: int) -> list[str]:
        """Return the words of the command that trains these seeds."""
        return [
            sys.executable, "-m", "synthaug.train", "--config-dir", "conf", "-m", "mix=real,55",
            f"seed={','.join(map(str, seeds))}", "dataset=imagefolder", "dataset.root=photos", "dataset.image_size=32",
            "generator=painter", "model=tiny", "trainer.max_epochs=1", "trainer.accelerator=cpu", "batch_size=4",
            "logger=none", f"parallel={parallel}", f"experiment={experiment}",
        ]  # fmt: skip

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
        environment = {
            **kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "SYNTHAUG_TARGETS": "tests",
            "HOME": str(self.lab.folder / "home"), "TMPDIR": str(self.temporary),
        }  # fmt: skip
        with (self.lab.folder / "log").open("ab") as log:
            return subprocess.Popen(
                list(words), cwd=self.lab.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
                preexec_fn=heed_interrupts,
            )  # fmt: skip

    def finished(self, experiment: str = "soak") -> list[Path]:
        """Return the results of the runs that are finished."""
        return sorted(self.lab.study(experiment).glob(f"photos/*/seed*/{layout.RESULT}"))

    def disturbed(self, usual: float) -> Start:
        """Start the command once and kill something.

        Args:
            usual: seconds that it takes to finish a few runs.
        """
        began, process = time.monotonic(), self.start(self.command("soak", self.seeds, 2))
        until = began + self.chance.uniform(0.1, 1) * usual
        kind, how = self.chance.choice(("command", "worker", "worker", "server")), self.chance.choice(SIGNALS)
        victim, peak = "", [0.0, 0.0, 0.0]
        while process.poll() is None:
            members = session_members(process.pid)
            peak = list(map(max, peak, measured(members)))
            if not victim and time.monotonic() > until:
                victim = kill(kind, how, process.pid, members, self.chance)
                if not victim:
                    until += _TICK
            elif victim and kind != "command" and "then" not in victim and time.monotonic() > until + usual / 2:
                victim += f", then command {signal.SIGKILL.name}"  # a lost worker does not end it
                process.kill()
            time.sleep(_TICK)
        return Start(
            victim or "nothing", round(time.monotonic() - began, 1), len(self.finished()), process.returncode,
            peak[0], int(peak[1]), int(peak[2]), self._outliving(process.pid), self._temporary_files(),
        )  # fmt: skip

    def _outliving(self, session: int) -> int:
        """Return how many processes are left of a command that has ended, five seconds later."""
        end = time.monotonic() + 40
        while (members := session_members(session)) and time.monotonic() < end:
            time.sleep(_TICK)
        for pid in members:
            os.kill(pid, signal.SIGKILL)
        return len(members)

    def _temporary_files(self) -> int:
        """Count what killed processes have left in the temporary folder and beside the files of finished runs."""
        done = {path.parent for path in self.finished()}
        left = [
            path for folder in done for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"
        ]
        # An empty folder of its compiler is PyTorch's, which all programs of a user share.
        return len(left) + sum(not path.name.startswith("torchinductor_") for path in self.temporary.iterdir())


def heed_interrupts() -> None:
    """Let SIGINT end the process, also where this one was started in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def session_members(session: int) -> list[int]:
    """Return the processes of a session that still work."""
    members = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                members.append(int(path.name))
    return members


def measured(members: Sequence[int]) -> tuple[float, int, int]:
    """Return megabytes of memory (each page once, where processes share it), most open files of one, and processes."""
    memory, files = 0.0, 0
    for pid in members:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            memory += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
            files = max(files, len(list(Path(f"/proc/{pid}/fd").iterdir())))
        except OSError:  # it has ended
            continue
    return memory, files, len(members)


def kill(kind: str, how: signal.Signals, command: int, members: Sequence[int], chance: random.Random) -> str:
    """Send a signal to the command, a worker, or what workers are forked from; empty where there is none."""
    parents = {pid: parent for pid in members if (parent := _parent(pid))}
    servers = [pid for pid, parent in parents.items() if parent == command and "forkserver" in _words(pid)]
    choices = {"command": [command], "server": servers, "worker": [p for p, q in parents.items() if q in servers]}[kind]
    if not choices:
        return ""
    try:
        os.kill(chance.choice(choices), how)
    except ProcessLookupError:
        return ""
    return f"{kind} {how.name}"


def _parent(pid: int) -> int:
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1]
        )
    except OSError:
        return 0


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def growth(starts: Sequence[Start], name: str) -> tuple[float, float]:
    """Return the median of a measure over the starts around the tenth, and over the last ones."""
    values = [float(getattr(start, name)) for start in starts]
    first, last = values[SETTLED - 5 : SETTLED + 5] or values, values[-10:]
    return statistics.median(first), statistics.median(last)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak a study; return 1 where something was lost, wrong, or has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="of the study (an even number)")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--folder", type=Path, help="of the study; an earlier soak in it is resumed")
    parser.add_argument("--sample", type=int, default=10, help="seeds that are trained once more, undisturbed")
    parser.add_argument("--minutes", type=float, default=240, help="at most")
    parser.add_argument("--keep", action="store_true", help="leave the study")
    parsed = parser.parse_args(arguments)
    folder = (parsed.folder or Path(tempfile.mkdtemp(prefix="soak-"))).resolve()
    chance = random.Random(parsed.seed)
    soak = Soak(folder, parsed.runs, chance)
    starts: list[Start] = []
    began, usual, idle = time.monotonic(), 40.0, 0
    while len(soak.finished()) < soak.runs:
        before = len(soak.finished())
        start = soak.disturbed(usual)
        starts.append(start)
        idle = 0 if start.finished > before else idle + 1
        usual = min(120.0, 1.5 * usual) if idle > 1 else usual
        minutes = (time.monotonic() - began) / 60
        done = start.finished - (starts[0].finished if len(starts) > 1 else 0)
        left = f", {minutes / done * (soak.runs - start.finished):.0f} min left" if done > 0 else ""
        print(
            f"start {len(starts)}: {start.victim} after {start.seconds:.0f} s, code {start.code}; {start.finished} of "
            f"{soak.runs} finished, {start.megabytes:.0f} MB, {start.files} files, {start.processes} processes, "
            f"{start.left} outlive it, {start.temporary} temporary{left}",
            flush=True,
        )
        if idle > MOST_STARTS or minutes > parsed.minutes:
            print(f"given up: {idle} starts without a finished run, {minutes:.0f} minutes; the same --folder resumes")
            return 1
    last = soak.start(soak.command("soak", soak.seeds, 2)).wait()
    problems = [] if last == 0 else [f"the last command ends with {last}"]
    chosen = chance.sample(list(soak.seeds), min(parsed.sample, len(soak.seeds)))
    soak.start(soak.command("calm", sorted(chosen), 1)).wait()
    calm = {path.parent.parts[-2:]: sha256(layout.predictions_file(path.parent)) for path in soak.finished("calm")}
    wild = {path.parent.parts[-2:]: sha256(layout.predictions_file(path.parent)) for path in soak.finished()}
    problems += [
        f"{'/'.join(key)} is another run than undisturbed" for key, value in calm.items() if wild.get(key) != value
    ]
    problems += [] if len(calm) == 2 * len(chosen) else [f"{len(calm)} of {2 * len(chosen)} calm runs"]
    print(f"\n| measure | around start {SETTLED} | last ten |\n|---|---|---|")
    for name, allowed in (("megabytes", 1.15), ("files", 1.1), ("processes", 1.1), ("left", 1.0), ("temporary", 1.0)):
        first, final = growth(starts, name)
        print(f"| {name} | {first:.0f} | {final:.0f} |")
        if len(starts) >= 2 * SETTLED and final > max(first, 1) * allowed:
            problems.append(f"{name} has grown from {first:.0f} to {final:.0f}")
    problems += [f"{soak._temporary_files()} temporary files are left"] if soak._temporary_files() else []
    if "Traceback" in (folder / "log").read_text(encoding="utf-8", errors="replace"):
        problems.append(f"a traceback in {folder / 'log'}")
    kills = sum(start.victim != "nothing" for start in starts)
    print(
        f"{len(soak.finished())} of {soak.runs} runs finished after {len(starts)} starts with {kills} kills, "
        f"{len(calm)} compared with undisturbed ones, {(time.monotonic() - began) / 60:.0f} minutes"
    )
    print("\n".join(problems) or "nothing was lost, and nothing has grown")
    if not parsed.keep and not problems:
        shutil.rmtree(folder)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())

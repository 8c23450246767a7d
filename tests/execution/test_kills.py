"""Training that is killed or told to end at random moments ends up with the bytes of one that nobody disturbs."""

import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from synthaug.runs import contents, layout
from tests.factories.commands import Commands

EPOCHS = "trainer.max_epochs=4"
HOW = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
SWEEP = ("-m", "mix=real,55", EPOCHS, "parallel=2")
SINGLE = ("mix=55", EPOCHS)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    commands = Commands(tmp_path_factory.mktemp("killed"))
    code, printed = commands.run(*SWEEP, "experiment=whole")
    assert code == 0, printed
    return commands


def bytes_of_run(folder: Path) -> dict[str, object]:
    """What a run has computed: its images, predictions, weights, and its curves without the seconds."""
    written = {name: (folder / name).read_bytes() for name in (layout.MIX, layout.PREDICTIONS, layout.CHECKPOINT)}
    history = contents.read_history(folder)
    return {**written, "curves": {key: list(map(repr, history[key])) for key in history if key != "seconds"}}


def kills(seed: int, most: float) -> Iterator[tuple[signal.Signals, float]]:
    """Signals and after how many seconds of a command they come."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(HOW), chance.uniform(0.5, most)


def disturb(
    commands: Commands, command: Sequence[str], plan: Iterator[tuple[signal.Signals, float]], count: int
) -> dict[str, int]:
    """Kill a command and start it again, in fresh studies where it reaches its end, until it was killed so often."""
    killed = dict.fromkeys((how.name for how in HOW), 0)
    study = 0
    while sum(killed.values()) < count:
        study += 1
        for how, seconds in plan:
            arguments = (*command, f"experiment=cut{study}")
            process = commands.start(*arguments)
            end = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
            if process.poll() is None and sum(killed.values()) < count:
                process.send_signal(how)
                code = process.wait(60)
                killed[how.name] += 1
                # A command may be past its last line, or not at its first, when the signal comes.
                assert code in (0, -how, 128 + how), (code, commands.printed)
            elif process.wait(300) == 0:
                break
            assert "Traceback" not in commands.printed, commands.printed
            assert "failed" not in commands.printed, commands.printed
        for folder in commands.study(f"cut{study}").glob(f"*/*/seed*/{layout.RESULT}"):
            whole = commands.study("whole") / folder.parent.relative_to(commands.study(f"cut{study}"))
            assert bytes_of_run(folder.parent) == bytes_of_run(whole)
            assert not list(folder.parent.glob(".*-????????.*"))
    return killed


@pytest.mark.slow
@pytest.mark.parametrize(("command", "seed"), [(SWEEP, 1), (SINGLE, 2)])
def test_training_killed_twenty_times_ends_with_the_bytes_of_an_undisturbed_one(
    commands: Commands, command: Sequence[str], seed: int
) -> None:
    killed = disturb(commands, command, kills(seed, 9.0), 20)
    print(killed)
    assert sum(killed.values()) == 20

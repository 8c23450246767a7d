"""Commands under which something breaks: a sentence, the documented exit code, and nothing lost."""

import csv
import math
import multiprocessing
import resource
import signal
from functools import partial
from pathlib import Path

import pytest

from synthaug.files import read_json
from synthaug.runs import layout
from tests.factories.commands import Commands


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def no_numbers(step: int) -> None:
    """Make the loss of synthetic images no number from a step on."""
    import torch

    from synthaug.models.classifier import Classifier

    whole = Classifier.training_step

    def training_step(self: Classifier, batch: object, batch_idx: int) -> torch.Tensor:
        loss = whole(self, batch, batch_idx)  # type: ignore[arg-type]
        spoils = batch.synthetic.any() and batch_idx >= step  # type: ignore[attr-defined]
        return loss * math.nan if spoils else loss

    Classifier.training_step = training_step  # type: ignore[method-assign]


def without_readers(step: int) -> None:
    """Kill the processes that read images, in a step of training."""
    from synthaug.models.classifier import Classifier

    whole, calls = Classifier.training_step, iter(range(10**9))

    def training_step(self: Classifier, *arguments: object) -> object:
        if next(calls) == step:
            for reader in multiprocessing.active_children():
                reader.kill()
        return whole(self, *arguments)  # type: ignore[arg-type]

    Classifier.training_step = training_step  # type: ignore[assignment, method-assign]


def largest_file(size: int) -> None:
    """Let files be of so many bytes at most."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as an interpreter does when it starts
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_run_without_numbers_fails_with_its_step_and_images_and_reaches_no_table(commands: Commands) -> None:
    code, printed = commands.run("-m", "mix=real,55", before=partial(no_numbers, 2))
    assert code == 1
    assert "Traceback" not in printed
    error = read_json(commands.run_folder("55") / layout.FAILED)["error"]
    assert "train/loss of epoch 0 is nan" in error
    assert "in step " in error
    assert "outputs/synthetic/photos" in error, "one of the batch's images is synthetic"
    assert (commands.run_folder("real") / layout.RESULT).is_file(), "the sweep goes on"
    with (commands.study() / layout.RESULTS_CSV).open(newline="", encoding="utf-8") as stream:
        assert {row["arm"]: bool(row["accuracy"]) for row in csv.DictReader(stream)} == {"real": True, "55": False}


def test_a_file_that_may_not_be_so_large_is_named_and_the_same_command_goes_on(commands: Commands) -> None:
    code, printed = commands.run("mix=real", before=partial(largest_file, 100_000))
    assert code == 1
    assert "Traceback" not in printed
    assert f"{layout.CHECKPOINT} (File too large): raise the limit (ulimit -f" in printed
    assert not (commands.run_folder("real") / layout.RESULT).exists()
    code, printed = commands.run("mix=real")
    assert code == 0, printed


def test_a_killed_reader_of_images_is_told_and_the_same_command_ends_with_the_same_bytes(commands: Commands) -> None:
    words = ("mix=real", "num_workers=1", "trainer.max_epochs=3")
    code, printed = commands.run(*words, before=partial(without_readers, 12))  # of five an epoch
    assert code == 1
    assert "Traceback" not in printed
    assert "num_workers=" in printed
    folder = commands.run_folder("real")
    assert (folder / layout.LAST).is_file()
    assert not (folder / layout.RESULT).exists()
    assert commands.run(*words)[0] == 0
    resumed = (folder / layout.PREDICTIONS).read_bytes()
    code, printed = commands.run(*words, "experiment=whole", "num_workers=0")
    assert code == 0, printed
    assert (commands.run_folder("real", "whole") / layout.PREDICTIONS).read_bytes() == resumed

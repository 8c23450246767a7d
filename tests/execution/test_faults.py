"""Commands under which something breaks: a sentence, the documented exit code, and nothing lost."""

import csv
import math
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

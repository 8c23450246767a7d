"""Heads of a frozen network: as Lightning trains them image by image, together as alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.models import frozen_weights
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.training.checkpoint_files import load_tensors
from tests.factories.commands import train
from tests.factories.images import write_dataset
from tests.factories.probes import probe_settings, train_probes, with_initial_head, write_weights

SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one cycle": ({"schedule": "one_cycle", "label_smoothing": 0.1}, {}),
    "sgd": (
        {"optimizer": "sgd", "schedule": "warmup_cosine", "class_weights": "balanced", "synthetic_weight": 0.5},
        {"budget": "steps", "selection": "own_share"},
    ),
    "pretrained": (
        {"optimizer": "adamw", "schedule": "step", "step_epochs": 2, "pretrain_epochs": 1, "weight_decay": 0.2},
        {"sampling": "balanced"},
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probes")
    write_dataset(folder / "photos", train=9, val=8, test=6)
    write_weights(folder / "weights.pth")
    return folder


def run_settings(place: Path, model: dict[str, Any], others: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    return {**probe_settings(place / "photos", place, place / "weights.pth", **model), **others, "seed": seed}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_head_becomes_what_lightning_makes_of_it_image_by_image(
    place: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_run = run_settings(place, *SETTINGS[name])
    study = tmp_path / "study" / "photos" / "arm"
    train_probes([study / "seed0"], [of_run])
    train(tmp_path / "whole", of_run, kind=with_initial_head)
    curves, expected = (contents.read_history(folder) for folder in (study / "seed0", tmp_path / "whole"))
    for column in ("epoch", "step", "train/loss", "val/loss", "val/accuracy", "lr"):
        np.testing.assert_allclose(curves[column], expected[column], rtol=1e-4, atol=1e-5, err_msg=column)
    ours, theirs = (contents.read_predictions(folder) for folder in (study / "seed0", tmp_path / "whole"))
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-3)
    np.testing.assert_array_equal(ours.predicted, theirs.predicted)
    assert (ours.paths, ours.clusters.tolist()) == (theirs.paths, theirs.clusters.tolist())
    result, whole = (read_json(folder / layout.RESULT) for folder in (study / "seed0", tmp_path / "whole"))
    assert result.keys() == whole.keys()
    assert result["training"].keys() == whole["training"].keys()
    for field in ("counts", "data", "classes"):
        assert result[field] == whole[field]
    assert result["training"]["passes"] == whole["training"]["passes"]
    by_class = [item["test"].pop("class_accuracy") for item in (result, whole)]
    assert by_class[0] == by_class[1]
    assert result["test"] == pytest.approx(whole["test"], rel=1e-3)
    assert result["val"]["epoch"] == whole["val"]["epoch"]


def test_heads_that_are_trained_together_are_those_that_are_trained_alone(place: Path, tmp_path: Path) -> None:
    model = {"schedule": "cosine", "label_smoothing": 0.1}
    of_runs = [
        {**run_settings(place, model, {}, seed), "mix": {"name": "55", "real": real, "synthetic": synthetic}}
        for seed in (0, 1)
        for real, synthetic in ((1.0, 0.0), (0.5, 0.5), (0.4, 0.0))  # the last takes fewer steps
    ]
    together = [tmp_path / "study" / "photos" / f"arm{number}" / "seed0" for number in range(len(of_runs))]
    alone = [tmp_path / "alone" / "photos" / f"arm{number}" / "seed0" for number in range(len(of_runs))]
    train_probes(together, of_runs)
    for folder, of_run in zip(alone, of_runs, strict=True):
        train_probes([folder], [of_run])
    steps = set()
    for left, right in zip(together, alone, strict=True):
        head, expected = (torch.load(folder / layout.CHECKPOINT)["state_dict"] for folder in (left, right))
        for name, value in expected.items():
            torch.testing.assert_close(head[name], value, rtol=0, atol=1e-7)
        ours, theirs = (contents.read_predictions(folder) for folder in (left, right))
        np.testing.assert_array_equal(ours.predicted, theirs.predicted)
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-5)
        steps.add(read_json(left / layout.RESULT)["training"]["steps"])
    assert len(steps) > 1
    assert len({(folder / layout.PREDICTIONS).read_bytes() for folder in together}) == len(together)


def test_a_head_that_diverges_fails_alone(place: Path, tmp_path: Path) -> None:
    of_run = run_settings(place, {"optimizer": "sgd", "lr": 1e60}, {})
    with pytest.raises(UserError, match="diverged"):
        train_probes([tmp_path / "study" / "photos" / "arm" / "seed0"], [of_run])
    assert not (tmp_path / "study" / "photos" / "arm" / "seed0" / layout.RESULT).exists()


@pytest.fixture(scope="module")
def probe(place: Path) -> Path:
    folder = place / "study" / "photos" / "arm" / "seed0"
    train_probes([folder], [run_settings(place, {}, {})])
    return folder


def test_the_frozen_network_is_written_once_and_found_from_wherever_the_study_is(probe: Path, tmp_path: Path) -> None:
    (weights,) = (probe.parents[2] / frozen_weights.FOLDER).iterdir()
    best = probe / layout.CHECKPOINT
    assert best.stat().st_size < weights.stat().st_size / 10
    whole = Classifier.load_from_checkpoint(best, weights_only=True)
    assert whole.view is not None
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / layout.CHECKPOINT).write_bytes(best.read_bytes())
    with pytest.raises(UserError, match=weights.name):
        Classifier.load_from_checkpoint(moved / layout.CHECKPOINT)
    (moved / weights.name).write_bytes(weights.read_bytes())
    loaded = Classifier.load_from_checkpoint(moved / layout.CHECKPOINT)
    for key, value in whole.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    (moved / weights.name).write_bytes(damaged)
    with pytest.raises(UserError, match="damaged"):
        load_tensors(moved / layout.CHECKPOINT)

"""Runs of a frozen network, whose heads are trained on what it sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from synthaug.features import frozen_network
from synthaug.models.backbones import build_backbone
from synthaug.models.classifier import Classifier
from synthaug.training import lightning_rules
from synthaug.training.head_training import initial_head
from synthaug.training.probe_run import ProbeRun, train_runs
from tests.factories.commands import KEY, NETWORK, build_arm, settings

CLASSES = ["cat", "dog"]
CPU = torch.device("cpu")


def write_weights(path: Path) -> Path:
    """Write the weights of a small network, and return their path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        torch.save(build_backbone(NETWORK, None, 1000).state_dict(), path)
    return path


def probe_settings(root: Path, folder: Path, weights: Path, **model: Any) -> dict[str, Any]:
    """The configuration of a probe as the commands hand it down; `model` overrides that of the group."""
    of_run = settings(root, folder)
    frozen = {"backbone": NETWORK, "weights": str(weights), "train_stages": 0, "views": 3, "lr": 0.05}
    return {**of_run, "model": {**frozen, **model}}


def with_initial_head(**arguments: Any) -> Classifier:
    """The classifier that Lightning trains, with the first weights of a probe's head."""
    classifier = Classifier(**arguments)
    layer = initial_head(arguments["seed"], classifier.network.classifier.in_features, len(CLASSES))  # type: ignore
    classifier.network.classifier.load_state_dict(layer.state_dict())  # type: ignore
    return classifier


def train_probes(folders: Sequence[Path], of_runs: Sequence[dict[str, Any]]) -> list[str]:
    """Train the heads of runs together: what each of them says."""
    lightning_rules.quiet_libraries()
    first = of_runs[0]
    classifier = Classifier(CLASSES, **first["model"])
    network = frozen_network.separate(classifier, first["dataset"]["image_size"], CPU)
    assert network is not None
    runs = []
    for folder, of_run in zip(folders, of_runs, strict=True):
        folder.mkdir(parents=True)
        runs.append(ProbeRun(folder, KEY, KEY.arm, of_run, build_arm(of_run)))
    features = Path(first["output_dir"]) / "features"
    machine: dict[str, Any] = {"machine": {}, "versions": {}}
    trained = train_runs(runs, classifier, network, features, first["trainer"]["max_epochs"], machine)
    return [run.finish(head, trained, []) for run, head in zip(runs, trained.heads, strict=True)]

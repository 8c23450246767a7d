"""Loggers: one W&B run per run folder, closed with its outcome, with what a reader looks for, inside the study."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from synthaug.files import read_json
from synthaug.runs import contents, layout
from synthaug.tracking import loggers
from tests.factories.commands import SET, settings, train
from tests.factories.images import write_dataset
from tests.factories.wandb_files import SET_BY_PROGRAM, files, inspect

KINDS = {"WandbLogger": WandbLogger, "CSVLogger": CSVLogger, "TensorBoardLogger": TensorBoardLogger}


class StoppedError(Exception):
    pass


class Stop(Callback):
    """Raises in the middle of the second epoch."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == 1:
            raise StoppedError


def tracked_run(study: Path, arm: str, run_settings: dict[str, Any], *callbacks: Callback) -> None:
    """One run with all loggers, opened and closed as the command does it."""
    folder = study / arm
    folder.mkdir(parents=True, exist_ok=True)
    opened: list[Logger] = []
    failed = True
    try:
        for name, kind in KINDS.items():
            project = {"project": "made-up"} if kind is WandbLogger else {}
            by_program = loggers.logger_arguments(f"loggers.{name}", f"{arm}-seed0", study, folder)
            opened.append(kind(**{**project, **by_program}))  # as `instantiate` joins them
        train(folder, run_settings, opened, callbacks)
        failed = False
    finally:
        loggers.close(opened, failed)


@dataclass(frozen=True)
class Tracked:
    """A study of two runs: `real` finished, `55` stopped once and finished then."""

    folder: Path
    before: list[Path]
    home: list[Path]
    summaries: list[dict[str, Any]]
    records: list[list[dict[str, Any]]]

    @property
    def study(self) -> Path:
        return self.folder / "outputs" / "colours"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracked")
    root = write_dataset(folder / "photos", test=5)
    home, study = folder / "home", folder / "outputs" / "colours"
    for path in (home, folder / "cwd"):
        path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB", "XDG"))]:
            patch.delenv(name)
        for name in SET_BY_PROGRAM:  # remembered, so that they go again
            patch.setenv(name, "")
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.chdir(folder / "cwd")
        before = sorted(path for path in folder.rglob("*") if "outputs" not in path.parts)
        whole, mixed = settings(root, folder / "outputs", 1.0, 0.0), settings(root, folder / "outputs")
        tracked_run(study, "real", whole)
        with pytest.raises(StoppedError):
            tracked_run(study, "55", mixed, Stop())
        mixed["logger"] = {"wandb": {"log_model": True}}
        tracked_run(study, "55", mixed)
        runs = files(study)
        summaries = [json.loads(inspect(path, "--summary")) for path in runs]
        records = [[json.loads(line) for line in inspect(path).splitlines()] for path in runs]
        yield Tracked(folder, before, sorted(home.rglob("*")), summaries, records)


def test_nobody_is_asked_and_nothing_is_written_elsewhere(tracked: Tracked) -> None:
    """No credentials, no terminal: it went offline by itself, in the study's folder."""
    assert len(tracked.summaries) == 3
    assert sorted(path for path in tracked.folder.rglob("*") if "outputs" not in path.parts) == tracked.before
    assert tracked.home == []


def test_each_run_is_its_own_in_one_group_and_a_resume_goes_on_with_it(tracked: Tracked) -> None:
    names, runs = zip(*[(s["name"], s["run_id"]) for s in tracked.summaries], strict=True)
    assert names == ("real-seed0", "55-seed0", "55-seed0")
    assert runs[0] != runs[1] == runs[2]
    started = [record["run"] for records in tracked.records for record in records if record["type"] == "run"]
    assert {run["run_group"] for run in started} == {"colours"}
    assert {run["project"] for run in started} == {"made-up"}


def test_each_run_is_closed_with_its_outcome(tracked: Tracked) -> None:
    assert [summary["exit_code"] for summary in tracked.summaries] == [0, 1, 0]
    for records in tracked.records:
        assert [record["type"] for record in records].count("exit") == 1


def test_the_configuration_the_counts_and_the_share_are_there(tracked: Tracked) -> None:
    for summary, synthetic in zip(tracked.summaries, (0, 6, 6), strict=True):
        config = summary["config"]
        assert config["counts"]["synthetic"] == synthetic
        assert config["counts"]["real"] == 12 - synthetic
        assert config["synthetic_fraction"] == synthetic / 12
        assert config["dataset"]["augment"]["rotation"] == 10
        assert config["trainer"]["max_epochs"] == 4
        assert config["model"]["lr"] == 0.01


def test_the_scores_are_those_of_the_run(tracked: Tracked) -> None:
    for summary, arm in ((tracked.summaries[0], "real"), (tracked.summaries[2], "55")):
        logged, test = summary["summary"], read_json(tracked.study / arm / layout.RESULT)["test"]
        for name in ("accuracy", "macro_f1", "calibration_error", "loss"):
            assert logged[f"test/{name}"] == pytest.approx(test[name], abs=1e-6)
        for name in ("cat", "dog"):
            assert logged[f"test/class_accuracy/{name}"] == pytest.approx(test["class_accuracy"][name])


def test_the_curves_have_a_point_per_epoch(tracked: Tracked) -> None:
    seen: dict[str, list[float]] = {"train/loss": [], "val/loss": [], "val/accuracy": []}
    for record in tracked.records[0]:
        if record["type"] == "history":
            for name in seen.keys() & record["history"]["item"].keys():
                seen[name].append(record["history"]["item"][name])
    curves = contents.read_history(tracked.study / "real")
    for name, values in seen.items():
        assert values == pytest.approx(curves[name], abs=1e-6), name


def test_the_confusion_matrix_and_class_accuracies_are_tables(tracked: Tracked) -> None:
    media = {
        Path(row["path"]).name.split("_table_")[0]: folder / "files" / row["path"]
        for folder in [Path(tracked.summaries[0]["file"]).parent]
        for row in tracked.summaries[0]["summary"].values()
        if isinstance(row, dict) and row.get("_type") == "table-file"
    }
    bars = json.loads(media["class_accuracy"].read_text(encoding="utf-8"))["data"]
    test = read_json(tracked.study / "real" / layout.RESULT)["test"]
    assert dict(bars) == pytest.approx(test["class_accuracy"])
    matrix = json.loads(media["confusion_matrix"].read_text(encoding="utf-8"))["data"]
    predictions = contents.read_predictions(tracked.study / "real")
    named = (
        [predictions.classes[i] for i in predictions.labels],
        [predictions.classes[i] for i in predictions.predicted],
    )
    for actual, guess, count in matrix:
        assert count == sum(pair == (actual, guess) for pair in zip(*named, strict=True))
    assert sum(row[2] for row in matrix) == 10


def test_a_few_training_images_of_each_origin_are_shown(tracked: Tracked) -> None:
    mixed = {"real": 6, "synthetic": 6}
    for summary, origins in zip(tracked.summaries, ({"real": 8}, mixed, mixed), strict=True):
        shown = {key: value for key, value in summary["summary"].items() if key.startswith("images/")}
        assert {key.removeprefix("images/"): value["count"] for key, value in shown.items()} == origins
        for value in shown.values():
            assert set(value["captions"]) <= {"cat", "dog"}
            for name in value["filenames"]:
                assert (Path(summary["file"]).parent / "files" / name).is_file()


def test_what_a_run_was_made_of_is_its_lineage(tracked: Tracked) -> None:
    """Dataset and synthetic set as inputs, mix and predictions as outputs; of one content there is one version."""
    seen: dict[str, set[str]] = {}
    for records, uses_synthetic in zip(tracked.records, (False, True, True), strict=True):
        artifacts = [record["artifact"] for record in records if record["type"] == "artifact"]
        by_name = {item["name"]: item for item in artifacts if item["type"] != "run_table"}
        inputs = {name for name, item in by_name.items() if item.get("use_after_commit")}
        assert inputs == {"dataset-photos", *([f"synthetic-photos-{SET}"] if uses_synthetic else [])}
        for name, item in by_name.items():
            seen.setdefault(name, set()).add(item["digest"])
        sources = json.loads(by_name["mix-photos-55-seed0"]["metadata"])
        assert sources["dataset_digest"] == by_name["dataset-photos"]["digest"]
        assert sources.get("synthetic_set") == (f"synthetic-photos-{SET}" if uses_synthetic else None)
    assert len(seen["dataset-photos"]) == len(seen[f"synthetic-photos-{SET}"]) == 1
    answers = "predictions-made_up-photos-55-seed0"
    assert [answers in str(records) for records in tracked.records] == [True, False, True], "the second was stopped"


def test_the_model_is_uploaded_where_that_is_configured(tracked: Tracked) -> None:
    models = [
        [
            record["artifact"]
            for record in records
            if record["type"] == "artifact" and record["artifact"]["type"] == "model"
        ]
        for records in tracked.records
    ]
    assert [len(logged) for logged in models] == [0, 0, 1], "the first was not asked for, the second was stopped"
    (model,) = models[2]
    test = read_json(tracked.study / "55" / layout.RESULT)["test"]
    metadata = json.loads(model["metadata"])
    assert model["name"] == "model-made_up-photos-55-seed0"
    assert (metadata["classes"], metadata["accuracy"]) == (["cat", "dog"], test["accuracy"])
    assert set(model["aliases"]) == {"latest", "best"}
    checkpoint = (tracked.study / "55" / layout.CHECKPOINT).read_bytes()
    staged = [path for path in (tracked.study / "wandb").rglob("*") if path.is_file() and "artifacts" in path.parts]
    assert any(path.stat().st_size == len(checkpoint) and path.read_bytes() == checkpoint for path in staged)


def test_csv_keeps_the_file_of_an_earlier_attempt(tracked: Tracked) -> None:
    attempts = sorted((tracked.study / "55" / "csv").iterdir())
    assert [path.name for path in attempts] == ["attempt0", "attempt1"]
    first, second = ((path / "metrics.csv").read_text(encoding="utf-8") for path in attempts)
    assert "test/accuracy" not in first
    assert "test/accuracy" in second
    assert [path.name for path in (tracked.study / "real" / "csv").iterdir()] == ["attempt0"]


def test_tensorboard_has_all_attempts_in_one_place(tracked: Tracked) -> None:
    assert len(list((tracked.study / "real" / "tensorboard").glob("events.out.tfevents.*"))) >= 1
    assert len(list((tracked.study / "55" / "tensorboard").glob("events.out.tfevents.*"))) >= 2

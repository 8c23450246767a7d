"""A run that trains nothing but the head of a frozen network: from its images to a head's task, and to its files."""

import datetime
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from synthaug.arms.build import Arm
from synthaug.arms.epoch_images import EpochImages
from synthaug.data.augment import View, image_numbers
from synthaug.data.datamodule import MixDataModule
from synthaug.data.pixels import Pixels
from synthaug.data.samples import Sample, Samples
from synthaug.errors import UserError
from synthaug.features.frozen_network import EvaluationView, FrozenNetwork, Shown, TrainingView
from synthaug.files import whole_file, write_rows
from synthaug.models import frozen_weights
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.runs.identity import run_seed
from synthaug.runs.layout import RunKey
from synthaug.runs.prediction_files import Predictions
from synthaug.training import fit
from synthaug.training.callbacks import COLUMNS
from synthaug.training.head_training import Head, train_heads


@dataclass(frozen=True)
class Trained:
    """Heads that were trained together.

    Attributes:
        heads: one of each run.
        classifier: with the settings of the runs.
        prefix: of the names of a head's weights.
        reference: to the frozen network, from `frozen_weights.write`.
        features: what the frozen network sees, (rows, D).
        rows: of the features, by image and how it is shown.
        computed_with: the fields `machine` and `versions` of `result.json`.
        seconds: a run's share of the time that all of them took.
    """

    heads: Sequence[Head]
    classifier: Classifier
    prefix: str
    reference: Mapping[str, str]
    features: Tensor
    rows: Mapping[tuple[str, Shown], int]
    computed_with: Mapping[str, Any]
    seconds: float


@dataclass
class ProbeRun:
    """A run whose head is to be trained.

    Attributes:
        folder: of the run.
        key: names of the run.
        name: of its arm in the study.
        settings: the full configuration, as it is recorded.
        arm: images.
        is_logged: whether the run has loggers.
        started: when its images began to be listed.
    """

    folder: Path
    key: RunKey
    name: str
    settings: Mapping[str, Any]
    arm: Arm
    is_logged: bool = False
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def __post_init__(self) -> None:
        fit.write_mix(self.folder, self.arm)
        self.data: MixDataModule = fit.datamodule(
            self.arm, self.settings, self.settings["model"].get("pretrain_epochs", 0)
        )
        self.validation: EpochImages = fit.validation_images(self.arm, self.settings)

    @property
    def evaluation_view(self) -> EvaluationView:
        """How its validation and test images are shown."""
        return EvaluationView(View(self.data.image_size, self.data.crop_pct, self.arm.store.short_side))

    @property
    def training_views(self) -> list[TrainingView]:
        """How its training images are shown, by number."""
        shown = (self.data.augmentation, self.data.image_size, self.arm.store.short_side, self.data.crop_pct)
        return [TrainingView(number, *shown) for number in range(self.data.views or 1)]

    def shown(self) -> Iterator[tuple[Sample, Shown, Pixels]]:
        """Yield all images that the frozen network has to see, how they are shown, and the store of their pixels."""
        evaluation, store = self.evaluation_view, self.arm.store
        yield from ((sample, view, store) for view in self.training_views for sample in self.arm.train)
        yield from ((sample, evaluation, store) for sample in (*self.validation.images, *self.arm.real.test))

    def head(self, classifier: Classifier, rows: Mapping[tuple[str, Shown], int]) -> Head:
        """Return what is to be trained.

        Args:
            classifier: with the settings of the run.
            rows: of the features, by image and how it is shown.
        """
        train, val, evaluation = Samples.of(self.arm.train), Samples.of(self.validation.images), self.evaluation_view
        labels = torch.from_numpy(train.labels)
        classifier.objective.weigh_classes(labels.tolist())
        synthetic = torch.from_numpy(train.synthetic)
        views = self.training_views
        return Head(
            seed=run_seed(self.settings),
            batches=self.data.train_batches(),
            images=image_numbers(train.random_keys),
            rows=torch.tensor([[rows[key, view] for view in views] for key in train.keys]).numpy(),
            labels=labels,
            masses=classifier.objective.masses(labels, synthetic).double(),
            val_rows=torch.tensor([rows[key, evaluation] for key in val.keys]),
            val_labels=torch.from_numpy(val.labels),
            chooses=self.validation.choose,
            detailed=self.is_logged,
        )

    def finish(self, head: Head, trained: Trained, loggers: Sequence[Logger]) -> str:
        """Test the chosen epoch, write the files of the run, `result.json` last, and log it.

        Args:
            head: of the run.
            trained: with the head.
            loggers: open ones.

        Returns:
            One line for the screen.

        Raises:
            UserError: the training diverged.
        """
        if loggers:
            fit.log_arm(loggers, self.folder, self.key, self.name, self.settings, self.arm)
            _log_epochs(loggers, head)
        write_rows(self.folder / layout.HISTORY, COLUMNS, head.history)
        if head.problem:
            raise UserError(head.problem)
        classifier = trained.classifier
        val = fit.chosen_epoch(self.folder, self.validation, classifier.pretrain_epochs)
        self._write_checkpoint(head, trained, val["epoch"])
        rows = torch.tensor([trained.rows[sample.sha256, self.evaluation_view] for sample in self.arm.real.test])
        test = self._test(linear(trained.features.index_select(0, rows), head.weight, head.bias), classifier)
        if loggers:
            _log_test(loggers, head, test)
            fit.log_test(loggers, self.folder, self.key, self.settings, test)
        shown = len(head.history) * len(head.batches) * head.batches.batch_size
        measured = {"test": test, "val": val, **trained.computed_with}
        passes = round(shown / len(self.arm.train), 4)
        # As if the runs had come one after the other, by which what others will take is estimated.
        started = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=trained.seconds)
        fit.finish(self.folder, self.key, self.settings, self.arm, measured, passes, started)
        return f"test accuracy {100 * test['accuracy']:.2f} %"

    def _test(self, logits: Tensor, classifier: Classifier) -> dict[str, Any]:
        """Write the predictions, and return the field `test` of `result.json`."""
        labels = torch.from_numpy(Samples.of(self.arm.real.test).labels)
        probabilities = logits.softmax(dim=1)
        metrics = classifier.test_metrics
        metrics.reset()
        metrics.update(probabilities, labels)
        values = metrics.compute()
        by_class = values.pop("class_accuracy")
        values |= {f"class_accuracy/{name}": by_class[i] for i, name in enumerate(classifier.classes)}
        values["loss"] = cross_entropy(logits, labels)
        contents.write_predictions(
            self.folder,
            Predictions(
                paths=[sample.file for sample in self.arm.real.test],
                labels=labels.numpy(),
                predicted=probabilities.argmax(dim=1).numpy(),
                probabilities=probabilities.double().numpy(),
                classes=classifier.classes,
                clusters=torch.tensor(self.arm.clusters).numpy(),
            ),
        )
        return fit.test_metrics({f"test/{name}": value for name, value in values.items()}, classifier.classes)

    def _write_checkpoint(self, head: Head, trained: Trained, epoch: int) -> None:
        """Write `best.ckpt`: the head alone, and where the frozen network is."""
        classifier = trained.classifier
        content = {
            "epoch": epoch,
            "global_step": int(head.history[epoch][1]),
            "pytorch-lightning_version": importlib.metadata.version("pytorch-lightning"),
            "state_dict": {f"{trained.prefix}weight": head.weight, f"{trained.prefix}bias": head.bias},
            frozen_weights.REFERENCE: dict(trained.reference),
            classifier.CHECKPOINT_HYPER_PARAMS_KEY: {**classifier.hparams, "seed": head.seed},
            self.data.CHECKPOINT_HYPER_PARAMS_KEY: dict(self.data.hparams),
        }
        classifier.on_save_checkpoint(content)
        with whole_file(self.folder / layout.CHECKPOINT) as temporary:
            torch.save(content, temporary)


def train_runs(
    runs: Sequence[ProbeRun],
    classifier: Classifier,
    network: FrozenNetwork,
    features: Path,
    epochs: int,
    computed_with: Mapping[str, Any],
) -> Trained:
    """Compute what a frozen network sees of the images of runs, and train their heads on it.

    Args:
        runs: of one study.
        classifier: with their settings.
        network: what is frozen of it.
        features: folder of all features, such as `<output_dir>/features`.
        epochs: of the training.
        computed_with: the fields `machine` and `versions` of `result.json`.

    Raises:
        UserError: no room for the features on the disk, or features that are not finite.
    """
    rows, values = network.features(features, (item for run in runs for item in run.shown()))
    seen = torch.from_numpy(values)
    tasks = [run.head(classifier, rows) for run in runs]
    train_heads(tasks, seen, classifier, epochs)
    seconds = (datetime.datetime.now(datetime.UTC) - runs[0].started).total_seconds() / len(runs)
    study = runs[0].folder.parents[layout.STUDY_DEPTH - 1]
    reference = frozen_weights.write(study, network.file_name, network.state)
    return Trained(tasks, classifier, network.head, reference, seen, rows, computed_with, seconds)


def _log_epochs(loggers: Sequence[Logger], head: Head) -> None:
    """Log the learning curves."""
    for row, metrics in zip(head.history, head.metrics, strict=True):
        epoch, step, train_loss, val_loss, *_ = row
        values = {"train/loss": train_loss, "val/loss": val_loss, "epoch": int(epoch)}
        values |= {f"val/{name}": value for name, value in metrics.items()}
        for logger in loggers:
            logger.log_metrics(values, int(step) - 1)


def _log_test(loggers: Sequence[Logger], head: Head, test: Mapping[str, Any]) -> None:
    """Log the metrics of the test images."""
    values = {f"test/{name}": value for name, value in test.items() if name != "class_accuracy"}
    values |= {f"test/class_accuracy/{name}": value for name, value in test["class_accuracy"].items()}
    for logger in loggers:
        logger.log_metrics({**values, "epoch": len(head.history)}, int(head.history[-1][1]))

"""The LightningModule: a backbone with a new head, its loss, learning rate and metrics."""

import copy
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torchmetrics import MetricCollection

from synthaug.data.augment import View
from synthaug.data.datamodule import Batch
from synthaug.errors import UserError, raise_all
from synthaug.messages import join_words, plural
from synthaug.models import batch_norm as batch_norms
from synthaug.models import (
    frozen_weights,
    heads,
    kernel_trimming,
    loss,
    memory_format,
    optimizers,
    schedules,
    small_maps,
)
from synthaug.models.averaging import average_of
from synthaug.models.backbones import build_backbone, trained_on
from synthaug.models.class_metrics import class_metrics
from synthaug.models.evaluation_mode import evaluating
from synthaug.models.finite_losses import FiniteLosses
from synthaug.models.freezing import Freezing
from synthaug.models.kernel_trimming import TrimmedKernel
from synthaug.models.loss import Objective
from synthaug.models.weighted_mean import WeightedMean

_MOST_NAMED = 40  # images of a batch in a message


class Classifier(LightningModule):
    """An image classifier.

    Args:
        classes: names; the new head has one output for each.
        seed: of the random numbers of training.
        backbone: a classifier of `torchvision.models` by name, or of timm as "timm/<name>".
        weights: None trains from scratch; "DEFAULT" or another entry of the model's weights enum
            (torchvision), or "DEFAULT" (timm: pretrained=True); or the path of a state dict.
        lr: learning rate; the highest of its schedule.
        schedule: "constant", "one_cycle", "step", "cosine" or "warmup_cosine"; see `schedules.lightning_schedule`.
        weight_decay: see `optimizers.build_optimizer`.
        mean: per channel, of images in [0, 1]; None: of the weights' training images; without weights, ImageNet's.
        std: like `mean`.
        step_epochs: the schedule "step" multiplies the rate by `gamma` every so many epochs; for no other schedule.
        gamma: 0.1 by default.
        train_stages: how many of the network's last stages train besides the head; None: all; 0: a linear probe. What
            a stage is: `freezing`.
        unfreeze_every: one more stage trains after every so many epochs; begins with the head and `train_stages`
            (None: no) stages.
        head_batch_norm: whether batch normalisation precedes the last layer; see `heads.add_head_regularization`.
        head_dropout: probability of dropout before the last layer.
        batch_norm: "shared"; or "per_origin", separate statistics, scales and shifts for real and synthetic images.
            Evaluation uses those of real images; a run that trains on synthetic images alone, theirs.
        label_smoothing: see `loss.Objective`.
        mixup: see `loss.Objective`.
        cutmix: see `loss.Objective`.
        synthetic_weight: see `loss.Objective`.
        pretrain_epochs: the first so many epochs train on the synthetic images of the arm alone, the others on the
            real ones; 0: all on both. The data module needs the same number.
        optimizer: "adam", "adamw" or "sgd"; see `optimizers.build_optimizer`.
        momentum: of "sgd" alone; see there.
        warmup_epochs: of the schedule "warmup_cosine" alone; see `schedules.warmup_steps`.
        ema: decay of a moving average of the weights, which is what is evaluated; None: the weights themselves. See
            `averaging.average_of`.
        class_weights: see `loss.Objective`.
        image_size: side of the images in pixels, for transformers of timm, whose positions are made for one size: they
            are resampled to it; None: the network's own. Others take images of several sizes.
        views: augmentation gives each training image so many fixed views, the same for all seeds and arms, so that what
            a frozen network sees in them is computed once; None: every epoch augments anew. The data module needs the
            same number.
        fetch_weights: False builds the network that `weights` fit without them: a checkpoint replaces them anyway.

    A checkpoint of a run loads by itself, `Classifier.load_from_checkpoint(path)`, and fetches nothing.

    Attributes:
        view: how the run showed its test images; None unless loaded from its checkpoint.

    Raises:
        UserError: unknown backbone, weights or schedule, with what there is; weights that cannot be fetched; values
            that do not go together or that the network has no place for.
    """

    def __init__(
        self,
        classes: Sequence[str],
        seed: int = 0,
        backbone: str = "resnet18",
        weights: str | None = None,
        lr: float = 1e-4,
        schedule: str = "constant",
        weight_decay: float | None = None,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
        step_epochs: int | None = None,
        gamma: float | None = None,
        train_stages: int | None = None,
        unfreeze_every: int | None = None,
        head_batch_norm: bool = False,
        head_dropout: float = 0.0,
        batch_norm: str = "shared",
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        synthetic_weight: float = 1.0,
        pretrain_epochs: int = 0,
        optimizer: str = "adam",
        momentum: float | None = None,
        warmup_epochs: float | None = None,
        ema: float | None = None,
        class_weights: str | None = None,
        image_size: int | None = None,
        views: int | None = None,
        fetch_weights: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # the loggers get the whole configuration
        problems = [
            *optimizers.option_problems(optimizer, weight_decay, momentum),
            *schedules.option_problems(schedule, step_epochs, gamma, warmup_epochs),
            *_batch_norm_problems(batch_norm, mixup, cutmix),
            *loss.option_problems(class_weights),
        ]
        if len(problems) == 1:
            raise UserError(problems[0])
        raise_all("Settings of the model that do not go together:", problems)
        num_classes = len(classes)
        self.classes = list(classes)
        self.seed = seed
        self.backbone = backbone
        self.lr = lr
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.step_epochs = step_epochs
        self.gamma = gamma
        self.pretrain_epochs = pretrain_epochs
        self.views = views
        self.optimizer = optimizer
        self.momentum = momentum
        self.warmup_epochs = warmup_epochs
        self.objective = Objective(num_classes, label_smoothing, mixup, cutmix, synthetic_weight, class_weights)
        self.network = build_backbone(backbone, weights, num_classes, fetch_weights, image_size)
        self.channels_last_from = memory_format.channels_last_from(self.network)
        self.begins_channels_last = False  # on the processor, whatever their size
        self.trained_on = trained_on(backbone, weights, self.network)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", _channels(self.trained_on.mean if mean is None else mean), persistent=False)
        self.register_buffer("std", _channels(self.trained_on.std if std is None else std), persistent=False)
        self.view: View | None = None
        self.trimmed: dict[str, TrimmedKernel] = {}  # by its name in the state dict
        self.freezing: Freezing | None = None
        self._apply_options(head_batch_norm, head_dropout, batch_norm, train_stages, unfreeze_every)
        self.average = None if ema is None else average_of(self.network, ema)
        self.loss = nn.CrossEntropyLoss()
        metrics = class_metrics(num_classes)
        # Metrics of its own for each split: Lightning may validate while a training epoch is open.
        self.val_metrics, self.test_metrics = metrics.clone(), metrics.clone()
        self.train_loss, self.val_loss, self.test_loss = (WeightedMean() for _ in range(3))
        self.step_losses = FiniteLosses()  # of the split that is gone through
        self.predicted: list[tuple[Tensor, Tensor]] = []  # (rows, probabilities) of this process's test images

    def _apply_options(
        self,
        head_batch_norm: bool,
        head_dropout: float,
        batch_norm: str,
        train_stages: int | None,
        unfreeze_every: int | None,
    ) -> None:
        """Add regularization before the head, split batch norms and freeze stages, as the settings say."""
        head = heads.find_head(self.network)
        if head_batch_norm or head_dropout > 0:
            heads.add_head_regularization(self.network, head_batch_norm, head_dropout)
        # Whether a real image was trained on; in the checkpoint, so that the test evaluates as the validation did.
        self.seen_real: Tensor | None
        self.register_buffer("seen_real", torch.tensor(False) if batch_norm == "per_origin" else None)
        if self.seen_real is not None:
            batch_norms.split_by_origin(self.network)
        if train_stages is not None or unfreeze_every is not None:
            self.freezing = Freezing(self.network, head, train_stages or 0, unfreeze_every)
            self.train()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what the network is built from, in plain containers and without folders of this machine."""
        arguments = checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY]
        weights = arguments["weights"]
        arguments |= {
            "classes": self.classes,
            "weights": weights and Path(weights).name,
            "fetch_weights": False,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
        }
        state = checkpoint["state_dict"]
        state |= {name: kernel.whole(state[name]) for name, kernel in self.trimmed.items()}

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *arguments: Any, **kwargs: Any) -> Self:
        """Load the checkpoint of a run; that of a head finds the frozen network beside its study's runs."""
        return super().load_from_checkpoint(frozen_weights.whole_checkpoint(checkpoint_path), *arguments, **kwargs)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        state |= {name: kernel.trimmed(state[name]) for name, kernel in self.trimmed.items() if name in state}
        data = checkpoint.get(LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY)
        self.view = View(**{field.name: data[field.name] for field in fields(View)}) if data else None

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen stages stay in the latter."""
        super().train(mode)
        if mode and self.freezing is not None:
            self.freezing.set_frozen_to_eval()
        return self

    def check_image_size(self, image_size: int) -> None:
        """Pass two random images through the network; it and all random numbers stay as they were.

        Args:
            image_size: side in pixels.

        Raises:
            UserError: it cannot take images of this size.
        """
        images = torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
        try:
            with evaluating(self):
                shape = tuple(self(images.to(self.device)).shape)
        except Exception as error:  # of whatever kind the network's own checks raise
            reason = " ".join(str(error).split())
            raise UserError(self._image_size_error(image_size, f"{type(error).__name__}: {reason:.200}")) from error
        if shape != (2, len(self.classes)):
            raise UserError(self._image_size_error(image_size, f"its output for two images has the shape {shape}"))

    def speed_up(self, image_size: int) -> None:
        """Compute in the ways that are fastest for images of a size; the logits stay the same, up to rounding.

        Checkpoints have whole kernels, so that they fit the network as its library builds it.

        Args:
            image_size: side in pixels of all images from here on.
        """
        for prefix in ("network",) if self.average is None else ("network", "average.module"):
            network = self.get_submodule(prefix)
            kernels = kernel_trimming.trim_kernels(network, image_size)
            self.trimmed |= {f"{prefix}.{name}": kernel for name, kernel in kernels.items()}
            small_maps.speed_up(network)
            if image_size < self.channels_last_from:
                self.begins_channels_last = small_maps.begin_channels_last(network, image_size)

    def check_batch_size(self, batch_size: int, image_size: int) -> None:
        """Check that the network can train on batches of so many images.

        Args:
            batch_size: images of a batch.
            image_size: side in pixels.

        Raises:
            UserError: a batch normalisation gets one value per channel, which has no variance.
        """
        if batch_size > 1:
            return
        network = copy.deepcopy(self.network)  # whose statistics change
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                network(torch.zeros(1, 3, image_size, image_size, device=self.device))
        except ValueError as error:
            raise UserError(
                f"batch_size={batch_size}: model.backbone={self.backbone} has a batch normalisation, and one image of "
                f"dataset.image_size={image_size} has no variance to normalise by ({error}); raise batch_size."
            ) from error

    def _image_size_error(self, image_size: int, reason: str) -> str:
        usual = self.trained_on.image_size
        made_for = (
            f"It was made for {usual}: set dataset.image_size={usual}, or choose" if usual != image_size else "Choose"
        )
        return (
            f"model.backbone={self.backbone} cannot classify images of dataset.image_size={image_size} ({reason}). "
            f"{made_for} another model.backbone."
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes) of float images (B, 3, S, S) in [0, 1]; in evaluation of the averaged weights."""
        network = self.network if self.training or self.average is None else self.average.module
        if self.seen_real is not None:
            batch_norms.select(network, synthetic=not bool(self.seen_real))
        logits: Tensor = network(self._input(images))
        return logits

    def _input(self, images: Tensor) -> Tensor:
        """Return what the network takes: normalised images, in the memory format that it is fastest with."""
        begins_channels_last = self.begins_channels_last and images.is_cpu
        channels_last_from = 0 if begins_channels_last else self.channels_last_from
        return memory_format.arranged((images - self.mean).div_(self.std), channels_last_from)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = self.objective.examples(batch.images, batch.labels, batch.synthetic)
        if self.seen_real is None:
            logits = self(images)
        else:
            self.seen_real |= ~batch.synthetic.all()
            logits = batch_norms.logits_by_origin(self.network, self._input(images), batch.synthetic)
        loss, mass = self.objective.loss(logits, targets)
        self.train_loss.update(loss.detach(), weight=mass)
        return loss

    def on_fit_start(self) -> None:
        if self.trainer.world_size > 1:
            self._require_distributable()

    def _require_distributable(self) -> None:
        """Check that the strategy expects steps which train a part of the network only."""
        per_origin = self.seen_real is not None
        unfreezes = self.freezing is not None and self.freezing.unfreeze_every is not None
        settings = getattr(self.trainer.strategy, "_ddp_kwargs", {})
        if (per_origin or unfreezes) and not settings.get("find_unused_parameters"):
            key = "model.batch_norm=per_origin" if per_origin else "model.unfreeze_every"
            raise UserError(
                f"{key}: a step may train a part of the network only, which several processes must know: set "
                "trainer.strategy=ddp_find_unused_parameters_true, or trainer.devices=1."
            )
        if per_origin and any(isinstance(module, nn.SyncBatchNorm) for module in self.modules()):
            raise UserError(
                "trainer.sync_batchnorm=true: with model.batch_norm=per_origin a process without an image of an origin "
                "would let the others wait for ever; leave it out."
            )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # What is drawn at random (dropout, stochastic depth, blends) is tied to (seed, epoch), so that a resumed run
        # draws what an uninterrupted one would have drawn. Not in on_train_epoch_start: Lightning leaves that hook out
        # of the first epoch after a resume.
        if batch_idx == 0:
            torch.manual_seed((self.seed << 20) + self.current_epoch)
            if self.freezing is not None:
                self.freezing.begin(self.current_epoch)
                self.train()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Once per optimizer step, which may take several batches; both numbers are in the checkpoint.
        if self.average is not None and self.trainer.global_step > int(self.average.n_averaged):
            self.average.update_parameters(self.network)
        self.step_losses.add(batch_idx, outputs["loss"], batch.rows)
        # One process that leaves lets the others wait for it: they leave together, at the end of the epoch.
        if self.step_losses.is_due and self.trainer.world_size == 1:
            self._require_finite_losses("train")

    def on_train_epoch_end(self) -> None:
        self._log_loss("train", self.train_loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, batch_idx, self.val_metrics, self.val_loss)

    def on_validation_epoch_end(self) -> None:
        self._log_loss("val", self.val_loss)
        self._log_metrics("val", self.val_metrics)

    def on_test_epoch_start(self) -> None:
        self.predicted = []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self._evaluate(batch, batch_idx, self.test_metrics, self.test_loss)
        self.predicted.append((batch.rows.cpu(), logits.softmax(dim=1).float().cpu()))

    def on_test_epoch_end(self) -> None:
        self._log_loss("test", self.test_loss)
        self._log_metrics("test", self.test_metrics)

    def configure_optimizers(self) -> Any:
        parameters = list(self.network.parameters())
        if self.freezing is not None:
            parameters = self.freezing.ever_trainable(parameters)
        optimizer = optimizers.build_optimizer(
            self.optimizer, parameters, self.lr, self.weight_decay, self.momentum, self._can_fuse(parameters)
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = schedules.lightning_schedule(
            optimizer, self.schedule, self.lr, steps, self.step_epochs, self.gamma, self._warmup(steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule} if schedule else optimizer

    def _can_fuse(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Return whether the optimizer may be fused: Lightning cannot clip what such a one scales back itself."""
        is_clipped = bool(self.trainer.gradient_clip_val) and isinstance(self.trainer.precision_plugin, MixedPrecision)
        return optimizers.can_fuse(parameters) and not is_clipped

    def _warmup(self, steps: int) -> int:
        if self.schedule != "warmup_cosine":
            return 0
        return self.warmup(steps, math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches))

    def warmup(self, steps: int, per_epoch: int) -> int:
        """Return the steps of the warm-up.

        Args:
            steps: of the run.
            per_epoch: of one epoch.

        Raises:
            UserError: none is left after it.
        """
        if self.schedule != "warmup_cosine":
            return 0
        warmup = schedules.warmup_steps(self.warmup_epochs, steps, per_epoch)
        if warmup >= steps:
            raise UserError(
                f"model.warmup_epochs={self.warmup_epochs}: the run has {plural(steps, 'step')}, and none is left "
                "after the warm-up; lower it (less than 1 is a share of all steps), or train longer."
            )
        return warmup

    def _evaluate(self, batch: Batch, batch_idx: int, metrics: MetricCollection, mean: WeightedMean) -> Tensor:
        logits: Tensor = self(batch.images)
        metrics.update(logits.softmax(dim=1), batch.labels)
        loss = self.loss(logits, batch.labels)
        mean.update(loss, weight=len(batch.labels))
        self.step_losses.add(batch_idx, loss, batch.rows)
        return logits

    def _log_loss(self, split: str, metric: WeightedMean) -> None:
        value: Tensor = metric.compute()
        metric.reset()
        if not torch.isfinite(value):
            # Lightning would train on, and a network of NaNs scores like chance without a word.
            self._require_finite_losses(split)
            raise UserError(self.divergence(split, self.current_epoch, float(value)))
        self.log(f"{split}/loss", value, sync_dist=True)

    def _require_finite_losses(self, split: str) -> None:
        """Check the losses of the steps since the last look."""
        problem = self.step_losses.first_problem()
        if problem is None:
            return
        batches = [f"{self._images(split, problem.rows)} in step {problem.step}"]
        if split == "train" and problem.before:
            batches.append(f"{self._images(split, problem.before)} in the step before, by which the weights changed")
        raise UserError(self.divergence(split, self.current_epoch, problem.value, f", after {'; '.join(batches)}"))

    def _images(self, split: str, rows: Sequence[int]) -> str:
        """Return the images of a batch by their files, as far as a message has room for them."""
        images = getattr(getattr(self.trainer, "datamodule", None), split, ())
        files = [images[row].file for row in sorted(rows)[:_MOST_NAMED] if row < len(images)]
        if not files:
            return plural(len(rows), "image")
        rest = len(rows) - len(files)
        return join_words([*files, *([f"{rest} more"] if rest else [])])

    def divergence(self, split: str, epoch: int, value: float, images: str = "") -> str:
        """Return the message on a loss that is not finite.

        Args:
            split: of the images.
            epoch: after which it was computed.
            value: of the loss.
            images: after which it was that.
        """
        return (
            f"Training diverged: {split}/loss of epoch {epoch} is {value}{images}. Lower the learning rate "
            f"(model.lr={self.lr:g}) or look at {'these' if images else f'the {split}'} images; overwrite=true begins "
            "the run afresh."
        )

    def _log_metrics(self, split: str, metrics: MetricCollection) -> None:
        values = metrics.compute()
        metrics.reset()
        by_class = values.pop("class_accuracy")
        if split == "test":
            values |= {f"class_accuracy/{name}": by_class[i] for i, name in enumerate(self.classes)}
        # Every process holds the same totals already; sync_dist keeps Lightning from warning that it may not.
        self.log_dict({f"{split}/{name}": value for name, value in values.items()}, sync_dist=True)


def _channels(values: Sequence[float]) -> Tensor:
    """Return a tensor (C, 1, 1), to be broadcast over an image."""
    return torch.tensor([float(value) for value in values])[:, None, None]


def _batch_norm_problems(batch_norm: str, mixup: float, cutmix: float) -> list[str]:
    if batch_norm not in ("shared", "per_origin"):
        return [f"model.batch_norm={batch_norm}: there are 'shared' and 'per_origin'."]
    blends = [f"model.{name}={alpha:g}" for name, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha > 0]
    if blends and batch_norm == "per_origin":
        reason = f"with {' and '.join(blends)} an image is part real and part synthetic, so it has no origin to be"
        return [f"model.batch_norm=per_origin: {reason} normalised by; leave one of them out."]
    return []

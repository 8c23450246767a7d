"""Which runs train the head of a frozen network on features that are computed once."""

from collections.abc import Mapping
from typing import Any

CLASSIFIER = "synthaug.models.classifier.Classifier"
# Settings under which what the head sees changes from epoch to epoch, or more than the head is trained; and the values
# under which they do nothing.
_MODEL: Mapping[str, tuple[Any, ...]] = {
    "unfreeze_every": (None,),
    "head_batch_norm": (None, False),
    "head_dropout": (None, 0),
    "batch_norm": (None, "shared"),
    "mixup": (None, 0),
    "cutmix": (None, 0),
    "ema": (None,),
}
# Arguments of Lightning's Trainer that change nothing here; with others than these, Lightning trains.
_TRAINER: Mapping[str, tuple[Any, ...]] = {
    "devices": (None, 1, "1"),
    "num_nodes": (None, 1),
    "precision": (None, "auto", 32, "32", "32-true", "bf16-mixed", "16-mixed"),
}
_TRAINER_FREE = ("_target_", "name", "max_epochs", "accelerator", "deterministic", "benchmark", "log_every_n_steps")


def trains_head_alone(settings: Mapping[str, Any]) -> bool:
    """Return whether a run's settings are those of a head on features that are computed once.

    The network must fall into a frozen part and a linear head as well, which `frozen_network.separate` finds out. All
    others are trained by Lightning, image by image, with the same results but for rounding.

    Args:
        settings: of the run.
    """
    model, trainer = settings["model"], settings["trainer"]
    return (
        model.get("_target_") == CLASSIFIER
        and model.get("train_stages") == 0
        and model.get("views") is not None
        and model.get("weights") is not None  # or each seed would have a network of its own
        and all(model.get(key) in values for key, values in _MODEL.items())
        and trainer.get("_target_") == "pytorch_lightning.Trainer"
        and isinstance(trainer.get("max_epochs"), int)
        and trainer["max_epochs"] > 0
        and all(trainer.get(key) in values for key, values in _TRAINER.items())
        and all(key in (*_TRAINER, *_TRAINER_FREE) or value is None for key, value in trainer.items())
        and settings.get("feedback") is None  # whose rounds train further networks
    )

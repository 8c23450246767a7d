"""The full key that a short or a customary name stands for: `lr` is `model.lr`, `epochs` is `trainer.max_epochs`."""

from collections.abc import Iterator, Mapping
from typing import Any

from synthaug.config import signatures

# What other programs call it → where it stands here; a group, such as mix, is chosen from.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "accelerator": ("trainer.accelerator",),
    "arch": ("model", "model.backbone"),
    "architecture": ("model", "model.backbone"),
    "arm": ("mix",),
    "augmentation": ("dataset.augment", "mix.augment"),
    "backbone": ("model", "model.backbone"),
    "bs": ("batch_size",),
    "cfg": ("generator.guidance_scale",),
    "data": ("dataset", "dataset.root"),
    "data_dir": ("dataset.root",),
    "device": ("trainer.accelerator",),
    "epoch": ("trainer.max_epochs",),
    "epochs": ("trainer.max_epochs",),
    "folder": ("dataset.root",),
    "fraction": ("mix", "mix.real"),
    "gpu": ("trainer.devices",),
    "gpus": ("trainer.devices",),
    "guidance": ("generator.guidance_scale",),
    "inference_steps": ("generator.num_inference_steps",),
    "learning_rate": ("model.lr",),
    "name": ("experiment",),
    "network": ("model", "model.backbone"),
    "num_epochs": ("trainer.max_epochs",),
    "num_gpus": ("trainer.devices",),
    "out": ("output_dir",),
    "oversample": ("sampling",),
    "oversampling": ("sampling",),
    "path": ("dataset.root",),
    "pretrained": ("model.weights",),
    "project": ("logger.wandb.project",),
    "ratio": ("mix",),
    "resolution": ("dataset.image_size",),
    "seeds": ("seed",),
    "share": ("mix", "mix.real"),
    "shots": ("mix.real_per_class",),
    "size": ("dataset.image_size",),
    "steps": ("trainer.max_steps", "generator.num_inference_steps"),
    "study": ("experiment",),
    "tracking": ("logger",),
    "wandb": ("logger",),
    "wd": ("model.weight_decay",),
}


_OF_OTHER_COMMANDS = ("adapt.", "captioner.")  # nodes that no run has a use for


def meant_keys(name: str, config: Mapping[str, Any]) -> list[str]:
    """Return the full keys that a name stands for: its synonyms, then the keys of any node that end in it.

    Args:
        name: as it was typed, without a node before it.
        config: a composed configuration as plain data.
    """
    name = name.lower().replace("-", "_")
    nested = [key for key in _nested_keys(config) if key.rpartition(".")[2] == name]
    of_runs = [key for key in nested if not key.startswith(_OF_OTHER_COMMANDS)]
    return list(dict.fromkeys([*SYNONYMS.get(name, ()), *(of_runs or nested)]))


def _nested_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the keys below the nodes of a configuration, and the arguments that the target of a node takes."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            keys = dict.fromkeys([*value, *_arguments(value)])
            yield from (f"{prefix}{name}.{key}" for key in keys)
            yield from _nested_keys(value, f"{prefix}{name}.")


def _arguments(node: Mapping[str, Any]) -> list[str]:
    target = node.get("_target_")
    try:
        return list(signatures.read_signature(target).keywords) if isinstance(target, str) else []
    except signatures.UnknownTargetError:
        return []

"""What counts as the same run: the settings that tell runs apart."""

from collections.abc import Mapping
from typing import Any

ABSENT = "absent"

# Where and how fast a run is computed, and who is told, does not change what it is.
INCIDENTAL = frozenset({
    "experiment", "num_workers", "per_class", "output_dir", "overwrite", "logger", "shift", "prompts.name",
    "controls", "margin", "debug",
    "dataset.root", "dataset.on_bad_image", "dataset.on_label_conflict", "dataset.groups", "dataset.prepare._target_",
    "generator.device", "generator.batch_size", "generator.classes",
    "generator.offload", "generator.slicing", "generator.tiling", "generator.compile", "generator.allow_pickle",
    "trainer.accelerator", "trainer.strategy", "trainer.max_time", "trainer.log_every_n_steps",
})  # fmt: skip

# Nodes whose keys are arguments of their target: an absent one has the target's default, which None need not be.
_ARGUMENTS = ("generator.", "model.", "trainer.")


def describe_differences(recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Return the settings in which two runs differ, as "key: value there, value now".

    Args:
        recorded: settings of the run on disk.
        requested: settings of the run that was requested.
    """
    return [f"{key}: {old} there, {new} now" for key, (old, new) in differing_settings(recorded, requested).items()]


def differing_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that make two runs different ones: key → (value of the first, value of the second).

    Args:
        first: settings of a run, as `config.yaml` has them.
        second: settings of another run.
    """
    left, right = _flat(first), _flat(second)
    pairs = {key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in sorted({*left, *right})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not _is_unset(key, pair)}


def _is_unset(key: str, pair: tuple[Any, Any]) -> bool:
    """Whether a node is None or empty on one side, where the other has none or lists its keys."""
    value = pair[1] if pair[0] == ABSENT else pair[0]
    return ABSENT in pair and not key.startswith(_ARGUMENTS) and (value is None or value == {})


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted key → value, without the incidental keys."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in INCIDENTAL:
            continue
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{key}.")
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat

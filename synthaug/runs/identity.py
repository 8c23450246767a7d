"""What counts as the same run: the settings that tell runs apart."""

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

_ABSENT = "absent"


# Where and how fast a run is computed, and who is told, does not change what it is.
_INCIDENTAL = {
    "experiment", "num_workers", "per_class", "output_dir", "overwrite", "logger", "shift", "prompts.name",
    "controls", "margin",
    "dataset.root", "dataset.on_bad_image", "dataset.prepare._target_",
    "generator.device", "generator.batch_size", "generator.classes",
    "generator.offload", "generator.slicing", "generator.tiling", "generator.compile", "generator.allow_pickle",
    "trainer.accelerator", "trainer.strategy", "trainer.log_every_n_steps",
}  # fmt: skip


# What a run from before such a key was thought of has, where that is not off.
_ALWAYS_WAS = {"budget": "epochs"}


# Nodes whose keys are arguments of what they name: one that is absent has the default of its target.
_ARGUMENTS = ("generator.", "model.", "trainer.")


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The keys in which two runs' settings differ, as "key: value there, value here"."""
    differing = differences(there, here).items()
    return [f"{key}: {old} there, {new} now" for key, (old, new) in differing]


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key → (value there, value here), where two runs' settings are not the same run's."""
    old, new = _flat(there), _flat(here)
    pairs = {key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in sorted({*old, *new})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not _is_new_and_off(key, pair)}


def _is_new_and_off(key: str, pair: tuple[Any, Any]) -> bool:
    """Whether a key is one that only a later version has, and changes nothing as it is."""
    value = next((value for value in pair if value != _ABSENT), None)
    return _ABSENT in pair and not key.startswith(_ARGUMENTS) and (not value or value == _ALWAYS_WAS.get(key))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in _INCIDENTAL:
            continue
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{key}.")
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat

"""Names of the arms of a study: the mix, and whatever else differs between them.

An arm is any configuration. What differs between the arms of a study are its factors: `64 · sdxl · guidance 7.5` has
another generator than some arm, and another guidance scale than some arm of that generator.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from synthaug.runs.identity import is_argument, uses
from synthaug.runs.layout import RunKey

SEPARATOR = " · "
_NAMED = ("generator", "prompts", "screening", "model")  # groups whose choice is a factor by its name
# Keys that arms have only where another key is set, by the value of which they are compared.
_CHOSEN_BY = {"feedback_rounds": "feedback", "feedback_epochs": "feedback"}
_NO_FACTORS = ("mix.", "dataset.name")  # the mix is named by its choice, and datasets are never in one table
# How a key is called in a name, where its last part would not do.
_LABELS = {
    "generator.guidance_scale": "guidance",
    "generator.num_inference_steps": "inference steps",
    "trainer.max_epochs": "epochs",
    "trainer.max_steps": "steps",
    "dataset.image_size": "pixels",
}

_UNSET = "none"

Settings = Mapping[str, Any]  # of an arm, from `identity.arm_settings`


def factor_keys(arms: Iterable[Settings]) -> list[str]:
    """Return the settings in which arms differ, besides their mix: names of a group's choice before single keys.

    A key of a group with names, such as `generator`, is a factor where it differs between arms of one choice: what
    another choice brings along is told by its name.

    Args:
        arms: their settings.
    """
    arms = list(arms)
    names = [f"{group}.name" for group in _NAMED if len({arm.get(f"{group}.name") for arm in arms} - {None}) > 1]
    keys = sorted({key for arm in arms for key in arm} - {f"{group}.name" for group in _NAMED})
    return names + [key for key in keys if not key.startswith(_NO_FACTORS) and _differs(key, arms)]


def _differs(key: str, arms: Iterable[Settings]) -> bool:
    group = key.partition(".")[0]
    choice = f"{group}.name" if group in _NAMED else _CHOSEN_BY.get(key)
    values: dict[Any, set[str]] = {}
    for arm in arms:
        if choice is None or choice in arm:  # arms that have no use for a group do not have its keys
            values.setdefault(arm.get(choice or ""), set()).add(repr(arm.get(key)))
    return any(len(of_choice) > 1 for of_choice in values.values())


def arm_names(arms: Mapping[str, Settings]) -> dict[str, str]:
    """Return the name of each arm of a study: its mix, and its values of the factors.

    Args:
        arms: folder of the arm → its settings.
    """
    keys = factor_keys(arms.values())
    labels = factor_labels(keys)
    names = {
        folder: SEPARATOR.join([str(settings.get("mix.name", folder)), *_parts(settings, labels)])
        for folder, settings in arms.items()
    }
    repeated = Counter(names.values())  # two mixes of one name, or texts that look alike
    return {
        folder: name if repeated[name] == 1 else f"{name}{SEPARATOR}{folder.rpartition('-')[2]}"
        for folder, name in names.items()
    }


def factor_labels(keys: Iterable[str]) -> dict[str, str]:
    """Return how each factor is called: by the last part of its key, or by all of it where two would be called so.

    Args:
        keys: from `factor_keys`; that of a choice is called by its group.
    """
    labels = {key: _LABELS.get(key, key.removesuffix(".name").rpartition(".")[2].replace("_", " ")) for key in keys}
    repeated = Counter(labels.values())
    return {key: label if repeated[label] == 1 else key for key, label in labels.items()}


def _parts(settings: Settings, labels: Mapping[str, str]) -> list[str]:
    parts = []
    for key, label in labels.items():
        value = settings.get(key)
        if value is not None:
            parts.append(str(value) if key.endswith(".name") else f"{label} {value_text(value)}")
    return parts


def level(settings: Settings, key: str) -> str | None:
    """Return an arm's value of a factor as text, "none" where it is not set; None where the arm has no use for it.

    Args:
        settings: of the arm.
        key: from `factor_keys`.
    """
    value = settings.get(key)
    if value is not None:
        return value_text(value)
    is_usable = key in settings if is_argument(key) else _CHOSEN_BY.get(key, key) == key and uses(settings, key)
    return _UNSET if is_usable else None


def value_text(value: Any) -> str:
    """Format the value of a setting in a name: 7.5, off, a list as "1 to 4"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(value_text, value))
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def run_label(arm: str, key: RunKey) -> str:
    """Return the name of a run.

    Args:
        arm: name of its arm.
        key: of the run.
    """
    if SEPARATOR not in arm:
        return f"{arm}-{key.place}"
    fold = [] if key.fold is None else [f"fold {key.fold}"]
    return SEPARATOR.join([arm, f"seed {key.seed}", *fold])

"""One composed run as plain data."""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from synthaug.config.command_line import key_of
from synthaug.config.naming import (
    LOADED_KEY,
    arm_name,
    captions_name,
    config_folders,
    loaded_name,
    plain_data,
    typed_augment,
)
from synthaug.data.split_rule import Fold
from synthaug.errors import UserError
from synthaug.generation.caption_files import read_captions
from synthaug.runs import identity
from synthaug.runs.factors import run_label
from synthaug.runs.layout import RunKey, study_name
from synthaug.runs.planning import PlannedRun


@dataclass
class Job:
    """One composed run and where it belongs.

    Attributes:
        settings: the configuration as plain data, every interpolation resolved.
        recorded: the same as it may be written down and logged: text that comes from the environment stays the name
            of its variable, since it may be a password.
        key: names of the run.
        study: folder of the study.
        arm: name of its arm in its study, where that is known; until then, of its mix.
    """

    settings: dict[str, Any]
    recorded: dict[str, Any]
    key: RunKey
    study: Path
    arm: str

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.study / self.key.folder

    @property
    def work(self) -> tuple[Path, int | None]:
        """What two jobs of one command may not both do: a run, or a shard of a synthetic set."""
        return self.folder, self.settings["shard"]

    @property
    def output_dir(self) -> Path:
        """The folder that all studies share."""
        return Path(self.settings["output_dir"])

    @property
    def is_in_wandb(self) -> bool:
        """Whether one of its loggers is that of W&B."""
        return any(str(node["_target_"]).endswith("WandbLogger") for node in (self.settings["logger"] or {}).values())

    @cached_property
    def synthetic_set(self) -> str:
        """Name of its synthetic set, which all studies share."""
        return identity.synthetic_set_name(self.recorded)

    @cached_property
    def held_out_set(self) -> str:
        """Name of the images of the same generator that no arm trains on, whatever the draw."""
        return identity.synthetic_set_name(self.recorded, draw=False)

    @property
    def fold(self) -> Fold | None:
        """The fold that it is tested on; None without folds."""
        return None if self.key.fold is None else Fold(self.settings[identity.FOLDS], self.key.fold)

    @property
    def label(self) -> str:
        """Name of the run in logs and in W&B."""
        return run_label(self.arm, self.key)

    @cached_property
    def planned(self) -> PlannedRun:
        """The run as the study's plan lists it."""
        return PlannedRun(self.key, identity.arm_settings(self.recorded))


def build_job(plain: DictConfig, hydra: Any) -> Job:
    """Return a composed configuration as plain data, under the names of the files it was made of.

    Args:
        plain: from `without_hydra`; is changed.
        hydra: the node of that name.
    """
    plain.mix.augment = typed_augment(plain.mix.augment) if plain.mix.augment else None
    _drop_keys_of_replaced_model(plain.generator, hydra.overrides.task)
    for node, name in ((plain.mix, "fill"), (plain.dataset, "class_counts")):
        if isinstance(node[name], DictConfig):  # {1: 200} has a number for a key
            node[name] = {str(class_name): count for class_name, count in node[name].items()}
    if plain.debug:
        _shorten(plain)
    settings, recorded = plain_data(plain), _recorded(plain)
    recorded.pop("adapt")  # no part of a run
    choices = {str(group): str(choice).replace("/", "-") for group, choice in hydra.runtime.choices.items()}
    folders = config_folders(hydra)
    names = {"mix": arm_name(hydra.runtime.choices["mix"], settings["mix"], [folder / "mix" for folder in folders])}
    of_captions = ["captioner"] if settings["captioner"] else []
    for group in ("dataset", "generator", "prompts", "screening", "model", *of_captions):
        name = settings[group].get("name")
        if name is not None:
            names[group] = str(name)  # a name such as 2024 is a number to YAML
        elif group == "prompts":
            names[group] = captions_name(choices[group], settings[group]["file"], folders)
        elif group in LOADED_KEY:
            names[group] = loaded_name(group, choices[group], plain_data(plain[group], resolve=False), folders)
        else:
            names[group] = choices[group]
    for group, name in names.items():
        settings[group]["name"] = recorded[group]["name"] = name
    if settings["prompts"]["file"] is not None:
        _identify_captions(settings["prompts"], recorded["prompts"])
    if settings["replicate"] in ("draw", "full") and not identity.is_pool(settings["generator"]):  # a pool has no draws
        settings["generator"]["draw"] = recorded["generator"]["draw"] = settings["seed"]
    recorded = json.loads(json.dumps(recorded))  # as its file has it
    key = RunKey(
        names["dataset"], identity.arm_folder(identity.arm_settings(recorded)), settings["seed"], settings["fold"]
    )
    study = Path(settings["output_dir"]) / settings["experiment"]
    return Job(settings, recorded, key, study, names["mix"])


def _identify_captions(prompts: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Note what a file of captions holds: with other ones, images and arm are other ones too.

    A file that cannot be read is refused where the captions are needed, which not every arm does.
    """
    with contextlib.suppress(UserError):
        prompts["content"] = recorded["content"] = read_captions(Path(prompts["file"]).expanduser()).digest


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the program's own part of a composed configuration, open for change."""
    plain = config.copy()
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra", None)
    return plain


def typed_keys(hydra: Any) -> set[str]:
    """Return the keys that were typed, less those that the YAML of a study sweeps over.

    Args:
        hydra: the node of that name.
    """
    overrides = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return set(map(key_of, overrides)) - set(map(key_of, hydra.sweeper.get("params") or {}))


def _drop_keys_of_replaced_model(generator: DictConfig, overrides: Iterable[str]) -> None:
    """Where only `generator.model` was set, the commit and file variant beside it in the YAML are another model's."""
    keys = set(map(key_of, overrides))
    if "generator.model" in keys:
        for name in ("revision", "variant"):
            if name in generator and f"generator.{name}" not in keys:
                generator[name] = None


def _shorten(plain: DictConfig) -> None:
    """Make a run a smoke test, in a study of its own; which images it has is decided when they are listed."""
    plain.experiment = study_name(plain.experiment, debug=True)
    plain.trainer.max_epochs = 2
    if plain.model.get("pretrain_epochs"):
        plain.model.pretrain_epochs = 1
    if (plain.model.get("warmup_epochs") or 0) > 1:
        plain.model.warmup_epochs = 1


def _recorded(config: DictConfig) -> dict[str, Any]:
    """Return the settings with `${oc.env:X}` instead of the text that X holds, also where it is referred to."""
    unresolved = plain_data(config, resolve=False)
    if "oc.env" not in str(unresolved):
        return plain_data(config)
    literal = plain_data(OmegaConf.create(_escaped(unresolved)))
    # What names the study's folder is not a secret, and numbers and switches are needed to tell runs apart.
    return {
        name: _text_from(literal[name], value) if isinstance(value, dict) else value
        for name, value in plain_data(config).items()
    }


def _escaped(value: Any) -> Any:
    """Plain data in which interpolations that ask the environment are literal text."""
    if isinstance(value, dict):
        return {name: _escaped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value.replace("${", r"\${") if isinstance(value, str) and "oc.env" in value else value


def _text_from(literal: Any, used: Any) -> Any:
    """Return `used` with its text taken from `literal`."""
    if isinstance(used, dict) and isinstance(literal, dict):
        return {name: _text_from(literal[name], item) for name, item in used.items()}
    if isinstance(used, list) and isinstance(literal, list):
        return [_text_from(*pair) for pair in zip(literal, used, strict=True)]
    return used if used is None or isinstance(used, (int, float)) else literal

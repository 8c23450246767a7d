"""Names of arms, models and generators: those of the files that chose them, unless their content was changed."""

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthaug import yaml_files
from synthaug.config.schema import AugmentConfig, folder_name
from synthaug.errors import UserError

# Groups whose choice is named after what it loads, where that was changed: the key that says what.
LOADED_KEY = {"model": "backbone", "generator": "model", "captioner": "model"}


def plain_data(config: Any, resolve: bool = True) -> dict[str, Any]:
    """Return a configuration as dictionaries, lists and values.

    Args:
        config: a `DictConfig`.
        resolve: whether interpolations are replaced by what they lead to.
    """
    data = OmegaConf.to_container(config, resolve=resolve, enum_to_str=True)
    assert isinstance(data, dict)
    return {str(name): value for name, value in data.items()}


def read_settings(path: Path) -> Mapping[str, Any]:
    """Return what a YAML file holds, interpolations as they are; a file is read again only once it has changed."""
    return _read_version(path, path.stat().st_mtime_ns)


def read_recorded(path: Path) -> Mapping[str, Any]:
    """Return the settings that a run has written down.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return read_settings(path)
    except (OSError, UnicodeDecodeError, yaml_files.YamlError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is damaged ({reason:.200}): move {path.parent} away and run the same command again."
        ) from None


@functools.cache
def _read_version(path: Path, mtime_ns: int) -> Mapping[str, Any]:
    yaml_files.check_file(path)
    content = OmegaConf.load(path)
    return plain_data(content, resolve=False) if isinstance(content, DictConfig) else {}


def typed_augment(augment: Mapping[Any, Any]) -> dict[str, Any]:
    """Return some keys of an augmentation with values of the schema's types: 1 is 1.0, and "off" is False.

    Raises:
        OmegaConfBaseException: a key or a value that the schema does not have.
    """
    plain = OmegaConf.to_container(augment, resolve=True) if isinstance(augment, DictConfig) else augment
    typed = OmegaConf.to_container(OmegaConf.merge(OmegaConf.structured(AugmentConfig), plain))
    assert isinstance(typed, dict)
    return {str(name): typed[name] for name in augment}


def config_folders(hydra: Any) -> list[Path]:
    """Return the folders that a configuration was composed from; of two files of one name that in the first holds.

    Args:
        hydra: the node of that name.
    """
    return [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]


def choice_file(group: str, choice: str, folders: Iterable[Path]) -> Path | None:
    """Return the file of a choice; None where it has none.

    Args:
        group: of the choice.
        choice: its name.
        folders: from `config_folders`.
    """
    return next((path for folder in folders if (path := folder / group / f"{choice}.yaml").is_file()), None)


def registered_mix(choice: str) -> dict[str, Any] | None:
    """Return a mix that the program itself registered with Hydra, where no file has it (see `controls`)."""
    entry = ConfigStore.instance().repo.get("mix", {}).get(f"{choice}.yaml")
    return None if entry is None else plain_data(entry.node)


def arm_name(choice: str, mix: Mapping[str, Any], folders: Iterable[Path]) -> str:
    """Return an arm's name: its mix file's, unless its numbers or augmentation were changed on the way.

    A name that no longer fits its numbers would put two training sets under one name.

    Args:
        choice: of the group `mix`.
        mix: its settings.
        folders: of mix files.
    """
    files = [read_settings(path) for folder in folders if (path := folder / f"{choice}.yaml").is_file()]
    for content in [*files, registered_mix(choice) or {}]:
        if _amounts(content) == _amounts(mix) and (content.get("augment") or None) == mix["augment"]:
            return choice.replace("/", "-")
    return "-".join([*_real_part(mix), *_synthetic_part(mix)]) + augment_suffix(mix["augment"])


def _amounts(mix: Mapping[str, Any]) -> list[Any]:
    """Return what a mix says of its numbers of images; names of classes as text, whatever they look like in YAML."""
    fill = mix.get("fill")
    by_class = {str(name): count for name, count in fill.items()} if isinstance(fill, Mapping) else fill
    return [*(mix.get(name) for name in ("real", "synthetic", "real_per_class")), by_class]


def _real_part(mix: Mapping[str, Any]) -> list[str]:
    if (shots := mix.get("real_per_class")) is not None:
        return [f"shots{shots}"]
    return [] if mix.get("fill") is not None and mix["real"] == 1 else [f"real{mix['real']:.12g}"]


def _synthetic_part(mix: Mapping[str, Any]) -> list[str]:
    if (fill := mix.get("fill")) is None:
        has_shots = mix.get("real_per_class") is not None
        return [] if has_shots and mix["synthetic"] == 0 else [f"synthetic{mix['synthetic']:.12g}"]
    by_class = isinstance(fill, Mapping)
    text = "-".join(f"{name}_{count}" for name, count in sorted(fill.items())) if by_class else str(fill)
    return [f"fill-{text}" if re.fullmatch(r"[\w-]{1,60}", text) else f"fill_{_digest(text)}"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def augment_suffix(augment: Mapping[str, Any] | None) -> str:
    """Return an arm's own augmentation as the end of its name; empty where it has none."""
    suffix = "".join(f"-{name}_{_name_part(value)}" for name, value in sorted((augment or {}).items()))
    if len(suffix) > 100:  # a folder's name ends at 255 letters, a run's in W&B at 128
        suffix = f"-augment_{_digest(suffix)}"
    return suffix


def loaded_name(group: str, choice: str, node: Mapping[str, Any], folders: Iterable[Path]) -> str:
    """Return the name of a model or generator: its file's, unless what the file loads was changed on the way.

    Args:
        group: "model" or "generator".
        choice: name of the file.
        node: as composed, with its interpolations: text from the environment must not get into a name.
        folders: config folders, the first of which with such a file holds.
    """
    key = LOADED_KEY[group]
    path = choice_file(group, choice, folders)
    in_file, current = read_settings(path).get(key) if path else None, str(node.get(key))
    if in_file in (None, current) or "${" in current:
        return choice
    is_id = current.count("/") <= 1 and not current.startswith(("/", ".", "~"))
    name = current.replace("/", "-") if is_id else folder_name(current)
    return name if choice == in_file else f"{choice}-{name}"


def captions_name(choice: str, file: str | None, folders: Iterable[Path]) -> str:
    """Return the name of prompts: of their choice, and of the file of captions unless it is that of the choice.

    Args:
        choice: of the group `prompts`.
        file: of captions.
        folders: config folders, the first of which with such a choice holds.
    """
    path = choice_file("prompts", choice, folders)
    in_file = read_settings(path).get("file") if path else None
    return choice if file is None or file == in_file else f"{choice}-{Path(folder_name(file)).stem}"


def _name_part(value: Any) -> str:
    if isinstance(value, list):
        return "_".join(map(_name_part, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value).lower()

"""What Hydra would call or open by itself for a configuration, checked before Hydra gets it.

Hydra calls what its own node names (launcher, sweeper, callbacks, logging) before the program's first line runs, and
opens the files of its loggers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthaug import yaml_files
from synthaug.config.command_line import TEXT_KEY
from synthaug.config.naming import plain_data
from synthaug.config.targets import RefusedConfigurationError, TooLargeError, call_problem, walk
from synthaug.errors import raise_all

# Where Hydra would put its files, and the value that each key has here.
_FIXED: Mapping[str, tuple[Any, str]] = {
    "hydra.run.dir": (".", "runs lie in <output_dir>/<experiment>/; choose them with output_dir=<folder>"),
    "hydra.sweep.subdir": (".", "runs lie in <output_dir>/<experiment>/; choose them with output_dir=<folder>"),
    "hydra.sweep.dir": ("${output_dir}/${study_name:${experiment},${debug}}", "choose it with output_dir=<folder>"),
    "hydra.output_subdir": (None, "each run folder has its config.yaml"),
    "hydra.job.chdir": ((None, False), "folders of runs are relative to the one that the command was typed in"),
    "hydra.job.env_set": ({}, "set variables in the environment of the command"),
}
_LOG = "${output_dir}/${study_name:${experiment},${debug}}/log.txt"


def check_files(folder: Path) -> None:
    """Check that each YAML file of a configuration folder can be read, and keeps its text.

    Raises:
        UserError: files that are too large, as they are or with their aliases written out; text that looks like a
            number or a truth value, all of it at once.
    """
    paths = sorted([*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *folder.glob("*/*/*.yaml")])
    for path in paths:
        yaml_files.check_file(path)
    raise_all("YAML would change what is text:", [text for path in paths for text in _changed_texts(path, folder)])


def _changed_texts(path: Path, folder: Path) -> Iterator[str]:
    """Report text of a file that OmegaConf reads as something else, such as the name 2024_05."""
    group = "".join(f"{name}." for name in path.relative_to(folder).parent.parts)
    for key, text in yaml_files.plain_texts(path):
        name = key.removeprefix("hydra.sweeper.params.")
        is_key = key.endswith(".")
        # A file may be of its group's package, or of the global one.
        if not any(TEXT_KEY.fullmatch(f"{prefix}{name}{'*' if is_key else ''}") for prefix in ("", group)):
            continue
        value = _as_read(text)
        if not isinstance(value, str) and (is_key or (value is not None and str(value) != text)):
            yield f"{path}: {key.rstrip('.')}: {text} is read as {value}; write it in quotes, '{text}'"


def _as_read(text: str) -> Any:
    try:
        return plain_data(OmegaConf.create(f"text: {text}"), resolve=False)["text"]
    except Exception:  # of the YAML reader, which stops at it
        return text


def check(config: DictConfig) -> None:
    """Check the node `hydra` of a composed configuration.

    Raises:
        RefusedConfigurationError: Hydra may not carry it out.
    """
    if problems := dict(hydra_problems(config)):
        raise RefusedConfigurationError(problems, config)


def hydra_problems(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) of what Hydra itself would call or write for a configuration and may not.

    Args:
        config: as Hydra composed it, with its node `hydra`.
    """
    for key, (value, remedy) in _FIXED.items():
        raw = _raw(config, key)
        if raw != value and not (isinstance(value, tuple) and raw in value):
            yield f"{key}={raw}", f"cannot be changed: {remedy}"
    for node in ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging"):
        try:
            for key, value, reason in walk(OmegaConf.select(config, f"hydra.{node}") or {}, f"hydra.{node}."):
                problem = _problem(config, key, value, reason)
                if problem:
                    yield f"{key}={value}" if isinstance(value, str) else key, problem
        except TooLargeError as error:
            yield f"hydra.{node}", f"its interpolations lead to ever more values (at {error})"
        except (OmegaConfBaseException, RecursionError) as error:
            yield f"hydra.{node}", str(error).partition("\n")[0]


def _problem(config: DictConfig, key: str, value: Any, reason: str | None) -> str | None:
    name = key.rpartition(".")[2]
    if name in ("_target_", "()", "class") and "${" in str(_raw(config, key)):
        return "must be written out, without an interpolation"
    if "_logging." in key and name in ("filename", "mode") and (name, _raw(config, key)) not in (
        ("filename", _LOG), ("mode", "a"),
    ):  # fmt: skip
        return "the log is log.txt in the folder of the study; choose that with output_dir=<folder>"
    return call_problem(key, value) if reason is None else None


def _raw(config: DictConfig, key: str) -> Any:
    """Return a value as it is written, its interpolations left; None where there is no such key."""
    parent, _, name = key.rpartition(".")
    try:
        node = OmegaConf.select(config, parent)
    except OmegaConfBaseException:
        return None
    if not isinstance(node, DictConfig) or name not in node:
        return None
    raw = OmegaConf.to_container(OmegaConf.masked_copy(node, name), resolve=False)
    return raw[name] if isinstance(raw, dict) else None

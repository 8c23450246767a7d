"""What is wrong with a composed configuration, as far as can be seen without running it."""

import difflib
import importlib.util
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from synthaug.config import signatures
from synthaug.config.schema import (
    SUPPLIED,
    AugmentConfig,
    Config,
    DatasetConfig,
    MixConfig,
    PromptsConfig,
    SplitConfig,
    called,
    typed_augment,
    without_hydra,
)
from synthaug.data.samples import folders_there, is_litter, layout_problems, more_problems


def problems_of(config: DictConfig) -> list[str]:
    """Everything that is wrong with a composed configuration, as far as can be seen without running it."""
    plain = without_hydra(config)
    without_value = dict(_without_value(plain))
    broken = list(without_value)
    found = [f"{key}: {reason}" for key, reason in [*_unknown(plain), *without_value.items()] if reason]
    for key, (fine, wanted) in _RULES.items():
        if not _touches(broken, key) and not fine(value := OmegaConf.select(plain, key)):
            found.append(f"{key}={value!r}: must be {wanted}")
    if not _touches(broken, "mix") and plain.mix.real == plain.mix.synthetic == 0:
        found.append("mix.real=0, mix.synthetic=0: there is nothing to train on; raise one of them")
    if not _touches(broken, "mix.real") and not _touches(broken, "dataset.more"):
        found += _more_real_problems(plain)
    if not _touches(broken, "mix.augment") and not _touches(broken, "dataset.augment"):
        known = {name: value for name, value in (plain.mix.augment or {}).items() if name in _AUGMENT_RULES}
        found += _own_augment_problems(known) or _crop_problems(plain.dataset.augment, known)
    if not any(_touches(broken, key) for key in ("model", "trainer", "batch_size")):
        found += _model_problems(plain)
    if not _touches(broken, "dataset"):
        found += _dataset_problems(plain.dataset) or _output_problems(plain.dataset, Path(plain.output_dir))
    return found + _target_problems(plain, broken)


def _unknown(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Keys that nothing reads: `+key=value` brings them past Hydra's own check."""
    typed = {
        "": Config,
        "dataset": DatasetConfig,
        "dataset.augment": AugmentConfig,
        "mix": MixConfig,
        "prompts": PromptsConfig,
        "mix.augment": AugmentConfig,
        "dataset.split": SplitConfig,
    }
    for parent, schema in typed.items():
        known = [field.name for field in fields(schema)]
        node = OmegaConf.select(config, parent) if parent else config
        names = [str(name) for name in node] if isinstance(node, DictConfig) else []
        for name in names:
            if name not in known:
                yield f"{parent}.{name}".lstrip("."), not_among(known, parent, [name])


def _without_value(node: DictConfig | ListConfig, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys that are mandatory, or whose interpolation leads nowhere, each with the reason unless another says it."""
    names: list[Any] = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for name in names:
        key = f"{prefix}{name}"
        if OmegaConf.is_missing(node, name):
            yield key, f"has no value; give one with {key}=<value>"
            continue
        try:
            value = node[name]
        except InterpolationToMissingValueError:
            yield key, ""  # the key that it leads to is named itself
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0]
            yield key, re.sub(r'.* raised while resolving interpolation: "?([^"]*)"?', r"\1", reason)
        else:
            if isinstance(value, (DictConfig, ListConfig)):
                yield from _without_value(value, f"{key}.")


def _touches(broken: Iterable[str], key: str) -> bool:
    """Whether what is broken is the key itself, above it or below it."""
    return any(f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.") for other in broken)


def _is_name(name: Any) -> bool:
    return bool(re.fullmatch(r"[^\s/\\.\x00-\x1f][^/\\\x00-\x1f]{0,99}", str(name)))


def _is_range(pair: Any, most: float) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= most


def _is_triple(values: Any) -> bool:
    return isinstance(values, ListConfig) and len(values) == 3 and all(_is_number(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# Folders of output_dir that all studies share.
_SHARED = ("datasets", "held_out", "pixels", "splits", "synthetic")
_NAME = (lambda name: name is None or _is_name(name), "a name that a folder can have")
_ALL = (lambda share: share is None or str(share) == "1.0", "1.0: all images, or the comparison is not honest")
_SHARE = (lambda value: 0 <= value <= 1, "0 to 1")
# What torch is not imported for: the keys of `data.policies.POLICIES`.
POLICIES = ("trivial", "rand", "augmix", "auto")

_Rule = tuple[Callable[[Any], bool], str]
_BELOW_ONE = (lambda value: not _is_number(value) or 0 <= value < 1, "at least 0, less than 1")
_ALPHA = (lambda alpha: not _is_number(alpha) or 0 <= alpha < math.inf, "at least 0, which is none")
_PART = (
    lambda part: part is None or (_is_number(part) and (0 < part < 1 or (part >= 1 and isinstance(part, int)))),
    "a share of the images, more than 0 and less than 1, or their number, an integer of at least 1",
)
# Key → what its value must be, as a test and in words.
_AUGMENT_RULES: Mapping[str, _Rule] = {
    "scale": (lambda pair: _is_range(pair, 1), "two numbers, 0 < low ≤ high ≤ 1"),
    "ratio": (lambda pair: _is_range(pair, 1e3), "two numbers, 0 < low ≤ high"),
    "rotation": (lambda degrees: 0 <= degrees <= 180, "0 to 180 degrees"),
    "horizontal_flip": _SHARE,
    "brightness": _SHARE,
    "contrast": _SHARE,
    "saturation": _SHARE,
    "whole": (lambda whole: isinstance(whole, bool), "true or false"),
    "vertical_flip": _SHARE,
    "hue": (lambda shift: 0 <= shift <= 0.5, "0 to 0.5 of the colour circle"),
    "grayscale": _SHARE,
    "blur": _SHARE,
    "policy": (lambda policy: policy in (None, *POLICIES), f"{', '.join(POLICIES)}, or null for none"),
    "erasing": _SHARE,
}
_RULES: Mapping[str, _Rule] = {
    "experiment": (
        lambda name: _is_name(name) and name not in _SHARED,
        f"a name that a folder can have, and none of {', '.join(_SHARED)}",
    ),
    "seed": (lambda seed: 0 <= seed < 2**31, "0 to 2147483647"),
    "batch_size": (lambda size: size >= 1, "at least 1"),
    "per_class": (lambda count: count is None or count >= 1, "at least 1, or null"),
    "num_workers": (lambda count: count >= 0, "at least 0"),
    "margin": (lambda points: 0 < points < 100, "more than 0, less than 100 points"),
    "mix.real": (lambda share: 0 <= share < 1e6, "0 to 1: the share of the real training images that is kept"),
    "mix.synthetic": (lambda times: 0 <= times < 1e6, "at least 0: a multiple of the real images' number"),
    "dataset.image_size": (lambda size: 1 <= size <= 4096, "1 to 4096 pixels"),
    "dataset.crop_pct": (lambda share: 0 < share <= 1, "more than 0, at most 1"),
    **{f"dataset.augment.{name}": rule for name, rule in _AUGMENT_RULES.items()},
    # Of these, absent (None) is fine: the dataset is split by its folders.
    "dataset.split.val": _PART,
    "dataset.split.test": _PART,
    "dataset.split.seed": (lambda seed: seed is None or 0 <= seed < 2**31, "0 to 2147483647"),
    "dataset.split.near": (lambda bits: bits is None or 0 <= bits < 32, "0 to 31 of 64 bits, or null"),
    # Of these, absent (None) is fine. A part of the images must neither choose the checkpoint nor be the test.
    "model.lr": (lambda rate: not _is_number(rate) or rate > 0, "more than 0"),
    "model.weight_decay": (lambda decay: not _is_number(decay) or decay >= 0, "at least 0"),
    "model.mean": (lambda values: values is None or _is_triple(values), "three numbers, or null"),
    "model.std": (
        lambda values: values is None or (_is_triple(values) and min(values) > 0),
        "three numbers more than 0, or null",
    ),
    "model.step_epochs": (lambda epochs: not _is_number(epochs) or epochs >= 1, "at least 1, or null"),
    "model.gamma": (lambda factor: not _is_number(factor) or 0 < factor <= 1, "more than 0, at most 1"),
    "model.train_stages": (lambda stages: not _is_number(stages) or stages >= 0, "at least 0, or null: all"),
    "model.unfreeze_every": (lambda epochs: not _is_number(epochs) or epochs >= 1, "at least 1, or null: never"),
    "model.head_dropout": _BELOW_ONE,
    "model.label_smoothing": _BELOW_ONE,
    "model.mixup": _ALPHA,
    "model.cutmix": _ALPHA,
    "model.synthetic_weight": (lambda weight: not _is_number(weight) or 0 < weight < math.inf, "more than 0"),
    "model.pretrain_epochs": (lambda epochs: not _is_number(epochs) or epochs >= 0, "at least 0"),
    "trainer.max_epochs": (lambda epochs: not _is_number(epochs) or epochs >= 1 or epochs == -1, "at least 1"),
    "trainer.limit_val_batches": _ALL,
    "trainer.limit_test_batches": _ALL,
    "trainer.fast_dev_run": (lambda run: not run, "false: a run is judged on all validation and test images"),
    "dataset.name": _NAME,
    "generator.name": _NAME,
    "model.name": _NAME,
    "prompts.name": _NAME,
}


def _more_real_problems(config: DictConfig) -> Iterator[str]:
    """An arm with more real images than the real training set has, and nowhere to take them from."""
    if 1 < config.mix.real < 1e6 and config.dataset.more is None:
        yield (
            f"mix.real={config.mix.real!r}: must be 0 to 1: the share of the real training images that is kept; more "
            "than all of them need a folder of further ones, given as dataset.more=<folder>"
        )


def _own_augment_problems(given: Mapping[Any, Any]) -> list[str]:
    """What is wrong with the values of an arm's own augmentation, of which Hydra knows no types."""
    found = []
    for name, value in given.items():
        fine, wanted = _AUGMENT_RULES[name]
        try:
            typed = typed_augment({name: value})[name]
        except OmegaConfBaseException as error:
            found.append(f"mix.augment.{name}={value}: {str(error).splitlines()[0]}")
        else:
            found += [] if fine(typed) else [f"mix.augment.{name}={typed!r}: must be {wanted}"]
    return found


def _crop_problems(of_dataset: DictConfig, of_arm: Mapping[Any, Any]) -> list[str]:
    """A crop of what is to be shown as a whole, once an arm's own augmentation stands in the dataset's place."""
    own = typed_augment(of_arm)
    augment: dict[Any, Any] = {**of_dataset, **own}
    if not augment["whole"] or (list(augment["scale"]) == list(augment["ratio"]) == [1, 1]):
        return []
    where = "mix.augment" if {"whole", "scale", "ratio"} & own.keys() else "dataset.augment"
    way_out = f"set {where}.scale=[1,1] and {where}.ratio=[1,1], or {where}.whole=false"
    return [f"{where}.whole=True: leaves nothing to crop; {way_out}"]


def _model_problems(config: DictConfig) -> Iterator[str]:
    """Values of the model that do not go with others outside it."""
    before, epochs = (OmegaConf.select(config, key) for key in ("model.pretrain_epochs", "trainer.max_epochs"))
    if _is_number(before) and _is_number(epochs) and before > 0 and 0 <= epochs <= before:
        wanted = f"must be less than trainer.max_epochs={epochs}, or no epoch is left to train on real images"
        yield f"model.pretrain_epochs={before}: {wanted}"
    if OmegaConf.select(config, "model.head_batch_norm") is True and OmegaConf.select(config, "batch_size") == 1:
        yield "model.head_batch_norm=true, batch_size=1: one image has no variance to normalise by; raise batch_size"


def _dataset_problems(dataset: DictConfig) -> list[str]:
    """What is wrong with a folder that nothing will fill; the rest is found when it is scanned."""
    split = dataset.split
    parts = {} if split is None else {f"dataset.split.{name}": split[name] for name in ("val", "test")}
    found = [f"{key}=None: must be {_PART[1]}" for key, part in parts.items() if part is None]
    if len(parts) == 2 and all(_is_number(part) and part < 1 for part in parts.values()) and sum(parts.values()) >= 1:
        given = ", ".join(f"{key}={part}" for key, part in parts.items())
        found.append(f"{given}: must be less than 1 together, or nothing is left to train on")
    if dataset.prepare is None:
        folders = {name: dataset[name] for name in ("train", "val", "test")}
        root = Path(dataset.root).expanduser()
        problems = layout_problems(root, folders, can_split=split is not None)
        found += [f"dataset.root={dataset.root}: {text}" for text in problems]
        if dataset.more is not None and not problems:
            found += _more_problems(dataset, root, folders)
    return found


def _more_problems(dataset: DictConfig, root: Path, folders: Mapping[str, str]) -> list[str]:
    """What is wrong with the folder of further real images."""
    more = (root / dataset.more).resolve()
    taken = [split for split, name in folders_there(root, folders).items() if more == (root / name).resolve()]
    found = [f"is the folder of dataset.{split}; further images are no part of a split" for split in taken]
    if not found and folders_there(root, folders)["train"] == "." and more.is_relative_to(root.resolve()):
        found = [f"lies in {root}, where every folder is a class; put it beside it: dataset.more=../{more.name}"]
    return [f"dataset.more={dataset.more}: {text}" for text in found or more_problems(root, dataset.more)]


def _output_problems(dataset: DictConfig, output_dir: Path) -> Iterator[str]:
    """A folder of outputs among the classes: from the second command on it would be one of them."""
    root = Path(dataset.root).expanduser()
    split_folders = {name: dataset[name] for name in ("train", "val", "test")}
    if dataset.prepare is None:
        for name in folders_there(root, split_folders).values():
            folder, inside = (root / name).resolve(), output_dir.resolve()
            if inside.is_relative_to(folder) and not is_litter(inside, folder):
                yield (
                    f"output_dir={output_dir}: lies in {folder}, where every folder is a class; run the command in "
                    "another folder, or give output_dir=<folder>"
                )


def _target_problems(config: DictConfig, broken: Sequence[str]) -> list[str]:
    paths = ["generator", "model", "trainer"]
    if not _touches(broken, "dataset.prepare") and config.dataset.prepare is not None:
        paths.append("dataset.prepare")
    if not _touches(broken, "logger"):
        paths += [f"logger.{name}" for name in config.logger or {}]
    paths += [f"shift.{name}" for name in config.shift or {}]
    found = []
    for path in paths:
        if not _touches(broken, path):
            found += _node_problems(path, OmegaConf.select(config, path))
    return found + _shift_problems(config, broken)


def _shift_problems(config: DictConfig, broken: Sequence[str]) -> list[str]:
    """Names of test sets that folders cannot have or that two sets share; transforms that cannot be called so."""
    found, owners = [], dict[str, list[str]]()
    for key in config.shift or {}:
        path, node = f"shift.{key}", config.shift[key]
        if _touches(broken, path) or not isinstance(node, DictConfig):
            continue
        name, severities = str(node.get("name") or key), node.get("severities")
        owners.setdefault(name, []).append(path)
        if not _is_name(name):
            found.append(f"{path}.name={name!r}: must be {_NAME[1]}")
        if "severities" in node and not (isinstance(severities, DictConfig) and severities):
            found.append(f"{path}.severities: must map each severity to the arguments of its transform")
        elif severities:
            found += _severity_problems(path, str(node.get("transform")), severities)
    return found + [
        f"{' and '.join(paths)}: are both called {name!r}; give one another name"
        for name, paths in owners.items()
        if len(paths) > 1
    ]


def _severity_problems(path: str, transform: str, severities: DictConfig) -> Iterator[str]:
    for severity, given in severities.items():
        where = f"{path}.severities.{severity!s}"
        if not _is_name(severity):
            yield f"{where}: must be {_NAME[1]}"
        if given is not None and not isinstance(given, DictConfig):
            yield f"{where}={given!r}: must map arguments of {transform} to their values"
            continue
        for text in signatures.problems(transform, {str(name): value for name, value in (given or {}).items()}):
            yield f"{where}: {text}"


def _node_problems(path: str, node: Any) -> list[str]:
    """What is wrong with a node that names what it configures."""
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if not isinstance(target, str):
        return [f"{path}: has no _target_, the dotted name of what it configures"]
    supplied = SUPPLIED[path if path in SUPPLIED else path.partition(".")[0]]
    found = [
        f"{path}.{name}: the program sets it itself; leave it out"
        + (" (and set WANDB_MODE=offline in the environment)" if name in ("mode", "offline") else "")
        for name in supplied
        if name in node
    ]
    try:
        found += [f"{path}: {text}" for text in signatures.problems(target, called(node), supplied)]
    except signatures.UnknownTarget as error:
        found.append(f"{path}._target_: {error}")
    # The one logger whose package is optional is refused by Lightning only when all images are ready.
    if target.endswith(".TensorBoardLogger") and not importlib.util.find_spec("tensorboard"):
        found.append(f"{path}: needs a package that is not installed: pip install 'synthaug[tensorboard]'")
    return found


def not_among(known: list[str], parent: str, rest: list[str]) -> str:
    """Say that `rest[0]` is no key of `parent`, with the one that was meant, or all there are."""
    close = difflib.get_close_matches(rest[0], known, n=1)
    if close:
        return f"there is no such key; did you mean {'.'.join([*([parent] if parent else []), close[0], *rest[1:]])}?"
    return f"there is no such key; {parent or 'the configuration'} has {', '.join(known)}"

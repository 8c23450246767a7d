"""What is wrong with a composed configuration, as far as can be seen without running it."""

import importlib.util
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthaug.config import signatures, synonyms, targets
from synthaug.config.naming import plain_data, typed_augment
from synthaug.config.schema import (
    CAPTIONS,
    PROGRAM_ARGUMENTS,
    AdaptConfig,
    AugmentConfig,
    Config,
    DatasetConfig,
    MixConfig,
    PromptsConfig,
    QualityConfig,
    SplitConfig,
    target_kwargs,
)
from synthaug.data.folders import is_litter
from synthaug.data.layouts import existing_folders, layout_problems, more_problems
from synthaug.files import resolved
from synthaug.messages import join_words, suggest
from synthaug.runs.layout import DEBUG_SUFFIX
from synthaug.screening import settings as screening
from synthaug.screening.settings import ScreeningSettings

# --- rules: key → a test of its value, and what the value must be -----------------------------------

Rule = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(low: float, high: float = math.inf, above: bool = False, below: bool = False, words: str = "") -> Rule:
    """Return a rule for numbers from `low` to `high`, without `low` (`above`) or `high` (`below`)."""

    def is_inside(value: Any) -> bool:
        if not _is_number(value):
            return True
        is_below = value < high if below or high == math.inf else value <= high
        return bool(is_below and (low < value if above else low <= value))

    lower = f"more than {low:.10g}" if above else f"at least {low:.10g}"
    upper = f"less than {high:.10g}" if below else f"at most {high:.10g}"
    bounds = lower if high == math.inf else f"{lower}, {upper}"
    return is_inside, words or (f"{low:.10g} to {high:.10g}" if high < math.inf and not above and not below else bounds)


def _is_name(name: Any) -> bool:
    return bool(re.fullmatch(r"[^\s/\\.\x00-\x1f][^/\\\x00-\x1f]{0,99}", str(name)))


def _range(most: float, words: str) -> Rule:
    return lambda pair: len(pair) == 2 and 0 < pair[0] <= pair[1] <= most, words


def _choice(values: Sequence[str]) -> Rule:
    return lambda value: value in values, f"one of {', '.join(values)}"


def _triple(low: float, words: str) -> Rule:
    def is_triple(values: Any) -> bool:
        is_list = isinstance(values, ListConfig) and len(values) == 3 and all(_is_number(value) for value in values)
        return values is None or (is_list and min(values) > low)

    return is_triple, words


def _is_count(value: Any, low: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= MOST_IMAGES


def _is_fill(fill: Any) -> bool:
    if isinstance(fill, DictConfig):
        return len(fill) > 0 and all(map(_is_count, fill.values()))
    return fill in (None, "largest") or _is_count(fill)


MOST_IMAGES = 10**6  # of a class, that anybody means
MOST_FOLDS = 1000
NO_SUCH_KEY = "there is no such key"
SHARED_FOLDERS = (CAPTIONS, "datasets", "held_out", "pixels", "pools", "splits", "synthetic")  # of output_dir
POLICIES = ("trivial", "rand", "augmix", "auto")  # the keys of `data.policies.POLICIES`, which imports torch
IMAGE_FORMATS = ("png", "match")  # of `generation.image_formats`, which imports numpy
_PAIRS: Rule = (
    lambda pairs: (
        pairs in (None, "all")
        or (isinstance(pairs, ListConfig) and all(isinstance(pair, ListConfig) and len(pair) == 2 for pair in pairs))
    ),
    "pairs of names of arms, such as [[64,strong],[add100,real200]], or all",
)
_EMBEDDED = "pkg://synthaug.assets/tiny_digits"  # model of conf/generator/tiny_digits.yaml

_NAME: Rule = (lambda name: name is None or _is_name(name), "a name that a folder can have")
_ALL: Rule = (lambda share: share is None or str(share) == "1.0", "1.0: all images, or the comparison is not honest")
_SHARE, _SEED = _number(0, 1), _number(0, 2**31 - 1)
_PART: Rule = (
    lambda part: part is None or (_is_number(part) and (0 < part < 1 or (part >= 1 and isinstance(part, int)))),
    "a share of the images, more than 0 and less than 1, or their number, an integer of at least 1",
)
_AUGMENT_RULES: Mapping[str, Rule] = {
    "scale": _range(1, "two numbers, 0 < low ≤ high ≤ 1"),
    "ratio": _range(1e3, "two numbers, 0 < low ≤ high"),
    "rotation": _number(0, 180, words="0 to 180 degrees"),
    "horizontal_flip": _SHARE,
    "brightness": _SHARE,
    "contrast": _SHARE,
    "saturation": _SHARE,
    "whole": (lambda whole: isinstance(whole, bool), "true or false"),
    "vertical_flip": _SHARE,
    "hue": _number(0, 0.5, words="0 to 0.5 of the colour circle"),
    "grayscale": _SHARE,
    "blur": _SHARE,
    "policy": (lambda policy: policy in (None, *POLICIES), f"{', '.join(POLICIES)}, or null for none"),
    "erasing": _SHARE,
}
_RULES: Mapping[str, Rule] = {
    "experiment": (
        lambda name: _is_name(name) and name not in SHARED_FOLDERS and not str(name).endswith(DEBUG_SUFFIX),
        f"a name that a folder can have, none of {', '.join(SHARED_FOLDERS)}, without {DEBUG_SUFFIX} at its end",
    ),
    "seed": _SEED,
    "folds": _number(2, MOST_FOLDS, words="a number of folds, at least 2, or null"),
    "fold": _number(0, words="at least 0, or null"),
    "batch_size": _number(1),
    "per_class": _number(1, words="at least 1, or null"),
    "shards": _number(1, 9999, words="a number of shards, at least 1, or null"),
    "shard": _number(0, words="the number of a shard, at least 0, or null"),
    "storage": _choice(("auto", "files", "tar")),
    "verify": _number(1, words="at least 1, or null"),
    "parallel": (lambda runs: runs == "auto" or _is_count(runs), "auto, or a number of runs, at least 1"),
    "threads": _number(1, 1024),
    "cluster.cpus": _number(0, above=True),
    "cluster.gpus": _number(0, words="at least 0"),
    "cluster.memory_gb": _number(0, above=True, words="more than 0, or null"),
    **{f"cluster.{name}": _number(1) for name in ("warning_s", "array_parallelism")},
    "cluster.timeout_min": (
        lambda minutes: minutes is None or _is_count(minutes),
        "a number of minutes, at least 1, such as 720 for 12 hours",
    ),
    "cluster.setup": (lambda lines: not isinstance(lines, str), "a list of commands, such as [module load cuda]"),
    "cluster.max_requeues": _number(0),
    "num_workers": _number(0),
    "feedback_rounds": _number(2),
    "feedback_epochs": _number(1, words="at least 1, or null"),
    "compare": _PAIRS,
    "quality.image_size": _number(1, 4096, words="1 to 4096 pixels, or null"),
    "generator.draw": (
        lambda draw: draw is None or (isinstance(draw, int) and not isinstance(draw, bool) and 0 <= draw < 2**31),
        "0 or a whole number above",
    ),
    "adapt.name": (lambda name: name is None or _is_name(name), "a name that a folder can have"),
    "adapt.images_per_class": _number(1, words="at least 1, or null: all real images of the arm"),
    "adapt.steps": _number(1),
    "adapt.rank": _number(1),
    "adapt.method": (lambda method: method in ("lora", "textual_inversion"), "lora or textual_inversion"),
    "adapt.vectors": _number(1),
    "adapt.lr": _number(0, above=True, words="more than 0, or null: the method's"),
    "adapt.batch_size": _number(1),
    "adapt.layers": (lambda layers: layers in ("attention", "all"), "attention or all"),
    "adapt.resolution": (
        lambda side: side is None or (_is_number(side) and side > 0 and side % 8 == 0),
        "a multiple of 8 pixels, or null: the model's own size",
    ),
    "adapt.autoencoder_steps": _number(1),
    "adapt.autoencoder_lr": _number(0, above=True),
    "adapt.prompt_dropout": _number(0, 1, below=True),
    "adapt.snr_gamma": _number(0, above=True, words="more than 0, or null"),
    "generator.strength": _number(0, 1, above=True, words="more than 0 and at most 1, or null: no real images"),
    "generator.image_format": (
        lambda name: name in (None, *IMAGE_FORMATS),
        f"{' or '.join(IMAGE_FORMATS)}: as they are sampled, or as real training images are stored",
    ),
    "image_price": _number(0, words="at least 0, or null"),
    "margin": _number(0, 100, above=True, below=True, words="more than 0 and less than 100 points"),
    "mix.real": _number(0, 1e6, below=True, words="0 to 1: the share of the real training images that is kept"),
    "mix.synthetic": _number(0, 1e6, below=True, words="at least 0: a multiple of the real images' number"),
    "mix.real_per_class": _number(1, MOST_IMAGES, words="a number of images, at least 1, or null"),
    "mix.fill": (
        _is_fill,
        "largest, a number of images of at least 1, one for each class as in mix.fill.<class>=200, or null",
    ),
    "dataset.most_stored_gb": _number(0, words="gigabytes of decoded pixels, at least 0"),
    "dataset.imbalance": _number(0, 1, above=True, words="more than 0, at most 1: the rarest class over the largest"),
    "dataset.imbalance_seed": _number(0, 2**31 - 1, words="a number of at least 0, or null: classes in order of name"),
    "dataset.class_counts": (
        lambda counts: counts is None or (isinstance(counts, DictConfig) and _is_fill(counts)),
        "a number of images for single classes, as in dataset.class_counts.<class>=10, or null",
    ),
    "dataset.image_size": _number(1, 4096, words="1 to 4096 pixels"),
    "dataset.crop_pct": _number(0, 1, above=True),
    **{f"dataset.augment.{name}": rule for name, rule in _AUGMENT_RULES.items()},
    "dataset.split.val": _PART,
    "dataset.split.test": _PART,
    "dataset.split.seed": _SEED,
    "model.lr": _number(0, above=True),
    "model.weight_decay": _number(0),
    "model.mean": _triple(-math.inf, "three numbers, or null"),
    "model.std": _triple(0, "three numbers more than 0, or null"),
    "model.step_epochs": _number(1, words="at least 1, or null"),
    "model.gamma": _number(0, 1, above=True),
    "model.views": _number(1, words="at least 1, or null: every epoch augments anew"),
    "model.train_stages": _number(0, words="at least 0, or null: all"),
    "model.unfreeze_every": _number(1, words="at least 1, or null: never"),
    "model.head_dropout": _number(0, 1, below=True),
    "model.label_smoothing": _number(0, 1, below=True),
    "model.mixup": _number(0, words="at least 0, which is none"),
    "model.cutmix": _number(0, words="at least 0, which is none"),
    "model.synthetic_weight": _number(0, above=True),
    "model.pretrain_epochs": _number(0),
    "model.momentum": _number(0, 1, below=True, words="at least 0 and less than 1, or null: 0.9 for SGD"),
    "model.warmup_epochs": _number(0, above=True, words="more than 0: a share of all steps below 1, else epochs"),
    "model.ema": _number(0, 1, above=True, below=True, words="more than 0 and less than 1, or null: none"),
    "model.image_size": _number(1, 4096, words="1 to 4096 pixels, or null"),
    "trainer.max_epochs": (lambda epochs: not _is_number(epochs) or epochs >= 1 or epochs == -1, "at least 1"),
    "trainer.precision": (
        lambda precision: str(precision) not in ("16-true", "bf16-true", "64-true", "64"),
        "32-true, 16-mixed or bf16-mixed: images stay in 32 bits, and weights of more or fewer cannot read them",
    ),
    "trainer.max_steps": (
        lambda steps: not _is_number(steps) or steps >= 1 or steps == -1,
        "at least 1, or -1: no limit",
    ),
    "trainer.max_time": (
        lambda time: not _is_number(time),
        "days:hours:minutes:seconds, such as 00:12:00:00, or {hours: 12}",
    ),
    "trainer.accumulate_grad_batches": _number(1),
    "trainer.limit_train_batches": _number(0, above=True, words="more than 0: a number of batches, or 1.0: all"),
    "trainer.gradient_clip_val": _number(0, words="at least 0, or null: none"),
    "trainer.deterministic": (lambda value: value in (None, True, False, "warn"), "true, false or warn"),
    "trainer.enable_checkpointing": (lambda value: value in (None, True), "true: the best epoch is a checkpoint"),
    "trainer.barebones": (lambda value: not value, "false: a barebones trainer writes no checkpoint"),
    # A part of the images must neither choose the checkpoint nor be the test.
    "trainer.limit_val_batches": _ALL,
    "trainer.limit_test_batches": _ALL,
    "trainer.fast_dev_run": (lambda run: not run, "false: a run is evaluated on all validation and test images"),
    "logger.wandb.project": (
        lambda project: project is None or bool(re.fullmatch(r"[^/\\#?%:]{1,128}", str(project))),
        "a name of 1 to 128 letters, without / \\ # ? % and :, as W&B wants it",
    ),
    "dataset.name": _NAME,
    "generator.name": _NAME,
    "model.name": _NAME,
    "captioner.name": _NAME,
    "prompts.name": _NAME,
    "screening.name": _NAME,
    "screening.test_copies": _choice(screening.ON_TEST_COPIES),
    "screening.train_copies": _choice(screening.ON_TRAIN_COPIES),
    "screening.duplicates": _choice(screening.ON_DUPLICATES),
    "screening.copy_similarity": _number(0, 1, above=True, words="more than 0, at most 1: a cosine"),
    "screening.clip_percentile": _number(0, 100, below=True, words="0 to less than 100, or null"),
    "screening.clip_threshold": _number(-1, 1, words="-1 to 1: a cosine, or null"),
    "screening.clip_prompt": (lambda text: "{class_name}" in str(text), "a text with {class_name} in it"),
    "screening.teacher_probability": _number(0, 1, below=True, words="0 to less than 1, or null"),
    "screening.knn_neighbours": _number(1, 1000),
    "screening.knn_percentile": _number(0, 100, above=True, words="more than 0, at most 100"),
}
_TYPED_NODES: Mapping[str, type] = {
    "": Config,
    "dataset": DatasetConfig,
    "dataset.augment": AugmentConfig,
    "mix": MixConfig,
    "prompts": PromptsConfig,
    "screening": ScreeningSettings,
    "quality": QualityConfig,
    "mix.augment": AugmentConfig,
    "dataset.split": SplitConfig,
    "adapt": AdaptConfig,
}


# --- a whole configuration -------------------------------------------------------------------------


def validate(plain: DictConfig, typed: Collection[str] = ()) -> list[str]:
    """Return everything that is wrong with a composed configuration, as far as can be seen without running it.

    Args:
        plain: from `without_hydra`.
        typed: keys of the command line, from `typed_keys`.
    """
    try:
        nodes = list(targets.walk(plain))
    except targets.TooLargeError as error:
        return [f"{error}: interpolations lead to ever more values; write them out, or leave the key out"]
    unusable = {key: reason for key, _, reason in nodes if reason is not None}  # left out of all further checks
    if groups := [f"{key}: {reason}" for key, reason in unusable.items() if "." not in key and reason]:
        return groups  # what all further checks look into
    refused = {
        key: problem
        for key, value, _ in nodes
        if (problem := targets.call_problem(key, value) or targets.trust_problem(key, value, typed))
    }

    def is_usable(*keys: str) -> bool:
        bad_keys = [*unusable, *refused]
        return not any(
            f"{bad}.".startswith(f"{key}.") or f"{key}.".startswith(f"{bad}.") for bad in bad_keys for key in keys
        )

    problems = [f"{key}: {reason}" for key, reason in [*_unknown_keys(plain, unusable), *unusable.items()] if reason]
    problems += [f"{key}={value}: {refused[key]}" for key, value, _ in nodes if key in refused]
    return [*problems, *_value_problems(plain, is_usable, typed), *_part_problems(plain, is_usable)]


def _value_problems(plain: DictConfig, is_usable: Callable[..., bool], typed: Collection[str]) -> list[str]:
    """Report single values, and values that do not go together.

    Args:
        plain: from `without_hydra`.
        is_usable: whether keys have values that can be looked into.
        typed: keys of the command line.
    """
    problems = [
        f"{key}={value!r}: must be {words}"
        for key, (is_valid, words) in _RULES.items()
        if is_usable(key) and not is_valid(value := OmegaConf.select(plain, key))
    ]
    if is_usable("mix"):
        problems += _mix_problems(plain.mix)
    if is_usable("mix.real", "dataset.more"):
        problems += _more_real_problems(plain)
    if is_usable("mix.augment", "dataset.augment"):
        augment = {name: value for name, value in (plain.mix.augment or {}).items() if name in _AUGMENT_RULES}
        problems += _arm_augment_problems(augment) or _crop_problems(plain.dataset.augment, augment)
    if is_usable("generator") and plain.generator.get("draw") and plain.replicate.value in ("draw", "full"):
        problems.append(
            f"generator.draw={plain.generator.draw}: replicate={plain.replicate.value} draws by the seed; leave one out"
        )
    if is_usable("generator") and "generator.model" in typed:
        problems += _replaced_model_problems(plain.generator, typed)
    problems += _price_problems(plain) if is_usable("budget", "image_price") else []
    if is_usable("feedback", "selection") and plain.feedback is not None and plain.selection.value == "last":
        problems.append(
            f"feedback={plain.feedback.value}, selection=last: feedback needs validation images, and this arm uses "
            "none; choose selection=own_share or best, or leave feedback out"
        )
    if is_usable("model", "trainer", "dataset.image_size"):
        problems += _model_problems(plain)
    if is_usable("cluster", "parallel", "trainer", "threads", "num_workers"):
        problems += _cluster_problems(plain)
    if is_usable("folds", "fold", "shift", "dataset.groups"):
        problems += _fold_problems(plain)
    if is_usable("dataset.imbalance", "dataset.class_counts"):
        problems += _long_tail_problems(plain.dataset)
    if is_usable("dataset"):
        problems += _dataset_problems(plain.dataset, plain.folds) or _output_problems(
            plain.dataset, Path(plain.output_dir)
        )
    return problems


def _part_problems(plain: DictConfig, is_usable: Callable[..., bool]) -> list[str]:
    """Report what the constructors of the parts, which are named by their targets, would refuse.

    Args:
        plain: from `without_hydra`.
        is_usable: whether keys have values that can be looked into.
    """
    paths = ["generator", "model", "trainer"]
    if is_usable("dataset.prepare") and plain.dataset.prepare is not None:
        paths.append("dataset.prepare")
    paths += [f"logger.{name}" for name in (plain.logger or {} if is_usable("logger") else {})]
    paths += ["captioner"] if plain.captioner is not None else []
    paths += ["cluster"] if plain.cluster else []
    paths += [f"shift.{name}" for name in plain.shift or {}]
    problems = [
        problem
        for path in filter(is_usable, paths)
        for problem in _target_problems(path, OmegaConf.select(plain, path))
    ]
    return problems + _shift_problems({key: plain.shift[key] for key in plain.shift or {} if is_usable(f"shift.{key}")})


def _replaced_model_problems(generator: DictConfig, typed: Collection[str]) -> list[str]:
    """Report another model beside the settings of one that was trained on classes of its own."""
    model, classes = generator.get("model"), generator.get("classes")
    if classes is None or "generator.classes" in typed or model == _EMBEDDED:
        return []
    reason = "classes, size and mode beside it are those of another model"
    return [f"generator.model={model}: {reason}; generator=hub generator.model={model} takes the model's own"]


def _price_problems(plain: DictConfig) -> list[str]:
    """Report a budget by cost without a price, and the other way round."""
    is_cost, price = plain.budget.value == "cost", plain.image_price
    if is_cost and price is None:
        return ["budget=cost: needs image_price=<n>, the cost of generating an image as a multiple of training on one"]
    if price is not None and not is_cost:
        return [f"image_price={price}: is of budget=cost; leave it out, or choose that budget"]
    return []


def _unknown_keys(config: DictConfig, unusable: Collection[str]) -> Iterator[tuple[str, str]]:
    """Keys that nothing reads: `+key=value` brings them past Hydra's own check."""
    for parent, schema in _TYPED_NODES.items():
        if parent in unusable:
            continue
        names = [field.name for field in fields(schema)]
        node = OmegaConf.select(config, parent) if parent else config
        unknown = [str(name) for name in node if name not in names] if isinstance(node, DictConfig) else []
        plain = plain_data(config, resolve=False) if unknown else {}
        yield from (
            (f"{parent}.{name}".lstrip("."), unknown_key(name, names, parent, {**plain, name: None}))
            for name in unknown
        )


def unknown_key(name: str, names: Sequence[str], parent: str, config: Mapping[str, Any], rest: str = "") -> str:
    """Return that `name` is not a key of `parent`, with the ones that may be meant, or all there are.

    Args:
        name: as it was typed.
        names: keys of the parent.
        parent: dotted key of a node; empty for the whole configuration.
        config: the whole configuration as plain data, where a key without a node may stand in any.
        rest: what was typed behind the name.
    """
    if not parent and (keys := synonyms.meant_keys(name, config)):
        return f"{NO_SUCH_KEY}; did you mean {join_words([repr(key + rest) for key in keys[:3]], 'or')}?"
    listed = f"{parent or 'the configuration'} has {', '.join(names)}"
    hint = suggest(name, names, limit=1, prefix=f"{parent}." if parent else "", suffix=rest)
    return f"{NO_SUCH_KEY}; {hint or listed}"


# --- keys that must go together --------------------------------------------------------------------


def _long_tail_problems(dataset: DictConfig) -> Iterator[str]:
    if dataset.imbalance is not None and dataset.class_counts is not None:
        yield (
            f"dataset.imbalance={dataset.imbalance}, dataset.class_counts={dataset.class_counts}: both say how many "
            "training images a class has; give one of them"
        )


def _cluster_problems(config: DictConfig) -> Iterator[str]:
    """Report what says for this machine how many runs work at a time, and runs of several processes, in a cluster."""
    if not config.cluster:
        return
    name = str(config.cluster.get("_target_")).rpartition(".")[2].lower()
    if config.parallel != "auto":
        limit = "cluster.array_parallelism limits its jobs" if name == "slurm" else "cluster.cpus says what a run takes"
        yield f"parallel={config.parallel}, cluster={name}: parallel is of runs on this machine; leave it out, {limit}"
    trainer = config.trainer
    devices, nodes, strategy = (trainer.get(key, "auto") for key in ("devices", "num_nodes", "strategy"))
    is_single = devices in ("auto", 1, "1") or (isinstance(devices, ListConfig) and len(devices) == 1)
    if strategy != "auto" or nodes not in ("auto", 1) or not is_single:
        yield (
            f"trainer.strategy={strategy}, trainer.devices={devices}, cluster={name}: each run in a cluster is one "
            "process on one device; choose trainer=auto, or start a single run on several GPUs without cluster"
        )
    cpus = config.cluster.get("cpus")
    for key in ("threads", "num_workers"):
        needed = config[key]
        if _is_number(cpus) and needed > math.ceil(cpus):
            yield (
                f"{key}={needed}, cluster.cpus={cpus}: a run would have fewer processors than it uses; choose "
                f"cluster.cpus={needed}, or lower {key}"
            )


def _fold_problems(config: DictConfig) -> Iterator[str]:
    """Report a fold without folds or the reverse, and what needs one test set for all runs."""
    folds, fold = config.folds, config.fold
    if folds is None and fold is not None:
        yield f"fold={fold}: there are no folds; give their number with folds=<number>, or leave it out"
    if folds is None or folds < 2:
        return
    if fold is None:
        yield f"folds={folds}: a run has one of them: give fold=0 to fold={folds - 1}, or -m to have all of them"
    elif fold >= folds:
        yield f"fold={fold}: must be less than folds={folds}"
    if config.shift:
        yield f"folds={folds}, shift: shift sets are compared with one test set; leave one of them out (shift=none)"
    if config.dataset.groups is not None:
        yield f"folds={folds}, dataset.groups: groups are of the images of one test set; leave one of them out"


def _mix_problems(mix: DictConfig) -> Iterator[str]:
    """Report a mix of nothing, and one that says the same number in two ways."""
    if mix.real == mix.synthetic == 0 and mix.fill is None:
        yield "mix.real=0, mix.synthetic=0: there is nothing to train on; raise one of them"
    if mix.real_per_class is not None and mix.real != 1:
        yield (
            f"mix.real={mix.real!r}, mix.real_per_class={mix.real_per_class}: both say how many real images are kept; "
            "give one of them (mix.real=1 leaves it to the other)"
        )
    if mix.fill is not None and mix.synthetic != 0:
        yield (
            f"mix.synthetic={mix.synthetic!r}, mix.fill={mix.fill}: both say how many synthetic images are added; "
            "give one of them (mix.synthetic=0 leaves it to the other)"
        )


def _more_real_problems(config: DictConfig) -> Iterator[str]:
    """Report an arm with more real images than the real training set has, and nowhere to take them from."""
    if 1 < config.mix.real < 1e6 and config.dataset.more is None:
        yield (
            f"mix.real={config.mix.real!r}: must be {_RULES['mix.real'][1]}; more than all of them need a folder of "
            "further ones, given as dataset.more=<folder>"
        )


def _arm_augment_problems(augment: Mapping[Any, Any]) -> list[str]:
    """Return what is wrong with the values of an arm's own augmentation, of which Hydra knows no types."""
    problems = []
    for name, value in augment.items():
        is_valid, words = _AUGMENT_RULES[name]
        try:
            typed = typed_augment({name: value})[name]
        except OmegaConfBaseException as error:
            problems.append(f"mix.augment.{name}={value}: {str(error).splitlines()[0]}")
        else:
            problems += [] if is_valid(typed) else [f"mix.augment.{name}={typed!r}: must be {words}"]
    return problems


def _crop_problems(of_dataset: DictConfig, of_arm: Mapping[Any, Any]) -> list[str]:
    """Report a crop of what is to be shown as a whole, once an arm's own augmentation replaces the dataset's."""
    arm = typed_augment(of_arm)
    augment: dict[Any, Any] = {**of_dataset, **arm}
    if not augment["whole"] or (list(augment["scale"]) == list(augment["ratio"]) == [1, 1]):
        return []
    node = "mix.augment" if {"whole", "scale", "ratio"} & arm.keys() else "dataset.augment"
    remedy = f"set {node}.scale=[1,1] and {node}.ratio=[1,1], or {node}.whole=false"
    return [f"{node}.whole=True: leaves nothing to crop; {remedy}"]


def _model_problems(config: DictConfig) -> Iterator[str]:
    """Values of the model that do not go with others outside it."""
    before, epochs = (OmegaConf.select(config, key) for key in ("model.pretrain_epochs", "trainer.max_epochs"))
    if _is_number(before) and _is_number(epochs) and before > 0 and 0 <= epochs <= before:
        reason = f"must be less than trainer.max_epochs={epochs}, or no epoch is left to train on real images"
        yield f"model.pretrain_epochs={before}: {reason}"
    warmup = OmegaConf.select(config, "model.warmup_epochs")
    if _is_number(warmup) and _is_number(epochs) and warmup >= 1 and 0 <= epochs <= warmup:
        yield f"model.warmup_epochs={warmup}: must be less than trainer.max_epochs={epochs}; below 1 it is a share"
    weights, sampling = (OmegaConf.select(config, key) for key in ("model.class_weights", "sampling"))
    if weights is not None and sampling is not None:
        yield f"model.class_weights={weights}, sampling={sampling.name}: rare classes would count twice; drop either"
    image_size, dataset_size = (OmegaConf.select(config, key) for key in ("model.image_size", "dataset.image_size"))
    if image_size is not None and image_size != dataset_size:
        yield f"model.image_size={image_size}: must be dataset.image_size={dataset_size}, or null"
    if OmegaConf.select(config, "model.head_batch_norm") is True and OmegaConf.select(config, "batch_size") == 1:
        yield "model.head_batch_norm=true, batch_size=1: one image has no variance to normalise by; raise batch_size"


# --- folders ---------------------------------------------------------------------------------------


def _dataset_problems(dataset: DictConfig, folds: int | None) -> list[str]:
    """Return what is wrong with a folder that nothing will fill; the rest is checked when it is scanned."""
    split = dataset.split
    parts = {} if split is None else {f"dataset.split.{name}": split[name] for name in ("val", "test")}
    problems = [f"{key}=None: must be {_PART[1]}" for key, part in parts.items() if part is None]
    if len(parts) == 2 and all(_is_number(part) and part < 1 for part in parts.values()) and sum(parts.values()) >= 1:
        listed = ", ".join(f"{key}={part}" for key, part in parts.items())
        problems.append(f"{listed}: must be less than 1 together, or nothing is left to train on")
    if dataset.prepare is None:
        folders = {name: dataset[name] for name in ("train", "val", "test")}
        root = Path(dataset.root).expanduser()
        in_layout = layout_problems(root, folders, can_split=split is not None or folds is not None)
        problems += [f"dataset.root={dataset.root}: {text}" for text in in_layout]
        if dataset.more is not None and not in_layout:
            problems += _more_problems(dataset, root, folders)
    return problems


def _more_problems(dataset: DictConfig, root: Path, folders: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the folder of further real images."""
    more = resolved(root / dataset.more)
    split_folders = existing_folders(root, folders)
    splits = [split for split, name in split_folders.items() if more == resolved(root / name)]
    problems = [f"is the folder of dataset.{split}; further images are not part of a split" for split in splits]
    if not problems and split_folders["train"] == "." and more.is_relative_to(resolved(root)):
        problems = [f"lies in {root}, where every folder is a class; put it beside it: dataset.more=../{more.name}"]
    return [f"dataset.more={dataset.more}: {text}" for text in problems or more_problems(root, dataset.more)]


def _output_problems(dataset: DictConfig, output_dir: Path) -> Iterator[str]:
    """Report a folder of outputs among the classes: from the second command on it would be one of them."""
    root = Path(dataset.root).expanduser()
    split_folders = {name: dataset[name] for name in ("train", "val", "test")}
    if dataset.prepare is None:
        for name in existing_folders(root, split_folders).values():
            folder, inside = resolved(root / name), resolved(output_dir)
            if inside.is_relative_to(folder) and not is_litter(inside, folder):
                yield (
                    f"output_dir={output_dir}: lies in {folder}, where every folder is a class; run the command in "
                    "another folder, or give output_dir=<folder>"
                )


# --- targets ---------------------------------------------------------------------------------------


def _target_problems(path: str, node: Any) -> list[str]:
    """Return what is wrong with a node that names what it configures."""
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if not isinstance(target, str):
        return [f"{path}: has no _target_, the dotted name of what it configures"]
    program = PROGRAM_ARGUMENTS[path if path in PROGRAM_ARGUMENTS else path.partition(".")[0]]
    problems = [
        f"{path}.{name}: the program sets it itself; leave it out"
        + (" (and set WANDB_MODE=offline in the environment)" if name in ("mode", "offline") else "")
        for name in program
        if name in node
    ]
    problems += [f"{path}: {text}" for text in signatures.argument_problems(target, target_kwargs(node), program)]
    # The one logger whose package is optional is refused by Lightning only when all images are ready.
    if target.endswith(".TensorBoardLogger") and not importlib.util.find_spec("tensorboard"):
        problems.append(f"{path}: needs a package that is not installed: pip install 'synthaug[tensorboard]'")
    return problems


def _shift_problems(nodes: Mapping[Any, Any]) -> list[str]:
    """Names of shift sets that folders cannot have or that two sets share; transforms that cannot be called so."""
    problems, paths = list[str](), dict[str, list[str]]()
    for key, node in nodes.items():
        if not isinstance(node, DictConfig):
            continue
        path, name, severities = f"shift.{key}", str(node.get("name") or key), node.get("severities")
        paths.setdefault(name, []).append(path)
        if not _is_name(name):
            problems.append(f"{path}.name={name!r}: must be {_NAME[1]}")
        if "severities" in node and not (isinstance(severities, DictConfig) and severities):
            problems.append(f"{path}.severities: must map each severity to the arguments of its transform")
        elif severities:
            problems += _severity_problems(path, str(node.get("transform")), severities)
    shared = {name: sharing for name, sharing in paths.items() if len(sharing) > 1}
    return problems + [
        f"{join_words(sharing)}: are both called {name!r}; rename one of them" for name, sharing in shared.items()
    ]


def _severity_problems(path: str, transform: str, severities: Mapping[Any, Any]) -> Iterable[str]:
    for severity, arguments in severities.items():
        key = f"{path}.severities.{severity!s}"
        if not _is_name(severity):
            yield f"{key}: must be {_NAME[1]}"
        if arguments is not None and not isinstance(arguments, DictConfig):
            yield f"{key}={arguments!r}: must map arguments of {transform} to their values"
            continue
        kwargs = {str(name): value for name, value in (arguments or {}).items()}
        yield from (f"{key}: {text}" for text in signatures.argument_problems(transform, kwargs))

"""What counts as the same run, and as the same arm: the settings that tell them apart."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ABSENT = "absent"

# Where and how fast a run is computed, who is told and what is compared does not change what it is.
INCIDENTAL = frozenset({
    "experiment", "parallel", "cluster", "threads", "compile",
    "num_workers", "per_class", "shards", "shard", "storage", "verify", "output_dir", "overwrite", "logger", "shift",
    "controls", "compare", "margin", "debug", "captioner", "adapt", "quality",
    "dataset.root", "dataset.on_bad_image", "dataset.on_label_conflict", "dataset.groups", "dataset.prepare._target_",
    "dataset.most_stored_gb",
    "generator.device", "generator.batch_size", "generator.classes",
    "generator.offload", "generator.slicing", "generator.tiling", "generator.compile", "generator.allow_pickle",
    "trainer.accelerator", "trainer.strategy", "trainer.max_time", "trainer.log_every_n_steps",
})  # fmt: skip
SEED, DRAW, REPLICATE = "seed", "generator.draw", "replicate"
IMAGE_FORMAT = "generator.image_format"
_OF_POOL = ("root", "urls", "files", "id")  # keys of generators, each of which has one
_AS_SAMPLED = (None, "png")  # in the place of real images' format
FOLDS, FOLD = "folds", "fold"  # how many, and which of them a run is tested on
SHOTS = "mix.real_per_class"
CAPTIONS, CAPTIONS_FILE = "prompts.content", "prompts.file"  # a hash of what the file holds, and where it is
DEFAULT_PROMPTS = "default"  # the choice of `prompts` that leaves them to the generator

# Settings with which a generator starts from real images of the arm; each may be a node.
GUIDANCE = ("generator.strength", "generator.ip_adapter", "generator.controlnet")
# What decides which real images an arm has, besides its mix.
_REAL_SHARE = (FOLDS, FOLD, "dataset.imbalance", "dataset.imbalance_seed", "dataset.class_counts")

FEEDBACK = "feedback"
_OF_FEEDBACK = ("feedback_rounds", "feedback_epochs")
# What an arm without synthetic images has no use for.
_OF_SYNTHETIC = ("generator.", "prompts.", "screening.", "model.synthetic_weight", FEEDBACK)
# Nodes whose keys are arguments of their target: an absent one has the target's default, which None need not be.
_ARGUMENTS = ("generator.", "model.", "trainer.")


def is_of_mix(key: str) -> bool:
    """Return whether a setting of an arm says which images its runs have, rather than how they are trained on them."""
    return key == REPLICATE or key.startswith(("mix.", *_OF_SYNTHETIC))


def is_argument(key: str) -> bool:
    """Return whether a setting is an argument of a target, which an arm has even where its value is None."""
    return key.startswith(_ARGUMENTS)


def uses(settings: Mapping[str, Any], key: str) -> bool:
    """Return whether a setting could matter to an arm: one of its synthetic images does not where it has none.

    Args:
        settings: of the arm, with dotted keys.
        key: of the setting.
    """
    return has_synthetic(settings) or not key.startswith(_OF_SYNTHETIC)


def has_synthetic(settings: Mapping[str, Any]) -> bool:
    """Return whether an arm has synthetic images, by its settings with dotted keys."""
    return bool(settings.get("mix.synthetic")) or any(
        key == "mix.fill" or key.startswith("mix.fill.") for key, value in settings.items() if value is not None
    )


def image_numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a mix says in numbers of images, by dotted key: shots, or sizes up to which classes are filled.

    Its multiples of the real training set do not measure such an arm. Empty for all others.

    Args:
        settings: of the arm, with dotted keys.
    """
    return {key: value for key, value in settings.items() if key == SHOTS or f"{key}.".startswith("mix.fill.")}


def run_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that make a run what it is, by dotted key.

    Two runs are the same where these are equal: what is incidental, not set, or without effect on the run is left out.

    Args:
        settings: of the run, as `config.yaml` has them.
    """
    flat = _flat(settings)
    without = () if has_synthetic(flat) else _OF_SYNTHETIC
    if not flat.get(DRAW):  # the first draw is that of a set without any
        flat.pop(DRAW, None)
    if flat.get(IMAGE_FORMAT) in _AS_SAMPLED:
        flat.pop(IMAGE_FORMAT, None)
    if flat.get(REPLICATE) == "draw" and without:  # the same as without synthetic images to draw
        flat[REPLICATE] = "images"
    if flat.get(FEEDBACK) is None:
        without = (*without, *_OF_FEEDBACK)
    return {
        key: value
        for key, value in flat.items()
        if not key.startswith(without) and (key.startswith(_ARGUMENTS) or value not in (None, {}))
    }


def arm_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the runs of an arm share, by dotted key: all of a run but its seed and its fold.

    Args:
        settings: of a run, as `config.yaml` has them.
    """
    flat = run_settings(settings)
    of_run = (SEED, FOLD, *([DRAW] if flat.get(REPLICATE) in ("draw", "full") else []))
    return {key: value for key, value in flat.items() if key not in of_run}


def run_seed(settings: Mapping[str, Any]) -> int:
    """Return the seed of a run's weights, order and choice of images: with folds, each fold has one of its own.

    So the folds of one seed tell how much runs differ (`analysis.inference.folds`); all arms have the same.

    Args:
        settings: of the run, as `config.yaml` has them.
    """
    seed: int = settings[SEED]
    if settings.get(FOLD) is None:
        return seed
    return int(hashlib.sha256(f"{seed}\0{settings[FOLD]}".encode()).hexdigest()[:7], 16)


def selection_seed(settings: Mapping[str, Any]) -> int:
    """Return the seed by which a run's real images are chosen.

    Args:
        settings: of the run, as `config.yaml` has them.
    """
    return 0 if settings.get(REPLICATE) == "weights" else run_seed(settings)


def is_guided(settings: Mapping[str, Any]) -> bool:
    """Return whether the generator of a run starts from real images.

    Args:
        settings: of the run, as `config.yaml` has them.
    """
    return _is_guided(_flat(settings))


def _is_guided(flat: Mapping[str, Any]) -> bool:
    names = tuple(f"{name}." for name in GUIDANCE)
    return any(f"{key}.".startswith(names) and value not in (None, {}) for key, value in flat.items())


def share_words(settings: Mapping[str, Any]) -> list[str]:
    """Return the parts of a name that say which real images a run has: their share, and the seed of their choice.

    Args:
        settings: of the run, as `config.yaml` has them.
    """
    return _real_share(settings)[0]


def _real_share(settings: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return what decides the real images of a run: in the parts of a name, and as settings."""
    flat = _flat(settings)
    shots, multiple, is_full = flat.get(SHOTS), flat.get("mix.real", 1), flat.get(REPLICATE) == "full"
    share = {
        key: value
        for key, value in flat.items()
        if value not in (None, {}) and any(f"{key}.".startswith(f"{name}.") for name in _REAL_SHARE)
    }
    share |= {"mix.real": multiple} if shots is None else {SHOTS: shots}
    words = [f"real{multiple:g}" if shots is None else f"shots{shots}"]
    if shots is not None or multiple != 1 or is_full:  # otherwise all have the same ones
        share |= {SEED: selection_seed(settings), "redrawn": is_full}
        words.append(f"seed{0 if flat.get(REPLICATE) == 'weights' else settings[SEED]}")
    return words, share


def arm_folder(settings: Mapping[str, Any]) -> str:
    """Return the name of an arm's folder: its mix, its generator if it has synthetic images, its model, and a hash.

    Args:
        settings: of the arm, from `arm_settings`.
    """
    names = [settings.get(f"{group}.name") for group in ("mix", "generator", "model")]
    return "-".join([*(str(name) for name in names if name is not None), _digest(settings)])


def is_pool(generator: Mapping[str, Any]) -> bool:
    """Return whether a generator's images exist already, and so have neither draws nor prompts.

    Args:
        generator: its settings.
    """
    return any(key in generator for key in _OF_POOL)


def synthetic_set_name(settings: Mapping[str, Any], draw: bool = True) -> str:
    """Return the name of a synthetic set: its generator and prompts, and a hash of all that changes its images.

    A pool of images that exist already has the name of its folder alone, and of the format that they are given. What
    was guided by real images bears their share and the seed of their choice.

    Args:
        settings: of a run, as `config.yaml` has them.
        draw: whether to tell apart the draws of a set, which differ in their noise.
    """
    flat = {key: value for key, value in _flat(settings).items() if key.startswith(("generator.", "prompts."))}
    names = [str(flat.pop("generator.name", "generator")), str(flat.pop("prompts.name", DEFAULT_PROMPTS))]
    number = flat.pop(DRAW, 0)
    if flat.get(IMAGE_FORMAT) in _AS_SAMPLED:
        flat.pop(IMAGE_FORMAT, None)
    parts = [name for name in names if name != DEFAULT_PROMPTS]
    if _is_guided(flat):
        words, share = _real_share(settings)
        parts, flat = [*parts, *words], {**flat, **share}
    if "generator.root" in flat:
        parts += [str(flat[IMAGE_FORMAT])] if IMAGE_FORMAT in flat else []
    else:
        parts.append(_digest({key: value for key, value in flat.items() if value not in (None, {}, [])}))
    return "-".join([*parts, *([f"draw{number}"] if draw and number else [])])


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]


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
    left, right = run_settings(first), run_settings(second)
    pairs = {key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in sorted({*left, *right})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


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
    if flat.get(CAPTIONS):  # wherever they stand
        flat.pop(CAPTIONS_FILE, None)
    return flat

"""An adapter of a generator: on which real images of an arm it is trained, and its folder.

    <output_dir>/adapters/<dataset>/<name>/adapter.json                        images, recipe, loss, versions
    <output_dir>/adapters/<dataset>/<name>/pytorch_lora_weights.safetensors    or one in a folder for each class
    <output_dir>/adapters/<dataset>/<name>/<class>/learned_embeds.safetensors  its word, by textual inversion
    <output_dir>/adapters/<dataset>/<name>/vae/                                the autoencoder, where it was trained

The folder is whole or absent: a training that was stopped lies beside it, in `.<name>`, and goes on from there.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from synthaug.arms import build, mixing, real_share
from synthaug.data.samples import Sample, digest, per_class
from synthaug.environment import hidden_settings
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation.adapter_record import RECORD, AdapterRecord, TrainingImage, read_record
from synthaug.generation.learned_words import LearnedWord, class_tokens
from synthaug.generation.prompts import Prompts, read_prompts
from synthaug.generation.source_images import SourceImages
from synthaug.messages import bullets, plural
from synthaug.runs import identity

log = logging.getLogger(__name__)

ALL = "all"  # the key of an adapter for all classes
_LOSSES = "losses.json"
_RECONSTRUCTION = "reconstruction.json"
_AUTOENCODER = "vae"
_ADAPTERS = ("lora", "lora_per_class", "textual_inversion", "textual_inversion_per_class")  # keys of a generator


@dataclass(frozen=True)
class AdaptationPlan:
    """An adapter that is to be trained.

    Attributes:
        folder: of the adapter.
        sources: the real images.
        prompts: of the classes.
        training: how it is trained, the fields of `generation.adaptation.Recipe`.
        recipe: everything that decides the adapter besides the images.
        is_per_class: whether each class has one of its own.
        words: class → its word, where words are learned.
        description: in words.
    """

    folder: Path
    sources: SourceImages
    prompts: Prompts
    training: Mapping[str, Any]
    recipe: Mapping[str, Any]
    is_per_class: bool
    description: str
    words: Mapping[str, LearnedWord]

    @property
    def parts(self) -> dict[str, list[Sample]]:
        """Class, or `ALL` → the images of its adapter."""
        if self.is_per_class:
            return {name: list(samples) for name, samples in self.sources.by_class.items()}
        return {ALL: [sample for samples in self.sources.by_class.values() for sample in samples]}

    @property
    def generator_keys(self) -> dict[str, Any]:
        """Keys of the generator that uses the adapter."""
        folder = self.folder.absolute()
        autoencoder = {"vae": str(folder / _AUTOENCODER)} if self.training["autoencoder"] else {}
        return autoencoder | self._adapter_keys(folder)

    def _adapter_keys(self, folder: Path) -> dict[str, Any]:
        if self.words:
            entries = {name: {"model": str(folder / name), "token": word.token} for name, word in self.words.items()}
            return {"textual_inversion_per_class": entries}
        if self.is_per_class:
            return {"lora_per_class": {name: str(folder / name) for name in self.sources.by_class}}
        return {"lora": str(folder)}

    def part_folder(self, root: Path, part: str) -> Path:
        """Return where the adapter of a part lies.

        Args:
            root: of the adapter.
            part: a key of `parts`.
        """
        return root / part if self.is_per_class else root


def plan(settings: Mapping[str, Any], generator: Any, prepare: Callable[[], None]) -> AdaptationPlan:
    """Choose the images of an adapter, and check all that can be checked before a model is loaded.

    Args:
        settings: of the run.
        generator: of the run, a `DiffusionGenerator`.
        prepare: has the dataset written.

    Raises:
        UserError: everything that is wrong with the settings, the images or the prompts.
    """
    from synthaug.generation.adaptation import TEXTUAL_INVERSION, Recipe, check_recipe

    options = settings["adapt"]
    recipe = Recipe(**{field.name: options[field.name] for field in fields(Recipe) if field.name != "seed"},
                    seed=identity.run_seed(settings))  # fmt: skip
    check_recipe(recipe)
    if any(getattr(generator, key) for key in _ADAPTERS):
        raise UserError(
            "synthaug.adapt: the generator has adapters already, and an adapter of an adapted model does not fit the "
            "model alone: choose the generator without them (generator.lora=null)."
        )
    prepare()
    output_dir, dataset = Path(settings["output_dir"]), settings["dataset"]
    data = build.read_real(
        dataset, output_dir, build.list_real(dataset, output_dir, _fold(settings)), settings["debug"]
    )
    real = real_share.redrawn(data.real, settings)
    samples = _choose(real_share.select(real, settings), real.classes, options["images_per_class"], settings)
    real_share.require_training_images(samples, real)
    tokens = class_tokens(real.classes) if recipe.method == TEXTUAL_INVERSION else {}
    spoken = Prompts(names=settings["prompts"]["names"]).spoken
    words = {name: LearnedWord(token, recipe.initializer or spoken(name)) for name, token in tokens.items()}
    if words and settings["prompts"]["file"] is not None:
        raise UserError(
            f"adapt.method={recipe.method}, prompts.file={settings['prompts']['file']}: a learned word stands in the "
            "place of the class's name, and a file holds whole prompts: take templates (prompts=default), or a LoRA."
        )
    prompts = read_prompts(settings["prompts"], generator.prompt, tokens)
    prompts.check(real.classes)
    generator.check(real.classes)
    sources = SourceImages(Path(dataset["root"]).expanduser(), per_class(samples, real.classes))
    is_per_class = bool(options["per_class"] or words)
    parts = ["word" if words else "lora", *identity.share_words(settings)]
    name = options["name"] or f"{settings['generator']['name']}-{'-'.join(parts)}"
    description = (
        f"{settings['generator']['name']} adapted to {dataset['name']} by synthaug.adapt: a "
        f"{'word' if words else 'LoRA'} for {'each class' if is_per_class else 'all classes'}, "
        f"{plural(len(samples), 'image')}, {plural(recipe.steps, 'step')}, "
        + (plural(recipe.vectors, "vector") if words else f"rank {recipe.rank}")
    )
    return AdaptationPlan(
        build.images_folder(settings) / "adapters" / dataset["name"] / name,
        sources,
        prompts,
        asdict(recipe),
        {
            "training": asdict(recipe),
            "per_class": is_per_class,
            "words": {name: word.initializer for name, word in words.items()},
            "generator": hidden_settings(generator.settings),
            "prompts": {class_name: prompts.distinct(class_name) for class_name in real.classes},
            "images": digest(samples),
        },
        is_per_class,
        description,
        words,
    )


def _fold(settings: Mapping[str, Any]) -> Any:
    from synthaug.data.split_rule import Fold

    return None if settings.get(identity.FOLD) is None else Fold(settings[identity.FOLDS], settings[identity.FOLD])


def _choose(
    samples: Sequence[Sample], classes: Sequence[str], count: int | None, settings: Mapping[str, Any]
) -> list[Sample]:
    """Return so many images of every class, for the same seed those of fewer among those of more."""
    by_class = per_class(samples, classes)
    least = 1 if count is None else count
    short = [f"{name}: {len(listed)} of {least}" for name, listed in by_class.items() if len(listed) < least]
    if short:
        raise UserError(
            f"adapt.images_per_class={count}: the arm has too few real images (mix={settings['mix']['name']}) in "
            f"{plural(len(short), 'class', 'classes')}:\n{bullets(short)}\n"
            "Lower it, or choose a mix with more real images."
        )
    seed = identity.selection_seed(settings)
    return [sample for listed in by_class.values() for sample in mixing.shuffled(listed, seed)[:count]]


def train(planned: AdaptationPlan, generator: Any) -> None:
    """Train an adapter, unless it exists; go on where a training was stopped.

    Args:
        planned: from `plan`; no other process works in its folder.
        generator: a `DiffusionGenerator`, which is loaded and released.

    Raises:
        UserError: an adapter of another recipe has the same name; what the training raises.
    """
    if (record := read_record(planned.folder)) is not None and (planned.folder / RECORD).is_file():
        _require_same(planned, record.recipe)
        log.info("%s: trained already", planned.folder)
        return
    partial = planned.folder.with_name(f".{planned.folder.name}")
    begun = partial / "recipe.json"
    if partial.exists() and not (begun.is_file() and _same(read_json(begun).get("recipe"), planned.recipe)):
        shutil.rmtree(partial)  # of another recipe
    write_json(begun, {"recipe": planned.recipe})
    from synthaug.generation import adaptation
    from synthaug.generation.image_guidance import sampled_size

    recipe = adaptation.Recipe(**planned.training)
    losses: dict[str, list[float]] = {}
    try:
        origin = generator.provenance()
        pipeline = generator.pipeline
        adaptation.check_pipeline(pipeline, generator.model)
        side = recipe.resolution
        size = sampled_size(pipeline, side or generator.height, side or generator.width)
        reconstruction = (
            _train_autoencoder(planned, generator, partial / _AUTOENCODER, size) if recipe.autoencoder else {}
        )
        for number, (part, samples) in enumerate(planned.parts.items(), start=1):
            folder = planned.part_folder(partial, part)
            finished = folder / _LOSSES
            if not finished.is_file():
                title = "adapting" if part == ALL else f"adapting {part} ({number} of {len(planned.parts)})"
                images = [planned.sources.read(sample) for sample in samples]
                texts = [planned.prompts.prompt(sample.class_name, index) for index, sample in enumerate(samples)]
                curve = adaptation.train_adapter(
                    pipeline, generator.model, images, texts, recipe, folder / "checkpoint.pt", folder, size,
                    generator.crop, title, planned.words.get(part),
                )  # fmt: skip
                write_json(finished, {"losses": _shorten(curve)})
            losses[part] = read_json(finished)["losses"]
    finally:
        generator.unload()
    images_used = [
        TrainingImage(sample.class_name, planned.sources.name(sample), sample.sha256)
        for samples in planned.sources.by_class.values()
        for sample in samples
    ]
    for file in (begun, *partial.rglob(_LOSSES), *partial.rglob(_RECONSTRUCTION)):
        file.unlink()
    write_json(partial / RECORD, AdapterRecord(planned.recipe, images_used, losses, origin, reconstruction).content)
    partial.replace(planned.folder)


def _train_autoencoder(
    planned: AdaptationPlan, generator: Any, folder: Path, size: tuple[int, int]
) -> dict[str, float]:
    """Train the autoencoder of a loaded generator, or take the one that was trained; return how it shows the images."""
    from synthaug.generation import adaptation, autoencoder
    from synthaug.generation.training_loop import OptimizerSettings

    recipe, pipeline, finished = adaptation.Recipe(**planned.training), generator.pipeline, folder / _RECONSTRUCTION
    if finished.is_file():
        network = type(pipeline.vae).from_pretrained(folder)
        pipeline.vae = network.to(pipeline.device, pipeline.vae.dtype)
        return dict(read_json(finished)["reconstruction"])
    images = [planned.sources.read(sample) for samples in planned.sources.by_class.values() for sample in samples]
    rate, title = recipe.autoencoder_lr, "training the autoencoder"
    settings = OptimizerSettings(recipe.autoencoder_steps, rate, "adapt.autoencoder_lr", recipe, title)
    before, after = autoencoder.train_autoencoder(
        pipeline,
        images,
        settings,
        recipe.batch_size,
        recipe.seed,
        folder / "checkpoint.pt",
        folder,
        size,
        generator.crop,
    )
    log.info("the autoencoder was trained: it shows the images with %.1f dB, %.1f before", after, before)
    reconstruction = {"before": round(before, 2), "after": round(after, 2)}
    write_json(finished, {"reconstruction": reconstruction})
    return reconstruction


def _shorten(curve: Sequence[float]) -> list[float]:
    """Return the mean loss of each hundredth of the steps."""
    return [round(float(part.mean()), 5) for part in np.array_split(np.asarray(curve), min(100, len(curve)))]


def _same(recorded: Any, current: Any) -> bool:
    return bool(recorded == json.loads(json.dumps(current)))


def _require_same(planned: AdaptationPlan, recorded: Mapping[str, Any]) -> None:
    current = json.loads(json.dumps(planned.recipe))
    changed = []
    for key in sorted({*recorded, *current}):
        old, new = recorded.get(key), current.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += [
                f"{key}.{name}: recorded {old.get(name)!r}, now {new.get(name)!r}"
                for name in sorted({*old, *new})
                if old.get(name) != new.get(name)
            ]
        elif old != new:
            changed.append(f"{key}: recorded {old!r}, now {new!r}")
    if changed:
        raise UserError(
            f"{planned.folder} holds an adapter of another recipe:\n{bullets(changed)}\n"
            "Give the new one another name with adapt.name=<name>, or move that folder away."
        )

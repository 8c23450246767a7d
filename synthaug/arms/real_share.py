"""The real images of an arm: its own share, which also guides its generator."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.arms import mixing, smoke_test
from synthaug.arms.mixing import Counts, Mix
from synthaug.data import splitting
from synthaug.data.samples import RealImages, Sample, Samples, per_class
from synthaug.errors import UserError
from synthaug.generation.adapter_record import read_records
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.source_images import SourceImages
from synthaug.generation.synthetic_set import Generator, is_guided
from synthaug.messages import bullets, plural
from synthaug.runs import identity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaptedImages:
    """The real images that an adapter of a generator was trained on.

    Attributes:
        folder: of the adapter.
        images: number of them.
        foreign: of which the arm does not have so many.
    """

    folder: str
    images: int
    foreign: int


def redrawn(real: RealImages, settings: Mapping[str, Any]) -> RealImages:
    """Return the dataset of a run: with other validation images, where its seed draws these anew.

    Args:
        real: the dataset.
        settings: of the run.
    """
    return splitting.redraw_validation(real, identity.run_seed(settings)) if settings["replicate"] == "full" else real


def source_images(
    real: RealImages,
    settings: Mapping[str, Any],
    generator: Generator | FolderGenerator,
    announced: set[str] | None = None,
) -> SourceImages | None:
    """Return the real images that guide a generator: those that the arm trains on itself; None if it is not guided.

    What its adapters were trained on is checked as well.

    Args:
        real: the dataset, from `redrawn`.
        settings: of the run.
        generator: of the run.
        announced: what the command has told already.

    Raises:
        UserError: an arm without real images of some class; images of the validation or test set, in its share or among
            those that an adapter was trained on.
    """
    if isinstance(generator, FolderGenerator):
        return None
    _tell_foreign(adapted_images(real, settings, generator), settings, set() if announced is None else announced)
    if not is_guided(generator):
        return None
    mix = Mix.of(settings["mix"])
    # A smoke test has fewer real images than classes.
    samples = select(real, settings, least=int(settings["debug"] and not mix.is_without_real))
    by_class = per_class(samples, real.classes)
    if empty := [class_name for class_name, listed in by_class.items() if not listed]:
        raise UserError(
            f"generator={settings['generator']['name']} starts from real images of the arm, and {mix} has none of "
            f"{', '.join(empty[:5])}{' …' if len(empty) > 5 else ''}: choose a mix with real images, or a generator "
            "without guidance by images."
        )
    require_training_images(samples, real)
    return SourceImages(Path(settings["dataset"]["root"]).expanduser(), by_class)


def select(real: RealImages, settings: Mapping[str, Any], least: int = 0) -> Samples:
    """Return the real images of a run.

    Args:
        real: the dataset, from `redrawn`.
        settings: of the run.
        least: images of every class.

    Raises:
        UserError: the images do not allow the mix.
    """
    mix = Mix.of(settings["mix"])
    if settings["debug"]:
        counts = smoke_test.few_counts(real, mix)
    else:
        counts = mixing.required(real.train, real.classes, mix, real.more)
    alone = {name: Counts(max(count.real, least), 0) for name, count in counts.items()}
    return mixing.select(real.train, [], alone, identity.selection_seed(settings), real.more)


def adapted_images(
    real: RealImages, settings: Mapping[str, Any], generator: Generator | FolderGenerator
) -> tuple[AdaptedImages, ...]:
    """Return what each adapter of a generator was trained on, as far as `synthaug.adapt` has recorded it.

    Args:
        real: the dataset, from `redrawn`.
        settings: of the run.
        generator: of the run.

    Raises:
        UserError: an adapter that saw images of the validation or test set.
    """
    records = read_records(getattr(generator, "adapter_files", ()))
    if not records:
        return ()
    held_out = {sample.sha256: split for split in ("val", "test") for sample in real.splits[split]}
    share = {sample.sha256 for sample in select(real, settings)}
    adapted = []
    for folder, record in records.items():
        leaks = [f"{held_out[image.sha256]}: {image.path}" for image in record.images if image.sha256 in held_out]
        if leaks:
            raise UserError(
                f"The adapter {folder} was trained on {plural(len(leaks), 'image')} of the validation or test set, so "
                f"that its images leak into training:\n{bullets(leaks)}\nTrain one on this arm's images: "
                f"python -m synthaug.adapt mix={settings['mix']['name']} seed={settings['seed']}"
            )
        foreign = sum(image.sha256 not in share for image in record.images)
        adapted.append(AdaptedImages(str(folder), len(record.images), foreign))
    return tuple(adapted)


def _tell_foreign(adapted: Iterable[AdaptedImages], settings: Mapping[str, Any], announced: set[str]) -> None:
    """Warn of adapters that saw more real images than the arm has, once each."""
    for adapter in adapted:
        text = (
            f"mix={settings['mix']['name']} seed={settings['seed']}: the adapter {adapter.folder} was trained on "
            f"{plural(adapter.images, 'real image')}, {adapter.foreign} of which the arm does not have: its result is "
            "that of more real images than it is counted with."
        )
        if adapter.foreign and text not in announced:
            announced.add(text)
            log.warning("%s", text)


def require_training_images(samples: Iterable[Sample], real: RealImages) -> None:
    """Check that no image is one of the validation or test set, by the content of the files.

    Args:
        samples: that a generator learns or starts from.
        real: the dataset.

    Raises:
        UserError: with the images.
    """
    held_out = {sample.sha256: f"{split}: {sample.path}" for split in ("val", "test") for sample in real.splits[split]}
    leaks = [f"{sample.path}  =  {held_out[sample.sha256]}" for sample in samples if sample.sha256 in held_out]
    if leaks:
        raise UserError(
            f"{plural(len(leaks), 'image')} for the generator would be of the validation or test set, so that its "
            f"images leak into training:\n{bullets(leaks)}\nRemove them from the training images."
        )


def is_exact(settings: Mapping[str, Any]) -> bool:
    """Whether a run will have the real images of the list: no file is left out once all are decoded.

    Args:
        settings: of the run.
    """
    dataset = settings["dataset"]
    skips = dataset["on_bad_image"] == "skip" or dataset["on_label_conflict"] == "drop"
    return not skips and not settings["debug"]

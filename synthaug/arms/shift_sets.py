"""The shift sets of a run: which are still to be evaluated, their images, and why some cannot be had.

    <run>/shifts/<name>/predictions.csv     (.npz) the prediction for every image of the set
    <run>/shifts/<name>/result.json         written last: the set is evaluated and never evaluated again

Imports no torch: a command with nothing left to evaluate needs none.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthaug import files
from synthaug.arms import build
from synthaug.arms.shifts import TEST, HeldOut, Shift, ShiftSet, absent_classes, require_unseen
from synthaug.data.folders import Hash
from synthaug.data.hash_cache import HASHES, HashCache
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, Sample, Samples, label_conflicts, per_class
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.synthetic_set import Generator, SyntheticSet, is_guided
from synthaug.messages import bullets, plural
from synthaug.runs import layout
from synthaug.screening.criteria import decode
from synthaug.screening.criterion import RealReferences
from synthaug.screening.screened_images import ScreenedImages
from synthaug.screening.settings import DROP, IGNORE, ScreeningSettings

log = logging.getLogger(__name__)

_HELD_OUT_SCREENING = ScreeningSettings("held-out", test_copies=DROP, train_copies=DROP, duplicates=IGNORE)


def pending(run: Path, shifts: Mapping[str, Shift]) -> dict[str, Shift]:
    """Return the shifts with a set on which a run is still to be evaluated.

    Args:
        run: the run's folder.
        shifts: name → shift.
    """
    return {
        name: shift for name, shift in shifts.items() if not all(is_evaluated(run, item) for item in shift.names(name))
    }


def is_evaluated(run: Path, name: str) -> bool:
    """Whether a run's predictions on a set are complete.

    Args:
        run: the run's folder.
        name: of the set.
    """
    return (layout.shift_folder(run, name) / layout.RESULT).is_file()


def held_out_images(
    settings: Mapping[str, Any],
    dataset: str,
    name: str,
    generator: Generator | FolderGenerator,
    announced: set[str] | None = None,
    training: Sequence[Sample] = (),
) -> SyntheticSet:
    """Return the synthetic images that no arm trains on, of the same generator and prompts but with other seeds.

    Args:
        settings: of the run.
        dataset: its name.
        name: of the set.
        generator: not yet loaded.
        announced: what the command has told already.
        training: real images, whose formats `generator.image_format` may ask for.

    Raises:
        UserError: a pool of existing images, of which any may be trained on; images that are guided by training images.
    """
    if isinstance(generator, FolderGenerator):
        raise UserError(
            f"shift=synthetic: generator.root={generator.root} is a pool of images made elsewhere, any of which an arm "
            "may train on. Keep some in a folder of their own, outside of the pool, and test on that one: "
            "shift=folder shift.folder.root=<folder> shift.folder.origin=synthetic."
        )
    if is_guided(generator):
        raise UserError(
            f"shift=synthetic: generator={settings['generator']['name']} starts from training images, so none of its "
            "images is new to a run: leave the shift set out, or take a generator without guidance by images."
        )
    folder = build.images_folder(settings) / "held_out" / dataset / name
    prompts = build.make_prompts(settings, generator)
    formats = build.matched_formats(settings, folder, training)
    return SyntheticSet(folder, generator, prompts, "held out", announced, formats=formats)


def held_out_source(images: SyntheticSet, real: RealImages, store: PixelStore) -> HeldOut:
    """Return a function that gives the first so many images of each class and generates the missing ones.

    Copies of real images are left out and topped up. No other criterion of a run's screening counts: they depend on the
    arm, and all arms are tested on the same images.

    Args:
        images: from `held_out_images`.
        real: the dataset.
        store: of its pixels.
    """
    references = RealReferences((), Samples.joined((real.train, real.more)), real.val, real.test)
    screened = ScreenedImages(images, _HELD_OUT_SCREENING, references, store)

    def first(count: int) -> list[Sample]:
        screened.ensure(dict.fromkeys(real.classes, count))
        by_class = per_class(screened.samples(real.classes), real.classes)
        return [sample for samples in by_class.values() for sample in samples[:count]]

    return first


def list_sets(
    shifts: Mapping[str, Shift],
    real: RealImages,
    held_out: SyntheticSet | UserError,
    sha256: Hash = files.sha256,
) -> tuple[list[ShiftSet], list[str]]:
    """List the sets, as far as possible without opening or generating an image, and why others cannot be had.

    Args:
        shifts: name → shift, from the configuration.
        real: the dataset.
        held_out: from `held_out_images`, or why there is none.
        sha256: of a file.
    """

    def check_held_out(count: int) -> list[Sample]:
        if isinstance(held_out, UserError):
            raise held_out
        held_out.check(dict.fromkeys(real.classes, count))
        return []

    sets, problems = [], []
    for name, shift in shifts.items():
        try:
            sets += shift.sets(name, real, check_held_out, sha256)
        except UserError as error:
            problems.append(str(error))
    return sets, problems


def describe_changes(run: Path, sets: Iterable[ShiftSet]) -> list[str]:
    """Return which sets differ from those on which a run was evaluated under the same names, and the remedy.

    Args:
        run: the run's folder.
        sets: as they are requested.
    """
    problems = []
    for shift_set in sets:
        folder = layout.shift_folder(run, shift_set.name)
        if not is_evaluated(run, shift_set.name):
            continue
        recorded, requested = read_json(folder / layout.RESULT).get("settings"), shift_set.settings
        if not isinstance(recorded, Mapping):
            problems.append(f"{folder / layout.RESULT} is damaged (it has no settings): move {folder} away.")
            continue
        lines = [
            f"{key}: {_shorten(recorded.get(key))} there, {_shorten(requested.get(key))} now"
            for key in sorted({*recorded, *requested})
            if recorded.get(key) != requested.get(key)
        ]
        if lines:
            problems.append("\n    ".join([f"{folder} holds predictions on another shift set:", *lines, _REMEDY]))
    return problems


_REMEDY = (
    "Give the new set a name of its own (in a YAML, its key or `name`), or move that folder away to have the run "
    "evaluated again."
)


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def prepare_sets(
    run: Path,
    shifts: Mapping[str, Shift],
    dataset: Mapping[str, Any],
    real: RealImages,
    store: PixelStore,
    trained: Iterable[tuple[str, str]],
    held_out: HeldOut,
) -> list[ShiftSet]:
    """Return the sets on which a run is still to be evaluated, decoded, and generated where they were missing.

    Args:
        run: the run's folder.
        shifts: name → shift.
        dataset: the settings of the group `dataset`.
        real: its images.
        store: of their pixels, which takes those of the sets as well.
        trained: (file hash, path) of all images that the run trains on.
        held_out: from `held_out_source`.

    Raises:
        UserError: what `list_sets` returns as problems; files that are not whole images; images seen in training.
    """
    path_of = dict(trained)
    with HashCache(store.folder.parent / HASHES) as hashes:
        sets = [
            shift_set
            for name, shift in pending(run, shifts).items()
            for shift_set in shift.sets(name, real, held_out, hashes.sha256)
        ]
    decoded = [_decode(shift_set, store, dataset) for shift_set in sets if not is_evaluated(run, shift_set.name)]
    for shift_set in decoded:
        require_unseen(shift_set, real, path_of, lambda key: store.place(key).content)
        absent = absent_classes(shift_set, real.classes)
        if absent:
            what = plural(len(absent), "class", "classes")
            log.warning("%s has no image of %s: %s", shift_set.name, what, ", ".join(absent))
    return decoded


def _decode(shift_set: ShiftSet, store: PixelStore, dataset: Mapping[str, Any]) -> ShiftSet:
    """Return the set with its images in the store, without those that are not whole or, if so set, in two classes."""
    bad = decode(store, shift_set.samples)
    build.refuse_bad(bad, dataset)
    samples = [sample for sample in shift_set.samples if sample.path not in bad]
    conflicts: list[Path] = []
    if build.drops_conflicts(dataset) and shift_set.paired_with != TEST:
        conflicts = [sample.path for sample in label_conflicts(samples, store.contents)]
    for lines, what in (
        ([f"{path}: {reason}" for path, reason in sorted(bad.items())], "left out"),
        (list(map(str, conflicts)), "left out, since their images are in more than one class"),
    ):
        if lines:
            log.warning("%s: %s %s:\n%s", shift_set.name, plural(len(lines), "file"), what, bullets(lines))
    samples = [sample for sample in samples if sample.path not in set(conflicts)]
    if not samples:
        raise UserError(f"shift.{shift_set.name}: no usable image is left.")
    return replace(shift_set, samples=samples, clusters=build.clusters(samples, store), label_conflicts=len(conflicts))

"""The further test sets of a run: which there are, which are still to be judged, what stands in the way.

    <run>/shifts/<name>/predictions.csv     the answer to every image of the set
    <run>/shifts/<name>/result.json         written last: the set is judged and never judged again

Imports no torch: a command with nothing left to judge needs none.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthaug.arms import build
from synthaug.arms.shifts import HeldOut, Shift, ShiftedSet, absent_classes, require_unseen
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, Sample, per_class
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.prompts import read_prompts
from synthaug.generation.synthetic_set import Generator, SyntheticSet
from synthaug.messages import bullets, plural
from synthaug.runs import layout

log = logging.getLogger(__name__)


def missing(run: Path, shifts: Mapping[str, Shift]) -> dict[str, Shift]:
    """Those of `shifts` (name → shift) of which a run has a set still to judge."""
    return {name: shift for name, shift in shifts.items() if not all(is_judged(run, own) for own in shift.names(name))}


def is_judged(run: Path, name: str) -> bool:
    """Whether a run's answers to a set are complete."""
    return (layout.shift_folder(run, name) / layout.RESULT).is_file()


def reserve(
    settings: Mapping[str, Any], dataset: str, name: str, generator: Generator | FolderGenerator
) -> SyntheticSet:
    """The synthetic images that no arm trains on, of the same generator and prompts but with other seeds.

    Args:
        settings: of the run.
        dataset: its name.
        name: of the generator with its prompts.
        generator: not yet loaded.

    Raises:
        UserError: a pool of images made elsewhere, of which nobody can say what an arm will leave.
    """
    if isinstance(generator, FolderGenerator):
        raise UserError(
            f"shift=synthetic: generator.root={generator.root} is a pool of images made elsewhere, any of which an arm "
            "may train on. Keep some in a folder of their own, outside of the pool, and test on that one: "
            "shift=folder shift.folder.root=<folder> shift.folder.origin=synthetic."
        )
    folder = Path(settings["output_dir"]) / "held_out" / dataset / name
    return SyntheticSet(folder, generator, read_prompts(settings["prompts"], generator.prompt), series="held out")


def first_images(images: SyntheticSet, classes: Sequence[str]) -> HeldOut:
    """Makes what a set lacks and gives the first so many images of each class, whatever else is there."""

    def made(count: int) -> list[Sample]:
        images.ensure(dict.fromkeys(classes, count))
        by_class = per_class(images.samples(classes), classes)
        return [sample for own in by_class.values() for sample in own[:count]]

    return made


def listed(
    shifts: Mapping[str, Shift], real: RealImages, held_out: SyntheticSet | UserError
) -> tuple[list[ShiftedSet], list[str]]:
    """The sets, as far as that can be known without opening an image or making one, and why others cannot be had.

    Args:
        shifts: name → shift, from the configuration.
        real: the dataset.
        held_out: from `reserve`, or why there is none.
    """

    def known(count: int) -> list[Sample]:
        if isinstance(held_out, UserError):
            raise held_out
        held_out.check(dict.fromkeys(real.classes, count))
        return []

    sets, problems = [], []
    for name, shift in shifts.items():
        try:
            sets += shift.sets(name, real, known)
        except UserError as error:
            problems.append(str(error))
    return sets, problems


def changed(run: Path, sets: Iterable[ShiftedSet]) -> list[str]:
    """Which sets are not those that a run was judged on under the same names, and what to do."""
    found = []
    for one in sets:
        folder = layout.shift_folder(run, one.name)
        if not is_judged(run, one.name):
            continue
        there, here = read_json(folder / layout.RESULT).get("settings", {}), one.settings
        lines = [
            f"{key}: {_short(there.get(key))} there, {_short(here.get(key))} now"
            for key in sorted({*there, *here})
            if there.get(key) != here.get(key)
        ]
        if lines:
            found.append("\n    ".join([f"{folder} holds answers to another test set:", *lines, _ANOTHER_NAME]))
    return found


_ANOTHER_NAME = (
    "Give the new set a name of its own (in a YAML, its key or `name`), or move that folder away to have the run "
    "judged again."
)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def prepare(
    run: Path,
    shifts: Mapping[str, Shift],
    dataset: Mapping[str, Any],
    real: RealImages,
    store: PixelStore,
    trained: Iterable[tuple[str, str]],
    held_out: HeldOut,
) -> list[ShiftedSet]:
    """The sets that a run is still to be judged on, decoded, and made where they were missing.

    Args:
        run: the run's folder.
        shifts: name → shift.
        dataset: the settings of the group `dataset`.
        real: its images.
        store: of their pixels, which takes those of the sets as well.
        trained: (file hash, path) of all images that the run trains on.
        held_out: from `first_images`.

    Raises:
        UserError: what `listed` tells; files that are no whole images; images that the run knows from training.
    """
    known = dict(trained)
    sets = [one for name, shift in missing(run, shifts).items() for one in shift.sets(name, real, held_out)]
    wanted = [_decoded(one, store, dataset) for one in sets if not is_judged(run, one.name)]
    for one in wanted:
        require_unseen(one, real, known, lambda key: store.place(key).content)
        absent = absent_classes(one, real.classes)
        if absent:
            what = plural(len(absent), "class", "classes")
            log.warning("%s has no image of %s: %s", one.name, what, ", ".join(absent))
    return wanted


def _decoded(shifted: ShiftedSet, store: PixelStore, dataset: Mapping[str, Any]) -> ShiftedSet:
    """The set with its images in the store, less those that are none."""
    bad = build.decode(store, shifted.samples)
    build.refuse_bad(bad, dataset)
    if bad:
        listed = bullets([f"{path}: {reason}" for path, reason in sorted(bad.items())])
        log.warning("%s: %s left out:\n%s", shifted.name, plural(len(bad), "file"), listed)
    kept = [sample for sample in shifted.samples if sample.path not in bad]
    if not kept:
        raise UserError(f"shift.{shifted.name}: no whole image is left.")
    return replace(shifted, samples=kept)

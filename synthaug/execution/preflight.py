"""What stands in the way of the runs of a command, found before the first of them begins.

A sweep takes hours: an arm that cannot be run, a folder that belongs to another configuration or a generator that
does not know the classes must not come to light when the arms before it are done. Imports no torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthaug.arms import build, mixing, shift_sets
from synthaug.arms.shifts import Shift, ShiftSet
from synthaug.config.schema import Job, read_settings
from synthaug.data.samples import MORE, SPLITS, RealImages, digest
from synthaug.errors import UserError, raise_all
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.synthetic_set import Generator, SyntheticSet
from synthaug.runs import identity, layout
from synthaug.tracking import run_ids


def refuse(
    jobs: Iterable[Job],
    make_generator: Callable[[Job], Generator | FolderGenerator],
    make_shifts: Callable[[Job], Mapping[str, Shift]] = lambda _: {},
) -> None:
    """Raise everything that would stop one of the jobs.

    Args:
        jobs: the runs that were asked for.
        make_generator: a job's generator, not yet loaded.
        make_shifts: a job's further test sets by name.

    Raises:
        UserError: all of it at once.
    """
    jobs = list(jobs)
    scanned: dict[tuple[str, ...], RealImages | UserError | None] = {}
    sets: dict[str, tuple[list[ShiftSet], list[str]]] = {}
    found: list[str] = []
    others: dict[tuple[str, ...], list[Path]] = {}
    if len(jobs) > 1 and run_ids.is_sweep_trial() and any(job.is_in_wandb for job in jobs):
        found.append(
            f"-m: the trial of a W&B sweep is one run, and this asks for {len(jobs)}; list the mixes and seeds in the "
            "sweep's YAML instead (experiments/wandb/sweep.yaml), or choose another logger with logger=csv."
        )
    for job in jobs:
        dataset = job.settings["dataset"]
        place = tuple(str(dataset.get(key)) for key in ("root", *SPLITS, MORE, "split", "name", "on_bad_image"))
        if place not in scanned:
            scanned[place] = real_images(dataset, Path(job.settings["output_dir"]))
        real = scanned[place]
        if isinstance(real, UserError):
            found.append(str(real))
            real = None
        differing = [] if job.settings["overwrite"] else differences(job, real)
        if differing:
            others.setdefault(tuple(differing), []).append(job.folder)
        found += _impossible(job, real, make_generator) if real else []
        shifts = make_shifts(job) if real else {}
        if real and shifts:
            same = repr((place, job.key.generator, job.settings["shift"]))
            if same not in sets:
                with build.hash_cache(dataset, Path(job.settings["output_dir"])) as hashes:
                    sets[same] = shift_sets.list_sets(shifts, real, _reserve(job, make_generator), hashes.sha256)
            found += sets[same][1] + (
                [] if job.settings["overwrite"] else shift_sets.describe_changes(job.folder, sets[same][0])
            )
    found += [taken(folders, differing) for differing, folders in others.items()]
    raise_all("Nothing was begun:", list(dict.fromkeys(found)))


def real_images(dataset: Mapping[str, Any], output_dir: Path) -> RealImages | UserError | None:
    """The dataset as it lies on disk, or what is wrong with it; None where it will be prepared on the way.

    Images that are to be split are split here, so that no run begins on a folder that cannot be.
    """
    if dataset["prepare"] and not Path(dataset["root"]).expanduser().exists():
        return None
    try:
        return build.list_real(dataset, output_dir).real
    except UserError as error:
        return error


def differences(job: Job, real: RealImages | None) -> list[str]:
    """In what the run that a job's folder holds is another one than the job; empty where there is none.

    An attempt that failed before its first epoch has nothing to lose: its settings may be mended.

    Args:
        job: the run that was asked for.
        real: its dataset, to be compared with the one that a finished run was made with; None leaves that out.
    """
    folder, settings = job.folder, job.folder / layout.CONFIG
    begun = any((folder / name).is_file() for name in (layout.RESULT, layout.CHECKPOINT, layout.LAST))
    found = identity.describe_differences(read_settings(settings), job.recorded) if begun and settings.is_file() else []
    if real is not None and (folder / layout.RESULT).is_file():
        there = read_json(folder / layout.RESULT)["data"].get("scanned", {})
        found += [
            f"dataset.root={job.settings['dataset']['root']}: its {split} images are not those of that run"
            for split, samples in real.splits.items()
            if there and there.get(split) != digest(samples)
        ]
    return found


def taken(folders: Sequence[Path], differing: Iterable[str]) -> str:
    """What to tell the user of folders that belong to other runs, all in the same way."""
    held, them = "holds a run of another configuration:", "the earlier run"
    if len(folders) > 1:
        rest = len(folders) - 1
        held = f"and {rest} other folder{'s' if rest > 1 else ''} of this study hold runs of another configuration:"
        them = "the earlier runs"
    return (
        "\n    ".join([f"{folders[0]} {held}", *differing])
        + f"\n    Give this study a name of its own with experiment=<name>, or set {them} aside with overwrite=true."
    )


def _impossible(job: Job, real: RealImages, make_generator: Callable[[Job], Generator | FolderGenerator]) -> list[str]:
    """Why the images at hand do not make the mix, and why the missing ones could not be generated."""
    mix = job.settings["mix"]
    try:
        wanted = mixing.required(real.train, real.classes, mix["real"], mix["synthetic"], real.more)
        if mix["synthetic"] > 0 and not (job.folder / layout.RESULT).is_file():
            generator = make_generator(job)
            synthetic = build.synthetic_images(job.settings, job.key.dataset, job.key.generator, generator)
            synthetic.check({name: count.synthetic for name, count in wanted.items()})
    except UserError as error:
        return [str(error)]
    return []


def _reserve(job: Job, make_generator: Callable[[Job], Generator | FolderGenerator]) -> SyntheticSet | UserError:
    try:
        return shift_sets.held_out_images(job.settings, job.key.dataset, job.key.generator, make_generator(job))
    except UserError as error:
        return error

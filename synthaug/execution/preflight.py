"""Pre-flight checks of all requested runs, before the first of them begins.

A sweep takes hours: an arm that cannot be run, a folder that belongs to another configuration or a generator that
does not know the classes must not come to light when the arms before it are done. What needs torch comes last.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from synthaug.arms import build, real_share, shift_sets, smoke_test
from synthaug.arms.mixing import Mix
from synthaug.arms.shifts import Shift, ShiftSet
from synthaug.config.command_line import resuming_command
from synthaug.config.job import Job
from synthaug.config.naming import read_recorded
from synthaug.data.samples import RealImages
from synthaug.data.splitting import Divided
from synthaug.errors import UserError, raise_all, underlying
from synthaug.execution import clusters, datasets, factory, networks, parallelism, record_groups, sweep_time
from synthaug.execution.datasets import LONG_TAIL, dataset_key
from synthaug.execution.networks import Inspection
from synthaug.execution.parallelism import Machine
from synthaug.execution.session import DatasetKey, Session, is_first_process
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.synthetic_set import Generator, SyntheticSet
from synthaug.messages import plural
from synthaug.runs import discovery, identity, layout, planning, study_commands
from synthaug.runs.budget import images_per_epoch
from synthaug.terminal import printable
from synthaug.tracking import run_ids

log = logging.getLogger(__name__)

Scans = dict[DatasetKey, Divided | UserError | None]
MakeGenerator = Callable[[Job], Generator | FolderGenerator]


def check_and_plan(session: Session, jobs: Sequence[Job]) -> None:
    """Check runs and add them to the plans of their studies; the first of several processes does it for all.

    Args:
        session: of the command, which keeps the scans of the datasets.
        jobs: its runs.

    Raises:
        UserError: everything that would stop one of them.
    """
    if any(job.settings[key] is not None for job in jobs for key in ("shard", "shards")):
        raise UserError("shard and shards are of python -m synthaug.generate: this command trains; leave them out.")
    if not is_first_process():
        return
    for study in sorted({job.study for job in jobs if job.settings["debug"]}):
        smoke_test.clear(study)
        print(f"debug=true: a few images and two epochs, to see that everything works, in {study}")
    raise_all("No run was started:", clusters.cluster_problems(jobs) if session.is_sweep else [])
    check_runs(jobs, session.scans, announced=session.announced)
    inspection = Inspection([], {})
    if session.is_local or not session.is_sweep:  # or they run on other machines, which may have other devices
        inspection = _inspect(session, [job for job in jobs if not is_complete(job)])
    for study in sorted({job.study for job in jobs}):
        runs = [job for job in jobs if job.study == study]
        settings = runs[-1].settings
        plan = planning.plan(study, [job.planned for job in runs], settings["margin"], comparisons(settings))
        study_commands.record(study, resuming_command(session.command, sys.argv[1:]), [job.key for job in runs])
        names = plan.names
        for job in runs:
            job.arm = names[job.planned.arm]
    for job in {(job.study, job.key.dataset): job for job in jobs}.values():
        if isinstance(scan := session.scans.get(dataset_key(job)), Divided):
            record_groups.record_groups(job, scan.real)
    if session.is_expanded and len(jobs) > 1:
        concurrency = session.concurrency or parallelism.ONE
        if extent := sweep_time.extent(jobs, inspection.loads, inspection.device, concurrency):
            print(printable(extent))  # Hydra sets up the log with the first run


def _inspect(session: Session, pending: Sequence[Job]) -> Inspection:
    """Build networks and trainers once, and choose how many runs work at a time.

    Where the runs have processes of their own, this one does without torch: the first of those builds the networks.
    """
    in_workers = session.is_sweep and parallelism.starts_workers(pending, session.may_be_parallel)
    with_classes = [(job, _classes(session, job)) for job in pending]
    if in_workers:
        from synthaug.execution import worker_pool

        worker_pool.preload_libraries(pending)
        # It ends with the command where a network is refused: folders appear whole, or not at all.
        preparation = threading.Thread(target=datasets.decode_unwritten, args=(session, pending), daemon=True)
        preparation.start()
        inspection = worker_pool.call_in_worker_process(networks.inspect, with_classes)
    else:
        inspection = networks.inspect(with_classes)
    raise_all("No run was started:", inspection.problems)
    if in_workers:
        preparation.join()
    machine, text = Machine.current(inspection.devices), ""
    if in_workers:
        session.devices = inspection.devices
        if pending[0].settings["parallel"] != parallelism.AUTO and machine.devices:  # several runs on one
            free = worker_pool.call_in_worker_process(parallelism.free_device_memory, machine.devices)
            machine = Machine.current(machine.devices, free)
        session.concurrency, text = parallelism.choose(pending, list(inspection.loads.values()), machine)
    elif pending and not session.is_sweep:
        text = parallelism.hint(pending[0].settings, machine)
    if text:
        print(printable(text))
    return inspection


def comparisons(settings: Mapping[str, Any]) -> str | list[list[str]]:
    """Return the pairs of arms that a configuration names, as text: 64 is a number to YAML."""
    compare = settings["compare"] or []
    return compare if isinstance(compare, str) else [[str(name) for name in pair] for pair in compare]


def _comparison_problems(jobs: Sequence[Job]) -> Iterator[str]:
    """Report pairs of arms that a study does not have."""
    for study in sorted({job.study for job in jobs}):
        runs = [job for job in jobs if job.study == study]
        yield from planning.check_comparisons([job.planned for job in runs], study, comparisons(runs[-1].settings))


def check_runs(
    jobs: Sequence[Job],
    scans: Scans | None = None,
    make_generator: MakeGenerator = factory.make_generator,
    make_shifts: Callable[[Job], Mapping[str, Shift]] = factory.make_shifts,
    announced: set[str] | None = None,
) -> None:
    """Raise everything that would stop one of the requested runs.

    Args:
        jobs: the runs.
        scans: gets the images of each dataset, so that they are listed and hashed once.
        make_generator: gives a run's generator, not yet loaded.
        make_shifts: gives a run's shifts by name.
        announced: what the command has told already.

    Raises:
        UserError: all of it at once.
    """
    scans = {} if scans is None else scans
    announced = set() if announced is None else announced
    sets: dict[str, tuple[list[ShiftSet], list[str]]] = {}
    problems = [*_trial_problems(jobs), *_name_problems(jobs), *_long_tail_problems(jobs), *_wandb_problems(jobs)]
    problems += [*_comparison_problems(jobs), *_captioner_problems(jobs)]
    grouped: set[tuple[DatasetKey, str | None]] = set()  # of which the groups of images were checked
    mixes: dict[str, dict[str, None]] = {}  # why they cannot be had → arms
    conflicts: dict[tuple[str, ...], list[Path]] = {}
    for job in jobs:
        key = dataset_key(job)
        if key not in scans:
            scans[key] = scan_dataset(job)
        scan = scans[key]
        if isinstance(scan, UserError):
            problems.append(str(scan))
        real = scan.real if isinstance(scan, Divided) else None
        differing = [] if job.settings["overwrite"] else differences(job, real)
        if differing:
            conflicts.setdefault(tuple(differing), []).append(job.folder)
        if real is None:
            continue
        group_key = (key, job.settings["dataset"].get("groups"))
        if group_key not in grouped:
            grouped.add(group_key)
            problems += _group_problems(job, real)
        if reason := _mix_problem(job, real, make_generator, announced):
            mixes.setdefault(reason, {})[job.settings["mix"]["name"]] = None
        if shifts := make_shifts(job):
            shift_key = repr((key, job.held_out_set, job.settings["shift"]))
            if shift_key not in sets:
                held_out = _held_out(job, real, make_generator, announced)
                sets[shift_key] = _list_shift_sets(job, shifts, real, held_out)
            listed, wrong = sets[shift_key]
            problems += wrong
            if not job.settings["overwrite"]:
                problems += shift_sets.describe_changes(job.folder, listed)
    problems += [f"mix={','.join(arms)}: {reason}" for reason, arms in mixes.items()]
    problems += [taken_message(folders, differing) for differing, folders in conflicts.items()]
    raise_all("No run was started:", list(dict.fromkeys(problems)))


def _captioner_problems(jobs: Sequence[Job]) -> list[str]:
    names = {job.settings["captioner"]["name"] for job in jobs if job.settings.get("captioner")}
    return [
        f"captioner={name}: python -m synthaug.caption writes captions, and this command uses them with prompts=file "
        "prompts.file=<file>"
        for name in sorted(names)
    ]


def _list_shift_sets(
    job: Job, shifts: Mapping[str, Shift], real: RealImages, held_out: SyntheticSet | UserError
) -> tuple[list[ShiftSet], list[str]]:
    with build.hash_cache(job.settings["dataset"], job.output_dir) as hashes:
        return shift_sets.list_sets(shifts, real, held_out, hashes.sha256)


def is_complete(job: Job) -> bool:
    """Whether a run is trained and tested, and shall stay."""
    return not job.settings["overwrite"] and (job.folder / layout.RESULT).is_file()


def _classes(session: Session, job: Job) -> list[str]:
    """Return the classes of a run's dataset; any two where it is yet to be written."""
    scan = session.scans.get(dataset_key(job))
    return scan.real.classes if isinstance(scan, Divided) else ["a", "b"]


def _trial_problems(jobs: Sequence[Job]) -> list[str]:
    if len(jobs) > 1 and run_ids.is_sweep_trial() and any(job.is_in_wandb for job in jobs):
        remedy = "list the mixes and seeds in experiments/wandb/sweep.yaml, or choose another logger with logger=csv"
        return [f"-m: the trial of a W&B sweep is one run, and this requests {len(jobs)}; {remedy}."]
    return []


def _wandb_problems(jobs: Sequence[Job]) -> list[str]:
    is_needed = any(job.is_in_wandb and not is_complete(job) for job in jobs)
    return run_ids.environment_problems() if is_needed else []


def _name_problems(jobs: Sequence[Job]) -> Iterator[str]:
    """Report datasets of one name in several folders: their runs, splits and pixels would share folders."""
    roots: dict[tuple[Path, str], dict[Path, str]] = {}
    for job in jobs:
        root = job.settings["dataset"]["root"]
        by_place = roots.setdefault((job.output_dir, job.key.dataset), {})
        by_place.setdefault(Path(root).expanduser().resolve(), root)
    for (_, name), by_place in roots.items():
        if len(by_place) > 1:
            yield (
                f"dataset.root={','.join(by_place.values())}: both are called {name}, and their runs would share "
                "folders; start one command for each, with dataset.name=<another name> for all but one."
            )


def _long_tail_problems(jobs: Sequence[Job]) -> Iterator[str]:
    """Report several real training sets in a study: its arms are measured by one of them."""
    for study in sorted({job.study for job in jobs}):
        requested = [job.planned for job in jobs if job.study == study]
        cuts: dict[str, dict[str, None]] = {}
        for run in (*planning.read_plan(study).runs, *requested):
            cuts.setdefault(run.key.dataset, {})[_cut(run.settings)] = None
        for name in {run.key.dataset for run in requested}:
            if len(cuts[name]) > 1:
                yield (
                    f"dataset={name}: all arms of a study have one real training set, and {study} would have several "
                    f"({'; '.join(cuts[name])}); give each a study of its own, with experiment=<name>."
                )


def _cut(settings: Mapping[str, Any]) -> str:
    """Return by which settings an arm's real training set has fewer images than the dataset, or others in each fold."""
    cut = [
        f"{key}={value}"
        for key, value in sorted(settings.items())
        if key == identity.FOLDS or any(f"{key}.".startswith(f"dataset.{name}.") for name in LONG_TAIL)
    ]
    return " ".join(cut) or "whole"


def _group_problems(job: Job, real: RealImages) -> list[str]:
    try:
        record_groups.check_groups(job, real)
    except UserError as error:
        return [str(error)]
    return []


def scan_dataset(job: Job) -> Divided | UserError | None:
    """Return the images of a run's dataset, or what is wrong with them; None where it is yet to be written.

    Images that are to be split are split here, so that no run begins on a folder that cannot be.
    """
    dataset = job.settings["dataset"]
    if dataset["prepare"] and not Path(dataset["root"]).expanduser().exists():
        return None
    try:
        if not is_complete(job):  # whether the folder holds what is asked for, which is known at once where it exists
            build.prepare(dataset, instantiate)
        return build.list_real(dataset, job.output_dir, job.fold)
    except InstantiationException as error:
        cause = underlying(error)
        if isinstance(cause, UserError):
            return cause
        raise
    except UserError as error:
        return error


def differences(job: Job, real: RealImages | None) -> list[str]:
    """Return in what the run in a job's folder differs from the job; empty where there is none.

    An attempt that failed before its first epoch has nothing to lose: its settings may be changed.

    Args:
        job: the requested run.
        real: its dataset, to be compared with the one that a finished run was made with; None leaves that out.
    """
    folder, requested = job.folder, json.loads(json.dumps(job.recorded))
    result = read_json(folder / layout.RESULT) if (folder / layout.RESULT).is_file() else {}
    names = (layout.RESULT, layout.CHECKPOINT, layout.LAST, layout.PREVIOUS)
    begun = any((folder / name).is_file() for name in names)
    lines = []
    if (folder / layout.RESULT).is_file():
        discovery.check_result(result, folder)
    if "settings" in result:
        lines += identity.describe_differences(result["settings"], requested)
    elif begun and not (folder / layout.CONFIG).is_file():
        lines.append(f"its {layout.CONFIG} is gone, so nothing says which")
    elif begun:
        lines += identity.describe_differences(read_recorded(folder / layout.CONFIG), requested)
    if real is not None and result:
        recorded = result["data"].get("scanned", {})
        lines += [
            f"dataset.root={job.settings['dataset']['root']}: its {split} images are not those of that run"
            for split, digest in real.digests.items()
            if recorded and recorded.get(split) != digest
        ]
    return lines


def taken_message(folders: Sequence[Path], differing: Iterable[str]) -> str:
    """Return the message on folders that hold runs of other configurations, all in the same way.

    Args:
        folders: of the requested runs.
        differing: in what the runs in them differ.
    """
    rest = plural(len(folders) - 1, "other folder of this study holds", "other folders of this study hold")
    verb = "holds" if len(folders) == 1 else f"and {rest}"
    remedy = "Give this study a name of its own with experiment=<name>, or set such runs aside with overwrite=true."
    return "\n    ".join([f"{folders[0]} {verb} a run of another configuration:", *differing, remedy])


def _mix_problem(job: Job, real: RealImages, make_generator: MakeGenerator, announced: set[str]) -> str:
    """Return why the images at hand do not make the mix, or the missing ones could not be generated."""
    mix = job.settings["mix"]
    try:
        counts = build.mix_counts(real, mix)
        if job.settings["debug"]:  # an impossible mix is one in a smoke test as well
            counts = build.mix_counts(real, mix, debug=True)
        images_per_epoch(job.settings, len(real.train), sum(count.synthetic for count in counts.values()))
        if Mix.of(mix).has_synthetic and not is_complete(job):
            generator = make_generator(job)
            split = real_share.redrawn(real, job.settings)
            sources = real_share.source_images(split, job.settings, generator, announced)
            images = build.synthetic_images(
                job.settings,
                job.key.dataset,
                job.synthetic_set,
                generator,
                announced,
                sources if real_share.is_exact(job.settings) else None,
                real.train,
            )
            store = build.pixel_store(job.settings["dataset"], job.output_dir)
            synthetic = build.screened_images(images, job.settings, split, store)
            synthetic.check({name: count.synthetic for name, count in counts.items()})
    except UserError as error:
        return str(error)
    return ""


def _held_out(
    job: Job, real: RealImages, make_generator: MakeGenerator, announced: set[str]
) -> SyntheticSet | UserError:
    try:
        return shift_sets.held_out_images(
            job.settings, job.key.dataset, job.held_out_set, make_generator(job), announced, real.train
        )
    except UserError as error:
        return error

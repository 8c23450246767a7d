"""Train one arm, or with -m one arm for each choice, and compare them.

    python -m synthaug.train -m mix=real,55,64,73,82

Configuration stops here: below this file are plain constructors with plain arguments.
"""

import datetime
import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from synthaug.arms import build, shift_sets
from synthaug.arms.shifts import Shift, ShiftSet
from synthaug.config import schema, sweep, sweep_controls
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, Sample
from synthaug.errors import UserError, disk_is_full, explain, underlying
from synthaug.execution import preflight
from synthaug.files import write_json, write_text
from synthaug.messages import plural
from synthaug.runs import contents, layout, planning
from synthaug.tracking import run_ids

if TYPE_CHECKING:  # imports torch, which a finished run and a typo do without
    from pytorch_lightning.loggers import Logger

log = logging.getLogger(__name__)

_asked: list[schema.Job] = []  # the runs of this command
_unfinished: list[str] = []  # labels of the runs that this command could not bring to their end
_announced: set[str] = set()  # datasets of which this command has said what they can show
_not_written: dict[str, UserError] = {}  # datasets that this command could not have written, and why


class RefusedError(UserError):
    """The folder belongs to another run, or another process: nothing is written into it."""


def main() -> None:
    """Check everything, run what is not finished, compare.

    Exits 0 when every run is finished, 1 when one failed, 2 when the command or the configuration is wrong, 130 on
    Ctrl-C.
    """
    sys.argv[1:] = sweep.as_hydra_takes(sys.argv[1:])
    try:
        schema.register()
        sys.argv[1:] = sweep_controls.with_controls(sys.argv[1:])
        jobs = sweep.jobs_of(sys.argv[1:]) or []
        studies = sorted({job.study for job in jobs})
        if _is_first_process():
            preflight.refuse(jobs, lambda job: _made("generator", job), _shifts)
            for study in studies:
                own = [job for job in jobs if job.study == study]
                planning.plan(study, [job.planned for job in own], own[-1].settings["margin"])
        _asked.extend(jobs)
        _hydra_main()
        if not _is_first_process():
            return
        complete = [_compare(study) for study in studies] if sweep.is_sweep(sys.argv[1:]) else []
        for study in studies:
            if hint := run_ids.upload_hint(study):
                print(hint)
        sys.exit(0 if all(complete) and not _unfinished else 1)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # outside of a run: while images are compared and split, which may take minutes
        print("Interrupted; the same command begins again.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # outside of a run: the plan, or the report
        if not disk_is_full(error):
            raise
        print(explain(error), file=sys.stderr)
        sys.exit(1)


@hydra.main(config_path=str(schema.CONF), config_name="config", version_base=schema.VERSION_BASE)
def _hydra_main(composed: DictConfig) -> None:
    """One run. In a sweep its failure is written down and the next run begins; alone it ends the command."""
    job = schema.job_of(composed, HydraConfig.get())
    try:
        run(job)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into SystemExit
        log.warning("%s: interrupted. What is finished stays; the same command goes on from here.", job.key.label)
        sys.exit(130)
    except Exception as error:
        _unfinished.append(job.key.label)
        _record_failure(job, underlying(error))
        if HydraConfig.get().mode != hydra.types.RunMode.MULTIRUN:
            sys.exit(1)


def run(job: schema.Job) -> None:
    """Bring one run to its end: skip it if finished, resume it if begun, refuse it if it is another one's folder."""
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_first_process():  # the first one holds the lock, has claimed the folder, and talks
        logging.getLogger("synthaug").setLevel(logging.WARNING)
        if (folder / layout.RESULT).is_file():
            _judge_finished(job)
        else:
            _train(job)
        return
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise RefusedError(f"Another process is working on {folder}: wait for it, or stop it.") from None
    with held:
        if not _claim(job):
            _train(job)
        elif not _judge_finished(job):
            log.info("%s: finished before, nothing to do (%s)", job.key.label, folder)


def _claim(job: schema.Job) -> bool:
    """Make the folder this run's own; True if the run is finished.

    Raises:
        RefusedError: the folder holds a run of another configuration.
    """
    overwrite = job.settings["overwrite"]
    output_dir = Path(job.settings["output_dir"])
    real = preflight.real_images(job.settings["dataset"], output_dir) if overwrite else None
    differing = preflight.differences(job, None if isinstance(real, UserError) else real)
    if differing and overwrite:
        log.warning("%s: the earlier run is kept as %s", job.key.label, layout.set_aside(job.folder))
    elif differing:  # since the command began, or under a sweeper that decides as it goes
        raise RefusedError(preflight.taken([job.folder], differing))
    if (job.folder / layout.RESULT).is_file():
        return True
    write_text(job.folder / layout.CONFIG, OmegaConf.to_yaml(OmegaConf.create(job.recorded)))
    return False


def _train(job: schema.Job) -> None:
    """Images, network, training, test; everything heavy is imported here, once the images are known to be fine."""
    arm = _build_arm(job)
    sets = _further_sets(job, arm.real, arm.store, [(sample.sha256, str(sample.path)) for sample in arm.train])
    from synthaug.training import fit, lightning_rules

    lightning_rules.quiet_libraries()
    counts = arm.counts
    log.info("%s: %d real and %d synthetic images", job.key.label, counts["real"], counts["synthetic"])
    loggers: list[Logger] = []
    failed = True
    try:
        _open_loggers(job, loggers)
        summary = fit.fit_and_test(
            job.folder,
            job.key,
            job.recorded,
            arm,
            loggers,
            make_model=lambda **given: _made("model", job, **given),
            make_trainer=lambda **given: _made("trainer", job, **given),
        )
        failed = False
    finally:
        if loggers:
            from synthaug.tracking import loggers as tracking

            tracking.close(loggers, failed)
    log.info("%s: %s", job.key.label, summary)
    _judge(job, sets, arm.real, arm.store)


def _judge_finished(job: schema.Job) -> bool:
    """Judge a finished run on the further test sets that it was not judged on yet; False where there is none."""
    if not shift_sets.pending(job.folder, _shifts(job)):
        return False
    _prepare(job.settings["dataset"])
    data = build.read_real(job.settings["dataset"], Path(job.settings["output_dir"]))
    trained = [(row.sha256, row.path) for row in contents.read_mix(job.folder)]
    sets = _further_sets(job, data.real, data.store, trained)
    from synthaug.training import lightning_rules

    lightning_rules.quiet_libraries()
    _judge(job, sets, data.real, data.store)
    return True


def _further_sets(
    job: schema.Job, real: RealImages, store: PixelStore, trained: list[tuple[str, str]]
) -> list[ShiftSet]:
    """The test sets of the group `shift` that the run is still to be judged on; tried before anything is trained."""
    missing = shift_sets.pending(job.folder, _shifts(job))
    if not missing:
        return []

    def held_out(per_class: int) -> list[Sample]:
        made = shift_sets.held_out_images(job.settings, job.key.dataset, job.key.generator, _made("generator", job))
        return shift_sets.held_out_source(made, real.classes)(per_class)

    sets = shift_sets.prepare_sets(job.folder, missing, job.settings["dataset"], real, store, trained, held_out)
    from synthaug.training import evaluation

    evaluation.check_corruptions(sets, job.settings, store)
    return sets


def _judge(job: schema.Job, sets: list[ShiftSet], real: RealImages, store: PixelStore) -> None:
    if not sets:
        return
    from synthaug.training import evaluation

    log.info("%s: judged on %s", job.key.label, plural(len(sets), "further test set"))
    evaluation.evaluate(
        job.folder,
        job.settings,
        sets,
        real.classes,
        store,
        make_model=lambda **given: _made("model", job, **given),
        make_trainer=lambda **given: _made("trainer", job, **given),
    )


def _shifts(job: schema.Job) -> dict[str, Shift]:
    """Name → further test sets, as the group `shift` names them."""
    nodes = job.settings["shift"] or {}
    return {
        str(node.get("name") or key): instantiate(schema.called(node), _convert_="all") for key, node in nodes.items()
    }


def _build_arm(job: schema.Job) -> build.Arm:
    settings = job.settings
    output_dir = Path(settings["output_dir"])
    _prepare(settings["dataset"])
    data = build.read_real(settings["dataset"], output_dir)
    _announce(job, len(data.real.test))
    generator = _made("generator", job)
    synthetic = build.synthetic_images(settings, job.key.dataset, job.key.generator, generator)

    def check() -> None:
        """A network that cannot be built or take the images should not be found out after hours of generating."""
        from synthaug.training import lightning_rules

        lightning_rules.quiet_libraries()
        model = _made("model", job, classes=data.real.classes, seed=settings["seed"])
        model.check_image_size(settings["dataset"]["image_size"])
        trainer = _made("trainer", job, logger=False, enable_checkpointing=False)
        lightning_rules.require_whole_evaluation(trainer)
        lightning_rules.require_fine_tuning(model, trainer)

    siblings = [
        (other.planned.real, other.planned.synthetic)
        for other in _asked
        if (other.key.dataset, other.key.generator) == (job.key.dataset, job.key.generator)
    ]
    return build.build(data, settings["mix"], settings["seed"], synthetic, siblings, check)


def _announce(job: schema.Job, n_test: int) -> None:
    """Say once per dataset, before anything is trained on it, which difference its arms can show."""
    name = job.key.dataset
    runs = [other.key for other in _asked if other.key.dataset == name]
    if name in _announced or len({key.arm for key in runs}) < 2 or not _is_first_process():
        return
    _announced.add(name)
    from synthaug.analysis.inference import power_analysis
    from synthaug.analysis.text import power_text

    seeds, margin = len({key.seed for key in runs}), job.settings["margin"] / 100
    expected = power_analysis.expect(n_test, seeds, margin)
    log.log(logging.INFO if expected.shows else logging.WARNING, "%s: %s", name, power_text.announcement(expected))


def _prepare(dataset: dict[str, Any]) -> None:
    """Have a dataset written; where it cannot be had, the next runs need not wait for the same answer."""
    key = repr((dataset["root"], dataset["prepare"]))
    if key in _not_written:
        raise _not_written[key]
    try:
        build.prepare(dataset, instantiate)
    except Exception as error:
        reason = underlying(error)
        if isinstance(reason, UserError):
            _not_written[key] = reason
        raise


def _made(group: str, job: schema.Job, **given: Any) -> Any:
    """What a group of the configuration names, made; values that it refuses are named with the group."""
    try:
        return instantiate(schema.called(job.settings[group]), **given)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if group == "trainer" or isinstance(cause, (ValueError, TypeError)):
            raise UserError(f"{group}: {cause}") from error
        raise


def _open_loggers(job: schema.Job, opened: "list[Logger]") -> None:
    """Open the loggers one by one into `opened`, so that those before a failing one can be closed."""
    for node in (job.settings["logger"] or {}).values():
        from synthaug.tracking import loggers as tracking

        given = tracking.logger_arguments(node["_target_"], job.key.label, job.study, job.folder)
        opened.append(instantiate(node, **given))


def _record_failure(job: schema.Job, error: Exception) -> None:
    """Say what happened, on the screen and in the run's folder, where the report looks for it."""
    message = explain(error)
    log.error("%s failed: %s", job.key.label, message)
    if not isinstance(error, UserError) and not disk_is_full(error):
        log.error("%s", "".join(traceback.format_exception(error)))
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        if not isinstance(error, RefusedError) and not (job.folder / layout.RESULT).is_file():
            job.folder.mkdir(parents=True, exist_ok=True)
            failure = {"error": message, "type": type(error).__name__, "when": when}
            write_json(job.folder / layout.FAILED, failure)
    except OSError as second:  # the disk is full, most likely: the screen has it
        log.error("%s: the failure could not be written down (%s)", job.key.label, second)


def _compare(study: Path) -> bool:
    """Print the comparison of a study, write its files, show it in W&B where its runs are; True if all are finished."""
    from synthaug.analysis.pipeline import show_report

    report = show_report(study)
    if any(job.study == study and job.is_in_wandb for job in _asked):
        from synthaug.tracking import summary_run

        summary_run.publish(report, again=False)
    return report.comparison.complete


def _is_first_process() -> bool:
    """False in the further processes of a distributed run, which share the folder with the first."""
    import os

    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_PROCID", "RANK"))


if __name__ == "__main__":
    main()

"""One command from its command line to its runs.

A sweep is expanded, composed and checked here, by order of the sweeper (`hydra_plugins.synthaug_sweeper`), before its
first run begins. A single run, or one that another sweeper has chosen, is checked when Hydra hands it over.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from synthaug.config import schema, sweep
from synthaug.config.command_help import CommandHelp
from synthaug.config.command_line import normalize_argv
from synthaug.config.compose import Composer
from synthaug.config.job import Job, build_job, typed_keys, without_hydra
from synthaug.config.sweep import Combination
from synthaug.config.targets import RefusedConfigurationError
from synthaug.config.validation import validate
from synthaug.errors import UserError, raise_all
from synthaug.execution.processor import limit_threads
from synthaug.files import why_not_writable
from synthaug.terminal import printable

if TYPE_CHECKING:  # numpy and Pillow, which a wrong key does without
    from synthaug.data.splitting import Divided
    from synthaug.execution.parallelism import Concurrency

DatasetKey = tuple[str, ...]


# Defaults of a session: functions of a module, since sessions are pickled.


def no_check(session: "Session", jobs: Sequence[Job]) -> None:
    """Find nothing wrong with any run.

    Args:
        session: of the command.
        jobs: its runs.
    """


def _never(job: Job) -> bool:
    return False


def _all_of(session: "Session", jobs: Sequence[Job]) -> Sequence[Job]:
    return jobs


class Session:
    """The runs of one command and what has happened to them so far; Hydra's task function.

    Launchers of other processes pickle it, so it holds plain data, and `execute` and `check` are functions of modules.

    Args:
        execute: brings one run to its end.
        check: called with runs before any of them begins; raises `UserError` with all that is wrong with them.
        is_finished: whether a run has nothing left to do; called after `check`.
        train_together: brings those of a sweep's runs to their end that are trained in one go, and returns the others.
        command_help: what --help prints; None: Hydra's.
        launch: brings runs of a sweep to their end that need not follow one another, and returns the others.

    Attributes:
        jobs: overrides of a run → the run, of all that were checked.
        is_sweep: whether several runs were requested.
        is_expanded: whether `jobs` are all of them, as a sweeper of ours finds before the first begins.
        is_local: whether they run on this machine, started by this process.
        may_be_parallel: whether they may run beside each other, as `launch` does it.
        concurrency: how many run at a time, each in a process of its own, as `check` has chosen it; None: this process
            runs them.
        devices: how many GPUs these processes share out among them.
        scans: dataset → its images in their splits, why it cannot be used, or None where it is yet to be written.
        announced: what was told once: datasets of which the power was announced, prompts.
        unwritable: datasets that could not be written → why.
        failed: labels of the runs that could not be brought to their end.
    """

    def __init__(
        self,
        execute: "Callable[[Session, Job], None]",
        check: "Callable[[Session, Sequence[Job]], None]" = no_check,
        is_finished: "Callable[[Job], bool]" = _never,
        command_help: CommandHelp | None = None,
        train_together: "Callable[[Session, Sequence[Job]], Sequence[Job]]" = _all_of,
        launch: "Callable[[Session, DictConfig, Sequence[Combination]], list[Combination]] | None" = None,
    ) -> None:
        self._execute = execute
        self._check = check
        self._is_finished = is_finished
        self._help = command_help
        self._train_together = train_together
        self._launch = launch
        self._refusal: UserError | None = None
        self.jobs: dict[Combination, Job] = {}
        self.is_sweep = self.is_expanded = self.is_local = self.may_be_parallel = False
        self.concurrency: Concurrency | None = None
        self.devices = 0
        self.scans: dict[DatasetKey, Divided | UserError | None] = {}
        self.announced: set[str] = set()
        self.unwritable: dict[str, UserError] = {}
        self.failed: list[str] = []

    def run(self) -> None:
        """Read `sys.argv` and let Hydra do what it says.

        Raises:
            UserError: everything that is wrong with the command or its configuration.
        """
        command_line = normalize_argv(sys.argv[1:])
        sys.argv[1:] = command_line.argv
        schema.register()
        if self._help and command_line.wants_help and not command_line.has_other_config:
            print(self._help.text(command_line.config_dir))
            return
        os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra would print its errors itself, and exit
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # or the hub's library would print each of its attempts
        # Configurations are many small objects that stay: looking for garbage among them takes a tenth of the time.
        gc.disable()
        try:
            sweep.check_before_hydra(command_line)
            hydra.main(config_path=str(schema.CONF), config_name="config", version_base=schema.VERSION_BASE)(self)()
        except Exception as error:
            if isinstance(error, UserError) and not isinstance(error, RefusedConfigurationError):
                raise
            if not self.jobs and not command_line.has_other_config:
                # Says what is wrong, if it is the configuration.
                sweep.requested_jobs(command_line, error if isinstance(error, HydraException) else None)
            raise
        finally:
            gc.enable()
        if self._refusal:
            raise self._refusal

    def prepare_sweep(self, master: DictConfig, overrides: Sequence[str]) -> list[list[str]]:
        """Expand a sweep and check all its runs at once; return the overrides of each run that is not finished.

        Args:
            master: the configuration without what is swept over.
            overrides: of the command line.

        Raises:
            UserError: everything that is wrong with the runs.
        """
        self.is_sweep = self.is_expanded = True
        launcher = str(master.hydra.launcher._target_).rpartition(".")[2]
        self.is_local = launcher in ("BasicLauncher", "StudyLauncher") and not master.cluster
        # Callbacks are Hydra's to call, around each run that it carries out itself.
        self.may_be_parallel = launcher == "StudyLauncher" and self._launch is not None and not master.hydra.callbacks
        composer = Composer(list(master.hydra.overrides.hydra), master.hydra.job.config_name)
        jobs = sweep.sweep_jobs(composer, overrides, master, announce=lambda line: print(printable(line)))
        self._admit(jobs)
        pending = {combination: job for combination, job in jobs.items() if not self._is_finished(job)}
        if self.is_local or master.cluster:
            gc.enable()
            configure_log(master.hydra.job_logging, master.hydra.verbose)  # as for the first run
        if self.is_local:  # or the runs are for other machines
            remaining = {job.folder for job in self._train_together(self, list(pending.values()))}
            pending = {combination: job for combination, job in pending.items() if job.folder in remaining}
        return [list(combination) for combination in pending]

    def launch(self, config: DictConfig, runs: Iterable[Sequence[str]]) -> list[list[str]]:
        """Bring runs of a sweep to their end beside each other; return those that are to run one after the other.

        Args:
            config: of the sweep.
            runs: overrides of each.
        """
        combinations = [tuple(run) for run in runs]
        if self._launch and self.may_be_parallel:
            gc.enable()
            combinations = self._launch(self, config, combinations)
        return [list(combination) for combination in combinations]

    def __call__(self, config: DictConfig) -> None:
        """Bring the run that Hydra has composed to its end."""
        node = HydraConfig.get()
        overrides = tuple(node.overrides.task)
        if overrides not in self.jobs:
            try:
                self._admit({overrides: self._validated_job(config, node)})
            except UserError as error:  # raised again by `run`: Hydra would print the overrides with it
                self._refusal = error
                return
        gc.enable()
        self.execute(self.jobs[overrides])

    def execute(self, job: Job) -> None:
        """Bring a run to its end, with the threads of its configuration."""
        limit_threads(job.settings["threads"])
        self._execute(self, job)

    def _validated_job(self, config: DictConfig, node: Any) -> Job:
        """Return the run of a configuration that no sweep of ours has checked."""
        plain = without_hydra(config)
        problems = validate(plain, typed_keys(node))
        if node.mode == RunMode.MULTIRUN:
            self.is_sweep = True
            problems += [sweep.controls_under_sweeper(node.sweeper._target_)] if config.controls else []
        else:
            problems += sweep.unswept_problems(node, config.controls, node.overrides.task)
        sweep.raise_configuration_problems(problems)
        return build_job(plain, node)

    @property
    def command(self) -> str:
        """What was typed before the overrides."""
        return f"python -m synthaug.{self._help.name if self._help else 'train'}"

    def _require_cluster(self) -> None:
        """Raise UserError where runs would stay on this machine although a cluster is asked for."""
        if self._launch is None:
            raise UserError("cluster: this command works on this machine alone; leave cluster out.")
        if not self.is_sweep:
            raise UserError(
                "cluster sends the runs of a sweep (-m), or shards of a synthetic set (shards=<n>): add -m, also for a "
                "single run, or leave cluster out."
            )
        if not (self.is_expanded and self.may_be_parallel):
            raise UserError(
                "cluster cannot be combined with another launcher or sweeper of Hydra's, or with its callbacks; leave "
                "one of them out."
            )

    def _admit(self, jobs: dict[Combination, Job]) -> None:
        if any(job.settings["cluster"] for job in jobs.values()):
            self._require_cluster()
        _require_writable(jobs.values())
        limit_threads(max(job.settings["threads"] for job in jobs.values()))  # before numpy and torch are imported
        self._check(self, list(jobs.values()))
        for job in jobs.values():
            job.study.mkdir(parents=True, exist_ok=True)
        self.jobs |= jobs


def _require_writable(jobs: Iterable[Job]) -> None:
    """Raise UserError where the folders of runs, or of what they share, cannot be written into."""
    folders = {
        (folder, job.settings["output_dir"])
        for job in jobs
        for name in ("splits", "pixels", "synthetic")
        for folder in (job.folder, job.output_dir / name / job.key.dataset)
    }
    reasons = {f"output_dir={name}: {reason}" for folder, name in folders if (reason := why_not_writable(folder))}
    if reasons:
        remedy = "choose another folder with output_dir=<folder>"
        raise_all("Nothing can be written:", [f"{reason}; {remedy}" for reason in sorted(reasons)])


def is_first_process() -> bool:
    """Return False in the further processes of a distributed run, which share the folder with the first."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_PROCID", "RANK"))

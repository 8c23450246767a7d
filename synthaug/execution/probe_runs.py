"""Runs that train the head of a frozen network alone, brought to their end together.

What the network sees of the images is computed once for all of them, and kept; the heads are trained in one go. A run
by itself goes the same way, with the same result.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.arms import build, shift_sets
from synthaug.config.job import Job
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages
from synthaug.errors import UserError
from synthaug.execution import datasets, processor, runner
from synthaug.execution.factory import make_group, make_shifts, open_loggers
from synthaug.execution.probe_rule import trains_head_alone
from synthaug.execution.session import Session, is_first_process
from synthaug.messages import plural
from synthaug.runs import layout

if TYPE_CHECKING:  # imports torch, which a finished run and a typo do without
    from pytorch_lightning import Trainer
    from pytorch_lightning.loggers import Logger

    from synthaug.arms.shifts import ShiftSet
    from synthaug.features.frozen_network import FrozenNetwork
    from synthaug.models.classifier import Classifier
    from synthaug.training.head_training import Head
    from synthaug.training.probe_evaluation import HeadEvaluation
    from synthaug.training.probe_run import ProbeRun, Trained

log = logging.getLogger(__name__)

MOST_RUNS = 256  # runs whose images are listed, and whose folders are locked, at once


def execute(session: Session, job: Job) -> None:
    """Bring one run to its end, in its way.

    Args:
        session: of the command.
        job: the run.
    """
    for remaining in train_together(session, [job]):
        runner.execute(session, remaining)


def train_together(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """Bring the runs that train a head alone to their end; return the others.

    Args:
        session: of the command.
        jobs: its runs that are not finished.
    """
    alike: dict[str, list[Job]] = {}
    if is_first_process():
        for job in jobs:
            if trains_head_alone(job.settings):
                shared = (str(job.study), job.key.dataset, job.key.fold, job.settings["model"], job.settings["trainer"])
                alike.setdefault(repr((*shared, job.settings["dataset"]["image_size"])), []).append(job)
    trained: set[Path] = set()
    for members in alike.values():
        with _threads():
            for start in range(0, len(members), MOST_RUNS):
                together = members[start : start + MOST_RUNS]
                if _train(session, together):
                    trained |= {job.folder for job in together}
    return [job for job in jobs if job.folder not in trained]


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    """Let PyTorch use all cores: no other run is trained meanwhile, and heads do not depend on the number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads, processor.available_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(session: Session, jobs: Sequence[Job]) -> bool:
    """Train runs of one frozen network; False where it has no linear head on features that do not change."""
    from synthaug.features import frozen_network
    from synthaug.training import hardware, lightning_rules

    lightning_rules.quiet_libraries()
    hardware.allow_tf32()
    settings = jobs[0].settings
    try:
        classes = datasets.read_real(session, jobs[0]).real.classes
        classifier: Classifier = make_group(jobs[0], "model", classes=classes, seed=settings["seed"])
        trainer: Trainer = make_group(jobs[0], "trainer", logger=False, enable_checkpointing=False)
        classifier.check_image_size(settings["dataset"]["image_size"])
        lightning_rules.require_whole_evaluation(trainer)
        lightning_rules.require_fine_tuning(classifier, trainer)
    except UserError:
        return False  # what each of them says, one by one, and records
    device = trainer.strategy.root_device
    network = frozen_network.separate(classifier, settings["dataset"]["image_size"], device, str(trainer.precision))
    if network is None:
        return False
    with contextlib.ExitStack() as stack:
        _ProbeTraining(session, classifier, trainer, network).run(jobs, stack)
    return True


class _ProbeTraining:
    """The training of runs that share a frozen network.

    Args:
        session: of the command.
        classifier: with the settings of the runs.
        trainer: likewise.
        network: what is frozen of the classifier.
    """

    def __init__(
        self, session: Session, classifier: "Classifier", trainer: "Trainer", network: "FrozenNetwork"
    ) -> None:
        self.session = session
        self.classifier = classifier
        self.trainer = trainer
        self.network = network
        self.datasets: dict[str, build.RealData] = {}
        self.evaluations: list[tuple[Job, HeadEvaluation]] = []
        self.runs: list[tuple[Job, ProbeRun, list[ShiftSet]]] = []

    def run(self, jobs: Sequence[Job], stack: contextlib.ExitStack) -> None:
        """Bring runs to their end.

        Args:
            jobs: the runs.
            stack: holds the locks of their folders.
        """
        for job in jobs:
            with runner.recorded_failure(self.session, [job]):
                self._prepare(job, stack)
        trained: list[Trained] = []
        if self.runs:
            with runner.recorded_failure(self.session, [job for job, *_ in self.runs]):
                trained.append(self._train_heads())
        width = max(len(job.label) for job in self.session.jobs.values()) + 1
        for result in trained:
            for (job, run, sets), head in zip(self.runs, result.heads, strict=True):
                with runner.recorded_failure(self.session, [job]):
                    log.info("%s %s", f"{job.label}:".ljust(width), self._finish(job, run, head, result))
                    if sets:
                        self.evaluations.append((job, self._evaluation(job, run.arm.real, run.arm.store, sets)))
        if self.evaluations:
            with runner.recorded_failure(self.session, [job for job, _ in self.evaluations]):
                self._evaluate()

    def _prepare(self, job: Job, stack: contextlib.ExitStack) -> None:
        """List the images of a run, and have those generated that are missing."""
        from synthaug.training.probe_run import ProbeRun

        job.folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(runner.locked(job.folder))
        if runner.claim(self.session, job):
            if not shift_sets.pending(job.folder, make_shifts(job)):
                log.info("%s", runner.finished_message(job))
            elif self.network.wrote(job.folder / layout.CHECKPOINT):
                data = self._read_real(job)
                sets = runner.lacking_shift_sets(self.session, job, data)
                self.evaluations.append((job, self._evaluation(job, data.real, data.store, sets)))
            else:
                runner.evaluate_finished(self.session, job)
            return
        arm = runner.build_arm_of(self.session, job, self._read_real(job))
        listed = [(sample.sha256, sample.file) for sample in arm.train]
        sets = runner.pending_shift_sets(self.session, job, arm.real, arm.store, listed)
        is_logged = bool(job.settings["logger"])
        self.runs.append((job, ProbeRun(job.folder, job.key, job.arm, job.recorded, arm, is_logged), sets))

    def _read_real(self, job: Job) -> build.RealData:
        """Return the dataset of a run, read once for all of them: they begin within minutes."""
        settings = repr((job.settings["dataset"], job.settings["debug"], datasets.dataset_key(job)))
        if settings not in self.datasets:
            self.datasets[settings] = datasets.read_real(self.session, job)
        return self.datasets[settings]

    def _evaluation(
        self, job: Job, real: RealImages, store: PixelStore, sets: "Sequence[ShiftSet]"
    ) -> "HeadEvaluation":
        from synthaug.training.probe_evaluation import HeadEvaluation

        log.info("%s: evaluating %s", job.label, plural(len(sets), "shift set"))
        return HeadEvaluation(job.label, job.folder, job.settings["dataset"], real.classes, store, sets)

    def _evaluate(self) -> None:
        """Evaluate the heads of finished runs on shift sets."""
        from synthaug.training import probe_evaluation
        from synthaug.training.provenance import provenance

        folder = build.images_folder(self.evaluations[0][0].settings) / "features"
        heads = [evaluation for _, evaluation in self.evaluations]
        probe_evaluation.evaluate_heads(heads, self.network, folder, provenance(self.trainer))

    def _train_heads(self) -> "Trained":
        from synthaug.training.probe_run import train_runs
        from synthaug.training.provenance import provenance

        job, *_ = self.runs[0]
        runs = [run for _, run, _ in self.runs]
        folder = build.images_folder(job.settings) / "features"
        return train_runs(
            runs, self.classifier, self.network, folder, job.settings["trainer"]["max_epochs"], provenance(self.trainer)
        )

    def _finish(self, job: Job, run: "ProbeRun", head: "Head", trained: "Trained") -> str:
        """Write the files of a run, and log it."""
        loggers: list[Logger] = []
        failed = True
        try:
            open_loggers(job, loggers)
            summary = run.finish(head, trained, loggers)
            failed = False
        finally:
            if loggers:
                from synthaug.tracking import loggers as tracking

                tracking.close(loggers, failed)
        return summary

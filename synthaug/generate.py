"""Make the synthetic images that a mix needs, without training anything.

python -m synthaug.generate mix=82
python -m synthaug.generate per_class=1000 generator=sd15 dataset=imagefolder dataset.root=photos
"""

import logging
import sys

from hydra.utils import instantiate

from synthaug.config.job import Job
from synthaug.errors import UserError, explain, underlying
from synthaug.execution.factory import make_generator
from synthaug.execution.session import Session

log = logging.getLogger(__name__)


def main() -> None:
    """Check the configuration, then generate. Exits 2 when the configuration is wrong, 1 when generating failed."""
    try:
        Session(execute).run()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def execute(session: Session, job: Job) -> None:
    """Generate for one run; end the command where that fails.

    Args:
        session: of the command.
        job: the run.
    """
    try:
        generate(job)
    except KeyboardInterrupt:
        log.warning("Interrupted. The images made so far stay; the same command resumes.")
        sys.exit(130)
    except Exception as error:
        cause = underlying(error)
        if not isinstance(cause, (UserError, OSError)):
            raise
        log.error("%s", explain(cause))
        sys.exit(1)


def generate(job: Job) -> None:
    """Bring the synthetic set of the job's dataset and generator to what its mix, or `per_class`, requests."""
    from synthaug.arms import build, mixing

    settings = job.settings
    build.prepare(settings["dataset"], instantiate)
    real = build.read_real(settings["dataset"], job.output_dir).real
    per_class, mix = settings["per_class"], settings["mix"]
    if per_class is None and mix["synthetic"] == 0:
        raise UserError(f"mix={mix['name']} has no synthetic images: choose another (mix=82) or give per_class=<n>.")
    if per_class is not None:
        needed = dict.fromkeys(real.classes, per_class)
    else:
        counts = mixing.required(real.train, real.classes, mix["real"], mix["synthetic"], real.more)
        needed = {name: count.synthetic for name, count in counts.items()}
    synthetic = build.synthetic_images(settings, job.key.dataset, job.key.generator, make_generator(job))
    generated = synthetic.ensure(needed)
    log.info("%d images generated, %d existed: %s", generated, sum(needed.values()) - generated, synthetic.folder)


if __name__ == "__main__":
    main()

"""Make the synthetic images that a mix needs, without training anything.

python -m synthaug.generate mix=82
python -m synthaug.generate per_class=1000 generator=sd15 dataset=imagefolder dataset.root=photos
"""

import logging
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from synthaug.config import schema, sweep
from synthaug.errors import UserError, explain, underlying

log = logging.getLogger(__name__)


def main() -> None:
    """Check the configuration, then generate. Exits 2 when the configuration is wrong, 1 when generating failed."""
    sys.argv[1:] = sweep.as_hydra_takes(sys.argv[1:])
    try:
        schema.register()
        sweep.jobs_of(sys.argv[1:])
        _hydra_main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


@hydra.main(config_path=str(schema.CONF), config_name="config", version_base=schema.VERSION_BASE)
def _hydra_main(composed: DictConfig) -> None:
    job = schema.job_of(composed, HydraConfig.get())
    try:
        generate(job)
    except KeyboardInterrupt:
        log.warning("Interrupted. The images made so far stay; the same command goes on from here.")
        sys.exit(130)
    except Exception as error:
        cause = underlying(error)
        if not isinstance(cause, (UserError, OSError)):
            raise
        log.error("%s", explain(cause))
        sys.exit(1)


def generate(job: schema.Job) -> None:
    """Bring the synthetic set of the job's dataset and generator to what its mix, or `per_class`, asks for."""
    from synthaug.arms import build, mixing

    settings = job.settings
    build.prepare(settings["dataset"], instantiate)
    real = build.read_real(settings["dataset"], Path(settings["output_dir"])).real
    per_class, mix = settings["per_class"], settings["mix"]
    if per_class is None and mix["synthetic"] == 0:
        raise UserError(f"mix={mix['name']} has no synthetic images: choose another (mix=82) or give per_class=<n>.")
    if per_class is not None:
        wanted = dict.fromkeys(real.classes, per_class)
    else:
        counts = mixing.required(real.train, real.classes, mix["real"], mix["synthetic"], real.more)
        wanted = {name: count.synthetic for name, count in counts.items()}
    generator = instantiate(schema.called(settings["generator"]))
    synthetic = build.synthetic_images(settings, job.key.dataset, job.key.generator, generator)
    made = synthetic.ensure(wanted)
    log.info("%d images made, %d were there: %s", made, sum(wanted.values()) - made, synthetic.folder)


if __name__ == "__main__":
    main()

"""A run's logger of W&B from its beginning to its end, in a process that has not imported wandb before."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from pytorch_lightning.loggers import WandbLogger

    from synthaug.tracking import loggers

    study = Path(sys.argv[1])
    logger = WandbLogger(**loggers.logger_arguments("WandbLogger", "real-seed0", study, study / "run"))
    assert logger.experiment.id
    loggers.close([logger], failed=False)

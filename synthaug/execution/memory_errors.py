"""What a run is told to do where its memory is full, or the system has ended a process of its own."""

import traceback
from pathlib import Path

from synthaug.config.job import Job
from synthaug.errors import UserError, underlying
from synthaug.execution.parallelism import Concurrency
from synthaug.execution.probe_rule import trains_head_alone

_LOADER = "dataloader.py"  # of PyTorch


def with_next_step(error: Exception, job: Job, concurrency: Concurrency | None) -> Exception:
    """Return what ended a run; a full memory or a killed process as an error that names the next step.

    The tensors of a run whose memory is full are released.

    Args:
        error: as it was raised.
        job: the run.
        concurrency: how many runs work at a time; None: this one alone.
    """
    cause = underlying(error)
    if _is_of_lost_reader(cause):
        readers, reason = job.settings["num_workers"], " ".join(str(cause).split()).rstrip(".")
        return UserError(
            f"A process that reads the run's images has ended ({reason}), as the system does where memory runs out. "
            f"The same command goes on from the last whole epoch; fewer than num_workers={readers} need less, and 0 "
            "none, with the same result."
        )
    if isinstance(cause, (UserError, OSError)):
        return cause
    from synthaug.generation.memory import is_out_of_memory, release_memory

    if not is_out_of_memory(cause):
        return cause
    traceback.clear_frames(error.__traceback__)  # hold tensors, and other runs may share the device
    release_memory()
    return _out_of_memory(cause, job, concurrency.runs if concurrency else 1)


def _is_of_lost_reader(error: Exception) -> bool:
    """Whether a process of a data loader was killed: PyTorch says so, or the connection to it ends."""
    if isinstance(error, RuntimeError):
        return str(error).startswith("DataLoader worker (pid")
    is_lost = isinstance(error, (ConnectionError, EOFError, FileNotFoundError)) and not str(error).startswith("Caught ")
    return is_lost and any(_LOADER in Path(frame.filename).parts for frame in traceback.extract_tb(error.__traceback__))


def _out_of_memory(cause: Exception, job: Job, workers: int) -> UserError:
    settings = job.settings
    batch, side = settings["batch_size"], settings["dataset"]["image_size"]
    steps = [f"parallel={workers - 1} has fewer runs share it, with the same results"] if workers > 1 else []
    if batch > 1 and not trains_head_alone(settings):
        steps.append(f"batch_size={batch // 2} halves what a step takes, and makes other arms")
    steps.append(f"so do a smaller network than model.backbone={settings['model'].get('backbone')} and images of less "
                 f"than dataset.image_size={side}")  # fmt: skip
    reason = " ".join(str(cause).split()) or type(cause).__name__
    return UserError(f"Out of memory ({reason:.200}). {'; '.join(steps)}. Then run the same command again.")

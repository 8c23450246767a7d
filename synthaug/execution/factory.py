"""What the groups of a run's configuration name, instantiated."""

from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from synthaug.arms.shifts import Shift
from synthaug.config.job import Job
from synthaug.config.schema import target_kwargs
from synthaug.errors import UserError

if TYPE_CHECKING:  # imports torch, which a finished run and a typo do without
    from pytorch_lightning.loggers import Logger


def make_group(job: Job, group: str, **kwargs: Any) -> Any:
    """Instantiate what a group names.

    Args:
        job: the run.
        group: "generator", "model" or "trainer".
        kwargs: arguments that the program itself passes.

    Raises:
        UserError: a value that the target refuses, named with its group.
    """
    node = target_kwargs(job.settings[group])
    if group == "trainer":
        from synthaug.training import hardware

        node = hardware.trainer_settings(node)
    try:
        return instantiate(node, _convert_="all", **kwargs)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if group == "trainer" or isinstance(cause, (ValueError, TypeError)):
            raise UserError(f"{group}: {cause}{_remedy(group, cause)}") from error
        raise


def _remedy(group: str, cause: BaseException | None) -> str:
    lacks = group == "trainer" and "backend" in str(cause)
    return " trainer=auto takes what the machine has, trainer=cpu the processor." if lacks else ""


def make_generator(job: Job) -> Any:
    """Return the generator of a run, not yet loaded."""
    return make_group(job, "generator")


def make_shifts(job: Job) -> dict[str, Shift]:
    """Return name → shift, as the group `shift` names them."""
    nodes = job.settings["shift"] or {}
    return {
        str(node.get("name") or key): instantiate(target_kwargs(node), _convert_="all") for key, node in nodes.items()
    }


def open_loggers(job: Job, opened: "list[Logger]") -> None:
    """Open the loggers of a run one by one.

    Args:
        job: the run.
        opened: gets each as soon as it is open, so that those before a failing one can be closed.
    """
    for node in (job.settings["logger"] or {}).values():
        from synthaug.tracking import loggers, tolerant

        kwargs = loggers.logger_arguments(node["_target_"], job.label, job.study, job.folder)
        opened.append(tolerant.open_logger(partial(instantiate, node), kwargs, job.label))

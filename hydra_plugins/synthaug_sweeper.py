"""The sweeper of synthaug, where Hydra looks for plugins: it hands the overrides to the session of the command.

Hydra accepts sweepers from the namespace package `hydra_plugins` alone, hence this module outside of `synthaug`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from synthaug.execution.session import Session


@dataclass
class StudySweeperConf:
    """The choice `hydra/sweeper=study`, which `conf/config.yaml` makes.

    Attributes:
        params: what a study sweeps over: key → values, comma separated.
        max_batch_size: runs handed to the launcher at once; None: all.
    """

    _target_: str = "hydra_plugins.synthaug_sweeper.StudySweeper"
    params: dict[str, str] | None = None
    max_batch_size: int | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=StudySweeperConf, provider="synthaug")


class StudySweeper(Sweeper):
    """Launch the runs that the session of the command has expanded, composed and checked, all before the first."""

    config: "DictConfig"
    launcher: "Launcher"
    session: "Session"

    def __init__(self, params: dict[str, str] | None = None, max_batch_size: int | None = None) -> None:
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: "HydraContext", task_function: "TaskFunction", config: "DictConfig") -> None:
        self.config = config
        self.session = task_function  # type: ignore[assignment]
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        runs = self.session.prepare_sweep(self.config, arguments)
        size = self.max_batch_size or max(len(runs), 1)
        results: list[Any] = []
        for start in range(0, len(runs), size):
            results += self.launcher.launch(runs[start : start + size], initial_job_idx=start)
        return [result.return_value for result in results]  # raises where a launcher lost a run

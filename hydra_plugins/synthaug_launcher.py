"""The launcher of synthaug, where Hydra looks for plugins: runs beside each other, or one by one as Hydra has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from synthaug.execution.session import Session


@dataclass
class StudyLauncherConf:
    """The choice `hydra/launcher=study`, which `conf/config.yaml` makes; `parallel` says how many runs at a time."""

    _target_: str = "hydra_plugins.synthaug_launcher.StudyLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="study", node=StudyLauncherConf, provider="synthaug")


class StudyLauncher(Launcher):
    """Have the session of the command carry out the runs, and those that it leaves Hydra's own launcher."""

    config: "DictConfig"
    session: "Session"
    one_by_one: Any

    def setup(self, *, hydra_context: "HydraContext", task_function: "TaskFunction", config: "DictConfig") -> None:
        self.config = config
        self.session = task_function  # type: ignore[assignment]
        basic = next(kind for kind in Plugins.instance().discover(Launcher) if kind.__name__ == "BasicLauncher")
        self.one_by_one = basic()
        self.one_by_one.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence["JobReturn"]:
        left = self.session.launch(self.config, job_overrides)
        results: Sequence[JobReturn] = self.one_by_one.launch(left, initial_job_idx) if left else []
        return results

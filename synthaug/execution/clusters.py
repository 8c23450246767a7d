"""The resources of a run in a cluster (`conf/cluster/`), and checks that runs can be submitted."""

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.utils import instantiate

from synthaug.config.job import Job
from synthaug.config.schema import target_kwargs
from synthaug.execution import partitions
from synthaug.execution.partitions import Nodes
from synthaug.messages import join_words, suggest


@dataclass(frozen=True)
class Slurm:
    """Options of each run's Slurm job; None leaves an option to the cluster.

    Attributes:
        partition: of the nodes, as account, qos and constraint: see the manual of sbatch.
        account: that is charged.
        qos: quality of service.
        constraint: features of the nodes.
        gpus: of a run.
        cpus: of a run.
        memory_gb: of a run.
        timeout_min: minutes after which a job is stopped, and queued again.
        warning_s: seconds before that in which it ends cleanly.
        max_requeues: how often a run is queued again.
        array_parallelism: jobs at a time.
        setup: shell commands before the run.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: int = 1
    cpus: int = 2
    memory_gb: float | None = None
    timeout_min: int = 720
    warning_s: int = 120
    max_requeues: int = 20
    array_parallelism: int = 256
    setup: Sequence[str] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The options as parameters of submitit."""
        named = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus_per_node": self.gpus or None,
            "cpus_per_task": self.cpus,
            "mem": None if self.memory_gb is None else f"{round(1024 * self.memory_gb)}MB",
            "time": self.timeout_min,
            "signal_delay_s": self.warning_s,
            "array_parallelism": self.array_parallelism,
            "setup": list(self.setup) or None,
            "additional_parameters": {"requeue": True},
        }
        return {name: value for name, value in named.items() if value is not None}

    def problems(self) -> list[str]:
        """Return why nothing can be sent there from this machine."""
        missing = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
        reasons = [f"there is no {', '.join(missing)} on PATH: type the command on a login node"] if missing else []
        if self.warning_s >= 60 * self.timeout_min:
            reasons.append(f"cluster.warning_s={self.warning_s} is no less than {self.timeout_min} minutes; lower it")
        reasons += [] if missing else node_problems(self, partitions.listed())
        return [*_package_problems("submitit", "slurm"), *reasons]


@dataclass(frozen=True)
class Ray:
    """What each run is as a task of Ray.

    Attributes:
        address: of a cluster that runs; None: one is started on this machine.
        cpus: of a run.
        gpus: of a run; None: 1 where the cluster has any.
        memory_gb: of a run.
    """

    address: str | None = None
    cpus: float = 1
    gpus: float | None = None
    memory_gb: float | None = None

    def options(self, cluster: Mapping[str, float]) -> dict[str, float]:
        """Return the same in the words of Ray.

        Args:
            cluster: what it has, by the names of Ray.
        """
        gpus = float(bool(cluster.get("GPU"))) if self.gpus is None else self.gpus
        memory = {} if self.memory_gb is None else {"memory": self.memory_gb * 1e9}
        return {"num_cpus": self.cpus, "num_gpus": gpus, **memory}

    def problems(self) -> list[str]:
        """Return why nothing can be sent there from this machine."""
        return _package_problems("ray", "ray")


def node_problems(request: Slurm, nodes: Sequence[Nodes]) -> list[str]:
    """Return what no node can give: a job that asks for it would be refused, or wait for ever.

    Args:
        request: for each run.
        nodes: of the cluster; without any, nothing is known.
    """
    names = list(dict.fromkeys(node.partition for node in nodes))
    requested = request.partition.split(",") if request.partition else []
    unknown = [name for name in requested if name not in names]
    if not nodes:
        return []
    if unknown:
        listing = suggest(unknown[0], names) or f"sinfo lists {join_words(names)}"
        return [f"cluster.partition={request.partition}: there is no {join_words(unknown)}; {listing}"]
    usable = [node for node in nodes if (node.partition in requested if requested else node.is_default)]
    return _lacking(request, usable) if usable else []


def _lacking(request: Slurm, nodes: Sequence[Nodes]) -> list[str]:
    memory_mb = None if request.memory_gb is None else round(1024 * request.memory_gb)
    where = f"of the partition {join_words(list(dict.fromkeys(node.partition for node in nodes)))}"
    reasons = []
    if request.cpus > (most := max(node.cpus for node in nodes)):
        reasons.append(f"cluster.cpus={request.cpus}: no node {where} has more than {most}")
    if request.gpus > (most := max(node.gpus for node in nodes)):
        reasons.append(f"cluster.gpus={request.gpus}: no node {where} has more than {most}")
    memories = [node.memory_mb for node in nodes if node.memory_mb is not None]
    if memory_mb is not None and len(memories) == len(nodes) and memory_mb > max(memories):
        most_gb = max(memories) / 1024
        reasons.append(f"cluster.memory_gb={request.memory_gb}: no node {where} has more than {most_gb:.4g}")
    limits = [node.minutes for node in nodes]
    longest = max((limit for limit in limits if limit is not None), default=None)
    # A quality of service may lift the limit of a partition.
    if longest is not None and None not in limits and request.timeout_min > longest and request.qos is None:
        reasons.append(f"cluster.timeout_min={request.timeout_min}: a job {where} may take {longest:.4g}")
    if not reasons and not any(_fits(request, memory_mb, node) for node in nodes):
        asked = f"cluster.cpus={request.cpus}, cluster.gpus={request.gpus}, cluster.memory_gb={request.memory_gb}"
        reasons.append(f"{asked}: no node {where} has all of this at once")
    return [f"{reason}; lower it, or choose another cluster.partition" for reason in reasons]


def _fits(request: Slurm, memory_mb: int | None, node: Nodes) -> bool:
    has_memory = memory_mb is None or node.memory_mb is None or memory_mb <= node.memory_mb
    return request.cpus <= node.cpus and request.gpus <= node.gpus and has_memory


def _package_problems(package: str, extra: str) -> list[str]:
    if importlib.util.find_spec(package) is not None:
        return []
    return [f"needs the package {package}, which is not installed: pip install 'synthaug[{extra}]'"]


def cluster_of(jobs: Sequence[Job]) -> Slurm | Ray | None:
    """Return where the runs of a sweep are sent; None: they stay on this machine."""
    node = jobs[0].settings["cluster"] if jobs else None
    if not node:
        return None
    cluster: Slurm | Ray = instantiate(target_kwargs(node), _convert_="all")
    return cluster


def cluster_problems(jobs: Sequence[Job]) -> list[str]:
    """Return why the runs of a sweep cannot be sent to their cluster."""
    cluster = cluster_of(jobs)
    name = type(cluster).__name__.lower()
    return [] if cluster is None else [f"cluster={name}: {reason}" for reason in cluster.problems()]

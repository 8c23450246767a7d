"""What the machine gives this process, and how many threads a run takes of it.

Sums that are shared out among threads are rounded in another order, so that a result would depend on the number of
cores: a run has as many threads as its configuration says.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Of the libraries below torch and numpy, which read them when they are imported.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_ROOT = Path("/")


def limit_threads(threads: int) -> None:
    """Compute with so many threads from here on, in this process and in those that it starts.

    Args:
        threads: of a run.
    """
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    if "torch" in sys.modules:
        import torch

        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def available_cores(root: Path = _ROOT) -> int:
    """Return how many cores this process may use: in a container or under a scheduler fewer than the machine has.

    Args:
        root: of the file system.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _control_groups(root, "cpu"):
        quota, *period = _read(folder / "cpu.max").split() or [_read(folder / "cpu.cfs_quota_us")]
        period = period or [_read(folder / "cpu.cfs_period_us")]
        if quota.isdecimal() and period[0].isdecimal():
            cores = min(cores, max(1, int(quota) // int(period[0])))
    return cores


def available_memory(root: Path = _ROOT) -> int | None:
    """Return how many bytes of memory processes can still have; None where the system does not say.

    Args:
        root: of the file system.
    """
    lines = dict(line.split(":", 1) for line in _read(root / "proc/meminfo").splitlines() if ":" in line)
    if "MemAvailable" not in lines:
        return None
    available = int(lines["MemAvailable"].split()[0]) * 1024
    for folder in _control_groups(root, "memory"):
        for most, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, usage = _read(folder / most), _read(folder / used)
            if limit.isdecimal() and usage.isdecimal():
                available = min(available, int(limit) - int(usage) + _reclaimable(folder))
    return max(0, available)


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of Linux that limit this process, of either version of its control groups."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / (controller if controllers else "")
            group = mount / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(mount))


def _reclaimable(group: Path) -> int:
    """Return the bytes of files in a group's memory, which make room for others."""
    rows = [line.split() for line in _read(group / "memory.stat").splitlines()]
    return max((int(value) for name, value in rows if name in ("inactive_file", "total_inactive_file")), default=0)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""

"""What a container leaves of a machine, read from made-up files of Linux."""

import os
from pathlib import Path

import pytest

from synthaug.execution.processor import available_cores, available_memory

GB = 10**9


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    write(tmp_path, {"proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n"})
    return tmp_path


def test_without_limits_all_of_the_machine_is_there(root: Path) -> None:
    assert available_cores(root) == 16
    assert available_memory(root) == 32_000_000 * 1024
    assert available_memory(root / "proc") is None, "another system"


@pytest.mark.parametrize("folder", ["", "user.slice"])
def test_the_groups_of_a_container_or_a_scheduler_limit_it(root: Path, folder: str) -> None:
    write(
        root,
        {
            "proc/self/cgroup": "0::/user.slice/job\n",
            "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000",
            "sys/fs/cgroup/user.slice/job/memory.max": "max",
            f"sys/fs/cgroup/{folder}/cpu.max": "350000 100000",
            f"sys/fs/cgroup/{folder}/memory.max": f"{4 * GB}",
            f"sys/fs/cgroup/{folder}/memory.current": f"{3 * GB}",
            f"sys/fs/cgroup/{folder}/memory.stat": f"anon 5\ninactive_file {GB}\n",
        },
    )
    assert available_cores(root) == 3
    assert available_memory(root) == 2 * GB


def test_the_first_version_of_groups_is_read_as_well(root: Path) -> None:
    write(
        root,
        {
            "proc/self/cgroup": "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": f"{GB}",
            "sys/fs/cgroup/memory/docker/a/memory.usage_in_bytes": f"{2 * GB}",
            "sys/fs/cgroup/memory/docker/a/memory.stat": f"inactive_file 7\ntotal_inactive_file {GB // 2}\n",
        },
    )
    assert available_cores(root) == 1
    assert available_memory(root) == 0

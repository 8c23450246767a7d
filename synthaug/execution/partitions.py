"""The nodes of a Slurm cluster, as `sinfo` lists them."""

import re
import subprocess
from dataclasses import dataclass

_LIST = ("sinfo", "--all", "--exact", "--noheader", "--format=%P|%l|%c|%m|%G")
_SECONDS = 60
_GPUS = re.compile(r"(?:^|,)gpu(?::[^,:()]+)*:(\d+)")


@dataclass(frozen=True)
class Nodes:
    """Nodes of a partition that are alike.

    Attributes:
        partition: its name.
        is_default: whether it is that of jobs that name none.
        minutes: that a job may take; None: any number.
        cpus: of each.
        memory_mb: of each; None where the cluster does not say.
        gpus: of each.
    """

    partition: str
    is_default: bool
    minutes: float | None
    cpus: int
    memory_mb: int | None
    gpus: int


def listed() -> list[Nodes]:
    """Return the nodes of the cluster; none where `sinfo` does not answer."""
    try:
        call = subprocess.run(_LIST, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_nodes(call.stdout)


def parse_nodes(text: str) -> list[Nodes]:
    """Return the nodes that sinfo lists; lines of another form are left out.

    Args:
        text: a line "<partition>|<time limit>|<processors>|<MB>|<generic resources>" for each kind.
    """
    nodes = []
    for row in (line.strip().split("|") for line in text.splitlines()):
        if len(row) != 5 or not row[2].isdecimal() or not row[3].isdecimal():
            continue
        memory = int(row[3])  # 1 is Slurm's default where a configuration has none
        gpus = sum(map(int, _GPUS.findall(row[4])))
        name, is_default = row[0].removesuffix("*"), row[0].endswith("*")
        nodes.append(Nodes(name, is_default, _minutes(row[1]), int(row[2]), memory if memory > 1 else None, gpus))
    return nodes


def _minutes(text: str) -> float | None:
    """Return a time limit in minutes, "[<days>-]<hours>:<minutes>:<seconds>"; None for what is not a number."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60

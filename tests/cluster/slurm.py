"""A Slurm of one node on this machine, for tests: no systemd, no munge, no database, ports that are free."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
_START_SECONDS = 30.0


def why_not() -> str:
    """Why no Slurm can be started here; empty where it can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"there is no {', '.join(missing)}: apt-get install slurm-wlm"
    return "" if os.getuid() == 0 else "slurmd needs to be root"


@dataclass
class SlurmNode:
    """A controller and a node, and the environment in which Slurm's commands find them."""

    folder: Path
    environment: dict[str, str]

    def call(self, *command: str) -> str:
        """What a command of Slurm prints."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def jobs(self) -> dict[str, str]:
        """Job → state, of all that the controller remembers."""
        lines = self.call("squeue", "--array", "--noheader", "--states=all", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)


@contextmanager
def running_slurm(folder: Path, environment: Mapping[str, str], cpus: int) -> Iterator[SlurmNode]:
    """Start Slurm, and stop it with all of its processes.

    `sacct` is there, as in Debian's package, and answers with an error, since accounting is off.
    """
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    controller, node = _free_ports(2)
    config = folder / "slurm.conf"
    settings = {
        "ClusterName": "tests",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        **dict.fromkeys(("SlurmUser", "SlurmdUser"), "root"),
        "AuthType": "auth/none",
        "CredType": "cred/none",
        "AuthInfo": "cred_expire=5",  # seconds that a job waits which is queued again; two minutes by default
        "SlurmctldPort": str(controller),
        "SlurmdPort": str(node),
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "StateSaveLocation": str(folder / "state"),
        "SlurmdSpoolDir": str(folder / "spool"),
        "SlurmctldPidFile": str(folder / "slurmctld.pid"),
        "SlurmdPidFile": str(folder / "slurmd.pid"),
        "SlurmctldLogFile": str(folder / "slurmctld.log"),
        "SlurmdLogFile": str(folder / "slurmd.log"),
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "AccountingStorageType": "accounting_storage/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "ReturnToService": "2",
        "MinJobAge": "300",
        "KillWait": "15",
        "InactiveLimit": "0",
        "SlurmdParameters": "config_overrides",  # more processors than there are, so that two runs work at a time
    }
    lines = [f"{key}={value}" for key, value in settings.items()]
    lines += [
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN",
        f"PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP",
    ]
    config.write_text("\n".join([*lines, ""]), encoding="utf-8")
    slurm = SlurmNode(folder, {**environment, "SLURM_CONF": str(config)})
    daemons = [
        subprocess.Popen(command, env=slurm.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host])
    ]
    try:
        _wait_for_node(slurm)
        yield slurm
    finally:
        _stop(slurm, daemons)


def _wait_for_node(slurm: SlurmNode) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        with suppress(subprocess.CalledProcessError):
            if "idle" in slurm.call("sinfo", "--noheader", "--format=%T"):
                return
        if time.monotonic() > end:
            logs = [path.read_text(encoding="utf-8", errors="replace")[-2000:] for path in slurm.folder.glob("*.log")]
            raise RuntimeError("\n".join(["Slurm does not start:", *logs]))
        time.sleep(0.2)


def _stop(slurm: SlurmNode, daemons: list[subprocess.Popen[bytes]]) -> None:
    with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
        slurm.call("scancel", "--signal=KILL", "--full", "--user=root")
        slurm.call("scancel", "--user=root")
        end = time.monotonic() + 10
        while slurm.call("squeue", "--noheader") and time.monotonic() < end:
            time.sleep(0.2)
    for daemon in reversed(daemons):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [int(item.getsockname()[1]) for item in sockets]
    for item in sockets:
        item.close()
    return ports

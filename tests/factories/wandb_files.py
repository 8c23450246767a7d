"""W&B in tests: offline, with an environment of its own, and read back by W&B itself."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SET_BY_PROGRAM = [
    f"WANDB_{name}" for name in ("SILENT", "DATA_DIR", "CACHE_DIR", "RUN_ID", "FINISH_TIMEOUT", "FINISH_TIMEOUT_RAISES")
]


@contextlib.contextmanager
def offline() -> Iterator[pytest.MonkeyPatch]:
    """No variable of W&B's but the one that says offline; W&B reads them once, and is therefore set up anew."""
    import wandb

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        for name in SET_BY_PROGRAM:  # remembered, to go again
            patch.setenv(name, "")
            patch.delenv(name)
        patch.setenv("WANDB_MODE", "offline")
        wandb.teardown()
        yield patch
        wandb.teardown()


def inspect(path: Path, *flags: str) -> str:
    """What W&B itself reads in a run's file."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", *flags, "--json", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def files(study: Path) -> list[Path]:
    """The offline runs of a study, in the order in which they were begun."""
    return sorted(study.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)


def summary_of(path: Path) -> dict[str, Any]:
    """A run as W&B sums it up: names, configuration, summary metrics, tags, outcome."""
    read: dict[str, Any] = json.loads(inspect(path, "--summary"))
    return read


def records_of(path: Path, kind: str) -> list[dict[str, Any]]:
    """The records of a kind: "run", "artifact", "history" …"""
    rows = (json.loads(line) for line in inspect(path).splitlines())
    return [row[kind] for row in rows if row["type"] == kind]

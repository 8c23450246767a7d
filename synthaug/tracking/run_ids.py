"""Which W&B run a folder is, whatever it takes to finish it; online or offline. Imports W&B only where it is asked.

<run's folder>/wandb.json     the W&B run of an arm and a seed
<study's folder>/wandb.json   the W&B run that compares them
"""

import functools
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.files import read_json, write_json

log = logging.getLogger(__name__)

PROJECT = "synthaug"  # of a comparison none of whose runs is in W&B, as in conf/logger/wandb.yaml
_RECORD = "wandb.json"
_SWEEP, _RUN = "WANDB_SWEEP_ID", "WANDB_RUN_ID"  # what a sweep's agent sets for the program that it starts


def identity(folder: Path) -> dict[str, str]:
    """`id` of the folder's W&B run, and once it was begun its `project` and `entity`, as W&B's `init` takes them.

    The first attempt of a sweep's trial is the run that the sweep has for it. For a folder that was begun before, the
    trial goes on with the run it was begun as: W&B would heed the environment alone, which is changed accordingly.
    """
    known = record(folder)
    sweep = os.environ.get(_SWEEP)
    if sweep and os.environ.get(_RUN):
        # A sweep has a second run for a folder only where somebody deleted the first, which cannot be resumed.
        if not known or known.get("sweep") == sweep:
            known = {"id": os.environ[_RUN], "sweep": sweep}
            remember(folder, known)
        os.environ[_RUN] = known["id"]
    elif not known:
        known = {"id": secrets.token_hex(6)}
        remember(folder, known)
    return {name: known[name] for name in ("id", "project", "entity") if known.get(name)}


def is_trial() -> bool:
    """Whether this process is a trial that the agent of a W&B sweep has started."""
    return bool(os.environ.get(_SWEEP))


def record(folder: Path) -> dict[str, Any]:
    """What is known of the folder's W&B run; empty where it has none."""
    path = folder / _RECORD
    return read_json(path) if path.is_file() else {}


def remember(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add to what is known of the folder's W&B run; what W&B does not say (an entity offline) is left as it was."""
    known = record(folder)
    found = known | {name: value for name, value in facts.items() if value}
    if found != known:
        write_json(folder / _RECORD, found)


def mode(study: Path) -> str:
    """Settle online or offline before W&B could ask: with a terminal it would wait for an answer.

    Also silences W&B's own banner and keeps everything that it writes below the study.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("DATA", "CACHE"):
        os.environ.setdefault(f"WANDB_{name}_DIR", str((study / "wandb" / name.lower()).absolute()))
    wanted = os.environ.get("WANDB_MODE")
    if wanted not in ("online", "offline", "disabled", "shared"):
        return _reachable()
    if wanted != "disabled":
        import wandb

        wandb.setup()  # or it would warn of an argument that Lightning gives before it knows that it is to be silent
    return wanted


def how_to_upload(study: Path) -> str:
    """What to type where runs of a study are kept offline; empty where none is."""
    if not any((study / "wandb").glob("offline-run-*")):
        return ""
    said = f"W&B ran offline. To upload: wandb login && wandb sync {study / 'wandb'}/offline-run-*"
    if record(study) and not record(study).get("view"):
        said += f"\nOnce that is done, python -m synthaug.report {study} --wandb saves a view of the study there."
    return said


@functools.cache  # asking takes seconds where the server does not answer
def _reachable() -> str:
    import wandb

    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except Exception as error:  # a key that is wrong, a server that is down: no reason not to train
        log.warning("W&B cannot be used online, so it goes offline (%s)", " ".join(str(error).split()))
        return "offline"

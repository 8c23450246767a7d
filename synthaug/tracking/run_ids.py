"""The W&B run of each folder, the same however often it is resumed; online or offline. Imports W&B where it is needed.

<run's folder>/wandb.json     the W&B run of an arm and a seed
<study's folder>/wandb.json   the W&B run that compares them
"""

import functools
import logging
import os
import re
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.files import read_json, sha256, write_json
from synthaug.runs.layout import RESULTS_JSON, is_debug
from synthaug.tracking import connection

log = logging.getLogger(__name__)

PROJECT = "synthaug"  # of a comparison none of whose runs is in W&B, as in conf/logger/wandb.yaml
_RECORD = "wandb.json"
_MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
_ANY_TEXT = (
    "WANDB_MODE",
    "WANDB_PROJECT",
    "WANDB_ENTITY",
    "WANDB_DIR",
    "WANDB_CACHE_DIR",
    "WANDB_DATA_DIR",
    "WANDB_NAME",
)
_SECRET = re.compile("KEY|TOKEN|HEADER|SECRET|PASSWORD")
_SWEEP, _RUN = "WANDB_SWEEP_ID", "WANDB_RUN_ID"  # what a sweep's agent sets for the program that it starts


def init_arguments(folder: Path) -> dict[str, str]:
    """Return `id`, and once the run was started `project` and `entity`, for W&B's `init`.

    The first attempt of a sweep's trial is the run that the sweep created for it. If the folder has a run already, the
    trial resumes that one: the environment, which W&B would follow, is changed accordingly.
    """
    record = read_record(folder)
    sweep = os.environ.get(_SWEEP)
    if sweep and os.environ.get(_RUN):
        # A sweep has a second run for a folder only where somebody deleted the first, which cannot be resumed.
        if not record or record.get("sweep") == sweep:
            record = {"id": os.environ[_RUN], "sweep": sweep}
            update_record(folder, record)
        os.environ[_RUN] = record["id"]
    elif not record:
        record = {"id": secrets.token_hex(6)}
        update_record(folder, record)
    return {name: record[name] for name in ("id", "project", "entity") if record.get(name)}


def is_sweep_trial() -> bool:
    """Return whether the agent of a W&B sweep has started this process."""
    return bool(os.environ.get(_SWEEP))


def read_record(folder: Path) -> dict[str, Any]:
    """Read what is recorded of the folder's W&B run; empty if it has none."""
    path = folder / _RECORD
    return read_json(path) if path.is_file() else {}


def update_record(folder: Path, values: Mapping[str, Any]) -> None:
    """Add to the record of a folder's W&B run.

    Args:
        folder: of a run or a study.
        values: empty ones (the entity, offline) leave the record as it is.
    """
    record = read_record(folder)
    updated = record | {name: value for name, value in values.items() if value}
    if updated != record:
        write_json(folder / _RECORD, updated)


def is_lost(study: Path, folder: Path) -> bool:
    """Return whether W&B's files of a run that was logged offline are gone; they may have been uploaded before.

    Args:
        study: folder of the study, which holds W&B's files.
        folder: of the run.
    """
    record = read_record(folder)
    was_offline = record.get("project") and not record.get("entity")
    return bool(was_offline) and not any((study / "wandb").glob(f"*run-*-{record['id']}"))


def is_published(study: Path) -> bool:
    """Return whether nothing is left to publish: the comparison in the study's folder is in W&B, or W&B is disabled."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return True
    try:
        return bool(read_record(study).get("published") == sha256(study / RESULTS_JSON))
    except (OSError, UserError):  # nothing to compare with, or a damaged record: publishing says so
        return False


def configure_mode(study: Path) -> str:
    """Choose online or offline before W&B could ask: with a terminal it would wait for an answer.

    A smoke test stays offline unless `WANDB_MODE` says otherwise.

    Also silences W&B's own banner and keeps everything that it writes below the study.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    connection.limit_waiting()
    for name in ("DATA", "CACHE"):
        os.environ.setdefault(f"WANDB_{name}_DIR", str((study / "wandb" / name.lower()).absolute()))
    mode = os.environ.get("WANDB_MODE") or ("offline" if is_debug(study) else "")
    if mode not in ("online", "offline", "disabled", "shared"):
        mode = _reachable_mode()
    if mode == "online" and (reason := connection.problem()):
        connection.warn_once("W&B does not answer, so it goes offline (%s)", reason)
        return "offline"
    if mode != "disabled":
        import wandb

        wandb.setup()  # or it would warn of an argument that Lightning passes before WANDB_SILENT is read
    return mode


def environment_problems() -> list[str]:
    """Return why W&B cannot be used as the environment wants it; none where it can, or nothing is wanted."""
    mode = os.environ.get("WANDB_MODE")
    if mode and mode not in _MODES:
        return [f"WANDB_MODE={mode}: must be one of {', '.join(_MODES)}"]
    return _variable_problems() or ([reason] if (reason := _login_problem(mode)) else [])


def _variable_problems() -> list[str]:
    """Return which variables W&B does not read; those that can hold anything do not have it imported."""
    variables = {name: text for name, text in os.environ.items() if name.startswith("WANDB_") and name not in _ANY_TEXT}
    if not variables:
        return []
    import wandb

    problems = []
    for name, text in variables.items():
        try:
            wandb.Settings().update_from_env_vars({name: text})
        except Exception as error:  # of pydantic, or W&B's own
            details: list[dict[str, Any]] = getattr(error, "errors", list)()
            reason = str(details[0]["msg"]) if details else " ".join(str(error).split())
            shown = name if _SECRET.search(name) else f"{name}={text}"
            problems.append(f"{shown}: {reason.rstrip('.')}; set it otherwise, or unset {name}.")
    return problems


def _login_problem(mode: str | None) -> str:
    if mode not in ("online", "shared"):
        return ""
    connection.limit_waiting()
    import wandb

    try:
        reason = "" if wandb.login(prompt=False) else "nobody is logged in"
    except Exception as error:  # a wrong key, a server that is down
        reason = " ".join(str(error).split()).rstrip(".")
    return f"WANDB_MODE={mode}: {reason}; run `wandb login`, or set WANDB_MODE=offline." if reason else ""


def upload_hint(study: Path) -> str:
    """Return the command that uploads what W&B lacks of a study; empty if it lacks nothing."""
    files = study / "wandb"
    online, offline = [shlex.quote(str(path)) for path in connection.unsent(study)], f"{shlex.quote(str(files))}/"
    is_offline = any(files.glob("offline-run-*"))
    if is_debug(study) or not (online or is_offline):
        return ""
    names = [*(["--include-online"] if online else []), *online, *([f"{offline}offline-run-*"] if is_offline else [])]
    cause = "W&B was lost, or ran offline" if online else "W&B ran offline"
    hint = f"{cause}. To upload:\n  wandb login && wandb sync {' '.join(names)}"
    if read_record(study) and not read_record(study).get("view"):
        hint += f"\nThen save a view of the study there:\n  python -m synthaug.report {shlex.quote(str(study))} --wandb"
    return hint


@functools.cache  # login takes seconds if the server does not answer
def _reachable_mode() -> str:
    import wandb

    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except Exception as error:  # a wrong key, a server that is down: no reason not to train
        log.warning("W&B cannot be used online, so it goes offline (%s)", " ".join(str(error).split()))
        return "offline"

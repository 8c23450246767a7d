"""The runs of a sweep as a cluster gets them: composed once, written down, and refused where anything has changed.

A queued run begins hours after it was typed. It reads no configuration file again; of the program, its libraries and
the dataset it knows what they were, and does not train on anything else.
"""

import hashlib
import importlib.metadata
import json
import pkgutil
import platform
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import synthaug
from synthaug.config import signatures
from synthaug.config.job import Job
from synthaug.data.splitting import Divided
from synthaug.errors import UserError
from synthaug.execution.datasets import dataset_key
from synthaug.execution.session import DatasetKey, Session
from synthaug.files import read_json, write_json
from synthaug.runs.layout import RunKey

FOLDER = "jobs"  # below a study: what a cluster is sent, and the logs of its jobs
_LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "numpy", "pillow", "diffusers")
_LIBRARY_FOLDER = sysconfig.get_path("purelib")
_FROM_ENVIRONMENT = "${oc.env:"
_AGAIN = "type the same command again."


@dataclass(frozen=True)
class FrozenRun:
    """Reference to a queued run in the file of its sweep.

    Attributes:
        file: of its sweep.
        digest: SHA-256 of its content.
        number: of the run in it.
        identity: digest of the run, its program and its dataset; a run with another one is refused.
    """

    file: Path
    digest: str
    number: int
    identity: str = ""


def task(job: Job) -> Path:
    """Return the folder that identifies a run, or a shard of a synthetic set, among all submitted ones."""
    shard, count = job.settings["shard"], job.settings["shards"]
    return job.folder if shard is None else job.folder / f"shard{shard}-of-{count}"


def label(job: Job) -> str:
    """Return the name of a run, or of a shard of a synthetic set, in messages."""
    shard, count = job.settings["shard"], job.settings["shards"]
    return job.label if shard is None else f"shard {shard} of {count}"


def freeze(session: Session, work: str = "synthaug.execution.probe_runs:execute") -> dict[Path, FrozenRun]:
    """Write the runs of a command to a file; return `task` → the reference to each.

    Args:
        session: of the command, whose datasets are listed.
        work: function of a module that a job calls with session and run.
    """
    jobs = list(session.jobs.values())
    code, nodes = code_digest(jobs), [_node(job) for job in jobs]
    images = {key: dict(scan.real.digests) for key, scan in session.scans.items() if isinstance(scan, Divided)}
    content = {
        "work": work,
        "code": code,
        "announced": sorted(session.announced),
        "datasets": [[list(key), digests] for key, digests in images.items()],
        "jobs": nodes,
    }
    digest = _digest(content)
    file = (jobs[0].study / FOLDER / f"{digest[:16]}.json").absolute()
    file.parent.mkdir(exist_ok=True)
    write_json(file, content)
    identities = [
        _digest({"code": code, "job": node, "images": images.get(dataset_key(job))})
        for job, node in zip(jobs, nodes, strict=True)
    ]
    return {task(job): FrozenRun(file, digest, number, identities[number]) for number, job in enumerate(jobs)}


def _node(job: Job) -> dict[str, Any]:
    return {
        "settings": _without_secrets(job.settings, job.recorded),
        "recorded": job.recorded,
        "key": job.key.names,
        "study": str(job.study),
        "arm": job.arm,
    }


def thaw(frozen: FrozenRun) -> tuple[Session, Job]:
    """Return the session of a queued run, and the run.

    Args:
        frozen: reference to it.

    Raises:
        UserError: it is not what was queued, or the program or its libraries have changed since.
    """
    content = read_json(frozen.file)
    if _digest(content) != frozen.digest:
        raise UserError(f"{frozen.file} is not what this job was queued with: {_AGAIN}")
    session = Session(pkgutil.resolve_name(content["work"]))
    session.is_sweep = session.is_expanded = True
    for number, node in enumerate(content["jobs"]):
        key, study = RunKey.of(node["key"]), Path(node["study"])
        job = Job(_with_secrets(node["settings"]), node["recorded"], key, study, node["arm"])
        session.jobs[(str(number),)] = job
    jobs = list(session.jobs.values())
    if code_digest(jobs) != content["code"]:
        raise UserError(f"The program, or a library of it, has changed since this run was queued: {_AGAIN}")
    session.announced |= set(content["announced"])
    return session, jobs[frozen.number]


def require_same_dataset(frozen: FrozenRun, session: Session, job: Job) -> None:
    """Check that the images of a queued run's dataset are those that were listed when it was queued.

    Args:
        frozen: reference to the run.
        session: of the run, which has listed them again.
        job: the run.

    Raises:
        UserError: they are others.
    """
    scan, key = session.scans.get(dataset_key(job)), dataset_key(job)
    recorded: dict[DatasetKey, Any] = {tuple(name): digests for name, digests in read_json(frozen.file)["datasets"]}
    if isinstance(scan, Divided) and key in recorded and dict(scan.real.digests) != recorded[key]:
        changed = [split for split, digest in scan.real.digests.items() if recorded[key].get(split) != digest]
        root = job.settings["dataset"]["root"]
        raise UserError(
            f"dataset.root={root}: its images ({', '.join(changed)}) have changed since this run was queued: {_AGAIN}"
        )


def code_digest(jobs: Sequence[Job]) -> str:
    """Return a digest of the program, of the files that configurations call besides, and of the libraries' versions.

    Args:
        jobs: whose configurations these are.
    """
    package = Path(synthaug.__file__).parent
    files = {str(path.relative_to(package)): path for path in package.rglob("*.py")}
    files |= {name: path for job in jobs for name, path in _called_files(job.settings)}
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    versions = {name: _version(name) for name in _LIBRARIES}
    return _digest({"files": hashes, "versions": versions, "python": platform.python_version()})


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _called_files(settings: Any) -> Iterator[tuple[str, Path]]:
    """Yield (target, its file) of what a configuration calls that is not part of an installed package."""
    if not isinstance(settings, Mapping):
        return
    target = settings.get("_target_")
    if (
        isinstance(target, str)
        and (file := signatures.source_file(target))
        and not file.is_relative_to(_LIBRARY_FOLDER)
    ):
        yield target, file
    for value in settings.values():
        yield from _called_files(value)


def _without_secrets(value: Any, recorded: Any) -> Any:
    """Return settings with the names of variables in the place of their text, which no file may hold."""
    if isinstance(value, Mapping) and isinstance(recorded, Mapping):
        return {name: _without_secrets(item, recorded.get(name)) for name, item in value.items()}
    if isinstance(value, list) and isinstance(recorded, list) and len(value) == len(recorded):
        return [_without_secrets(*pair) for pair in zip(value, recorded, strict=True)]
    is_secret = isinstance(value, str) and isinstance(recorded, str) and _FROM_ENVIRONMENT in recorded
    return {_FROM_ENVIRONMENT: recorded} if is_secret else value


def _with_secrets(value: Any) -> Any:
    """Return settings with the text of variables, which the environment of the job has."""
    if isinstance(value, list):
        return [_with_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_FROM_ENVIRONMENT}:
        text = value[_FROM_ENVIRONMENT]
        try:
            return OmegaConf.create({"text": text}).text
        except OmegaConfBaseException:
            raise UserError(f"{text}: this variable is not in the environment of the job; pass it on.") from None
    return {name: _with_secrets(item) for name, item in value.items()}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

"""From a name to a local folder or file: package data, a path, or an id of the Hugging Face hub."""

import functools
import importlib.resources
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.quiet import quiet
from synthaug.hub_client import limit_silence

PACKAGE_PREFIX = "pkg://"
MODEL_INDEX = "model_index.json"  # its presence makes a folder a pipeline of diffusers
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")

_MODEL = "text-to-image model"  # what an id is of, by default
_MODEL_KEY = "generator.model"
# By config key: what may stand in the place of a hub id, and what else leads to the same.
_LOCAL = {
    _MODEL_KEY: "folder> to a local folder in diffusers' format",
    "captioner.model": "folder> to a local folder that save_pretrained of transformers wrote",
}
_ELSEWHERE = {
    _MODEL_KEY: "use images made elsewhere with generator=folder generator.root=<folder>",
    "captioner.model": "use captions written elsewhere with prompts=file prompts.file=<file>",
}
_TIMEOUT = 10  # seconds until the hub's first answer

# Of a model in diffusers' format, all but the weights.
_CONFIGURATION = ["*.json", "**/*.json", "*.txt", "**/*.txt", "**/*.model"]
ONE_FILE = "where one .safetensors file is all of a model, set generator.file=<name> to it."


def locate(model: str) -> Path | None:
    """Return the folder that a model's name stands for; None for a hub id.

    Raises:
        UserError: package data or what is clearly a path, where there is no folder.
    """
    if model.startswith(PACKAGE_PREFIX):
        package, _, below = model.removeprefix(PACKAGE_PREFIX).partition("/")
        try:
            folder = Path(str(importlib.resources.files(package) / below))
        except (ImportError, TypeError, ValueError):
            remedy = "install it, or set generator.model=<folder>."
            raise model_error(model, f"there is no package {package!r}", remedy) from None
    else:
        folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if is_path(model):
        remedy = "set generator.model=<folder> to an existing one."
        raise model_error(model, f"there is no folder {folder.absolute()}", remedy)
    return None


def is_path(name: str) -> bool:
    """Return whether a name cannot be an id of the hub, "<owner>/<name>", but is meant as a path."""
    return (
        name.startswith((PACKAGE_PREFIX, ".", "/", "~"))
        or name.endswith(("/", ".safetensors", *PICKLE_SUFFIXES))
        or name.count("/") > 1
        or "\\" in name
    )


def check_reachable(
    model: str, revision: str | None, file: str = MODEL_INDEX, kind: str = _MODEL, key: str = _MODEL_KEY
) -> None:
    """Check with one request whether a hub id could be fetched; imports no torch.

    Args:
        model: the id.
        revision: commit, tag or branch; None is the newest commit.
        file: that every model of this kind has, by which it is looked for in the hub's cache.
        kind: what the id is of, for messages.
        key: the config key that requests it.

    Raises:
        UserError: a model that does not exist or is gated; a hub that does not answer, and nothing in its cache.
    """
    if problem := _reachability_problem(model, revision, file, kind, key):
        raise UserError(problem)


@functools.cache  # each arm of a sweep needs it, and a network that drops requests costs seconds each time
def _reachability_problem(model: str, revision: str | None, file: str, kind: str, key: str) -> str:
    import huggingface_hub

    try:
        info, failure = _model_info(model, revision, kind, key)
        if info is not None and info.gated:
            huggingface_hub.auth_check(model)
    except huggingface_hub.errors.GatedRepoError:
        return str(_gated_error(model, kind))
    except UserError as error:
        return str(error)
    except Exception as error:  # the second request failed
        info, failure = None, error
    cached = huggingface_hub.try_to_load_from_cache(model, file, revision=revision)
    return "" if info is not None or isinstance(cached, str) else str(_unreachable_error(model, failure, kind, key))


@functools.cache  # as above
def cached_index(model: str, revision: str | None) -> Path | None:
    """Return the folder with the index of a hub id, which alone is fetched if need be; None where it cannot be had.

    Args:
        model: the id.
        revision: commit, tag or branch; None is the newest commit.
    """
    import huggingface_hub

    index = huggingface_hub.try_to_load_from_cache(model, MODEL_INDEX, revision=revision)
    if not isinstance(index, str):
        try:
            index = huggingface_hub.hf_hub_download(model, MODEL_INDEX, revision=revision)
        except Exception:  # reported when the model is loaded
            return None
    return Path(index).parent


def fetch_model(
    model: str, revision: str | None, variant: str | None, allow_pickle: bool, replaced: Iterable[str] = ()
) -> Path:
    """Return the folder of a hub id in the hub's cache, downloaded if need be.

    The hub is asked once, and where it does not answer the cache is used: the libraries by themselves try for half a
    minute, and report in the end that the model does not exist.

    Args:
        model: the id.
        revision, variant, allow_pickle: of `DiffusionGenerator`.
        replaced: parts that come from elsewhere and are not fetched.

    Raises:
        UserError: a model that does not exist, is gated, unreachable or incomplete.
    """
    with quiet():
        import diffusers
        from huggingface_hub.errors import EntryNotFoundError, GatedRepoError

        info, failure = _model_info(model, revision)
        try:
            return Path(
                diffusers.DiffusionPipeline.download(
                    model,
                    revision=info.sha if info else revision,
                    variant=variant,
                    use_safetensors=None if allow_pickle else True,
                    local_files_only=info is None,
                    **dict.fromkeys(replaced),
                )
            )
        except GatedRepoError as error:
            raise _gated_error(model) from error
        except Exception as error:
            if failure is not None:
                raise _unreachable_error(model, failure) from error
            if isinstance(error, EntryNotFoundError):
                cause = f"the hub has it, but without {MODEL_INDEX} or a file that this names ({one_line(error)})"
                raise model_error(model, cause, f"choose a model in diffusers' format; {ONE_FILE}") from error
            if variant and f"`variant={variant}`" in str(error):
                cause = f"the hub has no files of its variant {variant}"
                raise model_error(model, cause, "set generator.variant=null.") from error
            if "`safetensors` weights" in str(error):
                cause = "it has no weights as safetensors, only pickles, which can run any code when they are loaded"
                remedy = "choose another model; or, if you trust this one, set generator.allow_pickle=true."
                raise model_error(model, cause, remedy) from error
            remedy = f"run the same command again, which keeps complete files; {_alternatives(model)}"
            raise model_error(model, one_line(error), remedy) from error


def fetch_file(name: str, revision: str | None, choose: Callable[[Iterable[str]], str], kind: str, key: str) -> Path:
    """Return one file of a hub id, downloaded if need be.

    Args:
        name: the id.
        revision: commit, tag or branch; None is the newest commit.
        choose: picks the file among the names of all.
        kind: what the file is, for messages.
        key: the config key that requests it.

    Raises:
        UserError: as `fetch_model`, or what `choose` raises.
    """
    with quiet():
        import huggingface_hub

        info, failure = _model_info(name, revision, kind, key)
        if info is not None:
            file = choose(sibling.rfilename for sibling in info.siblings)
            try:
                return Path(huggingface_hub.hf_hub_download(name, file, revision=info.sha))
            except huggingface_hub.errors.GatedRepoError as error:
                raise _gated_error(name, kind) from error
            except Exception as error:
                raise model_error(name, one_line(error), "run the same command again.", kind) from error
        try:
            folder = Path(huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True))
        except Exception as error:
            raise _unreachable_error(name, failure, kind, key) from error
    return folder / choose(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fetch_folder(name: str, revision: str | None, patterns: Iterable[str], kind: str, key: str) -> tuple[Path, str]:
    """Return the folder of a hub id that is not a pipeline, downloaded if need be, and its commit.

    Args:
        name: the id.
        revision: commit, tag or branch; None is the newest commit.
        patterns: of the files that are needed.
        kind: what the model is, for messages.
        key: the config key that requests it.

    Raises:
        UserError: as `fetch_model`.
    """
    with quiet():
        import huggingface_hub

        info, failure = _model_info(name, revision, kind, key)
        try:
            # By its own name, not by the commit: or the cache would not know later which commit that was.
            folder = huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=list(patterns), local_files_only=info is None
            )
        except huggingface_hub.errors.GatedRepoError as error:
            raise _gated_error(name, kind) from error
        except Exception as error:
            if info is None:
                raise _unreachable_error(name, failure, kind, key) from error
            remedy = "run the same command again, which keeps complete files."
            raise model_error(name, one_line(error), remedy, kind) from error
    return Path(folder), Path(folder).name


def fetch_configuration(name: str, model: str, remedy: str) -> Path:
    """Return the folder with all but the weights of a hub id, downloaded if need be.

    Args:
        name: the id.
        model: what is configured by it, for messages.
        remedy: the way out.

    Raises:
        UserError: an id that does not exist, is gated or unreachable.
    """
    with quiet():
        import huggingface_hub

        info, failure = _model_info(name, None, "configuration", "generator.base")
        try:
            sha, is_offline = (info.sha, False) if info is not None else (None, True)
            folder = huggingface_hub.snapshot_download(
                name, revision=sha, allow_patterns=_CONFIGURATION, local_files_only=is_offline
            )
        except Exception as error:
            reason = one_line(failure or error)
            cause = f"its configuration is that of {name}, a few megabytes, and the hub cannot be reached ({reason})"
            raise model_error(model, cause, remedy) from error
    return Path(folder)


def _model_info(
    model: str, revision: str | None, kind: str = _MODEL, key: str = _MODEL_KEY
) -> tuple[Any, Exception | None]:
    """Return the hub's description of an id; or None and why it does not answer: no network, offline mode, a proxy."""
    import huggingface_hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    limit_silence()
    try:
        return huggingface_hub.model_info(model, revision=revision, timeout=_TIMEOUT), None
    except GatedRepoError as error:
        raise _gated_error(model, kind) from error
    except RevisionNotFoundError as error:
        remedy = "set generator.revision=null for the newest, or to a commit that its page on the hub lists."
        raise model_error(model, f"the hub has it, but not its revision {revision}", remedy, kind) from error
    except RepositoryNotFoundError as error:
        cause = "the hub has no model of this name, or none that this account may see"
        raise model_error(model, cause, f"check the spelling; {_alternatives(model, key)}", kind) from error
    except HFValidationError as error:
        raise model_error(model, one_line(error), _alternatives(model, key), kind) from error
    except Exception as error:
        return None, error


def _gated_error(model: str, kind: str = _MODEL) -> UserError:
    remedy = "accept its licence on its page on the hub, then log in with 'hf auth login' or set HF_TOKEN."
    return model_error(model, "it is gated, and this account has no access", remedy, kind)


def _unreachable_error(model: str, failure: Exception | None, kind: str = _MODEL, key: str = _MODEL_KEY) -> UserError:
    from huggingface_hub import constants

    reason = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else one_line(failure or OSError())
    incomplete = incomplete_downloads(Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}")
    cause = (
        f"the hub cannot be reached ({reason}),\n"
        f"         and its cache {constants.HF_HUB_CACHE} does not hold the whole model{incomplete}"
    )
    return model_error(model, cause, _alternatives(model, key), kind)


def incomplete_downloads(folder: Path) -> str:
    """Return a note on the interrupted downloads below a folder; "" if there are none."""
    count = sum(1 for _ in folder.rglob("*.incomplete")) if folder.is_dir() else 0
    return f" ({count} of its files downloaded in part: *.incomplete)" if count else ""


def _alternatives(model: str, key: str = _MODEL_KEY) -> str:
    local = _LOCAL.get(key, "file> to a local file")
    return (
        f"set {key}=<{local} (there is none at {Path(model).absolute()}),\n"
        "          or point HF_HOME at a cache that holds the model and set HF_HUB_OFFLINE=1,\n"
        "          or, for a gated model, accept its licence and log in with 'hf auth login',\n"
        f"          or {_ELSEWHERE.get(key, _ELSEWHERE[_MODEL_KEY])}."
    )


def model_error(model: str, cause: str, remedy: str, kind: str = _MODEL) -> UserError:
    """Build the error for a model, or an addition to one, that cannot be loaded.

    Args:
        model: its name.
        cause: why.
        remedy: the next step.
        kind: what it is.
    """
    return UserError(f"The {kind} {model} could not be loaded.\n  cause: {cause}\n  remedy: {remedy}")


def one_line(error: Exception) -> str:
    """Return an exception as one line of readable length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:299] + '…'}"

"""From a name to a folder or file on this disk: package data, a path, or an id of the Hugging Face hub."""

import functools
import importlib.resources
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.quiet import quiet

PACKAGED = "pkg://"
INDEX = "model_index.json"  # what makes a folder a pipeline of diffusers
PICKLED = (".bin", ".ckpt", ".pt", ".pth")

_KIND = "text-to-image model"  # what an id stands for, unless it is said
_HUB_SECONDS = 10  # that the hub has for its first answer

CONVERT = (
    "a single .safetensors file becomes such a folder in Python, by diffusers' "
    "StableDiffusionPipeline.from_single_file(<file>).save_pretrained(<folder>); then generator.model=<folder>."
)


def locate(model: str) -> Path | None:
    """The folder that a model's name stands for; None for a hub id.

    Raises:
        UserError: package data or what is clearly a path, where there is no folder.
    """
    if model.startswith(PACKAGED):
        package, _, below = model.removeprefix(PACKAGED).partition("/")
        try:
            folder = Path(str(importlib.resources.files(package) / below))
        except (ImportError, TypeError, ValueError):
            raise unusable(
                model, f"there is no package {package!r}", "install it, or give generator.model=<folder>."
            ) from None
    else:
        folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise unusable(model, "it is a file, and a model in diffusers' format is a folder", CONVERT)
    if is_path(model):
        raise unusable(
            model, f"there is no folder {folder.absolute()}", "give one that exists with generator.model=<folder>."
        )
    return None


def is_path(name: str) -> bool:
    """Whether a name cannot be an id of the hub, "<owner>/<name>", but is meant as a path."""
    return (
        name.startswith((PACKAGED, ".", "/", "~"))
        or name.endswith(("/", ".safetensors", *PICKLED))
        or name.count("/") > 1
        or "\\" in name
    )


def require_within_reach(model: str, revision: str | None) -> None:
    """Find out with one question whether a hub id could be fetched, long before it is; imports no torch.

    Raises:
        UserError: a model that does not exist or is gated; a hub that does not answer, and nothing in its cache.
    """
    if problem := _problem(model, revision):
        raise UserError(problem)


@functools.cache  # each arm of a sweep asks, and a network that swallows questions costs seconds each time
def _problem(model: str, revision: str | None) -> str:
    import huggingface_hub

    try:
        info, silence = _ask(model, revision)
        if info is not None and info.gated:
            huggingface_hub.auth_check(model)
    except huggingface_hub.errors.GatedRepoError:
        return str(_not_let_in(model))
    except UserError as error:
        return str(error)
    except Exception as error:  # the second question went unanswered
        info, silence = None, error
    cached = huggingface_hub.try_to_load_from_cache(model, INDEX, revision=revision)
    return "" if info is not None or isinstance(cached, str) else str(_out_of_reach(model, silence))


def fetch_model(model: str, revision: str | None, variant: str | None, allow_pickle: bool) -> Path:
    """The folder of a hub id in the hub's cache, fetched if need be.

    The hub is asked once, and where it does not answer the cache must do: left alone, the libraries try for half a
    minute, and say in the end that the model does not exist.

    Raises:
        UserError: a model that does not exist, is gated, out of reach or not there in full.
    """
    with quiet():
        import diffusers
        from huggingface_hub.errors import EntryNotFoundError, GatedRepoError

        info, silence = _ask(model, revision)
        try:
            return Path(
                diffusers.DiffusionPipeline.download(
                    model,
                    revision=info.sha if info else revision,
                    variant=variant,
                    use_safetensors=None if allow_pickle else True,
                    local_files_only=info is None,
                )
            )
        except GatedRepoError as error:
            raise _not_let_in(model) from error
        except Exception as error:
            if silence is not None:
                raise _out_of_reach(model, silence) from error
            if isinstance(error, EntryNotFoundError):
                cause = f"the hub has it, but it lacks {INDEX} or a file that this names ({sentence(error)})"
                raise unusable(model, cause, f"take a model in diffusers' format; {CONVERT}") from error
            if variant and f"`variant={variant}`" in str(error):
                raise unusable(model, f"the hub has no files of its variant {variant}", "set generator.variant=null.") \
                    from error  # fmt: skip
            if "`safetensors` weights" in str(error):
                way_out = "take another model; or, if you trust this one, generator.allow_pickle=true."
                raise unusable(model, "it has no weights as safetensors, only pickles, which can run any code when "
                               "they are read", way_out) from error  # fmt: skip
            way_out = "run the same command again: what was fetched whole stays; " + _elsewhere(model)
            raise unusable(model, sentence(error), way_out) from error


def fetch_file(name: str, revision: str | None, choose: Callable[[Iterable[str]], str], kind: str, key: str) -> Path:
    """One file of a hub id, fetched if need be.

    Args:
        name: the id, and `revision` of it.
        choose: picks the file among the names of all.
        kind, key: what it is in words, and the config key that asked for it.

    Raises:
        UserError: as `fetch_model`, or what `choose` raises.
    """
    with quiet():
        import huggingface_hub

        info, silence = _ask(name, revision, kind, key)
        if info is not None:
            file = choose(sibling.rfilename for sibling in info.siblings)
            try:
                return Path(huggingface_hub.hf_hub_download(name, file, revision=info.sha))
            except huggingface_hub.errors.GatedRepoError as error:
                raise _not_let_in(name, kind) from error
            except Exception as error:
                raise unusable(name, sentence(error), "run the same command again.", kind) from error
        try:
            folder = Path(huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True))
        except Exception as error:
            raise _out_of_reach(name, silence, kind, key) from error
    return folder / choose(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _ask(
    model: str, revision: str | None, kind: str = _KIND, key: str = "generator.model"
) -> tuple[Any, Exception | None]:
    """What the hub says of an id; or None and why it does not answer: no network, offline mode, a proxy's page …"""
    import huggingface_hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return huggingface_hub.model_info(model, revision=revision, timeout=_HUB_SECONDS), None
    except GatedRepoError as error:
        raise _not_let_in(model, kind) from error
    except RevisionNotFoundError as error:
        way_out = "set generator.revision=null for the newest, or to a commit that its page on the hub lists."
        raise unusable(model, f"the hub has it, but not its revision {revision}", way_out, kind) from error
    except RepositoryNotFoundError as error:
        cause = "the hub has none of this name, or none that this account may see"
        raise unusable(model, cause, f"look for a typing error; {_elsewhere(model, key)}", kind) from error
    except HFValidationError as error:
        raise unusable(model, sentence(error), _elsewhere(model, key), kind) from error
    except Exception as error:
        return None, error


def _not_let_in(model: str, kind: str = _KIND) -> UserError:
    way_out = "accept its licence on its page on the hub, then log in with 'hf auth login' or set HF_TOKEN."
    return unusable(model, "it is gated, and this account has not been let in", way_out, kind)


def _out_of_reach(model: str, silence: Exception | None, kind: str = _KIND, key: str = "generator.model") -> UserError:
    from huggingface_hub import constants

    told = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else sentence(silence or OSError())
    missing = f"and the cache {constants.HF_HUB_CACHE} does not hold the whole model"
    halves = half_downloaded(Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}")
    cause = f"the hub cannot be reached ({told}),\n         {missing}{halves}"
    return unusable(model, cause, _elsewhere(model, key), kind)


def half_downloaded(folder: Path) -> str:
    """What to add about downloads below a folder that were broken off; "" where there are none."""
    count = sum(1 for _ in folder.rglob("*.incomplete")) if folder.is_dir() else 0
    return f" ({count} of its files half downloaded: *.incomplete)" if count else ""


def _elsewhere(model: str, key: str = "generator.model") -> str:
    folder = "a local folder in diffusers' format" if key == "generator.model" else "a local file"
    return (
        f"give {folder} with {key}=<{folder.split()[2]}> (there is none at {Path(model).absolute()}),\n"
        "           or point HF_HOME at a cache that holds the model and set HF_HUB_OFFLINE=1,\n"
        "           or, for a gated model, accept its licence and log in with 'hf auth login',\n"
        "           or take images made elsewhere with generator=folder generator.root=<folder>."
    )


def unusable(model: str, cause: str, way_out: str, kind: str = _KIND) -> UserError:
    """The error for a model, or what is loaded into one, that cannot be had."""
    return UserError(f"The {kind} {model} could not be loaded.\n  cause: {cause}\n  way out: {way_out}")


def sentence(error: Exception) -> str:
    """An exception on one line of readable length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:299] + '…'}"

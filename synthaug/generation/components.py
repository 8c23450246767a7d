"""Parts of a pipeline that come from another model: an autoencoder, or a text encoder that its makers leave out."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation import weights
from synthaug.generation.hub import check_reachable, fetch_folder, is_path, model_error, one_line
from synthaug.generation.quantization import component_quantization
from synthaug.generation.quiet import quiet

AUTOENCODER = "vae"
_TOKENIZER = "tokenizer"  # begins the names of tokenizers
_TOKENIZER_CONFIG = "tokenizer_config.json"
_PATTERNS = ("config.json", "generation_config.json", "diffusion_pytorch_model*.safetensors*", "model*.safetensors*")
_TOKENIZER_PATTERNS = ("*.json", "*.txt", "*.model")


@dataclass(frozen=True)
class Component:
    """An entry of `generator.components`, or `generator.vae`.

    Attributes:
        model: folder, or hub id.
        revision: commit, tag or branch on the hub.
        subfolder: of the model.
    """

    model: str
    revision: str | None = None
    subfolder: str = ""


def parse_components(components: Any, vae: Any = None) -> dict[str, Component]:
    """Return name of a part → where it comes from.

    Args:
        components: null, or a mapping of parts to a name or to a mapping with the fields of `Component`.
        vae: the same for the autoencoder.

    Raises:
        UserError: an entry of another form; an autoencoder twice.
    """
    example = "{text_encoder_4: <hub id or folder>}, or {model: <hub id>, revision: <commit>, subfolder: <name>} each"
    if components is not None and not isinstance(components, Mapping):
        raise UserError(f"generator.components={components!r}: must be null, or map parts of the model: {example}")
    entries = {f"components.{name}": value for name, value in (components or {}).items() if value is not None}
    if vae is not None:
        if f"components.{AUTOENCODER}" in entries:
            raise UserError(
                f"generator.vae, generator.components.{AUTOENCODER}: name one of the same part; leave one out"
            )
        entries[AUTOENCODER] = vae
    return {key.removeprefix("components."): _parse(f"generator.{key}", value) for key, value in entries.items()}


def _parse(key: str, value: Any) -> Component:
    options = {"model": value} if isinstance(value, str) else value
    allowed = [field.name for field in fields(Component)]
    rule = f"{key}={value!r}: must be a hub id or folder, or {{model: <hub id or folder>, revision: <commit>}}"
    if not isinstance(options, Mapping) or not options.get("model"):
        raise UserError(rule)
    if unknown := sorted(set(map(str, options)) - set(allowed)):
        raise UserError(f"{rule}; {unknown[0]!r} is not one of {', '.join(allowed)}")
    if not all(isinstance(text, str) or (text is None and name == "revision") for name, text in options.items()):
        raise UserError(f"{rule}; all of it is text")
    return Component(**options)


def check_component(name: str, component: Component) -> None:
    """Check that a part can be had, as far as a folder or one request tells; imports no torch.

    Args:
        name: of the part.
        component: where it comes from.

    Raises:
        UserError: a folder that does not exist, lacks a file or has a damaged one; a hub without it or out of reach.
    """
    if (folder := _local(name, component)) is not None:
        _require_files(name, component, folder)
    else:
        file = _TOKENIZER_CONFIG if name.startswith(_TOKENIZER) else "config.json"
        path = f"{component.subfolder}/{file}" if component.subfolder else file
        check_reachable(component.model, component.revision, path, name, _key(name))


def _key(name: str) -> str:
    return f"generator.components.{name}.model" if name != AUTOENCODER else "generator.vae"


def _local(name: str, component: Component) -> Path | None:
    folder = Path(component.model).expanduser()
    if folder.is_dir():
        return folder / component.subfolder
    if is_path(component.model):
        remedy = f"set {_key(name)}=<folder> to an existing one."
        raise model_error(component.model, f"there is no folder {folder.absolute()}", remedy, name)
    return None


def _require_files(name: str, component: Component, folder: Path) -> dict[str, Path]:
    """Return name → path of the weights of a part."""
    is_tokenizer = name.startswith(_TOKENIZER)
    config = folder / (_TOKENIZER_CONFIG if is_tokenizer else "config.json")
    files = {} if is_tokenizer else weights.weight_files(folder, ["."], None, allow_pickle=False)
    absent = config.name if not config.is_file() else "" if files or is_tokenizer else "weights as safetensors"
    if absent:
        inside = [path.name for path in (folder / name,) if path.is_dir()]
        remedy = f"write {{model: {component.model}, subfolder: {inside[0]}}}." if inside else "choose another."
        raise model_error(component.model, f"{folder} has no {absent}", remedy, name)
    if damaged := [] if is_tokenizer else list(weights.damaged_files(folder, ["."], None, allow_pickle=False)):
        raise model_error(
            component.model, "; ".join(item.removeprefix("./") for item in damaged), "fetch it again.", name
        )
    return {f"{name}/{path.name}": path for path in files.values()}


def read_config(component: Component) -> Mapping[str, Any] | None:
    """Return the configuration of a part in a local folder; None for one on the hub."""
    folder = _local(AUTOENCODER, component)
    return None if folder is None else _read_json(folder / "config.json")


def load_components(
    kind: Any, index: Mapping[str, Any], components: Mapping[str, Component], dtype: Any, quantization: str | None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Load parts of a pipeline.

    Args:
        kind: class of the pipeline.
        index: what its folder says of its parts.
        components: name → where it comes from.
        dtype: of torch.
        quantization: of `DiffusionGenerator`.

    Returns:
        Name → part, on the CPU; name → path of their weight files.

    Raises:
        UserError: a part that the pipeline does not have; one that cannot be had, or is of another kind.
    """
    accepted = inspect.signature(kind.__init__).parameters
    loaded: dict[str, Any] = {}
    files: dict[str, Path] = {}
    for name, component in components.items():
        if name not in accepted:
            listed = ", ".join(parameter for parameter in accepted if parameter != "self")
            raise UserError(f"generator.components.{name}: a {kind.__name__} has no such part; choose of: {listed}.")
        folder = _local(name, component)
        if folder is None:
            below = f"{component.subfolder}/" if component.subfolder else ""
            patterns = [f"{below}{pattern}" for pattern in (
                _TOKENIZER_PATTERNS if name.startswith(_TOKENIZER) else _PATTERNS)]  # fmt: skip
            root, _ = fetch_folder(component.model, component.revision, patterns, name, _key(name))
            folder = root / component.subfolder
        files |= _require_files(name, component, folder)
        entry = index.get(name)
        expected = str(entry[1]) if isinstance(entry, list) and entry[1] else _annotated(accepted[name])
        loaded[name] = _load(name, component, folder, expected, dtype, quantization)
    return loaded, files


def _load(name: str, component: Component, folder: Path, expected: str, dtype: Any, quantization: str | None) -> Any:
    import diffusers
    import transformers

    config = _read_json(folder / "config.json")
    is_diffusers = "_class_name" in config
    kind = "AutoTokenizer" if name.startswith(_TOKENIZER) else str(config["_class_name"]) if is_diffusers else expected
    loader = getattr(diffusers if is_diffusers else transformers, kind, None)
    if loader is None:
        raise model_error(component.model, f"it is a {kind}, which is not known", "choose another.", name)
    needed, actual = getattr(getattr(loader, "config_class", None), "model_type", None), config.get("model_type")
    if actual and needed and actual != needed:
        remedy = f"choose a model that has a {expected}."
        raise model_error(component.model, f"it is of the kind {actual}, and {name} is a {expected}", remedy, name)
    options: dict[str, Any] = {}
    if kind != "AutoTokenizer":
        options = {"dtype": dtype, "use_safetensors": True}
        if quantization and (how := component_quantization(quantization, name, kind, is_diffusers, dtype)) is not None:
            options["quantization_config"] = how
    with quiet() as messages:
        try:
            part = loader.from_pretrained(str(folder), local_files_only=True, **options)
        except Exception as error:  # every library raises its own
            raise model_error(component.model, one_line(error), "choose another, or fetch it again.", name) from error
    if lost := next((message for message in messages if "newly initialized" in message), ""):
        raise model_error(component.model, f"weights are missing: {lost[:300]}", "choose another.", name)
    return part.eval() if hasattr(part, "eval") else part


def _annotated(parameter: inspect.Parameter) -> str:
    """Return the class that a pipeline takes as a part."""
    kind = parameter.annotation
    return kind.__name__ if isinstance(kind, type) else re.split(r"\W+", str(kind))[-1]


def autoencoder_problems(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """Yield why an autoencoder cannot stand in for another.

    Args:
        new, old: their configurations, as far as they are known.
    """
    pairs = {
        "latent_channels": (new.get("latent_channels"), old.get("latent_channels")),
        "pixels a latent": (_reduction(new), _reduction(old)),
    }
    if new.get("_class_name") == old.get("_class_name"):
        pairs["scaling_factor"] = (new.get("scaling_factor"), old.get("scaling_factor"))
    for what, (value, needed) in pairs.items():
        if value is not None and needed is not None and value != needed:
            yield f"its {what} is {value}, and the model's {needed}"


def require_fitting_autoencoder(
    component: Component, model: str, new: Mapping[str, Any], old: Mapping[str, Any]
) -> None:
    """Check that the denoiser of a model can do with the latents of another autoencoder.

    Args:
        component: the autoencoder.
        model: name.
        new, old: configurations of both.

    Raises:
        UserError: its latents are of another shape or scale.
    """
    if problems := list(autoencoder_problems(new, old)):
        remedy = "choose one that was trained in the place of this model's, or set generator.vae=null."
        raise model_error(component.model, f"it does not fit {model}: {'; '.join(problems)}", remedy, "autoencoder")


def _reduction(config: Mapping[str, Any]) -> int | None:
    """Return how many pixels of a side are one of the latents."""
    widths = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return 2 ** (len(widths) - 1) if widths else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}

"""Additions to a pipeline: LoRA weights, and words learned by textual inversion."""

import importlib.util
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.hub import PICKLE_SUFFIXES, fetch_file, is_path, model_error, one_line
from synthaug.generation.quiet import quiet

log = logging.getLogger(__name__)

KINDS = {"lora": "LoRA", "textual_inversion": "textual inversion"}

# File name that the libraries give by default: it is chosen among several files.
_DEFAULT_STEM = {"lora": "pytorch_lora_weights", "textual_inversion": "learned_embeds"}
_EXCLUSIVE_KEYS = {"lora": {"weight"}, "textual_inversion": {"token"}}
# Names of the vectors for the two encoders in a file for Stable Diffusion XL.
ENCODERS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}


@dataclass(frozen=True)
class Adapter:
    """One entry of `generator.lora` or `generator.textual_inversion`.

    Args:
        model: a file, a folder or a hub id.
        file: which file of the folder or hub repository; None if there is only one.
        revision: commit, tag or branch on the hub.
        weight: of a LoRA; 1 as it was trained, 0 for no effect.
        token: of a textual inversion: the word that stands for it; None takes the one of its file.
    """

    model: str
    file: str | None = None
    revision: str | None = None
    weight: float = 1.0
    token: str | None = None


def parse_adapters(key: str, value: Any) -> list[Adapter]:
    """Return the entries of a config value: a name, a mapping with `Adapter`'s fields, or a list of them.

    Args:
        key: "lora" or "textual_inversion".
        value: from the configuration.

    Raises:
        UserError: an entry of another form.
    """
    entries = [] if value is None else [value] if isinstance(value, (str, Mapping)) else value
    allowed = {field.name for field in fields(Adapter)} - (set.union(*_EXCLUSIVE_KEYS.values()) - _EXCLUSIVE_KEYS[key])
    example = "{model: <file>, weight: 0.8}" if key == "lora" else "{model: <file>, token: <word>}"
    rule = f"generator.{key}={value!r}: must be null, a file, folder or hub id, or a list of entries such as {example}"
    if not isinstance(entries, Sequence):
        raise UserError(rule)
    adapters = []
    for entry in entries:
        options = {"model": entry} if isinstance(entry, str) else entry
        if not isinstance(options, Mapping) or not isinstance(options.get("model"), str) or not options["model"]:
            raise UserError(rule)
        if unknown := sorted(set(map(str, options)) - allowed):
            raise UserError(f"{rule}; {unknown[0]!r} is not one of {', '.join(sorted(allowed))}")
        weight = options.get("weight", 1.0)
        texts = [options.get(name) for name in ("file", "revision", "token")]
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not all(
            text is None or isinstance(text, str) for text in texts
        ):  # fmt: skip
            raise UserError(f"{rule}; weight is a number, everything else text")
        adapters.append(Adapter(**options))
    return adapters


def parse_per_class(key: str, value: Any) -> dict[str, Adapter]:
    """Return class → its adapter, of the config value of `generator.<key>_per_class`.

    Args:
        key: "lora" or "textual_inversion".
        value: null, or a mapping of classes to what `parse_adapters` takes as one entry.

    Raises:
        UserError: an entry of another form.
    """
    name = f"generator.{key}_per_class"
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{name}={value!r}: must be null, or map each class to a file or folder")
    parsed = {str(class_name): parse_adapters(key, entry) for class_name, entry in value.items()}
    for class_name, entries in parsed.items():
        if len(entries) != 1:
            raise UserError(f"{name}.{class_name}={value[class_name]!r}: must be one file or folder")
        if key == "textual_inversion" and entries[0].token is None:
            raise UserError(
                f"{name}.{class_name}={value[class_name]!r}: must name its word, {{model: <file>, token: <word>}}"
            )
    return {class_name: entries[0] for class_name, entries in parsed.items()}


def check_adapters(key: str, adapters: Iterable[Adapter], allow_pickle: bool) -> None:
    """Check adapters before anything is loaded; imports nothing heavy.

    Args:
        key: "lora" or "textual_inversion".
        adapters: of that kind.
        allow_pickle: whether files may be pickles.

    Raises:
        UserError: a file that does not exist, a pickle, or a missing package.
    """
    for adapter in adapters:
        _local_file(key, adapter, allow_pickle)
        if key == "lora" and not importlib.util.find_spec("peft"):
            raise UserError("generator.lora: needs a package that is not installed: pip install 'synthaug[lora]'")


def local_files(adapters: Iterable[Adapter]) -> list[Path]:
    """Return the files and folders among the models of adapters, which are not hub ids."""
    paths = [Path(adapter.model).expanduser() for adapter in adapters]
    return [path for path in paths if path.exists()]


def load_adapters(
    pipeline: Any, model: str, adapters: Mapping[str, Sequence[Adapter]], allow_pickle: bool
) -> tuple[dict[str, Path], list[str]]:
    """Load adapters into a pipeline.

    Args:
        pipeline: on the CPU; it is changed.
        model: its name.
        adapters: "lora" and "textual_inversion" → adapters.
        allow_pickle: whether files may be pickles.

    Returns:
        Name → path of each loaded file; the learned words, as a prompt must spell them.

    Raises:
        UserError: a file that cannot be fetched or does not fit the pipeline.
    """
    loaded: dict[str, Path] = {}
    vocabulary = _added_tokens(pipeline)
    for key, entries in adapters.items():
        load, method = _LOADERS[key]
        if entries and not hasattr(pipeline, method):
            kind = type(pipeline).__name__
            raise UserError(f"generator.{key}: {model} is a {kind}, which takes no {KINDS[key]}: set it to null.")
        for number, adapter in enumerate(entries):
            path = _adapter_file(key, adapter, allow_pickle)
            with quiet() as messages:
                try:
                    load(pipeline, adapter, path, f"{key}{number}")
                except Exception as error:  # every library raises its own
                    details = f"{one_line(error)} {' '.join(messages)[:300]}".strip()
                    remedy = f"choose one that was trained for this model, or set generator.{key}=null."
                    cause = f"it does not fit {model} ({details})"
                    raise model_error(adapter.model, cause, remedy, KINDS[key]) from error
            for message in messages:
                if "unexpected keys" in message:
                    log.warning("some weights of %s do not exist in %s: %s", adapter.model, model, message[:300])
            loaded[f"{key}/{number}/{path.name}"] = path
    if loras := adapters.get("lora"):
        use_loras(pipeline, dict(enumerate(lora.weight for lora in loras)))
    return loaded, _prompt_words(_added_tokens(pipeline) - vocabulary)


def use_loras(pipeline: Any, weights: Mapping[int, float]) -> None:
    """Let some of the loaded LoRAs take effect, and no others.

    Args:
        pipeline: from `load_adapters`.
        weights: place of a LoRA in the list that was loaded → its weight.
    """
    with quiet():
        pipeline.set_adapters([f"lora{number}" for number in weights], list(weights.values()))


def _added_tokens(pipeline: Any) -> set[str]:
    """Return what was added to the vocabularies of a pipeline."""
    return {
        token.content
        for name, tokenizer in pipeline.components.items()
        if name.startswith("tokenizer") and tokenizer is not None
        for token in tokenizer.added_tokens_decoder.values()
    }


def _prompt_words(tokens: set[str]) -> list[str]:
    """Return the tokens that a prompt spells: further tokens of a word of several vectors are numbered."""
    parts = {token: token.rpartition("_") for token in tokens}
    return sorted(token for token, (first, _, end) in parts.items() if not (first in tokens and end.isdigit()))


def _load_lora(pipeline: Any, adapter: Adapter, path: Path, name: str) -> None:
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise ValueError("the pipeline has none of its weights")


def _load_inversion(pipeline: Any, adapter: Adapter, path: Path, name: str) -> None:
    import safetensors.torch
    import torch

    tensors: Any
    if path.suffix == ".safetensors":
        tensors = safetensors.torch.load_file(path)
    else:  # allowed by the user; even so nothing but tensors is unpickled
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(tensors, torch.Tensor) or not set(tensors) <= set(ENCODERS):
        pipeline.load_textual_inversion(tensors, token=adapter.token)
        return
    if adapter.token is None:
        raise ValueError("the file does not name its word: write {model: <file>, token: <word>}")
    for part, learned in tensors.items():
        encoder, tokenizer = (getattr(pipeline, attribute) for attribute in ENCODERS[part])
        pipeline.load_textual_inversion(
            {adapter.token: learned}, token=adapter.token, text_encoder=encoder, tokenizer=tokenizer
        )


# Kind → how it is loaded, and the pipeline's method that this needs.
_LOADERS: dict[str, tuple[Callable[[Any, Adapter, Path, str], None], str]] = {
    "lora": (_load_lora, "load_lora_weights"),
    "textual_inversion": (_load_inversion, "load_textual_inversion"),
}


def _adapter_file(key: str, adapter: Adapter, allow_pickle: bool) -> Path:
    """Return the file of an adapter, fetched if need be."""

    def choose(names: Iterable[str]) -> str:
        return _choose_file(key, adapter, names, allow_pickle)

    local = _local_file(key, adapter, allow_pickle)
    return local or fetch_file(adapter.model, adapter.revision, choose, KINDS[key], f"generator.{key}")


def _local_file(key: str, adapter: Adapter, allow_pickle: bool) -> Path | None:
    """Return the file of an adapter that is a file or a folder; None for a hub id."""
    path = Path(adapter.model).expanduser()
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        return path / _choose_file(key, adapter, names, allow_pickle)
    if path.is_file():
        return path.with_name(_choose_file(key, adapter, [path.name], allow_pickle))
    if is_path(adapter.model):
        remedy = f"set generator.{key}=<file> to an existing one."
        raise model_error(adapter.model, f"there is no file {path.absolute()}", remedy, KINDS[key])
    return None


def _choose_file(key: str, adapter: Adapter, names: Iterable[str], allow_pickle: bool) -> str:
    """Return the one file that is meant among the names below a folder."""
    names = sorted(names)
    remedy = f"name it with generator.{key}=[{{model: {adapter.model}, file: <name>}}]."
    if adapter.file is not None:
        if adapter.file not in names:
            raise model_error(adapter.model, f"it has no file {adapter.file}", remedy, KINDS[key])
        names = [adapter.file]
    safe = [name for name in names if name.endswith(".safetensors")]
    pickled = [name for name in names if name.endswith(PICKLE_SUFFIXES)]
    usable = safe or (pickled if allow_pickle else [])
    named_by_default = [name for name in usable if Path(name).stem == _DEFAULT_STEM[key]]
    if len(chosen := named_by_default or usable) == 1:
        return chosen[0]
    if chosen:
        cause = f"it has several files: {', '.join(chosen[:5])}{' …' if len(chosen) > 5 else ''}"
    elif pickled:
        cause = f"it exists as {pickled[0]} only, a pickle, which can run any code when it is loaded"
        remedy = "choose a copy in safetensors; or, if you trust it, set generator.allow_pickle=true."
    else:
        cause = "it has no safetensors file"
    raise model_error(adapter.model, cause, remedy, KINDS[key])

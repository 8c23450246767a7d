"""What is loaded into a pipeline on top of it: LoRA weights, and words learned by textual inversion."""

import importlib.util
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation.hub import PICKLED, fetch_file, is_path, sentence, unusable
from synthaug.generation.quiet import quiet

log = logging.getLogger(__name__)

KINDS = {"lora": "LoRA", "textual_inversion": "textual inversion"}

# What the libraries call the file by themselves; of several files, it is the one that is meant.
_USUAL = {"lora": "pytorch_lora_weights", "textual_inversion": "learned_embeds"}
_OWN = {"lora": {"weight"}, "textual_inversion": {"token"}}  # keys that only one of them has
# How a file for Stable Diffusion XL calls the words of its two encoders.
_ENCODERS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}


@dataclass(frozen=True)
class Adapter:
    """One entry of `generator.lora` or `generator.textual_inversion`.

    Args:
        model: a file, a folder or a hub id.
        file: which file of the folder or hub repository; None where there is only one.
        revision: commit, tag or branch on the hub.
        weight: of a LoRA; 1 is as it was trained, 0 is none.
        token: of a textual inversion: the word that stands for it; None takes the file's own.
    """

    model: str
    file: str | None = None
    revision: str | None = None
    weight: float = 1.0
    token: str | None = None


def read(key: str, value: Any) -> list[Adapter]:
    """The entries of a config value: a name, a mapping with `Adapter`'s fields, or a list of them.

    Raises:
        UserError: an entry that is neither, with what is wrong.
    """
    entries = [] if value is None else [value] if isinstance(value, (str, Mapping)) else value
    known = {field.name for field in fields(Adapter)} - (set.union(*_OWN.values()) - _OWN[key])
    wrong = f"generator.{key}={value!r}: must be null, a file, folder or hub id, or a list of entries such as " + (
        "{model: <file>, weight: 0.8}" if key == "lora" else "{model: <file>, token: <word>}"
    )
    if not isinstance(entries, Sequence):
        raise UserError(wrong)
    found = []
    for entry in entries:
        plain = {"model": entry} if isinstance(entry, str) else entry
        if not isinstance(plain, Mapping) or not isinstance(plain.get("model"), str) or not plain["model"]:
            raise UserError(wrong)
        if unknown := sorted(set(map(str, plain)) - known):
            raise UserError(f"{wrong}; {unknown[0]!r} is none of {', '.join(sorted(known))}")
        weight = plain.get("weight", 1.0)
        texts = [plain.get(name) for name in ("file", "revision", "token")]
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not all(
            text is None or isinstance(text, str) for text in texts
        ):  # fmt: skip
            raise UserError(f"{wrong}; a weight is a number, all else is text")
        found.append(Adapter(**plain))
    return found


def check(key: str, adapters: Iterable[Adapter], allow_pickle: bool) -> None:
    """Find out what can be known before anything is loaded; imports nothing heavy.

    Raises:
        UserError: a file that is not there, a pickle, or a missing package.
    """
    for adapter in adapters:
        _on_disk(key, adapter, allow_pickle)
        if key == "lora" and not importlib.util.find_spec("peft"):
            raise UserError("generator.lora: needs a package that is not installed: pip install 'synthaug[lora]'")


def load(
    pipeline: Any, model: str, added: Mapping[str, Sequence[Adapter]], allow_pickle: bool
) -> tuple[dict[str, Path], list[str]]:
    """Load adapters into a pipeline that lies on the CPU.

    Args:
        pipeline: that is changed.
        model: its name.
        added: "lora" and "textual_inversion" → what to load.
        allow_pickle: whether files may be pickles.

    Returns:
        Name → path of each file that was loaded; the words that were learned, as a prompt must spell them.

    Raises:
        UserError: a file that cannot be had or does not fit the pipeline.
    """
    found: dict[str, Path] = {}
    known = _words(pipeline)
    for key, entries in added.items():
        load_one, method = _WAYS[key]
        if entries and not hasattr(pipeline, method):
            kind = type(pipeline).__name__
            raise UserError(f"generator.{key}: {model} is a {kind}, which takes no {KINDS[key]}: set it to null.")
        for number, adapter in enumerate(entries):
            path = _path(key, adapter, allow_pickle)
            with quiet() as said:
                try:
                    load_one(pipeline, adapter, path, f"{key}{number}")
                except Exception as error:  # every library raises its own
                    raise _unfit(key, adapter, model, f"{sentence(error)} {' '.join(said)[:300]}".strip()) from error
            for message in said:
                if "unexpected keys" in message:
                    log.warning("a part of %s has no place in %s: %s", adapter.model, model, message[:300])
            found[f"{key}/{number}/{path.name}"] = path
    if loras := added.get("lora"):
        with quiet():
            pipeline.set_adapters([f"lora{number}" for number in range(len(loras))], [one.weight for one in loras])
    return found, _first(_words(pipeline) - known)


def _words(pipeline: Any) -> set[str]:
    """What was added to the vocabularies of a pipeline."""
    return {
        token.content
        for name, tokenizer in pipeline.components.items()
        if name.startswith("tokenizer") and tokenizer is not None
        for token in tokenizer.added_tokens_decoder.values()
    }


def _first(words: set[str]) -> list[str]:
    """The words that a prompt spells: of several vectors' words, those behind the first are numbered."""
    parts = {word: word.rpartition("_") for word in words}
    return sorted(word for word, (first, _, end) in parts.items() if not (first in words and end.isdigit()))


def _load_lora(pipeline: Any, adapter: Adapter, path: Path, name: str) -> None:
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise ValueError("none of its weights has a place there")


def _load_inversion(pipeline: Any, adapter: Adapter, path: Path, name: str) -> None:
    import safetensors.torch
    import torch

    tensors: Any
    if path.suffix == ".safetensors":
        tensors = safetensors.torch.load_file(path)
    else:  # allowed by the user; even so nothing but tensors is unpickled
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(tensors, torch.Tensor) or not set(tensors) <= set(_ENCODERS):
        pipeline.load_textual_inversion(tensors, token=adapter.token)
        return
    if adapter.token is None:
        raise ValueError("the file does not say the word: give {model: <file>, token: <word>}")
    for part, learned in tensors.items():
        encoder, tokenizer = (getattr(pipeline, attribute) for attribute in _ENCODERS[part])
        pipeline.load_textual_inversion(
            {adapter.token: learned}, token=adapter.token, text_encoder=encoder, tokenizer=tokenizer
        )


_WAYS: dict[str, tuple[Callable[[Any, Adapter, Path, str], None], str]] = {
    "lora": (_load_lora, "load_lora_weights"),
    "textual_inversion": (_load_inversion, "load_textual_inversion"),
}


def _path(key: str, adapter: Adapter, allow_pickle: bool) -> Path:
    """The file of an adapter, fetched if need be."""

    def choose(names: Iterable[str]) -> str:
        return _choose(key, adapter, names, allow_pickle)

    found = _on_disk(key, adapter, allow_pickle)
    return found or fetch_file(adapter.model, adapter.revision, choose, KINDS[key], f"generator.{key}")


def _on_disk(key: str, adapter: Adapter, allow_pickle: bool) -> Path | None:
    """The file of an adapter that is a file or a folder; None for a hub id."""
    path = Path(adapter.model).expanduser()
    if path.is_dir():
        names = [found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()]
        return path / _choose(key, adapter, names, allow_pickle)
    if path.is_file():
        return path.with_name(_choose(key, adapter, [path.name], allow_pickle))
    if is_path(adapter.model):
        way_out = f"give one that exists with generator.{key}=<file>."
        raise unusable(adapter.model, f"there is no file {path.absolute()}", way_out, KINDS[key])
    return None


def _choose(key: str, adapter: Adapter, names: Iterable[str], allow_pickle: bool) -> str:
    """The one file that is meant among the names below a folder."""
    names = sorted(names)
    way_out = f"say which with generator.{key}=[{{model: {adapter.model}, file: <name>}}]."
    if adapter.file is not None:
        if adapter.file not in names:
            raise unusable(adapter.model, f"it has no file {adapter.file}", way_out, KINDS[key])
        names = [adapter.file]
    safe = [name for name in names if name.endswith(".safetensors")]
    pickled = [name for name in names if name.endswith(PICKLED)]
    usable = safe or (pickled if allow_pickle else [])
    usual = [name for name in usable if Path(name).stem == _USUAL[key]]
    if len(chosen := usual or usable) == 1:
        return chosen[0]
    if chosen:
        cause = f"it has several files: {', '.join(chosen[:5])}{' …' if len(chosen) > 5 else ''}"
    elif pickled:
        cause = f"it comes as {pickled[0]} only, a pickle, which can run any code when it is read"
        way_out = "take a copy in safetensors; or, if you trust it, set generator.allow_pickle=true."
    else:
        cause = "it has no safetensors file"
    raise unusable(adapter.model, cause, way_out, KINDS[key])


def _unfit(key: str, adapter: Adapter, model: str, cause: str) -> UserError:
    way_out = f"take one that was trained for this model, or set generator.{key}=null."
    return unusable(adapter.model, f"it does not fit {model} ({cause})", way_out, KINDS[key])

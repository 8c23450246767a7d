"""The weight files that a pipeline is loaded from: which they are, whether they are whole, what they hash to."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from synthaug import files

# What diffusers and transformers call their files. In a sharded file's name the variant stands before the number;
# after it in an older way of writing.
_NAME = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<variant>[^.]+?))?(?:-\d+-of-\d+)?(?:\.(?P<older>[^.]+))?\.(?P<format>safetensors|bin)"
)
_INDEX = re.compile(r".*\.(?P<format>safetensors|bin)\.index(?:\.(?P<variant>[^.]+))?\.json")
_POINTER = b"version https://git-lfs"  # how a file begins that Git has left in the place of a large one


def weight_files(folder: Path, parts: Iterable[str], variant: str | None, allow_pickle: bool) -> dict[str, Path]:
    """Name below `folder` → path of every weight file that the libraries load.

    Args:
        folder: of a pipeline in diffusers' format.
        parts: names of its subfolders that are used.
        variant: such as "fp16"; a part that has no files of it is loaded from those without.
        allow_pickle: whether a part without safetensors is loaded from pickles.
    """
    found: dict[str, Path] = {}
    for part in parts:
        named = [(match, path) for path in _in(folder / part) if (match := _NAME.fullmatch(path.name))]
        safe = [pair for pair in named if pair[0]["format"] == "safetensors"]
        usable = safe or (named if allow_pickle else [])
        own = [path for match, path in usable if variant and variant in (match["variant"], match["older"])]
        plain = [path for match, path in usable if match["variant"] is match["older"] is None]
        found |= {f"{part}/{path.name}": path for path in own or plain}
    return found


def damage(folder: Path, parts: Iterable[str], variant: str | None, allow_pickle: bool) -> Iterator[str]:
    """Say of each weight file what it lacks, as far as names and lengths tell; nothing large is read."""
    parts = list(parts)
    for part in parts:
        found = [(match, path) for path in _in(folder / part) if (match := _INDEX.fullmatch(path.name))]
        safe = [pair for pair in found if pair[0]["format"] == "safetensors"]
        usable = safe or (found if allow_pickle else [])
        own = [path for match, path in usable if variant and match["variant"] == variant]
        plain = [path for match, path in usable if match["variant"] is None]
        for index in own or plain:
            yield from (f"{part}/{name} is missing, which {index.name} names" for name in _missing(index))
    for name, path in weight_files(folder, parts, variant, allow_pickle).items():
        if path.suffix == ".safetensors" and (lack := _lack(path)):
            yield f"{name} {lack}"


def fingerprint(loaded: Mapping[str, Path]) -> str:
    """One SHA-256 over the names and contents of weight files, whatever order they come in."""
    lines = "".join(f"{name}\0{_content(path)}\n" for name, path in sorted(loaded.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _content(path: Path) -> str:
    """SHA-256 of a file; the hub's cache calls a large file by it, which spares reading gigabytes."""
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    return files.sha256(path)


def _in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _missing(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError):
        return [f"(anything: {index.name} cannot be read)"]
    return sorted(name for name in names if not index.with_name(name).is_file())


def _lack(path: Path) -> str | None:
    """What is wrong with a safetensors file: its header, JSON behind eight bytes of length, says where data end."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(len(_POINTER))
        if start == _POINTER:
            return "is a pointer of Git LFS instead of the weights (git lfs pull fetches them)"
        stream.seek(8)
        length = int.from_bytes(start[:8], "little")
        if size < 8 or size < 8 + length:
            return f"is cut short: it has {size:,} bytes, fewer than its header"
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "is no safetensors file"
    whole = 8 + length + max(ends, default=0)
    return f"is cut short: it has {size:,} of {whole:,} bytes" if size < whole else None

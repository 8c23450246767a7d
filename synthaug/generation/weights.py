"""The weight files of a pipeline: which are loaded, whether they are complete, their hash."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from synthaug import files

# Names that diffusers and transformers give their files. In a sharded file's name the variant stands before the
# number; in earlier releases, after it.
_NAME = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<variant>[^.]+?))?(?:-\d+-of-\d+)?(?:\.(?P<suffix>[^.]+))?\.(?P<format>safetensors|bin)"
)
_SHARD_INDEX = re.compile(r".*\.(?P<format>safetensors|bin)\.index(?:\.(?P<variant>[^.]+))?(?P<suffix>)\.json")
_LFS_POINTER = b"version https://git-lfs"  # first bytes of the file that Git leaves in the place of a large one


def weight_files(folder: Path, parts: Iterable[str], variant: str | None, allow_pickle: bool) -> dict[str, Path]:
    """Return name below `folder` → path of every weight file that the libraries load.

    Args:
        folder: of a pipeline in diffusers' format.
        parts: names of its subfolders that are used.
        variant: such as "fp16"; a part without files of it is loaded from those without a variant.
        allow_pickle: whether a part without safetensors is loaded from pickles.
    """
    return {
        f"{part}/{path.name}": path for part in parts for path in _select(folder / part, _NAME, variant, allow_pickle)
    }


def damaged_files(folder: Path, parts: Iterable[str], variant: str | None, allow_pickle: bool) -> Iterator[str]:
    """Yield what is wrong with each weight file, as far as names and headers tell; no tensor is read.

    Args:
        folder, parts, variant, allow_pickle: of `weight_files`.
    """
    parts = list(parts)
    for part in parts:
        for index in _select(folder / part, _SHARD_INDEX, variant, allow_pickle):
            yield from (f"{part}/{name} is missing, which {index.name} names" for name in _missing_shards(index))
    for name, path in weight_files(folder, parts, variant, allow_pickle).items():
        if path.suffix == ".safetensors" and (problem := safetensors_problem(path)):
            yield f"{name} {problem}"


def fingerprint(loaded: Mapping[str, Path]) -> str:
    """Return one SHA-256 over the names and contents of weight files, in any order."""
    lines = "".join(f"{name}\0{_sha256(path)}\n" for name, path in sorted(loaded.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file; the hub's cache names a large file by it, which spares reading gigabytes."""
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    return files.sha256(path)


def _select(folder: Path, pattern: re.Pattern[str], variant: str | None, allow_pickle: bool) -> list[Path]:
    """Return the files of a folder that the libraries choose: safetensors before pickles, the variant before none."""
    paths = sorted(path for path in folder.glob("*") if path.is_file())
    matches = [(match, path) for path in paths if (match := pattern.fullmatch(path.name))]
    safe = [pair for pair in matches if pair[0]["format"] == "safetensors"]
    usable = safe or (matches if allow_pickle else [])
    of_variant = [path for match, path in usable if variant and variant in (match["variant"], match["suffix"])]
    return of_variant or [path for match, path in usable if not (match["variant"] or match["suffix"])]


def _missing_shards(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError):
        return [f"(anything: {index.name} cannot be read)"]
    return sorted(name for name in names if not index.with_name(name).is_file())


def safetensors_problem(path: Path) -> str | None:
    """Return what is wrong with a file as far as its header tells; None for a whole one."""
    with path.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            return "is a pointer of Git LFS instead of the weights (git lfs pull fetches them)"
    try:
        with safe_open(path, framework="np"):  # compares the header with the size of the file
            return None
    except (SafetensorError, OSError) as error:
        return f"is cut short or not a safetensors file ({error})"

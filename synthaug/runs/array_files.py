"""Uncompressed `.npz` archives of arrays: what they claim to be is verified before there is memory for it."""

import contextlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.files import whole_file

_BLOCK = 2**22  # values read at once


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays atomically, the same bytes for the same arrays.

    Args:
        file: to write.
        arrays: by name.
    """
    with whole_file(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


@contextlib.contextmanager
def archive_errors() -> Iterator[None]:
    """Turn whatever a foreign file provokes in the reader of archives into a ValueError."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"it is not such a file: {error.args[0]}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is damaged or no such file: {error}") from None


def read_array(
    archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...] | None = None, wanted: Any = None
) -> NDArray[Any]:
    """Return an array of an archive; what it claims to be is checked before there is memory for it.

    Args:
        archive: of the arrays.
        name: of the array.
        kind: of its values.
        shape: of the array; None: of any length.
        wanted: kind of the values returned; those of `kind` are converted piece by piece.
    """
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"{name} is not as the run wrote it")
        actual, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        values = np.dtype(kind)
        is_whole = entry.file_size == entry.compress_size == member.tell() + int(np.prod(actual)) * values.itemsize
        if dtype != values or fortran or not is_whole or (len(actual) != 1 if shape is None else actual != shape):
            raise ValueError(f"{name} is not as the run wrote it")
        array = np.empty(actual, dtype=wanted or values)
        flat = array.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            part = flat[start : start + _BLOCK]
            part[:] = np.frombuffer(member.read(part.size * values.itemsize), dtype=values)
        member.read(1)  # at its end the sum of all bytes is verified
    return array


def joined(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return names as bytes, each ended by the only letter that no name has."""
    return np.frombuffer("".join(f"{name}\0" for name in names).encode(), dtype=np.uint8)


def parted(content: NDArray[np.uint8]) -> list[str]:
    """Return what `joined` was given."""
    return content.tobytes().decode().split("\0")[:-1]

"""Embeddings of images on disk, by the content of their files: computed once, whoever asks for them.

A store is a folder of one file per backbone, `<folder>/<backbone>-<hash>/features.bin`: a record per image, of the
SHA-256 of its file, its embedding and a check of both. Records are only ever appended, under a lock: half a record
that a killed process left is cut off, and one that has changed on the disk is computed again.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from synthaug import locks
from synthaug.data.parallel import decoded_batches
from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.features.feature_backbone import FeatureBackbone, label
from synthaug.files import write_json
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)

FEATURES = "features.bin"
_KEY, _CHECK = 32, 8  # bytes


class FeatureStore:
    """The embeddings of images by one backbone.

    Args:
        folder: of all stores, such as `<output_dir>/features`; created on demand.
        backbone: from `feature_backbone`.
    """

    def __init__(self, folder: Path, backbone: FeatureBackbone) -> None:
        self.backbone = backbone
        self.folder = folder / f"{label(backbone.name)}-{backbone.digest[:12]}"
        self._size = _KEY + 4 * backbone.dimension + _CHECK

    def of(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Return the embeddings (N, D) of images, in their order; what is not on disk is computed.

        Raises:
            UserError: files that are no whole images, or not those that were listed; all of them at once.
        """
        paths = {sample.sha256: sample.path for sample in samples}
        rows, records = self._whole(paths)
        if len(rows) < len(paths):
            self.folder.mkdir(parents=True, exist_ok=True)
            with locks.exclusive(self.folder / ".lock", f"computes features by {self.backbone.name}"):
                rows, _ = self._whole(paths)  # another process may have computed them meanwhile
                self._compute({key: path for key, path in paths.items() if key not in rows})
            rows, records = self._whole(paths)
        order = [rows[sample.sha256] for sample in samples]
        if not order:
            return np.zeros((0, self.backbone.dimension), dtype=np.float32)
        embeddings = np.ascontiguousarray(records[order, _KEY:-_CHECK])
        return embeddings.view(np.float32)

    def _whole(self, keys: Iterable[str]) -> tuple[dict[str, int], NDArray[np.uint8]]:
        """Return the rows of those images whose record is as it was written, and all records (rows, bytes)."""
        path = self.folder / FEATURES
        count = path.stat().st_size // self._size if path.is_file() else 0
        if not count:
            return {}, np.zeros((0, self._size), dtype=np.uint8)
        records = np.memmap(path, dtype=np.uint8, mode="r", shape=(count, self._size))
        wanted = {bytes.fromhex(key): key for key in keys}
        stored = records[:, :_KEY].tobytes()
        rows: dict[str, int] = {}
        for row in range(count):
            key = wanted.get(stored[row * _KEY : (row + 1) * _KEY])
            if key is not None and key not in rows and _is_whole(records[row].tobytes()):
                rows[key] = row
        return rows, records

    def _compute(self, missing: Mapping[str, Path]) -> None:
        if not missing:
            return
        backbone, bad = self.backbone, dict[Path, str]()
        if not (self.folder / "backbone.json").is_file():
            write_json(self.folder / "backbone.json", {"name": backbone.name, "digest": backbone.digest})
        # Sorted, so that the batches do not depend on the order of the request.
        files: list[tuple[str | None, Path]] = [(key, missing[key]) for key in sorted(missing)]
        with (
            self._open_end() as stream,
            tqdm(total=len(files), desc=f"features ({backbone.name})", unit="image", disable=None, leave=False) as bar,
        ):
            for batch in decoded_batches(files, backbone.short_side, backbone.batch_size):
                bad |= {path: image for (_, path), image in batch if isinstance(image, str)}
                readable = [(str(key), image) for (key, _), image in batch if not isinstance(image, str)]
                vectors = backbone.embed([image for _, image in readable])
                if not np.isfinite(vectors).all():
                    raise UserError(f"backbone {backbone.name}: its features are no finite numbers; choose another.")
                stream.write(b"".join(_record(key, v) for (key, _), v in zip(readable, vectors, strict=True)))
                stream.flush()
                bar.update(len(batch))
            os.fsync(stream.fileno())
        if bad:
            reasons = bullets([f"{path}: {reason}" for path, reason in sorted(bad.items())])
            what = plural(len(bad), "file is not a whole image", "files are not whole images")
            raise UserError(f"{what}:\n{reasons}\nRepair or remove them; then run the same command again.")

    def _open_end(self) -> BinaryIO:
        """Open the file behind its last whole record."""
        path = self.folder / FEATURES
        path.touch()
        stream = path.open("r+b")
        stream.truncate(path.stat().st_size // self._size * self._size)
        stream.seek(0, os.SEEK_END)
        return stream


def _record(key: str, vector: NDArray[np.float32]) -> bytes:
    content = bytes.fromhex(key) + np.ascontiguousarray(vector, dtype=np.float32).tobytes()
    return content + _check(content)


def _is_whole(record: bytes) -> bool:
    return record[-_CHECK:] == _check(record[:-_CHECK])


def _check(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK).digest()

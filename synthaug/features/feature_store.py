"""Embeddings of images on disk, by the content of their files: computed once, whoever asks for them.

A store is a folder per backbone, `<folder>/<backbone>-<hash>/`, with a `vector_file` of the SHA-256 of each image.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug.data.parallel import decoded_batches
from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.features.feature_backbone import FeatureBackbone, label
from synthaug.features.vector_file import VectorFile
from synthaug.messages import bullets, plural


class FeatureStore:
    """The embeddings of images by one backbone.

    Args:
        folder: of all stores, such as `<output_dir>/features`; created on demand.
        backbone: from `feature_backbone`.
    """

    def __init__(self, folder: Path, backbone: FeatureBackbone) -> None:
        self.backbone = backbone
        self.folder = folder / f"{label(backbone.name)}-{backbone.digest[:12]}"
        self._file = VectorFile(self.folder, backbone.dimension, backbone.name, backbone.digest)

    def of(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Return the embeddings (N, D) of images, in their order; what is not on disk is computed.

        Raises:
            UserError: files that are not whole images, or not those that were listed; all of them at once.
        """
        paths = {sample.sha256: sample.path for sample in samples}
        vectors = self._file.complete(paths, lambda missing: self._embedded({key: paths[key] for key in missing}))
        return vectors.values[[vectors.rows[sample.sha256] for sample in samples]]

    def _embedded(self, missing: Mapping[str, Path]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yield batches of file hashes and their embeddings."""
        backbone, bad = self.backbone, dict[Path, str]()
        for batch in decoded_batches(list(missing.items()), backbone.short_side, backbone.batch_size):
            bad |= {path: image for (_, path), image in batch if isinstance(image, str)}
            readable = [(str(key), image) for (key, _), image in batch if not isinstance(image, str)]
            yield [key for key, _ in readable], backbone.embed([image for _, image in readable])
        if bad:
            reasons = bullets([f"{path}: {reason}" for path, reason in sorted(bad.items())])
            what = plural(len(bad), "file is not a whole image", "files are not whole images")
            raise UserError(f"{what}:\n{reasons}\nRepair or remove them; then run the same command again.")

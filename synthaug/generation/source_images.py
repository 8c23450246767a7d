"""Real images that guide a generator: which of them each synthetic image gets, and whether they are still the same."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from synthaug.data.decoding import try_decode
from synthaug.data.samples import Sample, digest
from synthaug.errors import UserError

_SHORT_SIDE = 2048  # pixels to which larger images are shrunk: more than any model takes


@dataclass(frozen=True)
class SourceImages:
    """The real images of an arm from which a generator may start.

    Attributes:
        root: folder of the dataset, to which paths in a manifest are relative.
        by_class: class → its images, at least one.
    """

    root: Path
    by_class: Mapping[str, Sequence[Sample]]
    _orders: dict[tuple[str, int], list[Sample]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """Hash over class and content of all images, whatever their order and names."""
        return digest(sample for samples in self.by_class.values() for sample in samples)

    def source(self, class_name: str, index: int) -> Sample:
        """Return the source of a synthetic image, by its class and number alone.

        All images of a class are used before one is used again, each time in another order: a fixed order would pair
        each image with the same few prompts.

        Args:
            class_name: class of the image.
            index: number of the image within its class.
        """
        samples = self.by_class[class_name]
        turn, position = divmod(index, len(samples))
        if (class_name, turn) not in self._orders:
            self._orders[class_name, turn] = sorted(samples, key=lambda sample: (_rank(sample, turn), sample.path))
        return self._orders[class_name, turn][position]

    def name(self, sample: Sample) -> str:
        """Return the path of an image as a manifest has it."""
        path = sample.path
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def read(self, sample: Sample) -> Image.Image:
        """Read an image, as RGB.

        Raises:
            UserError: the file is gone or has changed since it was listed, or is not a whole image.
        """
        pixels = try_decode(sample.sha256, sample.path, _SHORT_SIDE)
        if isinstance(pixels, str):
            raise UserError(
                f"The real image {sample.path}, which guides the generator, cannot be used: {pixels}. Restore it; or "
                "list the dataset anew with the same command, and give the new synthetic set another name with "
                "generator.name=<name>."
            )
        return Image.fromarray(pixels)


def _rank(sample: Sample, turn: int) -> str:
    return hashlib.sha256(f"source\0{turn}\0{sample.class_name}\0{sample.sha256}".encode()).hexdigest()

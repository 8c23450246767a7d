"""Synthetic sets made up for tests: painted images with a manifest."""

from collections.abc import Mapping
from pathlib import Path

from synthaug.generation.synthetic_set import SyntheticSet
from tests.factories.commands import Painter


def painted_set(folder: Path, counts: Mapping[str, int]) -> SyntheticSet:
    """A set of a generator that paints, with so many images of each class."""
    images = SyntheticSet(folder, Painter())
    images.ensure(counts)
    return images

"""Whether a synthetic set still is what its manifest says, and what its generator makes of the same seeds today.

An image is the same where it differs by no more than `MOST_MEAN` levels on average and `MOST_LEVELS` at any pixel:
another batch size, library or processor changes single levels. Of a tenth of an image's values, they become up to 57
levels, and 0.8 on average, in a JPEG file of quality 40, and 10 in one of 92 (measured on 60 photographs).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthaug import files
from synthaug.data.decoding import decode, try_decode
from synthaug.data.folders import files_below
from synthaug.data.parallel import map_images
from synthaug.generation import set_locks
from synthaug.generation.manifest import ManifestRow
from synthaug.generation.synthetic_set import SyntheticSet, image_seed
from synthaug.image_files import is_image_file

MOST_MEAN, MOST_LEVELS = 1.0, 64.0  # of 256
_VERSIONS = ("revision", "weights", "dtype", "scheduler", "diffusers", "transformers", "torch", "python")


@dataclass(frozen=True)
class Repetition:
    """An image that was made again.

    Attributes:
        image: class and number.
        mean: difference in levels, on average.
        largest: at any pixel.
        problem: why it could not be compared; empty otherwise.
    """

    image: str
    mean: float = 0.0
    largest: float = 0.0
    problem: str = ""

    @property
    def is_same(self) -> bool:
        """Whether it is within the tolerance."""
        return not self.problem and self.mean <= MOST_MEAN and self.largest <= MOST_LEVELS

    def __str__(self) -> str:
        return f"{self.image}: {self.problem or f'{self.mean:.2f} levels on average, {self.largest:.0f} at most'}"


def file_problems(images: SyntheticSet, classes: Sequence[str]) -> list[str]:
    """Return in what the manifest of a set and its files disagree, an entry each.

    Args:
        images: the set.
        classes: of the dataset.
    """
    rows = images.manifest()
    accepted = [row for row in rows if not row.rejected and row.class_name in classes]
    states = map_images(lambda row: _state(images.path(row), row), accepted, "checking files")
    problems = [problem for problem in states if problem]
    problems += [
        f"{row.class_name}/{row.index:06d}: a row of {row.class_name!r}, which is not a class of the dataset"
        for row in rows
        if row.class_name not in classes
    ]
    problems += [
        f"{row.class_name}/{row.index:06d}: its seed {row.seed} is not that of its class, prompt and number"
        for row in accepted
        if row.prompt == images.prompts.prompt(row.class_name, row.index)  # others hide a text of the environment
        and row.seed != image_seed(row.class_name, row.prompt, row.index, images.series)
    ]
    with set_locks.idle(images.folder) as is_free:
        if is_free:  # or another process is writing files that have no rows yet
            listed = {images.path(row) for row in images.manifest() if not row.rejected and row.class_name in classes}
            folders = [images.folder / name for name in classes if (images.folder / name).is_dir()]
            problems += [
                f"{path.relative_to(images.folder)}: a file without a row"
                for folder in folders
                for path in files_below(folder, images.folder)
                if path not in listed
            ]
    return problems


def _state(path: Path, row: ManifestRow) -> str:
    """Return what is wrong with the file of a row."""
    name = f"{row.class_name}/{path.name}"
    if not is_image_file(path):
        return f"{name}: the file is missing; generating makes it again"
    current = files.sha256(path)
    if current == row.sha256:
        return ""
    readable = try_decode(None, path, 1)
    damage = f", and is not a whole image ({readable})" if isinstance(readable, str) else ""
    return f"{name}: the file has the hash {current[:12]}, its row {row.sha256[:12] or 'none'}{damage}"


def repeat(images: SyntheticSet, classes: Sequence[str], count: int, seed: int) -> tuple[list[Repetition], list[str]]:
    """Make images of a set again, chosen at random; nothing is written.

    Args:
        images: the set.
        classes: of the dataset.
        count: how many images; all, if there are fewer.
        seed: of the choice.

    Returns:
        What became of each, and which versions differ from those recorded.

    Raises:
        UserError: the model cannot be loaded, or the set is of other settings or prompts.
    """
    present = [row for row in images.rows() if not row.rejected and row.class_name in classes]
    chosen = sorted(
        random.Random(seed).sample(present, min(count, len(present))), key=lambda row: (row.class_name, row.index)
    )
    images.generator.check(sorted({row.class_name for row in chosen}))
    repetitions: list[Repetition] = []
    changes: dict[str, None] = {}
    try:
        size = max(1, images.generator.batch_size)
        for batch in (chosen[start : start + size] for start in range(0, len(chosen), size)):
            sampled = images.sample_again([(row.class_name, row.index) for row in batch])
            for row, (current, image) in zip(batch, sampled, strict=True):
                changes |= dict.fromkeys(_version_changes(row, current))
                name = f"{row.class_name}/{images.path(row).name}"
                if image is None:
                    repetitions.append(Repetition(name, problem=f"is rejected now: {current.rejected}"))
                else:
                    again = decode(images.encoded(current, image), None)
                    repetitions.append(_compare(name, images.path(row), again))
    finally:
        images.generator.unload()
    return repetitions, list(changes)


def _version_changes(recorded: ManifestRow, current: ManifestRow) -> list[str]:
    pairs = [(name, getattr(recorded, name), getattr(current, name)) for name in _VERSIONS]
    return [f"{name}: {old or 'none'} recorded, {new or 'none'} now" for name, old, new in pairs if old != new]


def _compare(name: str, path: Path, again: NDArray[np.uint8]) -> Repetition:
    stored = try_decode(None, path, 2**31)
    if isinstance(stored, str):
        return Repetition(name, problem=f"the stored file cannot be read: {stored}")
    if stored.shape != again.shape:
        sizes = [f"{pixels.shape[1]}×{pixels.shape[0]}" for pixels in (stored, again)]
        return Repetition(name, problem=f"{sizes[0]} pixels stored, {sizes[1]} now")
    difference = np.abs(stored.astype(np.int16) - again)
    return Repetition(name, float(difference.mean()), float(difference.max()))

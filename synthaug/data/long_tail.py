"""Training images of which some classes keep few: long-tailed versions of a dataset, and numbers for single classes.

Which images a class keeps depends on its name and their content alone: what is kept of 10 is kept of 20.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

from synthaug.data.samples import Sample, Samples, per_class
from synthaug.errors import UserError
from synthaug.messages import bullets, plural


def tail_sizes(available: Mapping[str, int], imbalance: float, seed: int | None = None) -> dict[str, int]:
    """Return class name → images of a long-tailed version of a dataset.

    They fall exponentially from the largest class to `imbalance` times as many: largest · imbalance^(i / (classes - 1))
    for the i-th class. A class that has fewer keeps all of its own.

    Cui, Y., Jia, M., Lin, T.-Y., Song, Y., Belongie, S. (2019). Class-balanced loss based on effective number of
    samples. CVPR.

    Args:
        available: class name → number of training images.
        imbalance: size of the rarest class as a share of the largest.
        seed: of the order of the classes; None: that of `available`, which is by name.

    Raises:
        UserError: the rarest class would have no image.
    """
    names = list(available) if seed is None else sorted(available, key=lambda name: _hash(seed, name))
    largest = max(available.values())
    if largest * imbalance < 0.5:
        raise UserError(
            f"dataset.imbalance={imbalance:g}: the rarest class would have 0 images, as the largest has {largest:,}; "
            f"give at least {1 / largest:.2g}, which leaves it one."
        )
    places = {name: number / max(len(names) - 1, 1) for number, name in enumerate(names)}
    return {
        name: min(images, math.floor(largest * imbalance ** places[name] + 0.5)) for name, images in available.items()
    }


def few_of(available: Mapping[str, int], class_counts: Mapping[str, int]) -> dict[str, int]:
    """Return class name → images where some classes keep so many.

    Args:
        available: class name → number of training images.
        class_counts: class name → number to keep; of the others, all.

    Raises:
        UserError: classes that there are not, or that have fewer images.
    """
    problems = [f"{name}: there is no such class" for name in class_counts if name not in available]
    problems += [
        f"{name}: {count} of {plural(available[name], 'training image')}"
        for name, count in class_counts.items()
        if count > available.get(name, count)
    ]
    if problems:
        raise UserError(
            f"dataset.class_counts cannot be kept:\n{bullets(problems)}\nLower them; the classes are "
            f"{', '.join(available)}."
        )
    return {**available, **class_counts}


def keep(samples: Sequence[Sample], sizes: Mapping[str, int]) -> Samples:
    """Return samples without those that their classes do not keep, in their order.

    Args:
        samples: of all classes.
        sizes: class name → number to keep.
    """
    listed = Samples.of(samples)
    kept = {
        sample.path
        for name, of_class in per_class(listed, list(sizes)).items()
        for sample in sorted(of_class, key=lambda sample: (_hash(name, sample.sha256), sample.path.as_posix()))[
            : sizes[name]
        ]
    }
    return listed.where(lambda sample: sample.path in kept)


def _hash(*parts: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()

"""Selection of the images that an arm trains on: a pure function of (sample lists, real, synthetic, seed).

A mix is two numbers, both multiples of the number of real training images of a class: `real` of them are
kept and `synthetic` of them are added; above 1, further real images join all of those. Counts are exact in
every class and depend on that class alone; what is kept at 0.4 is kept at 0.5 for the same seed; the order
of the lists does not matter, and a class that gains images keeps most of its choice.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from synthaug.data.samples import Sample, per_class
from synthaug.errors import UserError
from synthaug.messages import bullets, plural


@dataclass(frozen=True)
class Counts:
    """Images of one class in one arm."""

    real: int
    synthetic: int


def counts(available: int, real: float, synthetic: float) -> Counts:
    """Count the images of a class in a mix.

    The real count is `real · available` rounded half up, whatever `synthetic` is, so that an arm and its
    control without synthetic images have equally many. The total is `(real + synthetic) · available`
    rounded half up, so that a replacement arm is exactly as large as the real training set.

    Args:
        available: real training images of the class.
        real: real images of the mix, a multiple of `available`.
        synthetic: synthetic images of the mix, likewise.
    """
    kept = _round_half_up(_exact(real) * available)
    total = _round_half_up((_exact(real) + _exact(synthetic)) * available)
    return Counts(kept, total - kept)


def required(
    train: Sequence[Sample], classes: Sequence[str], real: float, synthetic: float, more: Sequence[Sample] = ()
) -> dict[str, Counts]:
    """Return class name → the counts of a mix.

    Args:
        train: real training images, by which the mix is measured.
        classes: names.
        real: real images of the mix, a multiple of the real training set.
        synthetic: synthetic images of the mix, likewise.
        more: further real images.

    Raises:
        UserError: classes in which the mix would have no image at all, or none of an origin that it includes, or which
            have too few real images for it.
    """
    available = {name: len(samples) for name, samples in per_class(train, classes).items()}
    class_counts = {name: counts(images, real, synthetic) for name, images in available.items()}
    few = [
        f"{name}: {plural(available[name], 'real image')}, so {count.real} real and {count.synthetic} synthetic"
        for name, count in class_counts.items()
        if (count.real == 0 and (real > 0 or count.synthetic == 0)) or (count.synthetic == 0 and synthetic > 0)
    ]
    if few:
        raise UserError(
            f"The mix real={real:g} synthetic={synthetic:g} comes to 0 training images in "
            f"{plural(len(few), 'class', 'classes')}:\n{bullets(few)}\n"
            "Raise mix.real or mix.synthetic, or add photographs."
        )
    further = {name: len(samples) for name, samples in per_class(more, classes).items()}
    _require_enough(class_counts, available, further, real)
    return class_counts


def _require_enough(
    class_counts: Mapping[str, Counts], available: Mapping[str, int], further: Mapping[str, int], real: float
) -> None:
    short = [
        f"{name}: {count.real} of {plural(available[name], 'training image')} and {further[name]} further ones"
        for name, count in class_counts.items()
        if count.real > available[name] + further[name]
    ]
    if short:
        raise UserError(
            f"The mix real={real:g} needs more real images than there are in "
            f"{plural(len(short), 'class', 'classes')}:\n{bullets(short)}\n"
            "Lower mix.real, or put further images into the folder that dataset.more=<folder> names."
        )


def within(class_counts: Mapping[str, Counts], available: Mapping[str, int]) -> dict[str, Counts]:
    """Limit the counts of a mix to the synthetic images that exist.

    Args:
        class_counts: class name → counts, from `required`.
        available: class name → number of synthetic images.

    Raises:
        UserError: classes that are left without any image.
    """
    limited = {name: Counts(count.real, min(count.synthetic, available[name])) for name, count in class_counts.items()}
    empty = [name for name, count in limited.items() if count.real + count.synthetic == 0]
    if empty:
        raise UserError(
            f"There are no synthetic images of {', '.join(empty)}, and the mix has no real ones: add images, or "
            "raise mix.real."
        )
    return limited


def select(
    train: Sequence[Sample],
    pool: Sequence[Sample],
    class_counts: Mapping[str, Counts],
    seed: int,
    more: Sequence[Sample] = (),
) -> list[Sample]:
    """Select the images of an arm, sorted by class, origin and path.

    Args:
        train: real training images.
        pool: synthetic images, of which a prefix is selected: generated ones in the order of their index (so that a
            pool that grows later does not change the selection), others in the order of `seed`.
        class_counts: class name → counts, from `required`.
        seed: of the run.
        more: further real images, which come after all of `train`.

    Raises:
        UserError: the pool has too few images; every class is named.
    """
    classes = list(class_counts)
    real, further, synthetic = (per_class(samples, classes) for samples in (train, more, pool))
    short = [
        f"{name}: {len(synthetic[name])} of {count.synthetic}"
        for name, count in class_counts.items()
        if len(synthetic[name]) < count.synthetic
    ]
    if short:
        raise UserError(
            f"The synthetic set has too few images for the mix in {plural(len(short), 'class', 'classes')}:\n"
            f"{bullets(short)}"
        )
    chosen: list[Sample] = []
    for name, count in class_counts.items():
        chosen += [*_shuffled(real[name], seed), *_shuffled(further[name], seed)][: count.real]
        chosen += _in_order(synthetic[name], seed)[: count.synthetic]
    return sorted(chosen, key=lambda sample: (sample.label, sample.origin, str(sample.path)))


def _in_order(samples: Iterable[Sample], seed: int) -> list[Sample]:
    listed = list(samples)
    if all(sample.index is not None for sample in listed):
        return sorted(listed, key=lambda sample: sample.index or 0)
    return _shuffled(listed, seed)


def _shuffled(samples: Iterable[Sample], seed: int) -> list[Sample]:
    """Order samples by (seed, class, content) alone, and copies of one file by path."""
    return sorted(samples, key=lambda sample: (_rank(seed, sample), sample.path.as_posix()))


def _rank(seed: int, sample: Sample) -> bytes:
    return hashlib.sha256(f"{seed}\0{sample.class_name}\0{sample.sha256}".encode()).digest()


def _exact(number: float) -> Fraction:
    """Return the decimal number that was typed: 0.1 is one tenth, so that 0.1 + 0.2 of 10 is 3, not 4."""
    return Fraction(repr(float(number)))  # NumPy's floats are floats, but their `repr` is no number


def _round_half_up(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))

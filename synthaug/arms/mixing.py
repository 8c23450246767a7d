"""Selection of the images that an arm trains on: a pure function of (sample lists, mix, seed).

A mix is two numbers, both multiples of the number of real training images of a class: `real` of them are
kept and `synthetic` of them are added; above 1, further real images join all of those. In the place of the
first there may be a number of images (`real_per_class`, shots), in that of the second a size up to which
synthetic images fill each class (`fill`). Counts are exact in every class; what is kept at 0.4 is kept at
0.5 for the same seed, and what is kept of 4 is kept of 8; the order of the lists does not matter, and a class
that gains images keeps most of its choice.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from synthaug.data.samples import Sample, Samples, per_class
from synthaug.errors import UserError
from synthaug.messages import bullets, join_words, plural

LARGEST = "largest"


@dataclass(frozen=True)
class Counts:
    """Images of one class in one arm."""

    real: int
    synthetic: int


@dataclass(frozen=True)
class Mix:
    """How many images an arm has.

    Attributes:
        real: real images, a multiple of the real training images of each class.
        synthetic: synthetic images, likewise.
        real_per_class: real images of each class, in the place of `real`; None: as that says.
        fill: images of each class after synthetic ones have been added to its real ones, where it has fewer:
            `LARGEST` for as many as the largest class of the real training set, a number, or class name → number
            (classes that are not named get none); in the place of `synthetic`. None: as that says.
    """

    real: float
    synthetic: float
    real_per_class: int | None = None
    fill: str | int | Mapping[str, int] | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Mix":
        """Return the mix that the settings of the group `mix` describe."""
        return cls(
            settings["real"], settings["synthetic"], settings.get("real_per_class"), settings.get("fill") or None
        )

    @property
    def has_synthetic(self) -> bool:
        """Whether it may have synthetic images."""
        return self.synthetic > 0 or self.fill is not None

    @property
    def is_without_real(self) -> bool:
        """Whether it has no real image on purpose."""
        return self.real_per_class is None and self.real == 0

    def __str__(self) -> str:
        real = f"real={self.real:g}" if self.real_per_class is None else f"real_per_class={self.real_per_class}"
        return f"{real} synthetic={self.synthetic:g}" if self.fill is None else f"{real} fill={self.fill}"


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
    kept = round_half_up(_exact(real) * available)
    total = round_half_up((_exact(real) + _exact(synthetic)) * available)
    return Counts(kept, total - kept)


def mix_counts(available: Mapping[str, int], mix: Mix) -> dict[str, Counts]:
    """Count the images of every class in a mix.

    Args:
        available: class name → number of real training images.
        mix: of the arm.
    """
    largest = max(available.values(), default=0)
    class_counts = {}
    for name, images in available.items():
        count = counts(images, mix.real, mix.synthetic)
        if mix.real_per_class is not None:
            count = Counts(mix.real_per_class, counts(images, 0, mix.synthetic).synthetic)
        if mix.fill is not None:
            size = (
                largest if mix.fill == LARGEST else mix.fill.get(name, 0) if isinstance(mix.fill, Mapping) else mix.fill
            )
            count = Counts(count.real, max(0, int(size) - count.real))
        class_counts[name] = count
    return class_counts


def required(
    train: Sequence[Sample], classes: Sequence[str], mix: Mix, more: Sequence[Sample] = ()
) -> dict[str, Counts]:
    """Return class name → the counts of a mix.

    Args:
        train: real training images, by which the mix is measured.
        classes: names.
        mix: of the arm.
        more: further real images.

    Raises:
        UserError: classes in which the mix would have no image at all, or none of an origin that it includes, or which
            have too few real images for it; a mix that fills nothing, or names other classes.
    """
    available = {name: len(samples) for name, samples in per_class(train, classes).items()}
    if isinstance(mix.fill, Mapping) and (unknown := [name for name in mix.fill if name not in available]):
        raise UserError(
            f"mix.fill names {join_words(unknown)}, but the dataset has no such "
            f"{'class' if len(unknown) == 1 else 'classes'}; it has {', '.join(classes)}."
        )
    class_counts = mix_counts(available, mix)
    few = [
        f"{name}: {plural(available[name], 'real image')}, so {count.real} real and {count.synthetic} synthetic"
        for name, count in class_counts.items()
        if (count.real == 0 and not (mix.is_without_real and count.synthetic))
        or (count.synthetic == 0 and mix.synthetic > 0)
    ]
    if few:
        raise UserError(
            f"The mix {mix} comes to 0 training images in "
            f"{plural(len(few), 'class', 'classes')}:\n{bullets(few)}\n"
            "Raise mix.real or mix.synthetic, or add photographs."
        )
    further = {name: len(samples) for name, samples in per_class(more, classes).items()}
    _require_enough(class_counts, available, further, mix)
    if mix.fill is not None and not any(count.synthetic for count in class_counts.values()):
        smallest = min(class_counts, key=lambda name: class_counts[name].real)
        raise UserError(
            f"mix.fill={mix.fill} adds no synthetic image: the smallest class, {smallest}, has "
            f"{plural(class_counts[smallest].real, 'real image')}. Raise mix.fill, or leave the arm out."
        )
    return class_counts


def _require_enough(
    class_counts: Mapping[str, Counts], available: Mapping[str, int], further: Mapping[str, int], mix: Mix
) -> None:
    short = [
        f"{name}: {count.real} of {plural(available[name], 'training image')} and {further[name]} further ones"
        for name, count in class_counts.items()
        if count.real > available[name] + further[name]
    ]
    if short:
        key = "mix.real" if mix.real_per_class is None else "mix.real_per_class"
        raise UserError(
            f"The mix {str(mix).partition(' ')[0]} needs more real images than there are in "
            f"{plural(len(short), 'class', 'classes')}:\n{bullets(short)}\n"
            f"Lower {key}, or put further images into the folder that dataset.more=<folder> names."
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
) -> Samples:
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
    chosen: list[Samples] = []
    for name, count in class_counts.items():
        ordered = Samples.joined([shuffled(real[name], seed), shuffled(further[name], seed)])
        of_class = ordered[: count.real], _in_order(synthetic[name], seed)[: count.synthetic]
        chosen += [samples.arranged(lambda sample: sample.file) for samples in of_class if samples]
    chosen.sort(key=lambda samples: (samples[0].label, samples[0].origin))
    return Samples.joined(chosen)


def _in_order(samples: Samples, seed: int) -> Samples:
    if all(sample.order is not None for sample in samples):
        return samples.arranged(lambda sample: sample.order or 0)
    return shuffled(samples, seed)


def shuffled(samples: Iterable[Sample], seed: int) -> Samples:
    """Order samples by (seed, class, content) alone, and copies of one file by path.

    Args:
        samples: in any order.
        seed: of the run.
    """
    return Samples.of(samples).arranged(lambda sample: (_rank(seed, sample), sample.path.as_posix()))


def _rank(seed: int, sample: Sample) -> bytes:
    return hashlib.sha256(f"{seed}\0{sample.class_name}\0{sample.sha256}".encode()).digest()


def _exact(number: float) -> Fraction:
    """Return the decimal number that was typed: 0.1 is one tenth, so that 0.1 + 0.2 of 10 is 3, not 4."""
    return Fraction(repr(float(number)))  # NumPy's floats are floats, but their `repr` is not a number


def round_half_up(number: Fraction) -> int:
    """Return the nearest whole number, of two the larger."""
    return math.floor(number + Fraction(1, 2))

"""Which real validation images choose the epoch of an arm that is tested.

An arm with a fifth of the real training images would not have all validation images either: chosen on those, its
epoch knows more photographs than the arm claims to need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from synthaug.arms.mixing import round_half_up, shuffled
from synthaug.data.samples import REAL, RealImages, Sample, Samples, per_class

BEST, LAST, OWN_SHARE = "best", "last", "own_share"


@dataclass(frozen=True)
class EpochImages:
    """The validation images of an arm.

    Attributes:
        images: on which it is evaluated after every epoch.
        choose: whether they choose the epoch; otherwise it is the last.
    """

    images: Sequence[Sample]
    choose: bool

    @property
    def n_selection(self) -> int:
        """How many real images chose the epoch."""
        return len(self.images) if self.choose else 0


def epoch_images(real: RealImages, train: Sequence[Sample], selection: str, seed: int) -> EpochImages:
    """Return the validation images of an arm, and whether they choose the epoch that is tested.

    Args:
        real: the dataset.
        train: training images of the arm.
        selection: `BEST`: all images choose; `LAST`: none. `OWN_SHARE`: of each class the share that the arm has of
            the real training images, at most all and at least one image, drawn by `seed` so that those of a smaller
            share are among those of a larger one; none where the arm has no real images.
        seed: of the run.
    """
    kept = per_class(Samples.of(train).where(lambda sample: sample.origin == REAL), real.classes)
    if selection == LAST or (selection == OWN_SHARE and not any(kept.values())):
        return EpochImages(real.val, choose=False)
    if selection == BEST:
        return EpochImages(real.val, choose=True)
    available, validation = (per_class(samples, real.classes) for samples in (real.train, real.val))
    chosen = {
        sample
        for name, samples in validation.items()
        for sample in shuffled(samples, seed)[: max(1, _share(len(samples), len(kept[name]), len(available[name])))]
    }
    return EpochImages([sample for sample in real.val if sample in chosen], choose=True)


def _share(images: int, kept: int, available: int) -> int:
    return round_half_up(images * Fraction(kept, available))

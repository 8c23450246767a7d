"""The validation images that choose an arm's epoch: as small a share as its own, nested, drawn by seed."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.arms import mixing
from synthaug.arms.epoch_images import BEST, LAST, OWN_SHARE, epoch_images
from synthaug.arms.mixing import Mix
from synthaug.data.samples import RealImages, Sample
from tests.factories.images import sample

CLASSES = ["cat", "dog"]


def images(counts: tuple[int, int], begin: int) -> Sequence[Sample]:
    return [
        sample(begin + 1000 * label + number, name, label)
        for label, (name, count) in enumerate(zip(CLASSES, counts, strict=True))
        for number in range(count)
    ]


def chosen(real: RealImages, share: float, seed: int = 0, selection: str = OWN_SHARE) -> Sequence[Sample]:
    """The validation images of the arm with this share of the real images."""
    counts = mixing.required(real.train, CLASSES, Mix(share, 1 - share))
    pool = [sample(9000 + label, name, label, "synthetic", 0) for label, name in enumerate(CLASSES)]
    train = mixing.select(real.train, pool * 100, counts, seed)
    validation = epoch_images(real, train, selection, seed)
    assert validation.choose
    return validation.images


@given(
    train=st.tuples(st.integers(4, 30), st.integers(4, 30)),
    val=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shares=st.lists(st.sampled_from([0.2, 0.3, 0.4, 0.5, 0.8, 1]), min_size=2, max_size=2),
    seed=st.integers(0, 3),
)
def test_it_is_the_share_of_the_arm_in_every_class_and_nested(
    train: tuple[int, int], val: tuple[int, int], shares: list[float], seed: int
) -> None:
    real = RealImages(CLASSES, images(train, 0), images(val, 100), [])
    smaller, larger = (chosen(real, share, seed) for share in sorted(shares))
    assert set(smaller) <= set(larger) <= set(real.val)
    assert larger == [item for item in real.val if item in set(larger)], "in the order of the dataset"
    counts = Counter(item.class_name for item in smaller)
    for name, n_train, n_val in zip(CLASSES, train, val, strict=True):
        kept = mixing.counts(n_train, min(shares), 0).real
        assert counts[name] == max(1, math.floor(Fraction(n_val * kept, n_train) + Fraction(1, 2)))


def test_another_seed_draws_others() -> None:
    real = RealImages(CLASSES, images((20, 20), 0), images((20, 20), 100), [])
    assert set(chosen(real, 0.5, 0)) != set(chosen(real, 0.5, 1))
    assert chosen(real, 0.5, 0) == chosen(real, 0.5, 0)


def test_all_choose_by_default_and_none_choose_the_last_epoch() -> None:
    real = RealImages(CLASSES, images((8, 8), 0), images((4, 4), 100), [])
    assert chosen(real, 0.25, selection=BEST) == real.val
    last = epoch_images(real, real.train, LAST, 0)
    assert (last.images, last.n_selection) == (real.val, 0)


@pytest.mark.parametrize(("selection", "n_selection"), [(OWN_SHARE, 0), (BEST, 8)])
def test_an_arm_without_real_images_has_none_to_choose_by(selection: str, n_selection: int) -> None:
    real = RealImages(CLASSES, images((8, 8), 0), images((4, 4), 100), [])
    synthetic = [sample(number, "cat", 0, "synthetic", number) for number in range(4)]
    validation = epoch_images(real, synthetic, selection, 0)
    assert validation.images == real.val
    assert validation.n_selection == n_selection


def test_more_real_images_than_there_were_have_all_of_them() -> None:
    train, more, val = images((8, 8), 0), images((8, 8), 500), images((4, 4), 100)
    real = RealImages(CLASSES, train, val, [], more)
    assert epoch_images(real, [*train, *more], OWN_SHARE, 0).images == val

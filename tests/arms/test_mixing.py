"""A mix: exact counts, and a choice that depends on the images and the seed alone."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.arms.mixing import LARGEST, Counts, Mix, counts, mix_counts, required, select, within
from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.errors import UserError
from tests.factories.images import sample

shares = st.decimals(0, 1, places=3).map(float)
multiples = st.decimals(0, 3, places=3).map(float)
sizes = st.integers(0, 60)
seeds = st.integers(0, 2**32)


def reals(n: int, name: str = "cat", label: int = 0) -> list[Sample]:
    return [sample(number, name, label) for number in range(n)]


def generated(n: int, name: str = "cat", label: int = 0) -> list[Sample]:
    return [sample(number, name, label, SYNTHETIC, order=number) for number in range(n)]


def found(n: int, name: str = "cat", label: int = 0) -> list[Sample]:
    return [sample(number, name, label, SYNTHETIC) for number in range(n)]


def half_up(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))


def typed(number: float) -> Fraction:
    return Fraction(str(number))


# --- counts ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 10**6), shares, multiples)
def test_counts_are_rounded_half_up_and_the_total_is_exact(n: int, real: float, synthetic: float) -> None:
    actual = counts(n, real, synthetic)
    assert actual.real == half_up(typed(real) * n)
    assert actual.real + actual.synthetic == half_up((typed(real) + typed(synthetic)) * n)
    assert actual.synthetic >= 0


@settings(deadline=None)
@given(st.integers(0, 10**6), shares)
def test_a_replacement_arm_is_as_large_as_the_real_training_set(n: int, real: float) -> None:
    actual = counts(n, real, float(1 - typed(real)))
    assert actual.real + actual.synthetic == n


@settings(deadline=None)
@given(st.integers(0, 1000), shares, multiples)
def test_an_arm_and_its_control_have_equally_many_real_images(n: int, real: float, synthetic: float) -> None:
    assert counts(n, real, synthetic).real == counts(n, real, 0).real


@pytest.mark.parametrize(
    ("n", "real", "synthetic", "expected"),
    [
        (100, 1, 0, Counts(100, 0)),
        (100, 0.4, 0.6, Counts(40, 60)),
        (100, 0, 10, Counts(0, 1000)),
        (5, 0.5, 0.5, Counts(3, 2)),
        (10, 0.1, 0.2, Counts(1, 2)),
        (5, 0.1, 0.2, Counts(1, 1)),
        (30, 0.35, 0.1, Counts(11, 3)),  # in floats 30 · (0.35 + 0.1) is below 13.5
        (50, 0.29, 0, Counts(15, 0)),  # in floats 50 · 0.29 is below 14.5
        (1, 0.5, 0.5, Counts(1, 0)),
        (0, 1, 1, Counts(0, 0)),
    ],
)
def test_counts_by_example(n: int, real: float, synthetic: float, expected: Counts) -> None:
    assert counts(n, real, synthetic) == expected


def test_a_float_of_numpy_is_a_number_too() -> None:
    assert counts(10, np.float64(0.1), np.float64(0.2)) == Counts(1, 2)


# --- the choice --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(sizes, shares, multiples, seeds)
def test_an_arm_has_the_counts_and_no_image_twice(n: int, real: float, synthetic: float, seed: int) -> None:
    wanted = counts(n, real, synthetic)
    chosen = select(reals(n), generated(wanted.synthetic + 3), {"cat": wanted}, seed)
    origins = [s.origin for s in chosen]
    assert Counts(origins.count("real"), origins.count(SYNTHETIC)) == wanted
    assert len(set(chosen)) == len(chosen)


@settings(deadline=None)
@given(sizes, st.tuples(shares, shares).map(sorted), seeds)
def test_what_is_kept_at_a_smaller_share_is_kept_at_a_larger_one(n: int, real: list[float], seed: int) -> None:
    less, more = (set(select(reals(n), [], {"cat": counts(n, share, 0)}, seed)) for share in real)
    assert less <= more


@settings(deadline=None)
@given(sizes, shares, st.tuples(multiples, multiples).map(sorted), seeds, st.booleans())
def test_what_is_added_is_added_at_a_larger_multiple_too(
    n: int, real: float, synthetic: list[float], seed: int, indexed: bool
) -> None:
    pool = generated(3 * n + 1) if indexed else found(3 * n + 1)
    less, more = (set(select(reals(n), pool, {"cat": counts(n, real, s)}, seed)) for s in synthetic)
    assert less <= more


@settings(deadline=None)
@given(sizes, shares, multiples, seeds, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_lists_does_not_matter(
    n: int, real: float, synthetic: float, seed: int, order: random.Random, indexed: bool
) -> None:
    train, pool = reals(n), (generated if indexed else found)(4 * n)
    wanted = {"cat": counts(n, real, synthetic)}
    expected = select(train, pool, wanted, seed)
    order.shuffle(train)
    order.shuffle(pool)
    assert select(train, pool, wanted, seed) == expected


@settings(deadline=None)
@given(st.permutations([f"may/{n}/cat.png" for n in range(6)]), seeds)
def test_copies_of_one_file_with_the_same_name_are_told_apart_by_their_folders(paths: list[str], seed: int) -> None:
    first = sample(0)
    copies = [Sample(first.path.parent / path, 0, "cat", first.origin, first.sha256) for path in paths]
    chosen = select(copies, [], {"cat": Counts(3, 0)}, seed)
    assert [s.path.parent.name for s in chosen] == ["0", "1", "2"]


@settings(deadline=None)
@given(sizes, shares, multiples, seeds, sizes)
def test_what_other_classes_hold_does_not_matter(n: int, real: float, synthetic: float, seed: int, second: int) -> None:
    cats = counts(n, real, synthetic)
    alone = select(reals(n), generated(4 * n), {"cat": cats}, seed)
    both = select(
        reals(n) + reals(second, "dog", 1),
        generated(4 * n) + generated(4 * second, "dog", 1),
        {"dog": counts(second, real, synthetic), "cat": cats},
        seed,
    )
    assert [s for s in both if s.class_name == "cat"] == alone


@settings(deadline=None)
@given(sizes, st.integers(0, 20), shares, seeds)
def test_a_class_that_gains_images_loses_at_most_as_many_of_its_choice(
    n: int, gained: int, real: float, seed: int
) -> None:
    before = set(select(reals(n), [], {"cat": counts(n, real, 0)}, seed))
    after = set(select(reals(n + gained), [], {"cat": counts(n + gained, real, 0)}, seed))
    newcomers = after & set(reals(n + gained)[n:])
    assert len(before - after) <= len(newcomers) <= gained


@settings(deadline=None)
@given(sizes, st.integers(0, 20), seeds)
def test_a_pool_that_grows_leaves_the_choice_as_it_is(n: int, grown: int, seed: int) -> None:
    wanted = {"cat": Counts(0, n)}
    assert select([], generated(n + grown), wanted, seed) == generated(n)


def test_another_seed_is_another_choice_and_each_image_gets_its_turn() -> None:
    train = reals(100)
    chosen = [frozenset(select(train, [], {"cat": Counts(50, 0)}, seed)) for seed in range(40)]
    assert len(set(chosen)) == 40
    times = [sum(s in choice for choice in chosen) for s in train]
    assert 5 <= min(times) <= max(times) <= 35  # binomial(40, 1/2); beyond is 5 standard deviations


def test_classes_are_drawn_apart_from_one_another() -> None:
    # The same content under two classes: were the class left out of the draw, both would choose the same places.
    chosen = select(reals(50) + reals(50, "dog", 1), [], {"cat": Counts(25, 0), "dog": Counts(25, 0)}, 0)
    cats, dogs = ({s.path.name for s in chosen if s.class_name == name} for name in ("cat", "dog"))
    assert cats != dogs


def test_an_arm_is_sorted_by_class_origin_and_path() -> None:
    train, pool = reals(5, "dog", 1) + reals(5), generated(5) + generated(5, "dog", 1)
    chosen = select(train, pool, {"dog": Counts(3, 2), "cat": Counts(3, 2)}, 0)
    assert [(s.label, s.origin) for s in chosen] == [
        *[(0, "real")] * 3,
        *[(0, "synthetic")] * 2,
        *[(1, "real")] * 3,
        *[(1, "synthetic")] * 2,
    ]
    assert chosen == sorted(chosen, key=lambda s: (s.label, s.origin, s.path))


def test_the_choice_stands_from_release_to_release() -> None:
    # Frozen: whoever changes these numbers changes every published arm.
    chosen = select(reals(12), [], {"cat": Counts(5, 0)}, seed=0)
    assert [int(s.path.stem) for s in chosen] == [0, 2, 3, 7, 9]


# --- what is refused ---------------------------------------------------------------------------------


def test_a_class_that_the_mix_empties_is_named() -> None:
    train = reals(4) + reals(20, "dog", 1)
    assert required(train, ["cat", "dog"], Mix(0.2, 0)) == {"cat": Counts(1, 0), "dog": Counts(4, 0)}
    with pytest.raises(UserError) as caught:
        required(train, ["cat", "cow", "dog"], Mix(0.1, 0))
    message = str(caught.value)
    assert "The mix real=0.1 synthetic=0 comes to 0 training images in 2 classes:" in message
    assert "  - cat: 4 real images, so 0 real and 0 synthetic\n  - cow: 0 real images, so 0 real" in message
    assert "dog" not in message
    assert "Raise mix.real or mix.synthetic" in message


@pytest.mark.parametrize(
    ("real", "synthetic", "line"),
    [
        (0.1, 0.9, "cat: 4 real images, so 0 real and 4 synthetic"),
        (0.9, 0.1, "cat: 4 real images, so 4 real and 0 synthetic"),
        (0, 0.1, "cat: 4 real images, so 0 real and 0 synthetic"),
    ],
)
def test_a_share_that_rounds_to_no_image_is_refused(real: float, synthetic: float, line: str) -> None:
    train = reals(4) + reals(20, "dog", 1)
    with pytest.raises(UserError, match=f"comes to 0 training images in 1 class:\n  - {line}\n") as caught:
        required(train, ["cat", "dog"], Mix(real, synthetic))
    assert "dog" not in str(caught.value)


def test_a_share_of_0_asks_for_nothing() -> None:
    assert required(reals(4), ["cat"], Mix(0, 1)) == {"cat": Counts(0, 4)}
    assert required(reals(1), ["cat"], Mix(1, 0)) == {"cat": Counts(1, 0)}


def test_every_class_whose_pool_is_too_small_is_named() -> None:
    pool = generated(3) + generated(9, "dog", 1)
    wanted = {"cat": Counts(0, 4), "cow": Counts(0, 1), "dog": Counts(0, 9)}
    with pytest.raises(UserError) as caught:
        select([], pool, wanted, 0)
    message = str(caught.value)
    assert "too few images for the mix in 2 classes:\n  - cat: 3 of 4\n  - cow: 0 of 1" in message
    assert "dog" not in message


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))))
def test_a_mix_takes_the_synthetic_images_that_there_are(classes: dict[str, tuple[int, int, int]]) -> None:
    wanted = {name: Counts(real, synthetic) for name, (real, synthetic, _) in classes.items()}
    available = {name: images for name, (_, _, images) in classes.items()}
    empty = [name for name, (real, synthetic, images) in classes.items() if real == 0 == min(synthetic, images)]
    if empty:
        with pytest.raises(UserError, match=f"no synthetic images of {', '.join(empty)}, and"):
            within(wanted, available)
        return
    limited = within(wanted, available)
    assert list(limited) == list(wanted)
    for name, count in limited.items():
        assert count == Counts(wanted[name].real, min(wanted[name].synthetic, available[name]))


# --- further real images -------------------------------------------------------------------------------


def further(n: int) -> list[Sample]:
    return [sample(1000 + number) for number in range(n)]


@given(st.integers(1, 40), st.decimals(0, 4, places=2).map(float), multiples, seeds)
def test_above_one_all_training_images_and_some_further_ones_are_taken(
    n: int, real: float, synthetic: float, seed: int
) -> None:
    wanted = counts(n, real, synthetic)
    chosen = select(reals(n), generated(wanted.synthetic), {"cat": wanted}, seed, further(3 * n))
    members = [s for s in chosen if s.origin != SYNTHETIC]
    of_train = set(members) & set(reals(n))
    assert len(set(members)) == len(members) == wanted.real
    assert len(of_train) == min(n, wanted.real)
    if wanted.real <= n:
        assert chosen == select(reals(n), generated(wanted.synthetic), {"cat": wanted}, seed)


@given(st.integers(1, 30), st.tuples(multiples, multiples).map(sorted), seeds)
def test_what_is_taken_of_further_images_is_taken_when_more_are(n: int, real: list[float], seed: int) -> None:
    less, more = (set(select(reals(n), [], {"cat": counts(n, r, 0)}, seed, further(2 * n))) for r in real)
    assert less <= more


def test_too_few_further_images_are_counted_by_class() -> None:
    train = [*reals(4), *reals(4, "dog", 1)]
    more = [*further(4), sample(2000, "dog", 1)]
    assert required(train, ["cat", "dog"], Mix(1.25, 0), more) == {"cat": Counts(5, 0), "dog": Counts(5, 0)}
    with pytest.raises(UserError) as caught:
        required(train, ["cat", "dog"], Mix(2, 0), more)
    assert str(caught.value) == (
        "The mix real=2 needs more real images than there are in 1 class:\n"
        "  - dog: 8 of 4 training images and 1 further ones\n"
        "Lower mix.real, or put further images into the folder that dataset.more=<folder> names."
    )


# --- shots, and classes that are filled ----------------------------------------------------------------

class_sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 40), min_size=1)
fills = st.none() | st.just(LARGEST) | st.integers(1, 60) | st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60))
shots = st.none() | st.integers(1, 40)


@given(class_sizes, shares, shots, fills)
def test_synthetic_images_fill_each_class_up_to_its_size_and_no_further(
    available: dict[str, int], real: float, per_class: int | None, fill: str | int | dict[str, int] | None
) -> None:
    actual = mix_counts(available, Mix(real, 0, per_class, fill))
    assert list(actual) == list(available)
    for name, images in available.items():
        kept = counts(images, real, 0).real if per_class is None else per_class
        size = max(available.values()) if fill == LARGEST else fill.get(name, 0) if isinstance(fill, dict) else fill
        assert actual[name].real == kept
        assert actual[name].real + actual[name].synthetic == max(kept, int(size or 0))


@given(st.integers(1, 40), st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted), seeds, multiples)
def test_what_is_kept_of_few_shots_is_kept_of_more(n: int, per_class: list[int], seed: int, synthetic: float) -> None:
    fewer, more = (mix_counts({"cat": n}, Mix(1, synthetic, number))["cat"] for number in per_class)
    assert fewer.synthetic == more.synthetic == counts(n, 0, synthetic).synthetic
    train = reals(40)
    chosen = [set(select(train, [], {"cat": Counts(count.real, 0)}, seed)) for count in (fewer, more)]
    assert chosen[0] <= chosen[1]
    assert [len(choice) for choice in chosen] == per_class


def test_shots_above_what_a_class_has_are_refused_with_its_number() -> None:
    train = reals(4) + reals(20, "dog", 1)
    assert required(train, ["cat", "dog"], Mix(1, 0, 4)) == {"cat": Counts(4, 0), "dog": Counts(4, 0)}
    with pytest.raises(UserError) as caught:
        required(train, ["cat", "dog"], Mix(1, 0, 5))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("The mix real_per_class=5 needs more real images")
    assert lines[1] == "  - cat: 5 of 4 training images and 0 further ones"
    assert lines[2].startswith("Lower mix.real_per_class")
    assert required(train, ["cat", "dog"], Mix(1, 0, 5), further(1))["cat"] == Counts(5, 0)


def test_a_fill_that_adds_nothing_or_names_other_classes_is_refused() -> None:
    train = reals(4) + reals(20, "dog", 1)
    assert required(train, ["cat", "dog"], Mix(1, 0, None, LARGEST)) == {"cat": Counts(4, 16), "dog": Counts(20, 0)}
    assert required(train, ["cat", "dog"], Mix(1, 0, None, {"dog": 30})) == {"cat": Counts(4, 0), "dog": Counts(20, 10)}
    with pytest.raises(UserError, match=r"mix\.fill=4 adds no synthetic image: the smallest class, cat, has 4 real"):
        required(train, ["cat", "dog"], Mix(1, 0, None, 4))
    with pytest.raises(UserError, match=r"mix\.fill names cow and fox, .* it has cat, dog\."):
        required(train, ["cat", "dog"], Mix(1, 0, None, {"cow": 10, "dog": 30, "fox": 9}))
    with pytest.raises(UserError, match=r"fill=\{'dog': 30\} comes to 0 training images in 1 class:\n  - cat"):
        required(train, ["cat", "dog"], Mix(0, 0, None, {"dog": 30}))

"""Long tails: how many images classes keep, and which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.long_tail import few_of, keep, tail_sizes
from synthaug.errors import UserError
from tests.factories.images import sample

available_images = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1)
imbalances = st.floats(0.05, 1)


def test_sizes_fall_exponentially_from_the_largest_class_by_name() -> None:
    available = dict.fromkeys("abcde", 100)
    assert tail_sizes(available, 0.01) == {"a": 100, "b": 32, "c": 10, "d": 3, "e": 1}
    assert tail_sizes(available, 1) == available
    assert tail_sizes({"a": 50, "b": 100, "c": 4, "d": 20}, 0.01) == {"a": 50, "b": 22, "c": 4, "d": 1}
    assert tail_sizes({"a": 100}, 0.01) == {"a": 100}


def test_a_seed_orders_the_classes_otherwise() -> None:
    available = dict.fromkeys("abcde", 100)
    orders = [tuple(tail_sizes(available, 0.01, seed).values()) for seed in range(20)]
    assert {tuple(sorted(order)) for order in orders} == {(1, 3, 10, 32, 100)}
    assert len(set(orders)) > 10
    assert orders[3] == tuple(tail_sizes(dict(reversed(available.items())), 0.01, 3)[name] for name in "abcde")


@given(available_images, st.tuples(imbalances, imbalances).map(sorted), st.none() | st.integers(0, 99))
def test_a_longer_tail_keeps_no_more_of_any_class(
    available: dict[str, int], pair: list[float], seed: int | None
) -> None:
    if max(available.values()) * pair[0] < 0.5:
        return
    longer, shorter = (tail_sizes(available, imbalance, seed) for imbalance in pair)
    for name, images in available.items():
        assert 1 <= longer[name] <= shorter[name] <= images


def test_a_tail_without_images_is_refused_with_the_least_that_has_one() -> None:
    with pytest.raises(UserError, match=r"imbalance=0.001: the rarest class would have 0 .* at least 0\.01"):
        tail_sizes({"a": 100, "b": 100}, 0.001)


def test_single_classes_keep_their_numbers() -> None:
    assert few_of({"0": 100, "1": 100, "7": 90}, {"1": 10, "7": 90}) == {"0": 100, "1": 10, "7": 90}
    with pytest.raises(UserError) as caught:
        few_of({"0": 100, "7": 9}, {"7": 10, "fox": 3, "0": 1})
    assert str(caught.value).splitlines()[1:3] == ["  - fox: there is no such class", "  - 7: 10 of 9 training images"]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_what_is_kept_of_few_is_kept_of_more_in_the_order_of_the_list(images: int, few: int, more: int) -> None:
    samples = [sample(number, name, label) for label, name in enumerate(("cat", "dog")) for number in range(images)]
    few, more = sorted((few, more))
    kept = keep(samples, {"cat": few, "dog": images})
    assert kept == [item for item in samples if item in kept]
    assert sum(item.class_name == "cat" for item in kept) == min(few, images)
    assert [item for item in kept if item.class_name == "dog"] == samples[images:]
    assert set(kept) <= set(keep(samples, {"cat": more, "dog": images}))
    assert set(keep(list(reversed(samples)), {"cat": few, "dog": images})) == set(kept)

"""The rule that fills test and val: which group goes where, and when a class is refused."""

import pytest

from synthaug.data.split_rule import Rule, apportion, draw
from synthaug.errors import UserError

BOTH = ("test", "val")


def draw_sizes(sizes: list[int], **counts: int) -> dict[str, list[int]]:
    """Split → sizes of its groups, for one class of groups of these sizes."""
    members = {f"group {number}": ["image"] * size for number, size in enumerate(sizes)}
    chosen = draw({"cat": members}, Rule(counts.get("val", 1), counts.get("test", 1)), list(counts))
    return {split: [len(members[group]) for (_, group), to in chosen.items() if to == split] for split in counts}


def test_the_draw_stands_from_release_to_release() -> None:
    # Frozen: whoever changes these draws other test images for every dataset that is still to be split.
    groups = {name: {str(number): ["image"] for number in range(10)} for name in ("cat", "dog")}
    chosen = draw(groups, Rule(val=0.2, test=0.2, seed=3), BOTH)
    drawn = {split: [name + group for (name, group), to in chosen.items() if to == split] for split in BOTH}
    assert drawn == {"test": ["cat9", "cat0", "dog7", "dog1"], "val": ["cat2", "cat7", "dog2", "dog3"]}


def test_where_no_group_fits_the_smallest_is_taken_and_by_one_split() -> None:
    assert draw_sizes([4, 4, 3, 4, 4], test=2) == {"test": [3]}
    assert draw_sizes([4, 4, 3, 4, 3, 4], test=2, val=2) == {"test": [3], "val": [3]}
    assert draw_sizes([5, 5, 3, 5, 5], test=2, val=8) == {"test": [3], "val": [5]}


def test_a_group_that_does_not_fit_leaves_its_room_to_smaller_ones() -> None:
    assert draw_sizes([9, 1, 9, 1, 1, 9], test=3) == {"test": [1, 1, 1]}
    assert draw_sizes([9, 1, 9, 1, 1, 9], test=2, val=1) == {"test": [1, 1], "val": [1]}


@pytest.mark.parametrize(
    ("size", "count", "is_refused"),
    [(2, 1, False), (3, 1, True), (3, 2, False), (4, 2, True), (6, 4, False), (7, 4, True)],
)
def test_a_split_may_miss_its_size_by_half_or_by_one_image(size: int, count: int, is_refused: bool) -> None:
    sizes = [size] * 9
    if is_refused:
        with pytest.raises(UserError, match="must stay together"):
            draw_sizes(sizes, test=count)
        with pytest.raises(UserError, match="must stay together"):  # whatever the other split is like
            draw_sizes([*sizes, 1], test=1, val=count)
    else:
        assert draw_sizes(sizes, test=count) == {"test": [size]}
        assert draw_sizes([*sizes, 1], test=1, val=count) == {"test": [1], "val": [size]}


@pytest.mark.parametrize("sizes", [[5], [3, 3]])
def test_a_group_is_left_to_train_on(sizes: list[int]) -> None:
    with pytest.raises(UserError, match="must stay together"):
        draw_sizes(sizes, test=2, val=2)
    assert draw_sizes([3] * 3, test=2, val=2) == {"test": [3], "val": [3]}


def test_one_image_is_enough_to_train_on() -> None:
    assert draw_sizes([1, 1, 1], test=1, val=1) == {"test": [1], "val": [1]}
    with pytest.raises(UserError, match="would leave none to train on"):
        draw_sizes([1, 1], test=1, val=1)


def test_a_number_of_images_may_be_as_small_as_that_of_classes() -> None:
    groups = {name: {str(number): ["image"] for number in range(5)} for name in ("cat", "dog")}
    assert [name for name, _ in draw(groups, Rule(val=2, test=2), ["test"])] == ["cat", "dog"]
    with pytest.raises(UserError, match="fewer images than the 2 classes"):
        draw(groups, Rule(val=2, test=1), ["test"])


def test_of_equal_remainders_the_first_by_name_has_the_image() -> None:
    assert apportion({"b": 10, "a": 10, "c": 10}, 4) == {"b": 1, "a": 2, "c": 1}

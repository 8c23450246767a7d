"""Hard images, against a count by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from synthaug.analysis.comparison.disagreement import disputed, never_right
from synthaug.analysis.comparison.model import Group


def group_of(labels: list[int], answers: dict[str, dict[int, list[int]]]) -> Group:
    predicted = {arm: {seed: np.array(row) for seed, row in runs.items()} for arm, runs in answers.items()}
    return Group(
        dataset="digits",
        test_digest="0" * 64,
        n_test=len(labels),
        class_names=("0", "1", "2"),
        arms=(),
        runs=(),
        margin=1.0,
        labels=np.array(labels),
        paths=tuple(f"{place}.png" for place in range(len(labels))),
        predicted=predicted,
    )


def test_what_is_disputed_and_what_is_lost() -> None:
    group = group_of(
        [0, 1, 2, 0],
        {
            "real": {0: [0, 1, 1, 1], 1: [0, 1, 1, 0], 2: [0, 1, 0, 2]},
            "64": {0: [0, 2, 1, 0], 1: [1, 2, 1, 0], 2: [0, 0, 1, 0]},
        },
    )
    first, second = disputed(group, 12)
    assert (first.path, first.label) == ("1.png", "1")
    assert first.answers["real"].right == 3
    assert (first.answers["64"].right, first.answers["64"].runs, first.answers["64"].mistake) == (0, 3, "2")
    assert second.path == "3.png"
    assert disputed(group, 1) == [first]
    (lost,) = never_right(group)
    assert (lost.path, lost.answers["real"].mistake) == ("2.png", "1")


def test_one_arm_disputes_nothing() -> None:
    group = group_of([0, 1], {"real": {0: [0, 0]}})
    assert disputed(group, 12) == []
    assert [image.path for image in never_right(group)] == ["1.png"]
    assert never_right(group_of([], {})) == disputed(group_of([], {}), 12) == []


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=2, max_size=6))
def test_disputed_images_are_right_somewhere_and_wrong_somewhere(rows: list[list[int]]) -> None:
    answers = {f"arm{place}": {0: row} for place, row in enumerate(rows)}
    group = group_of([0, 1, 2, 0], answers)
    split, lost = disputed(group, 4), never_right(group)
    for image in split:
        assert {answer.right for answer in image.answers.values()} == {0, 1}
    assert not {image.path for image in split} & {image.path for image in lost}
    expected = {f"{place}.png" for place in range(4) if len({row[place] == [0, 1, 2, 0][place] for row in rows}) == 2}
    assert {image.path for image in split} == expected

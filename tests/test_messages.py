"""Counts, enumerations, bulleted lists and suggestions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.messages import MAX_BULLETS, bullets, join_words, plural, suggest


def test_plural_agrees_in_number() -> None:
    assert [plural(count, "image") for count in range(3)] == ["0 images", "1 image", "2 images"]
    assert [plural(count, "image is", "images are") for count in (1, 2)] == ["1 image is", "2 images are"]


@pytest.mark.parametrize(("words", "expected"), [(["a"], "a"), (["a", "b"], "a or b"), (iter("abc"), "a, b or c")])
def test_join_words(words: list[str], expected: str) -> None:
    assert join_words(words, "or") == expected


def test_join_words_joins_with_and_by_default() -> None:
    assert join_words(["a", "b", "c"]) == "a, b and c"


@given(st.integers(0, 30), st.integers(1, 20))
def test_bullets_show_up_to_the_limit_and_count_the_rest(count: int, limit: int) -> None:
    shown = bullets([f"line {number}" for number in range(count)], limit).splitlines()
    assert shown[:limit] == [f"  - line {number}" for number in range(min(count, limit))]
    assert shown[limit:] == ([f"  … and {count - limit} more"] if count > limit else [])


def test_bullets_show_ten_lines_by_default() -> None:
    assert len(bullets(["x"] * MAX_BULLETS).splitlines()) == MAX_BULLETS == 10
    assert bullets(["x"] * 11).endswith("\n  … and 1 more")


def test_suggest_ignores_case_and_names_the_closest_first() -> None:
    assert suggest("polar baer", ["Cat", "Polar bear", "Brown bear"]) == "did you mean 'Polar bear'?"
    assert suggest("beer", ["Bear", "Deer"], cutoff=0.5) == "did you mean 'Deer' or 'Bear'?"
    assert suggest("beer", ["Bear", "Deer"], limit=1) == "did you mean 'Deer'?"
    assert suggest("zebra", ["Cat"]) == ""

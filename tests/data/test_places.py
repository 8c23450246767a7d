"""Where images lie: a table that is a dictionary to those who read it."""

from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.keyed_rows import digests_of
from synthaug.data.places import NOT_STORED, Place, Places

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex) | st.sampled_from(["0" * 64, "0" * 62 + "11", "f" * 64])
places = st.builds(
    Place, st.integers(0, 2**50) | st.just(NOT_STORED), st.integers(1, 2**30), st.integers(1, 2**20), hashes
)
listed = st.lists(st.tuples(hashes, places), max_size=8)


@given(listed, listed, st.lists(hashes, max_size=4))
def test_a_table_of_places_is_a_dictionary(
    first: list[tuple[str, Place]], second: list[tuple[str, Place]], others: list[str]
) -> None:
    expected = dict(first) | dict(second)
    table = Places(first)
    table.update(second)
    assert dict(table.items()) == expected
    assert sorted(table) == sorted(expected)
    assert table.end == max((place.stop for place in expected.values() if place.is_stored), default=0)
    assert [key in table for key in others] == [key in expected for key in others]


@given(listed, listed, st.lists(hashes, max_size=4))
def test_many_images_are_looked_up_at_once_as_one_by_one(
    first: list[tuple[str, Place]], second: list[tuple[str, Place]], others: list[str]
) -> None:
    table = Places(first)
    table.update(second)
    keys = [*others, *table, *table]
    assert table.missing(digests_of(keys)).tolist() == [key not in table for key in keys]
    are_waiting, size = table.not_stored(digests_of(keys))
    waiting = {key: table[key] for key in table if not table[key].is_stored}
    assert are_waiting.tolist() == [key in waiting for key in keys]
    assert size == sum(place.size for place in waiting.values())
    expected = [table[key].content for key in table]
    assert [row.tobytes().hex() for row in table.contents(digests_of(table))] == expected

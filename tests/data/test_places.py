"""Where images lie: a table that is a dictionary to those who read it."""

from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.places import Place, Places

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex) | st.sampled_from(["0" * 64, "f" * 64, "ab" + "0" * 62])
places = st.builds(Place, st.integers(0, 2**50), st.integers(1, 2**30), st.integers(1, 2**20), hashes)
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
    assert table.end == max((place.stop for place in expected.values()), default=0)
    assert [key in table for key in others] == [key in expected for key in others]

"""Rows by hash are a dictionary, and repeats of hashes are all found, also where hashes begin alike."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthaug.data import keyed_rows
from synthaug.data.keyed_rows import HashedRows, are_among, digests_of, repeats

_ROW = np.dtype([("key", "u1", 32), ("value", "<i4")])
hashes = st.sampled_from(
    [start + end for start in ("0" * 16, "0" * 15 + "1", "f" * 16) for end in ("a" * 48, "b" * 48)]
)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Blocks of which these few hashes fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyed_rows, "_BLOCK", 2)
        yield


def packed(items: list[tuple[str, int]]) -> NDArray[np.void]:
    rows = np.empty(len(items), dtype=_ROW)
    rows["key"], rows["value"] = digests_of(key for key, _ in items), [value for _, value in items]
    return rows


@given(st.lists(st.lists(st.tuples(hashes, st.integers(0, 99)), max_size=5), max_size=4), st.lists(hashes, max_size=9))
def test_rows_by_hash_are_a_dictionary(parts: list[list[tuple[str, int]]], wanted: list[str]) -> None:
    table, expected = HashedRows(_ROW), dict[str, int]()
    for items in parts:
        table.put(packed(items))
        expected |= dict(items)
    assert {row["key"].tobytes().hex(): int(row["value"]) for row in table.rows} == expected
    numbers = table.numbers(digests_of(wanted)).tolist()
    assert numbers == [-1 if (number := table.number(key)) is None else number for key in wanted]
    values = [int(table.rows["value"][number]) if number >= 0 else None for number in numbers]
    assert values == [expected.get(key) for key in wanted]


@given(st.lists(hashes, max_size=9))
def test_repeats_are_those_that_come_again(keys: list[str]) -> None:
    expected = [(keys.index(key), number) for number, key in enumerate(keys) if keys.index(key) != number]
    assert list(repeats(digests_of(keys))) == expected


@given(st.lists(st.integers(0, 5), max_size=9), st.lists(st.integers(0, 5), max_size=4))
def test_membership_is_that_of_a_set(keys: list[int], others: list[int]) -> None:
    among = are_among(np.array(keys, dtype=np.uint64), np.array(sorted(others), dtype=np.uint64))
    assert among.tolist() == [key in others for key in keys]

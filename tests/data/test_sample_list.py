"""A compact list of images is a list to those who read it, and takes few bytes an image."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data import sample_list
from synthaug.data.sample_list import REAL, SYNTHETIC, Sample, Samples

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.sampled_from(["a.png", "ü 猫.png", "\udcff.png", "deep/a.png", "b"])
SAMPLES = st.builds(
    lambda folder, name, label, origin, sha256, index, payload: Sample(
        Path(folder, name), label, f"class {label}", origin, sha256, index, payload
    ),
    st.sampled_from(["train", "/data/test"]),
    NAMES,
    st.integers(0, 3),
    st.sampled_from([REAL, SYNTHETIC]),
    HASHES,
    st.none() | st.integers(0, 2**40),
    st.just("") | HASHES.filter(lambda text: int(text, 16)),
)
LISTS = st.lists(SAMPLES, max_size=6)


@given(LISTS, LISTS, st.data())
def test_it_is_a_list(first: list[Sample], second: list[Sample], data: st.DataObject) -> None:
    expected = first + second[::2] + first
    listed = Samples(first)
    samples = Samples.joined([listed, Samples(second)[::2], listed])
    assert list(samples) == expected
    assert samples == expected
    assert samples.labels.tolist() == [sample.label for sample in expected]
    assert samples.synthetic.tolist() == [sample.origin == SYNTHETIC for sample in expected]
    assert samples.keys == [sample.sha256 for sample in expected]
    assert samples.random_keys == [sample.random_key for sample in expected]
    rows = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=5)) if expected else []
    assert samples.take(rows) == [expected[row] for row in rows]
    assert [samples[row - len(expected)] for row in rows] == [expected[row] for row in rows]
    assert samples.where(lambda sample: sample.label) == [sample for sample in expected if sample.label]
    assert samples.arranged(lambda sample: sample.sha256) == sorted(expected, key=lambda sample: sample.sha256)
    by_class = {name: [expected[row] for row in numbers] for name, numbers in samples.rows_of_classes.items()}
    names = {sample.class_name for sample in expected}
    assert by_class == {name: [sample for sample in expected if sample.class_name == name] for name in names}


@given(LISTS, LISTS, st.data())
def test_columns_have_what_was_selected(first: list[Sample], second: list[Sample], data: st.DataObject) -> None:
    samples = Samples.joined([Samples(first), Samples(second)]) if second else Samples(first)
    rows = data.draw(st.lists(st.integers(0, len(samples) - 1), max_size=8)) if len(samples) else []
    chosen = samples.take(rows)
    plain = [sample._replace(order=None, payload="") for sample in chosen]
    assert list(Samples.of_columns(chosen.columns)) == plain
    assert list(Samples.of_columns(samples.columns).take(rows)) == plain
    listed = samples.take(sorted(set(rows))[::-1])
    numbers = samples.rows_in(listed).tolist()
    assert [(number, row) for row, number in enumerate(numbers) if number >= 0] == sorted(
        ((number, row) for number, row in enumerate(sorted(set(rows))[::-1])), key=lambda pair: pair[1]
    )


@given(LISTS)
def test_images_of_an_origin_of_classes_and_of_folders(listed: list[Sample]) -> None:
    listed = list(dict.fromkeys(listed))
    samples = Samples(listed)
    for repeated in (Samples.joined([samples, samples[::2]]), Samples.joined([samples, Samples(listed)])):
        assert sorted(repeated.distinct, key=repr) == sorted(set(listed), key=repr)
    assert {sample.folder for sample in samples.of_folders} == {sample.folder for sample in listed}
    assert set(samples.of_folders) <= set(listed)
    kinds = {(sample.folder, sample.label, sample.class_name, sample.origin) for sample in listed}
    assert len(samples.of_folders) == len(kinds)
    for origin in (REAL, SYNTHETIC):
        assert list(samples.of_origin(origin)) == [sample for sample in listed if sample.origin == origin]
    ordered = sorted(listed, key=lambda sample: (sample.class_name, sample.sha256))
    assert [sample for of_class in samples.of_classes.values() for sample in of_class] == ordered


def test_what_is_no_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Samples([Sample(Path("a.png"), 0, "cat", REAL, "ab")])


def test_an_image_takes_few_bytes_and_one_of_a_selection_eight() -> None:
    count = 4000

    def listed() -> Iterator[Sample]:
        return (Sample(Path("train/cat", f"{n:08}.png"), 0, "cat", REAL, f"{n:064x}") for n in range(count))

    def traced() -> int:
        """Bytes that the module holds; threads of libraries that earlier tests started count for themselves."""
        of_module = tracemalloc.Filter(inclusive=True, filename_pattern=sample_list.__file__)
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([of_module]).traces)

    tracemalloc.start()
    samples = Samples(listed())
    held = traced()
    selected = samples.arranged(lambda sample: sample.sha256)
    shared = traced() - held
    tracemalloc.stop()
    assert len(selected) == len(samples)
    assert held / count < 32 + 12 + 4 + 4 + 8 + 10  # hash, name, its end, kind, place
    assert shared / count < 10

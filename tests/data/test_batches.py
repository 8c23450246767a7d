"""Batches: which rows every process sees in which epoch, whatever the arm's size."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.data.batches import Batches
from synthaug.data.class_sampling import BALANCED, OVERSAMPLE, occurrences
from synthaug.errors import UserError

counts = st.integers(1, 300)
batch_sizes = st.integers(1, 70)
worlds = st.integers(1, 5)


def rows(batches: Batches) -> list[list[int]]:
    return [[row for _, row in batch] for batch in batches]


def flat(batches: Batches) -> list[int]:
    return list(itertools.chain(*rows(batches)))


# --- shares of processes ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(counts, batch_sizes, worlds)
def test_evaluation_sees_every_row_once(count: int, batch_size: int, world: int) -> None:
    shares = [Batches(count, batch_size, None, rank, world) for rank in range(world)]
    assert sorted(itertools.chain(*map(flat, shares))) == list(range(count))
    for share in shares:
        assert len(list(share)) == len(share)
        assert all(1 <= len(batch) <= batch_size for batch in share)


def test_evaluation_goes_in_order() -> None:
    assert rows(Batches(7, 3, None)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert rows(Batches(7, 3, None, rank=1, world=2)) == [[1, 3, 5]]


@settings(deadline=None)
@given(counts, batch_sizes, worlds, st.integers(0, 2**32), st.integers(0, 100))
def test_training_batches_are_full_and_of_distinct_rows(
    count: int, batch_size: int, world: int, seed: int, epoch: int
) -> None:
    if count < world:
        return
    shares = [Batches(count, batch_size, seed, rank, world) for rank in range(world)]
    for share in shares:
        share.set_epoch(epoch)
    seen = list(itertools.chain(*map(flat, shares)))
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(count))
    assert len({len(share) for share in shares}) == 1  # or one process waits for the others for ever
    for share in shares:
        batches = list(share)
        assert len(batches) == len(share) >= 1
        assert {len(batch) for batch in batches} == {min(batch_size, count // world)}
        assert {item_epoch for batch in batches for item_epoch, _ in batch} == {epoch}
    assert count - len(seen) < min(batch_size, count // world) * world  # no full batch is left out


def test_fewer_images_than_a_batch_are_one_smaller_batch() -> None:
    assert [sorted(batch) for batch in rows(Batches(3, 32, seed=0))] == [[0, 1, 2]]
    assert len(Batches(3, 32, None)) == 1


def test_fewer_training_images_than_processes_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 training images cannot be shared by 4 processes.*trainer.devices=1"):
        Batches(3, 32, seed=0, rank=0, world=4)
    assert flat(Batches(3, 32, None, rank=3, world=4)) == []


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        batches = Batches(50, 10, seed)
        batches.set_epoch(epoch)
        assert flat(batches) == flat(batches)
        return tuple(flat(batches))

    np.random.seed(1)
    expected = order(0, 0)
    np.random.seed(2)
    assert order(0, 0) == expected
    assert len({order(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25


def test_the_rows_that_sit_out_change() -> None:
    out = set()
    for epoch in range(10):
        batches = Batches(50, 8, 0)
        batches.set_epoch(epoch)
        out |= {frozenset(range(50)) - frozenset(flat(batches))}
    assert len(out) == 10


# --- pretraining on synthetic images -----------------------------------------------------------------------


def pretraining(synthetic: list[bool], batch_size: int, epoch: int, seed: int = 0, world: int = 1) -> list[Batches]:
    """The shares of an epoch of which the first two train on synthetic rows."""
    shares = [Batches(len(synthetic), batch_size, seed, rank, world, synthetic, 2) for rank in range(world)]
    for share in shares:
        share.set_epoch(epoch)
    return shares


@given(st.lists(st.booleans(), min_size=1, max_size=120), batch_sizes, worlds, st.integers(0, 3), st.integers(0, 99))
def test_an_epoch_trains_on_one_origin_for_as_many_steps_as_on_both(
    synthetic: list[bool], batch_size: int, world: int, epoch: int, seed: int
) -> None:
    if len(synthetic) < world:
        return
    shares = pretraining(synthetic, batch_size, epoch, seed, world)
    joint = Batches(len(synthetic), batch_size, seed, 0, world)
    wanted = [row for row, origin in enumerate(synthetic) if origin == (epoch < 2)] or list(range(len(synthetic)))
    for share in shares:
        batches = list(share)
        assert [len(batch) for batch in batches] == [joint.batch_size] * len(joint)
        assert len(share) == len(joint)
    seen = list(itertools.chain(*map(flat, shares)))
    assert set(seen) <= set(wanted)
    times = [seen.count(row) for row in wanted]
    assert max(times) - min(times) <= 1  # each pass goes through all of them
    drawn = [item for share in shares for batch in share for item in batch]
    assert len(set(drawn)) == len(drawn)  # a row that comes again is augmented otherwise
    assert {draw % 2**32 for draw, _ in drawn} == {epoch}


def test_every_pass_has_an_order_of_its_own() -> None:
    (share,) = pretraining([True] * 8 + [False] * 24, 8, epoch=0)
    assert len({tuple(batch) for batch in rows(share)}) == 4
    assert [{draw for draw, _ in batch} for batch in share] == [{number * 2**32} for number in range(4)]
    (later,) = pretraining([True] * 8 + [False] * 24, 8, epoch=1)
    assert rows(later) != rows(share)
    assert rows(share) == rows(share)


def test_where_an_origin_is_lacking_all_rows_are_gone_through_as_ever() -> None:
    for epoch in range(4):
        for origin in (True, False):
            (share,) = pretraining([origin] * 10, 5, epoch)
            plain = Batches(10, 5, 0)
            plain.set_epoch(epoch)
            assert list(share) == list(plain)


def test_without_pretraining_origins_do_not_matter() -> None:
    assert list(Batches(20, 5, 3, synthetic=[True] * 6 + [False] * 14)) == list(Batches(20, 5, 3))


# --- equal steps -------------------------------------------------------------------------------------------


def stream(share: Batches, epochs: int) -> list[tuple[int, int]]:
    """(draw, row) of one process, epoch after epoch."""
    items = []
    for epoch in range(epochs):
        share.set_epoch(epoch)
        items += [item for batch in share for item in batch]
    return items


@given(counts, counts, batch_sizes, worlds, st.integers(0, 99))
def test_arms_of_every_size_take_the_steps_of_the_baseline_in_batches_of_its_size(
    count: int, baseline: int, batch_size: int, world: int, epoch: int
) -> None:
    if baseline < world:
        return
    baseline_batches = Batches(baseline, batch_size, 0, 0, world)
    for rank in range(world):
        share = Batches(count, batch_size, 0, rank, world, baseline=baseline)
        share.set_epoch(epoch)
        assert [len(batch) for batch in share] == [baseline_batches.batch_size] * len(baseline_batches)
        assert len(share) == len(baseline_batches)


@given(counts, counts, batch_sizes, worlds, st.integers(0, 99), st.integers(1, 5))
def test_every_pass_sees_every_row_once_however_epochs_and_processes_cut_it(
    count: int, baseline: int, batch_size: int, world: int, seed: int, epochs: int
) -> None:
    if baseline < world or count == baseline:
        return
    shares = [stream(Batches(count, batch_size, seed, rank, world, baseline=baseline), epochs) for rank in range(world)]
    drawn = [item for items in zip(*shares, strict=True) for item in items]  # in the order in which they are taken
    assert len(set(drawn)) == len(drawn)  # no two processes share one, and what comes again is augmented otherwise
    for number, start in enumerate(range(0, len(drawn), count)):
        one_pass = drawn[start : start + count]
        assert {draw for draw, _ in one_pass} == {number}
        assert len({row for _, row in one_pass}) == len(one_pass)
        assert {row for _, row in one_pass} <= set(range(count))
    times = Counter(row for _, row in drawn)
    assert max(times.values()) - min(times[row] for row in range(count)) <= 1


@given(st.lists(st.booleans(), min_size=5, max_size=80), batch_sizes, worlds, st.integers(0, 9), st.integers(0, 2))
def test_an_arm_of_the_size_of_the_baseline_is_trained_as_with_equal_epochs(
    synthetic: list[bool], batch_size: int, world: int, epoch: int, pretrain_epochs: int
) -> None:
    """So that both budgets have the same baseline, and the arms that replace images are the same runs."""
    count = len(synthetic)
    for rank in range(world):
        shares = [
            Batches(count, batch_size, 3, rank, world, synthetic, pretrain_epochs, baseline)
            for baseline in (None, count)
        ]
        for share in shares:
            share.set_epoch(epoch)
        assert list(shares[0]) == list(shares[1])


def test_orders_of_passes_differ_and_depend_on_the_seed() -> None:
    def passes(seed: int) -> list[tuple[int, ...]]:
        drawn = stream(Batches(30, 8, seed, baseline=120), 2)
        return [tuple(row for _, row in drawn[start : start + 30]) for start in range(0, 240, 30)]

    np.random.seed(1)
    first = passes(0)
    np.random.seed(2)
    assert passes(0) == first
    assert len({*first, *passes(1)}) == 16


@given(st.lists(st.booleans(), min_size=1, max_size=80), counts, batch_sizes, worlds, st.integers(0, 9))
def test_pretraining_goes_on_through_the_rows_of_an_origin(
    synthetic: list[bool], baseline: int, batch_size: int, world: int, seed: int
) -> None:
    if baseline < world or baseline == len(synthetic):
        return
    shares = [Batches(len(synthetic), batch_size, seed, rank, world, synthetic, 2, baseline) for rank in range(world)]
    drawn_rows = [stream(share, 5) for share in shares]
    steps = len(Batches(baseline, batch_size, 0, 0, world))
    assert {len(items) for items in drawn_rows} == {5 * steps * shares[0].batch_size}
    drawn = [item for items in zip(*drawn_rows, strict=True) for item in items]
    assert len(set(drawn)) == len(drawn)
    cut = 2 * steps * shares[0].batch_size * world
    stages = [(drawn[:cut], True), (drawn[cut:], False)] if len(set(synthetic)) == 2 else [(drawn, synthetic[0])]
    for items, origin in stages:
        wanted = [row for row, of_row in enumerate(synthetic) if of_row == origin]
        times = Counter(row for _, row in items)
        assert times.keys() <= set(wanted)
        assert max(times.values()) - min(times[row] for row in wanted) <= 1


def test_fewer_images_than_processes_are_shared_where_the_baseline_has_enough() -> None:
    shares = [Batches(2, 8, 0, rank, 4, baseline=64) for rank in range(4)]
    assert [len(list(share)) for share in shares] == [2] * 4
    with pytest.raises(UserError, match="3 training images cannot be shared by 4 processes"):
        Batches(100, 8, 0, 0, 4, baseline=3)


def test_a_late_epoch_of_a_small_arm_costs_no_more_than_the_first() -> None:
    share = Batches(3, 4, 0, baseline=8)
    share.set_epoch(10**6)
    assert {math.floor(draw / 10**6) for batch in share for draw, _ in batch} == {2}


# --- resampled classes -------------------------------------------------------------------------------------

labels_of_rows = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@given(labels_of_rows, counts, batch_sizes, worlds, st.integers(0, 9), st.sampled_from([OVERSAMPLE, BALANCED]))
def test_resampling_leaves_the_steps_of_the_budget_as_they_are(
    labels: list[int], baseline: int, batch_size: int, world: int, seed: int, sampling: str
) -> None:
    if baseline < world:
        return
    plain = Batches(baseline, batch_size, 0, 0, world)
    shares = [
        Batches(len(labels), batch_size, seed, rank, world, baseline=baseline, labels=labels, sampling=sampling)
        for rank in range(world)
    ]
    for share in shares:
        share.set_epoch(1)
        assert [len(batch) for batch in share] == [plain.batch_size] * len(plain)
    drawn = [item for share in shares for batch in share for item in batch]
    assert len(set(drawn)) == len(drawn)  # what comes again, in one pass or the next, is augmented otherwise


@given(labels_of_rows, st.integers(0, 9), st.integers(1, 3))
def test_oversampling_makes_classes_as_large_as_the_largest_and_rows_of_a_class_alike(
    labels: list[int], seed: int, epochs: int
) -> None:
    largest = max(Counter(labels).values())
    for baseline in (None, largest * len(set(labels))):
        share = Batches(len(labels), 1, seed, baseline=baseline, labels=labels, sampling=OVERSAMPLE)
        for epoch in range(epochs):
            share.set_epoch(epoch)
            seen = Counter(flat(share))
            assert Counter(labels[row] for row in seen.elements()) == dict.fromkeys(labels, largest)
            for label, size in Counter(labels).items():
                times = {seen[row] for row, of_row in enumerate(labels) if of_row == label}
                assert times <= {largest // size, -(-largest // size)}


def test_balanced_sampling_draws_classes_alike_with_replacement() -> None:
    labels = [0] * 3000 + [1] * 900 + [2] * 100
    share = Batches(len(labels), 8, 0, labels=labels, sampling=BALANCED)
    seen = Counter(flat(share))
    by_class = Counter(labels[row] for row in seen.elements())
    assert sum(by_class.values()) == 4000
    assert max(abs(count - 4000 / 3) for count in by_class.values()) < 5 * math.sqrt(4000 * 2 / 9)
    assert len([row for row in seen if labels[row] == 0]) == pytest.approx(3000 * (1 - math.exp(-4 / 9)), rel=0.1)


@pytest.mark.parametrize("sampling", [OVERSAMPLE, BALANCED])
def test_resampling_depends_on_seed_and_epoch_alone_and_goes_on_after_a_resume(sampling: str) -> None:
    labels = [0] * 40 + [1] * 7

    def epochs(seed: int, *numbers: int) -> list[list[tuple[int, int]]]:
        share = Batches(47, 5, seed, baseline=60, labels=labels, sampling=sampling)
        drawn = []
        for number in numbers:
            share.set_epoch(number)
            drawn.append([item for batch in share for item in batch])
        return drawn

    assert epochs(0, 2, 3) == epochs(0, 0, 1, 2, 3)[2:]
    assert epochs(0, 0) != epochs(1, 0)
    assert epochs(0, 0) != epochs(0, 1)


@pytest.mark.parametrize("sampling", [OVERSAMPLE, BALANCED])
def test_pretraining_resamples_the_classes_of_an_origin(sampling: str) -> None:
    labels = [0] * 30 + [1] * 10
    synthetic = [row % 2 == 0 for row in range(40)]
    for baseline in (None, 32):
        share = Batches(40, 4, 0, 0, 1, synthetic, 1, baseline, labels, sampling)
        for epoch in (0, 1):
            share.set_epoch(epoch)
            seen = flat(share)
            assert {synthetic[row] for row in seen} == {epoch == 0}
            assert 0.3 < sum(labels[row] == 0 for row in seen) / len(seen) < 0.7


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50))
def test_occurrences_are_counted_from_the_front(rows: list[int]) -> None:
    expected = [rows[:place].count(row) for place, row in enumerate(rows)]
    assert occurrences(np.array(rows)).tolist() == expected

"""Candidates of copies are all pairs that correlate, whichever list is longer and wherever their windows are kept."""

import errno
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.fft import dctn

from synthaug.data import registration
from synthaug.data.registration import SIDE, Thumbnails

CELLS = 8


def pictures(count: int, seed: int) -> NDArray[np.uint8]:
    """Smooth noise, of which some pictures are flipped crops of others, and one is of one colour."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).astype(np.float64)
    smooth = np.repeat(np.repeat(coarse, SIDE // 4, axis=1), SIDE // 4, axis=2)
    for axis in (1, 2):
        smooth = np.mean([np.roll(smooth, step, axis) for step in range(-3, 4)], axis=0)
    made = smooth.astype(np.uint8)
    for number in range(1, count, 2):
        inner = np.linspace(0, SIDE - 1 - rng.integers(0, 4), SIDE).round().astype(int)
        made[number] = made[2 * rng.integers(0, (number + 1) // 2)][inner][:, inner][
            :: rng.choice([1, -1]), :: rng.choice([1, -1])
        ]
    made[-1:] = 7
    return made


def means(values: NDArray[np.float64], start: float, scale: float) -> NDArray[np.float64]:
    """The means of rows in the cells of a part of them, by their integral."""
    edges = SIDE * (start + scale * np.arange(CELLS + 1) / CELLS)
    sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])
    integral = np.array([np.interp(edges, np.arange(SIDE + 1), column) for column in sums.T]).T
    return np.asarray(np.diff(integral, axis=0) * CELLS / (SIDE * scale))


def cells(grey: NDArray[np.float64], scale: float, left: float, top: float) -> NDArray[np.float64]:
    """The centred means of a window of a grey picture, of unit length."""
    values = means(means(grey, top, scale).T, left, scale).T
    centred = values - values.mean()
    length = np.linalg.norm(centred)
    return np.asarray(centred / length if length > 1e-3 else 0 * centred)


def correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[float, float]:
    """How much a picture correlates with the window of another that is most like it, and how alike magnitudes are."""
    places = [(scale, x * (1 - scale), y * (1 - scale)) for scale in (0.97, 0.94, 0.9) for x in (0, 0.5, 1)
              for y in (0, 0.5, 1)]  # fmt: skip
    weights = np.array([0.299, 0.587, 0.114])
    windows = [(place[0], cells(first @ weights, *place)) for place in [(1.0, 0.0, 0.0), *places]]
    whole = cells(second @ weights, 1, 0, 0)
    flips = [whole[::down, ::across] for down in (1, -1) for across in (1, -1)]
    magnitudes = [np.abs(dctn(window, norm="ortho")) for scale, window in windows if scale in (1, 0.94)]
    likeness = max((one * np.abs(dctn(whole, norm="ortho"))).sum() for one in magnitudes)
    return max((window * flip).sum() for _, window in windows for flip in flips), likeness


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_candidates_are_the_pairs_that_correlate(
    tmp_path: Path, first: int, second: int, seed: int, is_kept: bool, on_disk: bool
) -> None:
    drawn = pictures(first + second, seed)
    sides = np.full(first + second, 200)
    lists = [Thumbnails(drawn[rows], sides[rows]) for rows in (slice(first), slice(first, None))]
    kept = [images.kept(tmp_path if on_disk else None) if is_kept else images for images in lists]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "_ROWS", 3)
        patch.setattr(registration, "_COLUMNS", 2)
        actual = {tuple(pair) for part in registration._candidates(*kept) for pair in part.pairs.tolist()}
    for i in range(first):
        for j in range(second):
            correlated, likeness = correlation(lists[0].pixels[i], lists[1].pixels[j])
            if min(abs(correlated - registration.MIN_CORRELATION), abs(likeness - 0.86)) > 1e-3:  # but for rounding
                assert ((i, j) in actual) == (correlated > registration.MIN_CORRELATION and likeness >= 0.86)


def test_a_file_of_windows_holds_what_is_computed(tmp_path: Path) -> None:
    images = Thumbnails(pictures(9, 0), np.arange(100, 109))
    kept = images.kept(tmp_path)
    assert not list(tmp_path.iterdir())  # it has no name
    assert (kept.pixels == images.pixels).all()
    assert (kept.limits == images.limits).all()
    rows = slice(3, 7)
    computed, stored = images.windows(rows), kept.windows(rows)
    assert (stored.coarse == computed.coarse).all()
    assert (stored.magnitudes == computed.magnitudes).all()
    assert registration.find_windows(kept, kept).tolist() == registration.find_windows(images, images).tolist()


def test_no_picture_is_paired_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_ROWS", 3)
    monkeypatch.setattr(registration, "_COLUMNS", 2)
    images = Thumbnails(pictures(9, 1), np.full(9, 200))
    pairs = registration.find_windows(images, Thumbnails(images.pixels, images.sides)).tolist()
    others = [pair for pair in pairs if pair[0] != pair[1]]
    assert 0 < len(others) < len(pairs)
    assert sorted(registration.find_windows(images, images).tolist()) == sorted(others)


def test_a_full_disk_is_named_by_the_folder_of_the_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(OSError, match="No space") as caught:
        Thumbnails(pictures(2, 0), np.arange(100, 102)).kept(tmp_path)
    assert caught.value.filename == str(tmp_path)

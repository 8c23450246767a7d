"""Whether one picture is a copy of another: re-encoded, resized, brightened, flipped, or cropped by up to a tenth.

Pictures are compared as thumbnails. Candidates are those whose coarse grey thumbnails correlate: that of one picture
with that of some window of the other, as it is or flipped. Most pairs are ruled out before, by the magnitudes of the
thumbnails' cosine transforms, which flips leave as they are and small crops nearly so. A candidate is confirmed where
the two thumbnails, laid over each other to a fraction of a pixel and brought to one brightness and contrast, differ by
little everywhere and in every colour. The alignment takes Gauss-Newton steps on the squared differences (Lucas, B. D.,
Kanade, T. (1981). An iterative image registration technique with an application to stereo vision. IJCAI, 674-679).
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # of a thumbnail, in pixels
MIN_CORRELATION = 0.93  # of coarse thumbnails
_MIN_LIKENESS = 0.86  # of the magnitudes of their transforms, with that of some window of `_LIKELY_SCALE`
_LIKELY_SCALE = 0.94
# Of the worst block: root mean square, as a share of the standard deviation of all pixels. Pictures on a plain ground
# agree in it whatever they show, and leave less room.
MAX_RESIDUAL, MAX_RESIDUAL_ON_PLAIN = 0.27, 0.13
# Of grey pictures on a plain ground: the residual as a share of what blurring by one more pixel changes. A copy misses
# fine strokes by more than thick ones, of which unrelated ones are more alike.
_SHARE_OF_DETAIL = 0.5
_PLAIN, _PLAIN_SHARE = 4, 0.3  # grey levels among a pixel and those beside it, and the share of such pixels
_HOPELESS = 0.5  # a residual of all pixels, in grey, that alignment does not mend
_CLOSE = 0.25  # one that may be that of a copy before its alignment
_COARSE = 8  # cells along each side of a coarse thumbnail
_SCALES = (0.97, 0.94, 0.9)  # sides of the windows
_GRID, _BLOCKS = 16, 4  # points, and blocks of them, along each side at which aligned thumbnails are compared
_EDGE = 0.08  # share of the side that is not compared: blur there depends on where a picture ends
_STEPS, _STRIDE = 6, 0.03  # number of steps, and the longest one as a share of the side
_SLACK = 0.02  # by which a copy may reach over the edge
_BLUR = 1  # standard deviation in pixels of the thumbnail: finer detail depends on where pixels begin
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_BRIGHT = 235  # means above, or beside such, may be of pixels of which some are clipped to white
_LIGHT = 200  # two such pixels say little of the alignment: brightening clips some of what they are means of
_GAINS = 0.6, 1.6  # of contrast
_FLIPS = (1, 1), (1, -1), (-1, 1), (-1, -1)  # steps through rows and columns; the last one turns by 180 degrees
_ROWS, _COLUMNS = 512, 4096  # pictures whose correlations are held in memory at once
_PAIRS = 256  # that are aligned at once

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Thumbnails:
    """Small versions of N pictures.

    Attributes:
        pixels: squeezed to a square, (N, SIDE, SIDE, 3).
        sides: short side of each picture in pixels, (N,).
    """

    pixels: NDArray[np.uint8]
    sides: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sides)

    @cached_property
    def coarse(self) -> Values:
        """Coarse grey versions, (N, cells)."""
        return _coarse(self.pixels, _windows()[:1])[:, 0]

    @cached_property
    def magnitudes(self) -> Values:
        """Magnitudes of the transforms of the whole pictures, (N, cells)."""
        return _magnitudes(self.coarse)

    def windows(self, rows: slice) -> "Windows":
        """Compute the windows of some of the pictures: those of a million take ten gigabytes."""
        coarse = _coarse(self.pixels[rows], _windows())
        likely = [number for number, window in enumerate(_windows()) if window[0] in (1, _LIKELY_SCALE)]
        return Windows(coarse, np.stack([_magnitudes(coarse[:, number]) for number in likely]))

    def kept(self, folder: Path | None = None) -> "Thumbnails":
        """Return the same pictures with their windows computed, to be searched often.

        Args:
            folder: in which a file without a name holds all that takes much room; None: it stays in memory.
        """
        windows = self.windows(slice(None))
        arrays: list[NDArray[Any]] = [self.pixels, windows.coarse, windows.magnitudes]
        if folder is not None:
            arrays = _mapped(arrays, folder)
        kept = _Kept(arrays[0], self.sides, Windows(*arrays[1:]))
        kept.__dict__["limits"] = self.limits
        return kept

    @property
    def are_plain(self) -> NDArray[np.bool_]:
        """Whether each picture is on a plain ground, (N,)."""
        return np.asarray(self.limits < MAX_RESIDUAL)

    @cached_property
    def limits(self) -> NDArray[np.float64]:
        """Residual up to which each picture is taken for a copy, (N,)."""
        return _limits(self.pixels)


@dataclass(frozen=True)
class Windows:
    """Coarse versions of the windows of N pictures.

    Attributes:
        coarse: grey versions of every window, (N, windows, cells).
        magnitudes: of the transforms of the whole pictures and of likely windows, (likely windows, N, cells).
    """

    coarse: Values
    magnitudes: Values


@dataclass(frozen=True)
class _Kept(Thumbnails):
    """Pictures whose windows are computed."""

    stored: Windows

    def windows(self, rows: slice) -> Windows:
        return Windows(self.stored.coarse[rows], self.stored.magnitudes[:, rows])


def joined(parts: Sequence[Thumbnails]) -> Thumbnails:
    """Return pictures one after the other."""
    pixels, sides = ([getattr(part, name) for part in parts] for name in ("pixels", "sides"))
    return Thumbnails(np.concatenate(pixels), np.concatenate(sides))


def _mapped(arrays: Sequence[NDArray[Any]], folder: Path) -> list[NDArray[Any]]:
    """Write arrays into a file that is gone with them, and map it into memory.

    Raises:
        OSError: the disk is full; it names the folder, since the file has no name.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for array in arrays:
                file.write(np.ascontiguousarray(array).data)
            file.flush()
            content = np.memmap(file, dtype=np.uint8, mode="r")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    ends = np.cumsum([array.nbytes for array in arrays])
    parts = np.split(content, ends[:-1])
    return [part.view(array.dtype).reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


@dataclass(frozen=True)
class _Candidates:
    """Pairs of pictures (first, second) of which the second may show a window of the first, perhaps flipped.

    Attributes:
        pairs: indices, (P, 2).
        windows: scale, left and top, as shares of the side of the first picture, (P, 3).
        flips: index into `_FLIPS` of what makes the second one show the window as the first does, (P,).
    """

    pairs: NDArray[np.int64]
    windows: Values
    flips: NDArray[np.int64]


def find_windows(first: Thumbnails, second: Thumbnails) -> NDArray[np.int64]:
    """Find the pairs in which the second picture shows the first one, or a window of it.

    Args:
        first: N pictures.
        second: M pictures; where they are `first` itself, none is paired with itself.

    Returns:
        (pairs, 2), indices into `first` and `second`.
    """
    return measure_windows(first, second)[0]


def measure_windows(
    first: Thumbnails, second: Thumbnails, most: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the pairs in which the second picture shows the first one, or a window of it, or nearly does.

    Args:
        first: N pictures.
        second: M pictures; where they are `first` itself, none is paired with itself.
        most: residual up to which pairs are returned, as a share of that of a copy.

    Returns:
        (pairs, 2), indices into `first` and `second`, and (pairs,), residuals as such shares.
    """
    confirmed, shares = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    if not len(first) or not len(second):
        return confirmed[0], shares[0]
    for candidates in _candidates(first, second):
        for start in range(0, len(candidates.pairs), _PAIRS):
            rows = slice(start, start + _PAIRS)
            pairs = candidates.pairs[rows]
            left, right = pairs.T
            residuals = _aligned_residuals(first, second, candidates, rows)
            share = residuals / np.minimum(first.limits[left], second.limits[right])
            confirmed.append(pairs[share <= most])
            shares.append(share[share <= most])
    return np.concatenate(confirmed), np.concatenate(shares)


# --- candidates ------------------------------------------------------------------------------------


def _candidates(first: Thumbnails, second: Thumbnails) -> Iterator[_Candidates]:
    """Return the pairs that correlate, each with the window that correlates most."""
    scales = np.array(_windows(), dtype=np.float32)
    for start in range(0, len(first), _ROWS):
        windows = first.windows(slice(start, start + _ROWS))
        for begin in range(0, len(second), _COLUMNS):
            columns = slice(begin, begin + _COLUMNS)
            likely = _likeness(windows.magnitudes, second.magnitudes[columns]) >= _MIN_LIKENESS
            if first is second:  # confirming that each picture shows itself takes most of the time of a small class
                likely &= np.arange(start, start + len(likely))[:, None] != np.arange(begin, begin + likely.shape[1])
            pairs, choices = _correlating(windows.coarse, second.coarse[columns], likely)
            yield _Candidates(pairs + np.array([start, begin]), scales[choices // len(_FLIPS)], choices % len(_FLIPS))


def _correlating(
    windows: Values, coarse: Values, likely: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs that correlate, (pairs, 2), and which window does most, flipped in which way, (pairs,).

    Args:
        windows: coarse versions of the windows of N pictures, (N, windows, cells).
        coarse: versions of M pictures, (M, cells).
        likely: which pairs are looked at, (N, M).
    """
    pairs, choices = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    by_row = len(windows) <= len(coarse)  # products of few large matrices instead of many small ones
    looked_at = likely if by_row else likely.T
    for number in np.flatnonzero(looked_at.any(axis=1)).tolist():
        others = np.flatnonzero(looked_at[number])
        if by_row:
            correlation = _flips(windows[number]).reshape(-1, _COARSE**2) @ coarse[others].T
        else:  # a flip of the one picture correlates as that of the other
            correlation = (windows[others] @ _flips(coarse[number]).T).reshape(len(others), -1).T
        choice = correlation.argmax(axis=0)
        kept = correlation[choice, np.arange(len(others))] > MIN_CORRELATION
        if kept.any():
            same = np.full(kept.sum(), number)
            pairs.append(np.stack([same, others[kept]] if by_row else [others[kept], same], axis=1))
            choices.append(choice[kept])
    joined = np.concatenate(pairs)
    order = np.lexsort((joined[:, 1], joined[:, 0]))
    return joined[order], np.concatenate(choices)[order]


def _flips(coarse: Values) -> Values:
    """Return coarse versions (…, cells), flipped in every way, (…, flips, cells)."""
    squares = coarse.reshape(*coarse.shape[:-1], _COARSE, _COARSE)
    flipped = [squares[..., ::down, ::across] for down, across in _FLIPS]
    return np.stack(flipped, axis=-3).reshape(*coarse.shape[:-1], len(_FLIPS), _COARSE**2)


def _likeness(windows: Values, magnitudes: Values) -> Values:
    """Return the likeness of each picture to that of its windows that is most like it, (N, M)."""
    likeness: Values = windows[0] @ magnitudes.T
    for window in windows[1:]:
        np.maximum(likeness, window @ magnitudes.T, out=likeness)
    return likeness


def _magnitudes(coarse: Values) -> Values:
    from scipy.fft import dctn

    squares = coarse.reshape(-1, _COARSE, _COARSE)
    transforms = dctn(squares, axes=(1, 2), norm="ortho")
    return np.asarray(np.abs(transforms).reshape(len(coarse), _COARSE**2), dtype=np.float32)


@cache
def _windows() -> list[tuple[float, float, float]]:
    """Return (scale, left, top) of the windows of a picture: all of it, then nine of each smaller scale."""
    places = [(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1)]
    return [(1, 0, 0), *((scale, x * (1 - scale), y * (1 - scale)) for scale in _SCALES for x, y in places)]


def _coarse(pixels: NDArray[np.uint8], windows: Sequence[tuple[float, float, float]]) -> Values:
    """Return the grey means in the cells of windows, centred and of unit length, (N, windows, cells)."""
    coarse = np.empty((len(pixels), len(windows), _COARSE**2), dtype=np.float32)
    lines = list(dict.fromkeys((scale, start) for scale, *starts in windows for start in starts))
    cells = np.concatenate([_cells(*line) for line in lines])
    places = [(lines.index((scale, top)), lines.index((scale, left))) for scale, left, top in windows]
    down, across = np.array(places).T
    for start in range(0, len(pixels), _ROWS):
        rows = slice(start, start + _ROWS)
        means = cells @ (pixels[rows] @ _GREY) @ cells.T  # of all lines with all, once for every window
        parts = means.reshape(-1, len(lines), _COARSE, len(lines), _COARSE)
        chosen = parts[:, down, :, across].transpose(1, 0, 2, 3).reshape(-1, len(windows), _COARSE**2)
        centred = chosen - chosen.mean(axis=2, keepdims=True)
        length = np.linalg.norm(centred, axis=2, keepdims=True)
        coarse[rows] = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-3)
    return coarse


@cache
def _cells(scale: float, start: float) -> Values:
    """Return the matrix of means of a line's pixels in the cells of a part of it, (cells, SIDE)."""
    edges = SIDE * (start + scale * np.arange(_COARSE + 1) / _COARSE)
    pixels = np.arange(SIDE)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = shared.clip(min=0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


# --- confirmation ----------------------------------------------------------------------------------


def _blurred(pixels: NDArray[np.uint8], sigma: float) -> Values:
    from scipy.ndimage import gaussian_filter  # a command that finds all runs finished does without scipy

    return np.asarray(gaussian_filter(pixels.astype(np.float32), (0, sigma, sigma, 0)))


def _aligned_residuals(
    first: Thumbnails, second: Thumbnails, candidates: _Candidates, rows: slice
) -> NDArray[np.float64]:
    """Return how much the pictures of candidates differ once they are aligned; two grey ones in one channel.

    Args:
        first: pictures.
        second: further ones.
        candidates: pairs of them.
        rows: which of the candidates.
    """
    left, right = candidates.pairs[rows].T
    windows, flips = candidates.windows[rows], candidates.flips[rows]
    lost = _lost(first.sides[left], second.sides[right])
    is_grey = _are_grey(first.pixels, left) & _are_grey(second.pixels, right)
    residuals = np.empty(len(left))
    for channels, chosen in ((1, is_grey), (3, ~is_grey)):  # each pair in the same way, whatever the others are
        if chosen.any():
            blurs = lost[chosen]
            pictures = _blurred_once(first.pixels[..., :channels], left[chosen])
            shown = _flipped(_blurred_once(second.pixels[..., :channels], right[chosen]), flips[chosen])
            residuals[chosen] = _residuals(_reduced(pictures, blurs), _reduced(shown, blurs), windows[chosen])
    return residuals


def _are_grey(pixels: NDArray[np.uint8], chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
    numbers, places = np.unique(chosen, return_inverse=True)
    pictures = pixels[numbers]
    return np.asarray((pictures == pictures[..., :1]).all(axis=(1, 2, 3)))[places]


def _blurred_once(pixels: NDArray[np.uint8], chosen: NDArray[np.int64]) -> Values:
    """Return blurred versions of pictures, of which some are chosen more than once."""
    numbers, places = np.unique(chosen, return_inverse=True)
    return _blurred(pixels[numbers], _BLUR)[places]


def _limits(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the residual up to which each picture is taken for a copy."""
    from scipy.ndimage import maximum_filter, minimum_filter

    grey = pixels @ _GREY
    contrast = maximum_filter(grey, (1, 3, 3)) - minimum_filter(grey, (1, 3, 3))
    is_plain = (contrast <= _PLAIN).mean(axis=(1, 2)) > _PLAIN_SHARE
    limits = np.where(is_plain, MAX_RESIDUAL_ON_PLAIN, MAX_RESIDUAL)
    rows = np.flatnonzero(is_plain)
    rows = rows[(pixels[rows] == pixels[rows][..., :1]).all(axis=(1, 2, 3))]
    limits[rows] = np.minimum(MAX_RESIDUAL_ON_PLAIN, _SHARE_OF_DETAIL * _detail(pixels[rows][..., :1]))
    return limits


def _detail(grey: NDArray[np.uint8]) -> Values:
    """Return how much blurring by one more pixel changes the worst block, as a share of the standard deviation.

    Args:
        grey: pictures, (N, SIDE, SIDE, 1).
    """
    edge = int(_EDGE * SIDE)
    inside = slice(edge, SIDE - edge)
    values, blurred = (_blurred(grey, sigma)[:, inside, inside, 0] for sigma in (_BLUR, math.hypot(_BLUR, 1)))
    side = values.shape[1] // _BLOCKS
    blocks = ((values - blurred) ** 2).reshape(-1, _BLOCKS, side, _BLOCKS, side).mean(axis=(2, 4))
    return np.asarray(np.sqrt(blocks.max(axis=(1, 2), initial=0)) / values.std(axis=(1, 2)).clip(1e-3))


def _as_grey(values: Values) -> Values:
    """Return values of one or three channels, (…, channels), as grey ones, (…, 1)."""
    return values if values.shape[-1] == 1 else (values @ _GREY)[..., None]


def _flipped(thumbnails: Values, flips: NDArray[np.int64]) -> Values:
    """Return thumbnails, each flipped in its own way."""
    flipped = thumbnails.copy()
    for number, (down, across) in enumerate(_FLIPS):
        chosen = flips == number
        flipped[chosen] = thumbnails[chosen][:, ::down, ::across]
    return flipped


def _lost(sides: NDArray[np.int64], other_sides: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the blur, in pixels of the thumbnail, by which the smaller picture of each pair has less detail."""
    pixel, other_pixel = (np.maximum(1, SIDE / side) for side in (sides, other_sides))
    return np.asarray(np.sqrt(np.abs(pixel**2 - other_pixel**2)))


def _reduced(thumbnails: Values, sigmas: NDArray[np.float64]) -> Values:
    """Return blurred thumbnails, each with its own standard deviation."""
    from scipy.ndimage import gaussian_filter

    reduced = thumbnails.copy()
    for row in np.flatnonzero(sigmas):
        reduced[row] = gaussian_filter(reduced[row], (sigmas[row], sigmas[row], 0))
    return reduced


def _residuals(first: Values, second: Values, windows: Values) -> NDArray[np.float64]:
    """Return how much each picture in `second` differs, in its worst block, from the window of the first it shows."""
    points = np.linspace(_EDGE, 1 - _EDGE, _GRID, dtype=np.float32)
    warp = np.stack([windows[:, 0], windows[:, 1], windows[:, 0], windows[:, 2]], axis=1)  # x = scale · point + left
    identity = np.tile(np.array([1, 0, 1, 0], dtype=np.float32), (len(first), 1))
    target, _, _ = _sample(second, *_places(identity, points))
    grey, grey_target = _as_grey(first), _as_grey(target)
    residuals, promising = np.full(len(first), np.inf), np.arange(len(first))
    for step in range(_STEPS):
        moved, residual = _step(grey[promising], grey_target[promising], warp[promising], points)
        if step == 0:  # steps may lead away from where a clipped copy is best
            close = np.flatnonzero(residual <= _CLOSE)
            residuals[close] = _compared(first[close], target[close], warp[close], points)
        warp[promising] = moved
        promising = promising[residual <= _HOPELESS / (1 + step / 2)]
    aligned = _compared(first[promising], target[promising], warp[promising], points)
    residuals[promising] = np.minimum(residuals[promising], aligned)
    return residuals


def _compared(pictures: Values, target: Values, warp: Values, points: Values) -> NDArray[np.float64]:
    """Return how much the target differs, in its worst block, from pictures at some warp, of all tones the best."""
    values, _, _ = _sample(pictures, *_places(warp, points))
    worst = [_worst_block(_difference(values, target, *tone)) for tone in _tones(values, target)]
    return np.asarray(np.sqrt(np.min(worst, axis=0)) / _deviation(target))


def _difference(values: Values, target: Values, gain: Values, offset: Values) -> Values:
    """Return by how much values of another tone miss the target.

    Where brightening clips some of the pixels that a value is the mean of, all between the two tones is right.
    """
    fitted = (gain * values + offset).clip(min=0)
    clips = _around(fitted) > _BRIGHT
    high = fitted.clip(max=255)
    low = np.where(clips, np.minimum(values, high), high)
    white = (high > _BRIGHT) & (target > _BRIGHT)
    return np.asarray(np.where(white, 0, target.clip(low, high) - target))


def _worst_block(difference: Values) -> Values:
    """Return the mean square in grey, and of the mean colour, in the block that differs most; JPEG blurs colour."""
    side = _GRID // _BLOCKS
    blocks = difference.reshape(-1, _BLOCKS, side, _BLOCKS, side, difference.shape[3])
    grey = (_as_grey(blocks)[..., 0] ** 2).mean(axis=(2, 4))
    colour = (blocks.mean(axis=(2, 4)) ** 2).mean(axis=3)
    return np.asarray((grey + colour).max(axis=(1, 2)))


def _step(grey: Values, target: Values, warp: Values, points: Values) -> tuple[Values, Values]:
    """Move each warp towards the least squares; return it, and the residual where it was."""
    values, across, down = _sample(grey, *_places(warp, points))
    gain, offset = _tone(values, target)
    fitted = gain * values + offset
    weights = 1 - ((fitted > _LIGHT) & (target > _LIGHT)).astype(np.float32)
    residual = weights * (fitted.clip(0, 255) - target)
    slope = SIDE * gain * weights * ((fitted > 0) & (fitted < 255))
    across, down = slope * across, slope * down
    parts = [across * points[:, None], across, down * points[:, None, None], down]
    jacobian = np.concatenate(parts, axis=3).reshape(len(grey), _GRID**2, 4)
    hessian = jacobian.transpose(0, 2, 1) @ jacobian + 100 * np.eye(4, dtype=np.float32)
    gradient = jacobian.transpose(0, 2, 1) @ residual.reshape(len(grey), _GRID**2, 1)
    warp = warp - np.linalg.solve(hessian, gradient)[..., 0].clip(-_STRIDE, _STRIDE)
    scale = warp[:, ::2].clip(min(_SCALES) - 2 * _SLACK, 1 + _SLACK)
    start = np.minimum(warp[:, 1::2].clip(min=-_SLACK), 1 + _SLACK - scale)
    moved = np.stack([scale[:, 0], start[:, 0], scale[:, 1], start[:, 1]], axis=1)
    return moved, np.sqrt((residual**2).mean(axis=(1, 2, 3))) / _deviation(target)


def _deviation(values: Values) -> Values:
    return np.asarray(values.std(axis=(1, 2, 3)).clip(min=1e-3))


def _places(warp: Values, points: Values) -> tuple[Values, Values]:
    """Return columns and rows of the points in a thumbnail, (P, GRID) each."""
    columns, rows = ((warp[:, i, None] * points + warp[:, i + 1, None]) * SIDE - 0.5 for i in (0, 2))
    return columns.clip(0, SIDE - 1.001), rows.clip(0, SIDE - 1.001)


def _sample(values: Values, columns: Values, rows: Values) -> tuple[Values, Values, Values]:
    """Return bilinear samples at every row and column, and their slopes along both, (P, GRID, GRID, channels) each."""
    left, top = columns.astype(np.int64), rows.astype(np.int64)
    right_share, low_share = (columns - left)[:, None, :, None], (rows - top)[:, :, None, None]
    pixels = values.reshape(-1, values.shape[3])  # by one number each, which takes half of the time
    first = (np.arange(len(values))[:, None, None] * SIDE + top[:, :, None]) * SIDE + left[:, None, :]
    corner, right, low, opposite = (pixels.take(first + step, axis=0) for step in (0, 1, SIDE, SIDE + 1))
    across = (right - corner) * (1 - low_share) + (opposite - low) * low_share
    down = (low - corner) * (1 - right_share) + (opposite - right) * right_share
    return corner * (1 - low_share) + low * low_share + across * right_share, across, down


def _tone(values: Values, target: Values) -> tuple[Values, Values]:
    """Return the gain and the offset that make values like the target, of several the one of least squares."""
    tones = list(_tones(values, target))
    errors = np.stack([_sum(((gain * values + offset).clip(0, 255) - target) ** 2) for gain, offset in tones])
    best = errors.argmin(axis=0)[None]
    gains, offsets = (np.take_along_axis(np.stack(parts), best, axis=0)[0] for parts in zip(*tones, strict=True))
    return gains, offsets


def _tones(values: Values, target: Values) -> Iterator[tuple[Values, Values]]:
    """Return no change, then gain and offset by least squares, and a gain alone: of dark pixels, of all, of unclipped.

    Brightening clips to white, so that pixels which may be clipped do not fit; on white ground only they are clipped,
    and which ones follows from the gain.
    """
    dark = ((values < _BRIGHT) & (target < _BRIGHT)).astype(np.float32)
    none = np.ones_like(values[:, :1, :1, :1])
    yield none, 0 * none
    for weights in (dark, np.ones_like(dark)):
        total = _sum(weights).clip(min=1)
        centre, target_centre = _sum(weights * values) / total, _sum(weights * target) / total
        variance = _sum(weights * (values - centre) ** 2).clip(min=total)
        gain = (_sum(weights * (values - centre) * (target - target_centre)) / variance).clip(*_GAINS)
        yield gain, target_centre - gain * centre
        ratio = _ratio(weights, values, target)
        yield ratio, 0 * ratio
    for _ in range(2):
        ratio = _ratio((_around(ratio * values) < _BRIGHT).astype(np.float32), values, target)
    yield ratio, 0 * ratio


def _ratio(weights: Values, values: Values, target: Values) -> Values:
    """Return the gain of least squares without an offset."""
    return np.asarray(_sum(weights * values * target) / _sum(weights * values**2).clip(min=1)).clip(*_GAINS)


def _around(values: Values) -> Values:
    """Return the largest value at each point and at those beside it."""
    across = values.copy()  # the filter of scipy takes three times as long for few points
    np.maximum(values[:, :, 1:], values[:, :, :-1], out=across[:, :, 1:])
    np.maximum(across[:, :, :-1], values[:, :, 1:], out=across[:, :, :-1])
    largest = across.copy()
    np.maximum(across[:, 1:], across[:, :-1], out=largest[:, 1:])
    np.maximum(largest[:, :-1], across[:, 1:], out=largest[:, :-1])
    return largest


def _sum(values: Values) -> Values:
    return np.asarray(values.sum(axis=(1, 2, 3), keepdims=True))

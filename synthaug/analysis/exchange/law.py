"""The law by which error falls with real and synthetic training images, and how it is fitted to measured errors.

    error = floor + shift * share + scale * (effective / size) ** -exponent
    effective = n_real + value * unit * (n_synthetic / unit) ** power

A learning curve in the form of Cortes, C. et al. (1994), Learning curves: asymptotic values and rate of convergence,
NIPS 6, over *effective* images, as Hernandez, D. et al. (2021), Scaling laws for transfer, arXiv:2102.01293, count
transferred data in units of data of the target. `power` below 1 lets further synthetic images be worth less and
less, as Fan, L. et al. (2024), Scaling laws of synthetic images for model training ... for now, CVPR, find; `shift`
is the gap that no number of synthetic images closes (Mikami, H. et al. (2022), A scaling law for syn2real transfer,
ECCV; Jain, A., Montanari, A., Sasoglu, E. (2024), Scaling laws for learning with real and surrogate data, NeurIPS 37).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPONENTS: Floats = np.geomspace(0.03, 4, 36)
EXPONENT_STEP = float(EXPONENTS[1] / EXPONENTS[0])
POWERS: Floats = np.linspace(0.1, 1.9, 10)
MOST_VALUE = 10.0  # real images that one synthetic one may be worth; what exceeds it has no limit that can be found
NEAR = 12.0  # misfit above the least up to which a profile is looked at again, and closer
VALUES = 100  # points of a profile's first pass, and half as many of its second


@dataclass(frozen=True)
class Law:
    """Numbers of the law. `value`: real images that one synthetic image is worth where `n_synthetic` equals `unit`."""

    floor: float
    scale: float  # error above the floor at `size` effective images
    exponent: float
    value: float
    size: float
    unit: float = 1.0
    power: float = 1.0
    shift: float = 0.0

    def value_at(self, n_synthetic: float) -> float:
        """Return the real images that each of so many synthetic ones is worth on average."""
        return self.value * float((n_synthetic / self.unit) ** (self.power - 1)) if n_synthetic else self.value

    def effective(self, n_real: Any, n_synthetic: Any) -> Floats:
        """Return the real images that a training set is worth.

        Args:
            n_real: numbers of real images; arrays are broadcast.
            n_synthetic: numbers of synthetic images.
        """
        synthetic = np.asarray(n_synthetic, dtype=float)
        return np.asarray(n_real, dtype=float) + self.value * self.unit * (synthetic / self.unit) ** self.power

    def error(self, n_real: Any, n_synthetic: Any) -> Floats:
        """Return the error of a trained classifier, a fraction; infinite without effective images.

        Args:
            n_real: numbers of real images; arrays are broadcast.
            n_synthetic: numbers of synthetic images.
        """
        real, synthetic = np.broadcast_arrays(np.asarray(n_real, dtype=float), np.asarray(n_synthetic, dtype=float))
        effective = self.effective(real, synthetic)
        positive = effective > 0
        learned = np.where(positive, effective, self.size) / self.size
        share = synthetic / np.maximum(real + synthetic, 1e-300)
        error = self.floor + self.shift * share + self.scale * learned**-self.exponent
        return np.asarray(np.where(positive, error, np.inf))


@dataclass(frozen=True)
class Shape:
    """A form of the law: which of its numbers are free beside floor, scale and exponent."""

    name: str
    valued: bool = True
    powered: bool = False
    shifted: bool = False

    @property
    def parameters(self) -> int:
        """How many numbers are fitted."""
        return 3 + self.valued + self.powered + self.shifted


CONSTANT = Shape("constant")
CHANGING = Shape("changing", powered=True)
WORTHLESS = Shape("worthless", valued=False)
SHIFTED = Shape("shifted", shifted=True)
SHAPES = (CONSTANT, CHANGING, WORTHLESS, SHIFTED)


@dataclass(frozen=True)
class Profile:
    """The best misfit for every value of one synthetic image. `misfit` is chi-squared."""

    values: Floats
    misfit: Floats
    exponents: Floats  # the best one for each value
    law: Law  # where the misfit is smallest

    @property
    def least(self) -> float:
        """Chi-squared of the best law."""
        return float(self.misfit.min())

    def interval(self, rise: float) -> tuple[float | None, float | None]:
        """Return the values whose misfit is at most `rise` above the least; None for an end that was not reached."""
        inside = np.flatnonzero(self.misfit <= self.least + rise)
        first, last = int(inside[0]), int(inside[-1])
        low = None if first == 0 else self._crossing(first - 1, first, rise)
        high = None if last == len(self.values) - 1 else self._crossing(last, last + 1, rise)
        return low, high

    def _crossing(self, left: int, right: int, rise: float) -> float:
        x, y = self.values[[left, right]], self.misfit[[left, right]] - self.least - rise
        return float(x[0] - y[0] * (x[1] - x[0]) / (y[1] - y[0]))


class Problem:
    """The least squares problem: measured errors and their covariance, fitted by forms of the law.

    Floor, scale and shift enter the law linearly, so that for given value, power and exponent they are solved for
    (Golub, G. H., Pereyra, V. (1973). The differentiation of pseudo-inverses and nonlinear least squares problems whose
    variables separate. SIAM Journal on Numerical Analysis 10(2), 413-432), and the rest is tried on a grid: no starting
    point, no local minimum. Floor and scale are at least 0.

    Args:
        n_real: real training images of each arm, all above 0.
        n_synthetic: synthetic ones.
        error: measured, fractions.
        covariance: of `error`, positive definite.
    """

    def __init__(self, n_real: Floats, n_synthetic: Floats, error: Floats, covariance: Floats) -> None:
        self.n_real, self.n_synthetic = np.asarray(n_real, dtype=float), np.asarray(n_synthetic, dtype=float)
        self.size = float(np.exp(np.log(self.n_real).mean()))
        self.unit = float(self.n_synthetic.max()) or 1.0
        self.covariance = covariance
        self._whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
        self.error = np.asarray(error, dtype=float)

    def with_error(self, error: Floats) -> "Problem":
        """Return the same arms and covariance with other measured errors."""
        problem = object.__new__(Problem)
        problem.__dict__.update(self.__dict__)
        problem.error = np.asarray(error, dtype=float)
        return problem

    @cached_property
    def _share(self) -> Floats:
        return np.asarray(self.n_synthetic / (self.n_real + self.n_synthetic))

    def least_value(self, unit: float, power: float) -> float:
        """Return the value below which synthetic images would undo all real ones of an arm: the law's limit.

        Args:
            unit: number of synthetic images at which the value is meant.
            power: of the law.
        """
        mixed = self.n_synthetic > 0
        worth = unit * (self.n_synthetic[mixed] / unit) ** power
        return -float((self.n_real[mixed] / worth).min()) if mixed.any() else -MOST_VALUE

    def flat(self) -> float:
        """Compute chi-squared of a constant error: images change nothing."""
        ones, error = np.ones_like(self.error) @ self._whiten, self.error @ self._whiten
        return float(error @ error - (ones @ error) ** 2 / (ones @ ones))

    def profile(self, shape: Shape, unit: float | None = None, finer: bool = True) -> Profile:
        """Compute the misfit of a form of the law for every value of one synthetic image, the rest at its best.

        Args:
            shape: the form.
            unit: the number of synthetic images at which the value is meant, where it changes with the number.
            finer: look again, and closer, where the misfit is small.
        """
        unit = self.unit if unit is None else unit
        powers = POWERS if shape.powered else np.ones(1)
        least = max(self.least_value(unit, power) for power in powers)
        # Close to the least value one arm has next to no effective images and its error explodes: steps are relative.
        values = least + np.geomspace(0.02 * -least, MOST_VALUE - least, VALUES) if shape.valued else np.zeros(0)
        profile = self._profile(np.sort(np.append(values, 0.0)), powers, EXPONENTS, shape, unit)
        if not shape.valued or not finer:
            return profile
        inside = np.flatnonzero(profile.misfit <= profile.least + NEAR)
        first, last, end = max(inside[0] - 1, 0), inside[-1] + 1, len(profile.values) - 1
        while True:
            last = min(last, end)
            fine = self._finer(profile, np.arange(first, last + 1), powers, shape, unit)
            # The coarse grid of exponents puts the misfit too high: an end that it calls far away may be close.
            left, right = fine.misfit[[0, -1]] <= fine.least + NEAR
            if not (left and first > 0) and not (right and last < end):
                return _joined(profile, fine)
            first, last = max(first - int(left), 0), last + int(right)

    def _finer(self, profile: Profile, inside: NDArray[np.int64], powers: Floats, shape: Shape, unit: float) -> Profile:
        """Profile the misfit between some of the values tried, so that steps stay small where they were."""
        steps = np.linspace(0, len(inside) - 1, max(VALUES // 2, 2 * len(inside) - 1))
        values = np.interp(steps, np.arange(len(inside)), profile.values[inside])
        near = profile.exponents[inside]
        exponents = np.geomspace(near.min() / EXPONENT_STEP, near.max() * EXPONENT_STEP, len(EXPONENTS))
        return self._profile(values, powers, exponents, shape, unit)

    def _profile(self, values: Floats, powers: Floats, exponents: Floats, shape: Shape, unit: float) -> Profile:
        surfaces = [self._solve(values, float(power), exponents, shape, unit)[0] for power in powers]
        misfits = np.stack([smoothed(surface) for surface in surfaces])  # (powers, values)
        of_power, rows = misfits.argmin(axis=0), np.arange(len(values))
        best = exponents[np.stack([surface.argmin(axis=1) for surface in surfaces])[of_power, rows]]
        misfit = misfits[of_power, rows]
        row = int(misfit.argmin())
        law = self._law(float(values[row]), float(powers[of_power[row]]), float(best[row]), shape, unit)
        return Profile(values, misfit, best, law)

    def _law(self, value: float, power: float, near: float, shape: Shape, unit: float) -> Law:
        """Return the law at this value and power, its exponent found close to one that fits."""
        between = np.geomspace(near / EXPONENT_STEP, near * EXPONENT_STEP, 33)
        misfit, floor, scale, shift = self._solve(np.array([value]), power, between, shape, unit)
        best = int(misfit[0].argmin())
        return Law(
            floor=float(floor[0, best]),
            scale=float(scale[0, best]),
            exponent=float(between[best]),
            value=value,
            size=self.size,
            unit=unit,
            power=power,
            shift=float(shift[0, best]),
        )

    def _solve(
        self, values: Floats, power: float, exponents: Floats, shape: Shape, unit: float
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Chi-squared, floor, scale and shift, each by (value, exponent)."""
        worth = unit * (self.n_synthetic / unit) ** power
        effective = self.n_real + values[:, None] * worth
        impossible = np.any(effective <= 0, axis=1, keepdims=True)
        logs = np.log(np.where(effective > 0, effective, self.size) / self.size)
        curve = np.exp(-exponents[:, None] * logs[:, None, :]) @ self._whiten  # (values, exponents, arms)
        ones, error = np.ones_like(self.error) @ self._whiten, self.error @ self._whiten
        share = self._share @ self._whiten
        if shape.shifted:  # what the share explains is taken out of all three
            length = float(share @ share)
            whole = curve, ones, error
            curve = curve - (curve @ share)[..., None] / length * share
            ones, error = ones - (ones @ share) / length * share, error - (error @ share) / length * share
        floor, scale, misfit = two_non_negative(ones, curve, error)
        shift = np.zeros_like(misfit)
        if shape.shifted:
            shift = (whole[2] @ share - floor * (whole[1] @ share) - scale * (whole[0] @ share)) / length
        misfit = np.where(impossible, np.inf, misfit)
        return misfit, floor, scale, shift


def smoothed(surface: Floats) -> Floats:
    """Return each row's least between the grid's exponents: the vertex of the parabola through the lowest three."""
    middle = np.clip(surface.argmin(axis=1), 1, surface.shape[1] - 2)
    rows = np.arange(len(surface))
    left, centre, right = (surface[rows, middle + step] for step in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        bend = left - 2 * centre + right
        vertex = centre - (left - right) ** 2 / (8 * bend)
    good = np.isfinite(vertex) & (bend > 0) & (np.abs(left - right) <= 2 * bend)
    return np.asarray(np.where(good, np.maximum(vertex, 0), surface.min(axis=1)))


def two_non_negative(ones: Floats, curve: Floats, error: Floats) -> tuple[Floats, Floats, Floats]:
    """Solve least squares error ~ floor * ones + scale * curve with both at least 0: floor, scale, sum of squares.

    Args:
        ones, error: (arms,), whitened.
        curve: (..., arms), whitened.
    """
    oo, oe, ee = float(ones @ ones), float(ones @ error), float(error @ error)
    oc, ce, cc = curve @ ones, curve @ error, np.einsum("...i,...i->...", curve, curve)
    determinant = np.maximum(oo * cc - oc * oc, 1e-12 * oo * cc)
    floor, scale = (cc * oe - oc * ce) / determinant, (oo * ce - oc * oe) / determinant
    explained = floor * oe + scale * ce
    only_floor = np.full_like(cc, max(oe, 0.0) / oo)
    only_scale = np.maximum(ce, 0.0) / cc
    inside = (floor >= 0) & (scale >= 0)
    by_scale = only_scale * ce >= only_floor * oe
    floor = np.where(inside, floor, np.where(by_scale, 0.0, only_floor))
    scale = np.where(inside, scale, np.where(by_scale, only_scale, 0.0))
    explained = np.where(inside, explained, np.maximum(only_scale * ce, only_floor * oe))
    return floor, scale, np.maximum(ee - explained, 0.0)


def _joined(coarse: Profile, fine: Profile) -> Profile:
    """Two profiles, the coarse one only where the fine one has nothing."""
    outside = (coarse.values < fine.values[0]) | (coarse.values > fine.values[-1])
    values = np.concatenate([coarse.values[outside], fine.values])
    misfit = np.concatenate([coarse.misfit[outside], fine.misfit])
    exponents = np.concatenate([coarse.exponents[outside], fine.exponents])
    order = np.argsort(values, kind="stable")
    return Profile(values[order], misfit[order], exponents[order], fine.law)

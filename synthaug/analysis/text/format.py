"""Number formats of tables and sentences: percentages, points, intervals, p values, counts. The only place for them."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.inference.intervals import Estimate

NONE = "-"
MINUS, TIMES = "\u2212", "\u00d7"  # the signs, not hyphen and x
FEW_IMAGES = 100  # below, a second decimal of a percentage would be invented


def percent(value: float, n: int) -> str:
    """Format a fraction as a percentage without the sign: 0.9613 -> "96.13".

    Args:
        value: a fraction, 0 to 1.
        n: number of test images, which sets the number of decimals.
    """
    return f"{100 * value:.{2 if n >= FEW_IMAGES else 1}f}"


def points(value: float, n: int) -> str:
    """Format a difference of fractions in percentage points with its sign: 0.0052 -> "+0.52".

    Args:
        value: a difference of two fractions.
        n: number of test images, which sets the number of decimals.
    """
    return signed(Decimal(percent(value, n)))


def signed(value: float | Decimal, decimals: int | None = None) -> str:
    """Format a number with its sign, unless its digits are all zero: -0.67 -> "−0.67".

    Args:
        value: the number.
        decimals: after the point; None: as many as a decimal number was written with.
    """
    text = f"{value:+f}" if decimals is None else f"{value:+.{decimals}f}"
    return text.replace("-", MINUS) if text.strip("+-0.") else text.lstrip("+-")


def in_points(size: float) -> str:
    """Format a fraction as a number of points: 0.01 -> "1 point"."""
    number = f"{100 * size:.3g}"
    return f"{number} point" if number == "1" else f"{number} points"


def size_in_points(size: float, margin: float | None = None) -> str:
    """Format a computed size without the sign: one decimal from 1 point on, two digits below.

    Args:
        size: a fraction.
        margin: a fraction that the text must differ from, by up to eight decimals.
    """
    value, limit = 100 * size, None if margin is None else 100 * margin
    decimals = next(d for d in range(1, 9) if d == 8 or limit is None or f"{value:.{d}f}" != f"{limit:.{d}f}")
    return f"{value:.{decimals}f}" if decimals > 1 or value >= 1 else f"{value:.2g}"


def share(fraction: float) -> str:
    """Format a share of images: 0.6 -> "60 %"."""
    return f"{100 * fraction:.3g} %"


def accuracy(estimate: Estimate | None, n: int, number: Callable[[float, int], str] = percent) -> str:
    """Format an accuracy in percent with its interval: "96.13 [95.04, 96.99]".

    Args:
        estimate: fractions; None gives "-".
        n: number of test images.
        number: format of a single number.
    """
    if estimate is None:
        return NONE
    return f"{number(estimate.value, n)} [{number(estimate.low, n)}, {number(estimate.high, n)}]"


difference = partial(accuracy, number=points)  # of accuracies, in points: "+0.52 [-0.10, +1.14]"


def deviation(variance: Estimate) -> str:
    """Format the square root of the variance of a fraction, in points: "0.31 [0.12, 0.55]"."""
    value, low, high = (f"{100 * max(end, 0.0) ** 0.5:.2f}" for end in (variance.value, variance.low, variance.high))
    return f"{value} [{low}, {high}]"


def p_value(value: float | None) -> str:
    """Format a p value with two significant digits: "0.034", "< 0.001"."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def p_equals(value: float) -> str:
    """Format a p value for a sentence: "p = 0.034", "p < 0.001"."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def duration(seconds: float) -> str:
    """Format seconds: "42 s", "12 min", "3 h 05 min"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def amounts(n_real: int, n_synthetic: int) -> str:
    """Name a training set by its numbers of images: "100 real + 400 synthetic".

    Args:
        n_real: real images.
        n_synthetic: synthetic images.
    """
    parts = [f"{number:,} {kind}" for number, kind in ((n_real, "real"), (n_synthetic, "synthetic")) if number]
    return " + ".join(parts)


def title(group: Group) -> str:
    """Name a group in one line: "digits · tiny_digits · resnet18", without what differs between its arms."""
    shared = [*group.generators] if len(group.generators) == 1 else []
    return " · ".join([group.dataset, *shared, *(group.models if len(group.models) == 1 else ())])


def two_significant(number: float | None) -> str:
    """Format with two significant digits, trailing zeros too: "2.0", "0.50", "1,200"."""
    if number is None:
        return NONE
    text = f"{number:#.2g}".rstrip(".") if abs(number) < 99.5 else f"{float(f'{number:.2g}'):,.0f}"
    return ("0" if float(f"{number:.2g}") == 0 else text).replace("-", MINUS)

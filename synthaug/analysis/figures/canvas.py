"""What all figures share: the house style, one pair of axes in inches, and the way to SVG text.

Letters stay letters (`svg.fonttype: none`), so that the reader's browser draws class names of any script with
its own fonts; matplotlib only measures them, with a font that may lack them.
"""

import contextlib
import html
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from synthaug.analysis.study import Arm

INK, FAINT, BAND = "#1d2733", "#8a94a0", "#e8ecf1"
# Okabe, M., Ito, K. (2008). Color universal design. Black is kept for real.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#882255", "#6a6a6a")
STYLE: Any = {  # matplotlib types the keys one by one
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x$"
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.unicode_minus": True,
}
WIDTH, NARROW = 4.5, 2.7  # inches: the main figure, and one of several side by side
LINE, LETTER = 11.0, 6.0  # points: height of a line, width of a bold letter
SHORT_NAME = 16  # letters of a name that leave room for the figure


def colours(arms: Sequence[Arm]) -> dict[str, str]:
    """A colour per arm, the same in all figures; real is black."""
    others = [arm.name for arm in arms if not arm.baseline]
    found = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(others)}
    return found | {arm.name: INK for arm in arms if arm.baseline}


def shorten(name: str, longest: int) -> str:
    """A name, cut where it is too long."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def room(names: Sequence[str], size: float = 9) -> float:
    """Inches that the longest name takes; wide characters count double, since no font here may know them."""
    widest = max((sum(map(_columns, name)) for name in names), default=0)
    return 0.22 + widest * size * 0.62 / 72


def _columns(character: str) -> float:
    return 1.7 if unicodedata.east_asian_width(character) in "WF" else 1.0


def axes_in_inches(
    width: float, height: float, *, left: float, bottom: float, top: float, right: float
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; all lengths in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """The house style, without the warning that the measuring font lacks a letter: the browser has it."""
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font|Matplotlib currently does not")
        yield


def svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element whose ids are its own, so that several can share a page."""
    key = re.sub(r"\W", lambda found: f"_{ord(found[0]):x}", name)
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": key}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # A style element inside a page is the whole page's; the page has this rule for its figures.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", text)
    widest = 96 * 1.25 * figure.get_figwidth()  # CSS pixels; letters grow with the figure
    attributes = f'role="img" aria-label="{html.escape(description)}" style="max-width:{widest:.0f}px"'
    return text.replace("<svg ", f"<svg {attributes} ", 1)

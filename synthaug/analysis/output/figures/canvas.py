"""What all figures share: the house style, one pair of axes in inches, and the way to SVG text.

Letters stay letters (`svg.fonttype: none`), so that the reader's browser draws class names of any script with
its own fonts; matplotlib only measures them, with a font that may lack them.
"""

import contextlib
import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.palette import FAINT, INK

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
GAP = 3  # points between a name and what it names
SHORT_NAME = 16  # letters of a name that leave room for the figure


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


@dataclass(frozen=True)
class Name:
    """A word at a place of the axes; `side` is 1 for above it and -1 for below."""

    text: str
    x: float
    y: float
    colour: str
    side: int = 1


def write_names(axes: Axes, names: Iterable[Name]) -> None:
    """Write names, centred, each moved outwards where it would cover an earlier one."""
    axes.get_ylim()  # settles the limits
    taken: list[tuple[float, float, float]] = []  # centre, half width, bottom
    for name in names:
        centre, height = map(float, axes.transData.transform((name.x, name.y)) * 72 / axes.figure.dpi)
        half = len(name.text) * LETTER / 2
        start = bottom = height + (GAP if name.side > 0 else -LINE)
        while any(abs(centre - c) < half + h and abs(bottom - b) < LINE for c, h, b in taken):
            bottom += 2 * name.side
        taken.append((centre, half, bottom))
        axes.annotate(name.text, (name.x, name.y), xytext=(0, bottom - start + GAP * name.side),
                      textcoords="offset points", ha="center", va="bottom" if name.side > 0 else "top",
                      color=name.colour, fontweight="bold")  # fmt: skip


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """The house style, without the warning that the measuring font lacks a letter: the browser has it."""
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font|Matplotlib currently does not")
        yield


def svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element in the colours of the page around it.

    Matplotlib's style attributes become presentation attributes, since a strict Content-Security-Policy refuses
    the former. Ids are the figure's own business: whoever puts several on a page numbers them.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "synthaug"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(stream.getvalue())
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) in ("metadata", "style")]:
            parent.remove(child)
    for element in root.iter():
        _plain(element)
    # CSS pixels; letters grow with the figure.
    size = {"viewBox": root.attrib["viewBox"], "width": f"{96 * 1.25 * figure.get_figwidth():.0f}"}
    root.attrib = {"role": "img", "aria-label": description, **size}
    return re.sub(r"\n\s*", "\n", ElementTree.tostring(root, encoding="unicode"))


def _plain(element: ElementTree.Element) -> None:
    """Rewrite an element in place as `svg` promises."""
    element.tag = _local(element.tag)
    given = {_local(name): value for name, value in element.attrib.items()}
    style = (part.split(":", 1) for part in given.pop("style", "").split(";") if part.strip())
    given |= {name.strip(): value.strip() for name, value in style if name.strip() != "font-family"}
    if element.tag == "g":
        given.pop("id", None)
    given |= {name: palette.themed(value) for name, value in given.items() if name in ("fill", "stroke")}
    element.attrib = given


def _local(name: str) -> str:
    """A name without its namespace, which an SVG element inside HTML does without."""
    return name.rpartition("}")[2]

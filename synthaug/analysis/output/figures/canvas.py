"""What all figures share: the style, axes in inches, labels that do not overlap, and the way to SVG and PDF.

Letters stay letters (`svg.fonttype: none`), so that the reader's browser draws class names of any script with
its own fonts; matplotlib only measures them, with a font that may lack them.
"""

import contextlib
import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal
from matplotlib.text import Annotation, Text
from matplotlib.ticker import MaxNLocator

from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.palette import FAINT, INK
from synthaug.terminal import printable

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
GAP = 3.0  # points between a label and what it names
MAX_NAME = 16  # letters of a name that leave space for the figure
# Directions in which a label lies from its point: sign of x, sign of y, alignment.
_SIDES = {
    "above": (0, 1, "center", "bottom"),
    "below": (0, -1, "center", "top"),
    "left": (-1, 0, "right", "center"),
    "right": (1, 0, "left", "center"),
}


@dataclass(frozen=True)
class Label:
    """The name of a point.

    Attributes:
        text: the name.
        x: of the point, in data coordinates.
        y: of the point, in data coordinates.
        colour: of the text.
        side: "above", "below", "left" or "right" of the point.
        edge: x of a column of labels at the left or right; a line leads from each to its point.
    """

    text: str
    x: float
    y: float
    colour: str
    side: str = "above"
    edge: float | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure, drawn.

    Attributes:
        figure: of matplotlib.
        svg: content of an SVG file, in the colours of light paper.
        element: the same as an element in the colours of the page around it.
    """

    figure: Figure = field(compare=False)
    svg: str
    element: str


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Apply the style, without the warning that the measuring font lacks a letter: the browser has it."""
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font|Matplotlib currently does not")
        yield


def shorten(name: str, length: int = MAX_NAME) -> str:
    """Return a name, shortened.

    Args:
        name: of an arm or a class.
        length: in letters, from which on it ends in an ellipsis.
    """
    return name if len(name) <= length else name[: length - 1] + "…"


def text_width(names: Sequence[str], size: float = 9) -> float:
    """Return the width of the longest name in inches; East Asian letters count double.

    Args:
        names: to be written below each other.
        size: of the font, in points.
    """
    letters = [sum(1.7 if unicodedata.east_asian_width(letter) in "WF" else 1.0 for letter in name) for name in names]
    return 0.22 + max(letters, default=0) * size * 0.62 / 72


def axes_in_inches(
    width: float, height: float, *, left: float, bottom: float, top: float, right: float
) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes.

    Args:
        width: of the figure, in inches, as all other lengths.
        height: of the figure.
        left: margin between figure and axes.
        bottom: the same below.
        top: the same above.
        right: the same at the right.
    """
    figure = Figure(figsize=(width, height), dpi=72)  # so that pixels are points, as in the SVG
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    return figure, axes


def row_axes(
    names: Sequence[str], label: str, *, width: float, row: float, longest: int = MAX_NAME
) -> tuple[Figure, Axes]:
    """Return a figure with one horizontal row per name; row i is at y = i, the first on top.

    Args:
        names: at the left of the rows.
        label: of the x axis.
        width: of the rows, in inches.
        row: height of one, in inches.
        longest: letters of a name, from which on it is cut.
    """
    labels = [shorten(name, longest) for name in names]
    left = text_width(labels)
    figure, axes = axes_in_inches(left + width, 0.72 + row * len(labels), left=left, bottom=0.5, top=0.12, right=0.15)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(label)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    return figure, axes


def write_labels(axes: Axes, labels: Iterable[Label], size: float = 9) -> None:
    """Write labels, each moved up (above its point) or down (else) while it would cover an earlier one.

    A column that would end below the figure is moved up.

    Args:
        axes: with their final limits.
        labels: in any order.
        size: of the font, in points.
    """
    axes.get_ylim()  # settles the limits
    boxes: list[tuple[float, float, float]] = []  # centre x, half width, y; in points
    column_texts: list[tuple[Annotation, float]] = []  # with its y, from the top
    for label in sorted(labels, key=lambda item: item.y if item.side == "above" else -item.y):
        right, up, horizontal, vertical = _SIDES[label.side]
        column = label.x if label.edge is None else label.edge
        point = axes.transData.transform((label.x, label.y))
        x = axes.transData.transform((column, label.y))[0] + right * GAP * (label.edge is None)
        half = len(label.text) * LETTER * size / 18
        y = start = point[1] + up * (GAP + LINE / 2)
        while any(abs(x + right * half - c) < half + h and abs(y - b) < LINE for c, h, b in boxes):
            y += 1 if label.side == "above" else -1
        boxes.append((x + right * half, half, y))
        leader = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0,
                  "relpos": ((1 - right) / 2, 0.5)}  # fmt: skip
        text = axes.annotate(label.text, (label.x, label.y), xytext=(x - point[0], y - start + up * GAP),
                             textcoords="offset points", ha=horizontal, va=vertical, color=label.colour, fontsize=size,
                             fontweight="bold", arrowprops=None if label.edge is None else leader)  # fmt: skip
        if label.edge is not None:
            column_texts.append((text, y))
    lowest = LINE / 2
    for text, y in reversed(column_texts):
        raised = max(0.0, lowest - y)
        text.xyann = (text.xyann[0], text.xyann[1] + raised)
        lowest = y + raised + LINE


def draw(figure: Figure, name: str) -> Drawing:
    """Draw a figure once, for the page and for a file of its own.

    Args:
        figure: whose own label, `figure.get_label()`, describes it to who cannot see it.
        name: of the figure, unlike all others on the page, so that ids inside of it are too.
    """
    stream = io.StringIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = printable(stream.getvalue())  # XML has no control characters
    return Drawing(figure, svg, _element(figure, svg))


def pdf(figure: Figure) -> bytes:
    """Return the content of a PDF file, the same for the same figure.

    Letters are outlines: publishers refuse fonts of type 3, and a part of DejaVu Sans as type 42 takes 20 times as
    long as the figure.

    Args:
        figure: that was drawn before, so that all its text is there.
    """
    stream = io.BytesIO()
    with style():  # the number of ticks depends on it
        texts = figure.findobj(Text)
        for text in texts:
            text.set_path_effects([Normal()])
        dateless = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        figure.savefig(stream, format="pdf", transparent=True, metadata=dateless)
        for text in texts:
            text.set_path_effects([])
    return stream.getvalue()


def _element(figure: Figure, svg: str) -> str:
    """Return an SVG file as an element in the colours of the page around it.

    Matplotlib's style attributes become presentation attributes, since a strict Content-Security-Policy refuses
    the former.
    """
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) in ("metadata", "style")]:
            parent.remove(child)
    for element in root.iter():
        _simplify(element)
    # CSS pixels; letters grow with the figure.
    size = {"viewBox": root.attrib["viewBox"], "width": f"{96 * 1.25 * figure.get_figwidth():.0f}"}
    root.attrib = {"role": "img", "aria-label": str(figure.get_label()), **size}
    return re.sub(r"\n\s*", "\n", ElementTree.tostring(root, encoding="unicode"))


def _simplify(element: ElementTree.Element) -> None:
    """Rewrite an element in place as `_element` promises."""
    element.tag = _local(element.tag)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    declarations = (part.split(":", 1) for part in attributes.pop("style", "").split(";") if part.strip())
    attributes |= {name.strip(): value.strip() for name, value in declarations if name.strip() != "font-family"}
    if element.tag == "g":
        attributes.pop("id", None)
    attributes |= {name: palette.themed(value) for name, value in attributes.items() if name in ("fill", "stroke")}
    element.attrib = attributes


def _local(name: str) -> str:
    """Return a name without its namespace, which an SVG element inside HTML does without."""
    return name.rpartition("}")[2]

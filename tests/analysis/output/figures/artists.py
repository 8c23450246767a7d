"""What a figure shows, read back from its matplotlib artists in data coordinates."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

Place = tuple[float, float]


def axes_of(figure: Figure | None) -> Axes:
    assert figure is not None
    (axes,) = figure.axes
    return axes


def markers(figure: Figure | None) -> dict[Place, str]:
    """Place → marker of every single point."""
    lines = [line for line in axes_of(figure).lines if line.get_marker() not in ("None", "", None)]
    return {place: str(line.get_marker()) for line in lines for place in places(line.get_xydata())}


def places(data: object) -> list[Place]:
    return [(round(float(x), 6), round(float(y), 6)) for x, y in data]  # type: ignore[attr-defined]


def lines(figure: Figure | None, linestyle: str = "-", width: float | None = None) -> list[list[Place]]:
    """Every line without markers, as its places."""
    return [
        places(line.get_xydata())
        for line in axes_of(figure).lines
        if line.get_marker() in ("None", "") and line.get_linestyle() == linestyle
        if width is None or line.get_linewidth() == width
    ]


def labels(figure: Figure | None) -> dict[str, Place]:
    """Text of an annotation → the place that it names."""
    annotations = [text for text in axes_of(figure).texts if isinstance(text, Annotation)]
    return {text.get_text(): places([text.xy])[0] for text in annotations}


def row_names(figure: Figure | None) -> list[str]:
    """The names of the rows, by their y."""
    ticks = zip(axes_of(figure).get_yticks(), axes_of(figure).get_yticklabels(), strict=True)
    return [label.get_text() for _, label in sorted(ticks, key=lambda tick: float(tick[0]))]

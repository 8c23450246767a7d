"""The heat map of a grid, by its cells."""

import pytest
from matplotlib.patches import Rectangle

from synthaug.analysis.exchange.grid import grid_of
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.heat_map import DARKEST, LIGHTEST, accuracy_grid
from tests.analysis.exchange.test_grid import CROSSED, group_of
from tests.analysis.output.figures.artists import axes_of

GRID = grid_of(group_of(CROSSED))  # accuracies 50 to 55 %, in the order of CROSSED


def test_rows_are_real_and_columns_synthetic_images() -> None:
    assert GRID is not None
    axes = axes_of(accuracy_grid(GRID))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["100", "400", "1,000"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "500"]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(1, 2): "50.0", (0, 2): "51.0", (1, 0): "52.0", (0, 0): "53.0", (1, 1): "54.0", (0, 1): "55.0"}
    bottom, top = axes.get_ylim()
    assert bottom > top, "the first row is on top"


def test_colour_grows_with_accuracy_and_ink_is_read_on_all_of_it() -> None:
    assert GRID is not None
    axes = axes_of(accuracy_grid(GRID))
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    opacity = {(patch.get_x() + 0.5, patch.get_y() + 0.5): patch.get_alpha() for patch in cells}
    step = (DARKEST - LIGHTEST) / 5
    order = [(1, 2), (0, 2), (1, 0), (0, 0), (1, 1), (0, 1)]
    assert opacity == pytest.approx({cell: LIGHTEST + index * step for index, cell in enumerate(order)})
    for theme in (0, 1):
        paper, ink, hue = (_rgb(palette.THEME[name][theme]) for name in ("paper", "ink", "arm0"))
        ground = [DARKEST * colour + (1 - DARKEST) * blank for colour, blank in zip(hue, paper, strict=True)]
        light, dark = sorted((_luminance(ink), _luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def _rgb(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def _luminance(rgb: list[float]) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

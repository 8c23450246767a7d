"""What all figures share: labels that do not overlap, and SVG that a strict policy accepts."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import LINE, Label, axes_in_inches, draw, shorten, style, write_labels
from synthaug.analysis.output.figures.forest import arm_differences
from tests.factories.estimates import make_difference

FIGURE = arm_differences([Arm("55", 0.5, 0.5, False, 1, difference=make_difference(-0.02, -0.05, -0.01))])


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6),
    st.sampled_from(["above", "below", "left", "right"]),
)
def test_labels_cover_no_other_label(points: list[tuple[float, float]], side: str) -> None:
    with style():
        _, axes = axes_in_inches(4, 3, left=0.5, bottom=0.5, top=0.2, right=0.5)
        write_labels(axes, [Label(f"arm {n}", x, y, palette.INK, side) for n, (x, y) in enumerate(points)])
        boxes = [text.get_window_extent() for text in axes.texts]
    for first, second in combinations(boxes, 2):
        apart = abs((first.x0 + first.x1) - (second.x0 + second.x1)) / 2 >= (first.width + second.width) / 2
        assert apart or abs((first.y0 + first.y1) - (second.y0 + second.y1)) / 2 >= 0.9 * LINE


@pytest.mark.parametrize("side", ["above", "below", "left", "right"])
def test_a_label_stands_at_its_side_of_the_point(side: str) -> None:
    _, axes = axes_in_inches(4, 3, left=0.5, bottom=0.5, top=0.2, right=0.5)
    write_labels(axes, [Label("55", 0.5, 0.5, palette.INK, side)])
    x, y = axes.transData.transform((0.5, 0.5))
    box = axes.texts[0].get_window_extent()
    sides = {"above": box.y0 > y, "below": box.y1 < y, "left": box.x1 < x, "right": box.x0 > x}
    assert [name for name, holds in sides.items() if holds] == [side]


def test_the_svg_has_nothing_that_a_strict_policy_refuses() -> None:
    root = ElementTree.fromstring(draw(FIGURE, "differences").element)
    elements = list(root.iter())
    assert not any("style" in element.attrib for element in elements)
    assert not {element.tag for element in elements} & {"style", "metadata", "script"}
    assert root.attrib["aria-label"] == "Difference from real of each arm, with 95 % intervals"


def test_ids_of_two_figures_differ() -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', draw(FIGURE, name).element)) for name in ("1/a", "2/a"))
    assert first
    assert not first & second
    assert draw(FIGURE, "1/a") == draw(FIGURE, "1/a")


def test_colours_are_those_of_the_page() -> None:
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', draw(FIGURE, "differences").element))
    assert all(colour == "none" or colour.startswith("var(--") for colour in colours), colours


@pytest.mark.parametrize(("name", "shown"), [("a" * 16, "a" * 16), ("a" * 17, "a" * 15 + "…")])
def test_long_names_are_cut(name: str, shown: str) -> None:
    assert shorten(name) == shown

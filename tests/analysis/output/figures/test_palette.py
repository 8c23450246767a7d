"""The colours of page and figures."""

import pytest

from synthaug.analysis.comparison.model import Arm
from synthaug.analysis.output.figures import palette
from tests.factories.estimates import make_difference


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_letters_have_enough_contrast(theme: int) -> None:
    def luminance(name: str) -> float:
        """WCAG 2.2, relative luminance."""
        parts = (int(palette.THEME[name][theme][at : at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    letters = ["ink", "soft", "link", *(name for name in palette.THEME if name.startswith("arm"))]
    pairs = [(name, paper) for name in letters for paper in ("paper", "ground")] + [("ink", "warn"), ("ink", "band")]
    for pair in pairs:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


def test_a_control_has_the_colour_of_its_arm_and_real_is_ink() -> None:
    loss = make_difference(-0.02, -0.03, -0.01)
    arms = [
        Arm("real", 1, 0, True, 1),
        Arm("55", 0.5, 0.5, False, 1, control="real50", loss=loss),
        Arm("add", 1, 1, False, 1, control="real", loss=None),
        Arm("real50", 0.5, 0, False, 1),
        Arm("real70", 0.7, 0, False, 1),
    ]
    colour = palette.arm_colours(arms)
    assert colour["real"] == colour["real70"] == palette.INK
    assert colour["real50"] == colour["55"] != colour["add"]

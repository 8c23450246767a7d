"""The colours of page and figures, each twice: on light and on dark paper.

Figures are drawn in the light ones; in their SVG text every colour becomes a CSS variable, so that a figure
follows the page around it and keeps its light colours where there is none.
"""

from collections.abc import Sequence

from synthaug.analysis.comparison.model import Arm, controls_of

# Name → on light, on dark. Text and arms have a contrast of at least 4.5 to their paper (WCAG 2.2, 1.4.3).
INK, FAINT, BAND, PAPER = "#1d2733", "#8a94a0", "#e8ecf1", "#ffffff"
# The hues of Okabe, M., Ito, K. (2008), Color universal design, dark enough for letters; ink is kept for real.
ARMS = ("#0072b2", "#b84f00", "#00795a", "#a8477f", "#8a6100", "#3f6fc4", "#6b6400", "#882255", "#5f6670")
_ARMS_ON_DARK = ("#5ab4f0", "#ff9557", "#3ecf9f", "#e79bc4", "#f0b840", "#a3bcff", "#cdbf55", "#f08aae", "#b4bcc6")
THEME = {
    "ink": (INK, "#e6eaf0"),
    "soft": ("#55606d", "#a5b0bd"),
    "faint": (FAINT, "#6f7a87"),
    "line": ("#dfe4ea", "#303843"),
    "band": (BAND, "#2a323d"),
    "ground": ("#f6f7f9", "#0e1217"),
    "paper": (PAPER, "#171c23"),
    "link": ("#005f96", "#7cc4f5"),
    "warn": ("#fff4e0", "#33280f"),
    "warn-line": ("#c77f00", "#d99a2b"),
    **{f"arm{index}": pair for index, pair in enumerate(zip(ARMS, _ARMS_ON_DARK, strict=True))},
}
_VARIABLE = {light: f"var(--{name},{light})" for name, (light, _) in THEME.items()}


def arm_colours(arms: Sequence[Arm]) -> dict[str, str]:
    """Return a colour per arm: real images alone in ink, a control in the colour of the first arm that it serves."""
    baselines = {arm.name for arm in arms if arm.baseline}
    served = {arm.control: arm.name for arm in reversed(arms) if arm.control and arm.control not in baselines}
    alone = baselines | (controls_of(arms) - served.keys())
    coloured = [arm.name for arm in arms if arm.name not in alone and arm.name not in served]
    colours = {name: ARMS[index % len(ARMS)] for index, name in enumerate(coloured)}
    colours |= {control: colours[name] for control, name in served.items()}
    return colours | dict.fromkeys(alone, INK)


def themed(colour: str) -> str:
    """Return a colour of this module as a CSS variable that falls back to itself; any other as it is."""
    return _VARIABLE.get(colour, colour)

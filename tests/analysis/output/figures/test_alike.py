"""Arms that are not told apart, by the places of dots and lines."""

from synthaug.analysis.comparison.factor_effects import ArmsAlike
from synthaug.analysis.inference.arm_groups import ArmGroups
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output.figures.alike import draw_arms_alike
from tests.analysis.output.figures.artists import axes_of, lines, markers, row_names
from tests.factories.arms import make_arm

ACCURACIES = (0.90, 0.95, 0.80)
ARMS = tuple(make_arm(0.5, name=f"a{place}", accuracy=Estimate(x, x, x)) for place, x in enumerate(ACCURACIES))
LABELS = {arm.name: arm.name for arm in ARMS}


def test_the_most_accurate_arm_is_on_top_and_lines_join_the_members_of_a_group() -> None:
    figure = draw_arms_alike(ArmsAlike(ARMS, ArmGroups((1, 0, 2), ((1, 0), (1, 2)))), LABELS)
    assert row_names(figure) == ["a1", "a0", "a2"]
    dots = {place for place, marker in markers(figure).items() if marker == "o"}
    assert dots == {(95.0, 0.0), (90.0, 1.0), (80.0, 2.0)}
    joined = lines(figure, width=1.6)
    assert [[y for _, y in line] for line in joined] == [[0.0, 1.0], [0.0, 2.0]]
    members = sorted(y for (x, y), marker in markers(figure).items() if marker == "s" and x == joined[1][0][0])
    assert members == [0.0, 2.0], "the arm between them is not marked"
    assert all(x > 95 for line in joined for x, _ in line)
    low, high = axes_of(figure).get_xlim()
    assert low < 80
    assert high > joined[1][0][0]


def test_arms_that_all_differ_have_no_line() -> None:
    assert lines(draw_arms_alike(ArmsAlike(ARMS, ArmGroups((1, 0, 2), ())), LABELS), width=1.6) == []

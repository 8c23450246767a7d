"""What a study says beyond its table: made once, and the same in page, files and W&B."""

from collections.abc import Mapping
from dataclasses import dataclass

from synthaug.analysis.comparison.model import Arm, Comparison, Group
from synthaug.analysis.cost import Cost, Prices, costs
from synthaug.analysis.exchange import class_verdicts
from synthaug.analysis.exchange import rate as exchange
from synthaug.analysis.exchange.class_verdicts import ClassMix, ClassVerdict
from synthaug.analysis.exchange.rate import Exchange
from synthaug.analysis.inference.power_analysis import ArmPower
from synthaug.analysis.robustness.shift_effects import Robustness, robustness
from synthaug.analysis.text.format import in_points
from synthaug.analysis.validity.checks import find
from synthaug.analysis.validity.finding import MIND, PASSED, SERIOUS, Finding
from synthaug.analysis.validity.notes import notes


@dataclass(frozen=True)
class Findings:
    """Of one group.

    Attributes:
        exchange: what a synthetic image is worth in real ones, or why that cannot be said.
        verdicts: by arm, whether synthetic images help each class.
        mixes: for each class, the arm to take.
        robustness: on further test sets; None where there are none.
        costs: seconds, energy and money of each arm.
        threats: to validity, and what was looked for in vain.
        notes: what bears on how far the arms may be compared.
    """

    exchange: Exchange
    verdicts: Mapping[str, tuple[ClassVerdict, ...]]
    mixes: tuple[ClassMix, ...]
    robustness: Robustness | None
    costs: tuple[Cost, ...]
    threats: tuple[Finding, ...]
    notes: tuple[str, ...]


def findings(comparison: Comparison, prices: Prices | None = None) -> tuple[Findings, ...]:
    """Those of every group, in the order of the groups."""
    return tuple(_of_group(comparison, group, prices) for group in comparison.groups)


def _of_group(comparison: Comparison, group: Group, prices: Prices | None) -> Findings:
    verdicts, mixes = class_verdicts.group_verdicts(group)
    return Findings(
        exchange.group_exchange(group),
        verdicts,
        mixes,
        robustness([item.run for item in group.runs]),
        costs(comparison.folder, group, prices),
        find(comparison, group, _of_power(group)) if group.predicted else (),
        notes(group),
    )


def _of_power(group: Group) -> list[Finding]:
    """Whether the study can show what it looks for: a finding like the others."""
    arms: Mapping[str, ArmPower] = {arm.name: arm.power for arm in group.treatment_arms if arm.power}
    weak = [name for name, arm in arms.items() if not arm.shows]
    margin = in_points(group.margin_fraction)
    if not arms:
        return []
    if not weak:
        return [Finding("power", PASSED, f"In every arm a difference of {margin} would be shown.")]
    whose = "any arm" if len(weak) == len(arms) else ", ".join(weak)
    said = f"A difference of {margin} from real cannot be shown in {whose}: not to see one says little."
    return [Finding("power", SERIOUS if len(weak) == len(arms) else MIND, said, "See what this study can show.")]


def headline_arm(group: Group) -> Arm | None:
    """Return the arm that says how many real images can be replaced; None without such arms.

    Among the arms as large as the baseline: the largest synthetic share whose non-inferiority is established, else the
    smallest share that is significantly worse, else the largest share.
    """
    arms = [arm for arm in group.treatment_arms if arm.synthetic > 0 and arm.differs_in_share_alone]
    non_inferior = [arm for arm in arms if arm.non_inferiority and arm.non_inferiority.verdict == "established"]
    worse = [arm for arm in arms if arm.difference and arm.difference.is_significant and arm.difference.value < 0]
    if worse and not non_inferior:
        return min(worse, key=lambda arm: arm.synthetic_fraction)
    return max(non_inferior or arms, key=lambda arm: arm.synthetic_fraction, default=None)

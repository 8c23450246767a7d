"""What a study says beyond its table, as data: computed once for console, page, files and W&B."""

from collections.abc import Mapping
from dataclasses import dataclass

from synthaug.analysis.comparison.factor_effects import (
    ArmsAlike,
    FactorEffects,
    FactorTable,
    arms_alike,
    factor_effects,
    factor_table,
)
from synthaug.analysis.comparison.model import Arm, Comparison, Group
from synthaug.analysis.comparison.replication import SourceVariance, source_variances
from synthaug.analysis.cost import Cost, Prices, costs
from synthaug.analysis.exchange import class_verdicts
from synthaug.analysis.exchange import rate as exchange
from synthaug.analysis.exchange.class_verdicts import ClassMix, ClassVerdict
from synthaug.analysis.exchange.equivalent import EquivalentSizes, group_equivalents
from synthaug.analysis.exchange.rate import Exchange
from synthaug.analysis.robustness.shift_effects import Robustness, robustness
from synthaug.analysis.subsets.class_balance import ClassBalance, class_balance
from synthaug.analysis.subsets.feedback_shares import FeedbackShares, feedback_shares
from synthaug.analysis.subsets.group_accuracy import GroupAccuracy, group_accuracy
from synthaug.analysis.validity.check_result import Check
from synthaug.analysis.validity.checks import validity_checks


@dataclass(frozen=True)
class Findings:
    """Findings of one group.

    Attributes:
        factors: the arms as a grid over the factors of the study; None where they make none.
        effects: main effects of each factor.
        sources: variance of an accuracy by each source of chance, of the arms that tell them apart.
        alike: which arms are not told apart; None unless every pair is compared.
        equivalents: how many real images alone do as well as each arm with synthetic ones; one for each way of
            training, the baseline's first.
        exchange: what a synthetic image is worth in real ones under a law, or why that cannot be estimated.
        verdicts: by arm, whether synthetic images help each class.
        mixes: for each class, the arm to use.
        balance: balanced accuracy and worst class; None where no run is compared.
        feedback: what it did in each arm that has it.
        image_groups: accuracy in groups of the test images; None where none are recorded.
        robustness: on shift sets; None where there are none.
        costs: seconds and price of each arm.
        checks: of the validity of the comparison, the most severe first.
    """

    factors: FactorTable | None
    effects: tuple[FactorEffects, ...]
    sources: tuple[SourceVariance, ...]
    alike: ArmsAlike | None
    equivalents: tuple[EquivalentSizes, ...]
    exchange: Exchange
    verdicts: Mapping[str, tuple[ClassVerdict, ...]]
    mixes: tuple[ClassMix, ...]
    balance: ClassBalance | None
    feedback: tuple[FeedbackShares, ...]
    image_groups: GroupAccuracy | None
    robustness: Robustness | None
    costs: tuple[Cost, ...]
    checks: tuple[Check, ...]

    @property
    def listed_checks(self) -> tuple[Check, ...]:
        """The checks less those that the headline beside them says already."""
        return tuple(check for check in self.checks if not check.in_headline)


def findings(comparison: Comparison, prices: Prices | None = None) -> tuple[Findings, ...]:
    """Compute the findings of every group, in the order of the groups.

    Args:
        comparison: of the study.
        prices: of an hour and a kilowatt-hour; None where money is not asked for.
    """
    return tuple(_group_findings(comparison, group, prices) for group in comparison.groups)


def _group_findings(comparison: Comparison, group: Group, prices: Prices | None) -> Findings:
    verdicts, mixes = class_verdicts.group_verdicts(group)
    return Findings(
        factor_table(group),
        factor_effects(group),
        source_variances(group),
        arms_alike(group),
        group_equivalents(group),
        exchange.group_exchange(group),
        verdicts,
        mixes,
        class_balance(group),
        feedback_shares(group),
        group_accuracy(comparison.folder, group),
        robustness(group),
        costs(comparison.folder, group, prices),
        validity_checks(comparison.folder, group),
    )


def headline_arm(group: Group) -> Arm | None:
    """Return the arm that says how many real images can be replaced; None without such arms of several seeds.

    Among the arms as large as the baseline: the largest synthetic share whose non-inferiority is established, else the
    smallest share that is significantly worse, else the largest share.
    """
    arms = [arm for arm in group.tested_arms if arm.synthetic > 0 and arm.differs_in_share_alone]
    non_inferior = [arm for arm in arms if arm.non_inferiority and arm.non_inferiority.verdict == "established"]
    worse = [arm for arm in arms if arm.difference and arm.difference.is_significant and arm.difference.value < 0]
    if worse and not non_inferior:
        return min(worse, key=lambda arm: arm.synthetic_fraction)
    return max(non_inferior or arms, key=lambda arm: arm.synthetic_fraction, default=None)

"""The wording of the results on shift sets, with made-up numbers."""

from dataclasses import replace

import numpy as np

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.inference.confidence import Calibration
from synthaug.analysis.inference.intervals import Difference, Estimate, MeanVariance, VarianceComponent
from synthaug.analysis.robustness.shift_effects import (
    AT_CHANCE,
    EXCLUDED,
    NOT_EVALUATED,
    ArmShiftResult,
    Robustness,
    ShiftNote,
    ShiftSetResult,
)
from synthaug.analysis.text.document import Rows, markdown
from synthaug.analysis.text.robustness_text import document
from tests.factories.golden import assert_golden


def change(value: float, half: float, adjusted_p: float | None = None) -> Difference:
    return Difference(
        value, value - half, value + half, value, MeanVariance(VarianceComponent(np.zeros(()))), 0.01, 2, adjusted_p
    )


def arms(*extras: tuple[float, float | None]) -> tuple[ArmShiftResult, ...]:
    calibration = Calibration(Estimate(0.9, 0.88, 0.92), change(0.1, 0.02), Estimate(0.1, 0.08, 0.12))
    baseline = ArmShiftResult("real", True, (0, 1), Estimate(0.8, 0.78, 0.82), calibration)
    names = ("55", "82")
    accuracy, difference = Estimate(0.75, 0.7, 0.8), change(-0.05, 0.02)
    rest = [
        ArmShiftResult(name, False, (0, 1), accuracy, calibration, difference, None, change(extra, 0.02, p))
        for name, (extra, p) in zip(names, extras, strict=False)
    ]
    return (baseline, *rest)


DIGESTS = {"digest": "a" * 64, "expected": "b" * 64}
RESULTS = Robustness(
    ShiftSetResult("test", "real", False, 300, 1 / 3, "a", arms()[:1]),
    ShiftSetResult("corruptions, mean", "real", True, 300, 1 / 3, "", arms((-0.04, None), (0.01, None))),
    (
        ShiftSetResult("held out", "synthetic", False, 90, 1 / 3, "b", arms((0.01, 0.5), (0.05, 0.0002))),
        ShiftSetResult("noise-1", "real", True, 300, 1 / 3, "c", arms((-0.06, 0.031), (0.01, 1))),
        ShiftSetResult("blur-1", "real", True, 300, 1 / 3, "d", arms((0.0, 1), (0.01, 1))),
    ),
    (
        ShiftNote(EXCLUDED, ("noise-1",), ("82-seed1",), Reason("other_test_set", DIGESTS)),
        ShiftNote(NOT_EVALUATED, ("a", "b", "c", "d"), ("55-seed0", "55-seed1")),
        ShiftNote(AT_CHANCE, ("noise-1", "blur-1"), ("82",), chance=1 / 3),
    ),
)


def test_the_document() -> None:
    assert_golden("robustness.md", markdown(document(RESULTS)))


def test_the_summary() -> None:
    assert_golden("robustness_summary.md", markdown(document(RESULTS, whole=False)))


def test_a_single_corruption_is_in_the_summary() -> None:
    (table,) = [block for block in document(replace(RESULTS, pooled=None), whole=False) if isinstance(block, Rows)]
    assert {row[0] for row in table.rows} == {"held out", "noise-1", "blur-1"}

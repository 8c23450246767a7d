"""A comparison and its findings as plain data: the rows of CSV, the content of JSON."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from synthaug.analysis.comparison.model import ClassResult, ComparedRun, Comparison, Group, PairComparison, spaced
from synthaug.analysis.exchange.equivalent import Equivalent, EquivalentSizes
from synthaug.analysis.exchange.law import Law
from synthaug.analysis.exchange.rate import Exchange, Point, Value
from synthaug.analysis.findings import Findings
from synthaug.analysis.inference.contrasts import MainEffect
from synthaug.analysis.inference.intervals import CONFIDENCE, Difference, Estimate
from synthaug.analysis.robustness.shift_effects import Robustness, ShiftSetResult
from synthaug.analysis.subsets.class_balance import ArmBalance
from synthaug.analysis.subsets.group_accuracy import ArmGroups, GroupAccuracy
from synthaug.runs import layout


def rows(group: Group, findings: Findings) -> list[dict[str, Any]]:
    """Return one flat row per arm: fractions (`margin` in points), None where there is no number, seeds as "0 1 2".

    Args:
        group: of a comparison.
        findings: of the group.
    """
    equivalents = {item.arm.name: item for sizes in findings.equivalents for item in sizes.arms}
    balance = {item.arm: item for item in findings.balance.arms} if findings.balance else {}
    image_groups = {item.arm: item for item in findings.image_groups.arms} if findings.image_groups else {}
    return [
        {
            "dataset": group.dataset,
            "arm": arm.name,
            "generator": arm.generator,
            "model": arm.model,
            "reference": arm.reference,
            "baseline": arm.baseline,
            "real": None if arm.shots is not None else arm.real,
            "synthetic": None if arm.is_filled else arm.synthetic,
            "real_per_class": arm.shots,
            "synthetic_fraction": arm.synthetic_fraction,
            "n_real": arm.n_real,
            "n_synthetic": arm.n_synthetic,
            "n_selection": arm.n_selection,
            "n_test": group.n_test,
            "folds": group.n_folds,
            **_fields("accuracy", arm.accuracy),
            "accuracy_seed_deviation": arm.seed_deviation,
            "macro_f1": arm.macro_f1,
            **_balance(balance.get(arm.name)),
            **_worst_group(image_groups.get(arm.name)),
            "calibration_error": arm.calibration_error,
            **_tested("difference", arm.difference),
            **_fields("borrowed", arm.borrowed),
            "difference_seeds": spaced(arm.difference_seeds),
            **_tested("macro_f1_difference", arm.macro_f1_difference),
            "margin": group.margin,  # in points
            "non_inferiority": arm.non_inferiority.verdict if arm.non_inferiority else None,
            "non_inferiority_p": arm.non_inferiority.p_value if arm.non_inferiority else None,
            "non_inferiority_p_adjusted": arm.non_inferiority.adjusted_p if arm.non_inferiority else None,
            "control": arm.control,
            **_tested("loss", arm.loss),
            **_tested("gain", arm.gain),
            **_equivalent(equivalents.get(arm.name)),
            "smallest_detectable": arm.power.smallest if arm.power and arm.power.variances else None,
            "seeds": spaced(arm.seeds),
            "runs_planned": arm.runs_planned,
            "runs_compared": len(arm.seeds) * (group.n_folds or 1),
            "augment": arm.augment,
            "steps": arm.steps,
            "epochs": arm.epochs,
            "passes": arm.passes,
        }
        for arm in group.arms
    ]


def as_json(comparison: Comparison, findings: Sequence[Findings]) -> dict[str, Any]:
    """Return the rows, each with its classes; every run with its state; the findings.

    Args:
        comparison: of the study.
        findings: of each group.
    """
    return {
        "format": layout.FORMAT,
        "study": comparison.study,
        "confidence": CONFIDENCE,
        "complete": comparison.complete,
        "groups": [
            {
                "dataset": group.dataset,
                "test_digest": group.test_digest,
                "n_test": group.n_test,
                "folds": group.n_folds,
                "classes": list(group.class_names),
                "margin": group.margin,  # in points
                "looks": list(group.looks),
                "trend": _trend(group),
                "arms": [
                    row | {"per_class": [_class_row(item) for item in arm.classes]}
                    for row, arm in zip(rows(group, group_findings), group.arms, strict=True)
                ],
                "comparisons": [_pair_row(pair) for pair in group.pairs],
                "runs": [_run_row(run) for run in group.runs],
                **_findings(group_findings),
            }
            for group, group_findings in zip(comparison.groups, findings, strict=True)
        ],
    }


def _trend(group: Group) -> dict[str, Any] | None:
    if group.trend is None:
        return None
    return {"arms": list(group.trend.arms), "per_share": 0.1, **_tested("slope", group.trend.slope)}


def _findings(findings: Findings) -> dict[str, Any]:
    return {
        "main_effects": [_effect_row(item.factor, effect) for item in findings.effects for effect in item.effects],
        "sources_of_chance": [
            {"arm": item.arm, "source": item.source, **_fields("variance", item.variance), "runs": item.runs}
            for item in findings.sources
        ],
        "equivalents": [equivalents_record(sizes) for sizes in findings.equivalents],
        "exchange": exchange_record(findings.exchange),
        "class_verdicts": {
            arm: {item.name: item.verdict for item in verdicts} for arm, verdicts in findings.verdicts.items()
        },
        "class_mixes": [dataclasses.asdict(item) for item in findings.mixes],
        "feedback": [dataclasses.asdict(item) for item in findings.feedback],
        "image_groups": image_groups_record(findings.image_groups) if findings.image_groups else None,
        "robustness": robustness_record(findings.robustness) if findings.robustness else None,
        "costs": [dataclasses.asdict(item) for item in findings.costs],
        "checks": [dataclasses.asdict(item) for item in findings.checks],
    }


def _effect_row(factor: str, effect: MainEffect) -> dict[str, Any]:
    levels = {"factor": factor, "first": effect.first, "second": effect.second, "settings": effect.cells}
    return levels | _tested("difference", effect.difference)


def _balance(item: ArmBalance | None) -> dict[str, float | str | None]:
    return {
        **_fields("balanced_accuracy", item.accuracy if item else None),
        **_tested("balanced_difference", item.difference if item else None),
        "worst_class": item.worst_class if item else None,
        **_fields("worst_class_accuracy", item.worst.accuracy if item else None),
        **_fields("worst_class_difference", item.worst_difference if item else None),
    }


def _worst_group(item: ArmGroups | None) -> dict[str, float | str | None]:
    return {
        "worst_group": item.worst_group if item else None,
        **_fields("worst_group_accuracy", item.worst.accuracy if item else None),
        **_fields("worst_group_difference", item.worst_difference if item else None),
        **_fields("group_gap", item.worst.gap if item else None),
        **_fields("group_gap_difference", item.gap_difference if item else None),
    }


def image_groups_record(results: GroupAccuracy) -> dict[str, Any]:
    """Return the accuracies in groups of the test images as plain data; None where there is no number."""
    return {
        "n_test": dict(results.n_test),
        "without": results.without,
        "arms": {
            item.arm: {
                name: {**_fields("accuracy", cell.accuracy), **_tested("difference", cell.difference)}
                for name, cell in item.cells.items()
            }
            for item in results.arms
        },
    }


def _equivalent(item: Equivalent | None) -> dict[str, float | str | None]:
    """Columns of an arm: as many real images alone do as well, at least `equivalent_low`, at most `equivalent_high`."""
    return {
        "equivalent": item.number if item else None,
        "equivalent_low": item.low if item else None,
        "equivalent_high": item.high if item else None,
        "equivalent_bound": item.bound if item else None,
    }


def equivalents_record(sizes: EquivalentSizes) -> dict[str, Any]:
    """Return equivalent numbers of real images as plain data; None where there is no number."""
    return {
        "reasons": [dataclasses.asdict(reason) for reason in sizes.reasons],
        "law": _law_row(sizes.law),
        "agreement": sizes.agreement,
        "confidence": sizes.confidence,
        "real": [_point_row(point) for point in sizes.real],
        "arms": [
            {
                "arm": item.arm.name,
                "n_real": item.arm.n_real,
                "n_synthetic": item.arm.n_synthetic,
                "error": item.error,
                "standard_error": item.standard_error,
                **_equivalent(item),
                "worth": item.worth(item.number),
                "worth_low": item.worth(item.low),
                "worth_high": item.worth(item.high),
                "reasons": [dataclasses.asdict(reason) for reason in item.reasons],
            }
            for item in sizes.arms
        ],
    }


def exchange_record(exchange: Exchange) -> dict[str, Any]:
    """Return an exchange rate as plain data: fractions and images; None where there is no number."""
    return {
        "identifiable": exchange.identifiable,
        "reasons": [dataclasses.asdict(reason) for reason in exchange.reasons],
        "value": _value_row(exchange.value),
        "limit": _value_row(exchange.limit),
        "law": _law_row(exchange.law),
        "better": exchange.better,
        "forms": [
            {"name": form.name, "parameters": form.parameters, "misfit": form.misfit, "aicc": form.aicc}
            | {"law": _law_row(form.law)}
            for form in exchange.forms
        ],
        "agreement": exchange.agreement,
        "inflation": exchange.inflation,
        "along": [_value_row(value) for value in exchange.along],
        "points": [_point_row(point) for point in exchange.points],
        "left_out": [arm.name for arm in exchange.left_out],
        "n_test": exchange.n_images,
        "one_seed": exchange.one_seed,
        "confidence": exchange.confidence,
        "classes": [
            {
                "class": item.name,
                "n_test": item.n_test,
                "reasons": [dataclasses.asdict(reason) for reason in item.exchange.reasons],
                "value": _value_row(item.exchange.value),
                "limit": _value_row(item.exchange.limit),
                "better": item.exchange.better,
            }
            for item in exchange.classes
        ],
    }


def _point_row(point: Point) -> dict[str, Any]:
    return {
        "arm": point.arm.name,
        "n_real": point.arm.n_real,
        "n_synthetic": point.arm.n_synthetic,
        "error": point.error,
        "standard_error": point.standard_error,
        "fitted": point.fitted,
    }


def _value_row(value: Value | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    return dataclasses.asdict(value) | {"k": value.k, "k_low": value.k_low, "k_high": value.k_high}


def _law_row(law: Law | None) -> dict[str, float] | None:
    return dataclasses.asdict(law) if law else None


def robustness_record(robustness: Robustness) -> dict[str, Any]:
    """Return the results on shift sets as plain data: fractions; None where there is no number."""
    sets = [robustness.test, *([robustness.pooled] if robustness.pooled else []), *robustness.sets]
    return {
        "sets": [_shift_set(item) for item in sets],
        "notes": [dataclasses.asdict(note) for note in robustness.notes],
    }


def _shift_set(item: ShiftSetResult) -> dict[str, Any]:
    return {
        "name": item.name,
        "origin": item.origin,
        "paired": item.paired,
        "n": item.n,
        "chance": item.chance,
        "digest": item.digest or None,
        "arms": [
            {
                "arm": arm.arm,
                "baseline": arm.baseline,
                "seeds": list(arm.seeds),
                **_fields("accuracy", arm.accuracy),
                **_fields("confidence", arm.calibration.confidence if arm.calibration else None),
                **_fields("overconfidence", arm.calibration.overconfidence if arm.calibration else None),
                **_fields("calibration_error", arm.calibration.error if arm.calibration else None),
                **_tested("difference", arm.difference),
                **_tested("change", arm.change),
                **_tested("extra", arm.extra),
            }
            for arm in item.arms
        ],
    }


def _class_row(item: ClassResult) -> dict[str, Any]:
    return {
        "class": item.name,
        "n_test": item.n_test,
        **_fields("accuracy", item.accuracy),
        **_tested("difference", item.difference),
        **_tested("gain", item.gain),
    }


def _pair_row(pair: PairComparison) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "exploratory": pair.exploratory,
        **_tested("difference", pair.difference),
    }


def _run_row(item: ComparedRun) -> dict[str, Any]:
    key = item.run.key
    return {
        "arm": item.run.arm,
        "seed": key.seed,
        "fold": key.fold,
        "real": item.run.real,
        "synthetic": item.run.synthetic,
        "state": item.state,
        "reason": dataclasses.asdict(item.reason) if item.reason else None,
        "accuracy": item.accuracy,
        "folder": key.folder.as_posix(),
    }


def _fields(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }


def _tested(name: str, difference: Difference | None) -> dict[str, float | None]:
    return {
        **_fields(name, difference),
        f"{name}_p": difference.p_value if difference else None,
        f"{name}_p_adjusted": difference.adjusted_p if difference else None,
    }

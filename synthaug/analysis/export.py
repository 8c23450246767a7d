"""A comparison as rows, CSV and JSON."""

from typing import Any

from synthaug import results
from synthaug.analysis.statistics import CONFIDENCE, Estimate
from synthaug.analysis.study import ClassResult, ComparedRun, Comparison, Group, spaced


def rows(group: Group) -> list[dict[str, Any]]:
    """One flat row per arm: fractions, not percent; None where there is no number; seeds as "0 1 2"."""
    return [
        {
            "dataset": group.dataset,
            "generator": group.generator,
            "model": group.model,
            "arm": arm.name,
            "baseline": arm.baseline,
            "real": arm.real,
            "synthetic": arm.synthetic,
            "synthetic_fraction": arm.synthetic_fraction,
            "n_real": arm.n_real,
            "n_synthetic": arm.n_synthetic,
            "n_test": group.n_test,
            **_fields("accuracy", arm.accuracy),
            "accuracy_seed_deviation": arm.seed_deviation,
            "macro_f1": arm.macro_f1,
            "calibration_error": arm.calibration_error,
            **_fields("difference", arm.difference),
            "difference_seeds": spaced(arm.difference_seeds),
            "seeds": spaced(arm.seeds),
            "runs_planned": arm.runs_planned,
            "runs_compared": len(arm.seeds),
            "augment": arm.augment,
            "steps": arm.steps,
            "epochs": arm.epochs,
        }
        for arm in group.arms
    ]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The rows, and beneath each its classes; every run with its state; the notes."""
    return {
        "format": results.FORMAT,
        "study": comparison.study,
        "confidence": CONFIDENCE,
        "complete": comparison.complete,
        "groups": [
            {
                "dataset": group.dataset,
                "generator": group.generator,
                "model": group.model,
                "test_digest": group.test_digest,
                "n_test": group.n_test,
                "classes": list(group.class_names),
                "notes": list(group.notes),
                "arms": [
                    row | {"per_class": [_class_row(item) for item in arm.classes]}
                    for row, arm in zip(rows(group), group.arms, strict=True)
                ],
                "runs": [_run_row(run) for run in group.runs],
            }
            for group in comparison.groups
        ],
    }


def write_files(comparison: Comparison) -> None:
    """Write `results.csv` and `results.json` into the study's folder."""
    table = [row for group in comparison.groups for row in rows(group)]
    results.write_rows(
        comparison.folder / "results.csv",
        list(table[0]),
        (["" if value is None else value for value in row.values()] for row in table),
    )
    results.write_json(comparison.folder / "results.json", as_json(comparison))


def _class_row(item: ClassResult) -> dict[str, Any]:
    return {
        "class": item.name,
        "n_test": item.n_test,
        **_fields("accuracy", item.accuracy),
        **_fields("difference", item.difference),
    }


def _run_row(item: ComparedRun) -> dict[str, Any]:
    key = item.run.key
    return {
        "arm": key.arm,
        "seed": key.seed,
        "real": item.run.real,
        "synthetic": item.run.synthetic,
        "state": item.state,
        "reason": item.reason,
        "accuracy": item.accuracy,
        "folder": key.folder.as_posix(),
    }


def _fields(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }

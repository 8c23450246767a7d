"""The summary run of a study in W&B: its numbers as summary metrics, tables, figures and page, and its lineage.

Publishing a study again resumes the same W&B run.
"""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.analysis.comparison.model import ComparedRun, Comparison, Group, Reason
from synthaug.analysis.inference.intervals import CONFIDENCE
from synthaug.analysis.output.records import as_json
from synthaug.analysis.pipeline import StudyReport
from synthaug.analysis.text import sentences
from synthaug.analysis.validity import check_result
from synthaug.files import sha256
from synthaug.runs import layout
from synthaug.tracking import run_ids
from synthaug.tracking.artifacts import artifact_name

log = logging.getLogger(__name__)

_NAMES = ("dataset", "arm", "generator", "model")  # columns of a row that name whose numbers these are
_SETTINGS = ("budget", "selection", "controls", "batch_size")  # of the configuration, where all runs share their value
_SHEET = (
    '<!DOCTYPE html><html><head><meta charset="utf-8"><style>body{{margin:8px;background:#fff;color:#1d2733;'
    "font-family:system-ui,sans-serif}}svg{{width:100%;height:auto;max-height:calc(100vh - 16px)}}</style></head>"
    "<body>{}</body></html>"
)


def publish(report: StudyReport, again: bool = True) -> bool:
    """Publish a study in W&B, once its files are written; no failure of W&B or the network fails the study.

    Args:
        report: from `make_report`.
        again: also if this very comparison was published before.

    Returns:
        False, with the reason logged, if that failed.
    """
    study = report.comparison.folder
    try:
        if not again and run_ids.is_published(study):
            return True
        settings = _init_arguments(report.comparison)
        if settings["mode"] != "disabled":
            _publish(report, settings)
            run_ids.update_record(study, {"published": sha256(study / layout.RESULTS_JSON)})
    except Exception as error:
        log.warning(
            "The comparison is not in W&B (%s: %s); all files are written. To try again: "
            "python -m synthaug.report %s --wandb",
            type(error).__name__,
            " ".join(str(error).split()),
            study,
        )
        return False
    return True


def _publish(report: StudyReport, settings: Mapping[str, Any]) -> None:
    import wandb

    from synthaug.tracking import artifacts, workspace

    comparison, study = report.comparison, report.comparison.folder
    groups = as_json(comparison, report.findings)["groups"]
    figures = figure_names(report)
    run: Any = wandb.init(**settings)
    failed = True
    try:
        run_ids.update_record(study, {"project": run.project, "entity": run.entity})
        run.config.update(configuration(comparison), allow_val_change=True)
        _replace_summary(run.summary, summary(report, groups))
        run.tags = tuple(sorted(({*(run.tags or ())} - check_result.TAGS) | tags(report)))
        # Figures as text and not as pixels: sharp at any size, and their words can be searched.
        drawn = {name: wandb.Html(_SHEET.format(svg), inject=False) for name, svg in figures.items()}
        with (study / layout.PAGE).open(encoding="utf-8") as page:
            drawn["page"] = wandb.Html(page, inject=False)
        run.log({name: _table(rows) for name, rows in tables(groups).items() if rows} | drawn)
        for item in _compared_runs(comparison):
            experiment = str((item.run.result or {}).get("experiment", comparison.study))
            artifacts.use_predictions(run, item.run.folder, experiment, item.run.key)
        run.log_artifact(artifacts.report_artifact(comparison.study, study))
        failed = False
        if not run.offline:
            log.info("W&B: the comparison is %s", run.url)
        workspace.save_view(run, study, list(figures))
    finally:
        run.finish(exit_code=int(failed))


def _init_arguments(comparison: Comparison) -> dict[str, Any]:
    """Arguments of `wandb.init`; the project is that of most runs."""
    records = [run_ids.read_record(item.run.folder) for item in _compared_runs(comparison)]
    projects = Counter((record["project"], record.get("entity")) for record in records if record.get("project"))
    project, entity = next(iter(projects.most_common(1)), ((os.environ.get("WANDB_PROJECT"), None), 0))[0]
    return {
        "project": project or run_ids.PROJECT,
        "entity": entity,
        **run_ids.init_arguments(comparison.folder),
        "name": comparison.study,
        "group": comparison.study,
        "job_type": "comparison",
        "dir": str(comparison.folder),
        "mode": run_ids.configure_mode(comparison.folder),
        "resume": "allow",
    }


def configuration(comparison: Comparison) -> dict[str, Any]:
    """Return what the study is: datasets, generators, models, arms, and the settings that all runs share.

    `margin` is in points as in the settings of each run.
    """
    settings = [(item.run.result or {}).get("settings", {}) for item in _compared_runs(comparison)]
    shared = {name: values.pop() for name in _SETTINGS if len(values := {of_run.get(name) for of_run in settings}) == 1}
    groups = comparison.groups
    return {
        **_scalars(shared),
        "study": comparison.study,
        "confidence": CONFIDENCE,
        "margin": groups[0].margin,
        "datasets": [group.dataset for group in groups],
        "arms": sorted({arm.name for group in groups for arm in group.arms}),
        "generators": sorted({name for group in groups for name in group.generators}),
        "models": sorted({name for group in groups for name in group.models}),
        "seeds": sorted({item.run.key.seed for group in groups for item in group.runs}),
        "n_test": max(group.n_test for group in groups),
    }


def summary(report: StudyReport, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary metrics: "<arm>/<column>" for every number of `results.csv`, and the checks.

    Args:
        report: of the study; if it has several groups, their names stand before the arm's.
        groups: those of `results.json`. Accuracies are fractions. The margin stands in the configuration.
    """
    metrics: dict[str, Any] = {}
    checks = []
    for group, content, findings in zip(report.comparison.groups, groups, report.findings, strict=True):
        prefix = _prefix(report.comparison, group)
        questions = {name: value for name, value in content.items() if isinstance(value, dict)}  # trend, exchange …
        for name, row in (*((arm["arm"], arm) for arm in content["arms"]), *questions.items()):
            values = {column: value for column, value in row.items() if column not in (*_NAMES, "margin")}
            metrics |= {f"{prefix}{name}/{column}": value for column, value in _scalars(values).items()}
        recorded = (item for item in findings.checks if item.severity != check_result.PASSED)
        checks += [f"{item.severity}: {prefix}{item.code}" for item in recorded]
    return metrics | {"complete": report.comparison.complete, "checks": "\n".join(checks)}


def tags(report: StudyReport) -> set[str]:
    """Return the tags of a study: incomplete, underpowered."""
    return check_result.tags(item for findings in report.findings for item in findings.checks)


def figure_names(report: StudyReport) -> dict[str, str]:
    """Return the SVG of every figure under the name that it has in W&B, "figures/<section>/<figure>"."""
    return {
        f"figures/{_prefix(report.comparison, group)}{'/'.join(artifact_name(part) for part in name.split('/'))}": svg
        for group, figures in zip(report.comparison.groups, report.figures, strict=True)
        for name, svg in figures.items()
    }


def tables(groups: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the tables "comparison" (arms), "classes" (per arm) and "runs".

    Args:
        groups: those of `results.json`.
    """
    content: dict[str, list[dict[str, Any]]] = {"comparison": [], "classes": [], "runs": []}
    for group in groups:
        names = {name: group[name] for name in _NAMES if name in group}
        for arm in group["arms"]:
            excluded = ("per_class", "margin")
            content["comparison"].append({name: value for name, value in arm.items() if name not in excluded})
            content["classes"] += [{**names, "arm": arm["arm"], **row} for row in arm["per_class"]]
        for run in group["runs"]:
            reason = Reason(**run["reason"]) if run["reason"] else None
            content["runs"].append(names | run | {"reason": sentences.reason_text(reason)})
    return content


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import wandb

    columns: list[str | int] = list(dict.fromkeys(column for row in rows for column in row))
    data: list[Any] = [[row.get(str(column)) for column in columns] for row in rows]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def _replace_summary(recorded: Any, current: Mapping[str, Any]) -> None:
    """Update W&B's summary; a number of an earlier comparison that this one does not have is removed."""
    columns = {name.rpartition("/")[2] for name in current if "/" in name}
    names = recorded.keys()  # W&B's summary is not a mapping: it cannot be iterated over
    for name in list(names):
        if "/" in name and name.rpartition("/")[2] in columns and name not in current:
            del recorded[name]
    recorded.update(dict(current))


def _compared_runs(comparison: Comparison) -> list[ComparedRun]:
    return [item for group in comparison.groups for item in group.runs if item.compared]


def _prefix(comparison: Comparison, group: Group) -> str:
    return f"{group.dataset}/" if len(comparison.groups) > 1 else ""


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what W&B shows in a column; no empty text, and nothing for what has no number."""
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float)) and value != ""}

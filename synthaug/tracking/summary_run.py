"""The closing run of a study in W&B: table, figures and page, every number a summary metric, the answers behind them.

Making it again goes on with the same W&B run.
"""

import html
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthaug.analysis.comparison.model import ComparedRun, Comparison, Group
from synthaug.analysis.output.records import rows
from synthaug.analysis.text import format
from synthaug.files import read_json, sha256
from synthaug.runs import layout
from synthaug.tracking import run_ids

log = logging.getLogger(__name__)

INCOMPLETE, UNDERPOWERED = "incomplete", "underpowered"
_NAMES = ("dataset", "generator", "model", "arm")  # columns of a row that say whose numbers these are
_SETTINGS = ("budget", "controls", "batch_size")  # of the configuration, where all runs share their value
_PART = re.compile(  # of the page: a section, whose id ends with the number of its group, or a figure
    r'<section id="[\w-]+-(?P<group>\d+)"|(?P<svg><svg role="img" aria-label="(?P<label>[^"]*)".*?</svg>)', re.DOTALL
)
_SHEET = (
    '<!DOCTYPE html><html><head><meta charset="utf-8"><style>body{{margin:8px;background:#fff;color:#1d2733;'
    "font-family:system-ui,sans-serif}}svg{{width:100%;height:auto;max-height:calc(100vh - 16px)}}</style></head>"
    "<body>{}</body></html>"
)


def publish(comparison: Comparison, again: bool = True) -> bool:
    """Show a study in W&B, once its files are written; False, and the reason said, where that failed.

    Whatever fails here, W&B or the way to it, fails neither the study nor its report.

    Args:
        comparison: as `make_report` returns it.
        again: also where this very comparison was shown before.
    """
    study = comparison.folder
    try:
        shown = sha256(study / "results.json")
        if not again and run_ids.record(study).get("shown") == shown:
            return True
        settings = _settings(comparison)
        if settings["mode"] != "disabled":
            _publish(comparison, settings)
            run_ids.remember(study, {"shown": shown})
    except Exception as error:
        log.warning(
            "The comparison is not in W&B (%s: %s); nothing of it is lost. To try again: "
            "python -m synthaug.report %s --wandb",
            type(error).__name__,
            " ".join(str(error).split()),
            study,
        )
        return False
    return True


def _publish(comparison: Comparison, settings: Mapping[str, Any]) -> None:
    import wandb

    from synthaug.tracking import artifacts, workspace

    study = comparison.folder
    run: Any = wandb.init(**settings)
    failed = True
    try:
        run_ids.remember(study, {"project": run.project, "entity": run.entity})
        run.config.update(configuration(comparison), allow_val_change=True)
        _replace(run.summary, summary(comparison))
        run.tags = tuple(sorted(({*(run.tags or ())} - {INCOMPLETE, UNDERPOWERED}) | tags(comparison)))
        run.log(_media(comparison))
        for item in _compared(comparison):
            experiment = str((item.run.result or {}).get("experiment", comparison.study))
            artifacts.use_answers(run, item.run.folder, experiment, item.run.key)
        run.log_artifact(artifacts.report_artifact(comparison.study, study))
        failed = False
        if not run.offline:
            log.info("W&B: the comparison is %s", run.url)
        workspace.save(run, study, list(figures(comparison)))
    finally:
        run.finish(exit_code=int(failed))


def _settings(comparison: Comparison) -> dict[str, Any]:
    """What `wandb.init` is told; the project is that of most runs."""
    records = [run_ids.record(item.run.folder) for item in _compared(comparison)]
    found = Counter((record["project"], record.get("entity")) for record in records if record.get("project"))
    project, entity = next(iter(found.most_common(1)), ((os.environ.get("WANDB_PROJECT"), None), 0))[0]
    return {
        "project": project or run_ids.PROJECT,
        "entity": entity,
        **run_ids.identity(comparison.folder),
        "name": comparison.study,
        "group": comparison.study,
        "job_type": "comparison",
        "dir": str(comparison.folder),
        "mode": run_ids.mode(comparison.folder),
        "resume": "allow",
    }


def configuration(comparison: Comparison) -> dict[str, Any]:
    """What the study is: its datasets, generators, models and arms, and what its runs were trained and judged by."""
    own = [(item.run.result or {}).get("settings", {}) for item in _compared(comparison)]
    shared = {
        name: values.pop()
        for name in _SETTINGS
        for values in [{settings.get(name) for settings in own}]
        if len(values) == 1
    }
    plan = comparison.folder / layout.PLANNED
    planned = read_json(plan) if plan.is_file() else {}
    return {
        **_plain(shared),
        **{name: value for name, value in _plain(planned | _report(comparison)).items() if name != "format"},
        **{f"{name}s": sorted({str(row[name]) for row in _rows(comparison)}) for name in _NAMES},
        "seeds": sorted({item.run.key.seed for group in comparison.groups for item in group.runs}),
        "n_test": max(group.n_test for group in comparison.groups),
        "margin": round(100 * comparison.groups[0].margin, 6),  # in points
    }


def summary(comparison: Comparison) -> dict[str, Any]:
    """`<arm>/<column>` → value, for every column of the table that has one; the notes as they stand on the page.

    A study of several groups has their names before the arm's.
    """
    found: dict[str, Any] = {}
    for group in comparison.groups:
        for row in rows(group):
            name = f"{_prefix(comparison, group)}{row['arm']}"
            values = {column: value for column, value in row.items() if column not in _NAMES}
            found |= {f"{name}/{column}": value for column, value in _plain(values).items()}
    for group, content in zip(comparison.groups, _report(comparison)["groups"], strict=True):
        of_group = {name: value for name, value in content.items() if isinstance(value, dict)}  # the trend
        for name, values in of_group.items():
            found |= {f"{_prefix(comparison, group)}{name}/{key}": value for key, value in _plain(values).items()}
    return found | {"complete": comparison.complete, "notes": "\n".join(_notes(comparison))}


def tags(comparison: Comparison) -> set[str]:
    """By what a study is marked that shows less than it was meant to."""
    warned = any(UNDERPOWERED in note.lower() for note in _notes(comparison))
    return ({UNDERPOWERED} if warned else set()) | (set() if comparison.complete else {INCOMPLETE})


def figures(comparison: Comparison) -> dict[str, str]:
    """Name → SVG of every figure, cut out of the page, which is thus what they agree with."""
    page = (comparison.folder / "report.html").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    prefix = ""
    for part in _PART.finditer(page):
        if part["group"]:
            prefix = _prefix(comparison, comparison.groups[int(part["group"]) - 1])
        else:
            title = html.unescape(part["label"]).partition(":")[0]
            name = f"figures/{prefix}{re.sub(r'[^A-Za-z0-9_.]+', '-', title).strip('-').lower()}"
            found[name if name not in found else f"{name}-{len(found)}"] = part["svg"]
    return found


def _report(comparison: Comparison) -> dict[str, Any]:
    """What the report has written down: the same as its page."""
    return read_json(comparison.folder / "results.json")


def _media(comparison: Comparison) -> dict[str, Any]:
    import wandb

    groups = _report(comparison)["groups"]
    names = [{name: group[name] for name in _NAMES if name in group} for group in groups]
    of_class = [
        {**of, "arm": arm["arm"], **item}
        for of, group in zip(names, groups, strict=True)
        for arm in group["arms"]
        for item in arm["per_class"]
    ]
    of_run = [of | run for of, group in zip(names, groups, strict=True) for run in group["runs"]]
    tables = {"comparison": list(_rows(comparison)), "classes": of_class, "runs": of_run}
    # As text and not as pixels: sharp at any size, and its words can be searched.
    drawn = {name: wandb.Html(_SHEET.format(svg), inject=False) for name, svg in figures(comparison).items()}
    with (comparison.folder / "report.html").open(encoding="utf-8") as page:
        drawn["page"] = wandb.Html(page, inject=False)
    return {**{name: _table(of) for name, of in tables.items() if of}, **drawn}


def _table(content: Sequence[Mapping[str, Any]]) -> Any:
    import wandb

    columns: list[str | int] = list(dict.fromkeys(column for row in content for column in row))
    data = [[row.get(str(column)) for column in columns] for row in content]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def _replace(there: Any, found: Mapping[str, Any]) -> None:
    """Make the summary say this; a number that an earlier comparison had and this one has not is taken away."""
    columns = {name.rpartition("/")[2] for name in found if "/" in name}
    names = there.keys()  # W&B's summary is no mapping: it cannot be iterated over
    for name in list(names):
        if "/" in name and name.rpartition("/")[2] in columns and name not in found:
            del there[name]
    there.update(dict(found))


def _compared(comparison: Comparison) -> list[ComparedRun]:
    return [item for group in comparison.groups for item in group.runs if item.compared]


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for group in comparison.groups:
        yield from rows(group)


def _notes(comparison: Comparison) -> list[str]:
    several = len(comparison.groups) > 1
    return [
        f"{format.title(group)}: {note}" if several else note
        for group, content in zip(comparison.groups, _report(comparison)["groups"], strict=True)
        for note in content["notes"]
    ]


def _prefix(comparison: Comparison, group: Group) -> str:
    return f"{group.dataset}/{group.generator}/{group.model}/" if len(comparison.groups) > 1 else ""


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """What W&B shows in a column of its own; no empty text, and nothing for what has no number."""
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float)) and value != ""}

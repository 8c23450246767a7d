"""The saved view of a study in W&B: created once, by wandb-workspaces, if W&B is online."""

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthaug.tracking import run_ids

log = logging.getLogger(__name__)

_COLUMNS = ("config:arm.value", "config:seed.value", "config:synthetic_fraction.value", "summary:test/accuracy")


def save_view(run: Any, study: Path, figures: Sequence[str]) -> None:
    """Save a view of the study's runs, unless it has one; a failure is logged and fails nothing.

    Args:
        run: the summary run, of W&B.
        study: folder of the study, where the address of the view is recorded.
        figures: their names in the summary run.
    """
    if run.offline or run_ids.read_record(study).get("view"):
        return
    if importlib.util.find_spec("wandb_workspaces") is None:
        log.info(
            "For a saved view of the study in W&B: pip install 'synthaug[dashboard]' && "
            "python -m synthaug.report %s --wandb",
            study,
        )
        return
    try:
        saved = workspace(run, figures).save()
        run_ids.update_record(study, {"view": saved.url})
        log.info("W&B: a view of the study is saved as %s", saved.url)
    except Exception as error:
        log.warning("W&B: the view of the study is not saved (%s)", " ".join(str(error).split()))


def workspace(run: Any, figures: Sequence[str]) -> Any:
    """Return the view: page and table of the summary run, test accuracy by arm, learning curves by arm.

    Args:
        run: the summary run; its group is the study.
        figures: their names in it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of what pydantic has renamed since
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
        from wandb_workspaces import expr

    arm = reports.Config("arm")
    curves = [
        reports.LinePlot(
            title=f"{name} by arm",
            x="epoch",
            y=[name],
            groupby=arm,
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        )
        for name in ("val/accuracy", "val/loss", "train/loss")
    ]
    tested = [
        reports.BarPlot(title=title, metrics=[name], groupby=arm, groupby_aggfunc="mean", groupby_rangefunc="minmax")
        for name, title in (("test/accuracy", "test accuracy by arm"), ("test/macro_f1", "test macro F1 by arm"))
    ]
    comparison = [
        reports.MediaBrowser(title="the page", media_keys=["page"], num_columns=1),
        reports.MediaBrowser(title="the figures", media_keys=list(figures), num_columns=2),
        reports.WeavePanelSummaryTable(table_name="comparison"),
    ]
    return workspaces.Workspace(
        entity=run.entity,
        project=run.project,
        name=run.group,
        sections=[
            workspaces.Section(
                name=name,
                panels=panels,
                is_open=True,
                layout_settings=workspaces.SectionLayoutSettings(columns=columns, rows=-(-len(panels) // columns)),
            )
            for name, panels, columns in (
                ("Comparison", comparison, 1),
                ("Test images", tested, 2),
                ("Learning curves", curves, 3),
            )
        ],
        runset_settings=workspaces.RunsetSettings(
            filters=expr.And(expr.Metric("Group") == run.group),
            pinned_columns=list(_COLUMNS),
        ),
    )

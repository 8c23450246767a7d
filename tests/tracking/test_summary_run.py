"""The closing run: one for a study, with everything that the page says, and no study fails for it."""

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from wandb.sdk.wandb_run import Run

from synthaug.analysis.output.records import as_json, rows
from synthaug.analysis.pipeline import StudyReport, make_report
from synthaug.analysis.text import sentences
from synthaug.analysis.validity.check_result import Check
from synthaug.report import __main__
from synthaug.runs import discovery
from synthaug.tracking import run_ids, summary_run, workspace
from tests.factories.studies import SWEEP, MadeUp, make_study
from tests.factories.wandb_files import files, offline, records_of, summary_of

CONTENT = MadeUp(seeds=(0, 1), n_test=200, failed=[("73", 1)])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five arms and two seeds, one run failed."""
    return make_study(tmp_path_factory.mktemp("dashboard") / "colours", CONTENT)


@pytest.fixture(scope="module")
def report(study: Path) -> StudyReport:
    for folder in (study / run.key.folder for run in discovery.find_runs(study)):
        run_ids.update_record(folder, {"id": folder.name, "project": "mine"})
    return make_report(study)


@pytest.fixture(scope="module")
def shown(study: Path, report: StudyReport) -> Iterator[list[Path]]:
    with offline():
        assert summary_run.publish(report)
        assert summary_run.publish(report)
        assert summary_run.publish(report, again=False)
        yield files(study)


@pytest.fixture(scope="module")
def closing(shown: list[Path]) -> dict[str, Any]:
    return summary_of(shown[-1])


def test_it_is_one_run_however_often_it_is_shown(shown: list[Path]) -> None:
    assert len(shown) == 2, "the third time nothing was new"
    first, second = (records_of(path, "run")[0] for path in shown)
    assert first["run_id"] == second["run_id"]
    for run in (first, second):
        assert (run["display_name"], run["run_group"], run["job_type"]) == ("colours", "colours", "comparison")
        assert run["project"] == "mine", "that of the study's runs"


def test_every_number_of_the_table_is_a_summary_metric(report: StudyReport, closing: dict[str, Any]) -> None:
    (group,) = report.comparison.groups
    for row in rows(group, report.findings[0]):
        assert closing["summary"].get(f"{row['arm']}/accuracy") == pytest.approx(row["accuracy"])
        for column, value in row.items():
            if column == "margin":
                continue  # in the configuration
            key = f"{row['arm']}/{column}"
            if isinstance(value, (int, float)):
                assert closing["summary"][key] == pytest.approx(value), key
            elif value is None:
                assert key not in closing["summary"]
    assert closing["summary"]["complete"] is False
    (findings,) = report.findings
    checks = [f"{check.severity}: {check.code}" for check in findings.checks if check.severity != "passed"]
    assert closing["summary"]["checks"].splitlines() == checks != []


def test_what_the_study_is_stands_in_its_configuration(closing: dict[str, Any]) -> None:
    config = closing["config"]
    assert config["datasets"] == ["digits"]
    assert config["generators"] == ["tiny_digits"]
    assert config["models"] == ["resnet18"]
    assert config["arms"] == sorted(SWEEP)
    assert config["seeds"] == [0, 1]
    assert (config["n_test"], config["batch_size"]) == (200, 32)
    assert (config["margin"], config["confidence"], config["study"]) == (1.0, 0.95, "colours")


def test_the_margin_is_in_points_under_one_name(closing: dict[str, Any]) -> None:
    """The key of each run's settings; a fraction beside it in the summary would be taken for points."""
    summary = closing["summary"]
    assert [name for name in (*closing["config"], *summary) if "margin" in name] == ["margin"]
    accuracies = [summary[f"{arm}/accuracy"] for arm in SWEEP]
    assert all(0.5 < accuracy < 1 for accuracy in accuracies), "fractions"


def test_tables_figures_and_page_are_there(
    study: Path, report: StudyReport, shown: list[Path], closing: dict[str, Any]
) -> None:
    inside = shown[-1].parent / "files"
    summary = closing["summary"]
    assert (inside / summary["page"]["path"]).read_text(encoding="utf-8") == (study / "report.html").read_text("utf-8")
    named = [name for name in summary if name.startswith("figures/")]
    (figures,) = report.figures
    assert {f"figures/{name}" for name in figures} == set(named)
    assert {"curve/accuracy", "curve/difference", "classes/55", "confusion/real"} <= figures.keys()
    page = (study / "report.html").read_text(encoding="utf-8")
    assert page.count('<svg role="img"') == len(figures)
    for name, svg in figures.items():
        assert svg in page, name
        assert svg in (inside / summary[f"figures/{name}"]["path"]).read_text(encoding="utf-8"), name
    assert summary["comparison"]["nrows"] == len(SWEEP)
    assert summary["classes"]["nrows"] == len(SWEEP) * len(CONTENT.classes)
    table = json.loads((inside / summary["runs"]["path"]).read_text(encoding="utf-8"))
    states = [row[table["columns"].index("state")] for row in table["data"]]
    assert (states.count("finished"), states.count("failed")) == (9, 1)
    (group,) = report.comparison.groups
    reasons = [row[table["columns"].index("reason")] for row in table["data"]]
    assert reasons == [sentences.reason_text(item.reason) for item in group.runs]


def test_its_inputs_are_the_predictions_and_its_output_is_the_report(shown: list[Path]) -> None:
    artifacts = [item for item in records_of(shown[-1], "artifact") if item["type"] != "run_table"]
    used = {item["name"] for item in artifacts if item.get("use_after_commit")}
    assert len(used) == 9
    assert "predictions-made_up-digits-55-seed0" in used
    (output,) = [item for item in artifacts if not item.get("use_after_commit")]
    assert (output["name"], output["type"]) == ("report-colours", "report")
    assert {entry["path"] for entry in output["manifest"]["contents"]} >= {"report.html", "results.csv", "results.json"}


def test_it_is_marked_by_what_it_lacks(closing: dict[str, Any]) -> None:
    assert closing["tags"] == ["incomplete", "underpowered"]  # 200 test images, one point


@pytest.mark.parametrize(("severity", "tags"), [("passed", set()), ("serious", {"underpowered"})])
def test_tags_follow_the_checks(severity: str, tags: set[str], report: StudyReport) -> None:
    comparison = dataclasses.replace(report.comparison, groups=())
    (findings,) = report.findings
    of_power = dataclasses.replace(findings, checks=(Check("power", severity), Check("seeds", "serious")))
    assert summary_run.tags(StudyReport(comparison, (of_power,), ({},))) == tags


def test_numbers_that_are_no_longer_there_are_taken_away() -> None:
    class Summary(dict[str, Any]):
        __iter__ = None  # type: ignore[assignment]  # as W&B's own

    recorded = Summary({"55/accuracy": 0.9, "gone/accuracy": 0.8, "figures/mine": "kept", "_step": 3})
    summary_run._replace_summary(recorded, {"55/accuracy": 0.95, "checks": ""})
    assert recorded.keys() == {"55/accuracy", "figures/mine", "_step", "checks"}
    assert recorded["55/accuracy"] == 0.95


def test_arms_of_several_groups_are_told_apart(tmp_path: Path) -> None:
    study = make_study(tmp_path / "two", MadeUp(arms={"real": (1.0, 0.0)}, n_test=50))
    make_study(study, MadeUp(arms={"real": (1.0, 0.0)}, n_test=50, dataset="letters"))
    report = make_report(study)
    metrics = summary_run.summary(report, as_json(report.comparison, report.findings)["groups"])
    for dataset in ("digits", "letters"):
        assert f"{dataset}/real/accuracy" in metrics
        assert f"figures/{dataset}/curve/accuracy" in summary_run.figure_names(report)


def test_where_wandb_fails_the_study_does_not(
    study: Path, report: StudyReport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise TimeoutError("the server\ndoes not answer")

    with offline():
        monkeypatch.setattr("wandb.init", refuse)
        assert not summary_run.publish(report)
    assert "TimeoutError: the server does not answer" in caplog.text
    assert f"python -m synthaug.report {study} --wandb" in caplog.text


def test_the_command_shows_it_and_says_how_to_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "alone", MadeUp(arms={"real": (1.0, 0.0)}, n_test=50))
    with offline() as patch:
        assert __main__.main([str(study), "--wandb"]) == 0
        assert f"wandb sync {study}/wandb/offline-run-*" in capsys.readouterr().out
        (path,) = files(study)
        assert records_of(path, "run")[0]["project"] == "synthaug", "no run of it is in W&B"
        patch.setattr("wandb.init", None)
        assert __main__.main([str(study), "--wandb"]) == 1
        patch.setenv("WANDB_MODE", "disabled")
        assert __main__.main([str(study), "--wandb"]) == 0
    assert len(files(study)) == 1


# --- online, as far as that goes without a server ------------------------------------------------------


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run of W&B's own interface that `wandb.init` returns."""
    run = create_autospec(Run, instance=True, offline=False, disabled=False)
    run.project, run.entity, run.group, run.tags = "mine", "me", "colours", ("of the user", "underpowered")
    run.summary, run.config = {}, create_autospec(dict, instance=True)
    monkeypatch.setattr("wandb.init", lambda **given: run)
    monkeypatch.setenv("WANDB_MODE", "online")
    for name in ("WANDB_SILENT", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, "set" if name == "WANDB_SILENT" else f"/nonexistent/{name}")
    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The views that wandb-workspaces would have sent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of what pydantic has renamed since
        from wandb_workspaces.workspaces import interface, internal

    sent: list[Any] = []

    def upsert(view: Any) -> dict[str, Any]:
        sent.append(view)
        return {"upsertView": {"view": {"name": "nw-12345-v", "id": "1"}}}

    monkeypatch.setattr(internal, "upsert_view2", upsert)
    monkeypatch.setattr(interface, "get_app_url", lambda api: "https://wandb.example")
    monkeypatch.setattr("wandb.Api", lambda: None)
    return sent


def of(run: Any, study: Path) -> None:
    workspace.save_view(run, study, ["figures/accuracy"])


def test_a_view_is_saved_once_and_its_address_kept(
    online: Any, server: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        of(online, tmp_path)
        of(online, tmp_path)
    (view,) = server
    assert (view.entity, view.project, view.display_name) == ("me", "mine", "colours")
    address = run_ids.read_record(tmp_path)["view"]
    assert address.startswith("https://wandb.example/me/mine?nw=")
    assert address in caplog.text
    spec = json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))["section"]
    panels = [panel for section in spec["panelBankConfig"]["sections"] for panel in section["panels"]]
    metrics = [name for panel in panels for name in panel["config"].get("metrics", [])]
    assert metrics == ["test/accuracy", "test/macro_f1", "val/accuracy", "val/loss", "train/loss"]
    assert {panel["config"].get("groupBy") for panel in panels if "metrics" in panel["config"]} == {"arm.value"}
    assert [panel["config"]["mediaKeys"] for panel in panels if "mediaKeys" in panel["config"]] == [
        ["page"],
        ["figures/accuracy"],
    ]
    assert '"val": "comparison"' in json.dumps(spec), "the table"
    assert '"colours"' in json.dumps(spec["runSets"][0]["filters"]), "the study's runs alone"


def test_without_the_extra_a_sentence_says_how(
    online: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        of(online, tmp_path)
    assert f"pip install 'synthaug[dashboard]' && python -m synthaug.report {tmp_path} --wandb" in caplog.text


def test_offline_there_is_no_view(online: Any, server: list[Any], tmp_path: Path) -> None:
    online.offline = True
    of(online, tmp_path)
    assert server == []


def test_a_view_that_cannot_be_saved_is_said(
    online: Any, server: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from wandb_workspaces.workspaces import internal

    def refuse(view: Any) -> None:
        raise ValueError("not\nallowed")

    monkeypatch.setattr(internal, "upsert_view2", refuse)
    of(online, tmp_path)
    assert "not allowed" in caplog.text
    assert run_ids.read_record(tmp_path) == {}


def test_online_the_same_is_told_by_the_public_interface(
    online: Any, server: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"real": (1.0, 0.0), "55": (0.5, 0.5)}
    study = make_study(tmp_path / "colours", MadeUp(arms=arms, n_test=50, seeds=(0, 1)))
    with offline() as patch:  # artifacts are copied to where the environment says
        patch.setattr("wandb.init", lambda **given: online)
        patch.setattr("synthaug.tracking.connection.problem", lambda: "")
        patch.setenv("WANDB_MODE", "online")
        assert summary_run.publish(make_report(study))
    assert [call.args[0].type for call in online._log_artifact.call_args_list] == ["predictions"] * 4
    assert [call.args[0].type for call in online.log_artifact.call_args_list] == ["report"]
    assert set(online.log.call_args.args[0]) >= {
        "comparison",
        "classes",
        "runs",
        "page",
        "figures/curve/accuracy",
    }
    assert online.tags == ("of the user", "underpowered"), "its own are kept, ours as they hold"
    online.finish.assert_called_once_with(exit_code=0)
    assert len(server) == 1
    assert run_ids.read_record(study)["entity"] == "me"

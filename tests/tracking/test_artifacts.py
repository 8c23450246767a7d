"""Artifacts: the same content gives the same version, names that W&B takes, nothing large, no run failed for them."""

import csv
import dataclasses
import logging
import re
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wandb.sdk.wandb_run import Run

from synthaug.data.samples import RealImages, digest, scan
from synthaug.runs.layout import RunKey
from synthaug.tracking import artifacts
from tests.factories.images import SPLIT_FOLDERS, write_dataset
from tests.factories.studies import MadeUp, make_study

KEY = RunKey("digits", "55", 0)


def dataset(root: Path) -> RealImages:
    return scan(write_dataset(root), SPLIT_FOLDERS)


def rows(artifact: Any, name: str) -> list[dict[str, str]]:
    with Path(artifact.manifest.entries[name].local_path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6))
def test_names_are_such_as_wandb_takes(parts: list[str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", artifacts.artifact_name(*parts))


def test_names_that_were_changed_stay_apart() -> None:
    assert artifacts.artifact_name("mix", "digits", "55") == "mix-digits-55"
    names = ["Füchse", "Fächse", "a" * 200 + "b", "a" * 200 + "c", "a/b", "a b"]
    assert len({artifacts.artifact_name(name) for name in names}) == len(names)


def test_a_dataset_is_the_list_of_its_images_wherever_it_lies(tmp_path: Path) -> None:
    datasets = []
    for place in ("here", "there"):
        real = dataset(tmp_path / place)
        datasets.append(artifacts.dataset_artifact("photos", real, tmp_path / place))
    assert datasets[0].digest == datasets[1].digest
    listed = rows(datasets[0], "images.csv")
    assert len(listed) == 2 * (6 + 3 + 4)
    assert listed[0].keys() == {"split", "class", "path", "sha256"}
    assert {row["path"].split("/")[0] for row in listed} == {"train", "val", "test"}
    assert datasets[0].metadata == {"classes": 2, "train": 12, "val": 6, "test": 8}
    (tmp_path / "there" / "test" / "cat" / "000.png").unlink()
    real = scan(tmp_path / "there", SPLIT_FOLDERS)
    assert artifacts.dataset_artifact("photos", real, tmp_path / "there").digest != datasets[0].digest


def test_of_a_large_dataset_each_split_has_one_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_LISTED", 25)
    real = dataset(tmp_path)
    artifact = artifacts.dataset_artifact("photos", real, tmp_path)
    assert set(artifact.manifest.entries) == {"splits.csv"}
    assert {row["split"]: row["sha256 of split"] for row in rows(artifact, "splits.csv")} == {
        split: digest(samples) for split, samples in real.splits.items()
    }


def test_a_dataset_says_where_it_came_from(tmp_path: Path) -> None:
    real = dataset(tmp_path)
    (tmp_path / "dataset.json").write_text('{"licence": "CC0"}', encoding="utf-8")
    assert "dataset.json" in artifacts.dataset_artifact("photos", real, tmp_path).manifest.entries


def test_a_set_is_its_manifest_a_pool_what_was_let_in_and_neither_is_none(tmp_path: Path) -> None:
    assert artifacts.synthetic_artifact(KEY, tmp_path) is None
    (tmp_path / "screened.csv").write_text("sha256,rejected\n", encoding="utf-8")
    pool = artifacts.synthetic_artifact(KEY, tmp_path)
    assert pool is not None
    assert (pool.name, pool.type, set(pool.manifest.entries)) == (
        f"synthetic-digits-{tmp_path.name}",
        "synthetic-set",
        {"screened.csv"},
    )


def test_a_large_file_is_named_and_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path, MadeUp(arms={"55": (0.5, 0.5)}, n_test=20))
    copied = artifacts.predictions_artifact("s", KEY, study / KEY.folder).manifest.entries["predictions.csv"]
    monkeypatch.setattr(artifacts, "MAX_BYTES", 10)
    named = artifacts.predictions_artifact("s", KEY, study / KEY.folder).manifest.entries["predictions.csv"]
    assert copied.ref is None
    assert named.ref == (study / KEY.folder / "predictions.csv").absolute().as_uri()
    assert named.digest == copied.digest


def used_by(run: Any) -> list[str]:
    """The types of a run's inputs; `use_artifact` would wait."""
    assert not run.use_artifact.called
    calls = run._log_artifact.call_args_list
    assert all(call.kwargs["use_after_commit"] for call in calls)
    return [call.args[0].type for call in calls]


def test_online_inputs_are_used_without_waiting_for_the_server(tmp_path: Path) -> None:
    real = dataset(tmp_path / "photos")
    study = make_study(tmp_path / "study", MadeUp(arms={"55": (0.5, 0.5)}, n_test=20, images=2))
    synthetic = tmp_path / "synthetic"
    synthetic.mkdir()
    (synthetic / "manifest.csv").write_text("class_name\n", encoding="utf-8")
    run = create_autospec(Run, instance=True, offline=False)
    artifacts.log_images(run, study / KEY.folder, KEY, real, tmp_path / "photos", synthetic)
    artifacts.log_predictions(run, study / KEY.folder, "study", KEY)
    assert used_by(run) == ["dataset", "synthetic-set"]
    assert [call.args[0].type for call in run.log_artifact.call_args_list] == ["mix", "predictions"]
    real_only = dataclasses.replace(KEY, arm="real")
    make_study(tmp_path / "study", MadeUp(arms={"real": (1.0, 0.0)}, n_test=20, images=2))
    run.reset_mock()
    artifacts.log_images(run, study / real_only.folder, real_only, real, tmp_path / "photos", synthetic)
    assert used_by(run) == ["dataset"]


def test_what_wandb_refuses_fails_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = make_study(tmp_path, MadeUp(arms={"55": (0.5, 0.5)}, n_test=20))
    run = create_autospec(Run, instance=True, offline=False)
    run.log_artifact.side_effect = RuntimeError("no space\nleft in your plan")
    with caplog.at_level(logging.WARNING):
        artifacts.log_predictions(run, study / KEY.folder, "study", KEY)
    assert "no space left in your plan" in caplog.text

"""python -m synthaug.report plan, as it is typed."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthaug.checked_rows import write_checked_rows
from synthaug.data.sample_list import Sample
from synthaug.generation.manifest import MANIFEST, ManifestRow
from synthaug.report.__main__ import main
from synthaug.runs import contents, discovery
from tests.factories.exchange_studies import GRID, write_exchange_study
from tests.factories.golden import assert_golden

_UNKNOWN: list[Any] = [""] * 12  # how the images were made


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exchange_study(tmp_path_factory.mktemp("outputs") / "study", seeds=3)


def run_plan(study: Path, *arguments: str, accuracy: str = "0.9") -> int:
    prices = ["--accuracy", accuracy, "--price-photo", "0.5", "--price-hour", "1.2"]
    return main(["plan", str(study), *prices, *arguments])


def write_set(study: Path, seconds: list[str]) -> None:
    """Synthetic images of every run, of which the second was rejected, with a manifest."""
    folder = study / "set"
    rows = [
        dataclasses.replace(
            ManifestRow("cat", index, "black" * (index == 1), "0" * 64, "a cat", "", index, *_UNKNOWN), seconds=text
        )
        for index, text in enumerate(seconds)
    ]
    names = [field.name for field in dataclasses.fields(ManifestRow)]
    write_checked_rows(folder / MANIFEST, names, map(dataclasses.astuple, rows))
    for run in discovery.find_runs(study):
        images = [Sample(str(folder / "cat" / f"{row.index:06d}.png"), 0, "cat", "synthetic", "0" * 64) for row in rows]
        contents.write_mix(run.folder, [image for image, row in zip(images, rows, strict=True) if not row.rejected])


def test_a_plan(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plan(study, "--seconds-per-image", "2.1", "--markdown") == 0
    assert_golden("plan.md", capsys.readouterr().out)


def test_a_target_out_of_reach(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plan(study, "--seconds-per-image", "2.1", "--markdown", accuracy="0.9999") == 1
    assert_golden("plan_out_of_reach.md", capsys.readouterr().out)


def test_two_seeds_have_a_plan_by_the_exchange_rate_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plan(write_exchange_study(tmp_path / "study"), "--seconds-per-image", "2.1", "--markdown") == 0
    assert_golden("plan_by_rate.md", capsys.readouterr().out)


def test_equivalent_numbers_without_an_exchange_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = [*(arm for arm in GRID if not arm.n_synthetic), GRID[4]]
    study = write_exchange_study(tmp_path / "study", arms=arms[1:], seeds=3)
    assert run_plan(study, "--seconds-per-image", "2.1", "--markdown") == 0
    assert_golden("plan_of_arms.md", capsys.readouterr().out)


def test_seconds_come_from_the_manifest_of_the_images_trained_on(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    assert run_plan(copy) == 2
    assert "--seconds-per-image" in capsys.readouterr().err
    write_set(copy, ["2", "3", "4"])
    assert run_plan(copy) == 0
    assert "a synthetic image takes 4.5 s" in capsys.readouterr().out, "9 seconds for the two that were kept"
    write_set(copy, ["2", "", "4"])
    assert run_plan(copy) == 2
    assert "--seconds-per-image" in capsys.readouterr().err


def test_all_problems_at_once(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ["--accuracy", "96", "--price-photo", "-1", "--price-hour", "nan", "--seconds-per-image", "-2"]
    assert main(["plan", str(study), *values]) == 2
    problems = capsys.readouterr().err.splitlines()[1:]
    assert [line.split()[1] for line in problems] == [
        "--accuracy",
        "--price-photo",
        "--price-hour",
        "--seconds-per-image",
    ]
    assert [line.split()[-1] for line in problems] == ["96", "-1", "nan", "-2"]
    assert main(["plan", str(study / "none"), "--accuracy", "2", "--price-photo", "1", "--price-hour", "1"]) == 2
    problems = capsys.readouterr().err.splitlines()[1:]
    assert "--accuracy" in problems[0]
    assert str(study / "none") in problems[1]


@pytest.mark.parametrize("accuracy", ["0", "1"])
def test_an_accuracy_at_the_edge_is_refused(study: Path, accuracy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plan(study, "--seconds-per-image", "1", accuracy=accuracy) == 2
    assert "--accuracy" in capsys.readouterr().err


def test_a_price_of_nothing_is_a_price(study: Path) -> None:
    assert (
        main(
            [
                "plan",
                str(study),
                "--accuracy",
                "0.9",
                "--price-photo",
                "0",
                "--price-hour",
                "0",
                "--seconds-per-image",
                "1",
            ]
        )
        == 0
    )


def test_a_study_without_an_exchange_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real_only = write_exchange_study(tmp_path / "real_only", arms=[arm for arm in GRID if not arm.n_synthetic])
    assert run_plan(real_only, "--seconds-per-image", "1") == 2
    assert "digits · resnet18" in capsys.readouterr().err

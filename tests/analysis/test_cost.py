"""What a study took, on studies made up for it; and what is not known of it."""

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from synthaug.analysis import cost
from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.cost import Cost, Prices
from synthaug.analysis.text import cost_text
from synthaug.analysis.text.document import markdown
from synthaug.checked_rows import write_checked_rows
from synthaug.data.sample_list import Sample
from synthaug.errors import UserError
from synthaug.generation.manifest import MANIFEST, ManifestRow
from synthaug.report.__main__ import main
from synthaug.runs import contents, layout
from tests.factories.studies import MadeUp, make_study

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6), "82": (0.2, 0.8)}
CONTENT = MadeUp(arms=ARMS, seeds=(0, 1), classes=("cat", "dog"), n_test=40)


def write_study(folder: Path, seconds: str = "2.5") -> Path:
    """Arm 64 uses 3 and arm 82 uses 4 images of each class, of which the second that was tried is rejected."""
    study = make_study(folder / "study", CONTENT)
    listed = [manifest_row(name, index, seconds) for name in CONTENT.classes for index in range(6)]
    names = [field.name for field in dataclasses.fields(ManifestRow)]
    write_checked_rows(folder / "set" / MANIFEST, names, map(dataclasses.astuple, listed))
    for arm, count in (("real", 0), ("64", 3), ("82", 4)):
        rows = [
            Sample(str(folder / "set" / name / f"{index:06d}.png"), 0, name, "synthetic", content_of(name, index))
            for name in CONTENT.classes
            for index in [0, 2, 3, 4][:count]
        ]
        for seed in CONTENT.seeds:
            contents.write_mix(run_folder(study, arm, seed), rows)
    return study


def content_of(name: str, index: int) -> str:
    return hashlib.sha256(f"{name} {index}".encode()).hexdigest()


def manifest_row(name: str, index: int, seconds: str) -> ManifestRow:
    rejected = "one flat colour" if index == 1 else ""
    origin: list[Any] = [""] * 12
    row = ManifestRow(name, index, rejected, content_of(name, index), f"a {name}", "", index, *origin)
    return dataclasses.replace(row, seconds=seconds)


def run_folder(study: Path, arm: str, seed: int = 0) -> Path:
    return study / "digits" / arm / f"seed{seed}"


def costs(study: Path, prices: Prices | None = None) -> dict[str, Cost]:
    (group,) = compare(study).groups
    return {item.name: item for item in cost.costs(study, group, prices)}


def test_arms_and_all_of_them(tmp_path: Path) -> None:
    by_arm = costs(write_study(tmp_path))
    assert list(by_arm) == ["real", "64", "82", cost.ALL]
    assert [item.runs for item in by_arm.values()] == [2, 2, 2, 6]
    assert [item.training_seconds for item in by_arm.values()] == pytest.approx([82.4, 82.4, 82.4, 247.2])
    assert [item.generated for item in by_arm.values()] == [0, 6, 8, 8]
    # 4 and 5 tries of each of two classes; together no more than arm 82 alone.
    assert [item.generation_seconds for item in by_arm.values()] == [0, 20, 25, 25]
    assert {item.money for item in by_arm.values()} == {None}


def test_prices(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    assert costs(study, Prices(hour=36))["64"].money == pytest.approx(0.01 * (82.4 + 20))
    assert costs(study, Prices(hour=0))["64"].money == 0


def test_generation_that_no_manifest_tells_of_is_not_known(tmp_path: Path) -> None:
    by_arm = costs(write_study(tmp_path, seconds=""), Prices(hour=36))
    assert (by_arm["real"].generation_seconds, by_arm["64"].generation_seconds) == (0, None)
    assert by_arm["real"].money == pytest.approx(0.824)
    assert by_arm["64"].money is None
    (tmp_path / "set" / MANIFEST).unlink()
    assert costs(tmp_path / "study")["64"].generation_seconds is None


def test_a_list_that_cannot_be_read_leaves_generation_unknown(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    (run_folder(study, "64") / layout.MIX).unlink()
    by_arm = costs(study)
    assert (by_arm["64"].generation_seconds, by_arm["82"].generation_seconds) == (None, 25)
    assert by_arm[cost.ALL].generation_seconds is None


def test_a_study_without_a_finished_run_has_no_costs(tmp_path: Path) -> None:
    content = MadeUp(arms={"real": (1.0, 0.0)}, failed=[("real", 0)])
    assert costs(make_study(tmp_path / "study", content)) == {}
    assert cost_text.document(()) == []


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
def test_what_is_no_price_is_refused(price: float) -> None:
    with pytest.raises(UserError, match="--price-hour="):
        Prices(hour=price)


def test_costs_in_words(tmp_path: Path) -> None:
    study = write_study(tmp_path, seconds="")
    prices = Prices(hour=36)
    text = markdown(cost_text.document(list(costs(study, prices).values())))
    assert "| 64 | 2 | 82 s | 6 | not measured | - |" in text


def test_the_command_prints_costs_where_it_is_given_a_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = str(write_study(tmp_path))
    assert main([study, "--price-hour", "36"]) == 0
    printed = capsys.readouterr().out
    assert "Cost" in printed
    assert "1.02" in printed
    assert main([study]) == 0
    assert "Cost" not in capsys.readouterr().out
    assert main([study, "--price-hour", "-1"]) == 2
    assert "--price-hour=-1: a price must be 0 or more." in capsys.readouterr().err

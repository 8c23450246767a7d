"""Sources of chance, from arms that differ in what their seeds redraw."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.replication import source_variances
from synthaug.analysis.inference.sources_of_chance import crossed_sources, nested_sources
from synthaug.analysis.pipeline import make_report
from synthaug.analysis.text import factor_text
from synthaug.analysis.text.document import Rows
from synthaug.files import read_json
from tests.factories.studies import MadeUp, make_study, one_group

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6)}


def study_of(folder: Path, *changes: dict[str, object]) -> Path:
    for change in changes:
        make_study(folder, MadeUp(arms=ARMS, seeds=(0, 1, 2), n_test=200, settings=change))
    return folder


def test_levels_of_replication_are_nested(tmp_path: Path) -> None:
    group = one_group(study_of(tmp_path, {"replicate": "weights"}, {"replicate": "full"}))
    rows = [row for row in source_variances(group) if row.arm == "64"]
    assert [row.source for row in rows] == ["test images", "weights", "images + draw + full"]
    tables = [
        np.stack([group.correct[f"64 · replicate {level}"][seed] for seed in range(3)]) for level in ("weights", "full")
    ]
    assert [row.variance for row in rows[1:]] == nested_sources(tables)


def test_draws_are_crossed_with_seeds(tmp_path: Path) -> None:
    group = one_group(study_of(tmp_path, {}, {"generator.draw": 1}, {"generator.draw": 2}))
    rows = {row.source: row for row in source_variances(group) if row.arm == "64"}
    assert set(rows) == {"test images", "draw", "seeds", "runs"}
    names = ["64", "64 · draw 1", "64 · draw 2"]
    table = np.stack([[group.correct[name][seed] for seed in range(3)] for name in names])
    assert rows["draw"].variance == crossed_sources(table).draw
    assert rows["draw"].arm == "64"
    (table_block,) = [
        block for block in factor_text.sources_document(source_variances(group)) if isinstance(block, Rows)
    ]
    assert [row[0] for row in table_block.rows].count("64") == 4


@pytest.mark.parametrize("changes", [[{}], [{}, {"batch_size": 64}]])
def test_other_arms_tell_no_sources_apart(tmp_path: Path, changes: list[dict[str, object]]) -> None:
    group = one_group(study_of(tmp_path, *changes))
    assert source_variances(group) == ()
    assert factor_text.sources_document(source_variances(group)) == []


def test_an_arm_is_compared_with_the_real_one_whose_seeds_redraw_as_much(tmp_path: Path) -> None:
    group = one_group(study_of(tmp_path, {"replicate": "images"}, {"replicate": "full"}))
    references = {arm.name: arm.reference for arm in group.arms}
    assert references["64 · replicate full"] == "real · replicate full"
    assert references["64 · replicate images"] == "real · replicate images"
    assert references["real · replicate full"] is None
    assert len({arm.redrawn for arm in group.one_question.arms}) == 1


def test_sources_and_main_effects_are_in_the_files(tmp_path: Path) -> None:
    study, content = tmp_path / "study", MadeUp(arms={**ARMS, "82": (0.2, 0.8)}, seeds=(0, 1, 2), n_test=200)
    make_study(study, content)
    make_study(study, dataclasses.replace(content, model="vit"))
    make_study(study, dataclasses.replace(content, arms={"64": ARMS["64"]}, settings={"generator.draw": 1}))
    make_report(study)
    (group,) = read_json(study / "results.json")["groups"]
    assert {row["source"] for row in group["sources_of_chance"] if row["arm"].startswith("64")} >= {"draw", "runs"}
    effects = {(row["factor"], row["first"], row["second"]): row for row in group["main_effects"]}
    model = next(row for (factor, *_), row in effects.items() if factor == "model")
    assert model["settings"] == 3
    assert model["difference_low"] <= model["difference"] <= model["difference_high"]

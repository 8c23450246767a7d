"""Factors of a study: the grid of its arms, main effects, what each arm is compared with."""

from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.factor_effects import factor_effects, factor_table
from synthaug.analysis.comparison.model import Group
from tests.factories.studies import MadeUp, arm_of, make_study, one_group

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6), "82": (0.2, 0.8)}


@pytest.fixture(scope="module")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Group:
    study = tmp_path_factory.mktemp("factors") / "study"
    make_study(study, MadeUp(arms=ARMS, seeds=(0, 1), n_test=300))
    make_study(study, MadeUp(arms={"64": ARMS["64"], "82": ARMS["82"]}, generator="sd15", seeds=(0, 1), n_test=300))
    return one_group(study)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Group:
    study = tmp_path_factory.mktemp("factors") / "study"
    for model in ("resnet18", "vit"):
        make_study(study, MadeUp(arms=ARMS, seeds=(0, 1), n_test=300, model=model))
    return one_group(study)


def test_an_arm_without_synthetic_images_stands_in_every_column(generators: Group) -> None:
    table = factor_table(generators)
    assert table is not None
    assert (table.rows, set(table.columns)) == (("real", "64", "82"), {"sd15", "tiny_digits"})
    assert len({table.arms["real", column].name for column in table.columns}) == 1
    assert table.arms["64", "sd15"].name == "64 · sd15"
    assert len(table.arms) == 6


def test_the_effect_of_a_generator_is_the_mean_over_the_mixes(generators: Group) -> None:
    effects = {item.factor: item.effects for item in factor_effects(generators)}
    (effect,) = effects["generator"]
    accuracy = {name: np.mean([row.mean() for row in values.values()]) for name, values in generators.correct.items()}
    first, second = effect.first, effect.second
    expected = np.mean([accuracy[f"{mix} · {first}"] - accuracy[f"{mix} · {second}"] for mix in ("64", "82")])
    assert effect.difference.value == pytest.approx(expected)
    assert effect.cells == 2
    (of_mix,) = effects["mix"]
    assert {of_mix.first, of_mix.second} == {"64", "82"}


def test_one_model_and_one_generator_make_no_grid(tmp_path: Path) -> None:
    group = one_group(make_study(tmp_path / "study", MadeUp(arms=ARMS, n_test=40)))
    assert factor_table(group) is None
    assert factor_effects(group) == ()


def test_each_arm_is_compared_with_the_real_arm_of_its_model(models: Group) -> None:
    references = {arm.name: arm.reference for arm in models.arms}
    assert references["64 · vit"] == "real · vit"
    assert references["64 · resnet18"] == "real · resnet18"
    baselines = [arm.name for arm in models.arms if arm.baseline]
    assert len(baselines) == 1
    (other,) = {"real · vit", "real · resnet18"} - set(baselines)
    assert references[baselines[0]] is None
    assert references[other] == baselines[0]
    arm, reference = arm_of(models, "82 · vit"), arm_of(models, "real · vit")
    assert arm.difference is not None
    assert arm.accuracy is not None
    assert reference.accuracy is not None
    assert arm.difference.value == pytest.approx(arm.accuracy.value - reference.accuracy.value)


def test_one_question_is_asked_of_the_arms_that_differ_in_their_images_alone(models: Group, generators: Group) -> None:
    baseline = next(arm for arm in models.arms if arm.baseline)
    assert {arm.model for arm in models.one_question.arms} == {baseline.model}
    assert len(models.one_question.arms) == 3
    assert len({arm.generator for arm in generators.one_question.arms} - {None}) == 1


def test_the_second_interval_stands_beside_the_first(generators: Group) -> None:
    assert generators.seed_variance is not None
    for arm in generators.arms:
        if arm.borrowed and arm.difference:
            assert arm.borrowed.value == pytest.approx(arm.difference.value)
            assert arm.borrowed.low <= arm.borrowed.value <= arm.borrowed.high


def test_a_setting_that_is_off_is_a_level_of_its_factor(tmp_path: Path) -> None:
    study = tmp_path / "study"
    make_study(study, MadeUp(arms=ARMS, seeds=(0, 1), n_test=300))
    mixed = {name: ARMS[name] for name in ("64", "82")}
    make_study(
        study, MadeUp(arms=mixed, seeds=(0, 1), n_test=300, settings={"feedback": "error", "feedback_rounds": 3})
    )
    group = one_group(study)
    table = factor_table(group)
    assert table is not None
    assert set(table.columns) == {"feedback none", "feedback error"}
    assert {row: table.arms[row, "feedback none"].name for row in table.rows} == {
        "real": "real",
        "64": "64",
        "82": "82",
    }
    assert table.arms["82", "feedback error"].name == "82 · feedback error"
    (effect,) = {item.factor: item.effects for item in factor_effects(group)}["feedback"]
    assert {effect.first, effect.second} == {"none", "error"}
    assert effect.cells == 2, "real has no use for feedback"

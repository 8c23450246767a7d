"""What counts as the same run. Every key of the configuration is listed, so that a new one must be decided on."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from synthaug.config.schema import AdaptConfig, Config, SplitConfig
from synthaug.runs.identity import arm_settings, describe_differences, differing_settings, run_seed, synthetic_set_name
from synthaug.screening.settings import ScreeningSettings

# Where and how fast a run is computed, and who is told.
SAME_RUN = {
    "experiment", "parallel", "cluster", "threads", "compile",
    "num_workers", "output_dir", "overwrite", "per_class", "shards", "shard", "storage", "verify", "controls", "debug",
    "margin", "logger", "shift", "captioner", *(f"adapt.{field.name}" for field in dataclasses.fields(AdaptConfig)),
    "quality.backbone", "quality.image_size",
    "dataset.root", "dataset.most_stored_gb", "dataset.on_bad_image", "dataset.on_label_conflict", "dataset.groups",
    "compare",
}  # fmt: skip
OTHER_RUN = {
    "seed", "replicate", "folds", "fold", "batch_size", "budget", "image_price", "sampling", "selection",
    "dataset.name", "dataset.train", "dataset.val", "dataset.test", "dataset.more",
    "dataset.imbalance", "dataset.imbalance_seed", "dataset.class_counts",
    "dataset.split.val", "dataset.split.test", "dataset.split.seed", "dataset.split.near_duplicates",
    "dataset.prepare", "dataset.image_size", "dataset.crop_pct",
    *(f"dataset.augment.{name}" for name in (
        "scale", "ratio", "horizontal_flip", "rotation", "brightness", "contrast", "saturation", "whole",
        "vertical_flip", "hue", "grayscale", "blur", "policy", "erasing",
    )),
    "mix.real", "mix.synthetic", "mix.real_per_class", "mix.fill", "mix.augment",
    "prompts.name", "prompts.templates", "prompts.settings", "prompts.names",
    "prompts.lists", "prompts.file", *(f"screening.{field.name}" for field in dataclasses.fields(ScreeningSettings)),
    "generator", "model", "trainer",
}  # fmt: skip
FEEDBACK = {"feedback", "feedback_rounds", "feedback_epochs"}  # make another run where there are synthetic images
ARGUMENTS_OF_THE_SAME_RUN = [
    "generator.device", "generator.batch_size", "generator.classes", "generator.offload", "generator.slicing",
    "generator.tiling", "generator.compile", "generator.allow_pickle", "trainer.accelerator", "trainer.strategy",
    "trainer.log_every_n_steps", "dataset.prepare._target_",
]  # fmt: skip
ARGUMENTS_OF_ANOTHER_RUN = [
    "generator._target_", "generator.model", "generator.steps", "generator.seed", "model._target_", "model.lr",
    "model.backbone", "trainer._target_", "trainer.max_epochs", "trainer.devices", "trainer.precision",
    "dataset.prepare.id",
]  # fmt: skip


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def changed(settings: Mapping[str, Any], key: str, value: Any = "changed") -> dict[str, Any]:
    result = copy.deepcopy(dict(settings))
    *nodes, last = key.split(".")
    node = result
    for name in nodes:
        node[name] = node[name] or {}
        node = node[name]
    node[last] = value
    return result


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    settings = dataclasses.asdict(Config())
    settings["dataset"]["split"] = dataclasses.asdict(SplitConfig())
    return settings


def test_every_key_of_the_configuration_is_decided_on(settings: dict[str, Any]) -> None:
    assert set(leaves(settings)) == SAME_RUN | OTHER_RUN | FEEDBACK


@pytest.mark.parametrize("key", sorted({*SAME_RUN, *ARGUMENTS_OF_THE_SAME_RUN}))
def test_an_incidental_key_makes_no_other_run(key: str, settings: dict[str, Any]) -> None:
    assert differing_settings(settings, changed(settings, key)) == {}


@pytest.mark.parametrize("key", sorted({*OTHER_RUN, *ARGUMENTS_OF_ANOTHER_RUN}))
def test_any_other_key_makes_another_run(key: str, settings: dict[str, Any]) -> None:
    pairs = differing_settings(settings, changed(settings, key))
    assert {name: second for name, (_, second) in pairs.items() if second != "absent"} == {key: "changed"}
    assert set(pairs) <= {key, key.partition(".")[0]}  # an argument takes the place of the empty node


@pytest.mark.parametrize("key", sorted(FEEDBACK))
def test_feedback_matters_where_there_are_synthetic_images(key: str, settings: dict[str, Any]) -> None:
    with_feedback = {**settings, "feedback": "error", "mix": {"real": 0.5, "synthetic": 0.5}}
    assert set(differing_settings(with_feedback, changed(with_feedback, key))) == {key}
    without_images = {**with_feedback, "mix": {"real": 1.0, "synthetic": 0.0}}
    assert differing_settings(without_images, changed(without_images, key)) == {}


@pytest.mark.parametrize("key", sorted(FEEDBACK - {"feedback"}))
def test_rounds_matter_where_there_is_feedback(key: str, settings: dict[str, Any]) -> None:
    with_images = {**settings, "mix": {"real": 0.5, "synthetic": 0.5}}
    assert differing_settings(with_images, changed(with_images, key)) == {}


def test_a_node_that_is_off_is_the_same_as_none() -> None:
    without: dict[str, Any] = {"seed": 0, "dataset": {"image_size": 32}}
    empty: dict[str, Any] = {}
    assert differing_settings(without, {**without, "mix": {"augment": None}}) == {}
    assert differing_settings(without, {**without, "mix": {"augment": empty}}) == {}


@pytest.mark.parametrize("value", [0, False, "", []])
def test_a_value_that_is_false_is_not_the_same_as_absent(value: Any) -> None:
    assert differing_settings({"seed": 0}, {"seed": 0, "mix": value}) == {"mix": ("absent", value)}


def test_an_argument_that_is_absent_has_the_default_of_its_target() -> None:
    settings = {"model": {"lr": 0.1}}
    added = {"model": {"lr": 0.1, "weights": None}}
    assert differing_settings(settings, added) == {"model.weights": ("absent", None)}
    assert differing_settings(added, settings) == {"model.weights": (None, "absent")}


def test_differences_name_key_and_both_values() -> None:
    assert describe_differences({"seed": 0, "lr": (1, 2)}, {"seed": 3, "lr": [1, 2]}) == ["seed: 0 there, 3 now"]


def test_each_fold_of_a_seed_has_weights_and_order_of_its_own() -> None:
    assert run_seed({"seed": 7}) == run_seed({"seed": 7, "fold": None}) == 7
    seeds = [run_seed({"seed": seed, "fold": fold}) for seed in range(20) for fold in range(10)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_runs_of_one_arm_differ_in_seed_and_fold_alone() -> None:
    runs = [{"seed": seed, "fold": fold, "folds": 2} for seed, fold in ((0, 0), (0, 1), (1, 0))]
    assert [arm_settings(run) for run in runs] == [{"folds": 2}] * 3


def test_captions_are_what_they_say_and_not_where_they_stand() -> None:
    def made_of(**prompts: Any) -> tuple[dict[str, Any], str]:
        settings = {"mix": {"synthetic": 1.0}, "generator": {"name": "g"}, "prompts": {"name": "p", **prompts}}
        return arm_settings(settings), synthetic_set_name(settings)

    first = made_of(file="a.yaml", content="123")
    assert made_of(file="elsewhere/b.jsonl", content="123") == first
    for arm, images in (made_of(file="a.yaml", content="456"), made_of(file="a.yaml")):
        assert arm != first[0]
        assert images != first[1]
    assert made_of(file="a.yaml")[0]["prompts.file"] == "a.yaml", "runs of earlier versions stay what they were"
    assert made_of(lists={})[1] == made_of()[1]
    assert made_of(lists={"light": ["a"]})[1] != made_of(lists={"light": ["b"]})[1]

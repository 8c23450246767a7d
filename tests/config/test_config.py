"""The command line and the configuration: what is understood, what is refused and in which words."""

import contextlib
import copy
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from synthaug import adapt, generate, train
from synthaug.config import naming, schema, synonyms
from synthaug.config.command_help import CommandHelp
from synthaug.config.command_line import normalize_argv, normalize_override
from synthaug.config.compose import Composer, initialized_hydra
from synthaug.config.job import Job, without_hydra
from synthaug.config.schema import quote_choices
from synthaug.config.validation import validate
from synthaug.errors import UserError
from synthaug.runs import identity
from tests.factories.commands import jobs_of
from tests.factories.images import write_dataset

CARD = ["-m", "mix=real,55,64,73,82"]
HELP_KEYS = [
    "experiment",
    "seed",
    "replicate",
    "folds",
    "fold",
    "batch_size",
    "budget",
    "image_price",
    "sampling",
    "selection",
    "feedback",
    "feedback_rounds",
    "feedback_epochs",
    "parallel",
    "threads",
    "num_workers",
    "compile",
    "output_dir",
]
HELP_KEYS += [
    "per_class",
    "shards",
    "shard",
    "storage",
    "verify",
    "controls",
    "compare",
    "margin",
    "debug",
    "overwrite",
]
MIX_CHOICES = "choices: 28, 37, 46, 55, 64, 73, 82, add100, add50, fill, real, "


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking a command line writes nothing, wherever it is typed."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of study configs in place of experiments/."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    monkeypatch.setattr(schema, "EXPERIMENTS", folder)
    registered = ConfigStore.instance().repo.setdefault("experiments", {})
    before = dict(registered)
    registered.clear()
    yield folder
    registered.clear()
    registered.update(before)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's own configuration folder."""
    folder = tmp_path / "mine"
    write(folder / "mix" / "mine.yaml", "# three parts in ten\nreal: 0.7\nsynthetic: 0.35\n")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def job_of(*arguments: str) -> Job:
    (job,) = jobs_of(*arguments)
    return job


def problems(*arguments: str) -> list[str]:
    """What a command line is refused with, line by line."""
    with pytest.raises(UserError) as caught:
        jobs_of(*arguments)
    headline, *lines = str(caught.value).split("\n  - ")
    assert headline == "The configuration cannot be used:"
    return lines


def problem(*arguments: str) -> str:
    (line,) = problems(*arguments)
    return line


# --- quoting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("mix=55", "mix='55'"),
        ("mix=real,55,64", "mix=real,'55','64'"),
        ("mix=55,real", "mix='55',real"),
        ("mix=[55,64]", "mix=['55','64']"),
        ("mix=choice(real,55)", "mix=choice(real,'55')"),
        ("mix=55, 64", "mix='55','64'"),
        ("mix=0.5,1e3,007,1_0", "mix='0.5','1e3','007','1_0'"),
        ("+experiments=1,2", "+experiments='1','2'"),
        ("model=18", "model='18'"),
    ],
)
def test_choices_that_begin_with_a_digit_are_quoted(typed: str, quoted: str) -> None:
    assert quote_choices(typed) == quoted


@pytest.mark.parametrize(
    "override",
    [
        "seed=0,1",
        "mix.real=0.5",
        "mix='55'",
        'mix="55",real',
        "mix=real,add50",
        "mix",
        "mix=",
        "mixer=55",
        "trainer.max_epochs=3",
        "batch_size=32",
        "experiment=55",
        "-m",
        "--config-dir=55",
        "~mix",
    ],
)
def test_everything_else_is_left_alone(override: str) -> None:
    assert quote_choices(override) == override


@given(st.one_of(st.text(), st.text("mix=+real'\"05,. []()").map("mix=".__add__)))
def test_quoting_twice_is_quoting_once(override: str) -> None:
    assert quote_choices(quote_choices(override)) == quote_choices(override)


@given(st.text(), st.text())
def test_only_groups_are_quoted(key: str, value: str) -> None:
    if key.partition("=")[0].lstrip("+") not in schema.GROUPS:
        assert quote_choices(f"{key}={value}") == f"{key}={value}"


_WORDS = st.from_regex(r"(x[a-z0-9]{0,5})|([0-9]{1,4})", fullmatch=True)


@given(st.lists(_WORDS, min_size=1, max_size=5))
def test_hydra_reads_the_names_that_were_typed(names: list[str]) -> None:
    parser = OverridesParser.create()
    override = parser.parse_override(quote_choices(f"mix={','.join(names)}"))
    swept = override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
    assert [parser.parse_override(f"mix={name}").value() for name in swept] == names


@pytest.mark.parametrize(
    "name",
    [
        "Füchse",
        "写真",
        "🐱",
        "photos (1)",
        "Fotos & Videos",
        "it's",
        'a"b',
        "a#b",
        "a;b",
        "x=y",
        "a{b}",
        "a[b]",
        "b~",
        "a!",
    ],
)
def test_folders_of_any_name_need_no_quotes(name: str) -> None:
    for typed in (f"dataset.root=/data/{name}", f"+dataset.root=/data/{name}"):
        override = OverridesParser.create().parse_override(normalize_override(typed))
        assert override.value() == f"/data/{name}"
        assert normalize_override(normalize_override(typed)) == normalize_override(typed)


def test_several_folders_of_any_name_are_several_runs() -> None:
    override = OverridesParser.create().parse_override(normalize_override("dataset.root=Füchse,wölfe,x"))
    assert list(override.sweep_string_iterator()) == ["'Füchse'", "'wölfe'", "x"]


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/åsa")
    assert normalize_override("dataset.root=~/photos") == "dataset.root='/home/åsa/photos'"
    assert normalize_override("output_dir=~") == "output_dir='/home/åsa'"
    assert normalize_override("dataset.root=~nobody/x") == "dataset.root='~nobody/x'"


@pytest.mark.parametrize(
    "argument",
    [
        "dataset.root='ä,b'", 'a="ä"', "a=[ä,b]", "a={ä: b}", "a=b,'ä'", "a=${oc.env:Ä}", r"a=ä\,b", "a=choice(ä,b)",
        "~ä=b", "--config-dir=ä", "-m", "a=", "a=1,2", "a=null", "a=C:/x", "a=b c", "a=x@y|z", "a=1e-3",
    ],
)  # fmt: skip
def test_what_hydra_reads_is_left_to_it(argument: str) -> None:
    assert normalize_override(argument) == argument


# --- jobs ------------------------------------------------------------------------------------------


def test_the_cards_command_line() -> None:
    jobs = jobs_of(*CARD)
    numbers = [(job.settings["mix"]["real"], job.settings["mix"]["synthetic"]) for job in jobs]
    assert numbers == [(1, 0), (0.5, 0.5), (0.4, 0.6), (0.3, 0.7), (0.2, 0.8)]
    assert [job.label for job in jobs] == ["real-seed0", "55-seed0", "64-seed0", "73-seed0", "82-seed0"]
    assert {job.study for job in jobs} == {Path("outputs/default")}
    assert re.fullmatch("outputs/default/digits/55-tiny_digits-resnet18-[0-9a-f]{6}/seed0", str(jobs[1].folder))
    planned = jobs[2].planned
    assert (planned.key, planned.settings["mix.real"], planned.settings["mix.synthetic"]) == (jobs[2].key, 0.4, 0.6)


def test_every_arm_has_every_seed() -> None:
    jobs = jobs_of("-m", "mix=real,64", "seed=3,5", "experiment=two", "output_dir=elsewhere")
    assert [job.label for job in jobs] == ["real-seed3", "real-seed5", "64-seed3", "64-seed5"]
    assert {job.study for job in jobs} == {Path("elsewhere/two")}


def test_settings_are_plain() -> None:
    settings = job_of("mix=82").settings
    numbers = {"real": 0.2, "synthetic": 0.8, "real_per_class": None, "fill": None}
    assert settings["mix"] == {**numbers, "augment": None, "name": "82"}
    assert (settings["dataset"]["name"], settings["dataset"]["on_bad_image"]) == ("digits", "stop")
    assert settings["dataset"]["root"] == "outputs/datasets/digits"
    assert "hydra" not in settings


@pytest.mark.parametrize(
    ("overrides", "arm"),
    [
        (["mix.real=0.35", "mix.synthetic=0.65"], "real0.35-synthetic0.65"),
        (["mix=64", "mix.real=0.3"], "real0.3-synthetic0.6"),
        (["mix=64", "mix.real=0.4"], "64"),
        (["mix.real=0.5"], "real0.5-synthetic0"),
        (["mix=real", "mix.synthetic=1e-7"], "real1-synthetic1e-07"),
    ],
)
def test_numbers_without_a_file_name_the_arm(overrides: list[str], arm: str) -> None:
    job = job_of(*overrides)
    assert job.arm == job.settings["mix"]["name"] == arm
    assert job.folder.parent.name.startswith(f"{arm}-")


def test_close_numbers_have_folders_of_their_own() -> None:
    folders = {job.folder for job in jobs_of("-m", "mix.real=0.3,0.30000001,0.29999999")}
    assert len(folders) == 3


@pytest.mark.parametrize("name", ["2024", "0", "nan", "1e3"])
def test_names_that_yaml_takes_for_numbers(name: str) -> None:
    job = job_of(f"generator.name={name}", f"model.name={name}", f"prompts.name={name}")
    assert name == "1e3" or job.folder.parent.name.startswith(f"real-{name}-")
    assert all(isinstance(job.settings[group]["name"], str) for group in ("generator", "model", "prompts"))


def test_another_model_comes_without_the_commit_and_the_file_variant_of_the_one_it_replaces() -> None:
    shipped = job_of("generator=sd15").settings["generator"]
    assert (len(shipped["revision"]), shipped["variant"]) == (40, "fp16")
    job = job_of("generator=sd15", "generator.model=someone/a-model")
    assert [job.settings["generator"][name] for name in ("revision", "variant")] == [None, None]
    assert [job.recorded["generator"][name] for name in ("revision", "variant")] == [None, None]
    assert job.settings["generator"]["scheduler"] == shipped["scheduler"]
    typed = ["generator.revision=main", "generator.variant=fp16"]
    typed_settings = job_of("generator=sd15", "generator.model=someone/a-model", *typed).settings["generator"]
    assert (typed_settings["revision"], typed_settings["variant"]) == ("main", "fp16")
    assert "variant" not in job_of("generator=hub", "generator.model=a/b").settings["generator"]  # the YAML names none


def test_another_model_does_not_get_classes_and_size_of_the_embedded_one() -> None:
    with pytest.raises(UserError, match=r"generator=hub generator\.model=someone/a-model"):
        job_of("generator.model=someone/a-model")
    settings = job_of("generator=hub", "generator.model=someone/a-model").settings["generator"]
    carried = {"model", "prompt", "name", "_target_"}
    assert {key: value for key, value in settings.items() if value is not None and key not in carried} == {}
    assert job_of("generator.model=./mine", "generator.classes=[a]").settings["generator"]["crop"] == 28
    with pytest.raises(UserError, match=r"generator\.model"):
        job_of("generator=hub")


@pytest.mark.parametrize(
    ("overrides", "arm"),
    [
        (["mix=strong"], "strong"),
        (["mix=strong", "mix.augment.erasing=0.25"], "strong"),
        (["mix=strong", "mix.augment.policy=rand"], "real1-synthetic0-erasing_0.25-policy_rand"),
        (["mix=strong", "mix.augment.policy=null"], "real1-synthetic0-erasing_0.25-policy_none"),
        (["mix=strong", "mix.augment=null"], "real1-synthetic0"),
        (["mix=strong", "mix.real=0.5"], "real0.5-synthetic0-erasing_0.25-policy_trivial"),
        (["mix=real", "mix.augment={policy:trivial,erasing:0.25}"], "real1-synthetic0-erasing_0.25-policy_trivial"),
        (["mix=64", "mix.augment.scale=[0.25,1]"], "real0.4-synthetic0.6-scale_0.25_1"),
        (["mix.augment.erasing=1"], "real1-synthetic0-erasing_1"),
        (["+mix.augment.vertical_flip=1e-7"], "real1-synthetic0-vertical_flip_1e-07"),
        (["mix.augment.whole=off"], "real1-synthetic0-whole_false"),
        (["mix.augment={}"], "real"),
    ],
)
def test_an_arms_own_augmentation_is_in_its_name(overrides: list[str], arm: str) -> None:
    job = job_of(*overrides)
    assert job.arm == job.settings["mix"]["name"] == arm
    assert job.folder.parent.name.startswith(f"{arm}-")
    assert job.recorded == without_adapt(job)


def without_adapt(job: Job) -> dict[str, Any]:
    """The settings of a run: how a generator is adapted is not one of them."""
    return {key: value for key, value in job.settings.items() if key != "adapt"}


def test_values_of_an_arms_own_augmentation_are_typed() -> None:
    mix = job_of("mix.augment={erasing:1,whole:off,scale:[0.5,1]}").settings["mix"]
    assert mix["augment"] == {"erasing": 1.0, "whole": False, "scale": [0.5, 1.0]}
    assert [type(value) for value in mix["augment"].values()] == [float, bool, list]


@pytest.mark.parametrize(
    ("typed", "name", "fill"),
    [
        ([], "real", None),
        (["mix=fill"], "fill", "largest"),
        (["mix.fill=200"], "fill-200", 200),
        (["mix.fill=largest", "mix.real=0.5"], "real0.5-fill-largest", "largest"),
        (["mix.fill.1=200", "mix.fill.big cat=9"], None, {"1": 200, "big cat": 9}),
        (["mix.fill={1:200,007:3}"], "fill-007_3-1_200", {"1": 200, "007": 3}),
        (["mix.real_per_class=4"], "shots4", None),
        (["mix=fill", "mix.real_per_class=4"], "shots4-fill-largest", "largest"),
        (["mix.real_per_class=4", "mix.synthetic=1"], "shots4-synthetic1", None),
        (["mix.real_per_class=4", "mix.augment.erasing=0.5"], "shots4-erasing_0.5", None),
    ],
)
def test_shots_and_classes_that_are_filled_name_their_arm(typed: list[str], name: str | None, fill: object) -> None:
    mix = job_of(*(["mix=real"] if "mix=fill" not in typed else []), *typed).settings["mix"]
    assert mix["fill"] == fill
    assert re.fullmatch(r"fill_[0-9a-f]{12}", mix["name"]) if name is None else mix["name"] == name


def test_numbers_of_single_classes_have_the_names_of_folders() -> None:
    typed = ["dataset.class_counts.1=10", "dataset.class_counts.007.Sea_Lion=3", "dataset.class_counts.big cat=2"]
    expected = {"1": 10, "007.Sea_Lion": 3, "big cat": 2}
    assert job_of("mix=real", *typed).settings["dataset"]["class_counts"] == expected
    assert job_of("mix=real", "dataset.class_counts={1:10}").settings["dataset"]["class_counts"] == {"1": 10}
    lines = problems("mix=real", "dataset.class_counts.1=0")
    assert [line.partition("=")[0] for line in lines] == ["dataset.class_counts"]
    (line,) = problems("mix=real", "dataset.class_counts.1=3", "dataset.imbalance=0.1")
    assert line.startswith("dataset.imbalance=0.1, dataset.class_counts=")


@pytest.mark.parametrize("value", ["0", "small", "2.5", "{}", "{cat:0}", "{cat:x}", "true"])
def test_a_fill_that_is_no_size_is_refused(value: str) -> None:
    line = problem("mix=real", f"mix.fill={value}")
    assert line.startswith("mix.fill=")
    assert "mix.fill.<class>=200" in line


def test_a_number_of_images_is_said_in_one_way() -> None:
    lines = problems("mix=64", "mix.real_per_class=5", "mix.fill=200")
    assert [line.partition(": ")[0] for line in lines] == [
        "mix.real=0.4, mix.real_per_class=5",
        "mix.synthetic=0.6, mix.fill=200",
    ]


_SHARES = st.floats(0, 1)
_AUGMENTS = st.fixed_dictionaries(
    {},
    optional={
        "scale": st.lists(_SHARES, min_size=2, max_size=2),
        "whole": st.booleans(),
        "policy": st.sampled_from(["trivial", "rand", None]),
        **dict.fromkeys(["ratio", "horizontal_flip", "rotation", "hue", "grayscale", "blur", "erasing"], _SHARES),
    },
)


@given(_AUGMENTS, _AUGMENTS)
def test_other_augmentations_have_other_names_that_a_folder_can_have(first: object, second: object) -> None:
    names = [naming.arm_name("", {"real": 1, "synthetic": 0, "augment": augment}, []) for augment in (first, second)]
    twelve_digits = [repr(sorted(rounded(augment).items())) for augment in (first, second)]
    assert (names[0] == names[1]) == (twelve_digits[0] == twelve_digits[1])
    for name in names:
        assert len(name) < 150
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def rounded(augment: Any) -> dict[str, Any]:
    """Values as a name has them: to twelve digits."""
    return {
        name: [f"{v:.12g}" for v in value]
        if isinstance(value, list)
        else f"{value:.12g}"
        if isinstance(value, float)
        else value
        for name, value in augment.items()
    }


def test_names_can_be_given() -> None:
    job = job_of("+model.name=wide", "dataset.name=mine", "+generator.name=sd")
    names = [job.settings[group]["name"] for group in ("dataset", "generator", "model")]
    assert names == ["mine", "sd", "wide"]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("model=resnet18 model.backbone=resnet18", "resnet18"),
        ("model=resnet18 model.backbone=timm/resnet10t", "timm-resnet10t"),
        ("model=probe model.backbone=resnet50", "probe-resnet50"),
        ("model=probe model.lr=0.1", "probe"),
        ("model=probe model.backbone=resnet50 +model.name=mine", "mine"),
        ("--config-dir mine model=based model.backbone=resnet50", "based"),
    ],
)
def test_a_model_is_called_after_the_network_it_has(mine: Path, typed: str, name: str) -> None:
    write(mine / "model" / "based.yaml", "defaults: [resnet18]\nlr: 0.1\n")
    assert job_of(*typed.replace("mine ", f"{mine} ").split()).settings["model"]["name"] == name


def test_networks_can_be_swept() -> None:
    jobs = jobs_of("-m", "model.backbone=resnet18,resnet34")
    assert jobs is not None
    assert [job.settings["model"]["name"] for job in jobs] == ["resnet18", "resnet34"]


@pytest.mark.parametrize("typed", ["-m mix=real", "mix=real --multirun", "hydra.mode=MULTIRUN"])
def test_sweeps_are_told_from_single_runs(typed: str) -> None:
    assert normalize_argv(typed.split()).is_sweep
    assert not normalize_argv(["mix=real"]).is_sweep


def test_several_loggers_and_none() -> None:
    loggers = [list(job_of(f"logger={choice}").settings["logger"]) for choice in ("[csv,tensorboard]", "[csv,none]")]
    assert loggers == [["csv", "tensorboard"], ["csv"]]
    assert not job_of("logger=none").settings["logger"]
    assert not job_of("~logger").settings["logger"]


# --- refusals --------------------------------------------------------------------------------------


def test_unknown_choices_are_named_with_the_choices_all_at_once() -> None:
    mix, model, generator = problems("mix=reel", "model=resnet19", "generator=midjourney")
    assert mix.startswith("mix=reel: ")
    assert f"did you mean 'real'? {MIX_CHOICES}" in mix
    assert model.startswith("model=resnet19: ")
    assert "did you mean 'resnet18'? choices: clip_finetune, " in model
    assert generator.startswith("generator=midjourney: ")
    assert "did you mean" not in generator
    assert "choices: flux2_klein, " in generator


@pytest.mark.parametrize(("typed", "project"), [([], "thesis"), (["logger.wandb.project=mine"], "mine")])
def test_the_project_of_the_environment_holds_unless_one_is_typed(
    typed: list[str], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "thesis")
    assert job_of("logger=wandb", *typed).settings["logger"]["wandb"]["project"] == project


def test_unknown_choices_of_a_sweep() -> None:
    lines = problems("-m", "mix=real,56,reel", "seed=0,1")
    assert [line.partition(":")[0] for line in lines] == ["mix=56", "mix=reel"]


def test_unknown_key_of_a_sweep_is_listed_once() -> None:
    lines = problems("-m", "seed=0,1", "lrr=1,2", "modell.lr=3,4", "btch_size=1", "mix=reel,rial")
    keys = sorted(line.partition(":")[0] for line in lines)
    assert keys == ["btch_size=1", "lrr", "mix=reel", "mix=rial", "modell.lr"]
    assert any("did you mean 'model.lr'?" in line for line in lines)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("sed=1", "did you mean 'seed=1'?"),
        ("traner.max_epochs=3", "did you mean 'trainer.max_epochs=3'?"),
        ("dataset.augment.scales=[1,1]", "did you mean 'dataset.augment.scale=[1,1]'?"),
        ("mix.fraction=0.3", "mix has real, synthetic, real_per_class, fill, augment"),
        ("hydra.swep.dir=x", "did you mean 'hydra.sweep.dir=x'?"),
        ("dataset.augment={hues:1}", "its dataset.augment.hues: "),
        ("dataset={augment:{hues:1}}", "its dataset.augment.hues: "),
        ("hydra.run={dirs:x}", "did you mean 'hydra.run.dir'?"),
        ("seed=x", "Integer"),
        ("mix.real=half", "Float"),
        ("dataset.on_bad_image=ignore", "[stop, skip]"),
        ("dataset.on_label_conflict=keep", "[stop, drop]"),
        ("mix=real,55", "-m"),
        ("seed=0,1", "-m"),
        ("mix=[55,64]", "-m mix=<choice>,<choice>"),
        ("logger=null", "choices: csv, none, tensorboard, wandb"),
        ("logger=[csv,../x]", "conf/logger/"),
        ("mix=/64", "conf/mix/"),
        ("hydra/launcher=../x", "conf/hydra/launcher/"),
        ("seed", "parsing"),
    ],
)
def test_override_that_cannot_be_applied(override: str, part: str) -> None:
    line = problem(override)
    assert line.startswith(f"{override}: ")
    assert part in line


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("lr=1e-3", ["model.lr=1e-3"]),
        ("epochs=3", ["trainer.max_epochs=3"]),
        ("max_epochs=3", ["trainer.max_epochs=3"]),
        ("batch=16", ["batch_size=16"]),
        ("gpus=1", ["trainer.devices=1"]),
        ("precision=16", ["trainer.precision=16"]),
        ("workers=2", ["num_workers=2"]),
        ("ratio=55", ["mix=55", "dataset.augment.ratio=55"]),
        ("accumulate_grad_batches=2", ["trainer.accumulate_grad_batches=2"]),
        ("seeds=0,1", ["seed=0,1"]),
    ],
)
def test_short_key_gets_the_full_ones_with_its_value(override: str, meant: list[str]) -> None:
    line = problem(override)
    assert line.startswith(f"{override}: ")
    assert re.findall(r"'([^']+)'", line) == meant
    assert ("need -m" in line) == ("," in override)


def test_short_keys_are_answered_together_by_one_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = Counter[tuple[str, ...]]()
    original = Composer._compose_files

    def count(composer: Composer, overrides: tuple[str, ...]) -> DictConfig:
        composed[overrides] += 1
        return original(composer, overrides)

    monkeypatch.setattr(Composer, "_compose_files", count)
    meant = [re.findall(r"'([^']+)'", line) for line in problems("lr=1e-3", "epochs=3")]
    assert meant == [["model.lr=1e-3"], ["trainer.max_epochs=3"]]
    assert max(composed.values()) == 1
    assert len(composed) == 3  # both, the second alone, neither


def test_synonyms_are_no_keys_and_lead_to_some(default_config: DictConfig) -> None:
    plain = naming.plain_data(without_hydra(default_config))
    keys = {*plain, *schema.GROUPS, *synonyms._nested_keys(plain)}
    assert {key for keys_meant in synonyms.SYNONYMS.values() for key in keys_meant} <= keys
    assert not synonyms.SYNONYMS.keys() & plain.keys()


@pytest.mark.parametrize(
    ("override", "way"),
    [
        ("model=resnet50", "model.backbone=resnet50"),
        ("dataset=flowers", "dataset=imagefolder dataset.root=flowers"),
        ("mix=35", "mix.real=0.35 mix.synthetic=0.65"),
    ],
)
def test_choice_without_a_file_is_told_the_key_that_takes_any(override: str, way: str) -> None:
    assert way in problem(override)


def test_key_of_another_choice_gets_its_matches() -> None:
    assert problem("generator=sd15", "generator.hight=256").endswith("did you mean 'height'?")
    first = problems("dataset=imagefolder", "dataset.root=.", "dataset.split.vall=1")[0]
    assert first.endswith("did you mean 'dataset.split.val=1'?")


def test_file_outside_the_configuration_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.yaml", "real: 0.1\nsynthetic: 0.1\n")
    up = "../" * len((schema.CONF / "mix").parts[1:])
    line = problem(f"mix={up}{tmp_path.relative_to('/')}/x")
    assert "not a path; a file of your own goes to <folder>/mix/, used with --config-dir=<folder>" in line


@pytest.fixture(scope="module")
def default_config() -> DictConfig:
    """The configuration without overrides, composed once."""
    schema.register()
    with initialized_hydra(None) as composer:
        return composer.compose([])


@pytest.mark.parametrize(
    ("override", "key", "part"),
    [
        ("mix.real=1.2", "mix.real=1.2", "dataset.more=<folder>"),
        ("mix.real=1e6", "mix.real=1000000.0", ""),
        ("mix.real=-0.1", "mix.real=-0.1", ""),
        ("mix.real=nan", "mix.real=nan", ""),
        ("mix.synthetic=-1", "mix.synthetic=-1.0", ""),
        ("mix.synthetic=inf", "mix.synthetic=inf", ""),
        ("mix.real=0", "mix.real=0, mix.synthetic=0", ""),
        ("seed=-1", "seed=-1", ""),
        ("batch_size=0", "batch_size=0", ""),
        ("per_class=0", "per_class=0", ""),
        ("num_workers=-1", "num_workers=-1", ""),
        ("threads=0", "threads=0", ""),
        ("dataset.image_size=0", "dataset.image_size=0", ""),
        ("dataset.crop_pct=0", "dataset.crop_pct=0.0", ""),
        ("dataset.augment.scale=[0.5]", "dataset.augment.scale=[0.5]", ""),
        ("dataset.augment.ratio=[2,1]", "dataset.augment.ratio=[2.0, 1.0]", ""),
        ("dataset.augment.rotation=nan", "dataset.augment.rotation=nan", ""),
        ("dataset.augment.brightness=2", "dataset.augment.brightness=2.0", ""),
        ("dataset.augment.hue=0.6", "dataset.augment.hue=0.6", ""),
        ("dataset.augment.erasing=-1", "dataset.augment.erasing=-1.0", ""),
        ("dataset.augment.policy=trivialaugment", "dataset.augment.policy='trivialaugment'", ""),
        (
            "dataset.augment.whole=true",
            "dataset.augment.whole=True",
            "set dataset.augment.scale=[1,1] and dataset.augment.ratio=[1,1], or dataset.augment.whole=false",
        ),
        ("++mix.augment.hue=0.6", "mix.augment.hue=0.6", ""),
        ("++mix.augment.policy=strong", "mix.augment.policy='strong'", ""),
        ("++mix.augment.scale=[0.5]", "mix.augment.scale=[0.5]", ""),
        ("++mix.augment.blur=much", "mix.augment.blur=much", ""),
        ("++mix.augment.blur=null", "mix.augment.blur=None", ""),
        ("++mix.augment.hues=0.1", "mix.augment.hues", "did you mean 'mix.augment.hue'?"),
        ("++mix.augment.hue=???", "mix.augment.hue", ""),
        (
            "++mix.augment.whole=true",
            "mix.augment.whole=True",
            "set mix.augment.scale=[1,1] and mix.augment.ratio=[1,1], or mix.augment.whole=false",
        ),
        ("dataset.name=a/b", "dataset.name='a/b'", ""),
        ("+model.name=..", "model.name='..'", ""),
        ("+generator.name='a\nb'", "generator.name='a\\nb'", ""),
        (f"+model.name={'x' * 101}", "model.name=", ""),
        ("experiment=", "experiment=''", ""),
        ("experiment=synthetic", "experiment='synthetic'", ""),
        ("experiment=tried-debug", "experiment='tried-debug'", "-debug"),
        ("+model.mean=[0.5,0.5]", "model.mean=[0.5, 0.5]", ""),
        ("+model.std=[0,1,1]", "model.std=[0, 1, 1]", ""),
        ("+model.step_epochs=0", "model.step_epochs=0", ""),
        ("+model.gamma=1.5", "model.gamma=1.5", ""),
        ("+model.train_stages=-1", "model.train_stages=-1", ""),
        ("+model.unfreeze_every=0", "model.unfreeze_every=0", ""),
        ("+model.head_dropout=1", "model.head_dropout=1", ""),
        ("+model.label_smoothing=1", "model.label_smoothing=1", ""),
        ("+model.mixup=-0.1", "model.mixup=-0.1", ""),
        ("+model.cutmix=nan", "model.cutmix=nan", ""),
        ("+model.synthetic_weight=0", "model.synthetic_weight=0", ""),
        ("+model.pretrain_epochs=-1", "model.pretrain_epochs=-1", ""),
        ("+model.pretrain_epochs=8", "model.pretrain_epochs=8", ""),
        ("+model.momentum=1", "model.momentum=1", ""),
        ("+model.ema=0", "model.ema=0", ""),
        ("+model.ema=1", "model.ema=1", ""),
        ("+model.warmup_epochs=0", "model.warmup_epochs=0", ""),
        ("+model.warmup_epochs=8", "model.warmup_epochs=8", "trainer.max_epochs=8"),
        ("+model.image_size=224", "model.image_size=224", "dataset.image_size=32"),
        ("+model.head_batch_norm=2", "model", "must be bool"),
        ("margin=0", "margin=0.0", ""),
        ("logger.wandb.project=a/b", "logger.wandb.project='a/b'", "W&B"),
        ("logger.wandb.project=''", "logger.wandb.project=''", "W&B"),
        ("margin=100", "margin=100.0", ""),
        ("margin=nan", "margin=nan", ""),
        ("seed=???", "seed", ""),
        ("generator.prompt=???", "generator.prompt", ""),
        ("~model", "model", ""),
        ("generator._target_=5", "generator._target_=5", ""),
        ("+logger.csv=5", "logger.csv", ""),
        ("trainer.precision=16-true", "trainer.precision='16-true'", "16-mixed"),
        ("trainer.precision=64", "trainer.precision=64", "16-mixed"),
        ("trainer.precision=64-true", "trainer.precision='64-true'", "16-mixed"),
        ("trainer.max_epochs=many", "trainer", "must be Optional[int]"),
        ("+trainer.max_steps=0", "trainer.max_steps=0", ""),
        ("+trainer.max_time=3600", "trainer.max_time=3600", "{hours: 12}"),
        ("+trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0", ""),
        ("+trainer.limit_train_batches=0", "trainer.limit_train_batches=0", ""),
        ("+trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1", ""),
        ("trainer.deterministic=maybe", "trainer.deterministic='maybe'", "warn"),
        ("+trainer.enable_checkpointing=false", "trainer.enable_checkpointing=False", "true"),
        ("+trainer.barebones=true", "trainer.barebones=True", "false"),
        ("+model.lrr=1", "model", "did you mean 'lr'?"),
        ("~generator.prompt", "generator", "'prompt'"),
        ("model._target_=synthaug.models.classifier.Classifer", "model", "'Classifier'"),
        ("+model.seed=1", "model.seed", ""),
        ("+trainer.callbacks=[]", "trainer.callbacks", ""),
        ("+logger.wandb.mode=offline", "logger.wandb.mode", "WANDB_MODE=offline"),
        ("+expriment=mine", "expriment", "did you mean 'experiment'?"),
        ("+mix.fraction=0.3", "mix.fraction", "real, synthetic, real_per_class, fill, augment"),
        ("mix.real_per_class=0", "mix.real_per_class=0", ""),
        ("+dataset.augment.scales=1", "dataset.augment.scales", "did you mean 'dataset.augment.scale'?"),
    ],
)
def test_value_that_cannot_be_used(override: str, key: str, part: str, default_config: DictConfig) -> None:
    config = copy.deepcopy(default_config)
    OmegaConf.set_struct(config, False)
    parsed = OverridesParser.create().parse_override(normalize_override(override))
    if parsed.is_delete():
        parent, _, name = f".{parsed.key_or_group}".rpartition(".")
        del (OmegaConf.select(config, parent[1:]) if parent else config)[name]
    else:
        OmegaConf.update(config, parsed.key_or_group, parsed.value(), force_add=True)
    (line,) = validate(without_hydra(config))
    assert line.startswith(key)
    assert part in line


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("budget=minutes", "[epochs, steps, cost]"),
        ("sampling=weighted", "[oversample, balanced]"),
        ("selection=worst", "[best, last, own_share]"),
        ("feedback=accuracy", "[error, entropy]"),
        ("feedback_rounds=1", "at least 2"),
        ("feedback_epochs=0", "at least 1"),
        ("controls=true", "with -m"),
        ("dataset=imagefolder", "dataset.root=<value>"),
    ],
)
def test_choice_that_cannot_be_used(override: str, part: str) -> None:
    assert part in problem(override)


def test_rare_classes_may_not_count_twice() -> None:
    (line,) = problems("sampling=oversample", "model.class_weights=balanced")
    assert "model.class_weights=balanced" in line
    assert "sampling=oversample" in line
    jobs_of("model.class_weights=balanced")


def test_a_head_that_normalises_needs_two_images() -> None:
    line = problem("+model.head_batch_norm=true", "batch_size=1")
    assert line.startswith("model.head_batch_norm=true, batch_size=1: ")


def test_everything_wrong_is_said_at_once() -> None:
    lines = problems("mix=reel", "mix.real=-0.2", "mix.synthetic=-1", "seed=x", "trainer.max_epoch=3", "+model.lrr=1")
    keys = [line.partition("=")[0].partition(":")[0] for line in lines]
    assert keys == ["mix", "seed", "mix.real", "mix.synthetic", "model", "trainer"]


def test_a_link_to_itself_is_a_folder_that_is_not_there(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    jobs_of(f"output_dir={loop}")  # what is on the disk is looked at before the first run
    assert problem("dataset=imagefolder", f"dataset.root={loop}").startswith(f"dataset.root={loop}: ")


def test_every_value_of_a_sweep_is_looked_at() -> None:
    lines = problems("-m", "mix.real=0.5,1.2", "seed=0,x", "batch_size=0,32")
    assert [line.partition(":")[0] for line in lines] == ["seed=x", "batch_size=0", "mix.real=1.2"]


def test_unreadable_override_of_a_sweep_does_not_hide_the_others() -> None:
    lines = problems("-m", "mix=real,reel", "+model.x={a:1")
    assert [line.partition(":")[0] for line in lines] == ["+model.x={a", "mix=reel"]


def test_interpolation_that_leads_nowhere() -> None:
    lines = problems("dataset.root=${oc.env:NO_SUCH_VARIABLE}", "generator.prompt=${no.such}", "mix.real=2")
    assert lines[:2] == [
        "dataset.root: Environment variable 'NO_SUCH_VARIABLE' not found",
        "generator.prompt: Interpolation key 'no.such' not found",
    ]
    assert lines[2].startswith("mix.real=2.0: must be")


def test_dataset_folder_is_looked_at(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    arguments = ["dataset=imagefolder", f"dataset.root={root}"]
    assert problem(*arguments) == (
        f"dataset.root={root}: there is no folder {root}: give one that exists with dataset.root=<folder>"
    )
    write_dataset(root, train=1, val=1, test=1)
    assert job_of(*arguments).settings["dataset"]["root"] == str(root)
    line = problem(*arguments, "dataset.val=validation")
    assert line.startswith(f"dataset.root={root}: it has no folder 'validation/' (key dataset.val)")


@pytest.mark.parametrize(
    ("override", "refusal"),
    [
        (
            "dataset.split={val: 0.15, test: 1.5}",
            (
                "dataset.split.test=1.5: must be a share of the images, more than 0 and less than 1, or their number, "
                "an integer of at least 1"
            ),
        ),
        (
            "dataset.split={val: many}",
            (
                "dataset.split.val='many': must be a share of the images, more than 0 and less than 1, or their "
                "number, an integer of at least 1"
            ),
        ),
        (
            "dataset.split={val: null}",
            (
                "dataset.split.val=None: must be a share of the images, more than 0 and less than 1, or their number, "
                "an integer of at least 1"
            ),
        ),
        (
            "dataset.split={val: 0.5, test: 0.5}",
            (
                "dataset.split.val=0.5, dataset.split.test=0.5: must be less than 1 together, or nothing is left to "
                "train on"
            ),
        ),
        ("dataset.split={seed: -1}", "dataset.split.seed=-1: must be 0 to 2147483647"),
    ],
)
def test_split_that_cannot_be_drawn(override: str, refusal: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos", train=1, val=1, test=1)
    assert problem("dataset=imagefolder", f"dataset.root={root}", override) == refusal


@pytest.mark.parametrize("override", ["dataset.split={val: 0.2}", "dataset.split.val=0.2"])
def test_a_split_for_a_dataset_that_has_none(override: str) -> None:
    assert problem(override) == (
        f"{override}: this node is null with the chosen dataset: give it in a YAML file, or choose another"
    )


def test_a_folder_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_dataset(tmp_path / "photos", train=1, val=1, test=1)
    assert job_of("dataset=imagefolder", "dataset.root='~/photos'").settings["dataset"]["root"] == "~/photos"


def test_the_folder_of_further_real_images_is_looked_at(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    overrides = ["dataset=imagefolder", f"dataset.root={root}", "mix=real200"]
    assert problem(*overrides, "dataset.more=more") == (
        f"dataset.more=more: there is no folder {root / 'more'}: give one that exists, with a folder per class, or "
        "leave it out"
    )
    assert problem(*overrides, "dataset.more=test") == (
        "dataset.more=test: is the folder of dataset.test; further images are not part of a split"
    )
    (root / "more").mkdir()
    assert problem(*overrides, "dataset.more=more") == f"dataset.more=more: {root / 'more'} has no folders of classes"
    (root / "more" / "cat").mkdir()
    assert job_of(*overrides, "dataset.more=more").planned.settings["mix.real"] == 2
    assert job_of(*overrides, f"dataset.more={root / 'more'}").arm == "real200"


def test_further_real_images_among_the_classes(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos") / "train"
    overrides = ["dataset=imagefolder", f"dataset.root={root}", "mix=real150"]
    (root / "more" / "cat").mkdir(parents=True)
    assert problem(*overrides, "dataset.more=more") == (
        f"dataset.more=more: lies in {root}, where every folder is a class; put it beside it: dataset.more=../more"
    )
    (root / "more").rename(root.parent / "more")
    assert job_of(*overrides, "dataset.more=../more").arm == "real150"


def test_outputs_among_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dataset(tmp_path / "photos", train=1, val=1, test=1)
    monkeypatch.chdir(root / "train")
    assert problem("dataset=imagefolder", "dataset.root=.") == (
        f"output_dir=outputs: lies in {root / 'train'}, where every folder is a class; run the command in another "
        "folder, or give output_dir=<folder>"
    )
    assert problem("dataset=imagefolder", "dataset.root=.", "output_dir=cat/x").startswith("output_dir=cat/x: lies in")
    for output_dir in ("../../outputs", ".outputs"):
        assert jobs_of("dataset=imagefolder", "dataset.root=.", f"output_dir={output_dir}")
    monkeypatch.chdir(root)
    assert jobs_of("dataset=imagefolder", "dataset.root=.")


def test_a_class_that_is_called_like_a_split(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos", train=1, val=1, test=1)
    (root / "train").rename(tmp_path / "other")
    lines = problems("dataset=imagefolder", f"dataset.root={root}")
    assert f"dataset.root={root}: if 'test' is a class and not a split, give dataset.test=<another name>" in lines


def test_folders_that_need_no_split_folders(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    (root / "train").rename(tmp_path / "flat")
    job = job_of("dataset=imagefolder", f"dataset.root={tmp_path / 'flat'}")
    assert job.settings["dataset"]["split"] == {"val": 0.15, "test": 0.15, "seed": 0, "near_duplicates": True}
    lines = problems("dataset=imagefolder", f"dataset.root={tmp_path / 'flat'}", "dataset.split=null")
    assert "it has no folder 'train/' (key dataset.train)" in lines[0]
    assert len([line for line in lines if "by 'split: {}' in the dataset's YAML" in line]) == len(lines) == 3


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("photos", "photos"),
        ("deep/photos/", "photos"),
        (".", "working"),
        ("sub/..", "working"),
        ("猫と犬", "猫と犬"),
        ("Käse & Brot, 50 %", "Käse & Brot, 50 %"),
        (".hidden", "hidden"),
        ("a:b?", "a-b-"),
        ("...", "imagefolder"),
        ("/", "imagefolder"),
        ("x" * 150, "x" * 100),
    ],
)
def test_a_dataset_of_ones_own_is_called_like_its_folder(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "working" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "working")
    assert schema.folder_name(folder) == name
    if folder not in ("/", "...", "sub/.."):
        write_dataset(tmp_path / "working" / folder)
        quoted = f"'{folder}'"
        assert job_of("dataset=imagefolder", f"dataset.root={quoted}").key.dataset == name


def test_any_setting_makes_an_arm_and_no_arm_is_trained_twice() -> None:
    jobs = jobs_of("-m", "mix=real,64", "model.lr=1e-3,1e-4", "generator.guidance_scale=2,4")
    arms = [(job.arm, job.settings["model"]["lr"], job.settings["generator"]["guidance_scale"]) for job in jobs]
    assert arms == [
        ("real", 1e-3, 2),
        ("real", 1e-4, 2),
        *(("64", lr, scale) for lr in (1e-3, 1e-4) for scale in (2, 4)),
    ]
    assert len({job.folder for job in jobs}) == 6
    assert len({job.synthetic_set for job in jobs if job.arm == "64"}) == 2
    assert len(jobs_of("-m", "mix=55,55")) == 1, "a run is one however often it is typed"


@pytest.mark.parametrize("typed", ["num_workers=0,1", "generator.guidance_scale=2,4", "generator.batch_size=1,2"])
def test_a_key_without_effect_on_any_run_is_not_swept_over(typed: str) -> None:
    assert problem("-m", "mix=real", typed).startswith(f"{typed}: no run of this command depends on it")
    assert problem("-m", "mix=real,real50", "seed=0,1", typed).startswith(f"{typed}: ")


def test_optional_logger_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_tensorboard(name: str, package: str | None = None) -> object:
        return None if name == "tensorboard" else find(name, package)

    monkeypatch.setattr("importlib.util.find_spec", without_tensorboard)
    assert problem("logger=tensorboard").endswith("not installed: pip install 'synthaug[tensorboard]'")


# --- studies in experiments/ -----------------------------------------------------------------------


def test_study_with_a_sweep(studies: Path) -> None:
    write(
        studies / "55.yaml",
        "experiment: halves\nhydra: {sweeper: {params: {mix: 'real,55,64', seed: '0,1'}}}\n",
    )
    write(studies / "one.yaml", "experiment: one\nhydra: {sweeper: {params: {mix: 55}}}\n")
    schema.register()
    labels = [job.label for job in jobs_of("-m", "+experiments=55")]
    assert labels == ["real-seed0", "real-seed1", "55-seed0", "55-seed1", "64-seed0", "64-seed1"]
    assert problems("-m", "+experiments=55,one")[0] == (
        "hydra.sweeper.params: this is a sweep; run it alone with -m, or choose one run with mix=<value> seed=<value>"
    )
    assert [job.label for job in jobs_of("-m", "+experiments=55", "mix=82", "seed=7")] == ["82-seed7"]
    assert [job.arm for job in jobs_of("-m", "+experiments=one")] == ["55"]
    assert job_of("+experiments=55", "mix=64", "seed=1").label == "64-seed1"
    assert problem("+experiments=55", "seed=1") == (
        "hydra.sweeper.params: this is a sweep; run it alone with -m, or choose one run with mix=<value>"
    )
    assert problem("+experiments=56").endswith("choices: 55, one")


def test_a_study_in_a_folder_of_ones_own_needs_the_package_of_all(tmp_path: Path) -> None:
    schema.register()
    study = tmp_path / "experiments" / "mine.yaml"
    study.parent.mkdir()
    text = "defaults:\n  - override /mix: '64'\nexperiment: mine\n"
    write(study, text)
    config_dir = f"--config-dir={tmp_path}"
    with pytest.raises(UserError, match="needs a first line that says # @package _global_"):
        jobs_of(config_dir, "+experiments=mine")
    write(study, f"# @package _global_\n{text}")
    (job,) = jobs_of(config_dir, "+experiments=mine")
    assert (job.settings["experiment"], job.label) == ("mine", "64-seed0")


def test_study_that_changes_numbers_does_not_keep_the_name_of_a_mix(studies: Path) -> None:
    write(studies / "odd.yaml", "defaults: [{override /mix: '64'}]\nmix: {real: 0.1}\n")
    schema.register()
    assert job_of("+experiments=odd").arm == "real0.1-synthetic0.6"


def test_study_that_cannot_be_read_is_named(studies: Path) -> None:
    write(studies / "broken.yaml", "mix: [\n")
    with pytest.raises(UserError, match=r"broken\.yaml cannot be read: while parsing"):
        schema.register()


# --- a user's own folder ---------------------------------------------------------------------------


def test_own_mix(mine: Path) -> None:
    job = job_of("--config-dir=mine", "mix=mine")
    assert (job.arm, job.settings["mix"]["real"], job.settings["mix"]["synthetic"]) == ("mine", 0.7, 0.35)
    assert job_of("--config-dir=mine", "mix=mine", "mix.real=0.6").arm == "real0.6-synthetic0.35"
    assert ", mine, " in problem("--config-dir=mine", "mix=yours")


def test_own_mix_with_an_augmentation(mine: Path) -> None:
    write(mine / "mix" / "turned.yaml", "real: 1\nsynthetic: 0\naugment: {rotation: 90, scale: [1, 1]}\n")
    job = job_of("--config-dir=mine", "mix=turned")
    assert (job.arm, job.settings["mix"]["augment"]) == ("turned", {"rotation": 90.0, "scale": [1.0, 1.0]})
    write(mine / "mix" / "wrong.yaml", "real: 1\nsynthetic: 0\naugment: {rotation: 900, turn: 1}\n")
    unknown, wrong = problems("--config-dir=mine", "mix=wrong")
    assert unknown.startswith("mix.augment.turn: there is no such key; mix.augment has scale, ratio, horizontal_flip, ")
    assert wrong == "mix.augment.rotation=900.0: must be 0 to 180 degrees"


def test_own_mix_in_a_folder_of_its_group(mine: Path) -> None:
    write(mine / "mix" / "few" / "5.yaml", "real: 0.05\nsynthetic: 0\n")
    assert job_of("--config-dir", str(mine), "mix=few/5").arm == "few-5"


def test_own_files_that_are_wrong(mine: Path) -> None:
    write(mine / "mix" / "broken.yaml", "real: [\n")
    write(mine / "mix" / "more.yaml", "real: 1\nsynthetic: 0\ncolour: red\n")
    write(mine / "mix" / "half.yaml", "real: 1\n")
    assert "broken.yaml" in problem("--config-dir=mine", "mix=broken")
    write(mine / "mix" / "text.yaml", "real: all\nsynthetic: 0\n")
    assert problem("--config-dir=mine", "mix=more") == (
        "mix=more: its mix.colour: there is no such key; mix has real, synthetic, real_per_class, fill, augment"
    )
    line = problem("--config-dir=mine", "mix=text")
    assert line.startswith("mix=text: its mix.real: ")
    assert line.endswith("Value 'all' of type 'str' could not be converted to Float")
    line = problem("--config-dir=mine", "mix=half")
    assert line == "mix.synthetic: has no value; give one with mix.synthetic=<value>"


def test_own_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--config-dir yours: there is no folder"):
        jobs_of("--config-dir=yours", "mix=mine")


# --- what is written down --------------------------------------------------------------------------


def test_text_from_the_environment_is_used_but_not_written_down(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        mine / "generator" / "private.yaml",
        "defaults: [tiny_digits]\n"
        "model: ${oc.env:STORE}/model\n"
        "negative_prompt: ${.model}\n"
        "num_inference_steps: ${oc.decode:${oc.env:STEPS}}\n",
    )
    monkeypatch.setenv("STORE", "https://user:password@host")
    monkeypatch.setenv("STEPS", "7")
    job = job_of("--config-dir=mine", "generator=private", "output_dir=${oc.env:STORE}")
    used, recorded = job.settings["generator"], job.recorded["generator"]
    assert used["model"] == used["negative_prompt"] == "https://user:password@host/model"
    assert recorded["model"] == recorded["negative_prompt"] == "${oc.env:STORE}/model"
    assert used["num_inference_steps"] == recorded["num_inference_steps"] == 7
    assert recorded["name"] == "private"
    assert job.recorded["dataset"]["root"] == "${oc.env:STORE}/datasets/digits"
    del job.recorded["output_dir"]
    assert "password" not in str(job.recorded)


def test_nothing_else_is_recorded_otherwise() -> None:
    job = job_of("dataset.augment.scale=[0.5,1]", "model.weights=DEFAULT")
    assert job.recorded == without_adapt(job)


def test_what_is_written_down_is_read_back_as_the_same(tmp_path: Path) -> None:
    job = job_of("model.lr=1e-7", "experiment=2024", "generator.prompt='a: #{class_name}'")
    OmegaConf.save(OmegaConf.create(job.recorded), tmp_path / "config.yaml")
    back = OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml"))
    assert back == job.recorded
    assert identity.describe_differences(job.recorded, job.recorded) == []


def test_a_folder_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", str(write_dataset(tmp_path / "photos")))
    job = job_of("dataset=imagefolder", "dataset.root=${oc.env:PHOTOS}")
    assert (job.key.dataset, job.recorded["dataset"]["name"]) == ("photos", "photos")
    assert job.recorded["dataset"]["root"] == "${oc.env:PHOTOS}"


def test_a_node_that_is_set_is_named_by_its_keys() -> None:
    unset = job_of().settings
    split = {**unset, "dataset": {**unset["dataset"], "split": {"val": 0.1}}}
    assert identity.describe_differences(unset, split) == ["dataset.split.val: absent there, 0.1 now"]


def test_difference_names_what_makes_another_run() -> None:
    incidental = ["dataset.on_bad_image=skip", "num_workers=3", "logger=none", "overwrite=true", "per_class=3"]
    incidental += ["experiment=other", "output_dir=elsewhere", "generator.batch_size=1", "+generator.device=cpu"]
    incidental += [
        "shift=corruptions",
        "threads=2",
        "dataset.most_stored_gb=0.5",
        "trainer.accelerator=cpu",
        "+trainer.strategy=auto",
        "+trainer.log_every_n_steps=1",
    ]
    current = job_of().settings
    assert identity.describe_differences(current, job_of(*incidental).settings) == []
    changed = job_of(*incidental, "model.lr=0.1", "batch_size=64", "dataset.augment.scale=[0.5,1]", "~trainer.devices")
    assert identity.describe_differences(current, changed.settings) == [
        "batch_size: 32 there, 64 now",
        "dataset.augment.scale: [0.8, 1.0] there, [0.5, 1.0] now",
        "model.lr: 0.001 there, 0.1 now",
        "trainer.devices: 1 there, absent now",
    ]


# --- the real command ------------------------------------------------------------------------------

# Runs a module as `python -m` does and says at the end which heavy packages were imported.
_WATCHED = """
import atexit, runpy, sys
heavy = {"torch", "pytorch_lightning", "diffusers", "transformers", "wandb", "matplotlib"}
atexit.register(lambda: print("imported:", sorted(heavy & set(sys.modules))))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def command(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(schema.CONF.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", ["synthaug.train", "synthaug.generate", "synthaug.adapt"])
def test_typo_is_answered_before_anything_heavy_is_imported(module: str, tmp_path: Path) -> None:
    done = command(["-c", _WATCHED, module, "-m", "mix=real,55,reel", "trainer.max_epoch=3"], tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("The configuration cannot be used:\n  - mix=reel: ")
    assert "did you mean 'max_epochs'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "imported: []\n"
    assert list(tmp_path.iterdir()) == []


def test_own_mix_by_the_real_command(mine: Path, tmp_path: Path) -> None:
    done = command(["-m", "synthaug.train", "--config-dir", "mine", "mix=mine", "--cfg", "job"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mix:\n  real: 0.7\n  synthetic: 0.35\n" in done.stdout
    with contextlib.suppress(FileNotFoundError):
        assert list((tmp_path / "outputs").iterdir()) == []


@pytest.mark.parametrize(
    ("module", "command_help"),
    [("synthaug.train", train.HELP), ("synthaug.generate", generate.HELP), ("synthaug.adapt", adapt.HELP)],
)
def test_help_fits_80_columns_and_imports_nothing_heavy(
    module: str, command_help: CommandHelp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = command(["-c", _WATCHED, module, "--help"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nimported: []\n")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert re.findall(r"^  (\w+)=", done.stdout, re.M) == list(command_help.keys or HELP_KEYS)
    assert re.findall(r"^  (\w+) {2,}", done.stdout, re.M) == list(command_help.groups)
    assert f"python -m {module} mix" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_has_the_comments_of_the_configuration_and_choices_of_ones_own(mine: Path) -> None:
    text = " ".join(train.HELP.text(str(mine.parent / "mine"), width=90).split())
    lines = (schema.CONF / "config.yaml").read_text(encoding="utf-8").partition("\nhydra:")[0].splitlines()
    settings = [line for line in lines if re.match(r"\w+: [^\s#]|  - (?!captioner)\w+: ", line)]
    assert len(settings) == len(HELP_KEYS) + len(schema.GROUPS) - 2  # experiments are in no file of defaults
    assert all(line.partition(" # ")[2] in text for line in settings)
    assert all(line.partition(" # ")[2] for line in settings)
    assert "mix the arm" in text
    assert " mine, " in text


class TestArgumentsOfTargets:
    @pytest.mark.parametrize(
        ("typed", "read"),
        [
            ("generator.device=cpu", "++generator.device=cpu"),
            ("generator.name=other", "++generator.name=other"),
            ("trainer.precision=bf16-mixed", "++trainer.precision=bf16-mixed"),
            ("logger.wandb.entity=lab", "++logger.wandb.entity=lab"),
            ("shift.folder.origin=synthetic", "++shift.folder.origin=synthetic"),
            ("+model.lr=1", "+model.lr=1"),
            ("mix.real=0.5", "mix.real=0.5"),
            ("mix.augment.policy=rand", "++mix.augment.policy=rand"),
            ("mix.augment=null", "++mix.augment=null"),
            ("prompts.names.x-ray=x", "++prompts.names.x-ray=x"),
            ("prompts.settings.polar bear=on ice", "++prompts.settings={polar bear: on ice}"),
            ("prompts.names={cat: kitten}", "++prompts.names={cat: kitten}"),
            ("prompts.name=mine", "prompts.name=mine"),
            ("dataset.root=x", "dataset.root=x"),
            ("dataset.prepare.test=3000", "++dataset.prepare.test=3000"),
            ("mix=55", "mix='55'"),
            ("-m", "-m"),
        ],
    )
    def test_need_no_plus(self, typed: str, read: str) -> None:
        assert normalize_override(typed) == read

    @pytest.mark.parametrize(
        ("typed", "argv"),
        [
            ("dataset=digits -m mix=real,55", "-m dataset=digits mix=real,'55'"),
            ("seed=1 --config-dir own mix=82 --multirun", "--config-dir own --multirun seed=1 mix='82'"),
            ("--cfg job generator.device=cpu", "--cfg job ++generator.device=cpu"),
            ("-m seed=1 seed=1", "-m seed=1 seed=1"),
            ("a=-1 ~b +c=2 --cfg job", "--cfg job a=-1 ~b +c=2"),
            ("--help", "--help"),
            ("--seed 1 --multi mix=real,55", "--multi seed=1 mix=real,'55'"),
            ("--batch-size=16 --overwrite --controls seed=1", "batch_size=16 overwrite=true controls=true seed=1"),
            ("--epochs 3 -m --resolve", "-m --resolve epochs=3"),
        ],
    )
    def test_may_stand_before_and_after_an_option(self, typed: str, argv: str) -> None:
        assert normalize_argv(typed.split()).argv == argv.split()

    def test_reach_the_settings(self) -> None:
        jobs = jobs_of("generator.device=cpu", "generator.name=other")
        assert jobs is not None
        assert jobs[0].settings["generator"]["device"] == "cpu"
        assert jobs[0].settings["generator"]["name"] == "other"

    def test_unknown_ones_are_named_as_they_were_typed(self) -> None:
        with pytest.raises(UserError, match=r"generator: unknown argument 'devise' .*: did you mean 'device'\?"):
            jobs_of(normalize_override("generator.devise=cpu"))


def test_a_class_may_be_given_a_setting_or_a_name_whether_the_prompts_list_it_or_not() -> None:
    typed = ["prompts=paper", 'prompts.settings.fox="in the garden"', "prompts.names.cat=kitten"]
    job = job_of(*map(normalize_override, typed))
    assert job.settings["prompts"]["settings"]["fox"] == "in the garden"
    assert job.settings["prompts"]["settings"]["turtle"] == "in the sea"
    assert job.settings["prompts"]["names"] == {"cat": "kitten"}
    assert job.synthetic_set.startswith("tiny_digits-paper-")


def test_a_class_may_be_called_by_what_a_folder_may_be_called() -> None:
    overrides = ["prompts.names.x-ray=scan", "prompts.names.polar bear=white bear", "prompts.names.7=seven"]
    assert job_of(*overrides).settings["prompts"]["names"] == {
        "x-ray": "scan",
        "polar bear": "white bear",
        "7": "seven",
    }
    assert job_of("prompts.names={polar bear: bear}").settings["prompts"]["names"] == {"polar bear": "bear"}


def test_a_mapping_with_an_unknown_key() -> None:
    (line,) = problems("dataset.augment={scael: [1,1]}")
    assert "there is no such key; did you mean 'dataset.augment.scale'?" in line


@pytest.mark.parametrize("text", ["a {class_name}", "a <word>"])
def test_text_needs_no_more_quotes_than_the_shells_unless_it_is_in_a_list(text: str) -> None:
    assert job_of(f"generator.prompt={text}").settings["generator"]["prompt"] == text
    with pytest.raises(UserError, match=r"""quoted once more, 'prompts\.templates="…"'"""):
        job_of(f"prompts.templates=[{text}]")


def test_a_generator_whose_model_was_changed_is_called_after_it() -> None:
    names = {
        model: job_of("generator=sd15", f"generator.model={model}").settings["generator"]["name"]
        for model in ("someone/a-model", "/models/other model", "./mine")
    }
    assert list(names.values()) == ["sd15-someone-a-model", "sd15-other model", "sd15-mine"]
    assert job_of("generator=sd15", "generator.model=a/b", "generator.name=own").settings["generator"]["name"] == "own"


def test_what_a_seed_redraws() -> None:
    by_level = {level: jobs_of("mix=64", "seed=3", f"replicate={level}")[0] for level in ("weights", "images", "full")}
    assert len({job.folder for job in by_level.values()}) == 3
    draws = {level: job.settings["generator"].get("draw") for level, job in by_level.items()}
    assert draws == {"weights": None, "images": None, "full": 3}
    assert by_level["full"].synthetic_set == f"{by_level['images'].synthetic_set}-draw3"
    assert by_level["full"].held_out_set == by_level["images"].synthetic_set
    seeds = jobs_of("-m", "mix=64", "seed=3,4", "replicate=full")
    assert len({job.key.arm for job in seeds}) == 1, "the draw is the seed's, and tells no arms apart"
    (plain,), (drawn,) = jobs_of("mix=real", "seed=3"), jobs_of("mix=real", "seed=3", "replicate=draw")
    assert plain.folder == drawn.folder, "without synthetic images there is nothing to draw"
    assert problem("mix=64", "replicate=draw", "generator.draw=2").startswith("generator.draw=2: ")


def test_a_draw_is_an_arm_and_the_first_needs_no_name() -> None:
    first, typed, second = (jobs_of("mix=64", *typed)[0] for typed in ([], ["generator.draw=0"], ["generator.draw=1"]))
    assert first.folder == typed.folder != second.folder
    assert (first.synthetic_set, second.synthetic_set) == (typed.synthetic_set, f"{first.synthetic_set}-draw1")
    assert problem("generator.draw=-1").startswith("generator.draw=-1: must be")


def test_a_set_that_is_guided_by_real_images_bears_their_share() -> None:
    def names(*typed: str) -> dict[tuple[str, int], str]:
        jobs = jobs_of("-m", "mix=64,55", "seed=0,1", *typed)
        return {(job.settings["mix"]["name"], job.settings["seed"]): job.synthetic_set for job in jobs}

    assert len(set(names().values())) == 1
    guided = names("generator.strength=0.5")
    assert len(set(guided.values())) == 4
    assert guided["64", 1].startswith("tiny_digits-real0.4-seed1-")
    assert names("generator.strength=null") == names()
    fixed = names("generator.strength=0.5", "replicate=weights")
    assert len(set(fixed.values())) == 2, "all seeds have the same real images"
    assert fixed["64", 1] == guided["64", 0]


def test_all_real_images_guide_one_set_for_all_seeds() -> None:
    def sets(*typed: str) -> set[str]:
        return {job.synthetic_set for job in jobs_of("-m", "generator.strength=0.5", *typed)}

    assert len(sets("mix=add50,add100", "seed=0,1")) == 1
    assert len(sets("mix=add100", "seed=0,1", "folds=2")) == 2
    assert len(sets("mix=add100", "dataset.imbalance=0.5")) == 1
    assert len({*sets("mix=add100", "dataset.imbalance=0.5"), *sets("mix=add100", "dataset.imbalance=0.2")}) == 2
    assert len(sets("mix=add100", "mix.real_per_class=4,8", "seed=0,1")) == 4
    assert len(sets("mix=add100", "replicate=full", "seed=0,1")) == 2


@pytest.mark.parametrize("strength", ["0", "1.5", "-1"])
def test_a_strength_outside_its_range_is_refused(strength: str) -> None:
    assert problem(f"generator.strength={strength}").startswith(f"generator.strength={strength}: must be more than 0")

"""Keys that hold text keep it as it is typed."""

from pathlib import Path

import pytest

from synthaug.config.command_line import normalize_override
from synthaug.errors import UserError
from tests.factories.commands import jobs_of


@pytest.mark.parametrize("name", ["2023_11_02", "7e2", "45e99999", "007", "True", "nan", "1_0.5", "+3", "a7e2"])
def test_a_study_has_the_name_that_was_typed(name: str) -> None:
    job, _ = jobs_of("-m", "mix=real,64", f"experiment={name}")
    assert job.settings["experiment"] == name


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("dataset.root=1_5,b", "dataset.root='1_5',b"),
        ("generator.revision=12e34", "++generator.revision='12e34'"),
        ("prompts.names.cat=1_0", "++prompts.names.cat='1_0'"),
        ("prompts.names.big cat=1_0", "++prompts.names={big cat: '1_0'}"),
        ("model.weights=null", "++model.weights=null"),
        ("seed=1_0", "seed=1_0"),
        ("model.lr=1e-3", "++model.lr=1e-3"),
        ("experiment='1e3'", "experiment='1e3'"),
    ],
)
def test_numbers_among_texts_are_quoted(typed: str, normalized: str) -> None:
    assert normalize_override(typed) == normalized


@pytest.mark.parametrize("flags", [["mix=55"], ["-m", "mix=real,55"]])
def test_classes_are_named_whatever_their_folders_are_called(flags: list[str]) -> None:
    names = {
        "007.Sea_Lion": "sea lion",
        "Mt. Cook": "peak, high",
        "01": "1_0",
        "2_0": "x",
        "no": "y",
        "Fox (red)": "fox",
        "x-1": "it's",
    }
    for job in jobs_of(*flags, *(f"prompts.names.{name}={value}" for name, value in names.items())):
        assert job.settings["prompts"]["names"] == names


@pytest.mark.parametrize("name", ["2.50", "7e2", "-5", "лиса", "a'b"])
def test_a_class_that_no_command_line_can_name_is_sent_to_a_file(name: str) -> None:
    with pytest.raises(UserError, match=r"prompts\.file"):
        jobs_of("mix=55", f"prompts.names.{name}=cat")


FILES = {
    "experiments/mine.yaml": "# @package _global_\nexperiment: 2023_11_02\ndataset: {root: on, train: 7, val: '1_0'}\n",
    "dataset/flags.yaml": "name: 3.10\nroot: flags\nimage_size: 0x20\nmore: null\n",
    "prompts/flags.yaml": "names: {no: Norway, 01: one, se: 1_000}\nsettings: {'no': in snow}\n",
    "generator/mine.yaml": "revision: 1e3\nnum_inference_steps: 1_0\n",
    "experiments/several.yaml": "# @package _global_\nhydra: {sweeper: {params: {experiment: 7_1}}}\n",
}
CHANGED = {
    "experiments/mine.yaml": ["2023_11_02", "on"],
    "dataset/flags.yaml": ["3.10"],
    "prompts/flags.yaml": ["no", "01", "1_000"],
    "generator/mine.yaml": ["1e3"],
    "experiments/several.yaml": ["7_1"],
}


def test_text_of_a_file_that_would_be_a_number_is_refused(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        jobs_of("--config-dir", str(tmp_path), "mix=real")
    lines = str(caught.value).splitlines()[1:]
    assert sorted(lines) == sorted(
        line for name, texts in CHANGED.items() for text in texts for line in lines
        if str(tmp_path / name) in line and f"'{text}'" in line
    )  # fmt: skip
    assert len(lines) == sum(map(len, CHANGED.values()))


def test_a_study_of_a_file_sweeps_over_texts(tmp_path: Path) -> None:
    study = "# @package _global_\nhydra: {sweeper: {params: {experiment: '2023_11,1e3', seed: '0,1_0'}}}\n"
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "texts.yaml").write_text(study, encoding="utf-8")
    jobs = jobs_of("-m", "--config-dir", str(tmp_path), "+experiments=texts", "mix=real")
    swept = {(job.settings["experiment"], job.settings["seed"]) for job in jobs}
    assert swept == {(name, seed) for name in ("2023_11", "1e3") for seed in (0, 10)}


def test_the_name_of_a_study_is_not_its_settings() -> None:
    for flags in (["mix=55"], ["-m", "mix=real,55"]):
        with pytest.raises(UserError, match=r"\+experiments=controls"):
            jobs_of(*flags, "experiment=controls")
        jobs_of(*flags, "experiment=controls-2")
    assert jobs_of("-m", "+experiments=controls", "experiment=controls", "mix=real", "seed=0")


def test_lists_of_prompts_are_replaced_added_and_dropped() -> None:
    overrides = ["mix=55", "prompts=varied"]
    (varied,) = jobs_of(*overrides)
    first, second = jobs_of("-m", *overrides, "prompts.lists.light=[at dawn,at night],[indoors]")
    assert [job.settings["prompts"]["lists"]["light"] for job in (first, second)] == [
        ["at dawn", "at night"],
        ["indoors"],
    ]
    assert first.settings["prompts"]["lists"]["pose"] == varied.settings["prompts"]["lists"]["pose"]
    (dropped,) = jobs_of(*overrides, "prompts.lists.pose=null")
    (added,) = jobs_of(*overrides, "prompts.lists.lens=[35,50]")
    assert added.settings["prompts"]["lists"]["lens"] == ["35", "50"]
    assert len({job.synthetic_set for job in (varied, first, second, dropped, added)}) == 5


def test_a_study_changes_single_lists_in_its_yaml(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /prompts: varied\n  - override /mix: '55'\n"
    text += "experiment: night\nprompts:\n  lists:\n    light: [at night]\n    pose: null\n"
    (tmp_path / "experiments" / "night.yaml").write_text(text, encoding="utf-8")
    (job,) = jobs_of("-m", f"--config-dir={tmp_path}", "+experiments=night")
    lists = job.settings["prompts"]["lists"]
    assert (lists["light"], lists["pose"], len(lists["background"])) == (["at night"], None, 8)

"""debug=true: everything once on a few images, apart from the study that it tries."""

from pathlib import Path

import pytest

from synthaug.files import read_json
from synthaug.runs import layout
from tests.factories.commands import Commands
from tests.factories.wandb_files import files, summary_of

ARMS = {"real": (16, 0), "82": (3, 13), "real20": (16, 0)}


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A smoke test of a study with a generator, controls and W&B."""
    commands = Commands(tmp_path_factory.mktemp("tried"))
    code, printed = commands.run(
        "-m", "mix=real,82", "controls=true", "trainer.max_epochs=5", "logger=wandb", "debug=true"
    )
    assert code == 0, printed
    (commands.folder / "first").write_text(printed, encoding="utf-8")
    return commands


def test_every_arm_is_small_and_short(tried: Commands) -> None:
    for arm, (real, synthetic) in ARMS.items():
        result = read_json(tried.run_folder(arm, "default-debug") / layout.RESULT)
        assert (result["counts"]["real"], result["counts"]["synthetic"]) == (real, synthetic)
        assert (result["training"]["epochs"], result["settings"]["debug"]) == (2, True)
        assert (result["counts"]["val"], result["counts"]["test"]) == (8, 12)  # all there are


def test_nothing_lies_where_the_study_would_be(tried: Commands) -> None:
    outputs = {path.name for path in (tried.folder / "outputs").iterdir()}
    assert outputs <= {"default-debug", "pixels", "splits"}
    assert (tried.study("default-debug") / "log.txt").is_file()
    manifests = list((tried.folder / "outputs").rglob("manifest.csv"))
    assert [manifest.parents[1] for manifest in manifests] == [tried.study("default-debug") / "synthetic" / "photos"]


def test_the_report_says_that_it_means_nothing(tried: Commands) -> None:
    content = read_json(tried.study("default-debug") / layout.RESULTS_JSON)
    assert "smoke_test" in {check["code"] for check in content["groups"][0]["checks"]}
    assert "debug=true" in (tried.folder / "first").read_text(encoding="utf-8")


def test_wandb_stays_offline_and_has_a_tag(tried: Commands) -> None:
    runs = files(tried.study("default-debug"))
    assert len(runs) == len(ARMS) + 1
    assert [summary_of(path)["tags"] for path in runs][:-1] == [["debug"]] * len(ARMS)
    assert "debug" in summary_of(runs[-1])["tags"], "the one that compares them"
    assert "wandb sync" not in (tried.folder / "first").read_text(encoding="utf-8")


def test_it_is_begun_afresh_and_the_study_stays_as_it_was(tried: Commands) -> None:
    code, printed = tried.run("mix=real")
    assert code == 0, printed
    kept = (tried.run_folder("real") / layout.RESULT).read_bytes()
    assert read_json(tried.run_folder("real") / layout.RESULT)["counts"]["real"] == 20
    code, printed = tried.run("mix=real", "model.lr=1e-3", "debug=true")  # another configuration, and no refusal
    assert code == 0, printed
    assert read_json(tried.run_folder("real", "default-debug") / layout.RESULT)["settings"]["model"]["lr"] == 1e-3
    assert not tried.run_folder("82", "default-debug").exists()
    assert (tried.run_folder("real") / layout.RESULT).read_bytes() == kept


def test_generating_alone_makes_a_few_in_the_same_place(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    code, printed = commands.run("mix=82", "debug=true", command="generate")
    assert code == 0, printed
    images = list((commands.folder / "outputs").rglob("*.png"))
    assert len(images) == 13
    assert {path.relative_to(commands.folder).parts[1] for path in images} == {"default-debug"}

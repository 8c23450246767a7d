"""python -m synthaug.report power, as it is typed: numbers, a study, a dataset, and everything that can be wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from synthaug.config.schema import CONF
from synthaug.report.__main__ import main
from synthaug.report.power_arguments import TEST_SHARE
from tests.factories.images import write_dataset
from tests.factories.studies import SWEEP, MadeUp, make_study

SMALL = {name: SWEEP[name] for name in ("real", "64", "82")}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints, on a single line."""
    assert main(["power", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "nan" not in captured.out
    return " ".join(captured.out.split())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error that the command prints."""
    assert main(["power", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# --- what it prints ----------------------------------------------------------------------------------


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--accuracy", "0.98", "--n", "162", "--discordant", "0.03,0.05")
    assert "two test sets, z accuracy 98 % 7.1 3,825" in text
    assert "two test sets, Fisher accuracy 98 % 7.5 4,023" in text
    assert "McNemar 3 % discordant none 2,352" in text
    assert "McNemar 5 % discordant 4.9 3,922" in text
    assert "fewest seeds" not in text, "one seed has no interval over seeds"


def test_several_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--seeds", "3", "--difference", "0.5", "--seed-deviation", "0.6")
    text = printed(capsys, "--accuracy", "0.95", "--n", "1500", *options)
    assert re.search(r"\+ difference \S+ none ", text), "no number of images makes up for such seeds"
    assert "0.6 points (--seed-deviation)" in text


def test_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=(0, 1, 2)))
    text = printed(capsys, str(study))
    assert "digits · tiny_digits · resnet18: 1,500 test images" in text
    for arm in ("64", "82"):
        assert len(re.findall(rf" {arm} 3 ", text)) == 1, "each arm is listed once"
    command = re.search(r"python -m synthaug.report power (--accuracy .*)$", text)
    assert command
    again = printed(capsys, *command[1].split())
    row = re.search(r"two test sets, z \S+ \S+ \S+ \S+ \S+", again)
    assert row
    assert row[0] in text, "the command that it gives computes the same"


def test_a_study_with_another_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=(0, 1, 2)))
    assert "--difference 20 " in printed(capsys, str(study), "--difference", "20")


def test_a_study_of_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, str(make_study(tmp_path / "study", MadeUp(arms=SMALL))))
    assert re.search(r" 64 1 \S+ - - ", text), "no variance between seeds"


def test_a_study_whose_runs_are_not_all_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = MadeUp(arms=SMALL, seeds=(0, 1, 2), failed=[("64", 0)], missing=[("82", 0), ("82", 1), ("82", 2)])
    text = printed(capsys, str(make_study(tmp_path / "study", content)))
    assert " 64 2 " in text
    assert not re.search(r" 82 \d ", text)


def test_a_dataset_with_test_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path / "photos", train=4, val=2, test=30)
    text = printed(capsys, str(tmp_path / "photos"), "--accuracy", "0.9", "--seeds", "2")
    assert f"{tmp_path}/photos has 60 test images." in text
    assert "What 60 test images and 2 seeds can show at 90 % accuracy" in text


def test_a_dataset_that_is_still_to_be_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(200):
            (tmp_path / "photos" / name / f"{index}.jpg").touch()  # only names are read
    text = printed(capsys, str(tmp_path / "photos"))
    assert f"{tmp_path}/photos has no test images of its own: about 60 will be drawn (15 % of all)." in text
    assert "at 95 % accuracy" in text
    assert "about 100 will be drawn (100 of all)" in printed(capsys, str(tmp_path / "photos"), "--test", "100")
    assert "400 for the test would leave none to train on" in refused(capsys, str(tmp_path / "photos"), "--test", "400")
    assert not (tmp_path / "outputs").exists()


def test_the_share_that_is_drawn_is_that_of_the_dataset() -> None:
    assert OmegaConf.load(CONF / "dataset" / "imagefolder.yaml").split.test == TEST_SHARE


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--accuracy", "0.98", "--n", "162", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("### What 162 test images and 1 seed can show at 98 % accuracy\n")
    assert "| two test sets, z | accuracy 98 % | 7.1 | 3,825 |" in out


@pytest.mark.parametrize("width", ["80", "120"])
def test_no_line_is_too_long_and_nothing_heavy_is_imported(width: str) -> None:
    code = (
        "import sys; from synthaug.report.__main__ import main; code = main(sys.argv[1:]); "
        "bad = {'torch', 'hydra', 'wandb', 'matplotlib.pyplot'} & set(sys.modules); assert not bad, bad; sys.exit(code)"
    )
    words = ["power", "--accuracy", "0.95", "--n", "1500", "--seeds", "3"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": width},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["power", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "python -m synthaug.report power --accuracy 0.98 --n 162\n" in out
    assert "80 % power" in out


# --- what it refuses ---------------------------------------------------------------------------------


def test_all_that_is_wrong_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    options = {
        "--accuracy": "98",
        "--n": "0",
        "--seeds": "0",
        "--discordant": "5,0.005",
        "--difference": "1",
        "--seed-deviation": "-1",
        "--image-share": "2",
        "--repeated": "0",
        "--test": "1.5",
    }
    err = refused(capsys, *(word for pair in options.items() for word in pair))
    for problem in (
        "--accuracy 98: an accuracy is a fraction: 0.98",
        "--n 0: at least 1 is needed",
        "--seeds 0: at least 1 is needed",
        "--discordant 5: a share of the test images is a fraction: 0.05",
        "--discordant 0.005: arms that differ by 1 point disagree on at least as many images: give 0.01 or more",
        "--seed-deviation -1: points from 0 to 50 are needed",
        "--image-share 2: a fraction from 0 to 1 is needed",
        "--repeated 0: a fraction above 0 and up to 1 is needed",
        "--test 1.5: a share below 1 or a number of images is needed",
        "--test: a share of what?",
    ):
        assert f"  - {problem}" in err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--accuracy", "1"], "--accuracy 1: an accuracy is a fraction above 0 and below 1"),
        (["--accuracy", "0"], "--accuracy 0: an accuracy is a fraction above 0 and below 1"),
        (["--accuracy", "nan"], "--accuracy nan: an accuracy is a fraction"),
        (["--difference", "0"], "--difference 0: points above 0 and up to 100 are needed"),
        (["--difference", "101"], "--difference 101: points"),
        (["--discordant", "0"], "--discordant 0: a share of the test images is a fraction above 0 and up to 1"),
    ],
)
def test_values_out_of_range(capsys: pytest.CaptureFixture[str], options: list[str], problem: str) -> None:
    assert problem in refused(capsys, "--n", "100", *options)


def test_nothing_to_plan_with(capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(capsys)
    assert "no test images: give their number with --n, or the folder of a study or dataset" in err
    assert "no accuracy: give the baseline's as --accuracy 0.98" in err


def test_words_that_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["power", "--n", "many"])
    assert stopped.value.code == 2
    assert "--n: invalid int value: 'many'" in capsys.readouterr().err


def test_what_a_study_measured_cannot_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    err = refused(capsys, str(study), "--accuracy", "0.9", "--seeds", "3")
    assert f"--accuracy: the study {study} has measured it; leave it out" in err
    assert f"--seeds: the study {study} has measured it; leave it out" in err
    assert "says how many test images there are" in refused(capsys, str(study), "--n", "9")


def test_a_study_without_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, failed=[("real", 0)]))
    assert f"{study} has no arm with a finished baseline" in refused(capsys, str(study))
    alone = make_study(tmp_path / "alone", MadeUp(arms={"real": (1, 0)}))
    assert f"{alone} has no arm with a finished baseline" in refused(capsys, str(alone))


def test_a_folder_that_is_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes" / "cat").mkdir(parents=True)
    for name, problem in {
        "nothing": "there is no folder",
        "empty": "it is empty",
        "notes": "has no two folders of images, one per class",
    }.items():
        err = refused(capsys, str(tmp_path / name))
        assert f"{tmp_path / name} is not a study: it has no planned.json and no finished run." in err
        assert problem in err

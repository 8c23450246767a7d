"""A finished run on further test sets: the same network, the same images for everybody, and never twice."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from PIL import Image
from torchmetrics.functional.classification import multiclass_calibration_error

from synthaug.arms import build, shift_sets
from synthaug.arms.shifts import Corruptions, Folder, Shift, ShiftSet, Synthetic
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, layout
from synthaug.training import evaluation, fit
from tests.factories.commands import KEY, Painter, settings, train
from tests.factories.images import image, write_dataset

SAME = Corruptions("torchvision.transforms.v2.Identity", {"0": {}})
NOISE = Corruptions("torchvision.transforms.v2.GaussianNoise", {"1": {"sigma": 0.1}, "5": {"sigma": 0.4}}, "float32")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and in `run` a finished run."""
    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "photos", train=8, val=5, test=6, size=(32, 32))
    train(folder / "run", given(folder))
    return folder


def given(study: Path, **changes: Any) -> dict[str, Any]:
    found = settings(study / "photos", study, **changes)
    found["dataset"] |= {"crop_pct": 1.0, "augment": {"scale": [1.0, 1.0]}}
    return found


@pytest.fixture
def run(study: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(study / "run", tmp_path / "run"))


def prepared(study: Path, run: Path, shifts: dict[str, Shift], **dataset: Any) -> tuple[list[ShiftSet], Any]:
    """The sets still to be judged, and the dataset."""
    used = given(study)
    used["dataset"] |= dataset
    data = build.read_real(used["dataset"], study)
    images = shift_sets.held_out_images(used, KEY.dataset, KEY.generator, Painter())
    trained = [(row.sha256, row.path) for row in contents.read_mix(run)]
    held_out = shift_sets.held_out_source(images, data.real.classes)
    return shift_sets.prepare_sets(run, shifts, used["dataset"], data.real, data.store, trained, held_out), data


def judge(study: Path, run: Path, shifts: dict[str, Shift], workers: int = 0, **trainer: Any) -> list[str]:
    """Names of the sets that were judged."""
    fit.quiet_libraries()
    sets, data = prepared(study, run, shifts)
    used = given(study) | {"num_workers": workers}
    evaluation.try_out(sets, used, data.store)
    plain = {"accelerator": "cpu", "devices": 1}
    evaluation.judge(
        run,
        used,
        sets,
        data.real.classes,
        data.store,
        make_model=lambda **arguments: Classifier(**used["model"], **arguments),
        make_trainer=lambda **arguments: lightning.Trainer(**{**plain, **used["trainer"], **arguments, **trainer}),
    )
    return [one.name for one in sets]


def answers(run: Path, name: str) -> contents.Predictions:
    return contents.read_predictions(layout.shift_folder(run, name))


def facts(run: Path, name: str) -> dict[str, Any]:
    return read_json(layout.shift_folder(run, name) / layout.RESULT)


def test_test_images_that_nothing_changed_are_answered_as_before(study: Path, run: Path) -> None:
    judge(study, run, {"same": SAME})
    before, after = contents.read_predictions(run), answers(run, "same-0")
    assert after.paths == before.paths
    # Rounded to 8 bits once more, after images of 32 pixels were shown with 32.
    assert np.abs(after.probabilities - before.probabilities).max() < 1e-3
    there, here = read_json(run / layout.RESULT), facts(run, "same-0")
    assert here["accuracy"] == pytest.approx(there["test"]["accuracy"])
    for name in ("macro_f1", "calibration_error"):
        assert here[name] == pytest.approx(there["test"][name], abs=1e-3)
    assert here["class_accuracy"] == pytest.approx(there["test"]["class_accuracy"])
    assert (here["paired_with"], here["origin"], here["n"], here["name"]) == ("test", "real", 12, "same-0")


def test_what_is_judged_is_not_judged_again(study: Path, run: Path) -> None:
    assert judge(study, run, {"noise": NOISE}) == ["noise-1", "noise-5"]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    assert shift_sets.pending(run, {"noise": NOISE}) == {}
    assert judge(study, run, {"noise": NOISE, "same": SAME}) == ["same-0"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (layout.shift_folder(run, "noise-5") / layout.RESULT).unlink()
    assert judge(study, run, {"noise": NOISE}) == ["noise-5"], "the other severity stands"


def test_another_run_is_asked_the_same_images_in_whatever_batches(study: Path, run: Path, tmp_path: Path) -> None:
    judge(study, run, {"noise": NOISE})
    other = Path(shutil.copytree(study / "run", tmp_path / "other"))
    judge(study, other, {"noise": NOISE}, workers=2)
    for name in ("noise-1", "noise-5"):
        assert facts(run, name)["digest"] == facts(other, name)["digest"]
        first, second = (layout.shift_folder(folder, name) / layout.PREDICTIONS for folder in (run, other))
        assert first.read_bytes() == second.read_bytes()
    assert facts(run, "noise-1")["digest"] != facts(run, "noise-5")["digest"]
    assert not np.array_equal(answers(run, "noise-5").probabilities, contents.read_predictions(run).probabilities)


def test_a_folder_of_some_classes_has_no_number_for_the_others(study: Path, run: Path, tmp_path: Path) -> None:
    root = tmp_path / "dusk" / "dog"
    root.mkdir(parents=True)
    for number in range(3):
        image(900 + number).save(root / f"{number}.png")
    judge(study, run, {"dusk": Folder(str(root.parent))})
    found, given_answers = facts(run, "dusk"), answers(run, "dusk")
    right = float((given_answers.predicted == 1).mean())
    assert found["class_accuracy"] == {"cat": None, "dog": pytest.approx(right)}
    assert found["accuracy"] == pytest.approx(right)
    assert found["macro_f1"] == pytest.approx(2 * right / (1 + right), abs=1e-6), "of the one class that is there"
    assert (found["n"], found["paired_with"]) == (3, None)


def test_the_numbers_are_those_of_the_answers(study: Path, run: Path) -> None:
    judge(study, run, {"noise": NOISE})
    found, there = facts(run, "noise-5"), answers(run, "noise-5")
    assert found["accuracy"] == pytest.approx((there.predicted == there.labels).mean())
    assert found["confidence"] == pytest.approx(there.probabilities.max(axis=1).mean())
    error = multiclass_calibration_error(
        torch.from_numpy(there.probabilities), torch.from_numpy(there.labels), num_classes=2, n_bins=15
    )
    assert found["calibration_error"] == pytest.approx(float(error), abs=1e-6)


def test_synthetic_images_are_made_once_for_all_runs_and_are_none_of_the_arms(study: Path, run: Path) -> None:
    shifts: dict[str, Shift] = {"synthetic": Synthetic(per_class=3)}
    assert judge(study, run, shifts) == ["synthetic"]
    folder = study / "held_out" / KEY.dataset / KEY.generator
    made = {path: path.read_bytes() for path in folder.glob("*/*.png")}
    assert len(made) == 6
    own = {path.read_bytes() for path in (study / "synthetic").rglob("*.png")}
    assert own
    assert not own & set(made.values())
    assert facts(run, "synthetic")["origin"] == "synthetic"
    (layout.shift_folder(run, "synthetic") / layout.RESULT).unlink()
    sets, _ = prepared(study, run, {"synthetic": Synthetic(per_class=2)})
    assert [sample.path for sample in sets[0].samples] == [
        folder / name / f"{n:06d}.png" for name in ("cat", "dog") for n in (0, 1)
    ], "the first ones, though there are more"


def test_a_pool_holds_nothing_out(study: Path) -> None:
    with pytest.raises(UserError) as error:
        shift_sets.held_out_images(given(study), KEY.dataset, KEY.generator, FolderGenerator("pool"))
    assert str(error.value).startswith("shift=synthetic: generator.root=pool is a pool of images made elsewhere")
    assert "shift=folder shift.folder.root=<folder> shift.folder.origin=synthetic" in str(error.value)


def test_an_image_of_the_training_set_is_refused_before_anything_is_judged(
    study: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "dusk" / "cat").mkdir(parents=True)
    known = study / "photos" / "train" / "cat" / "000.png"
    Image.open(known).save(tmp_path / "dusk" / "cat" / "copy.bmp")
    with pytest.raises(UserError, match=r"shift.dusk: 1 image was trained on.*\n.*copy.bmp  =  train: .*000.png"):
        judge(study, run, {"dusk": Folder(str(tmp_path / "dusk"))})
    assert not (run / layout.SHIFTS).exists()


def test_files_that_are_no_images_stop_or_are_left_out(study: Path, run: Path, tmp_path: Path) -> None:
    root = tmp_path / "dusk" / "cat"
    root.mkdir(parents=True)
    image(900).save(root / "fine.png")
    (root / "empty.png").write_bytes(b"")
    shifts: dict[str, Shift] = {"dusk": Folder(str(tmp_path / "dusk"))}
    with pytest.raises(UserError, match="1 file is not a whole image"):
        prepared(study, run, shifts)
    sets, _ = prepared(study, run, shifts, on_bad_image="skip")
    assert [sample.path.name for sample in sets[0].samples] == ["fine.png"]
    (root / "fine.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"shift.dusk: no whole image is left"):
        prepared(study, run, shifts, on_bad_image="skip")


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (
            Corruptions("torchvision.transforms.v2.GaussianBlur", {"1": {"kernel_size": 4}}),
            r"mine-1: torchvision.transforms.v2.GaussianBlur\(kernel_size=4\): ValueError: ",
        ),
        (Corruptions("torchvision.transforms.v2.Grayscale", {"1": {}}), r"mine-1: Grayscale returned \(1, 32, 32\)"),
        (Corruptions("no.such.Transform", {"1": {}}), r"mine-1: no.such.Transform\(\): ModuleNotFoundError"),
    ],
)
def test_corruptions_are_tried_before_anything_is_trained(study: Path, run: Path, shift: Shift, said: str) -> None:
    with pytest.raises(UserError, match=said):
        judge(study, run, {"mine": shift, "same": SAME})
    assert not (run / layout.SHIFTS).exists()


def test_a_run_without_its_checkpoint_says_so(study: Path, run: Path) -> None:
    (run / layout.CHECKPOINT).unlink()
    with pytest.raises(UserError, match=r"There is no .*best.ckpt to judge on further test sets: .*shift=none"):
        judge(study, run, {"same": SAME})


def test_a_set_that_changed_under_its_name_is_refused_with_the_way_out(study: Path, run: Path) -> None:
    judge(study, run, {"noise": NOISE})
    real = build.read_real(given(study)["dataset"], study).real
    reserved = shift_sets.held_out_images(given(study), KEY.dataset, KEY.generator, Painter())
    stronger = Corruptions(NOISE.transform, {"1": {"sigma": 0.1}, "5": {"sigma": 0.5}}, "float32")
    sets, problems = shift_sets.list_sets({"noise": stronger}, real, reserved)
    assert problems == []
    folder = layout.shift_folder(run, "noise-5")
    (problem,) = shift_sets.describe_changes(run, sets)
    assert str(folder) in problem
    assert problem.splitlines()[1:-1] == ["    arguments: {'sigma': 0.4} there, {'sigma': 0.5} now"]
    assert shift_sets.describe_changes(run, shift_sets.list_sets({"noise": NOISE}, real, reserved)[0]) == []
    assert shift_sets.describe_changes(run, shift_sets.list_sets({"other": stronger}, real, reserved)[0]) == []


def test_listing_makes_nothing_and_tells_all_problems(study: Path, tmp_path: Path) -> None:
    real = build.read_real(given(study)["dataset"], study).real
    shifts: dict[str, Shift] = {"a": Folder(str(tmp_path / "a")), "b": Synthetic(2), "c": SAME}
    sets, problems = shift_sets.list_sets(shifts, real, UserError("there is no generator"))
    assert [one.name for one in sets] == ["c-0"]
    assert len(problems) == 2
    assert problems[1] == "there is no generator"
    used = given(study) | {"output_dir": str(tmp_path)}
    images = shift_sets.held_out_images(used, KEY.dataset, KEY.generator, Painter())
    assert shift_sets.list_sets({"b": Synthetic(2)}, real, images)[1] == []
    assert not (tmp_path / "held_out").exists()


@pytest.mark.slow
def test_two_processes_judge_every_image_once(study: Path, run: Path) -> None:
    judge(study, run, {"noise": NOISE}, devices=2, strategy="ddp_spawn")
    there: Sequence[str] = answers(run, "noise-1").paths
    assert len(set(there)) == len(there) == 12
    assert (facts(run, "noise-1")["machine"]["processes"], facts(run, "noise-5")["n"]) == (2, 12)

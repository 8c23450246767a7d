"""A finished run on shift sets: the same network, the same images for every run, and never twice."""

import shutil
from collections.abc import Callable
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
from synthaug.runs.prediction_files import Predictions
from synthaug.training import evaluation, lightning_rules, provenance
from tests.factories.commands import KEY, SET, Painter, settings, train
from tests.factories.images import image, write_dataset

SAME = Corruptions("torchvision.transforms.v2.Identity", {"0": {}})
NOISE = Corruptions("torchvision.transforms.v2.GaussianNoise", {"1": {"sigma": 0.1}, "5": {"sigma": 0.4}}, "float32")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and in `run` a finished run."""
    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "photos", train=8, val=5, test=6, size=(32, 32))
    train(folder / "run", run_settings(folder))
    return folder


def run_settings(study: Path) -> dict[str, Any]:
    configured = settings(study / "photos", study)
    configured["dataset"] |= {"crop_pct": 1.0, "augment": {"scale": [1.0, 1.0]}}
    return configured


@pytest.fixture
def run(study: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(study / "run", tmp_path / "run"))


def prepared(study: Path, run: Path, shifts: dict[str, Shift], **dataset: Any) -> tuple[list[ShiftSet], Any]:
    """The sets still to be evaluated on, and the dataset."""
    used = run_settings(study)
    used["dataset"] |= dataset
    data = build.read_real(used["dataset"], study)
    images = shift_sets.held_out_images(used, KEY.dataset, SET, Painter())
    trained = [(row.sha256, row.file) for row in contents.read_mix(run)]
    held_out = shift_sets.held_out_source(images, data.real, data.store)
    return shift_sets.prepare_sets(run, shifts, used["dataset"], data.real, data.store, trained, held_out), data


def evaluate(study: Path, run: Path, shifts: dict[str, Shift], workers: int = 0, **trainer: Any) -> list[str]:
    """Names of the sets that the run was evaluated on."""
    lightning_rules.quiet_libraries()
    sets, data = prepared(study, run, shifts)
    used = run_settings(study) | {"num_workers": workers}
    evaluation.check_corruptions(sets, used, data.store)
    plain = {"accelerator": "cpu", "devices": 1}
    evaluation.evaluate(
        "real-seed0",
        run,
        used,
        sets,
        data.real.classes,
        data.store,
        make_model=lambda **arguments: Classifier(**used["model"], **arguments),
        make_trainer=lambda **arguments: lightning.Trainer(**{**plain, **used["trainer"], **arguments, **trainer}),
    )
    return [shift_set.name for shift_set in sets]


def predictions(run: Path, name: str) -> Predictions:
    return contents.read_predictions(layout.shift_folder(run, name))


def result_of(run: Path, name: str) -> dict[str, Any]:
    return read_json(layout.shift_folder(run, name) / layout.RESULT)


def test_unchanged_test_images_are_predicted_as_before(study: Path, run: Path) -> None:
    evaluate(study, run, {"same": SAME})
    before, after = contents.read_predictions(run), predictions(run, "same-0")
    assert after.paths == before.paths
    assert np.array_equal(after.clusters, before.clusters)
    # Rounded to 8 bits once more, after images of 32 pixels were shown with 32.
    assert np.abs(after.probabilities - before.probabilities).max() < 1e-3
    test, result = read_json(run / layout.RESULT)["test"], result_of(run, "same-0")
    assert result["accuracy"] == pytest.approx(test["accuracy"])
    for name in ("macro_f1", "calibration_error"):
        assert result[name] == pytest.approx(test[name], abs=1e-3)
    assert result["class_accuracy"] == pytest.approx(test["class_accuracy"])
    assert (result["paired_with"], result["origin"], result["n"], result["name"]) == ("test", "real", 12, "same-0")


def test_all_sets_share_one_trainer_one_checkpoint_and_one_look_at_the_versions(
    study: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"Trainer": 0, "load": 0, "versions": 0}

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            calls[name] += 1
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(lightning, "Trainer", counting("Trainer", lightning.Trainer))
    monkeypatch.setattr(torch, "load", counting("load", torch.load))
    monkeypatch.setattr(provenance, "versions", counting("versions", provenance.versions))
    assert evaluate(study, run, {"noise": NOISE, "same": SAME}) == ["noise-1", "noise-5", "same-0"]
    assert calls == {"Trainer": 1, "load": 1, "versions": 1}
    assert result_of(run, "noise-1")["versions"] == result_of(run, "same-0")["versions"] != {}


def test_a_set_is_predicted_alike_alone_and_after_others(study: Path, run: Path, tmp_path: Path) -> None:
    evaluate(study, run, {"noise": NOISE, "same": SAME})
    alone = Path(shutil.copytree(study / "run", tmp_path / "alone"))
    evaluate(study, alone, {"same": SAME})
    files = [layout.shift_folder(folder, "same-0") / layout.PREDICTIONS for folder in (run, alone)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_no_set_is_evaluated_on_twice(study: Path, run: Path) -> None:
    assert evaluate(study, run, {"noise": NOISE}) == ["noise-1", "noise-5"]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    assert shift_sets.pending(run, {"noise": NOISE}) == {}
    assert evaluate(study, run, {"noise": NOISE, "same": SAME}) == ["same-0"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (layout.shift_folder(run, "noise-5") / layout.RESULT).unlink()
    assert evaluate(study, run, {"noise": NOISE}) == ["noise-5"], "the other severity stands"


def test_every_run_gets_the_same_images_in_whatever_batches(study: Path, run: Path, tmp_path: Path) -> None:
    evaluate(study, run, {"noise": NOISE})
    second_run = Path(shutil.copytree(study / "run", tmp_path / "second"))
    evaluate(study, second_run, {"noise": NOISE}, workers=2)
    for name in ("noise-1", "noise-5"):
        assert result_of(run, name)["digest"] == result_of(second_run, name)["digest"]
        first, second = (layout.shift_folder(folder, name) / layout.PREDICTIONS for folder in (run, second_run))
        assert first.read_bytes() == second.read_bytes()
    assert result_of(run, "noise-1")["digest"] != result_of(run, "noise-5")["digest"]
    assert not np.array_equal(predictions(run, "noise-5").probabilities, contents.read_predictions(run).probabilities)


def test_a_folder_of_some_classes_has_no_number_for_the_others(study: Path, run: Path, tmp_path: Path) -> None:
    root = tmp_path / "dusk" / "dog"
    root.mkdir(parents=True)
    for number in range(3):
        image(900 + number).save(root / f"{number}.png")
    evaluate(study, run, {"dusk": Folder(str(root.parent))})
    result = result_of(run, "dusk")
    accuracy = float((predictions(run, "dusk").predicted == 1).mean())
    assert result["class_accuracy"] == {"cat": None, "dog": pytest.approx(accuracy)}
    assert result["accuracy"] == pytest.approx(accuracy)
    assert result["macro_f1"] == pytest.approx(2 * accuracy / (1 + accuracy), abs=1e-6), "of its only class"
    assert (result["n"], result["paired_with"]) == (3, None)


def test_the_numbers_are_those_of_the_predictions(study: Path, run: Path) -> None:
    evaluate(study, run, {"noise": NOISE})
    result, predicted = result_of(run, "noise-5"), predictions(run, "noise-5")
    assert result["accuracy"] == pytest.approx((predicted.predicted == predicted.labels).mean())
    assert result["confidence"] == pytest.approx(predicted.probabilities.max(axis=1).mean())
    error = multiclass_calibration_error(
        torch.from_numpy(predicted.probabilities), torch.from_numpy(predicted.labels), num_classes=2, n_bins=15
    )
    assert result["calibration_error"] == pytest.approx(float(error), abs=1e-6)


def test_synthetic_images_are_made_once_for_all_runs_and_are_none_of_the_arms(study: Path, run: Path) -> None:
    shifts: dict[str, Shift] = {"synthetic": Synthetic(per_class=3)}
    assert evaluate(study, run, shifts) == ["synthetic"]
    folder = study / "held_out" / KEY.dataset / SET
    held_out = {path: path.read_bytes() for path in folder.glob("*/*.png")}
    assert len(held_out) == 6
    trained_on = {path.read_bytes() for path in (study / "synthetic").rglob("*.png")}
    assert trained_on
    assert not trained_on & set(held_out.values())
    assert result_of(run, "synthetic")["origin"] == "synthetic"
    (layout.shift_folder(run, "synthetic") / layout.RESULT).unlink()
    sets, _ = prepared(study, run, {"synthetic": Synthetic(per_class=2)})
    assert [sample.path for sample in sets[0].samples] == [
        folder / name / f"{n:06d}.png" for name in ("cat", "dog") for n in (0, 1)
    ], "the first ones, though there are more"


def test_a_pool_holds_nothing_out(study: Path) -> None:
    with pytest.raises(UserError) as error:
        shift_sets.held_out_images(run_settings(study), KEY.dataset, SET, FolderGenerator("pool"))
    assert all(text in str(error.value) for text in ("shift=synthetic", "generator.root=pool", "shift=folder"))


def test_an_image_of_the_training_set_is_refused_before_any_evaluation(study: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "dusk" / "cat").mkdir(parents=True)
    trained_on = study / "photos" / "train" / "cat" / "000.png"
    Image.open(trained_on).save(tmp_path / "dusk" / "cat" / "copy.bmp")
    with pytest.raises(UserError, match=r"shift.dusk.*\n.*copy.bmp.*train.*000.png"):
        evaluate(study, run, {"dusk": Folder(str(tmp_path / "dusk"))})
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
    with pytest.raises(UserError, match=r"shift\.dusk"):
        prepared(study, run, shifts, on_bad_image="skip")


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (
            Corruptions("torchvision.transforms.v2.GaussianBlur", {"1": {"kernel_size": 4}}),
            r"mine-1: torchvision.transforms.v2.GaussianBlur\(kernel_size=4\): ValueError: ",
        ),
        (Corruptions("torchvision.transforms.v2.Grayscale", {"1": {}}), r"mine-1: Grayscale returned \(1, 32, 32\)"),
        (Corruptions("no.such.Transform", {"1": {}}), r"mine-1: no.such.Transform\(\): ModuleNotFoundError"),
    ],
)
def test_corruptions_are_tried_before_anything_is_trained(study: Path, run: Path, shift: Shift, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(study, run, {"mine": shift, "same": SAME})
    assert not (run / layout.SHIFTS).exists()


def test_a_run_without_its_checkpoint_says_so(study: Path, run: Path) -> None:
    (run / layout.CHECKPOINT).unlink()
    with pytest.raises(UserError, match=r"best\.ckpt.*shift=none"):
        evaluate(study, run, {"same": SAME})


def test_a_checkpoint_that_is_not_the_one_of_the_run_is_not_evaluated(study: Path, run: Path) -> None:
    content = bytearray((run / layout.CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 1
    (run / layout.CHECKPOINT).write_bytes(content)
    with pytest.raises(UserError, match=r"best\.ckpt is damaged"):
        evaluate(study, run, {"same": SAME})


def test_a_set_that_changed_under_its_name_is_refused(study: Path, run: Path) -> None:
    evaluate(study, run, {"noise": NOISE})
    real = build.read_real(run_settings(study)["dataset"], study).real
    reserved = shift_sets.held_out_images(run_settings(study), KEY.dataset, SET, Painter())
    stronger = Corruptions(NOISE.transform, {"1": {"sigma": 0.1}, "5": {"sigma": 0.5}}, "float32")
    sets, problems = shift_sets.list_sets({"noise": stronger}, real, reserved)
    assert problems == []
    folder = layout.shift_folder(run, "noise-5")
    (problem,) = shift_sets.describe_changes(run, sets)
    assert all(text in problem for text in (str(folder), "'sigma': 0.4", "'sigma': 0.5"))
    assert shift_sets.describe_changes(run, shift_sets.list_sets({"noise": NOISE}, real, reserved)[0]) == []
    assert shift_sets.describe_changes(run, shift_sets.list_sets({"other": stronger}, real, reserved)[0]) == []


def test_listing_makes_nothing_and_tells_all_problems(study: Path, tmp_path: Path) -> None:
    real = build.read_real(run_settings(study)["dataset"], study).real
    shifts: dict[str, Shift] = {"a": Folder(str(tmp_path / "a")), "b": Synthetic(2), "c": SAME}
    sets, problems = shift_sets.list_sets(shifts, real, UserError("there is no generator"))
    assert [shift_set.name for shift_set in sets] == ["c-0"]
    assert len(problems) == 2
    assert problems[1] == "there is no generator"
    used = run_settings(study) | {"output_dir": str(tmp_path)}
    images = shift_sets.held_out_images(used, KEY.dataset, SET, Painter())
    assert shift_sets.list_sets({"b": Synthetic(2)}, real, images)[1] == []
    assert not (tmp_path / "held_out").exists()


@pytest.mark.slow
def test_two_processes_predict_every_image_once(study: Path, run: Path) -> None:
    evaluate(study, run, {"noise": NOISE}, devices=2, strategy="ddp_spawn")
    paths = predictions(run, "noise-1").paths
    assert len(set(paths)) == len(paths) == 12
    assert (result_of(run, "noise-1")["machine"]["processes"], result_of(run, "noise-5")["n"]) == (2, 12)

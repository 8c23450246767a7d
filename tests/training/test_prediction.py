"""New photographs: classified as the run classified its test images, whatever their number, format and folder."""

import csv
import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthaug import predict
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.models import checkpoints
from synthaug.models.classifier import Classifier
from synthaug.runs import contents, discovery, layout
from synthaug.training import prediction
from tests.factories.commands import settings, train
from tests.factories.images import image, write_dataset

CLASSES = ("owl", "cat")  # their order in the run is that of their folders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, beside its photographs."""
    folder = tmp_path_factory.mktemp("predict")
    root = write_dataset(folder / "photos", CLASSES, train=6, val=3, test=5, size=(50, 40))
    run_settings = settings(root, folder)
    run_settings["trainer"] |= {"max_epochs": 2}
    train(folder / "run", run_settings)
    return folder / "run"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def photographs(folder: Path, count: int = 3) -> Path:
    for number in range(count):
        path = folder / f"day{number}" / f"{number}.png"
        path.parent.mkdir(parents=True)
        image(100 + number).save(path)
    return folder


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_test_images_are_classified_as_in_the_test(run: Path, tmp_path: Path, batch_size: int) -> None:
    file = tmp_path / "deep" / "out.csv"
    test = run.parent / "photos" / "test"
    assert predict.main([str(run), str(test), "-o", str(file), "--batch-size", str(batch_size)]) == 0
    expected = contents.read_predictions(run)
    predicted = rows(file)
    assert [row["path"] for row in predicted] == expected.paths
    assert [row["predicted"] for row in predicted] == [expected.classes[label] for label in expected.predicted]
    values = np.array([[float(row[f"p:{name}"]) for name in expected.classes] for row in predicted])
    np.testing.assert_allclose(values, expected.probabilities, atol=1e-5)
    assert [float(row["confidence"]) for row in predicted] == values.max(axis=1).tolist()
    assert list(predicted[0]) == ["path", "predicted", "confidence", "p:cat", "p:owl"]


def test_images_are_found_in_all_folders_and_the_file_lies_where_one_works(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs(tmp_path / "new")
    (tmp_path / "new" / ".hidden").mkdir()
    image(9).save(tmp_path / "new" / ".hidden" / "copy.png")
    monkeypatch.chdir(tmp_path)
    assert predict.main([str(run), "new"]) == 0
    file = Path("new-55-seed0.csv")
    assert [row["path"] for row in rows(file)] == [f"new/day{number}/{number}.png" for number in range(3)]
    assert str(file) in capsys.readouterr().out
    monkeypatch.chdir("new")
    for _ in range(2):  # its own file is not an image
        assert predict.main([str(run), "."]) == 0
    assert len(rows(file)) == 3


def test_a_checkpoint_is_enough(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = photographs(tmp_path / "new")
    (tmp_path / "model.ckpt").write_bytes((run / layout.CHECKPOINT).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert predict.main([str(run), str(new), "-o", "by_run.csv"]) == 0
    assert predict.main(["model.ckpt", str(new)]) == 0
    assert rows(Path("new-model.csv")) == rows(Path("by_run.csv"))


def test_unreadable_files_are_named_together_and_can_be_left_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = photographs(tmp_path / "new")
    (new / "notes.txt").write_text("no image", encoding="utf-8")
    whole = (new / "day0" / "0.png").read_bytes()
    (new / "day1" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (new / "day1" / "loop.png").symlink_to(new / "day1" / "loop.png")
    file = tmp_path / "out.csv"
    arguments = [str(run), str(new), "-o", str(file), "--batch-size", "2"]
    assert predict.main(arguments) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("notes.txt", "cut.png", "loop.png", "--skip-unreadable"))
    assert not file.exists()
    assert predict.main([*arguments, "--skip-unreadable"]) == 0
    assert [Path(row["path"]).name for row in rows(file)] == ["0.png", "1.png", "2.png"]
    assert "cut.png" in capsys.readouterr().err
    for path in new.rglob("*.png"):
        path.unlink()
    assert predict.main([*arguments, "--skip-unreadable"]) == 2  # nothing is left


def test_every_mistake_is_named_at_once_without_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_classify", None)
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / "no run"), str(tmp_path / "empty"), "-o", str(tmp_path), "--batch-size", "0"]
    assert predict.main(arguments) == 2
    error = capsys.readouterr().err
    for part in ("no run is not a folder", "empty has no images", f"--output {tmp_path} is a folder", "--batch-size 0"):
        assert part in error


def test_runs_without_a_checkpoint_say_what_to_do(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def error_of(folder: Path) -> str:
        assert predict.main([str(folder), str(photos)]) == 2
        return capsys.readouterr().err

    photos = photographs(tmp_path / "new", 1)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / layout.CONFIG).write_text("seed: 0\n")
    assert "run the same command again" in error_of(begun)
    write_json(begun / layout.FAILED, {"error": "out of memory"})
    assert "out of memory" in error_of(begun)
    (begun / layout.RESULT).write_bytes((run / layout.RESULT).read_bytes())
    assert "best.ckpt to classify with: it was removed" in error_of(begun)
    (begun / layout.CHECKPOINT).write_bytes(b"PK no checkpoint")
    assert "or of another run" in error_of(begun)
    recorded = read_json(begun / layout.RESULT)
    write_json(begun / layout.RESULT, recorded | {"files": {}})
    assert "it is damaged" in error_of(begun)
    content = bytearray((run / layout.CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 1
    (begun / layout.CHECKPOINT).write_bytes(content)
    assert "it is damaged" in error_of(begun)
    weights = torch.load(run / layout.CHECKPOINT, weights_only=True)
    del weights["hyper_parameters"]
    torch.save(weights, begun / layout.CHECKPOINT)
    assert "an earlier version wrote it" in error_of(begun)
    assert str(begun) in error_of(tmp_path)  # a folder with runs in it


def test_a_file_that_cannot_be_written_is_named_before_anything_is_classified(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_classify", None)
    output = photographs(tmp_path / "new", 1) / "a" / "b.csv"
    output.parent.write_text("a file")
    assert predict.main([str(run), str(tmp_path / "new"), "-o", str(output)]) == 1
    assert str(output.parent) in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(discovery, "load_run", refuse)  # root may read everything
    assert predict.main([str(tmp_path / "run"), str(photographs(tmp_path / "new", 1))]) == 2
    assert str(tmp_path / "run") in capsys.readouterr().err


def test_an_unknown_device_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="--device quantum"):
        checkpoints.load_classifier(run / layout.CHECKPOINT, "quantum")


def test_ctrl_c_writes_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction, "classify", interrupt)
    with pytest.raises(SystemExit) as ended:
        predict.main([str(run), str(photographs(tmp_path / "new", 1)), "-o", str(tmp_path / "out.csv")])
    assert ended.value.code == 130
    assert not (tmp_path / "out.csv").exists()


def test_the_class_of_the_users_own_model_is_that_of_the_run(run: Path) -> None:
    loaded = checkpoints.load_classifier(run / layout.CHECKPOINT, "cpu", f"{__name__}.Confident")
    assert isinstance(loaded, Confident)


class Confident(Classifier):
    """A model of the user's own."""

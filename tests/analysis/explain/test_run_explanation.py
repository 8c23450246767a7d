"""From a run's numbers back to its images, on runs made up for it; and everything that can be wrong with a run."""

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from synthaug.analysis.explain import run_explanation
from synthaug.analysis.text import explain_text
from synthaug.analysis.text.document import Block, print_document
from synthaug.data.samples import REAL, SYNTHETIC, Sample, digest
from synthaug.errors import UserError
from synthaug.files import read_json, sha256, write_json, write_rows
from synthaug.generation.synthetic_set import MANIFEST, ManifestRow
from synthaug.report.__main__ import main
from synthaug.runs import contents, layout
from synthaug.runs.contents import MixRow, Predictions
from tests.factories.commands import Commands
from tests.factories.images import image
from tests.factories.studies import MadeUp, make_study

CLASSES = ("cat", "dog")
ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6)}
MADE_UP = MadeUp(arms=ARMS, seeds=(0, 1), classes=CLASSES, n_test=40, n_train=20, generator="painter")


def made_study(folder: Path) -> Path:
    """A study whose arm 64 has 4 real and 6 synthetic images of each class, the latter in a set with a manifest."""
    study = make_study(folder / "outputs" / "made_up", MADE_UP)
    rows = [*_write(folder, REAL, 4), *_write(folder, SYNTHETIC, 6)]
    for seed in (0, 1):
        run = run_folder(study, seed)
        contents.write_mix(run, rows)
        _record(run, rows)
    return study


def run_folder(study: Path, seed: int = 0, arm: str = "64") -> Path:
    return study / "digits" / "painter" / "resnet18" / arm / f"seed{seed}"


def _write(folder: Path, origin: str, count: int) -> list[MixRow]:
    rows, made = [], []
    for label, name in enumerate(CLASSES):
        for index in range(count):
            path = folder / origin / name / f"{index:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image(100 * label + index + 1000 * (origin == REAL)).save(path)
            rows.append(MixRow(str(path), name, origin, sha256(path)))
            made.append(_manifest_row(name, index, rows[-1].sha256))
    if origin == SYNTHETIC:
        names = [field.name for field in dataclasses.fields(ManifestRow)]
        write_rows(folder / origin / MANIFEST, names, map(dataclasses.astuple, made))
    return rows


def _manifest_row(name: str, index: int, digest: str) -> ManifestRow:
    prompt = f"a {name} on a sofa" if index % 2 else f"a {name} in the snow"
    seed = 7000 + 10 * CLASSES.index(name) + index
    origin = ("sd15", "c0ffee", "DDIM", "30", "7.5", "0.38", "5.0", "2.6", "3.11", "", "", "")
    return ManifestRow(name, index, "", digest, prompt, "blurry", seed, *origin)


def _record(run: Path, rows: list[MixRow]) -> None:
    """Make `result.json` tell of these training images."""
    result = read_json(run / layout.RESULT)
    samples = [Sample(Path(row.path), 0, row.label, row.origin, row.sha256) for row in rows]
    result["counts"]["per_class"] = {name: {"real": 4, "synthetic": 6} for name in CLASSES}
    result["data"] |= {"train": digest(samples), "synthetic": digest([s for s in samples if s.origin == SYNTHETIC])}
    counted = run_explanation.count(contents.read_predictions(run))
    result["test"]["macro_f1"] = counted.macro_f1
    history = contents.read_history(run)["val/accuracy"]
    result["val"] = {"accuracy": max(history), "epoch": history.index(max(history))}
    write_json(run / layout.RESULT, result)


def change_result(run: Path, part: str, **values: object) -> None:
    result = read_json(run / layout.RESULT)
    result[part] |= values
    write_json(run / layout.RESULT, result)


def said(blocks: list[Block]) -> str:
    stream = io.StringIO()
    print_document(blocks, Console(file=stream, width=400))
    return " ".join(stream.getvalue().split())


def explained(run: Path, every: bool = False) -> str:
    return said(explain_text.document(run_explanation.explain(run), every))


# --- counting ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_counts_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    counted = run_explanation.count(predictions(pairs))
    labels, predicted = zip(*pairs, strict=True)
    assert counted.right == sum(label == guess for label, guess in pairs)
    assert counted.accuracy.value == pytest.approx(accuracy_score(labels, predicted))
    # Without a list of labels scikit-learn takes the classes that occur.
    assert counted.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert sum(item.n_test for item in counted.classes) == sum(item.named for item in counted.classes) == len(pairs)
    assert sum(images for _, _, images in counted.confusions) == len(pairs) - counted.right


def predictions(pairs: list[tuple[int, int]]) -> Predictions:
    import numpy as np

    names = ["a", "b", "c", "d"]
    labels, predicted = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    probabilities = np.eye(4)[predicted]
    return Predictions([f"{row}.png" for row in range(len(pairs))], labels, predicted, probabilities, names)


def test_a_class_that_is_neither_tested_nor_named_has_no_f1() -> None:
    counted = run_explanation.count(predictions([(0, 0), (1, 0)]))
    assert [item.f1 is None for item in counted.classes] == [False, False, True, True]


# --- a whole run -------------------------------------------------------------------------------------


def test_a_run_is_explained_down_to_the_seed_of_an_image(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    explanation = run_explanation.explain(run)
    assert explanation.problems == ()
    counted = explanation.counted
    assert counted is not None
    text = explained(run)
    assert "64, seed 0, of the study made_up" in text
    assert f"{counted.right} of 40 test images are right, counted in predictions.csv" in text
    assert "The mix: 8 real + 12 synthetic images" in text
    assert "cat 4 6 dog 4 6 all 8 12" in text
    assert "All 20 files are there and have the bytes that were trained on." in text
    assert "sd15 c0ffee DDIM 30 7.5 12" in text
    assert "12 seeds and 4 prompts with the images of each:" in text
    assert "'a cat in the snow', not 'blurry': 3" in text
    assert "cat/000001.png cat a cat on a sofa 7001 the same" in text
    assert "cat/000003.png" not in text
    assert "cat/000005.png cat a cat on a sofa 7005 the same" in explained(run, every=True)
    assert "model: name=resnet18, lr=0.001" in text
    assert "cpu=A CPU <2.5 GHz>" in text


def test_a_run_without_mistakes_and_without_synthetic_images(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path), arm="real")
    whole = contents.read_predictions(run)
    contents.write_predictions(run, dataclasses.replace(whole, predicted=whole.labels))
    text = explained(run)
    assert "Mistakes There are none." in text
    assert "How the synthetic images were made" not in text


def test_many_classes_are_limited_and_said(tmp_path: Path) -> None:
    content = dataclasses.replace(MADE_UP, classes=[f"class {index:02d}" for index in range(60)], n_test=120)
    study = make_study(tmp_path / "study", content)
    assert "The 50 classes of least F1:" in explained(run_folder(study))


@pytest.mark.parametrize(
    ("part", "values", "problem"),
    [
        ("test", {"accuracy": 0.5}, "result.json says accuracy 0.5000, predictions.csv gives"),
        ("test", {"macro_f1": 0.25}, "result.json says macro_f1 0.2500, predictions.csv gives"),
        ("counts", {"test": 41}, "result.json counts 41 test images, predictions.csv 40."),
        ("val", {"epoch": 0}, "result.json says that epoch 1 was tested, the best in history.csv is epoch"),
        (
            "counts",
            {"per_class": {"cat": {"real": 4, "synthetic": 5}}},
            "mix.csv has 6 synthetic images of cat, result.json 5.",
        ),
        ("data", {"train": "0" * 64}, "result.json says 000000000000: one of them was changed"),
        ("data", {"synthetic": "1" * 64}, "The synthetic images in mix.csv have the digest"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, part: str, values: dict[str, object], problem: str) -> None:
    run = run_folder(made_study(tmp_path))
    change_result(run, part, **values)
    (found,) = run_explanation.explain(run).problems
    assert problem in found
    assert found in explained(run)


@pytest.mark.parametrize("name", [layout.PREDICTIONS, layout.HISTORY, layout.MIX])
def test_files_that_are_gone_leave_the_rest(tmp_path: Path, name: str) -> None:
    run = run_folder(made_study(tmp_path))
    (run / name).unlink()
    (problem,) = run_explanation.explain(run).problems
    assert problem.startswith(f"{name} cannot be read (FileNotFoundError")
    assert "Settings" in explained(run)


def test_the_first_epoch_that_may_be_chosen_follows_pretraining(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    result = read_json(run / layout.RESULT)
    result["settings"]["model"]["pretrain_epochs"] = 2
    write_json(run / layout.RESULT, result)
    assert run_explanation.explain(run).problems == ()
    assert "The first 2 epochs trained on synthetic images alone and could not be chosen." in explained(run)


def test_images_that_are_gone_or_changed_are_named(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    (tmp_path / "real/cat/000000.png").unlink()
    image(1).save(tmp_path / "synthetic/dog/000002.png")
    text = explained(run)
    assert "1 of 20 files is gone; 1 of 20 files is there with other bytes than were trained on." in text
    assert f"gone: {tmp_path}/real/cat/000000.png" in text
    assert f"changed: {tmp_path}/synthetic/dog/000002.png" in text


def test_an_image_that_was_made_anew_is_not_the_one_that_was_trained_on(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    rows = contents.read_mix(run)
    index = next(index for index, row in enumerate(rows) if row.origin == SYNTHETIC)
    rows[index] = dataclasses.replace(rows[index], sha256="0" * 64)
    contents.write_mix(run, rows)
    _record(run, rows)
    assert "How 1 image was made is not known: no manifest.csv" in explained(run)


def test_a_pool_made_elsewhere_says_what_is_not_known(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    (tmp_path / "synthetic" / MANIFEST).unlink()
    result = read_json(run / layout.RESULT)
    result["settings"]["generator"] = {"name": "folder", "root": "pool"}
    write_json(run / layout.RESULT, result)
    text = explained(run)
    assert "12 images come from the folder generator.root=pool, made elsewhere" in text
    assert "cat/000000.png cat - - the same" in text


def test_a_damaged_manifest_is_a_problem_by_name(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    (tmp_path / "synthetic" / MANIFEST).write_text("nothing\n", encoding="utf-8")
    (problem,) = run_explanation.explain(run).problems
    assert "manifest.csv is damaged" in problem


def test_images_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = made_study(Path())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = explained(run_folder(tmp_path / study))
    assert "All 20 files are there" in text
    assert "sd15" in text


# --- one image ---------------------------------------------------------------------------------------


def test_what_every_run_said_of_a_test_image(tmp_path: Path) -> None:
    story = run_explanation.find_image(run_folder(made_study(tmp_path)), "test/1/3.png")
    assert [(key.arm, key.seed) for key, _ in story.said] == [("real", 0), ("real", 1), ("64", 0), ("64", 1)]
    text = said(explain_text.story(story))
    right = sum(answer.right for _, answer in story.said)
    assert f"Its class is dog. {right} of 4 runs of the study got it right." in text


def test_where_a_training_image_came_from(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    text = said(explain_text.story(run_explanation.find_image(run_folder(study), "synthetic/dog/000003.png")))
    assert "prompt a dog on a sofa" in text
    assert "seed 7013" in text
    assert "model sd15" in text
    assert text.endswith("64 0 1")
    text = said(explain_text.story(run_explanation.find_image(run_folder(study), "real/dog/000003.png")))
    assert "origin real" in text
    assert "prompt" not in text


def test_an_image_of_a_pool_has_no_known_maker(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    (tmp_path / "synthetic" / MANIFEST).unlink()
    text = said(explain_text.story(run_explanation.find_image(run_folder(study), "synthetic/dog/000003.png")))
    assert "made by not known: no manifest.csv lists it" in text


@pytest.mark.parametrize(
    ("part", "problem"), [("nowhere", "has 'nowhere' in its path; they are called like"), ("dog/", "give more of it")]
)
def test_no_image_or_several(tmp_path: Path, part: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        run_explanation.find_image(run_folder(made_study(tmp_path)), part)


def test_an_image_of_a_run_without_its_lists(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    (run / layout.MIX).unlink()
    with pytest.raises(UserError, match=r"predictions\.csv or mix\.csv cannot be read"):
        run_explanation.find_image(run, "dog")


# --- the command -------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(made_study(tmp_path))
    table = tmp_path / "images.csv"
    assert main(["explain", str(run), "--csv", str(table), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### 64, seed 0, of the study made")
    with table.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 20
    assert {row["seed"] for row in rows if row["origin"] == REAL} == {""}
    assert {row["prompt"] for row in rows if row["label"] == "dog" and row["origin"] == SYNTHETIC} == {
        "a dog on a sofa",
        "a dog in the snow",
    }
    assert main(["explain", str(run), "--image", "real/cat/000001.png"]) == 0
    assert "Training image" in capsys.readouterr().out
    change_result(run, "test", accuracy=0.5)
    assert main(["explain", str(run)]) == 1
    assert "What does not fit together" in capsys.readouterr().out


def test_no_list_is_written_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(made_study(tmp_path))
    (run / layout.MIX).unlink()
    assert main(["explain", str(run), "--csv", str(tmp_path / "images.csv")]) == 2
    assert "images.csv is not written: mix.csv cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "images.csv").exists()


def test_another_folder_than_a_run_is_told_which_runs_there_are(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    with pytest.raises(UserError, match=r"is a study\. Give one of its runs:\n  - .*64/seed0\n  - "):
        run_explanation.read(study)
    with pytest.raises(UserError, match="is not a run itself"):
        run_explanation.read(study / "digits")
    with pytest.raises(UserError, match="is a study"):
        run_explanation.read(run_folder(study) / ".." / ".." / ".." / ".." / "..")
    with pytest.raises(UserError, match="is no folder"):
        run_explanation.read(study / "nothing")
    with pytest.raises(UserError, match=r"result\.json is a file"):
        run_explanation.read(run_folder(study) / layout.RESULT)
    with pytest.raises(UserError, match="holds no run"):
        run_explanation.read(tmp_path / "real")


def test_runs_without_numbers_say_why(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", dataclasses.replace(MADE_UP, failed=[("real", 0)], unfinished=[("64", 0)]))
    with pytest.raises(UserError, match="failed, so it has no numbers: loss is <nan>"):
        run_explanation.read(run_folder(study, arm="real"))
    with pytest.raises(UserError, match="is not finished, so it has no numbers"):
        run_explanation.read(run_folder(study))


def test_a_result_of_another_version_or_a_damaged_one(tmp_path: Path) -> None:
    run = run_folder(made_study(tmp_path))
    result = read_json(run / layout.RESULT)
    write_json(run / layout.RESULT, result | {"format": 99})
    with pytest.raises(UserError, match=r"has format 99, this version reads 1: use the version .* \(0\.1\.0\)"):
        run_explanation.read(run)
    write_json(run / layout.RESULT, {"format": 1})
    with pytest.raises(UserError, match="is damaged"):
        run_explanation.read(run)


def test_a_run_of_the_program_explains_itself(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    assert commands.run("mix=55") == (0, commands.printed)
    explanation = run_explanation.explain(commands.run_folder("55"))
    assert explanation.problems == ()
    assert [image.made is not None for image in explanation.synthetic] == [True] * 10

"""From a run's numbers back to its images, on made-up runs; and everything that can be wrong with a run."""

import csv
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.analysis.explain import run_explanation
from synthaug.analysis.explain.image_report import find_image
from synthaug.analysis.explain.prediction_counts import count_predictions
from synthaug.analysis.text import explain_text
from synthaug.analysis.text.document import Block, Heading, Points, Rows, markdown
from synthaug.analysis.text.sentences import reason_text
from synthaug.analysis.training_images import CHANGED, GONE, SAME
from synthaug.checked_rows import write_checked_rows
from synthaug.data.samples import REAL, SYNTHETIC, Sample, digest
from synthaug.errors import UserError
from synthaug.files import read_json, sha256, write_json
from synthaug.generation.manifest import MANIFEST, ManifestRow
from synthaug.report.__main__ import main
from synthaug.runs import contents, layout
from synthaug.runs.prediction_files import Predictions
from tests.factories.commands import Commands
from tests.factories.images import image
from tests.factories.studies import MadeUp, make_study

CLASSES = ("cat", "dog")
ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6)}
MADE_UP = MadeUp(arms=ARMS, seeds=(0, 1), classes=CLASSES, n_test=40, n_train=20, generator="diffusion")


def study_with_manifest(folder: Path) -> Path:
    """A study whose arm 64 has 4 real and 6 synthetic images of each class, the latter in a set with a manifest."""
    study = make_study(folder / "outputs" / "made_up", MADE_UP)
    rows = [*_write(folder, REAL, 4), *_write(folder, SYNTHETIC, 6)]
    for seed in (0, 1):
        run = run_folder(study, seed)
        contents.write_mix(run, rows)
        _record(run, rows)
    return study


def run_folder(study: Path, seed: int = 0, arm: str = "64") -> Path:
    return study / "digits" / f"{arm}-diffusion" / f"seed{seed}"


def _write(folder: Path, origin: str, count: int) -> list[Sample]:
    rows, manifest = [], []
    for label, name in enumerate(CLASSES):
        for index in range(count):
            path = folder / origin / name / f"{index:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image(100 * label + index + 1000 * (origin == REAL)).save(path)
            rows.append(Sample(str(path), 0, name, origin, sha256(path)))
            manifest.append(_manifest_row(name, index, rows[-1].sha256))
    if origin == SYNTHETIC:
        names = [field.name for field in dataclasses.fields(ManifestRow)]
        write_checked_rows(folder / origin / MANIFEST, names, map(dataclasses.astuple, manifest))
    return rows


def _manifest_row(name: str, index: int, digest: str) -> ManifestRow:
    prompt = f"a {name} on a sofa" if index % 2 else f"a {name} in the snow"
    seed = 7000 + 10 * CLASSES.index(name) + index
    origin = ("sd15", "c0ffee", "DDIM", "30", "7.5", "0.38", "5.0", "2.6", "3.11", "", "", "")
    return ManifestRow(name, index, "", digest, prompt, "blurry", seed, *origin)


def _record(run: Path, rows: list[Sample]) -> None:
    """Make `result.json` tell of these training images."""
    result = read_json(run / layout.RESULT)
    result["counts"]["per_class"] = {name: {"real": 4, "synthetic": 6} for name in CLASSES}
    result["data"] |= {"train": digest(rows), "synthetic": digest([s for s in rows if s.origin == SYNTHETIC])}
    counts = count_predictions(contents.read_predictions(run))
    result["test"]["macro_f1"] = counts.macro_f1
    history = contents.read_history(run)["val/accuracy"]
    result["val"] |= {"accuracy": max(history), "epoch": history.index(max(history))}
    write_json(run / layout.RESULT, result)


def change_result(run: Path, part: str, **values: object) -> None:
    result = read_json(run / layout.RESULT)
    result[part] |= values
    write_json(run / layout.RESULT, result)


def rows_of(blocks: list[Block], header: str) -> list[list[str]]:
    """The rows of the table whose first header is given."""
    tables = [block for block in blocks if isinstance(block, Rows) and block.headers[0] == header]
    return [list(row) for block in tables for row in block.rows]


# --- counting ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_counts_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    counts = count_predictions(predictions(pairs))
    labels, predicted = zip(*pairs, strict=True)
    assert counts.correct == sum(label == guess for label, guess in pairs)
    assert counts.accuracy.value == pytest.approx(accuracy_score(labels, predicted))
    # Without a list of labels scikit-learn takes the classes that occur.
    assert counts.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert sum(item.n_test for item in counts.classes) == sum(item.n_predicted for item in counts.classes) == len(pairs)
    assert sum(images for _, _, images in counts.confusions) == len(pairs) - counts.correct == len(counts.errors)


def predictions(pairs: list[tuple[int, int]]) -> Predictions:
    import numpy as np

    names = ["a", "b", "c", "d"]
    labels, predicted = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    probabilities = np.eye(4)[predicted]
    return Predictions([f"{row}.png" for row in range(len(pairs))], labels, predicted, probabilities, names, labels)


def test_a_class_that_is_neither_tested_nor_predicted_has_no_f1() -> None:
    counts = count_predictions(predictions([(0, 0), (1, 0)]))
    assert [item.f1 is None for item in counts.classes] == [False, False, True, True]


def test_the_most_confident_errors_come_first() -> None:
    result = predictions([(0, 1), (0, 0), (1, 2)])
    probabilities = result.probabilities.copy()
    probabilities[0] = [0.3, 0.7, 0, 0]
    counts = count_predictions(dataclasses.replace(result, probabilities=probabilities))
    assert [(item.path, item.probability, item.label_probability) for item in counts.errors] == [
        ("2.png", 1.0, 0.0),
        ("0.png", 0.7, 0.3),
    ]
    assert counts.confusions == [("a", "b", 1), ("b", "c", 1)]


# --- a whole run -------------------------------------------------------------------------------------


def test_a_run_is_explained_down_to_the_seed_of_an_image(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    explanation = run_explanation.explain(run)
    assert explanation.problems == ()
    assert explanation.counts is not None
    assert len(explanation.counts.predictions) == 40
    assert [image.state for image in explanation.images or ()] == [SAME] * 20
    assert {image.made.seed for image in explanation.synthetic if image.made} == {
        *range(7000, 7006),
        *range(7010, 7016),
    }
    blocks = explain_text.document(explanation)
    assert [row[:3] for row in rows_of(blocks, "class")[:2]] == [["cat", "4", "6"], ["dog", "4", "6"]]
    assert rows_of(blocks, "image")[-2:] == [
        ["cat/000000.png", "cat", "a cat in the snow", "7000", SAME],
        ["dog/000000.png", "dog", "a dog in the snow", "7010", SAME],
    ]


def test_a_run_without_errors_and_without_synthetic_images(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path), arm="real")
    whole = contents.read_predictions(run)
    contents.write_predictions(run, dataclasses.replace(whole, predicted=whole.labels))
    explanation = run_explanation.explain(run)
    assert explanation.counts is not None
    assert explanation.counts.errors == []
    assert rows_of(explain_text.document(explanation), "image") == []


@pytest.mark.parametrize(
    ("part", "values", "code", "data"),
    [
        ("test", {"accuracy": 0.5}, "other_metric", {"metric": "accuracy", "recorded": 0.5}),
        (
            "test",
            {"class_accuracy": {"cat": 0.01}},
            "other_class_accuracy",
            {"class": "cat", "recorded": 0.01},
        ),
        ("test", {"macro_f1": 0.25}, "other_metric", {"metric": "macro_f1", "recorded": 0.25}),
        ("counts", {"test": 41}, "other_test_count", {"recorded": 41, "counted": 40}),
        ("val", {"epoch": 0}, "other_epoch", {"recorded": 1, "is_last": False}),
        ("val", {"epoch": 2, "n_selection": 0}, "other_epoch", {"recorded": 3, "tested": 8, "is_last": True}),
        ("val", {"accuracy": None}, "other_epoch", {}),
        (
            "counts",
            {"per_class": {"cat": {"real": 4, "synthetic": 5}}},
            "other_image_count",
            {"class": "cat", "origin": "synthetic", "recorded": 5, "counted": 6},
        ),
        ("data", {"train": "0" * 64}, "other_images", {"images": "train", "recorded": "0" * 64}),
        ("data", {"synthetic": "1" * 64}, "other_images", {"images": "synthetic", "recorded": "1" * 64}),
    ],
)
def test_contradictions_are_named(
    tmp_path: Path, part: str, values: dict[str, object], code: str, data: dict[str, object]
) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    change_result(run, part, **values)
    explanation = run_explanation.explain(run)
    (problem,) = explanation.problems
    assert problem.code == code
    assert data.items() <= problem.data.items()
    assert Points([reason_text(problem)]) in explain_text.document(explanation)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (layout.PREDICTIONS, "accuracy_not_counted"),
        (layout.HISTORY, "epoch_not_checked"),
        (layout.MIX, "training_images_unknown"),
    ],
)
def test_files_that_are_gone_leave_the_rest(tmp_path: Path, name: str, code: str) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    (run / name).unlink()
    (problem,) = run_explanation.explain(run).problems
    assert problem.code == code
    assert problem.data["error"].startswith("No such file")
    assert Heading("The checkpoint that was tested") in explain_text.document(run_explanation.explain(run))


def test_the_last_epoch_need_not_be_the_best(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    change_result(run, "val", epoch=7, accuracy=contents.read_history(run)["val/accuracy"][7], n_selection=0)
    assert run_explanation.explain(run).problems == ()


def test_the_first_epoch_that_may_be_chosen_follows_pretraining(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    result = read_json(run / layout.RESULT)
    result["settings"]["model"]["pretrain_epochs"] = 2
    write_json(run / layout.RESULT, result)
    explanation = run_explanation.explain(run)
    assert (explanation.problems, explanation.pretrain_epochs) == ((), 2)
    assert "2 epochs" in markdown(explain_text.document(explanation))
    result["settings"]["model"]["pretrain_epochs"] = 8
    write_json(run / layout.RESULT, result)
    assert run_explanation.explain(run).problems == (), "none is left to compare with"


def test_images_that_are_gone_or_changed_are_named(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    (tmp_path / "real/cat/000000.png").unlink()
    image(1).save(tmp_path / "synthetic/dog/000002.png")
    explanation = run_explanation.explain(run)
    lost = [(image.state, image.row.file) for image in explanation.images or () if image.state != SAME]
    assert sorted(lost) == [
        (CHANGED, f"{tmp_path}/synthetic/dog/000002.png"),
        (GONE, f"{tmp_path}/real/cat/000000.png"),
    ]
    items = Points([f"{state}: {path}" for state, path in lost])
    assert items in explain_text.document(explanation)


def test_an_image_that_was_made_anew_is_not_the_one_that_was_trained_on(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    rows = list(contents.read_mix(run))
    index = next(index for index, row in enumerate(rows) if row.origin == SYNTHETIC)
    rows[index] = rows[index]._replace(sha256="0" * 64)
    contents.write_mix(run, rows)
    _record(run, rows)
    assert [image.made is None for image in run_explanation.explain(run).synthetic] == [True] + [False] * 11


def test_a_pool_made_elsewhere_says_what_is_not_known(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    (tmp_path / "synthetic" / MANIFEST).unlink()
    result = read_json(run / layout.RESULT)
    result["settings"]["generator"] = {"name": "folder", "root": "pool"}
    write_json(run / layout.RESULT, result)
    blocks = explain_text.document(run_explanation.explain(run))
    items = [item for block in blocks if isinstance(block, Points) for item in block.items]
    assert [item.partition(",")[0] for item in items] == ["12 images: provenance unknown"]
    assert ["cat/000000.png", "cat", "-", "-", SAME] in rows_of(blocks, "image")


def test_a_damaged_manifest_is_a_problem_by_name(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    (tmp_path / "synthetic" / MANIFEST).write_text("nothing\n", encoding="utf-8")
    (problem,) = run_explanation.explain(run).problems
    assert problem.code == "damaged_manifest"
    assert "manifest.csv is damaged" in problem.data["error"]


def test_images_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = study_with_manifest(Path())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    explanation = run_explanation.explain(run_folder(tmp_path / study))
    assert {image.state for image in explanation.images or ()} == {SAME}
    assert {image.made.model for image in explanation.synthetic if image.made} == {"sd15"}


# --- one image ---------------------------------------------------------------------------------------


def test_every_runs_prediction_for_a_test_image(tmp_path: Path) -> None:
    report = find_image(run_folder(study_with_manifest(tmp_path)), "test/1/3.png")
    assert [(run.arm, run.key.seed) for run, _ in report.predictions] == [
        ("real", 0),
        ("real", 1),
        ("64", 0),
        ("64", 1),
    ]
    assert {item.label for _, item in report.predictions} == {"dog"}
    assert report.correct == sum(item.predicted == "dog" for _, item in report.predictions)
    assert len(rows_of(explain_text.image_document(report), "arm")) == 4


def test_the_provenance_of_a_training_image(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    report = find_image(run, "synthetic/dog/000003.png")
    assert report.seeds_by_arm == {"64": [0, 1]}
    facts = dict(rows_of(explain_text.image_document(report), ""))
    assert (facts["prompt"], facts["seed"], facts["model"]) == ("a dog on a sofa", "7013", "sd15")
    facts = dict(rows_of(explain_text.image_document(find_image(run, "real/dog/000003.png")), ""))
    assert facts["origin"] == "real"
    assert not {"prompt", "provenance"} & set(facts)


def test_an_image_of_a_pool_has_no_provenance(tmp_path: Path) -> None:
    study = study_with_manifest(tmp_path)
    (tmp_path / "synthetic" / MANIFEST).unlink()
    report = find_image(run_folder(study), "synthetic/dog/000003.png")
    assert report.training is not None
    assert report.training.made is None
    assert dict(rows_of(explain_text.image_document(report), ""))["provenance"].startswith("unknown")


def test_a_moved_folder_is_matched_by_the_ends_of_paths(tmp_path: Path) -> None:
    study = study_with_manifest(tmp_path)
    for seed, prefix in ((0, "elsewhere/"), (1, "")):
        run = run_folder(study, seed)
        old = contents.read_predictions(run)
        contents.write_predictions(run, dataclasses.replace(old, paths=[prefix + path for path in old.paths]))
    report = find_image(run_folder(study, 1), "test/1/3.png")
    assert [(run.arm, run.key.seed) for run, _ in report.predictions] == [
        ("real", 0),
        ("real", 1),
        ("64", 0),
        ("64", 1),
    ]


@pytest.mark.parametrize(("part", "problem"), [("nowhere", "'nowhere'"), ("dog/", "give more of it")])
def test_no_image_or_several(tmp_path: Path, part: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        find_image(run_folder(study_with_manifest(tmp_path)), part)


def test_an_image_of_a_run_without_its_lists(tmp_path: Path) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    (run / layout.MIX).unlink()
    with pytest.raises(UserError, match=r"mix\.csv cannot be read"):
        find_image(run, "dog")


# --- the command -------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    table = tmp_path / "images.csv"
    assert main(["explain", str(run), "--csv", str(table), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### 64, seed 0")
    with table.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 20
    assert {row["seed"] for row in rows if row["origin"] == REAL} == {""}
    assert {row["prompt"] for row in rows if row["label"] == "dog" and row["origin"] == SYNTHETIC} == {
        "a dog on a sofa",
        "a dog in the snow",
    }
    assert main(["explain", str(run), "--image", "real/cat/000001.png"]) == 0
    assert "real/cat/000001.png" in capsys.readouterr().out
    change_result(run, "test", accuracy=0.5)
    assert main(["explain", str(run)]) == 1
    assert "accuracy 0.5000" in capsys.readouterr().out


def test_no_list_is_written_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(study_with_manifest(tmp_path))
    (run / layout.MIX).unlink()
    (run / layout.HISTORY).unlink()
    assert main(["explain", str(run), "--csv", str(tmp_path / "images.csv")]) == 2
    error = capsys.readouterr().err
    assert "mix.csv cannot be read" in error
    assert "history.csv" not in error
    assert not (tmp_path / "images.csv").exists()


def test_a_run_of_the_program_explains_itself(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    assert commands.run("mix=55") == (0, commands.printed)
    explanation = run_explanation.explain(commands.run_folder("55"))
    assert explanation.problems == ()
    assert [image.made is not None for image in explanation.synthetic] == [True] * 10

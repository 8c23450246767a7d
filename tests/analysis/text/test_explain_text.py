"""The wording of an explained run and of the report of one image, with made-up data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.explain.image_report import ImageReport
from synthaug.analysis.explain.prediction_counts import count_predictions
from synthaug.analysis.explain.run_explanation import Explanation
from synthaug.analysis.text.document import Heading, markdown
from synthaug.analysis.text.explain_text import document, image_document
from synthaug.analysis.training_images import CHANGED, GONE, SAME, TrainingImage
from synthaug.data.sample_list import Sample
from synthaug.generation.manifest import ManifestRow
from synthaug.runs.discovery import Run
from synthaug.runs.layout import RunKey
from synthaug.runs.prediction_files import Predictions
from tests.factories.golden import assert_golden

SETTINGS = {"mix.real": 0.4, "mix.synthetic": 0.6, "generator.name": "sd15", "model.name": "resnet18"}
RESULT = {
    "started": "2025-01-01T10:00:00+00:00",
    "finished": "2025-01-01T10:00:41+00:00",
    "test": {"accuracy": 0.75, "macro_f1": 0.733},
    "val": {"accuracy": 0.9, "epoch": 2, "images": 1500, "n_selection": 1500},
    "training": {"epochs": 3, "steps": 1234, "batch_size": 32, "seconds": 41.2},
    "counts": {"val": 1500},
    "settings": {"seed": 3, "model": {"name": "resnet18", "pretrain_epochs": 1, "head": {"dropout": 0.5}}},
    "machine": {"cpu": "A CPU <2.5 GHz>"},
    "versions": {"python": "3.11.2"},
}
FOLDER = Path("outputs/study/photos/64-sd15-resnet18-c0ffee/seed3")
RUN = Run(RunKey("photos", "64-sd15-resnet18-c0ffee", 3), FOLDER, SETTINGS, "64", "finished", RESULT)
PREDICTIONS = Predictions(
    [f"test/{label}/{index}.png" for index, label in enumerate("0011")],
    np.array([0, 0, 1, 1]),
    np.array([0, 1, 1, 1]),
    np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.0, 1.0]]),
    ["cat", "dog"],
    np.arange(4),
)


def image(index: int, origin: str, state: str = SAME, provenance: bool = True) -> TrainingImage:
    row = Sample(f"{origin}/cat/{index:06d}.png", 0, "cat", origin, f"{index:064d}")
    versions = ("sd15", "c0ffee", "DDIM", "30", "7.5", "0.38", "5.0", "2.6", "3.11", "", "", "")
    manifest = ManifestRow("cat", index, "", row.sha256, "a cat | on a sofa", "blurry", 7000 + index, *versions)
    return TrainingImage(row, Path(row.path), state, manifest if provenance and origin == "synthetic" else None)


def explanation(**changes: object) -> Explanation:
    images = (
        image(0, "real"),
        image(1, "real", GONE),
        *(image(index, "synthetic") for index in range(4)),
        image(5, "synthetic", CHANGED, provenance=False),
    )
    values = {
        "run": RUN,
        "study": Path("outputs/study"),
        "counts": count_predictions(PREDICTIONS),
        "history": {"epoch": [0, 1, 2], "val/accuracy": [0.5, 0.8, 0.9]},
        "images": images,
        "problems": (Reason("other_image_count", {"class": "cat", "origin": "real", "recorded": 3, "counted": 2}),),
    }
    return Explanation(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("numbers", "heading"),
    [
        ({"mix.real_per_class": 4}, "The mix: 4 real of each class, 0.6 synthetic"),
        ({"mix.fill": "largest"}, "The mix: 0.4 real, synthetic up to largest"),
        ({"mix.fill.1": 200, "mix.fill.7": 9}, "The mix: 0.4 real, synthetic up to 200 of 1, 9 of 7"),
    ],
)
def test_a_mix_in_numbers_of_images(numbers: dict[str, object], heading: str) -> None:
    blocks = document(explanation(run=replace(RUN, settings={**SETTINGS, **numbers})))
    assert heading in [block.text for block in blocks if isinstance(block, Heading)]


def test_a_run() -> None:
    assert_golden("explain.md", markdown(document(explanation())))


def test_a_run_whose_files_cannot_be_read() -> None:
    text = markdown(document(explanation(counts=None, history=None, images=None)))
    assert_golden("explain_unreadable.md", text)


PREDICTION = (RUN, count_predictions(PREDICTIONS).predictions[1])
REPORTS = {
    "test_image": ImageReport("test/0/1.png", (PREDICTION,)),
    "synthetic_image": ImageReport("synthetic/cat/000001.png", training=image(1, "synthetic"), users=(RUN,)),
    "pool_image": ImageReport("pool/000005.png", training=image(5, "synthetic", GONE, False), users=(RUN,)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_an_image(name: str) -> None:
    assert_golden(f"explain_{name}.md", markdown(image_document(REPORTS[name])))

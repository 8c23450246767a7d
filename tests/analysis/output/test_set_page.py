"""The page of a synthetic set: its sections, pictures, numbers and contact sheets."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.output import contact_sheets, set_page
from synthaug.analysis.output.figures.set_map import set_map
from synthaug.analysis.synthetic.embedding_map import EmbeddingMap
from synthaug.analysis.synthetic.set_measurement import measure_set
from synthaug.analysis.synthetic.set_quality import SetQuality
from synthaug.analysis.synthetic.set_record import NUMBERS, SetRecord, record_of
from synthaug.analysis.text import set_text
from synthaug.analysis.text.set_text import Shortcuts, shortcut_document
from synthaug.analysis.validity.check_result import UNCHECKED, Check
from synthaug.analysis.validity.shortcuts import image_checks
from synthaug.data.samples import REAL, Sample
from synthaug.files import read_json, sha256
from synthaug.screening.verdicts import TEACHER, TEST_COPY, TRAIN_COPY, Verdict
from tests.factories.images import write_flat
from tests.factories.synthetic_sets import painted_set

CLASSES = ["cat", "<dog>"]
AUC = {"value": 0.75, "low": 0.7, "high": 0.8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def train(folder: Path) -> list[Sample]:
    root = write_flat(folder / "real", dict.fromkeys(CLASSES, 44))
    return [
        Sample(path, label, name, REAL, sha256(path))
        for label, name in enumerate(CLASSES)
        for path in sorted((root / name).iterdir())
    ]


@pytest.fixture(scope="module")
def record(folder: Path) -> SetRecord:
    return record_of(painted_set(folder / "set", {"cat": 44, "<dog>": 41}), CLASSES)


@pytest.fixture(scope="module")
def quality(record: SetRecord, train: list[Sample], folder: Path) -> SetQuality:
    return measure_set(record.samples, train, [], folder / "features")


@pytest.fixture(scope="module")
def html(record: SetRecord, train: list[Sample], quality: SetQuality) -> str:
    shortcuts = Shortcuts(image_checks(train, record.samples))
    return set_page.write(record, quality, train, shortcuts).read_text(encoding="utf-8")


def test_the_page_says_what_tells_the_origin_but_content(html: str, record: SetRecord, train: list[Sample]) -> None:
    section = html.partition('<section id="shortcuts"')[2].partition("</section>")[0]
    assert [name in section for name in ("file format", "size in pixels", "pixel statistics")] == [True] * 3
    assert "before matching" not in section
    numbers = read_json(record.folder / NUMBERS)["shortcuts"]
    assert set(numbers) == {"now"}
    assert numbers["now"]["origin_by_size"]["auc"]["value"] > 0.9, "they are of another size"
    checks = image_checks(train, record.samples)
    both = Shortcuts(checks, [replace(check, data={**check.data, "auc": AUC}) for check in checks])
    assert [row[3] for row in both.table] == ["0.75 [0.70, 0.80]"] * 3
    assert "AUC before matching" in "".join(map(str, shortcut_document(both)))
    assert Shortcuts([Check(check.code, UNCHECKED, {}) for check in checks]).table == []


def test_the_page_loads_nothing_and_has_all_sections(html: str) -> None:
    ids = re.findall(r'<section id="(\w+)"', html)
    expected = "facts images quality shortcuts map classes labels nearest prompts settings"
    assert ids == expected.split()
    assert "<script" not in html
    assert "default-src &#39;none&#39;" in html
    assert {source.partition(":")[0] for source in re.findall(r'src="([^"]*)"', html)} == {"data"}
    assert set(re.findall(r'href="([^"#][^"]*)"', html)) == {
        "contact_sheets/cat.jpg",
        "contact_sheets/%3Cdog%3E.jpg",
    }
    assert "<dog>" not in html
    assert "made up" in html


def test_its_numbers_are_those_of_the_set(html: str, record: SetRecord, quality: SetQuality) -> None:
    numbers = read_json(record.folder / NUMBERS)
    assert quality.scores
    assert quality.kid
    assert numbers["scores"]["precision"] == quality.scores.precision
    assert numbers["kid"] == [quality.kid.value, quality.kid.low, quality.kid.high]
    assert numbers["counts"] == {"cat": 44, "<dog>": 41}
    assert numbers["n"] == quality.n == 85
    assert f"{quality.scores.fid:.3g}" in html


def test_a_teacher_that_knows_little_is_called_so(quality: SetQuality) -> None:
    fidelity_of_set = quality.fidelity
    assert fidelity_of_set

    def shown(accuracy: float) -> str:
        fidelity = replace(fidelity_of_set, accuracy=Estimate(accuracy, accuracy - 0.1, accuracy + 0.1))
        return str(set_text.quality_document(replace(quality, fidelity=fidelity)))

    assert shown(0.56) != shown(0.56).replace("weak", "")
    assert shown(0.93) == shown(0.93).replace("weak", "")


def test_nearest_pairs_and_doubted_labels_have_pictures(html: str, quality: SetQuality) -> None:
    nearest = html[html.index('id="nearest"') : html.index('id="prompts"')]
    assert nearest.count("<img") == 2 * set_page.MAX_PAIRS
    assert quality.neighbourhoods
    assert f"{quality.neighbourhoods.closeness.min():.2f}" in nearest


def test_what_a_screening_rejects_and_copies_have_pictures(
    record: SetRecord, train: list[Sample], quality: SetQuality
) -> None:
    cats = [sample for sample in record.samples if sample.class_name == "cat"]
    verdicts = [
        Verdict("cat", "cat/000000.png", cats[0].sha256, True, TRAIN_COPY, 0.98, str(train[0].path)),
        Verdict("cat", "cat/000001.png", cats[1].sha256, False, TEST_COPY, None, "gone/x.png"),
        Verdict("cat", "cat/000002.png", cats[2].sha256, False, TEACHER, -0.25),
        Verdict("<dog>", "<dog>/000099.png", "", False, "generator: flat"),
        Verdict("cat", "cat/000003.png", cats[3].sha256, True),
    ]
    judged = replace(record, screening="screening-strict-1", verdicts=verdicts, samples=record.samples[3:])
    html = set_page.page(judged, None, [], {})
    copies = html[html.index('id="copies"') : html.index('id="rejected"')]
    assert copies.count("<img") == 3
    assert "(gone)" in copies
    assert "gone/x.png" in copies
    rejected = html[html.index('id="rejected"') : html.index('id="prompts"')]
    assert rejected.count("<img") == 2  # the third has no file
    assert "-0.25" in rejected
    assert "generator: flat" in rejected
    assert "screening-strict-1" in html
    numbers = set_page.numbers(judged, None)
    assert numbers["rejected"] == {TEST_COPY: 1, TEACHER: 1, "generator: flat": 1}
    assert numbers["copies"] == 2


def test_a_set_without_real_images_has_its_pictures_alone(record: SetRecord) -> None:
    html = set_page.page(record, None, [], {})
    ids = re.findall(r'<section id="(\w+)"', html)
    assert ids == ["facts", "images", "prompts", "settings"]


def test_contact_sheets_show_every_image_evenly(record: SetRecord, html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    side = contact_sheets.TILE + contact_sheets.GAP
    with Image.open(record.folder / "contact_sheets" / "cat.jpg") as sheet:
        assert sheet.size == (7 * side - contact_sheets.GAP, 7 * side - contact_sheets.GAP)
        pixels = np.asarray(sheet.convert("L"), dtype=np.int64)
    tiles = [
        pixels[row * side : row * side + 96, column * side : column * side + 96] for row, column in np.ndindex(7, 7)
    ]
    assert [tile.min() > 240 for tile in tiles] == [False] * 44 + [True] * 5
    monkeypatch.setattr(contact_sheets, "MAX_IMAGES", 10)
    shown = contact_sheets.spread_evenly(record.samples[:44], 10)
    assert [sample.order for sample in shown] == [0, 4, 8, 13, 17, 22, 26, 30, 35, 39]


def test_sheets_of_classes_without_images_are_removed(record: SetRecord, html: str) -> None:
    cats = [sample for sample in record.samples if sample.class_name == "cat"]
    written = contact_sheets.write_contact_sheets(record.folder, cats, CLASSES)
    assert list(written) == ["cat"]
    assert [path.name for path in (record.folder / "contact_sheets").iterdir()] == ["cat.jpg"]


def test_the_map_draws_every_point_where_it_is() -> None:
    points = np.random.default_rng(0).standard_normal((9, 2))
    figure = set_map(EmbeddingMap(points, np.array([0, 0, 0, 1, 1, 0, 0, 1, 1]), 5, "PCA"), CLASSES)
    (axes,) = figure.axes
    real, synthetic = (np.asarray(part.get_offsets()) for part in axes.collections)
    np.testing.assert_array_equal(real, points[:5])
    np.testing.assert_array_equal(synthetic, points[5:])
    names = {text.get_text(): text.get_position() for text in axes.texts}
    assert names["cat"] == pytest.approx(np.median(points[:3], axis=0))
    assert names["<dog>"] == pytest.approx(np.median(points[3:5], axis=0))

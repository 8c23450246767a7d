"""Whether format, size or pixels alone tell real from synthetic images: on images that differ in one of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthaug.analysis.comparison.model import Reason
from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.validity import probe, shortcuts
from synthaug.analysis.validity.check_result import PASSED, SERIOUS, UNCHECKED, WARNING, Check
from synthaug.analysis.validity.sources import Sources
from synthaug.data.sample_list import Sample
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.files import sha256
from tests.factories.origins import CLASSES, write_images


def checks_of(real: Sequence[Sample], synthetic: Sequence[Sample]) -> dict[str, Check]:
    images = Sources({REAL: tuple(real), SYNTHETIC: tuple(synthetic)})
    return {check.code.removeprefix("origin_by_"): check for check in shortcuts.origin_checks(images, Path)}


def test_images_of_one_kind(tmp_path: Path) -> None:
    checks = checks_of(write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000))
    assert {check.severity for check in checks.values()} == {PASSED}
    assert checks["format"].data[REAL] == checks["format"].data[SYNTHETIC] == {"PNG in RGB": 60}
    assert {check.data["images"] for check in checks.values()} == {60}


def test_file_format_alone(tmp_path: Path) -> None:
    real = write_images(tmp_path, REAL, suffix=".jpg")
    check = checks_of(real, write_images(tmp_path, SYNTHETIC, first=1000))["format"]
    assert check.severity == SERIOUS
    assert (check.data["accuracy"], check.data[REAL], check.data[SYNTHETIC]) == (
        1.0,
        {"JPEG in RGB": 60},
        {"PNG in RGB": 60},
    )


def test_jpeg_quality_alone(tmp_path: Path) -> None:
    real = write_images(tmp_path, REAL, suffix=".jpg", quality=95)
    synthetic = write_images(tmp_path, SYNTHETIC, suffix=".jpg", first=1000, quality=60)
    assert checks_of(real, synthetic)["format"].severity == SERIOUS


def test_size_alone(tmp_path: Path) -> None:
    checks = checks_of(write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, size=(60, 48), first=1000))
    assert (checks["size"].severity, checks["format"].severity) == (SERIOUS, PASSED)
    widths = {origin: checks["size"].data[origin]["width"] for origin in (REAL, SYNTHETIC)}
    assert widths == {REAL: pytest.approx(48), SYNTHETIC: pytest.approx(60)}


def test_pixels_alone(tmp_path: Path) -> None:
    real, synthetic = write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000)
    for index, row in enumerate(synthetic):
        with Image.open(row.path) as opened:
            pixels = np.asarray(opened, dtype=np.int64)
        noise = np.random.default_rng(index).integers(-60, 60, pixels.shape)
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(row.path)
        synthetic[index] = row._replace(sha256=sha256(row.path))
    checks = checks_of(real, synthetic)
    assert (checks["pixels"].severity, checks["format"].severity) == (SERIOUS, PASSED)


@pytest.mark.parametrize(
    ("accuracy", "severity"),
    [
        (Estimate(0.60, 0.55, 0.65), PASSED),
        (Estimate(0.60, 0.551, 0.65), WARNING),
        (Estimate(0.899, 0.87, 0.92), WARNING),
        (Estimate(0.9, 0.87, 0.92), SERIOUS),
        (Estimate(0.95, 0.5, 1.0), PASSED),  # too few images to tell
    ],
)
def test_severity_by_the_accuracy_of_a_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accuracy: Estimate, severity: str
) -> None:
    prediction = probe.OriginPrediction(accuracy, Estimate(0.7, 0.6, 0.8))
    monkeypatch.setattr(shortcuts, "classify_origin", lambda *images: prediction)
    checks = checks_of(write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000))
    assert {check.severity for check in checks.values()} == {severity}
    assert checks["pixels"].data == {
        "accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "images": 60,
        "auc": {"value": 0.7, "low": 0.6, "high": 0.8},
    }  # fmt: skip


def test_the_class_tells_nothing(tmp_path: Path) -> None:
    """Synthetic dogs in number, two synthetic cats: as many real images of each."""
    rows = write_images(tmp_path, REAL) + write_images(tmp_path, SYNTHETIC, first=1000)
    rows = [
        row for row in rows if row.origin == REAL or row.class_name == "dog" or row.name.endswith(("00.png", "02.png"))
    ]
    chosen = shortcuts.balanced(
        [row for row in rows if row.origin == REAL], [row for row in rows if row.origin == SYNTHETIC]
    )
    counts = {(label, origin): 0 for label in CLASSES for origin in (REAL, SYNTHETIC)}
    for row in chosen:
        counts[row.class_name, row.origin] += 1
    assert counts == {("cat", REAL): 2, ("cat", SYNTHETIC): 2, ("dog", REAL): 30, ("dog", SYNTHETIC): 30}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([REAL, SYNTHETIC]), st.integers(0, 99)), unique=True),
    st.integers(1, 20),
)
def test_samples_are_balanced_and_bounded(drawn: list[tuple[str, str, int]], limit: int) -> None:
    rows = [Sample(str(number), 0, label, origin, f"{number:064x}") for label, origin, number in drawn]
    by_origin = {origin: [row for row in rows if row.origin == origin] for origin in (REAL, SYNTHETIC)}
    chosen = shortcuts.balanced(by_origin[REAL], by_origin[SYNTHETIC], limit)
    assert set(chosen) <= set(rows)
    for label in "abc":
        origins = [row.origin for row in chosen if row.class_name == label]
        assert origins.count(REAL) == origins.count(SYNTHETIC)
    assert len(chosen) <= 2 * limit
    classes = {row.class_name for row in by_origin[REAL]} & {row.class_name for row in by_origin[SYNTHETIC]}
    assert len({row.class_name for row in chosen}) == min(len(classes), limit)


@pytest.mark.parametrize(("missing", "severity"), [(40, PASSED), (41, UNCHECKED)])
def test_too_few_readable_images(tmp_path: Path, missing: int, severity: str) -> None:
    real, synthetic = write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000)
    rows = sorted(synthetic, key=lambda row: row.class_name)
    for row in [*rows[:20], *rows[30:50], *rows[20:]][:missing]:
        row.path.write_bytes(b"changed")
    check = checks_of(real, synthetic)["pixels"]
    assert check.severity == severity
    if severity == UNCHECKED:
        assert check.data == {"images": 19, "needed": 20, "missing": 41}
    else:
        assert check.data["images"] == 20


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    problems = {origin: Reason("no_images_of_origin", {"origin": origin}) for origin in (REAL, SYNTHETIC)}
    images = Sources({REAL: (), SYNTHETIC: ()}, problems=problems)
    checks = shortcuts.origin_checks(images, Path)
    assert [check.code for check in checks] == ["origin_by_format", "origin_by_size", "origin_by_pixels"]
    assert {check.severity for check in checks} == {UNCHECKED}
    assert checks[0].data == {"unlisted": [dataclasses.asdict(problem) for problem in problems.values()]}


# --- the probe ---------------------------------------------------------------------------------------


def test_damaged_and_missing_files_have_no_traits(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    assert probe.read_traits(tmp_path / "text.png") is None
    assert probe.read_traits(tmp_path / "nothing.png") is None


def test_a_probe_needs_as_many_of_each() -> None:
    with pytest.raises(ValueError, match="20 or more"):
        probe.classify_origin([{"a": 1.0}] * 50, [True] * 30 + [False] * 20, range(50))
    with pytest.raises(ValueError, match="20 or more"):
        probe.classify_origin([{"a": 1.0}] * 38, [True] * 19 + [False] * 19, range(38))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_tells_nothing_and_copies_do_not_leak(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(40, 30))
    # Every image five times: were its copies in two folds, a probe would know it by heart.
    features = [{f"f{column}": float(value) for column, value in enumerate(values[row // 5])} for row in range(200)]
    synthetic = [bool(row // 5 % 2) for row in range(200)]
    apart = probe.classify_origin(features, synthetic, [row // 5 for row in range(200)])
    assert (apart.accuracy.value < 0.75, apart.auc.value < 0.8) == (True, True)
    leaking = probe.classify_origin(features, synthetic, range(200))
    assert (leaking.accuracy.value > 0.8, leaking.auc.value > 0.85) == (True, True)


def test_traits(tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((60, 120), 51, dtype=np.uint8))
    grey.save(tmp_path / "grey.jpg", quality=50, progressive=True)
    traits = probe.read_traits(tmp_path / "grey.jpg")
    assert traits is not None
    assert (traits.format["format"], traits.format["mode"], traits.format["progressive"]) == ("JPEG", "L", 1.0)
    assert float(traits.format["quantisation"]) > 20
    assert traits.size["width"] == pytest.approx(np.log(120))
    assert traits.size["out of square"] == pytest.approx(np.log(2))
    bytes_per_pixel = (tmp_path / "grey.jpg").stat().st_size / 7200
    assert traits.size["bytes per pixel"] == pytest.approx(np.log(bytes_per_pixel))
    assert [traits.pixels[name] for name in ("thumbnail 0", "mean R")] == pytest.approx([0.2, 0.2], abs=0.01)
    assert traits.pixels["deviation B"] == pytest.approx(0)
    assert traits.pixels["band 0"] == pytest.approx(np.log(1e-6)), "one colour has no power in any band"


def test_metadata_is_no_trait_and_photographs_are_looked_at_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 120)).save(tmp_path / "plain.jpg")
    Image.new("RGB", (120, 60)).save(tmp_path / "turned.jpg", exif=exif, xmp=b"x" * 5000)
    plain, turned = (probe.read_traits(tmp_path / f"{name}.jpg") for name in ("plain", "turned"))
    assert plain is not None
    assert turned is not None
    assert turned.size["width"] == plain.size["width"]
    assert turned.size["bytes"] == pytest.approx(plain.size["bytes"], abs=0.05)


def test_the_spectrum_has_its_power_where_the_stripes_are(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255  # the highest frequency there is
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    traits = probe.read_traits(tmp_path / "stripes.png")
    assert traits is not None
    bands = [float(traits.pixels[f"band {band}"]) for band in range(probe.BANDS)]
    assert max(range(probe.BANDS), key=lambda band: bands[band]) == probe.BANDS - 1
    assert bands[-1] > bands[-2] + 5

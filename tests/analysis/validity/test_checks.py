"""Threats to validity: for each one a study that has it, and one that does not."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.model import Group
from synthaug.analysis.text.document import markdown
from synthaug.analysis.validity import checks, copies, design, overlap, probe, shortcuts, sources
from synthaug.analysis.validity.finding import MIND, PASSED, SERIOUS, UNCHECKED, Finding
from synthaug.data.samples import REAL, SYNTHETIC, Sample, digest
from synthaug.files import read_json, sha256, write_json
from synthaug.runs import contents, layout
from synthaug.runs.contents import MixRow, Predictions
from tests.factories.studies import MadeUp, make_study

CLASSES = ("cat", "dog")
WHOLE = MadeUp(
    arms={"real": (1.0, 0.0), "64": (0.4, 0.6), "real40": (0.4, 0.0)},
    seeds=(0, 1, 2, 3, 4),
    classes=CLASSES,
    n_test=40,
)


# --- the design ----------------------------------------------------------------------------------------


def group_of(study: Path) -> Group:
    (group,) = compare(study).groups
    return group


def designed(tmp_path: Path, **changes: Any) -> dict[str, Finding]:
    """Findings of the design of `WHOLE` with changes, by name."""
    study = make_study(tmp_path / "study", dataclasses.replace(WHOLE, **changes))
    return {finding.name: finding for finding in design.findings(group_of(study))}


def test_a_study_without_threats_in_its_design(tmp_path: Path) -> None:
    found = designed(tmp_path)
    assert {finding.severity for finding in found.values()} == {PASSED}
    assert found["training length"].said == "Every run took 248 optimizer steps."
    assert found["controls"].said.startswith("Every arm with fewer real images has a control")


@pytest.mark.parametrize(
    ("seeds", "severity", "said"),
    [
        ((0,), SERIOUS, "Every arm has one run: how far another run would move the accuracy is not measured"),
        ((0, 1), MIND, "Every arm has 2 runs, too few to know"),
        ((0, 1, 2), MIND, "Every arm has 3 runs, so intervals are wide."),
        ((0, 1, 2, 3, 4), PASSED, "Every arm has 5 runs or more."),
    ],
)
def test_few_seeds(tmp_path: Path, seeds: Sequence[int], severity: str, said: str) -> None:
    found = designed(tmp_path, seeds=seeds)["seeds"]
    assert (found.severity, found.said.startswith(said)) == (severity, True)


def test_one_arm_of_few_seeds_is_named(tmp_path: Path) -> None:
    found = designed(tmp_path, missing=[("64", seed) for seed in (1, 2, 3, 4)])
    assert found["seeds"].said.startswith("64 has one run")
    assert found["failed and missing runs"].severity == MIND
    assert "4 of 15 planned runs are not in the numbers (64-seed1: missing" in found["failed and missing runs"].said
    assert "If runs fail" not in found["failed and missing runs"].said


def test_failed_runs_and_an_arm_without_any(tmp_path: Path) -> None:
    found = designed(tmp_path, failed=[("64", seed) for seed in range(5)])["failed and missing runs"]
    assert found.severity == SERIOUS
    assert "Nothing is known of 64. If runs fail where training is hardest" in found.said


def test_no_baseline(tmp_path: Path) -> None:
    assert designed(tmp_path, arms={"64": (0.4, 0.6)})["baseline"].severity == SERIOUS


def test_missing_controls_are_named(tmp_path: Path) -> None:
    found = designed(tmp_path, arms={"real": (1.0, 0.0), "55": (0.5, 0.5), "64": (0.4, 0.6)})["controls"]
    assert found.severity == SERIOUS
    assert "Nothing trained on the same real images alone stands beside 55 and 64." in found.said


def test_arms_with_all_real_images_need_no_control(tmp_path: Path) -> None:
    assert "controls" not in designed(tmp_path, arms={"real": (1.0, 0.0), "add100": (1.0, 1.0)})


def change(study: Path, arm: str, edit: Callable[[dict[str, Any]], object], seeds: Sequence[int] = range(5)) -> None:
    for seed in seeds:
        path = study / "digits/tiny_digits/resnet18" / arm / f"seed{seed}" / layout.RESULT
        result = read_json(path)
        edit(result)
        write_json(path, result)


@pytest.mark.parametrize(
    ("name", "severity", "part", "values", "said"),
    [
        ("training length", SERIOUS, "training", {"steps": 48}, "from 48 (real40) to 248 (real, 64)"),
        ("validation images", SERIOUS, "data", {"val": "f" * 64}, "ffffffffffff in real40-seed0"),
        ("machine", MIND, "machine", {"cpu": "another"}, "cpu is A CPU <2.5 GHz> in real-seed0"),
        ("versions", MIND, "versions", {"torch": "2.6.0"}, "2.6.0 in real40-seed0, real40-seed1, real40-seed2, ..."),
    ],
)
def test_runs_that_differ(
    tmp_path: Path, name: str, severity: str, part: str, values: dict[str, Any], said: str
) -> None:
    study = make_study(tmp_path / "study", WHOLE)
    change(study, "real40", lambda result: result[part].update(values))
    (found,) = [finding for finding in design.findings(group_of(study)) if finding.name == name]
    assert found.severity == severity
    assert said in found.said
    assert found.way_out


def _with_pool(scanned: dict[str, str]) -> Callable[[dict[str, Any]], object]:
    return lambda result: result["data"].update(scanned=scanned)


def test_another_pool_of_real_images(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", WHOLE)
    for arm, letter in (("real", "a"), ("64", "b"), ("real40", "a")):
        change(study, arm, _with_pool({"train": letter * 64}))
    (found,) = [finding for finding in design.findings(group_of(study)) if finding.name == "real training images"]
    assert found.severity == SERIOUS
    assert "bbbbbbbbbbbb in 64-seed0" in found.said


def test_classes_of_unequal_synthetic_share(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", WHOLE)
    counts = {"cat": {"real": 200, "synthetic": 300}, "dog": {"real": 200, "synthetic": 50}}
    change(study, "64", lambda result: result["counts"].update(per_class=counts), seeds=[0])
    (found,) = [f for f in design.findings(group_of(study)) if f.name == "synthetic share of the classes"]
    assert found.severity == SERIOUS
    assert "(64-seed0: 20 % of dog, 60 % of cat)" in found.said


def test_a_study_without_any_finished_run(tmp_path: Path) -> None:
    content = dataclasses.replace(WHOLE, arms={"real": (1.0, 0.0)}, seeds=(0,), failed=[("real", 0)])
    comparison = compare(make_study(tmp_path / "study", content))
    found = checks.find(comparison, comparison.groups[0])
    assert {finding.name: finding.severity for finding in found} == {
        "failed and missing runs": SERIOUS,
        "baseline": SERIOUS,
        "format alone": UNCHECKED,
        "size alone": UNCHECKED,
        "pixels alone": UNCHECKED,
        "real training images in the test": UNCHECKED,
        "synthetic training images in the test": UNCHECKED,
        "files": PASSED,
    }


# --- shortcuts -----------------------------------------------------------------------------------------


def picture(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """With as much detail as a photograph: a perceptual hash of less is decided by noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_images(
    folder: Path, origin: str, suffix: str = ".png", size: tuple[int, int] = (48, 48), first: int = 0, **save: Any
) -> list[MixRow]:
    """60 pictures, none like another; `first` is the seed of the first one."""
    rows = []
    for number in range(60):
        name = CLASSES[number % 2]
        path = folder / origin / name / f"{number:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(first + number, size).save(path, **save)
        rows.append(MixRow(str(path), name, origin, sha256(path)))
    return rows


def shown(real: Sequence[MixRow], synthetic: Sequence[MixRow]) -> dict[str, Finding]:
    """Findings of the shortcuts between two lists, by name."""
    listed = sources.Sources(tuple(real), tuple(synthetic), (), None, ())
    return {finding.name: finding for finding in shortcuts.findings(listed, Path)}


def test_images_of_one_kind_are_not_told_apart(tmp_path: Path) -> None:
    found = shown(write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000))
    assert {finding.severity for finding in found.values()} == {PASSED}
    assert "Real images are PNG in RGB; synthetic ones are PNG in RGB." in found["format alone"].said


def test_file_format_tells_them_apart(tmp_path: Path) -> None:
    found = shown(write_images(tmp_path, REAL, ".jpg"), write_images(tmp_path, SYNTHETIC, first=1000))["format alone"]
    assert found.severity == SERIOUS
    assert "in 100 % [97, 100] of cases (60 images of each; chance is 50 %)" in found.said
    assert "Real images are JPEG in RGB; synthetic ones are PNG in RGB." in found.said
    assert "compression leaves its traces" in found.said


def test_the_quality_of_a_jpeg_tells_them_apart(tmp_path: Path) -> None:
    real = write_images(tmp_path, REAL, ".jpg", quality=95)
    assert shown(real, write_images(tmp_path, SYNTHETIC, ".jpg", first=1000, quality=60))["format alone"].severity == (
        SERIOUS
    )


def test_size_tells_them_apart(tmp_path: Path) -> None:
    found = shown(write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, size=(60, 48), first=1000))
    assert found["size alone"].severity == SERIOUS
    assert "Real images are 48 by 48 pixels and" in found["size alone"].said
    assert "synthetic ones are 60 by 48 pixels" in found["size alone"].said
    assert found["format alone"].severity == PASSED


def test_pixels_tell_them_apart(tmp_path: Path) -> None:
    real, synthetic = write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000)
    for index, row in enumerate(synthetic):
        with Image.open(row.path) as opened:
            pixels = np.asarray(opened, dtype=np.int64)
        noise = np.random.default_rng(index).integers(-60, 60, pixels.shape)
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(row.path)
        synthetic[index] = dataclasses.replace(row, sha256=sha256(Path(row.path)))
    found = shown(real, synthetic)
    assert found["pixels alone"].severity == SERIOUS
    assert found["format alone"].severity == PASSED


def test_classes_tell_nothing(tmp_path: Path) -> None:
    """Cats are dark and dogs are bright, and only dogs were generated in number."""
    rows = write_images(tmp_path, REAL) + write_images(tmp_path, SYNTHETIC, first=1000)
    rows = [row for row in rows if row.origin == REAL or row.label == "dog" or row.path.endswith(("00.png", "02.png"))]
    chosen = shortcuts.balanced([r for r in rows if r.origin == REAL], [r for r in rows if r.origin == SYNTHETIC])
    counts = {(label, origin): 0 for label in CLASSES for origin in (REAL, SYNTHETIC)}
    for row in chosen:
        counts[row.label, row.origin] += 1
    assert counts == {("cat", REAL): 2, ("cat", SYNTHETIC): 2, ("dog", REAL): 30, ("dog", SYNTHETIC): 30}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([REAL, SYNTHETIC]), st.integers(0, 99)), unique=True),
    st.integers(1, 20),
)
def test_samples_are_balanced_and_bounded(drawn: list[tuple[str, str, int]], most: int) -> None:
    rows = [MixRow(str(number), label, origin, f"{number}") for label, origin, number in drawn]
    chosen = shortcuts.balanced(
        [row for row in rows if row.origin == REAL], [row for row in rows if row.origin == SYNTHETIC], most
    )
    assert set(chosen) <= set(rows)
    for label in "abc":
        own = [row.origin for row in chosen if row.label == label]
        assert own.count(REAL) == own.count(SYNTHETIC)
    assert len(chosen) <= 2 * most


def test_too_few_images_and_images_that_are_gone_are_said(tmp_path: Path) -> None:
    real, synthetic = write_images(tmp_path, REAL), write_images(tmp_path, SYNTHETIC, first=1000)
    for row in synthetic[:50]:
        Path(row.path).unlink()
    found = shown(real, synthetic)["pixels alone"]
    assert found.severity == UNCHECKED
    assert found.said == (
        "Not checked, because there are only 10 images of each origin to look at (50 more are gone or changed), and "
        "20 are needed."
    )


def test_what_is_no_image_has_no_traits(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    assert probe.traits(tmp_path / "text.png") is None
    assert probe.traits(tmp_path / "nothing.png") is None


def test_a_probe_needs_as_many_of_each() -> None:
    with pytest.raises(ValueError, match="as many of one as of the other"):
        probe.tell_apart([{"a": 1.0}] * 50, [True] * 30 + [False] * 20, range(50))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_is_not_told_apart_and_copies_do_not_leak(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(40, 30))
    # Every image five times: were its copies in other folds, a probe would know it by heart.
    features = [{f"f{column}": float(value) for column, value in enumerate(values[row // 5])} for row in range(200)]
    synthetic = [bool(row // 5 % 2) for row in range(200)]
    alone = probe.tell_apart(features, synthetic, [row // 5 for row in range(200)])
    assert alone.value < 0.75
    assert probe.tell_apart(features, synthetic, range(200)).value > 0.8


# --- copies --------------------------------------------------------------------------------------------


def overlapping(real: Sequence[MixRow], synthetic: Sequence[MixRow], test: Sequence[MixRow]) -> dict[str, Finding]:
    """Findings of the overlap, by name, for tests on the images in `test`."""
    samples = [Sample(Path(row.path), 0, row.label, REAL, row.sha256) for row in test]
    listed = sources.Sources(
        tuple(real), tuple(synthetic), tuple((row.path, row.label) for row in test), digest(samples), ()
    )
    return {finding.name: finding for finding in overlap.findings(listed, Path)}


def test_different_images_do_not_overlap(tmp_path: Path) -> None:
    lists = [write_images(tmp_path / str(first), origin, first=first) for first, origin in enumerate_lists()]
    found = overlapping(*lists)
    assert {finding.severity for finding in found.values()} == {PASSED}
    assert "60 of 60 real training images were compared with 60 of 60 test images" in (
        found["real training images in the test"].said
    )


def enumerate_lists() -> list[tuple[int, str]]:
    return [(0, REAL), (1000, SYNTHETIC), (2000, REAL)]


@pytest.mark.parametrize(
    ("how", "exact"),
    [
        (lambda opened, path: opened.save(path), 1),
        (lambda opened, path: opened.convert("RGB").save(path, quality=60), 0),
        (lambda opened, path: opened.resize((90, 80), Image.Resampling.BICUBIC).save(path), 0),
        (lambda opened, path: opened.point(lambda value: min(255, int(1.1 * value))).save(path), 0),
    ],
)
@pytest.mark.parametrize("origin", [REAL, SYNTHETIC])
def test_copies_are_found_across_classes(
    tmp_path: Path, how: Callable[[Image.Image, Path], object], exact: int, origin: str
) -> None:
    real, synthetic, test = (
        write_images(tmp_path / str(first), kind, first=first) for first, kind in enumerate_lists()
    )
    rows = real if origin == REAL else synthetic
    copy = tmp_path / ("copy.jpg" if exact == 0 else "copy.png")
    with Image.open(test[0].path) as opened:  # a cat
        how(opened, copy)
    rows.append(MixRow(str(copy), "dog", origin, sha256(copy)))
    found = overlapping(real, synthetic, test)[f"{origin} training images in the test"]
    assert found.severity == SERIOUS
    assert f"1 test image was also trained on, {exact} of them pixel by pixel" in found.said
    assert f"{copy} = {test[0].path}" in found.said
    assert "1 of 1 pairs are under two different classes." in found.said
    others = {REAL, SYNTHETIC} - {origin}
    assert overlapping(real, synthetic, test)[f"{others.pop()} training images in the test"].severity == PASSED


def test_images_of_one_colour_are_copies_of_their_like_only(tmp_path: Path) -> None:
    for name, colour in (("a", 10), ("b", 10), ("c", 200)):
        Image.new("L", (16, 16), colour).save(tmp_path / f"{name}.png")
    a, b, c = (copies.look([copies.Listed(name, "cat", tmp_path / f"{name}.png")])[0][0] for name in "abc")
    assert [found.exact for found in copies.copies([a, c], [b])] == [True]
    assert copies.copies([], [b]) == copies.copies([a], []) == []


def test_files_that_are_gone_and_other_test_images(tmp_path: Path) -> None:
    real, synthetic, test = (
        write_images(tmp_path / str(first), kind, first=first) for first, kind in enumerate_lists()
    )
    Path(real[0].path).unlink()
    picture(5000).save(test[0].path)
    found = overlapping(real, synthetic, test)
    assert found["files"].severity == MIND
    assert found["files"].said.startswith(f"1 image file is gone or changed since: {real[0].path}.")
    assert found["test images"].severity == MIND
    assert "are not those that the runs were tested on" in found["test images"].said


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    real, synthetic, test = (
        write_images(tmp_path / str(first), kind, first=first) for first, kind in enumerate_lists()
    )
    gone = [dataclasses.replace(row, path=f"{row.path}.gone") for row in test]
    found = overlapping(real, synthetic, gone)["real training images in the test"]
    assert found.said.startswith("Not checked, because none of the test images is where the runs found it")
    gone = [dataclasses.replace(row, path=f"{row.path}.gone") for row in real]
    found = overlapping(gone, synthetic, test)["real training images in the test"]
    assert found.said.startswith("Not checked, because none of the real training images is where")


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_spread_takes_at_most_so_many_from_all_of_it(items: list[int], most: int) -> None:
    taken = overlap.spread(items, most)
    assert len(taken) <= most
    assert list(taken[:1]) == items[:1]


# --- all of it -----------------------------------------------------------------------------------------


def pictured_study(folder: Path) -> Path:
    """A study with 60 images of each origin, JPEG and PNG, and 60 test images that are there."""
    content = dataclasses.replace(WHOLE, seeds=(0,), n_test=60)
    study = make_study(folder / "study", content)
    real, synthetic, test = (
        write_images(folder / str(first), origin, suffix, first=first)
        for (first, origin), suffix in zip(enumerate_lists(), (".jpg", ".png", ".jpg"), strict=True)
    )
    for arm, rows in (("real", real), ("64", real[:24] + synthetic[:36]), ("real40", real[:24])):
        run = study / "digits/tiny_digits/resnet18" / arm / "seed0"
        contents.write_mix(run, rows)
        made_up = contents.read_predictions(run)
        labels = np.array([CLASSES.index(row.label) for row in test])
        answers = Predictions([row.path for row in test], labels, labels, made_up.probabilities, list(CLASSES))
        contents.write_predictions(run, answers)
    return study


def all_findings(study: Path) -> dict[str, Finding]:
    comparison = compare(study)
    return {finding.name: finding for finding in checks.find(comparison, comparison.groups[0])}


def test_findings_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = pictured_study(tmp_path)
    looked: list[Path] = []

    def traits(path: Path) -> probe.Traits | None:
        looked.append(path)
        return probe.traits(path)

    monkeypatch.setattr(shortcuts, "traits", traits)
    first = all_findings(study)
    assert first["format alone"].severity == SERIOUS
    assert looked
    looked.clear()
    assert all_findings(study) == first
    assert looked == []
    next((tmp_path / "1000").rglob("*.png")).unlink()
    assert all_findings(study)["files"].severity == MIND
    assert looked
    looked.clear()
    (study / checks.KEPT).write_text("{", encoding="utf-8")
    assert all_findings(study)["files"].severity == MIND
    assert looked, "a damaged file is made again"


def test_what_others_found_is_among_the_findings_and_the_most_severe_come_first(tmp_path: Path) -> None:
    comparison = compare(pictured_study(tmp_path))
    power = Finding("power", MIND, "This study cannot show what it looks for.", "Add test images.")
    found = checks.find(comparison, comparison.groups[0], [power])
    assert power in found
    order = [SERIOUS, MIND, UNCHECKED, PASSED]
    assert [order.index(finding.severity) for finding in found] == sorted(
        order.index(finding.severity) for finding in found
    )
    text = markdown(checks.document(found))
    assert "power: This study cannot show what it looks for. Add test images." in text
    assert text.index("Serious") < text.index("To be kept in mind") < text.index("Checked, and nothing found")


def test_a_list_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    study = pictured_study(tmp_path)
    (study / "digits/tiny_digits/resnet18/64/seed0" / layout.MIX).unlink()
    found = all_findings(study)
    assert found["pixels alone"].said.startswith("Not checked, because mix.csv of 64-seed0 cannot be read")
    assert found["synthetic training images in the test"].severity == UNCHECKED
    assert found["real training images in the test"].severity == PASSED

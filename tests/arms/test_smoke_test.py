"""A smoke test has few images, of every class and origin, and clears nothing but its own study."""

from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from synthaug.arms import smoke_test
from synthaug.arms.mixing import Mix
from synthaug.data.samples import RealImages, Sample, per_class
from synthaug.errors import UserError
from synthaug.runs import layout
from tests.factories.images import sample
from tests.factories.runs import KEY

SHARES = st.sampled_from([0, 0.01, 0.2, 0.5, 1, 2, 10])


def dataset(classes: int, per_split: int = 40) -> RealImages:
    names = [f"class{label:03d}" for label in range(classes)]

    def listed(first: int) -> list[Sample]:
        return [
            sample(first + 1000 * label + number, name, label)
            for label, name in enumerate(names)
            for number in range(per_split)
        ]

    return RealImages(names, listed(0), listed(10**6), listed(2 * 10**6))


@given(st.integers(2, 40), SHARES, SHARES)
def test_an_arm_has_sixteen_images_of_every_class_and_origin(classes: int, real: float, synthetic: float) -> None:
    if real == synthetic == 0:
        return
    counts = smoke_test.few_counts(dataset(classes), Mix(real, synthetic))
    total = max(16, classes)
    kept, generated = (sum(getattr(count, origin) for count in counts.values()) for origin in ("real", "synthetic"))
    assert kept + generated == total
    assert (kept > 0, generated > 0) == (real > 0, synthetic > 0)
    assert abs(kept - total * real / (real + synthetic)) <= 1
    sizes = [count.real + count.synthetic for count in counts.values()]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


def test_a_class_with_few_images_gives_what_it_has() -> None:
    real = dataset(2)
    real = RealImages(real.classes, [*real.train[:3], *real.train[40:]], real.val, real.test)
    assert [count.real for count in smoke_test.few_counts(real, Mix(1, 0)).values()] == [3, 13]


def test_classes_that_are_filled_and_few_shots_have_both_origins_where_the_arm_has() -> None:
    mixes = [Mix(1, 0, 200), Mix(1, 0, 200, "largest"), Mix(1, 0, None, {"class001": 500}), Mix(0, 0, None, 9)]
    expected = [(16, 0), (8, 8), (8, 8), (0, 16)]
    for mix, amounts in zip(mixes, expected, strict=True):
        counts = smoke_test.few_counts(dataset(4), mix).values()
        assert (sum(count.real for count in counts), sum(count.synthetic for count in counts)) == amounts


@pytest.mark.parametrize(("classes", "expected"), [(2, 16), (10, 16), (25, 25)])
def test_validation_and_test_sets_are_small_and_have_every_class(classes: int, expected: int) -> None:
    few = smoke_test.few_images(dataset(classes))
    for samples in (few.val, few.test):
        sizes = [len(listed) for listed in per_class(samples, few.classes).values()]
        assert (sum(sizes), min(sizes) >= 1) == (expected, True)
    assert len(few.train) == 16 * classes


def run_in(study: Path, debug: bool) -> Path:
    run = study / KEY.folder
    run.mkdir(parents=True)
    (run / layout.CONFIG).write_text(f"experiment: {study.name}\ndebug: {str(debug).lower()}\n", encoding="utf-8")
    return run


def test_only_the_log_of_an_earlier_smoke_test_stays(tmp_path: Path) -> None:
    study = tmp_path / "photos-debug"
    smoke_test.clear(study)  # none yet
    run_in(study, debug=True)
    for name in ("log.txt", layout.PLANNED, "synthetic/set.json"):
        (study / name).parent.mkdir(exist_ok=True)
        (study / name).touch()
    smoke_test.clear(study)
    assert [path.name for path in study.iterdir()] == ["log.txt"]


def test_generated_images_are_cleared_and_files_of_somebody_else_are_not(tmp_path: Path) -> None:
    study = tmp_path / "photos-debug"
    (study / "synthetic" / "photos").mkdir(parents=True)
    (study / "notes.txt").touch()
    smoke_test.clear(study)
    assert {path.name for path in study.iterdir()} == {"synthetic", "notes.txt"}
    (study / "notes.txt").unlink()
    smoke_test.clear(study)
    assert list(study.iterdir()) == []


def test_a_smoke_test_that_is_running_is_left_alone(tmp_path: Path) -> None:
    run = run_in(tmp_path / "photos-debug", debug=True)
    (tmp_path / "photos-debug" / layout.PLANNED).touch()
    with FileLock(run / ".lock"):
        smoke_test.clear(tmp_path / "photos-debug")
    assert (run / layout.CONFIG).is_file()


@pytest.mark.parametrize(("name", "debug"), [("photos-debug", False), ("photos", True)])
def test_anything_else_is_never_cleared(tmp_path: Path, name: str, debug: bool) -> None:
    run = run_in(tmp_path / name, debug)
    with pytest.raises(UserError, match="debug=true: would clear"):
        smoke_test.clear(tmp_path / name)
    assert (run / layout.CONFIG).is_file()

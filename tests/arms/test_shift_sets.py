"""Which sets of a run are still to be evaluated, and what keeps a set from it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from synthaug.arms import build, shift_sets
from synthaug.arms.build import RealData
from synthaug.arms.shifts import Corruptions, Folder, Shift, ShiftSet, Synthetic
from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.files import sha256, write_json
from synthaug.generation.synthetic_set import SyntheticSet
from synthaug.runs import layout
from synthaug.screening.verdicts import TEST_COPY, TRAIN_COPY, VAL_COPY, read_verdicts
from tests.factories.commands import Painter, settings
from tests.factories.images import image, write_dataset

NOISE = Corruptions("v2.GaussianNoise", {"1": {"sigma": 0.1}, "5": {"sigma": 0.4}})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], RealData]:
    """The settings of the group `dataset`, and its images."""
    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "photos")
    dataset: dict[str, Any] = settings(folder / "photos", folder)["dataset"]
    return dataset, build.read_real(dataset, folder)


def record(run: Path, name: str, **recorded: object) -> None:
    """Write that a run was evaluated on a set."""
    folder = layout.shift_folder(run, name)
    folder.mkdir(parents=True)
    write_json(folder / layout.RESULT, {"settings": recorded})


def none(_: int) -> list[Sample]:
    raise AssertionError("no synthetic image is asked for")


def test_a_shift_is_pending_until_all_of_its_sets_are_evaluated(tmp_path: Path) -> None:
    shifts: dict[str, Shift] = {"noise": NOISE, "held": Synthetic(2)}
    assert shift_sets.pending(tmp_path, shifts) == shifts
    record(tmp_path, "noise-1")
    assert shift_sets.pending(tmp_path, shifts) == shifts
    record(tmp_path, "noise-5")
    assert list(shift_sets.pending(tmp_path, shifts)) == ["held"]
    layout.shift_folder(tmp_path, "held").mkdir()
    assert list(shift_sets.pending(tmp_path, shifts)) == ["held"], "predictions without a result are not complete"


@pytest.mark.parametrize(
    ("recorded", "changed"),
    [
        ({"kind": "folder", "images": "a"}, None),
        ({"kind": "folder", "images": "b"}, "images"),
        ({"kind": "folder"}, "images"),
        ({"kind": "folder", "images": "a", "older": 1}, "older"),
    ],
)
def test_a_set_is_the_same_if_each_setting_is(tmp_path: Path, recorded: dict[str, Any], changed: str | None) -> None:
    record(tmp_path, "dusk", **recorded)
    problems = shift_sets.describe_changes(tmp_path, [ShiftSet("dusk", [], {"kind": "folder", "images": "a"})])
    keys = [line.strip().split(":")[0] for problem in problems for line in problem.splitlines()[1:-1]]
    assert keys == ([changed] if changed else [])


def test_all_sets_that_changed_are_listed_at_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        record(tmp_path, name, kind="folder")
    sets = [ShiftSet("a", [], {"kind": "x"}), ShiftSet("b", [], {"kind": "folder"}), ShiftSet("c", [], {"kind": "y"})]
    first, second = shift_sets.describe_changes(tmp_path, sets)
    assert str(layout.shift_folder(tmp_path, "a")) in first
    assert str(layout.shift_folder(tmp_path, "c")) in second


def test_a_copy_of_a_synthetic_image_that_the_run_trains_on_is_refused(
    study: tuple[dict[str, Any], RealData], tmp_path: Path
) -> None:
    dataset, data = study
    (tmp_path / "dusk" / "cat").mkdir(parents=True)
    image(900).save(tmp_path / "trained.png")
    copy = Path(shutil.copy(tmp_path / "trained.png", tmp_path / "dusk" / "cat" / "copy.png"))
    shifts: dict[str, Shift] = {"dusk": Folder(str(tmp_path / "dusk"))}

    def prepare(*trained: Path) -> list[ShiftSet]:
        listed = [(sha256(path), str(path)) for path in trained]
        return shift_sets.prepare_sets(tmp_path, shifts, dataset, data.real, data.store, listed, none)

    assert [shift_set.name for shift_set in prepare()] == ["dusk"]
    with pytest.raises(UserError) as error:
        prepare(tmp_path / "trained.png")
    assert f"{copy}  =  {tmp_path / 'trained.png'}" in str(error.value)


def test_copies_of_real_images_are_not_held_out(study: tuple[dict[str, Any], RealData], tmp_path: Path) -> None:
    _, data = study
    copied = [data.real.test[0].path, data.real.val[0].path, data.real.train[0].path]

    class Memory(Painter):
        def sample(
            self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
        ) -> list[Image.Image | str]:
            painted = super().sample(prompts, seeds, sources)
            return [ImageOps.mirror(Image.open(copied.pop())) if copied else image for image in painted]

    held_out = SyntheticSet(tmp_path / "held", Memory())
    samples = shift_sets.held_out_source(held_out, data.real, data.store)(2)
    places = [(sample.class_name, sample.order) for sample in samples]
    assert places == [("cat", 2), ("cat", 3), ("dog", 1), ("dog", 2)]
    reasons = [verdict.reason for path in held_out.folder.glob("*/verdicts.csv") for verdict in read_verdicts(path)]
    assert sorted(filter(None, reasons)) == sorted([TEST_COPY, VAL_COPY, TRAIN_COPY])


def test_held_out_images_are_checked_for_every_class_before_any_is_made(
    study: tuple[dict[str, Any], RealData],
) -> None:
    _, data = study
    checked: list[dict[str, int]] = []

    class HeldOut:
        def check(self, counts: dict[str, int]) -> None:
            checked.append(counts)
            raise UserError("cannot be made")

    sets, problems = shift_sets.list_sets({"held": Synthetic(7)}, data.real, HeldOut())  # type: ignore[arg-type]
    assert (sets, problems, checked) == ([], ["cannot be made"], [{"cat": 7, "dog": 7}])


def test_images_in_two_classes_of_a_set_are_refused_or_left_out_and_counted(
    study: tuple[dict[str, Any], RealData], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, data = study
    for number, names in enumerate((["cat"], ["cat", "dog"], ["dog"])):
        for name in names:
            (tmp_path / "dusk" / name).mkdir(parents=True, exist_ok=True)
            image(950 + number).save(tmp_path / "dusk" / name / f"{number}.{'bmp' if name == 'dog' else 'png'}")
    shifts: dict[str, Shift] = {"dusk": Folder(str(tmp_path / "dusk"))}

    def prepare(**settings_of_dataset: str) -> ShiftSet:
        (shift_set,) = shift_sets.prepare_sets(
            tmp_path, shifts, dataset | settings_of_dataset, data.real, data.store, [], none
        )
        return shift_set

    with pytest.raises(UserError, match=r"dataset\.on_label_conflict=drop"):
        prepare()
    with caplog.at_level("WARNING", "synthaug"):
        shift_set = prepare(on_label_conflict="drop")
    assert [sample.path.name for sample in shift_set.samples] == ["0.png", "2.bmp"]
    assert (shift_set.label_conflicts, len(shift_set.clusters)) == (2, 2)
    assert "dusk: 2 files left out" in caplog.text
    for name in ("0.png", "2.bmp"):
        next((tmp_path / "dusk").glob(f"*/{name}")).unlink()
    with pytest.raises(UserError, match="no usable image"):
        prepare(on_label_conflict="drop")

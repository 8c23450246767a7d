"""What would stop a run of a command is message before the first one begins."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthaug.arms import build, real_share
from synthaug.arms.shifts import Folder, Shift, Synthetic
from synthaug.config import schema
from synthaug.config.job import Job
from synthaug.data.samples import RealImages, digest
from synthaug.data.splitting import Divided
from synthaug.errors import UserError
from synthaug.execution import preflight, training_steps
from synthaug.execution.session import Session
from synthaug.files import read_json, write_json
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.manifest import read_manifest
from synthaug.runs import layout, planning
from synthaug.runs.grouping import read_groups
from tests.factories import commands
from tests.factories.commands import Painter
from tests.factories.images import image, write_dataset
from tests.factories.studies import MadeUp, make_study, run_folder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    schema.register()
    return write_dataset(tmp_path / "photos", train=10, val=3, test=4)


def jobs_of(photos: Path, *arguments: str) -> list[Job]:
    return commands.jobs_of("-m", "dataset=imagefolder", f"dataset.root={photos}", *arguments)


def check(jobs: Sequence[Job], generator: Any = None, shifts: Mapping[str, Shift] = MappingProxyType({})) -> None:
    preflight.check_runs(jobs, {}, lambda _: generator or Painter(), lambda _: shifts)


def finish(job: Job, real: RealImages) -> None:
    """A run folder as a finished run leaves it, as far as the checks look at it."""
    job.folder.mkdir(parents=True)
    (job.folder / layout.CONFIG).write_text(OmegaConf.to_yaml(OmegaConf.create(job.recorded)), encoding="utf-8")
    scanned = {split: digest(samples) for split, samples in real.splits.items()}
    write_json(job.folder / layout.RESULT, {"format": "made up", "data": {"scanned": scanned}})


def real_of(job: Job) -> RealImages:
    scan = preflight.scan_dataset(job)
    assert isinstance(scan, Divided)
    return scan.real


def test_nothing_in_the_way(photos: Path) -> None:
    check(jobs_of(photos, "mix=real,55,82"))


def test_two_datasets_of_one_name_are_refused(photos: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "new" / "photos", train=10, val=3, test=4)
    jobs = [*jobs_of(photos, "mix=real"), *jobs_of(other, "mix=real")]
    with pytest.raises(UserError, match=r"dataset\.name="):
        check(jobs)
    check([*jobs_of(photos, "mix=real"), *jobs_of(other, "mix=real", "dataset.name=more")])
    (tmp_path / "link").symlink_to(photos)
    check([*jobs_of(photos, "mix=real"), *jobs_of(tmp_path / "link", "mix=real", "dataset.name=photos")])


def test_a_study_is_in_folds_or_not(photos: Path) -> None:
    whole = jobs_of(photos, "mix=real,55")
    planning.plan(whole[0].study, [job.planned for job in whole])
    with pytest.raises(UserError, match=r"\(whole; folds=2\)"):
        check(jobs_of(photos, "mix=82", "folds=2"))
    check(jobs_of(photos, "mix=82", "folds=2", "experiment=folded"))


def test_arms_of_a_study_share_their_long_tail(photos: Path) -> None:
    check(jobs_of(photos, "mix=real,fill", "dataset.imbalance=0.2"))
    few = jobs_of(photos, "dataset.imbalance=0.2")
    several = r"dataset=photos: .* \(whole; dataset\.imbalance=0\.2\); .*experiment=<name>"
    with pytest.raises(UserError, match=several):
        check([*jobs_of(photos), *few])
    check([*jobs_of(photos), *jobs_of(photos, "dataset.imbalance=0.2", "experiment=few")])
    planning.plan(few[0].study, [job.planned for job in jobs_of(photos)])
    with pytest.raises(UserError, match=several):
        check(few)
    check(jobs_of(photos, "mix=real,strong"))
    with pytest.raises(UserError, match="cat: 11 of 10 training images"):
        check(jobs_of(photos, "dataset.class_counts.cat=11"))
    with pytest.raises(UserError, match=r"mix=fill: mix\.fill=largest adds no synthetic image"):
        check(jobs_of(photos, "mix=real,fill"))
    with pytest.raises(UserError, match=r"mix=shots12: (?s:.)*cat: 12 of 10 training images"):
        check(jobs_of(photos, "mix=real", "mix.real_per_class=4,12"))


def test_groups_of_test_images_are_checked_and_recorded(photos: Path, tmp_path: Path) -> None:
    test = sorted((photos / "test").rglob("*.png"))
    rows = [f"{path.relative_to(photos)},{path.stem}\n" for path in test]
    file = tmp_path / "groups.csv"
    file.write_text("".join(["path,group\n", *rows[1:]]))
    with pytest.raises(UserError, match=r"1 test image has no group:\n(?s:.)*test/cat/000.png"):
        check(jobs_of(photos, f"dataset.groups={file}"))
    file.write_text("".join(["path,group\n", *rows]))
    jobs = jobs_of(photos, f"dataset.groups={file}", "logger=none")
    session = Session(training_steps.execute)
    preflight.check_and_plan(session, jobs)
    assert read_groups(jobs[0].study, "photos", list(map(str, test))) == [path.stem for path in test]
    (plain,) = jobs_of(photos)
    assert plain.folder == jobs[0].folder


def test_a_finished_run_of_the_same_images_is_no_obstacle(photos: Path) -> None:
    jobs = jobs_of(photos)
    finish(jobs[0], real_of(jobs[0]))
    check(jobs)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_other_images_under_the_same_name_are_refused(photos: Path, split: str) -> None:
    jobs = jobs_of(photos)
    finish(jobs[0], real_of(jobs[0]))
    image(99).save(photos / split / "cat" / "new.png")
    with pytest.raises(UserError, match=f"its {split} images are not those of that run") as caught:
        check(jobs)
    assert str(caught.value).startswith("No run was started:")
    assert "experiment=<name>" in str(caught.value)
    check(jobs_of(photos, "overwrite=true"))


def test_a_list_within_a_list_stands_further_in(photos: Path) -> None:
    (photos / "train" / "cat").rename(photos / "train" / "lynx")
    with pytest.raises(UserError) as caught:
        check(jobs_of(photos))
    first, *inside = str(caught.value).split("\n")[1:]
    assert first.startswith("  - ")
    assert inside
    assert all(line.startswith("    ") for line in inside)


def test_the_settings_of_a_finished_run_do_not_depend_on_its_configuration_file(photos: Path) -> None:
    (job,) = jobs_of(photos)
    finish(job, real_of(job))
    recorded = read_json(job.folder / layout.RESULT)
    write_json(job.folder / layout.RESULT, recorded | {"settings": job.recorded})
    (job.folder / layout.CONFIG).unlink()
    check([job])
    write_json(job.folder / layout.RESULT, recorded | {"settings": job.recorded | {"batch_size": 7}})
    with pytest.raises(UserError, match=r"batch_size: 7 there, \d+ now"):
        check([job])


def test_an_attempt_without_its_configuration_file_is_of_nobody_knows_which(photos: Path) -> None:
    (job,) = jobs_of(photos)
    finish(job, real_of(job))
    for name in (layout.RESULT, layout.CONFIG):
        (job.folder / name).unlink()
    (job.folder / layout.LAST).touch()
    with pytest.raises(UserError, match=layout.CONFIG):
        check([job])


@pytest.mark.parametrize("content", [b"a: [1, 2", b"a: \xff", b"\t:", b"[" * 50_000, b"a: ${"])
def test_a_configuration_file_that_cannot_be_read_is_named(photos: Path, content: bytes) -> None:
    (job,) = jobs_of(photos)
    finish(job, real_of(job))
    (job.folder / layout.RESULT).unlink()
    (job.folder / layout.LAST).touch()
    (job.folder / layout.CONFIG).write_bytes(content)
    with pytest.raises(UserError) as caught:
        check([job])
    assert str(job.folder / layout.CONFIG) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": {"real": "many"}},
        {"training": 3},
        {"started": "yesterday"},
        {"test": {"accuracy": float}},
        {"counts": {"per_class": {"cat": 3}}},
        {"settings": [1]},
    ],
)
def test_a_result_of_which_something_is_of_another_type_is_named(
    photos: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    study = make_study(tmp_path / "made_up", MadeUp(arms={"real": (1, 0)}, n_test=20))
    whole = read_json(run_folder(study, "real") / layout.RESULT)
    (job,) = jobs_of(photos)
    job.folder.mkdir(parents=True)
    for name, value in change.items():
        whole[name] = (
            whole[name] | {k: "high" if v is float else v for k, v in value.items()}
            if isinstance(value, dict)
            else value
        )
    write_json(job.folder / layout.RESULT, whole)
    with pytest.raises(UserError, match=r"result\.json is damaged"):
        check([job])


def test_a_later_arm_that_cannot_be_made_stops_the_first(photos: Path) -> None:
    for path in sorted((photos / "train" / "dog").iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match="dog"):
        check(jobs_of(photos, "mix=real,real20"))


def test_a_generator_that_does_not_know_the_classes_is_refused(photos: Path) -> None:
    def digits(_: Job) -> DiffusionGenerator:
        return DiffusionGenerator(str(photos), "a digit {class_name}", classes=["0", "1"])

    with pytest.raises(UserError, match=r"classes 0, 1 .* cat, dog"):
        preflight.check_runs(jobs_of(photos, "mix=82"), {}, digits)
    preflight.check_runs(jobs_of(photos, "mix=real"), {}, digits)


def test_a_finished_run_needs_no_generator_unless_it_is_trained_again(photos: Path) -> None:
    (job,) = jobs_of(photos, "mix=82")
    finish(job, real_of(job))
    gone = DiffusionGenerator("/nowhere", "a {class_name}")
    check([job], gone)
    with pytest.raises(UserError, match="there is no folder /nowhere"):
        check(jobs_of(photos, "mix=82", "overwrite=true"), gone)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt": "a photo"}, r"\(generator.prompt\):\n    - 'a photo' "),
        ({"model": "/nowhere"}, "there is no folder /nowhere"),
        ({"num_inference_steps": 0}, "num_inference_steps=0: must be at least 1"),
    ],
)
def test_a_generator_that_cannot_work_is_refused(photos: Path, changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"model": str(photos), "prompt": "a {class_name}"} | changed
    with pytest.raises(UserError, match=message):
        check(jobs_of(photos, "mix=82"), DiffusionGenerator(**arguments))


def test_a_dataset_is_scanned_once_and_blamed_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_of(photos, "mix=real,real50", "seed=0,1")
    for path in (photos / "test" / "cat").iterdir():
        path.unlink()
    scans: list[Job] = []
    scan_dataset = preflight.scan_dataset

    def counted(job: Job) -> Divided | UserError | None:
        scans.append(job)
        return scan_dataset(job)

    monkeypatch.setattr(preflight, "scan_dataset", counted)
    with pytest.raises(UserError) as caught:
        check(jobs)
    assert str(caught.value).count("has no images of cat") == 1
    assert len(scans) == 1


def test_a_folder_is_split_before_the_first_run(tmp_path: Path, photos: Path) -> None:
    flat = tmp_path / "flat"
    for name in ("cat", "dog"):
        (flat / name).mkdir(parents=True)
        for number, path in enumerate(sorted(photos.glob(f"*/{name}/*.png"))):
            path.rename(flat / name / f"{number}.png")
    (job,) = jobs_of(flat)
    check([job])
    assert (tmp_path / "outputs" / "splits" / "flat" / "split.csv").is_file()
    finish(job, real_of(job))
    check([job])
    with pytest.raises(UserError) as caught:
        check(jobs_of(flat, "dataset.split.test=0.3"))
    assert "dataset.split.test: 0.15 there, 0.3 now" in str(caught.value)
    image(99, (64, 64)).save(flat / "cat" / "new.png")
    with pytest.raises(UserError, match="its train images are not those of that run"):
        check([job])


def test_a_folder_that_cannot_be_split_stops_the_first_run(tmp_path: Path, photos: Path) -> None:
    (photos / "train").rename(tmp_path / "flat")
    (tmp_path / "flat" / "cat" / "notes.txt").write_text("no image")
    for path in sorted((tmp_path / "flat" / "dog").iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match=r"notes\.txt: not a JPEG(?s:.)*dataset\.on_bad_image=skip"):
        check(jobs_of(tmp_path / "flat"))
    with pytest.raises(UserError, match="dog: too small to be split: 2 images"):
        check(jobs_of(tmp_path / "flat", "dataset.on_bad_image=skip"))


def test_a_dataset_that_is_prepared_on_the_way_may_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema.register()
    check(commands.jobs_of())
    assert not (tmp_path / "outputs").exists()


def test_further_test_sets_that_cannot_be_had_stop_the_first_run_all_at_once(photos: Path, tmp_path: Path) -> None:
    shifts: dict[str, Shift] = {"dusk": Folder(str(tmp_path / "dusk")), "held": Synthetic(0)}
    with pytest.raises(UserError) as caught:
        check(jobs_of(photos, "mix=real,real50", "seed=0,1", "shift=synthetic"), shifts=shifts)
    assert str(caught.value) == (
        "No run was started:\n"
        f"  - shift.dusk.root={tmp_path / 'dusk'} is not a test set of this dataset:\n"
        f"    - there is no folder {tmp_path / 'dusk'}: give one that exists\n"
        "  - shift.held.per_class=0: must be at least 1."
    )


def test_a_pool_of_which_nothing_is_held_out_is_refused(photos: Path) -> None:
    jobs = jobs_of(photos, "mix=real", "shift=synthetic")
    with pytest.raises(UserError, match=r"generator.root=pool is a pool of images made elsewhere"):
        check(jobs, FolderGenerator("pool"), shifts={"synthetic": Synthetic()})
    check(jobs, FolderGenerator("pool"), shifts={})


def test_answers_to_another_test_set_are_refused_unless_set_aside(photos: Path) -> None:
    (job,) = jobs_of(photos, "mix=real", "shift=synthetic")
    real = real_of(job)
    finish(job, real)
    check([job], shifts={"held": Synthetic(3)})
    folder = layout.shift_folder(job.folder, "held")
    write_json(folder / layout.RESULT, {"settings": {"kind": "synthetic", "per_class": 3}})
    check([job], shifts={"held": Synthetic(3)})
    with pytest.raises(UserError, match=r"shifts/held (?s:.)*per_class: 3 there, 4 now"):
        check([job], shifts={"held": Synthetic(4)})
    (again,) = jobs_of(photos, "mix=real", "shift=synthetic", "overwrite=true")
    check([again], shifts={"held": Synthetic(4)})


def test_a_wrong_network_is_named_once_and_nothing_is_planned(photos: Path) -> None:
    jobs = jobs_of(photos, "mix=real,real50", "seed=0,1", "dataset.image_size=32", "batch_size=1", "model.weights=null")
    session = Session(training_steps.execute)
    session.is_sweep = session.is_local = True
    with pytest.raises(UserError) as caught:
        preflight.check_and_plan(session, jobs)
    assert [line[:16] for line in str(caught.value).splitlines()[1:]] == ["  - batch_size=1"]
    assert not (jobs[0].study / layout.PLANNED).exists()
    session.is_local = False  # another machine may have what this one lacks
    preflight.check_and_plan(session, jobs)
    assert (jobs[0].study / layout.PLANNED).exists()


def test_the_network_of_a_finished_run_is_not_built(photos: Path) -> None:
    (job,) = jobs_of(photos, "mix=real", "dataset.image_size=32", "batch_size=1", "model.weights=null")
    finish(job, real_of(job))
    session = Session(training_steps.execute)
    preflight.check_and_plan(session, [job])


def test_all_variables_that_wandb_cannot_read_are_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = jobs_of(photos, "mix=real,55", "logger=wandb")
    texts = {"WANDB_SILENT": "maybe", "WANDB_RUN_ID": "a/b", "WANDB_QUIET": "true", "WANDB__EXTRA_HTTP_HEADERS": "pass"}
    for name, text in texts.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(UserError) as caught:
        check(jobs)
    assert re.findall(r"(WANDB_\w+)=", str(caught.value)) == ["WANDB_SILENT", "WANDB_RUN_ID"]
    assert "WANDB__EXTRA_HTTP_HEADERS: " in str(caught.value), "without what may be secret"
    check(jobs_of(photos, "mix=real,55", "logger=csv"))
    monkeypatch.setenv("WANDB_MODE", "of-line")
    with pytest.raises(UserError, match=r"WANDB_MODE=of-line: .*offline"):
        check(jobs)


@pytest.mark.parametrize("mode", ["online", "shared"])
def test_whoever_wants_to_be_online_must_be_logged_in(photos: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    jobs = jobs_of(photos, "mix=real,55", "logger=wandb")
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setattr("wandb.login", lambda **_: False)
    with pytest.raises(UserError, match=rf"WANDB_MODE={mode}.*wandb login"):
        check(jobs)
    check(jobs_of(photos, "mix=real,55", "logger=csv"))
    monkeypatch.setattr("wandb.login", lambda **_: True)
    check(jobs)
    monkeypatch.setattr("wandb.login", lambda **_: False)
    monkeypatch.setenv("WANDB_MODE", "")
    check(jobs)


class Guided(Painter):
    is_guided = True


def test_arm_without_real_images_is_refused_for_a_guided_generator(photos: Path) -> None:
    check(jobs_of(photos, "mix=64,add100", "generator.strength=0.5"), Guided())
    with pytest.raises(UserError, match=r"mix=synthetic: .*starts from real images of the arm"):
        check(jobs_of(photos, "mix=64,synthetic", "generator.strength=0.5"), Guided())
    check(jobs_of(photos, "mix=synthetic"))


def test_training_image_that_guided_a_set_and_is_gone_stops_the_runs(photos: Path) -> None:
    jobs = jobs_of(photos, "mix=add100", "generator.strength=0.5")
    (job,) = jobs
    real = real_share.redrawn(real_of(job), job.settings)
    sources = real_share.source_images(real, job.settings, Guided())
    images = build.synthetic_images(job.settings, "photos", job.synthetic_set, Guided(), sources=sources)
    images.ensure({"cat": 2, "dog": 2})
    check(jobs, Guided())
    gone = photos / read_manifest(images.folder)[0].source
    gone.unlink()
    with pytest.raises(UserError, match=f"{gone.name} is gone or has changed"):
        check(jobs, Guided())
    check(jobs_of(photos, "mix=add100", "generator.strength=0.5", "dataset.on_bad_image=skip"), Guided())


def test_images_that_start_from_training_images_are_no_shift_set(photos: Path) -> None:
    with pytest.raises(UserError, match=r"shift=synthetic: .* starts from training images"):
        check(jobs_of(photos, "mix=64"), Guided(), {"synthetic": Synthetic(2)})

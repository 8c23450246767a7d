"""The commands as a user types them, each in a process of its own, on a few made-up photographs."""

import csv
import errno
import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from filelock import FileLock

from synthaug.analysis.comparison.compare import compare
from synthaug.config import schema
from synthaug.errors import UserError, explain, underlying
from synthaug.files import read_json
from synthaug.report.__main__ import main
from synthaug.runs import contents, layout, planning
from tests.factories.commands import Commands, jobs_of
from tests.factories.open_images_files import OpenImages
from tests.factories.processes import WITHOUT
from tests.factories.servers import serve

ARMS = ("real", "55", "64", "73", "82")
FINISHED = {layout.CONFIG, layout.MIX, layout.HISTORY, layout.PREDICTIONS, layout.CHECKPOINT, layout.RESULT}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def block(commands: Commands, *modules: str) -> dict[str, str]:
    """An environment in which importing these modules fails."""
    blocked = commands.folder / "-".join(["without", *modules])
    blocked.mkdir(exist_ok=True)
    for module in modules:
        (blocked / f"{module}.py").write_text(f"raise ImportError('{module} is not for this command')\n")
    return {"PYTHONPATH": os.pathsep.join(map(str, [blocked, Path(__file__).parent, Path(__file__).parents[2]]))}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The card's command, at the size of a test; the tests below go on in its folder."""
    commands = Commands(tmp_path_factory.mktemp("swept"))
    code, printed = commands.run("-m", "mix=real,55,64,73,82", "logger=wandb", "parallel=2")
    assert code == 0, printed
    (commands.folder / "first").write_text(printed, encoding="utf-8")
    return commands


def test_the_sweep_leaves_five_finished_runs(swept: Commands) -> None:
    for arm, synthetic in zip(ARMS, (0, 10, 12, 14, 16), strict=True):
        folder = swept.run_folder(arm)
        assert names(folder) - {"wandb.json"} == FINISHED
        counts = read_json(folder / layout.RESULT)["counts"]
        assert (counts["real"], counts["synthetic"]) == (20 - synthetic, synthetic)


def test_the_sweep_ends_with_a_table_and_its_files(swept: Commands) -> None:
    printed = (swept.folder / "first").read_text(encoding="utf-8")
    for share in ("0 %", "50 %", "60 %", "70 %", "80 %"):
        assert share in printed
    power = "photos: 12 test images"
    assert printed.count(power) == 1, "once for all arms"
    announced, begun = printed.index(power), printed.index("real-seed0: 20 real")
    assert announced < begun, "before the first is trained"
    assert all(len(line) <= 80 for line in printed[announced:begun].splitlines() if not line.startswith("python"))
    assert "Traceback" not in printed
    assert str(Path("outputs", "default", "report.html")) in printed
    assert {"results.csv", "results.json", "report.html"} <= names(swept.study())
    with (swept.study() / "results.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["arm"] for row in csv.DictReader(stream)] == list(ARMS)


def test_the_sweep_has_two_lines_for_each_run(swept: Commands) -> None:
    lines = (swept.folder / "first").read_text(encoding="utf-8").splitlines()
    for number, arm in enumerate(ARMS, start=1):
        begun, ended = (line for line in lines if line.startswith(f"{arm}-seed0:"))
        place = re.search(r"run (\d) of (\d)", begun)
        assert place
        assert place.group(1, 2) == (str(number), "5")
        assert re.search(r"accuracy \d+\.\d\d %, \d+ s$", ended)


def test_a_single_run_ends_with_its_interval_its_folder_and_the_next_command(
    swept: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, printed = swept.run("mix=55", "experiment=single", "logger=none", "overwrite=true")
    assert code == 0, printed
    assert re.search(r"\d+\.\d % \(95 % CI \d+\.\d to \d+\.\d, 12 test images\)", printed)
    assert f"Folder: {swept.run_folder('55', 'single').relative_to(swept.folder)}\n" in printed
    words = shlex.split(printed.splitlines()[-1])
    assert words[:3] == ["python", "-m", "synthaug.train"]
    monkeypatch.chdir(swept.folder)
    schema.register()
    jobs = jobs_of(*words[3:])
    assert {job.label for job in jobs} == {"real-seed0", "55-seed0"}
    assert {(job.study.name, job.settings["overwrite"]) for job in jobs} == {("single", False)}
    code, printed = swept.run("mix=55", "logger=wandb")
    assert code == 0, printed
    assert f"\n  python -m synthaug.report {Path('outputs', 'default')}\n" in printed


def test_the_sweep_tracks_every_run_offline_in_the_study(swept: Commands) -> None:
    runs = list(swept.study().glob("wandb/offline-run-*/*.wandb"))
    assert len({path.name for path in runs}) == len(runs) == 6, "five, and one that compares them"
    closing = read_json(swept.study() / "wandb.json")["id"]
    assert f"run-{closing}.wandb" in {path.name for path in runs}
    hint = (swept.folder / "first").read_text(encoding="utf-8").partition("W&B ran offline")[2]
    commands = [line.split()[:3] for line in hint.splitlines() if line.startswith("  ")]
    assert commands[:2] == [["wandb", "login", "&&"], ["python", "-m", "synthaug.report"]]
    elsewhere = [
        path
        for path in swept.folder.rglob("*wandb*")
        if swept.study() not in path.parents and not path.name.startswith("without")
    ]
    assert elsewhere == []


def test_the_same_command_again_only_shows_the_result(swept: Commands) -> None:
    """And fast: what is finished needs neither torch nor W&B, and its report is not computed or drawn again."""
    runs = [path for arm in ARMS for path in swept.run_folder(arm).iterdir() if not path.name.startswith(".")]
    files = [*runs, *(swept.study() / name for name in layout.REPORT)]
    before = {path: path.stat().st_mtime_ns for path in files}
    again = Commands.attach(swept, block(swept, "torch", "wandb", "scipy", "matplotlib"))
    code, printed = again.run("-m", "mix=real,55,64,73,82", "logger=wandb")
    assert code == 0, printed
    assert printed.count("already finished") == 5
    table = printed[printed.rindex("already finished") :].partition("\n")[2]
    assert "80 %" in table
    assert table in (swept.folder / "first").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_configuration_is_another_arm(swept: Commands) -> None:
    shutil.copytree(swept.study(), swept.study("factors"))
    result = swept.run_folder("real", "factors") / layout.RESULT  # later there are two folders of that mix
    before = result.read_bytes()
    code, printed = swept.run("-m", "mix=real,55", "model.lr=1e-3", "experiment=factors", "compare=[[55,82]]")
    assert code == 2, printed
    assert "'55' may be several arms: 55 · lr 0.001, 55 · lr 0.01" in printed
    pair = 'compare=[["55,lr 0.001","82"]]'
    code, printed = swept.run("-m", "mix=real,55", "model.lr=1e-3", "experiment=factors", pair)
    assert code == 0, printed
    assert result.read_bytes() == before
    (group,) = compare(swept.study("factors")).groups
    references = {arm.name: arm.reference for arm in group.arms}
    assert references.pop("55 · lr 0.001") == "real · lr 0.001"
    assert references.pop("real · lr 0.01") is None
    assert set(references.values()) == {"real · lr 0.01"}
    assert [(pair.first, pair.second, pair.exploratory) for pair in group.pairs] == [
        ("55 · lr 0.001", "82 · lr 0.01", False)
    ]


def test_a_mistake_is_found_before_generating_and_can_be_mended(swept: Commands) -> None:
    mistakes = {
        "trainer.precision=17": "trainer: Precision 17 is invalid",
        "model.backbone=resnet19": "model.backbone=resnet19: torchvision has no such classifier; did you mean",
        "model.backbone=alexnet": "model.backbone=alexnet cannot classify images of dataset.image_size=32 (Runtime",
    }
    for mistake, message in mistakes.items():
        code, printed = swept.run("mix=55", "experiment=mended", "generator.name=unused", mistake, "logger=none")
        assert code == 2, printed
        assert message in printed
        assert "Traceback" not in printed
    assert not list(swept.folder.glob("outputs/synthetic/*/unused/*"))
    code, printed = swept.run("mix=55", "experiment=mended", "logger=none")
    assert code == 0, printed


def test_a_failing_arm_does_not_keep_the_others_from_running(swept: Commands) -> None:
    again = Commands.attach(swept, {WITHOUT: "wandb"})
    code, printed = again.run(
        "-m", "mix=55,real", "experiment=failing", "++generator.name=broken", "generator.fails=true"
    )
    assert code == 1, printed
    assert "55-seed0 failed: the painter has run out of paint" in printed
    study = swept.study("failing")
    failed = read_json(next(study.glob(f"photos/55-broken-tiny-*/seed0/{layout.FAILED}")))
    assert (failed["error"], failed["type"]) == ("the painter has run out of paint", "RuntimeError")
    assert names(next(study.glob("photos/real-tiny-*/seed0"))) == FINISHED
    table = printed[printed.index("difference from real") :]
    assert "run out of paint" in table
    assert (study / "report.html").is_file()


def test_controls_are_planned_run_and_compared_like_what_was_typed(swept: Commands) -> None:
    write = swept.folder / "conf" / "mix" / "mine.yaml"
    write.parent.mkdir(exist_ok=True)
    write.write_text("real: 0.3\nsynthetic: 0.2\n", encoding="utf-8")
    command = ["-m", "mix=real,mine,28", "experiment=controlled", "controls=true", "margin=2", "budget=steps"]
    code, printed = swept.run(*command)
    assert code == 0, printed
    arms = planning.read_plan(swept.study("controlled")).names.values()
    assert sorted(arms) == sorted(["real", "mine", "real30", "28", "real80"])
    assert planning.read_plan(swept.study("controlled")).margin == 2
    for arm, passes in {"real": 2.0, "mine": 4.0, "real30": 6.6667, "28": 2.0, "real80": 2.5}.items():
        result = read_json(swept.run_folder(arm, "controlled") / layout.RESULT)
        assert result["training"] | {"seconds": 0} == {
            "budget": "steps", "steps": 10, "epochs": 2, "batch_size": 4, "seconds": 0, "passes": passes
        }  # fmt: skip
        assert (result["settings"]["mix"]["name"], result["settings"]["controls"]) == (arm, True)
    code, printed = swept.run(*command)
    assert code == 0, printed
    assert printed.count("already finished") == 5


def test_overwrite_sets_the_earlier_run_aside(swept: Commands) -> None:
    shutil.copytree(swept.study(), swept.study("changed"))
    folder = swept.run_folder("real", "changed")
    before = (folder / layout.RESULT).read_bytes()
    code, printed = swept.run("mix=real", "experiment=changed", "overwrite=true", "logger=none")
    assert code == 0, printed
    assert (folder / "earlier1" / layout.RESULT).read_bytes() == before
    assert names(folder / "earlier1") >= FINISHED
    assert names(folder) == FINISHED | {"earlier1"}


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_run_that_was_interrupted_is_finished_by_the_same_command(swept: Commands, how: signal.Signals) -> None:
    experiment = how.name.lower()
    command = ["mix=real", f"experiment={experiment}", "trainer.max_epochs=12"]
    code, printed = swept.stop_when(
        lambda: (swept.run_folder("real", experiment) / layout.LAST).is_file(), how, *command
    )
    folder = swept.run_folder("real", experiment)
    if how == signal.SIGTERM:
        assert code == 143, printed
        assert f"real-seed0 has {len(contents.read_history(folder)['epoch'])} epoch" in printed
        assert "Traceback" not in printed
        assert not (folder / layout.FAILED).exists()
    assert not (folder / layout.RESULT).exists()
    code, printed = swept.run(*command)
    assert code == 0, printed
    assert "epoch 1/12" not in printed
    assert contents.read_history(folder)["epoch"] == list(range(12))
    assert names(folder) == FINISHED


def test_a_run_that_was_killed_twice_ends_with_the_bytes_of_one_that_was_not(swept: Commands) -> None:
    command = ("mix=real", "experiment=killed")
    swept.stop_when(lambda: (swept.run_folder("real", "killed") / layout.LAST).is_file(), signal.SIGUSR1, *command)
    assert swept.stop_when(lambda: bool(swept.printed), signal.SIGKILL, *command)[0] in (0, -signal.SIGKILL)
    code, printed = swept.run(*command)
    assert code == 0, printed
    folder = swept.run_folder("real", "killed")
    for name in (layout.MIX, layout.PREDICTIONS, layout.CHECKPOINT):
        assert (folder / name).read_bytes() == (swept.run_folder("real") / name).read_bytes()
    assert names(folder) == FINISHED
    assert main(["status", str(swept.study("killed"))]) == 0


def test_a_result_depends_neither_on_the_runs_beside_it_nor_on_the_threads_of_the_environment(swept: Commands) -> None:
    more = Commands.attach(swept, {"OMP_NUM_THREADS": "2"})
    code, printed = more.run("mix=real", "experiment=threads")
    assert code == 0, printed
    folder = swept.run_folder("real", "threads")
    assert read_json(folder / layout.RESULT)["machine"]["threads"] == 1
    predictions = (folder / layout.PREDICTIONS).read_bytes()
    assert predictions == (swept.run_folder("real") / layout.PREDICTIONS).read_bytes()
    code, printed = swept.run("mix=real", "experiment=threads", "threads=2", "overwrite=true")
    assert code == 0, printed
    result = read_json(folder / layout.RESULT)
    assert (result["machine"]["threads"], result["settings"]["threads"]) == (2, 2)


def test_a_run_that_another_process_works_on_is_waited_for(swept: Commands) -> None:
    folder = swept.study("busy") / swept.run_folder("82").relative_to(swept.study())
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        waits = "Waiting for another process that trains this run"
        code, printed = swept.stop_when(lambda: waits in swept.printed, signal.SIGTERM, "mix=82", "experiment=busy")
    assert code == 128 + signal.SIGTERM, printed
    assert "Traceback" not in printed
    assert names(folder) == set()


def test_generate_makes_what_a_mix_needs_or_a_number_per_class(swept: Commands) -> None:
    code, printed = swept.run("mix=82", "++generator.name=alone", command="generate")
    assert code == 0, printed
    (folder,) = (swept.folder / "outputs" / "synthetic" / "photos").glob("alone-*")
    assert "16 images generated, 0 existed" in printed
    assert len(list(folder.glob("*/*.png"))) == 16
    code, printed = swept.run("per_class=9", "++generator.name=alone", command="generate")
    assert code == 0, printed
    assert "2 images generated, 16 existed" in printed
    assert [len(list((folder / name).glob("*.png"))) for name in ("cat", "dog")] == [9, 9]
    code, printed = swept.run("mix=real", "++generator.name=alone", command="generate")
    assert code == 1
    assert "mix=real has no synthetic images: choose another (mix=82) or give per_class=<n>." in printed


def test_files_that_are_no_images_stop_the_run_or_are_counted(swept: Commands) -> None:
    bad = swept.folder / "bad"
    shutil.copytree(swept.photos, bad)
    whole = (bad / "train" / "cat" / "000.png").read_bytes()
    (bad / "train" / "cat" / "empty.png").write_bytes(b"")
    (bad / "val" / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (bad / "test" / "cat" / "notes.txt").write_text("no image", encoding="utf-8")
    command = ["mix=real", "experiment=bad", "dataset.root=bad", "dataset.name=bad"]
    code, printed = swept.run(*command)
    assert code == 1
    assert "3 files are not whole images:" in printed
    for line in (
        "bad/test/cat/notes.txt: not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF image",
        "bad/train/cat/empty.png: the file is empty (0 bytes)",
        "bad/val/dog/cut.png: damaged (",
    ):
        assert line in printed
    assert "dataset.on_bad_image=skip" in printed
    assert "Traceback" not in printed
    code, printed = swept.run(*command, "dataset.on_bad_image=skip")
    assert code == 0, printed
    folder = next(swept.study("bad").glob("bad/real-tiny-*/seed0"))
    assert read_json(folder / layout.RESULT)["counts"]["left_out"] == 3
    assert names(folder) == FINISHED


def test_a_folder_of_classes_is_split_once_and_trained_on(swept: Commands) -> None:
    flat = swept.folder / "Tiere 猫"
    for path in sorted(swept.photos.glob("*/*/*.png")):
        split, name = path.parts[-3:-1]
        (flat / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, flat / name / f"{split}{path.name}")
    command = ["-m", "mix=real,55", "experiment=flat", "dataset.root=Tiere 猫"]
    code, printed = swept.run("mix=real", *command[2:])
    assert code == 0, printed
    written = swept.folder / "outputs" / "splits" / "Tiere 猫" / "split.csv"
    for text in (printed, (swept.study("flat") / "log.txt").read_text(encoding="utf-8")):
        assert text.count("its images were split for good: 28 train, 6 test, 6 val") == 1
    code, printed = swept.run(*command)
    assert code == 0, printed
    folder = next(swept.study("flat").glob("Tiere 猫/real-tiny-*/seed0"))
    counts = read_json(folder / layout.RESULT)["counts"]
    assert [counts[name] for name in ("real", "val", "test")] == [28, 6, 6]
    before = written.read_bytes()
    code, printed = swept.run(*command)
    assert code == 0, printed
    assert printed.count("already finished") == 2
    assert written.read_bytes() == before
    code, printed = swept.run(*command, "dataset.split.seed=1")
    assert code == 2, printed
    assert printed.startswith("No run was started:\n")
    for line in ("dataset.split.seed: 0 there, 1 now", "dataset.name=<name>"):
        assert line in printed
    (flat / "cat" / next(row["path"] for row in read_rows(written) if row["split"] == "test").split("/")[1]).unlink()
    code, printed = swept.run(*command)
    assert code == 2, printed
    assert "1 validation or test image is gone" in printed


def test_a_dataset_in_the_form_of_the_hub_is_written_split_and_trained_on(swept: Commands) -> None:
    hub = swept.folder / "pets"
    shutil.copytree(swept.photos / "train", hub / "train")
    shutil.copytree(swept.photos / "test", hub / "test")
    command = ["mix=real", "experiment=hub", "dataset=huggingface", "dataset.prepare.id=pets"]
    command += ["dataset.prepare.test=test", "dataset.prepare.classes={cat: cat, dog: puppy}"]
    code, printed = swept.run(*command)
    assert code == 0, printed
    folder = next(swept.study("hub").glob("pets/real-tiny-*/seed0"))
    result = read_json(folder / layout.RESULT)
    assert result["classes"] == ["cat", "puppy"]
    assert [result["counts"][name] for name in ("real", "val", "test")] == [17, 3, 12]
    code, printed = swept.run(*command[:-1])
    assert code == 2, printed
    assert "dataset.prepare.classes" in printed


def test_a_dataset_that_cannot_be_had_is_asked_for_once(swept: Commands) -> None:
    with serve(swept.folder) as server:
        server.forbidden = True
        command = ["-m", "mix=real,55", "experiment=nowhere", "dataset=animals", "dataset.root=nowhere"]
        code, printed = swept.run(*command, f"dataset.prepare.descriptions={server.address}/classes.csv")
    assert code == 1, printed
    assert printed.count("-seed0 failed: ") == 2
    assert server.requests.total() == 1


def test_animals_are_selected_and_trained_on(swept: Commands) -> None:
    (swept.folder / "web").mkdir()
    with serve(swept.folder / "web") as server:
        published = OpenImages(server)
        for number in range(7):
            for name in ("Polar bear", "Dog", "Cat", "Tortoise", "Deer", "Eagle"):
                published.add(f"{name.replace(' ', '')}{number}", (name, 0.5, ""))
        published.publish()
        command = ["mix=real", "experiment=animals", "dataset=animals"]
        command += [f"dataset.prepare.{name}={url}" for name, url in published.addresses.items()]
        code, printed = swept.run(*command, *(f"dataset.prepare.{key}" for key in ("train=18", "val=6", "test=12")))
        assert code == 0, printed
        folder = next(swept.study("animals").glob("animals/real-tiny-*/seed0"))
        result = read_json(folder / layout.RESULT)
        assert result["classes"] == ["bear", "cat", "deer", "dog", "eagle", "turtle"]
        assert [result["counts"][name] for name in ("real", "val", "test")] == [18, 6, 12]
        code, printed = swept.run(*command, "experiment=more")
    assert code == 1, printed
    assert "bear: 7 photographs of 279 requested (225 train, 27 val, 27 test)" in printed
    assert "dataset.prepare.smallest_box" in printed
    assert "Traceback" not in printed


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_an_image_in_train_and_test_is_refused(swept: Commands) -> None:
    leaking = swept.folder / "leaking"
    shutil.copytree(swept.photos, leaking)
    shutil.copy(leaking / "test" / "cat" / "000.png", leaking / "train" / "dog" / "copy.png")
    code, printed = swept.run("mix=real", "experiment=leaking", "dataset.root=leaking")
    assert code == 1
    assert "1 image is in more than one split" in printed
    assert "train: leaking/train/dog/copy.png  =  test: leaking/test/cat/000.png" in printed
    assert "Traceback" not in printed


def test_a_network_that_cannot_be_built_is_explained(swept: Commands) -> None:
    code, printed = swept.run("mix=real", "experiment=network", "model.backbone=resnet19")
    assert code == 2
    assert printed.count("model.backbone=resnet19: torchvision has no such classifier; did you mean") == 1
    assert "Traceback" not in printed


def test_a_class_with_too_few_images_is_named(swept: Commands) -> None:
    few = swept.folder / "few"
    shutil.copytree(swept.photos, few)
    for path in sorted((few / "train" / "dog").iterdir())[2:]:
        path.unlink()
    code, printed = swept.run("mix=real20", "experiment=few", "dataset.root=few")
    assert code == 2
    assert printed.startswith("No run was started:\n")
    assert "dog: 2 real images" in printed
    assert "Traceback" not in printed
    assert not swept.study("few").exists()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("could not write: No space left on device (28)")],
)
def test_a_full_disk_is_explained(error: Exception) -> None:
    assert explain(error).startswith(f"The disk is full ({error}). Nothing finished is lost: free some space and run")


def test_other_errors_speak_for_themselves() -> None:
    assert explain(OSError(errno.EACCES, "Permission denied")) == "[Errno 13] Permission denied"
    assert explain(UserError("mend it")) == "mend it"
    assert explain(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_the_error_behind_that_of_a_library_is_found() -> None:
    inner, outer = UserError("mend it"), RuntimeError("in call to target")
    outer.__cause__ = inner
    assert underlying(outer) is inner
    outer.__cause__ = ValueError()
    assert underlying(outer) is outer

"""Prompts and pools through the commands as a user types them, each in a process of its own."""

import csv
import tarfile
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from synthaug.files import read_json
from synthaug.generation.manifest import part_files, read_manifest
from synthaug.runs import contents, discovery, layout
from tests.factories.commands import Commands
from tests.factories.images import image
from tests.factories.servers import serve


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("commands"))


def write_pool(root: Path, each: int) -> None:
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for index in range(each):
            image(5000 + 100 * number + index, (20, 20)).save(root / name / f"{index}.png")


def test_a_sweep_over_prompts_compares_them(commands: Commands) -> None:
    code, printed = commands.run("-m", "mix=55", "prompts=default,class_name", "experiment=prompts")
    assert code == 0, printed
    assert [run.arm for run in discovery.find_runs(commands.study("prompts"))] == ["55 · class_name", "55 · default"]
    prompts = set()
    for manifest in (commands.folder / "outputs" / "synthetic" / "photos").glob("painter-*/manifest.csv"):
        with manifest.open(newline="", encoding="utf-8") as stream:
            texts = sorted({row["prompt"] for row in csv.DictReader(stream)})
            prompts.add((manifest.parent.name.rpartition("-")[0], *texts))
    assert prompts == {("painter", "a cat", "a dog"), ("painter-class_name", "cat", "dog")}


def test_prompts_from_a_file(commands: Commands) -> None:
    (commands.folder / "half.yaml").write_text("cat: [a cat, two cats]\n", encoding="utf-8")
    code, printed = commands.run("mix=55", "prompts=file", "prompts.file=half.yaml", "experiment=file")
    assert code == 2, printed
    assert "The prompts cannot be used (prompts.file=half.yaml):\n    - class 'dog' has no list of prompts" in printed
    (commands.folder / "half.yaml").write_text("cat: [a cat, two cats]\ndog: [a dog]\n", encoding="utf-8")
    code, printed = commands.run(
        "mix=55", "prompts=file", "prompts.file=half.yaml", "experiment=file", command="generate"
    )
    assert code == 0, printed


def test_a_generated_set_has_a_page_unless_none_is_wanted(commands: Commands) -> None:
    page = ["per_class=24", "++generator.name=paged"]
    code, printed = commands.run(*page, "quality.backbone=resnet19", command="generate")
    assert code == 1, printed
    assert "resnet18" in printed
    sets = commands.folder / "outputs" / "synthetic" / "photos"
    assert not list(sets.glob("paged-*")), "nothing is generated for a page that cannot be made"
    code, printed = commands.run(*page, "quality=null", command="generate")
    assert code == 0, printed
    (folder,) = sets.glob("paged-*")
    assert not (folder / "set.html").exists()
    code, printed = commands.run(*page, "quality.backbone=pixels", command="generate")
    assert code == 0, printed
    assert str(folder.relative_to(commands.folder) / "set.html") in printed
    assert read_json(folder / "quality.json")["counts"] == {"cat": 24, "dog": 24}
    assert sorted(path.name for path in (folder / "contact_sheets").iterdir()) == ["cat.jpg", "dog.jpg"]


def test_changed_captions_are_another_set_and_another_arm(commands: Commands) -> None:
    overrides = ["mix=55", "prompts=file", "prompts.file=written.jsonl", "experiment=written"]
    line = '{{"class": "{0}", "caption": "{1} {0}"}}\n'
    for word in ("a", "another"):
        text = "".join(line.format(name, word) for name in ("cat", "dog"))
        (commands.folder / "written.jsonl").write_text(text, encoding="utf-8")
        code, printed = commands.run(*overrides)
        assert code == 0, printed
    runs = discovery.find_runs(commands.study("written"))
    assert len({run.arm for run in runs}) == 2
    sets = list((commands.folder / "outputs" / "synthetic" / "photos").glob("painter-file-written-*"))
    assert len(sets) == 2
    (commands.folder / "written.jsonl").rename(commands.folder / "moved.jsonl")
    (commands.folder / "moved").mkdir()
    (commands.folder / "moved.jsonl").rename(commands.folder / "moved" / "written.jsonl")
    code, printed = commands.run("mix=55", "prompts=file", "prompts.file=moved/written.jsonl", "experiment=written")
    assert code == 0, printed
    assert len(discovery.find_runs(commands.study("written"))) == 2, "the run of these captions is finished"


def test_a_pool_made_elsewhere(commands: Commands) -> None:
    write_pool(commands.folder / "pool", each=6)
    overrides = ["generator=folder", "generator.root=pool", "experiment=pool"]
    code, printed = commands.run("-m", "mix=real,55,82", *overrides)
    assert code == 2, printed
    assert "No run was started:" in printed
    assert "generator.root=pool has too few images in 2 classes:\n    - cat: 6 of 8\n    - dog: 6 of 8" in printed
    code, printed = commands.run("-m", "mix=real,55", *overrides)
    assert code == 0, printed
    assert "Traceback" not in printed
    (folder,) = commands.study("pool").glob("photos/55-pool-tiny-*/seed0")
    rows = contents.read_mix(folder)
    assert sum(Path("pool") in Path(row.path).parents for row in rows) == 10
    code, printed = commands.run("-m", "mix=real,55,82", "generator.partial=true", *overrides[:2], "experiment=partial")
    assert code == 0, printed
    assert "generator.partial: pool has fewer images than the mix needs:" in printed


def test_requests_to_a_hub_stay_off_the_screen(commands: Commands, tmp_path: Path) -> None:
    with serve(tmp_path) as hub:
        asking = Commands.attach(commands, {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"})
        code, printed = asking.run("mix=55", "generator=sd15", "experiment=hub", command="generate")
    assert code == 1, printed
    assert any("stable-diffusion-v1-5" in path for path in hub.requests)
    assert "The text-to-image model stable-diffusion-v1-5/stable-diffusion-v1-5 could not be loaded." in printed
    assert "HTTP Request" not in printed


def test_shards_of_a_set_are_made_by_a_command_each_or_by_a_sweep(commands: Commands) -> None:
    line = ["per_class=5", "generator.name=sharded", "shards=2"]
    code, printed = commands.run(*line, "shard=1", command="generate")
    assert (code, "shard=0: 5 images" in printed, "set.html" in printed) == (0, True, False), printed
    code, printed = commands.run(*line, "shard=2", command="generate")
    assert (code, "0 to 1" in printed) == (2, True), printed
    code, printed = commands.run("-m", *line, "shard=0,1", command="generate")
    assert (code, "set.html" in printed) == (0, True), printed
    (folder,) = (commands.folder / "outputs" / "synthetic" / "photos").glob("sharded-*")
    assert {path.name for path in part_files(folder)} == {"manifest-0-of-2.csv", "manifest-1-of-2.csv"}
    assert [row.index for row in read_manifest(folder)] == [*range(5), *range(5)]
    code, printed = commands.run("mix=55", "shards=2", "shard=1")
    assert (code, "shard" in printed) == (2, True), printed


def test_images_of_a_set_are_made_again_and_compared(commands: Commands) -> None:
    code, printed = commands.run("verify=2", "generator.name=verified", command="generate")
    assert code == 1, printed
    assert "verify=2: " in printed
    code, printed = commands.run("per_class=3", "generator.name=verified", command="generate")
    assert code == 0, printed
    code, printed = commands.run("verify=4", "generator.name=verified", command="generate")
    assert code == 0, printed
    assert "4 of 4 images made again are the same" in printed
    (folder,) = (commands.folder / "outputs" / "synthetic" / "photos").glob("verified-*")
    changed, moved = folder / "cat" / "000001.png", folder / "dog" / "000002.png"
    image(1, (16, 16)).save(changed)
    moved.rename(moved.with_name("moved.png"))
    code, printed = commands.run("verify=99", "generator.name=verified", command="generate")
    assert code == 1, printed
    lines = [line.split(":")[0].removeprefix("  - ") for line in printed.splitlines() if line.startswith("  - ")]
    assert lines[-4:] == ["cat/000001.png", "dog/000002.png", "dog/moved.png", "cat/000001.png"]
    code, printed = commands.run("verify=1", "generator=folder", f"generator.root={folder}", command="generate")
    assert code == 1, printed
    assert "synthaug.check" in printed


def test_images_that_start_from_real_ones_start_from_those_that_the_run_trains_on(commands: Commands) -> None:
    overrides = ["generator=retoucher", "experiment=guided"]
    code, printed = commands.run("-m", "mix=real,64", "seed=0,1", *overrides)
    assert code == 0, printed
    shared = commands.folder / "outputs" / "synthetic" / "photos"
    for seed in (0, 1):
        (run,) = commands.study("guided").glob(f"photos/64-retoucher-tiny-*/seed{seed}")
        rows = contents.read_mix(run)
        trained = {row.sha256 for row in rows if row.origin == "real"}
        (folder,) = shared.glob(f"retoucher-real0.4-seed{seed}-*")
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
            listed = list(csv.DictReader(stream))
        assert {row["source_sha256"] for row in listed} == trained
        assert {row["sha256"] for row in listed} == {row.sha256 for row in rows if row.origin == "synthetic"}
    code, printed = commands.run("-m", "mix=64,synthetic", *overrides)
    assert code == 2, printed
    assert "mix=synthetic: generator=retoucher starts from real images of the arm" in printed
    (commands.photos / listed[0]["source"]).rename(commands.folder / "gone.png")
    code, printed = commands.run("mix=64", "seed=1", overrides[0], "experiment=guided_again")
    assert code == 2, printed
    assert f"{listed[0]['source']} is gone or has changed" in printed
    (commands.folder / "gone.png").rename(commands.photos / listed[0]["source"])


def test_copies_in_a_pool_stop_a_study_before_it_begins_or_are_left_out(commands: Commands) -> None:
    write_pool(commands.folder / "copied", 5)
    (commands.folder / "copied" / "dog" / "0.png").unlink()  # so that the arm needs each image that is kept
    for split, name in (("test", "hidden"), ("train", "memorised")):
        with Image.open(commands.photos / split / "cat" / "001.png") as opened:
            picture = opened if split == "train" else ImageOps.mirror(opened)
            picture.save(commands.folder / "copied" / "dog" / f"{name}.png")
    pool = ("generator=folder", "generator.root=copied", "experiment=copied", "mix=real,55", "-m")
    code, printed = commands.run(*pool)
    assert code == 2
    assert "copied/dog/hidden.png  =  photos/test/cat/001.png" in printed
    assert not commands.study("copied").exists(), "no run was started"
    code, printed = commands.run(*pool, "screening.test_copies=drop")
    assert code == 0, printed
    result = read_json(next(commands.study("copied").glob("photos/55-*/seed0/result.json")))
    assert result["counts"]["per_class"]["dog"] == {"real": 5, "synthetic": 5}
    assert result["screening"]["classes"] == {
        "cat": {"kept": 5, "copies": 0, "rejected": {}},
        "dog": {"kept": 5, "copies": 1, "rejected": {"copy of a test image": 1}},
    }
    assert "Screening of synthetic images" in (commands.study("copied") / "report.html").read_text(encoding="utf-8")


def test_shards_in_the_format_of_the_real_images(commands: Commands) -> None:
    shard = commands.folder / "shards" / "0.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as archive:
        for number in range(16):
            path = commands.folder / "made.png"
            image(9000 + number, (40, 40)).save(path)
            archive.add(path, f"{number:03d}.png")
            path.write_text(str(number % 2), encoding="utf-8")
            archive.add(path, f"{number:03d}.cls")
    overrides = ["generator=webdataset", "generator.urls=shards/*.tar", "experiment=shards"]
    code, printed = commands.run("mix=55", *overrides)
    assert code == 2, printed
    assert "generator.class_names=" in printed
    overrides += ["generator.class_names=[cat,dog]"]
    code, printed = commands.run("-m", "mix=55", "generator.image_format=png,match", *overrides)
    assert code == 0, printed
    matched, plain = sorted(discovery.find_runs(commands.study("shards")), key=lambda run: "match" not in run.arm)
    assert "match" not in plain.arm
    sizes = {}
    for run in (plain, matched):
        (first, *_) = (row.file for row in run.mix if row.origin == "synthetic")
        with Image.open(commands.folder / first) as opened:
            sizes[run.arm] = opened.size
    with Image.open(next((commands.folder / "photos" / "train").rglob("*.png"))) as real:
        assert sizes == {plain.arm: (40, 40), matched.arm: real.size}


def test_a_set_in_tar_files_trains_as_one_in_files(commands: Commands) -> None:
    """Image by image stored as real ones are; a run sees no difference, and the set is verified in place."""
    read: dict[str, list[bytes]] = {}
    for storage in ("files", "tar"):
        typed = ["mix=55", f"storage={storage}", f"output_dir={storage}", "generator.image_format=match"]
        code, printed = commands.run(*typed, "experiment=stored")
        assert code == 0, printed
        (run,) = discovery.find_runs(commands.folder / storage / "stored")
        rows = (run.folder / layout.HISTORY).read_text(encoding="utf-8").splitlines()
        curves = [row.rpartition(",")[0] for row in rows]  # without seconds
        digests = read_json(run.folder / layout.RESULT)["data"]
        assert curves[0].endswith(",lr")
        read[storage] = [
            layout.predictions_file(run.folder).read_bytes(), "\n".join(curves).encode(), str(digests).encode()
        ]  # fmt: skip
        (folder,) = (path for path in (commands.folder / storage / "synthetic" / "photos").iterdir())
        assert bool(list(folder.glob("*.tar"))) == (storage == "tar")
        assert bool(list(folder.rglob("000000.png"))) == (storage == "files")
    assert read["tar"] == read["files"]
    code, printed = commands.run(*typed, "verify=3", command="generate")
    assert code == 0, printed
    assert "3 of 3 images made again are the same" in printed
    (archive,) = folder.glob("*.tar")
    archive.write_bytes(archive.read_bytes().replace(b"IDAT", b"IDAX", 1))
    code, printed = commands.run(*typed, "verify=1", command="generate")
    assert code == 1, printed

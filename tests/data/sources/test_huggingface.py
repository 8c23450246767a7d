"""Datasets of the hub as image folders, from folders on this machine; and what is said where the hub says no."""

import importlib.util
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from synthaug import files
from synthaug.data.samples import scan
from synthaug.data.sources.huggingface import write_huggingface
from synthaug.errors import UserError
from synthaug.files import read_json
from tests.factories.images import SPLIT_FOLDERS, image, write_dataset

datasets = pytest.importorskip("datasets")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An image folder with all splits, in the form that `load_dataset` reads."""
    return write_dataset(tmp_path / "source", classes=("cat", "dog", "猫/x".replace("/", "")), train=4, val=2, test=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "hub"


def encoded(seed: int, suffix: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image(seed).save(stream, suffix)
    return stream.getvalue()


def table(labels: list[Any], label: Any, column: str = "label", path: str | None = "a.png") -> Any:
    rows = {"image": [{"bytes": encoded(seed), "path": path} for seed in range(len(labels))], column: labels}
    return datasets.Dataset.from_dict(rows, datasets.Features({"image": datasets.Image(), column: label}))


NAMES = datasets.ClassLabel(names=["cat", "dog", "tabby"])


def contents(folder: Path) -> dict[str, set[str]]:
    """Class → hashes of its files."""
    return {item.name: {files.sha256(path) for path in item.iterdir()} for item in folder.iterdir()}


def refusal(root: Path, id: str | Path, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        write_huggingface(root, str(id), **arguments)
    assert not root.exists()
    return str(caught.value)


# --- whence ----------------------------------------------------------------------------------------


def test_an_image_folder(source: Path, root: Path) -> None:
    write_huggingface(root, str(source), val="validation", test="test")
    for split, members in (("train", "train"), ("val", "val"), ("test", "test")):
        assert contents(root / split) == contents(source / members)
    real = scan(root, SPLIT_FOLDERS)
    assert real.classes == ["cat", "dog", "猫x"]
    facts = read_json(root / "dataset.json")
    assert facts["counts"]["train"] == {"cat": 4, "dog": 4, "猫x": 4}
    assert facts["request"]["val"] == "validation"
    assert facts["versions"] == {"datasets": datasets.__version__}


def test_splits_that_are_not_used_are_left_out_and_named(
    source: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "synthaug"):
        write_huggingface(root, str(source))
    assert {path.name for path in root.iterdir()} == {"train", "dataset.json"}
    assert f"{source}: its splits test, validation are not used" in caplog.text


@pytest.mark.parametrize("whole", [True, False])
def test_what_save_to_disk_wrote(tmp_path: Path, root: Path, whole: bool) -> None:
    saved = table([0, 1, 1], NAMES)
    (datasets.DatasetDict({"train": saved, "eval": saved}) if whole else saved).save_to_disk(str(tmp_path / "saved"))
    write_huggingface(root, str(tmp_path / "saved"), test="eval" if whole else None)
    assert {path.read_bytes() for path in root.glob("train/*/*.png")} == {encoded(seed) for seed in range(3)}
    assert (root / "test").is_dir() == whole
    message = refusal(root.parent / "other", tmp_path / "saved", val="valid")
    assert "dataset.prepare.val=valid: there is no such split; " in message


@pytest.mark.parametrize(("path", "suffix"), [("b.JPEG", ".jpeg"), ("b", ".png"), ("b.jpg?size=large", ".png")])
def test_files_keep_their_suffix_or_get_the_usual_one(tmp_path: Path, root: Path, path: str, suffix: str) -> None:
    table([0, 1], NAMES, path=path).save_to_disk(str(tmp_path / "saved"))
    write_huggingface(root, str(tmp_path / "saved"))
    assert {file.suffix for file in root.glob("train/*/*")} == {suffix}


@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
def test_parquet_with_the_bytes_of_the_files(tmp_path: Path, root: Path, suffix: str) -> None:
    (tmp_path / "parquet").mkdir()
    rows = {"image": [{"bytes": encoded(seed, suffix), "path": None} for seed in range(4)], "label": [0, 1, 0, 1]}
    features = datasets.Features({"image": datasets.Image(), "label": NAMES})
    datasets.Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "parquet" / "train.parquet"))
    write_huggingface(root, str(tmp_path / "parquet"))
    actual = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("0*")}
    end = {"PNG": "png", "JPEG": "jpg"}[suffix]
    assert actual == {f"train/{('cat', 'dog')[seed % 2]}/{seed:07d}.{end}": encoded(seed, suffix) for seed in range(4)}


def test_a_folder_that_holds_it_is_left_alone_and_another_request_refused(source: Path, root: Path) -> None:
    write_huggingface(root, str(source))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    write_huggingface(root, str(source))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(UserError, match=r"dataset\.prepare\.classes: None there, \['cat', 'dog'\] now"):
        write_huggingface(root, str(source), classes=["cat", "dog"])


def test_an_interruption_leaves_nothing_behind(source: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def interrupted(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_huggingface(root, str(source))
    assert {path.name for path in root.parent.iterdir()} <= {".hub.lock"}


# --- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        (None, {"cat": 2, "dog": 1, "tabby": 3}),
        (["dog", "cat"], {"cat": 2, "dog": 1}),
        ({"cat": "feline", "tabby": "feline", "dog": "dog"}, {"feline": 5, "dog": 1}),
        ({"cat": "a/b", "dog": ".b"}, {"a-b": 2, "b": 1}),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_classes_are_chosen_and_renamed(
    tmp_path: Path, root: Path, classes: Any, wanted: Mapping[str, int], named: bool
) -> None:
    labels = [0, 1, 2, 2, 2, 0]
    built = table([NAMES.names[label] for label in labels], datasets.Value("string")) if named else table(labels, NAMES)
    built.save_to_disk(str(tmp_path / "saved"))
    write_huggingface(root, str(tmp_path / "saved"), classes=classes)
    assert {folder.name: len(list(folder.iterdir())) for folder in (root / "train").iterdir()} == wanted


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (["cat", "Dogs"], "there is no class 'Dogs'; did you mean 'dog'?"),
        (["cat", "zebra"], "there is no class 'zebra'; there are cat, dog, tabby"),
        ("cat", "dataset.prepare.classes=cat: must be a list or a mapping, such as [cat,<another>]"),
        (["cat"], "1 class (cat); at least two are needed"),
        ({"cat": "x", "dog": "x"}, "1 class (x); at least two are needed"),
        ({"cat": "a/b", "dog": "a-b"}, "'a-b' cannot be the name of a folder; rename it: {'dog': <new name>}"),
    ],
)
def test_classes_that_cannot_be(tmp_path: Path, root: Path, classes: Any, problem: str) -> None:
    table([0, 1, 2], NAMES).save_to_disk(str(tmp_path / "saved"))
    assert problem in refusal(root, tmp_path / "saved", classes=classes)


# --- what is said ----------------------------------------------------------------------------------


def test_columns_that_cannot_be(tmp_path: Path, root: Path) -> None:
    saved = tmp_path / "saved"
    table([3, 4], datasets.Value("int64"), "fine_label").save_to_disk(str(saved))
    arguments_of = {
        "label_column=label: there is no such column; the dataset has image, fine_label": {},
        "image_column=img: there is no such column": {"image_column": "img", "label_column": "fine_label"},
        "image_column=fine_label: holds Value": {"image_column": "fine_label", "label_column": "fine_label"},
        "label_column=fine_label: holds Value('int64'), neither class labels nor names": {"label_column": "fine_label"},
    }
    for text, arguments in arguments_of.items():
        assert text in refusal(root, saved, **arguments)


def test_images_without_a_label_are_refused(tmp_path: Path, root: Path) -> None:
    table([0, -1], NAMES).save_to_disk(str(tmp_path / "saved"))
    assert "The split for train has images without a label" in refusal(root, tmp_path / "saved")


def test_a_split_that_there_is_not(source: Path, root: Path) -> None:
    assert 'dataset.prepare.val=vall: unknown split "vall"' in refusal(root, source, val="vall")


def test_folders_that_cannot_be_read(tmp_path: Path, root: Path) -> None:
    assert f"there is no folder {tmp_path / 'nowhere'}" in refusal(root, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert f"dataset.prepare.id={tmp_path / 'empty'}: cannot be read (" in refusal(root, tmp_path / "empty")


def test_the_package_is_named(source: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'synthaug[huggingface]'" in refusal(root, source)


def test_without_a_connection_the_way_out_is_named(root: Path) -> None:
    message = refusal(root, "nobody/nothing")
    assert message.startswith("nobody/nothing cannot be loaded: ")
    assert "HF_HUB_OFFLINE" in message
    assert "dataset.prepare.id=<folder>" in message


# --- the hub, as far as it can be made up ------------------------------------------------------------


def answer_with(monkeypatch: pytest.MonkeyPatch, info: Any, loaded: Any) -> list[dict[str, Any]]:
    """Let the hub say `info` and `load_dataset` give or raise `loaded`; what the latter is called with."""
    calls: list[dict[str, Any]] = []

    def dataset_info(self: object, repo_id: str, *, revision: str | None = None) -> Any:
        if isinstance(info, Exception):
            raise info
        return info

    def load_dataset(path: str, **arguments: Any) -> Any:
        calls.append({"path": path, **arguments})
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_the_commit_and_the_licence_are_written_down(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(sha=COMMIT, card_data={"license": "cc-by-4.0"})
    calls = answer_with(monkeypatch, info, table([0, 1], NAMES))
    write_huggingface(root, "owner/pets", revision="main", config="plain")
    assert calls == [{"path": "owner/pets", "name": "plain", "revision": COMMIT, "split": "train"}]
    facts = read_json(root / "dataset.json")
    assert (facts["revision"], facts["licence"]) == (COMMIT, "cc-by-4.0")
    assert facts["source"] == "https://huggingface.co/datasets/owner/pets"
    assert facts["request"]["revision"] == "main"


@pytest.mark.parametrize("error", [ConnectionError("offline"), Exception("of an HTTP library")])
def test_offline_the_cache_still_knows_the_commit(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    actual = table([0, 1], NAMES)
    actual.info.download_checksums = {f"hf://datasets/owner/pets@{COMMIT}/train.parquet": {"num_bytes": 1}}
    answer_with(monkeypatch, error, actual)
    write_huggingface(root, "owner/pets")
    facts = read_json(root / "dataset.json")
    assert facts["revision"] == COMMIT
    assert facts["licence"].startswith("not stated")


def hub_error(name: str) -> Exception:
    """An error of the hub's client, made without a response."""
    import huggingface_hub.errors

    kind = getattr(huggingface_hub.errors, name)
    error: Exception = kind.__new__(kind)
    return error


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ("GatedRepoError", "owner/pets is gated: accept its terms at https://huggingface.co/datasets/owner/pets"),
        ("RepositoryNotFoundError", "dataset.prepare.id=owner/pets: the hub has no such dataset"),
        ("RevisionNotFoundError", "dataset.prepare.revision=v9: owner/pets has no such branch, tag or commit"),
    ],
)
def test_what_the_hub_says_no_to(root: Path, monkeypatch: pytest.MonkeyPatch, info: str, problem: str) -> None:
    answer_with(monkeypatch, hub_error(info), None)
    assert problem in refusal(root, "owner/pets", revision="v9")


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ValueError("Config name is missing. Pick one among: ['a', 'b']"), "dataset.prepare.config=None: Config name"),
        (RuntimeError("Dataset scripts are no longer supported, but found x.py"), "revision=refs/convert/parquet"),
        (datasets.exceptions.DatasetNotFoundError("it is a gated dataset on the Hub."), "is gated: accept its terms"),
        (datasets.exceptions.DatasetNotFoundError("doesn't exist"), "the hub has no such dataset"),
        (datasets.exceptions.DatasetGenerationError("an error"), "dataset.prepare.id=owner/pets: cannot be read"),
    ],
)
def test_what_load_dataset_says_no_to(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    answer_with(monkeypatch, SimpleNamespace(sha=COMMIT, card_data=None), error)
    assert problem in refusal(root, "owner/pets")


def test_a_silent_hub_is_left_alone_by_what_reads_its_datasets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would try each file for eight minutes, and then use its cache."""
    monkeypatch.setattr("synthaug.hub_client._silence", lambda *_: "ReadTimeout: timed out")
    for settings in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)
    assert refusal(root, "owner/pets").startswith("owner/pets cannot be loaded: ReadTimeout: timed out. Check")
    assert not datasets.config.HF_HUB_OFFLINE


def test_a_hub_that_does_not_answer_is_no_fault_of_the_dataset(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client changes its HTTP library, whose errors are no OSError, from one version to the next."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(Exception, match="refused") as caught:
        huggingface_hub.get_session().get("http://127.0.0.1:9")
    answer_with(monkeypatch, caught.value, caught.value)
    assert "run the same command again" in refusal(root, "owner/pets")


def test_a_network_lost_in_the_middle_of_a_download_is_no_fault_of_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `datasets` passes it on: wrapped in an error of its own."""

    def lose(*_: object, **__: object) -> None:
        raise RuntimeError("An error occurred while generating the dataset") from TimeoutError("the read timed out")

    monkeypatch.setattr(datasets, "load_dataset", lose)
    monkeypatch.setattr("synthaug.data.sources.huggingface._hub_facts", lambda *_: {})
    with pytest.raises(UserError, match="same command again"):
        write_huggingface(tmp_path / "written", "owner/name")
    assert not (tmp_path / "written").exists()

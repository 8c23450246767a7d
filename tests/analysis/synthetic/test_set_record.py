"""A synthetic set as it lies on the disk, and the choice of a backbone for its images."""

from pathlib import Path

import pytest
from PIL import Image

from synthaug.analysis.synthetic import set_measurement
from synthaug.analysis.synthetic.set_measurement import choose_backbone, measure_set
from synthaug.analysis.synthetic.set_record import read_set, record_of
from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError
from synthaug.files import sha256
from synthaug.generation.manifest import read_manifest
from synthaug.screening.verdicts import TEACHER, Verdict, VerdictFile
from tests.factories.images import image, write_flat
from tests.factories.synthetic_sets import painted_set

COUNTS = {"cat": 5, "dog": 3}


def test_a_set_is_read_as_training_takes_it(tmp_path: Path) -> None:
    images = painted_set(tmp_path / "set", COUNTS)
    record = read_set(tmp_path / "set", tmp_path / "set")
    assert list(record.samples) == images.samples(["cat", "dog"])
    assert record == record_of(images, ["cat", "dog"])
    assert record.counts == COUNTS
    assert record.settings == {"colours": 2}
    assert record.facts["model"] == ["made up"]
    assert record.prompts == {"cat": {"a cat": 5}, "dog": {"a dog": 3}}
    seconds = sum(float(row.seconds) for row in read_manifest(tmp_path / "set"))
    assert record.seconds == pytest.approx(seconds)


def test_the_newest_verdicts_decide_which_images_are_read(tmp_path: Path) -> None:
    images = painted_set(tmp_path / "set", COUNTS)
    samples = images.samples(["cat", "dog"])
    for name, rejected in (("old", 0), ("new", 6)):
        verdicts = [
            Verdict(
                sample.class_name,
                sample.path.relative_to(tmp_path / "set").as_posix(),
                sample.sha256,
                number != rejected,
                "" if number != rejected else TEACHER,
            )
            for number, sample in enumerate(samples)
        ]
        VerdictFile(tmp_path / "set" / f"screening-{name}-1", {}, {}).write(verdicts, {})
    record = read_set(tmp_path / "set", tmp_path / "set")
    assert record.screening == "screening-new-1"
    assert list(record.samples) == [*samples[:6], samples[7]]
    (verdict,) = record.rejected[TEACHER]
    assert record.file(verdict) == samples[6].path


def test_a_file_that_is_gone_is_left_out(tmp_path: Path) -> None:
    painted_set(tmp_path / "set", COUNTS).samples(["cat"])[1].path.unlink()
    record = read_set(tmp_path / "set", tmp_path / "set")
    assert record.counts == {"cat": 4, "dog": 3}
    assert [sample.order for sample in record.samples if sample.class_name == "cat"] == [0, 2, 3, 4]


def test_a_pool_is_listed_by_its_folders_and_other_classes_left_out(tmp_path: Path) -> None:
    write_flat(tmp_path / "pool", COUNTS)
    (tmp_path / "pool" / "contact_sheets").mkdir()
    record = read_set(tmp_path / "pool", tmp_path / "cache")
    assert record.counts == COUNTS
    assert record.seconds is None
    assert (record.facts, record.rejected, record.folder) == ({}, {}, tmp_path / "cache")
    of_dataset = read_set(tmp_path / "pool", tmp_path / "cache", ["ape", "cat"])
    assert of_dataset.counts == {"ape": 0, "cat": 5}
    assert {sample.label for sample in of_dataset.samples} == {1}


def test_flat_and_damaged_images_of_a_pool_are_rejected(tmp_path: Path) -> None:
    write_flat(tmp_path / "pool", COUNTS)
    Image.new("RGB", (64, 64)).save(tmp_path / "pool" / "cat" / "black.png")
    (tmp_path / "pool" / "dog" / "broken.png").write_bytes(b"no image")
    record = read_set(tmp_path / "pool", tmp_path / "cache")
    assert record.counts == COUNTS
    assert {verdict.image for verdicts in record.rejected.values() for verdict in verdicts} == {
        "cat/black.png",
        "dog/broken.png",
    }


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read_set(tmp_path / "nowhere", tmp_path)
    with pytest.raises(UserError, match="no images"):
        read_set(tmp_path, tmp_path)
    write_flat(tmp_path / "pool", COUNTS)
    with pytest.raises(UserError, match="ape"):
        read_set(tmp_path / "pool", tmp_path / "cache", ["ape"])


def listed(root: Path, class_name: str, label: int) -> list[Sample]:
    return [Sample(path, label, class_name, REAL, sha256(path)) for path in sorted((root / class_name).iterdir())]


def test_a_set_is_measured_with_the_backbone_that_is_named(tmp_path: Path) -> None:
    images = painted_set(tmp_path / "set", {"cat": 30, "dog": 30}).samples(["cat", "dog"])
    root = write_flat(tmp_path / "real", {"cat": 30, "dog": 30})
    train = [*listed(root, "cat", 0), *listed(root, "dog", 1)]
    quality = measure_set(images, train, [], tmp_path / "features")
    assert (quality.backbone, quality.n) == ("pixels", 60)
    assert quality.scores
    of_network = measure_set(images, train, [], tmp_path / "features", "timm/test_efficientnet@random", 32)
    assert (of_network.backbone, of_network.dimension) == ("timm/test_efficientnet@random", 256)


def test_photographs_take_a_network_only_where_it_is_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image(0, (100, 90)).save(tmp_path / "large.png")
    image(0, (28, 28)).save(tmp_path / "small.png")
    large, small = (Sample(tmp_path / f"{name}.png", 0, "cat", REAL, name) for name in ("large", "small"))
    assert choose_backbone([small]) == choose_backbone([]) == "pixels"
    assert not caplog.records
    assert choose_backbone([large]) == "pixels"
    assert set_measurement.PHOTOGRAPHS in caplog.text
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    assert choose_backbone([large]) == set_measurement.PHOTOGRAPHS

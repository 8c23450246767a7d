"""Synthetic images stored as real training images of their class are, generated ones and those of a pool."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from synthaug import environment, files
from synthaug.data.decoding import decode
from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.generation.image_formats import MatchedFormats
from synthaug.generation.stored_format import read_format
from synthaug.generation.synthetic_set import SyntheticSet
from synthaug.runs.identity import run_settings, synthetic_set_name
from tests.factories.images import image
from tests.generation.test_folder import write_pool
from tests.generation.test_synthetic_set import Painter

SETTINGS: dict[str, Any] = {"generator": {"name": "g", "model": "m"}, "mix": {"synthetic": 1}}


def training(root: Path) -> list[Sample]:
    """Cats are JPEG files of two qualities, dogs small grey PNG files."""
    root.mkdir()
    samples = []
    for number in range(8):
        is_cat = number < 6
        path = root / f"{number}.{'jpg' if is_cat else 'png'}"
        picture = image(number, (7, 6) if is_cat else (4, 4), "RGB" if is_cat else "L")
        picture.save(path, quality=40 + 30 * (number % 2))
        name = "cat" if is_cat else "sea_lion"
        samples.append(Sample(path, int(not is_cat), name, REAL, files.sha256(path)))
    return samples


def matched(folder: Path, samples: list[Sample], journal: Path | None = None) -> SyntheticSet:
    return SyntheticSet(folder, Painter(journal), formats=MatchedFormats(folder, samples))


def properties(path: Path) -> dict[str, str]:
    """The metadata of an image, by the local names of its properties."""
    with Image.open(path) as opened:
        xmp = opened.info["xmp"]
    root = ElementTree.fromstring(xmp.decode() if isinstance(xmp, bytes) else xmp)
    return {element.tag.partition("}")[2]: element.text or "" for element in root.iter() if element.text}


def test_each_image_has_the_format_of_a_real_one_of_its_class(tmp_path: Path) -> None:
    real = training(tmp_path / "real")
    synthetic = matched(tmp_path / "set", real)
    assert synthetic.ensure({"cat": 12, "sea_lion": 2}) == 14
    samples = synthetic.samples(["cat", "sea_lion"])
    expected = Counter(read_format(sample.path) for sample in real if sample.class_name == "cat")
    formats = Counter(read_format(sample.path) for sample in samples if sample.class_name == "cat")
    assert formats == Counter({stored: 2 * count for stored, count in expected.items()}), "each equally often"
    assert {sample.path.suffix for sample in samples if sample.class_name == "sea_lion"} == {".png"}
    assert all(files.sha256(sample.path) == sample.sha256 for sample in samples)


def test_the_formats_of_a_set_stay_whatever_becomes_of_the_real_images(tmp_path: Path) -> None:
    real = training(tmp_path / "real")
    matched(tmp_path / "set", real).ensure({"cat": 4})
    record = (tmp_path / "set" / "formats.json").read_bytes()
    first = {path.name: path.read_bytes() for path in (tmp_path / "set" / "cat").iterdir()}
    for sample in real[:4]:
        sample.path.unlink()
    (tmp_path / "set" / "cat" / "000001.jpg").unlink()
    synthetic = matched(tmp_path / "set", real[4:])
    assert synthetic.ensure({"cat": 4}) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "set" / "cat").iterdir()} == first
    assert (tmp_path / "set" / "formats.json").read_bytes() == record
    assert synthetic.ensure({"sea_lion": 1}) == 1, "a class that joins later gets its formats later"


def test_real_images_that_are_gone_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    real = training(tmp_path / "real")
    real[0].path.unlink()
    with caplog.at_level(logging.WARNING):
        matched(tmp_path / "set", real).ensure({"cat": 1})
    assert str(real[0].path) in caplog.text
    for sample in real[6:]:
        sample.path.write_bytes(b"")
    with pytest.raises(UserError, match=r"image_format=match: .*sea_lion"):
        matched(tmp_path / "set", real).ensure({"sea_lion": 1})
    with pytest.raises(UserError, match=r"image_format=match: .*owl"):
        matched(tmp_path / "set", real).ensure({"owl": 1})


def test_images_that_are_much_too_small_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "real.png"
    image(1, (64, 32)).save(path)
    real = [Sample(path, 0, "cat", REAL, files.sha256(path))]
    with caplog.at_level(logging.WARNING):
        synthetic = matched(tmp_path / "set", real)
        synthetic.ensure({"cat": 1})
    assert "1 image is (of 1) more than 1.5 times smaller" in caplog.text
    with Image.open(synthetic.samples(["cat"])[0].path) as opened:
        assert opened.size == (12, 6)


def test_a_set_with_matched_formats_is_another_one(tmp_path: Path) -> None:
    keys: dict[str, dict[str, Any]] = {
        "none": {}, "null": {"image_format": None}, "png": {"image_format": "png"}, "match": {"image_format": "match"},
    }  # fmt: skip
    names = {
        name: synthetic_set_name({**SETTINGS, "generator": {**SETTINGS["generator"], **key}})
        for name, key in keys.items()
    }
    assert names["none"] == names["null"] == names["png"] != names["match"]
    pool = {"name": "pool", "root": "x"}
    assert synthetic_set_name({"generator": {**pool, "image_format": "match"}}) == "pool-match"
    assert synthetic_set_name({"generator": pool}) == "pool"
    plain = run_settings(SETTINGS)
    assert run_settings({**SETTINGS, "generator": {**SETTINGS["generator"], "image_format": "png"}}) == plain
    assert run_settings({**SETTINGS, "generator": {**SETTINGS["generator"], "image_format": "match"}}) != plain
    SyntheticSet(tmp_path, Painter()).ensure({"cat": 1})
    with pytest.raises(UserError, match=r"generator\.image_format: recorded None, now 'match'"):
        matched(tmp_path, training(tmp_path / "real")).ensure({"cat": 2})


def test_copies_of_a_pool_stand_in_for_its_images(tmp_path: Path) -> None:
    real = training(tmp_path / "real")
    root = write_pool(tmp_path / "pool", cat=4, sea_lion=1)
    originals = {path: path.read_bytes() for path in root.rglob("*.png")}
    folder = tmp_path / "kept"

    def pool() -> FolderPool:
        return FolderPool(folder, FolderGenerator(str(root)), MatchedFormats(folder, real))

    samples = pool().samples(["cat", "sea_lion"])
    assert [sample.path.relative_to(folder).as_posix() for sample in samples] == [
        *(f"images/cat/{index:06d}.jpg" for index in range(4)), "images/sea_lion/000000.png"
    ]  # fmt: skip
    assert all(files.sha256(sample.path) == sample.sha256 for sample in samples)
    assert {path: path.read_bytes() for path in root.rglob("*.png")} == originals
    assert properties(samples[0].path)["original_sha256"] == files.sha256(root / "cat" / "0.png")
    stamps = {sample.path: sample.path.stat().st_mtime_ns for sample in samples}
    image(1, (16, 16)).save(root / "cat" / "00.png")  # the first by name
    samples[2].path.unlink()
    again = pool().samples(["cat", "sea_lion"])
    assert {sample.sha256 for sample in samples} < {sample.sha256 for sample in again}
    assert [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp] == [samples[2].path]
    assert len(again) == 6


def test_an_image_says_how_it_came_to_be_and_keeps_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_NAMES", {})
    environment.remember("TOKEN", "hunter22")
    painter = Painter(prompt="a <{class_name}> & hunter22 \x00")
    synthetic = SyntheticSet(tmp_path / "png", painter)
    synthetic.ensure({"cat": 1})
    (row,), (sample,) = synthetic.rows(), synthetic.samples(["cat"])
    described = properties(sample.path)
    assert described["DigitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert described["AIPromptInformation"] == "a <cat> & ${oc.env:TOKEN} \ufffd"
    assert (described["AISystemUsed"], described["AISystemVersionUsed"]) == ("painter", "abc")
    assert (described["seed"], described["class_name"], described["index"]) == (str(row.seed), "cat", "0")
    assert "torch" not in described
    assert b"hunter22" not in sample.path.read_bytes()
    assert (decode(sample.path, None) == painter.paint(painter.prompt.format(class_name="cat"), row.seed)).all()
    folder = tmp_path / "jpeg"
    endless = Painter(prompt="猫" * 50_000 + "{class_name}")
    jpeg = SyntheticSet(folder, endless, formats=MatchedFormats(folder, training(tmp_path / "real")))
    jpeg.ensure({"cat": 1})
    described = properties(jpeg.samples(["cat"])[0].path)
    assert (described["steps"], len(described["AIPromptInformation"])) == ("16", 4_000)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_images_of_any_mode_keep_their_pixels(tmp_path: Path, mode: str) -> None:
    class Other(Painter):
        def paint(self, prompt: str, seed: int) -> Image.Image:
            return super().paint(prompt, seed).convert(mode)

    painter = Other()
    synthetic = SyntheticSet(tmp_path, painter)
    synthetic.ensure({"cat": 1})
    (row,), (sample,) = synthetic.rows(), synthetic.samples(["cat"])
    assert (decode(sample.path, None) == np.asarray(painter.paint(row.prompt, row.seed).convert("RGB"))).all()

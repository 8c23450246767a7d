"""What a frozen network sees: once per image and view, kept, and noticed where it does not exist."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthaug.data.augment import Augmentation, View
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, Sample, scan
from synthaug.errors import UserError
from synthaug.features import frozen_network
from synthaug.features.frozen_network import EvaluationView, FrozenNetwork, Shown, TrainingView, separate
from synthaug.features.vector_file import FEATURES, VectorFile
from synthaug.models.classifier import Classifier
from tests.factories.commands import NETWORK
from tests.factories.images import SPLIT_FOLDERS, write_dataset
from tests.factories.probes import CPU

SEEN = EvaluationView(View(32, 0.875, 64))


@pytest.fixture(scope="module")
def network() -> FrozenNetwork:
    torch.manual_seed(0)
    network = separate(Classifier(["cat", "dog"], backbone=NETWORK, train_stages=0), 32, CPU)
    assert network is not None
    return network


@pytest.fixture
def real(tmp_path: Path) -> RealImages:
    return scan(write_dataset(tmp_path / "photos", train=5, val=2, test=2, size=(40, 64)), SPLIT_FOLDERS)


@pytest.fixture
def store(tmp_path: Path, real: RealImages) -> PixelStore:
    store = PixelStore(tmp_path / "pixels", 64)
    store.add({sample.sha256: sample.path for samples in real.splits.values() for sample in samples})
    return store


@pytest.fixture
def embedded(network: FrozenNetwork, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that the network is shown."""
    counts: list[int] = []
    embed = network.embed

    def count(images: Tensor) -> NDArray[np.float32]:
        counts.append(len(images))
        return embed(images)

    monkeypatch.setattr(network, "embed", count)
    return counts


def view(number: int, **augmentation: float) -> TrainingView:
    return TrainingView(number, Augmentation(scale=(0.3, 1.0), **augmentation), 32, 64, 0.875)  # type: ignore[arg-type]


def test_each_image_is_seen_once_in_each_view(
    network: FrozenNetwork, real: RealImages, store: PixelStore, tmp_path: Path, embedded: list[int]
) -> None:
    views: list[Shown] = [view(0), view(1), SEEN]
    first, values = network.features(
        tmp_path,
        [(sample, how, store) for how in views for sample in real.train],
    )
    assert sum(embedded) == 3 * len(real.train)
    rows, again = network.features(
        tmp_path, [(sample, how, store) for sample in [*real.test, *real.train] for how in views[1:]]
    )
    assert sum(embedded) == 3 * len(real.train) + 2 * len(real.test)
    for sample in real.train:
        seen = [values[first[sample.sha256, how]] for how in views]
        assert not np.array_equal(seen[0], seen[1])
        assert not np.array_equal(seen[1], seen[2])
        np.testing.assert_array_equal(again[rows[sample.sha256, SEEN]], seen[2])
    more_rotation, _ = network.features(tmp_path, [(real.train[0], view(0, rotation=10.0), store)])
    assert sum(embedded) == 3 * len(real.train) + 2 * len(real.test) + 1
    assert len(more_rotation) == 1


def test_images_that_are_shown_by_other_code_are_seen_anew(
    network: FrozenNetwork,
    real: RealImages,
    store: PixelStore,
    tmp_path: Path,
    embedded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[tuple[Sample, Shown, PixelStore]] = [(real.val[0], how, store) for how in (SEEN, view(0))]
    for version, seen in ((1, 2), (1, 2), (2, 4)):
        monkeypatch.setattr(frozen_network, "VERSION", version)
        network.features(tmp_path, shown)
        assert sum(embedded) == seen


def test_other_weights_have_other_features(
    network: FrozenNetwork, real: RealImages, store: PixelStore, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    other = separate(Classifier(["cat", "dog"], backbone=NETWORK, train_stages=0), 32, CPU)
    assert other is not None
    shown = [(sample, SEEN, store) for sample in real.val]
    (rows, values), (others, changed) = network.features(tmp_path, shown), other.features(tmp_path, shown)
    assert rows.keys() == others.keys()
    assert not np.array_equal(values[0], changed[0])


@pytest.mark.parametrize("model", [{"head_dropout": 0.5}, {"head_batch_norm": True}])
def test_a_head_whose_input_changes_in_training_is_not_separated(model: dict[str, float]) -> None:
    assert separate(Classifier(["cat", "dog"], backbone=NETWORK, train_stages=0, **model), 32, CPU) is None  # type: ignore[arg-type]


def test_a_trained_network_is_not_separated() -> None:
    assert separate(Classifier(["cat", "dog"], backbone=NETWORK), 32, CPU) is None


def vectors(keys: list[str], stop: int | None = None) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    for number, key in enumerate(keys):
        if number == stop:
            raise KeyboardInterrupt
        yield [key], np.full((1, 3), int(key[:8], 16) % 1000, dtype=np.float32)


def keys(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


def test_what_was_computed_before_a_kill_stays(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "vectors", 3, "made up", "0")
    with pytest.raises(KeyboardInterrupt):
        file.complete(keys(9), lambda missing: vectors(missing, stop=4))
    with (tmp_path / "vectors" / FEATURES).open("ab") as stream:
        stream.write(b"half a record")
    computed: list[str] = []
    found = file.complete(keys(9), lambda missing: vectors(computed.__iadd__(missing)))
    assert computed == keys(9)[4:]
    assert sorted(found.rows) == keys(9)
    assert (tmp_path / "vectors" / FEATURES).stat().st_size == 9 * (32 + 12 + 8)


def test_what_has_changed_on_the_disk_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = VectorFile(tmp_path / "vectors", 3, "made up", "0")
    file.complete(keys(9), vectors)
    path = tmp_path / "vectors" / FEATURES
    content = bytearray(path.read_bytes())
    for row in (2, 5):
        content[row * (32 + 12 + 8) + 40] ^= 1
    path.write_bytes(content)
    assert not caplog.messages
    for _ in range(2):
        assert sorted(file.complete(keys(9), vectors).rows) == keys(9)
        assert [message for message in caplog.messages if "2 records" in message] == caplog.messages[:1] != []


def test_a_store_that_the_disk_has_no_room_for_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=10**4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    file = VectorFile(tmp_path / "vectors", 3, "made up", "0")
    with pytest.raises(UserError, match=r"1,000 images.*0\.0 GB.*output_dir"):
        file.complete(keys(1000), vectors)
    assert file.complete(keys(10), vectors).values.shape == (10, 3)

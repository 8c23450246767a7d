"""Embeddings on disk: computed once, whatever the order, whole or computed again."""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from synthaug import files
from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError
from synthaug.features.backbone_by_name import feature_backbone
from synthaug.features.feature_backbone import label
from synthaug.features.feature_store import FeatureStore
from synthaug.features.pixel_features import PixelThumbnails
from synthaug.features.vector_file import FEATURES
from tests.factories.images import image, write_flat


class Counting(PixelThumbnails):
    """Counts the images that it embeds; small batches."""

    batch_size = 3

    def __init__(self) -> None:
        self.embedded: list[int] = []

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.embedded.append(len(images))
        return super().embed(images)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    root = write_flat(tmp_path / "photos", {"cat": 5, "dog": 3})
    return [Sample(path, 0, path.parent.name, REAL, files.sha256(path)) for path in sorted(root.glob("*/*.png"))]


def expected(samples: Sequence[Sample]) -> NDArray[np.float32]:
    images = [np.asarray(Image.open(sample.path).convert("RGB")) for sample in samples]
    return PixelThumbnails().embed(images)


def test_embeddings_are_computed_once_and_come_in_the_order_of_the_request(
    tmp_path: Path, samples: list[Sample]
) -> None:
    backbone = Counting()
    store = FeatureStore(tmp_path / "features", backbone)
    first = store.of(samples[:4])
    assert sum(backbone.embedded) == 4
    np.testing.assert_array_equal(first, expected(samples[:4]))
    mixed = [samples[7], samples[0], samples[5], samples[0]]
    np.testing.assert_array_equal(FeatureStore(tmp_path / "features", backbone).of(mixed), expected(mixed))
    assert sum(backbone.embedded) == 6
    assert max(backbone.embedded) == 3
    assert store.of([]).shape == (0, backbone.dimension)


def test_a_copy_under_another_name_is_not_computed_again(tmp_path: Path, samples: list[Sample]) -> None:
    backbone = Counting()
    store = FeatureStore(tmp_path / "features", backbone)
    store.of(samples)
    store.of([Sample(tmp_path / "gone.png", samples[0].label, "owl", "synthetic", samples[0].sha256)])
    assert sum(backbone.embedded) == len(samples)


@given(cut=st.integers(1, 4000), flip=st.integers(0, 10**6))
def test_what_is_cut_or_changed_on_the_disk_is_computed_again(
    cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    listed = []
    for number in range(4):
        image(number).save(folder / f"{number}.png")
        listed.append(Sample(folder / f"{number}.png", 0, "cat", REAL, files.sha256(folder / f"{number}.png")))
    store = FeatureStore(folder / "features", PixelThumbnails())
    whole = store.of(listed)
    path = store.folder / FEATURES
    content = bytearray(path.read_bytes())
    content[flip % len(content)] ^= 1
    path.write_bytes(content[: max(0, len(content) - cut)])
    np.testing.assert_array_equal(store.of(listed), whole)
    np.testing.assert_array_equal(store.of(listed[::-1]), whole[::-1])


def test_files_that_are_no_images_are_named_at_once_and_the_others_are_kept(
    tmp_path: Path, samples: list[Sample]
) -> None:
    backbone = Counting()
    store = FeatureStore(tmp_path / "features", backbone)
    samples[2].path.write_bytes(b"no image")
    samples[6].path.unlink()
    with pytest.raises(UserError) as raised:
        store.of(samples)
    assert str(samples[2].path) in str(raised.value)
    assert str(samples[6].path) in str(raised.value)
    whole = [sample for sample in samples if sample.path not in (samples[2].path, samples[6].path)]
    count = sum(backbone.embedded)
    store.of(whole)
    assert sum(backbone.embedded) == count == 6


class Endless(PixelThumbnails):
    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return super().embed(images) * np.float32("inf")


def test_features_that_are_no_numbers_are_refused(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(UserError, match="finite"):
        FeatureStore(tmp_path / "features", Endless()).of(samples)


def _compute(folder: Path, samples: list[Sample]) -> None:
    FeatureStore(folder, PixelThumbnails()).of(samples)


def test_two_processes_compute_each_image_once(tmp_path: Path, samples: list[Sample]) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_compute, args=(tmp_path / "features", samples)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    store = FeatureStore(tmp_path / "features", PixelThumbnails())
    np.testing.assert_array_equal(store.of(samples), expected(samples))
    size = 4 * store.backbone.dimension + 40
    assert (store.folder / FEATURES).stat().st_size == len(samples) * size


def test_pixels_tell_brightness_and_colour_and_show_the_middle_square() -> None:
    red, grey = (np.full((30, 50, 3), colour, dtype=np.uint8) for colour in ((255, 0, 0), (76, 76, 76)))
    (of_red, of_grey) = PixelThumbnails().embed([red, grey])
    np.testing.assert_allclose(of_red[:196], of_grey[:196], atol=0.02)  # 76 is the luminance of red
    assert np.abs(of_red[196:] - of_grey[196:]).min() > 0.5
    stripe = grey.copy()
    stripe[:, :10] = stripe[:, -10:] = 255
    np.testing.assert_array_equal(PixelThumbnails().embed([stripe])[0], of_grey)


def test_a_store_is_named_by_its_backbone(tmp_path: Path) -> None:
    assert FeatureStore(tmp_path, feature_backbone()).folder.name.startswith("pixels-")
    assert label("timm/vit_small.in1k@/tmp/x y.pth") == "vit-small.in1k-tmp-x-y.pth"

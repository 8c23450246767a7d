"""The criteria in features: a teacher, the distance to real images, copies by likeness, the CLIP score."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, Sample, scan
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.screening.clip_score import ClipImages
from synthaug.screening.criterion import RealReferences
from synthaug.screening.in_features import kth_distances
from synthaug.screening.screened_images import ScreenedImages
from synthaug.screening.settings import ScreeningSettings
from synthaug.screening.verdicts import CLIP, CRITERIA, FAR, TEACHER, TEST_COPY, TRAIN_COPY, Verdict
from tests.factories.clip import save_clip
from tests.factories.images import SPLIT_FOLDERS

SIZE = (32, 32)
LIGHT = {"cat": 60, "dog": 190}


def paint(seed: int, light: int, spread: int = 40) -> Image.Image:
    """A smooth picture of some brightness."""
    coarse = np.random.default_rng(seed).integers(light - spread, light + spread, (4, 4, 3)).clip(0, 255)
    return Image.fromarray(coarse.astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)


def write(folder: Path, light: int, count: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        paint(seed + number, light).save(folder / f"{seed + number:04d}.png")


@pytest.fixture
def real(tmp_path: Path) -> RealImages:
    for number, (split, count) in enumerate((("train", 12), ("val", 2), ("test", 3))):
        for label, (name, light) in enumerate(LIGHT.items()):
            write(tmp_path / "data" / split / name, light, count, 1000 * number + 100 * label)
    return scan(tmp_path / "data", SPLIT_FOLDERS)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Cats and dogs, of which a few cats are as light as dogs and one is noise."""
    for label, (name, light) in enumerate(LIGHT.items()):
        write(tmp_path / "pool" / name, light, 8, 5000 + 100 * label)
    write(tmp_path / "pool" / "cat", LIGHT["dog"], 3, 7000)
    noise = np.random.default_rng(0).integers(0, 2, (32, 32, 3), dtype=np.uint8) * 255
    Image.fromarray(noise).resize((320, 320), Image.Resampling.NEAREST).save(tmp_path / "pool" / "cat" / "noise.png")
    return tmp_path / "pool"


def verdicts(
    pool: Path, real: RealImages, share: list[Sample] | None = None, **changed: Any
) -> tuple[dict[str, Verdict], dict[str, float]]:
    generator = FolderGenerator(str(pool))
    images = FolderPool(pool.parent / "verdicts", generator)
    references = RealReferences(real.train if share is None else share, real.train, real.val, real.test)
    settings = ScreeningSettings(**{"test_copies": "drop", **changed})
    screened = ScreenedImages(images, settings, references, PixelStore(pool.parent / "pixels", 64))
    screened.samples(["cat", "dog"])
    thresholds = read_json(screened.verdict_folder / CRITERIA)["thresholds"]
    return {verdict.image: verdict for verdict in screened.verdicts(["cat", "dog"])}, thresholds


def rejected(judged: dict[str, Verdict], reason: str) -> set[str]:
    return {image.removesuffix(".png") for image, v in judged.items() if v.reason == reason and not v.kept}


LIGHT_CATS = {"cat/7000", "cat/7001", "cat/7002"}


def test_a_teacher_rejects_what_it_takes_for_another_class(pool: Path, real: RealImages) -> None:
    judged, _ = verdicts(pool, real, teacher="pixels")
    assert rejected(judged, TEACHER) - {"cat/noise"} == LIGHT_CATS
    assert judged["cat/7000.png"].match == "taken for dog"
    assert (judged["cat/7000.png"].score or 0) < 0.5
    strict, _ = verdicts(pool, real, teacher="pixels", teacher_probability=0.9999999)
    assert len(rejected(strict, TEACHER)) > len(LIGHT_CATS) + 1


def test_a_teacher_sees_the_images_of_the_arm_alone(pool: Path, real: RealImages) -> None:
    class Untouchable(list[Sample]):
        def __iter__(self) -> Any:
            raise AssertionError("the teacher reads test images")

    ignoring = {"test_copies": "ignore", "train_copies": "ignore"}
    held_out = RealImages(real.classes, real.train, Untouchable(real.val), Untouchable(real.test))
    few = [sample for sample in real.train if int(sample.path.stem) % 2]
    swapped = [Sample(s.path, 1 - s.label, "dog" if s.class_name == "cat" else "cat", s.origin, s.sha256) for s in few]
    judged, _ = verdicts(pool, held_out, swapped, teacher="pixels", **ignoring)
    assert len(rejected(judged, TEACHER)) >= 16, "who learns cats as dogs rejects both"
    cats = [sample for sample in few if sample.class_name == "cat"]
    for share, name in ((cats, "a second class"), ([], "cat")):
        with pytest.raises(UserError, match=rf"no real training image of {name}"):
            verdicts(pool, held_out, share, teacher="pixels", **ignoring)


def test_what_lies_far_from_real_images_is_rejected(pool: Path, real: RealImages) -> None:
    judged, thresholds = verdicts(pool, real, knn="pixels", knn_neighbours=3, knn_percentile=100.0)
    assert {image for image in rejected(judged, FAR) if "cat" in image} == {*LIGHT_CATS, "cat/noise"}
    assert len(rejected(judged, FAR)) < 8
    assert (judged["cat/7000.png"].score or 0) > thresholds[f"{FAR}: cat"] > 0
    with pytest.raises(UserError, match="12 real images of cat, too few for 12 neighbours"):
        verdicts(pool, real, knn="pixels", knn_neighbours=12)


@given(
    points=arrays.arrays(np.float32, (5, 3), elements=st.floats(-4, 4, width=16)),
    others=arrays.arrays(np.float32, (7, 3), elements=st.floats(-4, 4, width=16)),
    k=st.integers(1, 7),
)
def test_distances_are_those_of_scipy(points: NDArray[np.float32], others: NDArray[np.float32], k: int) -> None:
    expected = np.sort(cdist(points.astype(float), others.astype(float)), axis=1)[:, k - 1]
    np.testing.assert_allclose(kth_distances(points, others, k), expected, atol=1e-5)


def test_features_find_copies_that_pixels_do_not(pool: Path, real: RealImages) -> None:
    with Image.open(real.test[0].path) as opened:
        opened.crop((0, 0, 26, 26)).resize(SIZE).save(pool / "dog" / "test.png")
    with Image.open(real.train[0].path) as opened:
        opened.crop((0, 0, 27, 27)).resize(SIZE).save(pool / "dog" / "train.png")
    plain, _ = verdicts(pool, real)
    assert not rejected(plain, TEST_COPY)
    judged, _ = verdicts(pool, real, copy_backbone="pixels", copy_similarity=0.98)
    assert "dog/test" in rejected(judged, TEST_COPY)
    assert (judged["dog/train.png"].kept, judged["dog/train.png"].reason) == (True, TRAIN_COPY)
    assert judged["dog/test.png"].match == str(real.test[0].path)


def test_clip_scores_by_percentile_and_threshold(tmp_path: Path, pool: Path, real: RealImages) -> None:
    model = save_clip(tmp_path / "clip")
    clip = ClipImages(str(model), None)
    with Image.open(pool / "cat" / "7000.png") as opened:
        pixels = np.asarray(opened)
    vectors = clip.embed([pixels, pixels[::-1].copy()])
    np.testing.assert_allclose(vectors[0], clip.embed([pixels])[0], atol=1e-5)
    cosine = float(vectors[0] @ clip.embed_text("a photo of a cat"))
    assert -1 <= cosine <= 1
    assert abs(cosine - float(vectors[0] @ clip.embed_text("a photo of a dog"))) > 1e-6
    shared: dict[str, Any] = {"clip_model": str(model), "clip_revision": None}
    judged, thresholds = verdicts(pool, real, clip_percentile=50.0, **shared)
    limit = thresholds[f"{CLIP}: cat"]
    for image, verdict in judged.items():
        assert verdict.reason != CLIP or (verdict.score or 0) < thresholds[f"{CLIP}: {image[:3]}"] + 1e-4
    with Image.open(pool / "cat" / "7000.png") as opened:
        is_below = cosine < limit
    assert ("cat/7000" in rejected(judged, CLIP)) == is_below
    everything, _ = verdicts(pool, real, [], clip_threshold=0.9999, **shared)
    assert rejected(everything, CLIP) == {image.removesuffix(".png") for image in everything}
    with pytest.raises(UserError, match="the arm has no real training image of cat"):
        verdicts(pool, real, [], clip_percentile=5.0, **shared)


@pytest.mark.parametrize("model", ["./none", "no/such-model"])
def test_a_clip_model_that_cannot_be_had_is_named(
    model: str, pool: Path, real: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"screening\.clip_model|no/such-model"):
        verdicts(pool, real, clip_threshold=0.2, clip_model=model, clip_revision=None)

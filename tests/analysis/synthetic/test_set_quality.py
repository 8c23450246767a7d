"""All numbers on a set together: equal numbers of images, references, what too few images cannot tell; the teacher."""

import numpy as np
import pytest
from numpy.typing import NDArray

from synthaug.analysis.synthetic.embedded import Embedded
from synthaug.analysis.synthetic.embedding_map import MAX_POINTS, embedding_map
from synthaug.analysis.synthetic.label_fidelity import label_fidelity, worst
from synthaug.analysis.synthetic.set_quality import MIN_IMAGES, MIN_OF_CLASS, Scale, SetQuality, measure

EMPTY = Embedded(np.zeros((0, 6), dtype=np.float32), np.zeros(0, dtype=np.int64))


def clusters(seed: int, counts: dict[int, int], spread: float = 1.0) -> Embedded:
    """Embeddings around a corner for each label."""
    random = np.random.default_rng(seed)
    labels = np.repeat([*counts], [*counts.values()])
    vectors = 6 * np.eye(6)[labels] + spread * random.standard_normal((len(labels), 6))
    return Embedded(vectors.astype(np.float32), labels.astype(np.int64))


@pytest.fixture(scope="module")
def quality() -> SetQuality:
    return measure("pixels", clusters(0, {0: 60, 1: 50, 2: 40}), EMPTY, clusters(1, {0: 70, 1: 30, 2: 45, 3: 9}, 0.5))


def test_equally_many_of_each_class_are_compared(quality: SetQuality) -> None:
    assert quality.n == 60 + 30 + 40
    assert quality.n_half == 65
    assert (quality.n_real, quality.n_synthetic) == (150, 145)
    synthetic, real = quality.compared
    assert np.bincount(clusters(1, {0: 70, 1: 30, 2: 45, 3: 9}).labels[synthetic]).tolist() == [60, 30, 40]
    assert np.bincount(clusters(0, {0: 60, 1: 50, 2: 40}).labels[real]).tolist() == [60, 30, 40]
    assert {label: numbers.n for label, numbers in quality.by_class.items()} == {0: 60, 1: 30, 2: 40, 3: 0}


def test_a_narrow_set_is_precise_less_diverse_and_farther_than_real_from_real(quality: SetQuality) -> None:
    assert quality.scores
    assert quality.of_real
    assert quality.of_synthetic
    assert quality.scores.precision > quality.scores.recall
    assert quality.of_synthetic.fid > quality.of_real.fid > 0
    assert quality.of_synthetic.kid > quality.of_real.kid
    assert quality.of_synthetic.vendi < quality.of_real.vendi
    assert quality.of_synthetic.distance < quality.of_real.distance
    assert quality.fid_extrapolated
    assert 0 < quality.fid_extrapolated.low < quality.fid_extrapolated.value < quality.scores.fid
    assert quality.kid
    assert quality.kid.low > 0
    of_class = quality.by_class[0]
    assert of_class.vendi
    assert of_class.vendi[0] < of_class.vendi[1]
    assert of_class.distance
    assert of_class.distance[0] < 0.6 * of_class.distance[1]


def test_a_class_without_enough_images_has_no_numbers(quality: SetQuality) -> None:
    of_class = quality.by_class[3]
    assert (of_class.kid, of_class.neighbourhoods, of_class.vendi, of_class.distance) == (None, None, None, None)


def test_a_second_draw_of_the_real_images_is_as_good_as_real() -> None:
    quality = measure("x", clusters(0, {0: 200, 1: 200}), clusters(5, {0: 9, 1: 9}), clusters(1, {0: 200, 1: 200}))
    assert quality.kid
    assert quality.kid.contains_zero
    assert quality.fid_extrapolated
    assert quality.fid_extrapolated.contains_zero
    assert quality.of_real
    assert quality.of_synthetic
    assert quality.of_synthetic.fid == pytest.approx(quality.of_real.fid, rel=0.5)
    assert quality.fidelity
    assert quality.fidelity.agreement.value > 0.98
    assert quality.fidelity.accuracy
    assert (quality.fidelity.validated_on, quality.fidelity.is_cross_validated) == (18, False)


@pytest.mark.parametrize("count", [0, 1, 5, MIN_IMAGES - 1])
def test_too_few_images_are_no_error(count: int) -> None:
    quality = measure("x", clusters(0, {0: count, 1: 3}), EMPTY, clusters(1, {0: count}))
    assert (quality.scores, quality.kid, quality.fid_extrapolated, quality.of_real) == (None, None, None, None)
    assert quality.n == (count if count >= MIN_OF_CLASS else 0)


def test_more_than_a_minutes_worth_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthaug.analysis.synthetic.set_quality.MAX_IMAGES", 50)
    assert measure("x", clusters(0, {0: 60, 1: 60}), EMPTY, clusters(1, {0: 60, 1: 60})).n == 50


def test_numbers_are_the_same_every_time_and_do_not_depend_on_where_the_real_images_lie() -> None:
    real, synthetic = clusters(0, {0: 50, 1: 50}), clusters(1, {0: 50, 1: 50}, 0.7)
    first, second = (measure("x", real, EMPTY, synthetic) for _ in range(2))
    assert first.scores == second.scores
    moved = measure(
        "x", Embedded(real.vectors + 5, real.labels), EMPTY, Embedded(synthetic.vectors + 5, synthetic.labels)
    )
    assert first.kid
    assert moved.kid
    assert moved.kid.value == pytest.approx(first.kid.value, rel=1e-3)


def test_the_scale_is_that_of_real_embeddings() -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32) * 7 + 3
    scaled = Scale.of(vectors)(vectors)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    assert scaled.var(axis=0).mean() == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(Scale.of(np.ones((5, 2), dtype=np.float32))(np.ones((1, 2), dtype=np.float32)), 0)


def pair(part: Embedded) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    return part.vectors, part.labels


def test_the_teacher_sees_exchanged_labels() -> None:
    real, validation, synthetic = clusters(0, {0: 40, 2: 40}), clusters(1, {0: 10, 2: 10}), clusters(2, {0: 30, 2: 30})
    labels = synthetic.labels.copy()
    labels[:6] = 2
    fidelity = label_fidelity(pair(real), pair(validation), (synthetic.vectors, labels))
    assert fidelity
    assert fidelity.accuracy
    assert fidelity.accuracy.value == 1
    assert fidelity.agreement.value == pytest.approx(54 / 60)
    assert fidelity.by_class[2].value == pytest.approx(30 / 36)
    assert fidelity.confusions(labels) == [(2, 0, 6)]
    assert sorted(worst(fidelity, 10)) == list(range(6))
    assert len(worst(fidelity, 2)) == 2


def test_a_class_that_no_real_image_has_is_never_right_and_three_classes_are_told_apart() -> None:
    real, synthetic = clusters(0, {0: 30, 1: 30, 2: 30}), clusters(2, {1: 5, 2: 5, 4: 5})
    fidelity = label_fidelity(pair(real), pair(EMPTY), pair(synthetic))
    assert fidelity
    assert fidelity.is_cross_validated
    assert fidelity.validated_on == 90
    assert fidelity.by_class[4].value == 0
    assert fidelity.by_class[1].value == fidelity.by_class[2].value == 1


def test_one_class_has_no_teacher_and_few_images_no_accuracy() -> None:
    assert label_fidelity(pair(clusters(0, {1: 30})), pair(EMPTY), pair(clusters(1, {1: 5}))) is None
    fidelity = label_fidelity(pair(clusters(0, {0: 3, 1: 3})), pair(EMPTY), pair(clusters(1, {1: 5})))
    assert fidelity
    assert fidelity.accuracy is None


def test_a_map_is_the_same_every_time_and_keeps_classes_apart() -> None:
    real, synthetic = clusters(0, {0: 60, 1: 60}), clusters(1, {0: 40, 1: 40})
    maps = [embedding_map(*pair(real), *pair(synthetic)) for _ in range(2)]
    first, second = maps
    assert first
    assert second
    np.testing.assert_array_equal(first.points, second.points)
    assert (first.n_real, first.points.shape, first.method) == (120, (200, 2), "t-SNE")
    centres = [first.points[first.labels == label].mean(axis=0) for label in (0, 1)]
    inner = max(first.points[first.labels == label].std(axis=0).max() for label in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * inner


def test_a_map_of_few_images_has_their_principal_components() -> None:
    real, synthetic = clusters(0, {0: 6}), clusters(1, {0: 5})
    points = embedding_map(*pair(real), *pair(synthetic))
    assert points
    assert points.method == "PCA"
    vectors = np.concatenate([real.vectors, synthetic.vectors]).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(centred)[2][:2]
    np.testing.assert_allclose(np.abs(points.points), np.abs(centred @ axes.T), atol=1e-6)
    assert embedding_map(*pair(clusters(0, {0: 1})), *pair(clusters(1, {0: 1}))) is None


def test_a_map_of_many_images_is_of_some_of_them() -> None:
    many = clusters(0, {0: 2 * MAX_POINTS})
    few = clusters(1, {0: 20})
    points = embedding_map(*pair(many), *pair(few))
    assert points
    assert (points.n_real, len(points.points)) == (MAX_POINTS // 2, MAX_POINTS // 2 + 20)

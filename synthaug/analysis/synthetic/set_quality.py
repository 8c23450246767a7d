"""All numbers on what a synthetic set is like beside the real training images, from embeddings of both.

Every distance depends on the number of images. So they are computed of as many real as synthetic images of each class,
and beside them stand the same numbers of one half of the real images against the other half, and of as many synthetic
ones against that half: the first is what a perfect set would get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate
from synthaug.analysis.synthetic.diversity import mean_distance, vendi_score
from synthaug.analysis.synthetic.embedded import Embedded
from synthaug.analysis.synthetic.embedding_map import EmbeddingMap, embedding_map
from synthaug.analysis.synthetic.frechet import MIN_PER_DIMENSION, extrapolated_distance, frechet_distance
from synthaug.analysis.synthetic.kernel_distance import kernel_distance
from synthaug.analysis.synthetic.label_fidelity import LabelFidelity, label_fidelity
from synthaug.analysis.synthetic.neighbourhoods import Neighbourhoods, compare_neighbourhoods

MIN_IMAGES = 20  # of each origin, below which nothing is compared; of a class too
MIN_OF_CLASS = 4  # of each origin, below which a class is left out of what is compared: half of it are two
MAX_IMAGES = 5_000  # of each origin, so that it takes a minute
SPLITS = 3  # of the real images into halves

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Scores:
    """Numbers on two sets of n images, each depending on n but `kid`."""

    fid: float
    kid: float
    precision: float
    recall: float
    density: float
    coverage: float
    vendi: float
    distance: float


@dataclass(frozen=True)
class ClassQuality:
    """Numbers on one class.

    Attributes:
        n: images of each origin that were compared; the others are None where it is below `MIN_IMAGES`.
        kid: unbiased, with its interval.
        neighbourhoods: of the n images.
        vendi: of the synthetic images, and of as many real ones.
        distance: mean distance of two synthetic images, and of two real ones.
    """

    n: int
    kid: Estimate | None = None
    neighbourhoods: Neighbourhoods | None = None
    vendi: tuple[float, float] | None = None
    distance: tuple[float, float] | None = None


@dataclass(frozen=True)
class SetQuality:
    """What a synthetic set is like.

    Attributes:
        backbone: of the embeddings.
        dimension: of the embeddings.
        n_real, n_synthetic: images at hand of the classes that both have.
        n: images of each that were compared, as many of each class.
        scores: of these; None where they are too few.
        kid: unbiased, with its interval.
        fid_extrapolated: extrapolated to infinitely many images; None where n is too small for it.
        neighbourhoods: of the n images.
        compared: (n,) rows of the synthetic images, and of the real ones, that `neighbourhoods` numbers.
        n_half: images of each in the two below.
        of_real: one half of the real images against the other, in the mean of several splits.
        of_synthetic: as many synthetic images against the same halves.
        fidelity: of the labels, by a teacher; None with fewer than two classes.
        by_class: label → numbers on the class.
        map: of both origins.
    """

    backbone: str
    dimension: int
    n_real: int
    n_synthetic: int
    n: int
    scores: Scores | None
    kid: Estimate | None
    fid_extrapolated: Estimate | None
    neighbourhoods: Neighbourhoods | None
    compared: tuple[NDArray[np.int64], NDArray[np.int64]]
    n_half: int
    of_real: Scores | None
    of_synthetic: Scores | None
    fidelity: LabelFidelity | None
    by_class: Mapping[int, ClassQuality]
    map: EmbeddingMap | None

    @property
    def needed_for_fid(self) -> int:
        """Images of each origin from which on the Fréchet distance can be extrapolated."""
        return MIN_PER_DIMENSION * self.dimension


def measure(backbone: str, real: Embedded, validation: Embedded, synthetic: Embedded, seed: int = 0) -> SetQuality:
    """Measure a synthetic set.

    Args:
        backbone: name of what made the embeddings.
        real: training images.
        validation: real images that a teacher is checked on; may be empty.
        synthetic: the images of the set.
        seed: of the choices of images.
    """
    random = np.random.default_rng(seed)
    shared = np.intersect1d(real.labels, synthetic.labels)
    chosen = _matched(real, synthetic, shared, random)
    left, right = real.rows(chosen[0]), synthetic.rows(chosen[1])
    scale = Scale.of(real.vectors)
    n, n_half = len(left), len(left.halves(random)[0])
    scores, kid, near, extrapolated = None, None, None, None
    if n >= MIN_IMAGES:
        scores, kid, near = _scores(left, right, scale)
        extrapolated = extrapolated_distance(left, right, random)
    of_real, of_synthetic = _halves(left, right, scale, random) if n_half >= MIN_IMAGES else (None, None)
    return SetQuality(
        backbone=backbone,
        dimension=real.vectors.shape[1],
        n_real=int(np.isin(real.labels, shared).sum()),
        n_synthetic=int(np.isin(synthetic.labels, shared).sum()),
        n=n,
        scores=scores,
        kid=kid,
        fid_extrapolated=extrapolated,
        neighbourhoods=near,
        compared=(chosen[1], chosen[0]),
        n_half=n_half,
        of_real=of_real,
        of_synthetic=of_synthetic,
        fidelity=label_fidelity(*((part.vectors, part.labels) for part in (real, validation, synthetic))),
        by_class={
            int(label): _of_class(real, synthetic, int(label), scale, random) for label in np.unique(synthetic.labels)
        },
        map=embedding_map(real.vectors, real.labels, synthetic.vectors, synthetic.labels),
    )


@dataclass(frozen=True)
class Scale:
    """Mean of the real embeddings and their standard deviation, over all dimensions.

    The kernel of the distance and the cosine of the Vendi score are taken of embeddings in these units: what all images
    have in common, such as a black ground, would drown the rest.
    """

    centre: Vectors
    deviation: float

    @classmethod
    def of(cls, vectors: Vectors) -> "Scale":
        """Return the scale of real embeddings."""
        deviation = float(np.sqrt(vectors.var(axis=0, dtype=np.float64).mean())) or 1.0
        return cls(vectors.mean(axis=0), deviation)

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return embeddings in these units."""
        return np.asarray((vectors - self.centre) / np.float32(self.deviation))

    def of_images(self, images: Embedded) -> Embedded:
        """Return images whose embeddings are in these units."""
        return Embedded(self(images.vectors), images.labels)


def _scores(real: Embedded, synthetic: Embedded, scale: Scale) -> tuple[Scores, Estimate, Neighbourhoods]:
    kid = kernel_distance(scale.of_images(real), scale.of_images(synthetic))
    near = compare_neighbourhoods(real.vectors, synthetic.vectors)
    shares = (near.precision.value, near.recall.value, near.density, near.coverage.value)
    diversity = vendi_score(scale(synthetic.vectors)), mean_distance(synthetic.vectors)
    return Scores(frechet_distance(real.vectors, synthetic.vectors), kid.value, *shares, *diversity), kid, near


def _halves(real: Embedded, synthetic: Embedded, scale: Scale, random: np.random.Generator) -> tuple[Scores, Scores]:
    """Return the mean scores of half of the real images, and of as many synthetic ones, against the other half."""
    of_real, of_synthetic = [], []
    for _ in range(SPLITS):
        reference, rest = real.halves(random)
        some, _ = synthetic.halves(random)
        of_real.append(_scores(reference, rest, scale)[0])
        of_synthetic.append(_scores(reference, some, scale)[0])
    return _mean(of_real), _mean(of_synthetic)


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(*(float(np.mean([getattr(item, field.name) for item in scores])) for field in fields(Scores)))


def _matched(
    real: Embedded, synthetic: Embedded, shared: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose rows of both, equally many of each class, and at most `MAX_IMAGES` of each origin."""
    rows: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    members = [[np.flatnonzero(part.labels == label) for label in shared] for part in (real, synthetic)]
    counts = [min(len(first), len(second)) for first, second in zip(*members, strict=True)]
    counts = [count if count >= MIN_OF_CLASS else 0 for count in counts]
    share = min(1.0, MAX_IMAGES / max(1, sum(counts)))
    for chosen, of_origin in zip(rows, members, strict=True):
        for group, count in zip(of_origin, counts, strict=True):
            chosen.append(random.permutation(group)[: max(min(count, MIN_OF_CLASS), int(share * count))])
    return _joined(rows[0]), _joined(rows[1])


def _joined(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *rows])


def _of_class(
    real: Embedded, synthetic: Embedded, label: int, scale: Scale, random: np.random.Generator
) -> ClassQuality:
    parts = [part.rows(np.flatnonzero(part.labels == label)) for part in (real, synthetic)]
    n = min(MAX_IMAGES, *(len(part) for part in parts))
    if n < MIN_IMAGES:
        return ClassQuality(n)
    left, right = (part.rows(random.permutation(len(part))[:n]) for part in parts)
    return ClassQuality(
        n,
        kernel_distance(scale.of_images(left), scale.of_images(right)),
        compare_neighbourhoods(left.vectors, right.vectors),
        (vendi_score(scale(right.vectors)), vendi_score(scale(left.vectors))),
        (mean_distance(right.vectors), mean_distance(left.vectors)),
    )

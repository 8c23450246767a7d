"""The criteria in the features of a backbone: a teacher, the distance to real images, and copies by likeness."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.data.samples import Sample, per_class
from synthaug.errors import UserError
from synthaug.features.feature_store import FeatureStore
from synthaug.messages import plural
from synthaug.screening.copied import Originals
from synthaug.screening.criterion import Candidate, Criterion, Finding
from synthaug.screening.verdicts import FAR, TEACHER, TRAIN_COPY

_ROWS = 1024  # images whose distances to all others are held in memory at once

Features = NDArray[np.float32]


class Teacher(Criterion):
    """Rejects images that a classifier of the arm's real training images takes for another class.

    The classifier is a logistic regression on features, with classes of equal weight; it sees no validation or test
    image.

    Args:
        features: by its backbone.
        share: real training images of the arm.
        least: probability of their class that images must have; None: a higher one than of any other class.
    """

    def __init__(self, features: FeatureStore, share: Sequence[Sample], least: float | None) -> None:
        super().__init__()
        self._features, self._share, self._least = features, share, least
        self._classifier: Any = None
        self._class_name = ""

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.

        Raises:
            UserError: the arm has no real image of the class, or of no other.
        """
        taught = {sample.class_name for sample in self._share}
        if class_name not in taught or len(taught) < 2:
            raise UserError(
                f"screening.teacher={self._features.backbone.name}: the arm has no real training image of "
                f"{class_name if class_name not in taught else 'a second class'} to learn from: choose a mix with real "
                "images, or leave the teacher out with screening.teacher=null."
            )
        self._class_name = class_name

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return which images the teacher takes for another class."""
        if self._classifier is None:
            self._classifier = _fit(self._features.of(self._share), [sample.class_name for sample in self._share])
        classes = list(self._classifier.classes_)
        column = classes.index(self._class_name)
        rows = self._classifier.predict_proba(self._features.of([candidate.sample for candidate in candidates]))
        return [self._finding(row, column, classes) for row in rows]

    def _finding(self, row: NDArray[np.float64], column: int, classes: Sequence[str]) -> Finding | None:
        likeliest = int(row.argmax())
        accepted = likeliest == column if self._least is None else row[column] >= self._least
        match = "" if likeliest == column else f"taken for {classes[likeliest]}"
        return Finding(TEACHER, not accepted, float(row[column]), match) if not accepted else None


def _fit(features: Features, names: Sequence[str]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced")
    return make_pipeline(StandardScaler(), classifier).fit(features, list(names))


class FarFromReal(Criterion):
    """Rejects images that lie further from real ones than these from each other, in the features of a backbone.

    An image is as far as its k-th nearest real training image of the class; of a real image, itself does not count.

    Args:
        features: by the backbone.
        share: real training images of the arm.
        neighbours: k.
        percentile: of the real images' distances, beyond which an image is rejected.
    """

    def __init__(self, features: FeatureStore, share: Sequence[Sample], neighbours: int, percentile: float) -> None:
        super().__init__()
        self._features, self._neighbours, self._percentile = features, neighbours, percentile
        self._share = per_class(share, list(dict.fromkeys(sample.class_name for sample in share)))
        self._real: Features = np.zeros((0, 0), dtype=np.float32)
        self._limit = 0.0

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.

        Raises:
            UserError: the arm has too few real images of it.
        """
        share: Sequence[Sample] = self._share.get(class_name, ())
        if len(share) <= self._neighbours:
            raise UserError(
                f"screening.knn={self._features.backbone.name}: the arm has {plural(len(share), 'real image')} of "
                f"{class_name}, too few for {plural(self._neighbours, 'neighbour')} each: lower "
                "screening.knn_neighbours, choose a mix with more real images, or set screening.knn=null."
            )
        self._real = self._features.of(share)
        between = kth_distances(self._real, self._real, self._neighbours + 1)  # the nearest one is the image itself
        self._limit = float(np.percentile(between, self._percentile))
        self.thresholds[f"{FAR}: {class_name}"] = round(self._limit, 6)

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return which images are too far."""
        features = self._features.of([candidate.sample for candidate in candidates])
        distances = kth_distances(features, self._real, self._neighbours)
        return [Finding(FAR, score=float(distance)) if distance > self._limit else None for distance in distances]


def kth_distances(points: Features, others: Features, k: int) -> NDArray[np.float64]:
    """Return the Euclidean distance of each point to the k-th nearest of others.

    Args:
        points: (N, D).
        others: (M, D), at least k.
        k: from 1.
    """
    exact, squares = others.astype(np.float64), (others.astype(np.float64) ** 2).sum(axis=1)
    distances = []
    for start in range(0, len(points), _ROWS):
        rows = points[start : start + _ROWS].astype(np.float64)
        squared = (rows**2).sum(axis=1)[:, None] + squares - 2 * rows @ exact.T
        distances.append(np.sqrt(np.partition(squared, k - 1, axis=1)[:, k - 1].clip(min=0)))
    return np.concatenate(distances) if distances else np.zeros(0)


class FeatureCopies(Criterion):
    """Rejects images whose features are those of a real image, however it was changed; see `RealCopies`.

    Args:
        features: by the backbone.
        originals: the real images.
        similarity: cosine from which on two images are copies.
        drops_train: whether copies of training images are rejected.
    """

    def __init__(self, features: FeatureStore, originals: Originals, similarity: float, drops_train: bool) -> None:
        super().__init__()
        self._features, self._originals, self._similarity = features, originals, similarity
        self._drops_train = drops_train
        self._real: Features | None = None

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which real image each candidate is a copy, of several of the most similar one."""
        if self._real is None:
            self._real = _unit(self._features.of(self._originals.samples))
        features = _unit(self._features.of([candidate.sample for candidate in candidates]))
        return [self._finding(row) for row in features @ self._real.T]

    def _finding(self, cosines: Features) -> Finding | None:
        similar = [int(index) for index in np.flatnonzero(cosines >= self._similarity)]
        if not similar:
            return None
        held_out = [index for index in similar if self._originals.reason(index) != TRAIN_COPY]
        best = max(held_out or similar, key=lambda index: cosines[index])
        reason, file = self._originals.reason(best), self._originals.samples[best].file
        return Finding(reason, self._drops_train or reason != TRAIN_COPY, float(cosines[best]), file)


def _unit(features: Features) -> Features:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12))

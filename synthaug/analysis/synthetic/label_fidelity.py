"""Whether synthetic images show their class, by a teacher: a classifier of embeddings fitted to the real training set.

Its accuracy on real images that it was not fitted to bounds what it can tell: of validation images, or where there are
none, of each fifth of the training images by the others. Images of the test set are never looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.inference.intervals import Estimate, wilson

FOLDS = 5
PENALTY = 10.0  # inverse strength of the L2 penalty
MAX_FITTED = 4000  # training images, so that fitting takes seconds

Vectors = NDArray[np.floating]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelFidelity:
    """What the teacher makes of the synthetic images.

    Attributes:
        accuracy: of the teacher on real images; None where too few of a class are at hand to know it.
        validated_on: number of these images.
        is_cross_validated: whether they are training images, each left out of the fit once.
        fitted_to: number of training images.
        agreement: share of the synthetic images that it puts into their class.
        by_class: label → the same for the images of a class.
        predicted: (M,) labels that it gives.
        surplus: (M,), by how much it prefers the predicted class to the image's own; 0 where it agrees.
    """

    accuracy: Estimate | None
    validated_on: int
    is_cross_validated: bool
    fitted_to: int
    agreement: Estimate
    by_class: dict[int, Estimate]
    predicted: Labels
    surplus: NDArray[np.float64]

    def confusions(self, labels: Labels) -> list[tuple[int, int, int]]:
        """Return (class, class that the teacher sees, images), the most frequent first.

        Args:
            labels: (M,) of the synthetic images.
        """
        wrong = self.predicted != labels
        pairs, counts = np.unique(np.stack([labels[wrong], self.predicted[wrong]], axis=1), axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [(int(pairs[row, 0]), int(pairs[row, 1]), int(counts[row])) for row in order]


def label_fidelity(
    real: tuple[Vectors, Labels], validation: tuple[Vectors, Labels], synthetic: tuple[Vectors, Labels]
) -> LabelFidelity | None:
    """Fit a support vector machine to real training images and ask it for the classes of synthetic ones.

    None where there are fewer than two classes, which leaves nothing to tell apart.

    Args:
        real: embeddings (N, D) of training images, and their labels.
        validation: of real images that the teacher is checked on; empty for folds of the training images.
        synthetic: of the images in question.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.svm import SVC

    vectors, labels = (part[:: max(1, -(-len(real[1]) // MAX_FITTED))] for part in real)
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2 or not len(synthetic[1]):
        return None
    teacher = SVC(C=PENALTY, decision_function_shape="ovr").fit(vectors, labels)
    is_cross_validated = not len(validation[1])
    accuracy, checked = None, 0
    if not is_cross_validated:
        right = teacher.predict(validation[0]) == validation[1]
    elif counts.min() >= FOLDS:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        right = cross_val_predict(SVC(C=PENALTY), vectors, labels, cv=folds) == labels
    else:
        right = np.zeros(0, dtype=bool)
    if len(right):
        accuracy, checked = wilson(int(right.sum()), len(right)), len(right)
    predicted, surplus = _predict(teacher, names.astype(np.int64), *synthetic)
    agrees = predicted == synthetic[1]
    by_class = {
        int(label): wilson(int(agrees[rows].sum()), int(rows.sum()))
        for label in np.unique(synthetic[1])
        for rows in [synthetic[1] == label]
    }
    agreement = wilson(int(agrees.sum()), len(agrees))
    return LabelFidelity(
        accuracy, checked, is_cross_validated, len(labels), agreement, by_class, predicted, np.asarray(surplus)
    )


def _predict(teacher: object, names: Labels, vectors: Vectors, labels: Labels) -> tuple[Labels, NDArray[np.float64]]:
    """Return predicted labels, and how much the teacher prefers each to the label that the image has."""
    scores = np.asarray(teacher.decision_function(vectors), dtype=np.float64)  # type: ignore[attr-defined]
    if scores.ndim == 1:  # of two classes: positive for the second
        scores = np.stack([-scores, scores], axis=1)
    best = scores.argmax(axis=1)
    column = np.searchsorted(names, labels).clip(max=len(names) - 1)
    is_fitted = names[column] == labels  # a class without real images is never right
    rows = np.arange(len(labels))
    of_label = np.where(is_fitted, scores[rows, column], scores.min(axis=1))
    return names[best], scores[rows, best] - of_label


def worst(fidelity: LabelFidelity, limit: int) -> Sequence[int]:
    """Return the rows of the synthetic images that the teacher most clearly puts into another class.

    Args:
        fidelity: from `label_fidelity`.
        limit: largest number of rows.
    """
    order = np.argsort(-fidelity.surplus, kind="stable")
    return [int(row) for row in order[:limit] if fidelity.surplus[row] > 0]

"""A run's predictions, counted: accuracy, classes, confusions."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from synthaug.analysis.inference.intervals import Estimate, wilson
from synthaug.runs.prediction_files import Predictions


@dataclass(frozen=True)
class Prediction:
    """A run's prediction for one test image; probabilities of the predicted and of the true class."""

    path: str
    label: str
    predicted: str
    probability: float
    label_probability: float

    @property
    def correct(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.label == self.predicted


@dataclass(frozen=True)
class ClassCount:
    """One class: test images, those predicted correctly, images predicted as the class."""

    name: str
    n_test: int
    correct: int
    n_predicted: int

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where the class is neither tested nor predicted."""
        total = self.n_test + self.n_predicted
        return 2 * self.correct / total if total else None


@dataclass(frozen=True)
class PredictionCounts:
    """What the predictions of a run say; accuracy with Wilson's interval."""

    predictions: tuple[Prediction, ...]
    classes: tuple[ClassCount, ...]
    accuracy: Estimate

    @property
    def correct(self) -> int:
        """Test images that are predicted correctly."""
        return sum(item.correct for item in self.predictions)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are tested or predicted."""
        return float(np.mean([item.f1 for item in self.classes if item.f1 is not None]))

    @property
    def confusions(self) -> list[tuple[str, str, int]]:
        """(true class, predicted class, images) of the errors, the most frequent first."""
        pairs = Counter((item.label, item.predicted) for item in self.predictions if not item.correct)
        return [(*pair, count) for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]

    @property
    def errors(self) -> list[Prediction]:
        """The errors, the most confident first."""
        wrong = (item for item in self.predictions if not item.correct)
        return sorted(wrong, key=lambda item: (-item.probability, item.path))


def count_predictions(predictions: Predictions) -> PredictionCounts:
    """Count a run's predictions.

    Raises:
        ValueError: there are none.
    """
    if len(predictions.labels) == 0:
        raise ValueError("it holds no test image")
    names = predictions.classes
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(matrix, (predictions.labels, predictions.predicted), 1)
    columns = zip(names, matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0), strict=True)
    return PredictionCounts(
        tuple(prediction(predictions, row) for row in range(len(predictions.paths))),
        tuple(ClassCount(name, int(n), int(correct), int(n_predicted)) for name, n, correct, n_predicted in columns),
        wilson(int(np.trace(matrix)), len(predictions.labels)),
    )


def prediction(predictions: Predictions, row: int) -> Prediction:
    """Return the prediction for one test image.

    Args:
        predictions: of a run.
        row: of the image.
    """
    label, predicted = predictions.labels[row], predictions.predicted[row]
    probabilities, names = predictions.probabilities[row], predictions.classes
    return Prediction(
        predictions.paths[row],
        names[label],
        names[predicted],
        float(probabilities[predicted]),
        float(probabilities[label]),
    )

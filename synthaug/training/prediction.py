"""New photographs, classified by the best checkpoint of a run and shown as the run showed its test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from synthaug.data.augment import View
from synthaug.data.parallel import decoded_batches
from synthaug.data.pixels import padded
from synthaug.files import write_rows
from synthaug.models.classifier import Classifier
from synthaug.runs.prediction_files import PROBABILITY


@dataclass(frozen=True)
class Classified:
    """What a classifier makes of N images.

    Attributes:
        paths: of the images.
        probabilities: (N, classes).
        classes: names, in the run's order.
        unreadable: path → reason, of the files that are not whole images; they are not among `paths`.
    """

    paths: list[Path]
    probabilities: NDArray[np.float64]
    classes: list[str]
    unreadable: dict[Path, str]

    @property
    def predicted(self) -> list[str]:
        """The most probable class of each image."""
        return [self.classes[label] for label in self.probabilities.argmax(axis=1)]


def classify(classifier: Classifier, images: Sequence[Path], batch_size: int = 64) -> Classified:
    """Classify image files; files that are not whole images are left out.

    Args:
        classifier: from `load_classifier`.
        images: paths.
        batch_size: images per forward pass.
    """
    view = classifier.view
    assert view is not None, "a classifier that was trained, from its checkpoint"
    paths: list[Path] = []
    unreadable: dict[Path, str] = {}
    batches = [np.zeros((0, len(classifier.classes)))]
    with torch.inference_mode(), tqdm(total=len(images), desc="classifying", unit="image", disable=None) as bar:
        for chunk in decoded_batches([(None, path) for path in images], view.short_side, batch_size):
            unreadable |= {path: image for (_, path), image in chunk if isinstance(image, str)}
            readable = [(path, image) for (_, path), image in chunk if not isinstance(image, str)]
            if readable:
                paths += [path for path, _ in readable]
                batches.append(_probabilities(classifier, view, [image for _, image in readable]).numpy())
            bar.update(len(chunk))
    return Classified(paths, np.concatenate(batches), classifier.classes, unreadable)


def write_classified(file: Path, classified: Classified) -> None:
    """Write a CSV file atomically: path, predicted class, its probability, and the probability of every class.

    Args:
        file: where to.
        classified: from `classify`.
    """
    write_rows(
        file,
        ["path", "predicted", "confidence", *(PROBABILITY + name for name in classified.classes)],
        (
            [path, predicted, f"{values.max():.6g}", *(f"{value:.6g}" for value in values)]
            for path, predicted, values in zip(
                classified.paths, classified.predicted, classified.probabilities, strict=True
            )
        ),
    )


def _probabilities(classifier: Classifier, view: View, images: Sequence[NDArray[np.uint8]]) -> Tensor:
    pixels, sizes = (torch.from_numpy(array).to(classifier.device) for array in padded(images))
    logits: Tensor = classifier(view(pixels, sizes))
    return logits.softmax(dim=1).double().cpu()

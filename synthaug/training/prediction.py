"""New photographs, classified by the best checkpoint of a run and shown as the run showed its test images."""

import os
import pkgutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from synthaug.data.augment import View
from synthaug.data.decoding import large_photographs, try_decode
from synthaug.data.pixels import padded
from synthaug.errors import UserError
from synthaug.files import write_rows
from synthaug.models.classifier import Classifier
from synthaug.runs.contents import PROBABILITY
from synthaug.training.callbacks import is_whole

CLASSIFIER = "synthaug.models.classifier.Classifier"


@dataclass(frozen=True)
class Classified:
    """What a classifier makes of N images.

    Attributes:
        paths: of the images.
        probabilities: (N, classes).
        classes: names, in the run's order.
        unreadable: path → reason, of the files that are no whole images; they are not among `paths`.
    """

    paths: list[Path]
    probabilities: NDArray[np.float64]
    classes: list[str]
    unreadable: dict[Path, str]

    @property
    def predicted(self) -> list[str]:
        """The most probable class of each image."""
        return [self.classes[label] for label in self.probabilities.argmax(axis=1)]


def load_classifier(checkpoint: Path, device: str = "auto", target: str = CLASSIFIER) -> Classifier:
    """Load a run's checkpoint for evaluation.

    Args:
        checkpoint: a `best.ckpt`.
        device: of PyTorch, such as "cpu" or "cuda:1"; "auto": a GPU where there is one.
        target: dotted name of its class.

    Raises:
        UserError: no such device; a checkpoint that cannot be loaded.
    """
    place = _device(device)
    try:
        if not is_whole(checkpoint):
            raise ValueError("its bytes are not those that were written")
        kind: type[Classifier] = pkgutil.resolve_name(target)
        classifier = kind.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).to(place)
        if classifier.view is None:
            raise KeyError("view")
    except UserError:
        raise
    except Exception as error:  # of whatever kind damaged bytes provoke
        reason = " ".join(str(error).split())
        raise UserError(
            f"{checkpoint} cannot be loaded ({type(error).__name__}: {reason:.200}): it is damaged, or an earlier "
            "version wrote it. Train the run again with overwrite=true."
        ) from error
    return classifier.eval()


def classify(classifier: Classifier, images: Sequence[Path], batch_size: int = 64) -> Classified:
    """Classify image files; files that are no whole images are left out.

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
        for chunk in _decoded(images, view.short_side, batch_size):
            unreadable |= {path: image for path, image in chunk if isinstance(image, str)}
            readable = [(path, image) for path, image in chunk if not isinstance(image, str)]
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


def _decoded(
    images: Sequence[Path], short_side: int, batch_size: int
) -> Iterator[list[tuple[Path, NDArray[np.uint8] | str]]]:
    """Yield batches of images, or of reasons why there is none; the next one is decoded while one is in use."""
    chunks = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    with ThreadPoolExecutor(os.cpu_count()) as threads, large_photographs():
        submitted = [
            [(path, threads.submit(try_decode, None, path, short_side)) for path in chunk] for chunk in chunks[:1]
        ]
        for following in [*chunks[1:], ()]:
            submitted.append([(path, threads.submit(try_decode, None, path, short_side)) for path in following])
            yield [(path, future.result()) for path, future in submitted.pop(0)]


def _device(name: str) -> torch.device:
    if name == "auto":
        kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((kind for kind, is_available in kinds.items() if is_available), "cpu"))
    try:
        torch.zeros(1, device=name)
    except Exception as error:  # each kind of device has its own
        reason = str(error).partition("\n")[0]
        raise UserError(f"--device {name}: {reason}. Leave it out, or give cpu, cuda, cuda:1 or mps.") from None
    return torch.device(name)

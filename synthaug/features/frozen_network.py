"""What the frozen network of a probe sees: the input of its head, of each image and fixed view of it, computed once."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synthaug.data.augment import DRAWS, VERSION, Augmentation, View, samples_per_pixel, training_view, view_uniforms
from synthaug.data.pixels import Pixels
from synthaug.data.samples import Sample
from synthaug.features.feature_backbone import label
from synthaug.features.tensor_digest import tensor_digest
from synthaug.features.vector_file import Batches, VectorFile
from synthaug.models import frozen_weights, heads
from synthaug.models.classifier import Classifier

BATCH_SIZE = 64
_HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_CENTRE = [DRAWS.index("y"), DRAWS.index("x")]


@dataclass(frozen=True)
class TrainingView:
    """One of the fixed views of a training image.

    Attributes:
        number: of the view.
        augmentation: what varies.
        image_size: side of the network's input in pixels.
        short_side: longest short side that decoded images keep, in pixels.
        crop_pct: share of the short side that evaluation shows.
    """

    number: int
    augmentation: Augmentation
    image_size: int
    short_side: int
    crop_pct: float

    def images(self, samples: Sequence[Sample], store: Pixels, device: torch.device) -> Tensor:
        """Return the network's input.

        Args:
            samples: the images.
            store: of their pixels.
            device: on which they are warped.
        """
        draws = view_uniforms(self.number, [sample.random_key for sample in samples])
        pixels, sizes = store.batch([sample.sha256 for sample in samples], draws[:, _CENTRE])
        supersample = samples_per_pixel(self.short_side, self.image_size, self.crop_pct)
        raw, shapes, numbers = (torch.from_numpy(array).to(device) for array in (pixels, sizes, draws))
        return training_view(raw, shapes, numbers, self.image_size, self.augmentation, supersample)


@dataclass(frozen=True)
class EvaluationView:
    """How validation and test images are shown.

    Attributes:
        view: the settings.
        corruption: what has changed the pixels before, in words; empty for nothing.
    """

    view: View
    corruption: str = ""

    def images(self, samples: Sequence[Sample], store: Pixels, device: torch.device) -> Tensor:
        """Return the network's input.

        Args:
            samples: the images.
            store: of their pixels.
            device: on which they are warped.
        """
        pixels, sizes = store.batch([sample.sha256 for sample in samples])
        return self.view(*(torch.from_numpy(array).to(device) for array in (pixels, sizes)))


Shown = TrainingView | EvaluationView


class FrozenNetwork:
    """A classifier without its head.

    Args:
        classifier: whose head is one linear layer on features that do not change in training; see `separate`.
        head: path of that layer in its network.
        device: of the network.
        precision: in which the network computes, as Lightning calls it: "32-true", "bf16-mixed" or "16-mixed".
    """

    def __init__(self, classifier: Classifier, head: str, device: torch.device, precision: str) -> None:
        self.name = classifier.backbone
        self.head = f"network.{head}."
        self.state = {key: value for key, value in classifier.state_dict().items() if not key.startswith(self.head)}
        self.digest = tensor_digest(
            f"{self.name} {precision}", {**self.state, "mean": classifier.mean, "std": classifier.std}
        )
        self.file_name = f"{label(self.name)}-{self.digest[:12]}"
        self._classifier = classifier.eval().to(device)
        self._layer = _linear(classifier, head)
        self.dimension = self._layer.in_features
        self._device = device
        self._half = _HALF.get(precision)

    def wrote(self, checkpoint: Path) -> bool:
        """Return whether a checkpoint is that of a head on this network."""
        path = frozen_weights.referred(checkpoint) if checkpoint.is_file() else None
        return path is not None and path.stem == self.file_name

    def embed(self, images: Tensor) -> NDArray[np.float32]:
        """Return the input of the head (B, D) of images (B, 3, S, S) in [0, 1]."""
        with torch.inference_mode(), torch.autocast(self._device.type, self._half, enabled=self._half is not None):
            return _head_input(self._classifier, self._layer, images.to(self._device)).float().cpu().numpy()

    def features(
        self, folder: Path, shown: Iterable[tuple[Sample, Shown, Pixels]]
    ) -> tuple[dict[tuple[str, Shown], int], NDArray[np.float32]]:
        """Return the row of each image as it is shown, and the features (rows, D); what is not on disk is computed.

        Args:
            folder: of all stores, such as `<output_dir>/features`.
            shown: images, how they are shown, and the store of their pixels.

        Raises:
            UserError: no room on the disk; features that are not finite.
        """
        file = VectorFile(folder / f"frozen-{self.file_name}", self.dimension, self.name, self.digest)
        items = {(sample.sha256, how): (sample, store) for sample, how, store in shown}
        of_key = {shown_key(*item): item for item in items}

        def compute(missing: list[str]) -> Batches:
            by_view: dict[tuple[Shown, int], list[str]] = {}
            for key in missing:
                sha256, how = of_key[key]
                by_view.setdefault((how, id(items[sha256, how][1])), []).append(key)
            for (how, _), keys in by_view.items():
                for start in range(0, len(keys), BATCH_SIZE):
                    batch = keys[start : start + BATCH_SIZE]
                    samples, stores = zip(*(items[of_key[key]] for key in batch), strict=True)
                    yield batch, self.embed(how.images(samples, stores[0], self._device))

        vectors = file.complete(of_key, compute)
        return {item: vectors.rows[key] for key, item in of_key.items()}, vectors.values


def shown_key(sha256: str, how: Shown) -> str:
    """Return the key of what a network sees of an image.

    Args:
        sha256: of the image.
        how: it is shown.
    """
    return hashlib.sha256(f"{sha256} {how} {VERSION}".encode()).hexdigest()


def separate(
    classifier: Classifier, image_size: int, device: torch.device, precision: str = "32-true"
) -> FrozenNetwork | None:
    """Return the frozen network of a classifier; None where it does not fall into one and a linear head.

    Two random images show it: in training and in evaluation, its head must see the same, and nothing may come after
    the head. Dropout before the head, for instance, changes what the head sees.

    Args:
        classifier: with `train_stages=0`.
        image_size: side of its input in pixels.
        device: of the network.
        precision: see `FrozenNetwork`.
    """
    paths = heads.find_head(classifier.network)
    layer = classifier.network.get_submodule(paths[0]) if len(paths) == 1 else None
    if not isinstance(layer, nn.Linear) or layer.bias is None:
        return None
    images = torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        in_training = _head_input(classifier.train(), layer, images)
        in_evaluation = _head_input(classifier.eval(), layer, images)
        if in_evaluation.ndim != 2 or not torch.allclose(in_training, in_evaluation, rtol=1e-4, atol=1e-5):
            return None
        if not torch.allclose(classifier(images), layer(in_evaluation), rtol=1e-4, atol=1e-5):
            return None
    return FrozenNetwork(classifier, paths[0], device, precision)


def _linear(classifier: Classifier, path: str) -> nn.Linear:
    layer = classifier.network.get_submodule(path)
    assert isinstance(layer, nn.Linear)
    return layer


def _head_input(classifier: Classifier, layer: nn.Linear, images: Tensor) -> Tensor:
    inputs: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs.append(arguments[0])

    hook = layer.register_forward_pre_hook(keep)
    try:
        classifier(images)
    finally:
        hook.remove()
    return inputs[-1]

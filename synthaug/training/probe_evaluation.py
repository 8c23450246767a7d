"""Heads of a frozen network evaluated on shift sets: the network sees each image once for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from synthaug.arms.shifts import ShiftSet
from synthaug.data.augment import View
from synthaug.data.pixels import Pixels
from synthaug.data.samples import Sample
from synthaug.features.frozen_network import EvaluationView, FrozenNetwork, Shown
from synthaug.runs import contents, layout
from synthaug.runs.prediction_files import Predictions
from synthaug.training import evaluation


@dataclass(frozen=True)
class HeadEvaluation:
    """A finished run, and the shift sets on which its head is to be evaluated.

    Attributes:
        label: of the run.
        run: its folder.
        dataset: the settings of its dataset.
        classes: of the dataset.
        store: pixels of the sets.
        shift_sets: the sets.
    """

    label: str
    run: Path
    dataset: Mapping[str, Any]
    classes: Sequence[str]
    store: Pixels
    shift_sets: Sequence[ShiftSet]

    def shown(self) -> Iterator[tuple[Sample, Shown, Pixels]]:
        """Yield all images, how they are shown, and where their pixels are."""
        for shift_set in self.shift_sets:
            pixels, how = evaluation.pixels_of(shift_set, self.dataset, self.store), self.view(shift_set)
            yield from ((sample, how, pixels) for sample in shift_set.samples)

    def view(self, shift_set: ShiftSet) -> EvaluationView:
        """Return how the images of a set are shown."""
        size, crop_pct = self.dataset["image_size"], self.dataset["crop_pct"]
        if shift_set.corruption is None:
            return EvaluationView(View(size, crop_pct, self.store.short_side))
        # A corrupted image is what evaluation shows already.
        return EvaluationView(View(size, 1.0, size), f"{shift_set.corruption} of {crop_pct}")

    def finish(
        self,
        prefix: str,
        features: Tensor,
        rows: Mapping[tuple[str, Shown], int],
        computed_with: Mapping[str, Any],
    ) -> None:
        """Write the predictions for each set, and its `result.json` last.

        Args:
            prefix: of the names of the head's weights.
            features: what the frozen network sees.
            rows: of the features, by image and how it is shown.
            computed_with: the fields `machine` and `versions` of `result.json`.

        Raises:
            UserError: the run's checkpoint is gone or damaged.
        """
        state = torch.load(evaluation.require_checkpoint(self.run), map_location="cpu", weights_only=True)["state_dict"]
        for shift_set in self.shift_sets:
            how = self.view(shift_set)
            seen = features[[rows[sample.sha256, how] for sample in shift_set.samples]]
            probabilities = linear(seen, state[f"{prefix}weight"], state[f"{prefix}bias"]).softmax(dim=1).double()
            folder = layout.shift_folder(self.run, shift_set.name)
            contents.write_predictions(
                folder,
                Predictions(
                    paths=[sample.file for sample in shift_set.samples],
                    labels=torch.tensor([sample.label for sample in shift_set.samples]).numpy(),
                    predicted=probabilities.argmax(dim=1).numpy(),
                    probabilities=probabilities.numpy(),
                    classes=list(self.classes),
                    clusters=torch.tensor(shift_set.clusters).numpy(),
                ),
            )
            evaluation.record(self.label, folder, shift_set, computed_with)


def evaluate_heads(
    heads: Sequence[HeadEvaluation], network: FrozenNetwork, features: Path, computed_with: Mapping[str, Any]
) -> None:
    """Evaluate the heads of a frozen network.

    Args:
        heads: of finished runs.
        network: that they were trained on.
        features: folder of all features, such as `<output_dir>/features`.
        computed_with: the fields `machine` and `versions` of `result.json`.

    Raises:
        UserError: a corruption that fails; no room on the disk; a checkpoint that is gone or damaged.
    """
    rows, values = network.features(features, (item for head in heads for item in head.shown()))
    for head in heads:
        head.finish(network.head, torch.from_numpy(values), rows, computed_with)

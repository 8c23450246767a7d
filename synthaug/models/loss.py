"""Training loss: cross entropy, optionally of smoothed, weighted or blended targets."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot
from torchvision.transforms import v2


def option_problems(class_weights: str | None) -> list[str]:
    """Return why the classes cannot be weighted so; see `Objective`."""
    if class_weights in (None, "balanced"):
        return []
    return [f"model.class_weights={class_weights}: must be balanced, or null for none."]


class Objective:
    """Makes training examples of a batch, and a loss of logits.

    A target is a row of masses, one per class, that add up to the weight of its example: 1 for a real one. The loss is
    the mean over the mass of the batch, so where all examples weigh the same, their weight changes nothing. Each
    process of a distributed run takes the mean over its own batch.

    Args:
        num_classes: length of a target.
        label_smoothing: share of a target that is spread evenly over all classes (Szegedy et al. 2016).
        mixup: Beta(α, α) of the share of each image in a blend of two (Zhang et al. 2018); 0 blends nothing.
        cutmix: the same for the area of a rectangle that is pasted from another image (Yun et al. 2019). Given both,
            each batch goes through one of them, drawn with equal chances.
        synthetic_weight: of a synthetic example against a real one.
        class_weights: None; or "balanced": an example of a class with n_c of the n training images of an arm, real and
            synthetic, weighs n / (k · n_c) among k classes, so that all classes have the same mass (King, Zeng 2001,
            "Logistic Regression in Rare Events Data", section 3.2; scikit-learn's `class_weight="balanced"`).
    """

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        synthetic_weight: float = 1.0,
        class_weights: str | None = None,
    ) -> None:
        self.num_classes = num_classes
        self.class_weights = class_weights
        self.weight_of_class = torch.ones(num_classes)
        self.label_smoothing = label_smoothing
        self.synthetic_weight = synthetic_weight
        both = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
        self.blends = [blend(alpha=float(alpha)) for blend, alpha in both if alpha > 0]

    def weigh_classes(self, labels: Sequence[int]) -> None:
        """Compute the weights of the classes, if they are to have any.

        Args:
            labels: of all training images.
        """
        if self.class_weights == "balanced":
            counts = torch.bincount(torch.tensor(labels), minlength=self.num_classes)
            self.weight_of_class = len(labels) / (self.num_classes * counts.clamp(min=1)).float()

    @property
    def is_plain(self) -> bool:
        """Return whether this is the mean cross entropy of classes and nothing else."""
        is_even = self.synthetic_weight == 1 and self.class_weights is None
        return not self.blends and self.label_smoothing == 0 and is_even

    def masses(self, labels: Tensor, synthetic: Tensor) -> Tensor:
        """Return what each example weighs, (B,).

        Args:
            labels: int64 (B,).
            synthetic: bool (B,).
        """
        weights = self.weight_of_class.to(labels.device)[labels]
        return torch.where(synthetic, weights * self.synthetic_weight, weights)

    def examples(self, images: Tensor, labels: Tensor, synthetic: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network is trained on.

        Draws from PyTorch's generator where images are blended: each with the one before it in the batch, whose order
        is random.

        Args:
            images: (B, 3, S, S).
            labels: int64 (B,).
            synthetic: bool (B,).

        Returns:
            Images, and targets: masses (B, num_classes), or the labels as they are where the objective is plain.
        """
        if self.is_plain:
            return images, labels
        smooth = self.label_smoothing
        targets = one_hot(labels, self.num_classes).to(images) * (1 - smooth) + smooth / self.num_classes
        targets *= self.masses(labels, synthetic).to(targets)[:, None]
        if self.blends:
            blend = self.blends[int(torch.randint(len(self.blends), ())) if len(self.blends) > 1 else 0]
            images, targets = blend(images, targets)
        return images, targets

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        """Return the mean cross entropy, and the mass that it is a mean over.

        Args:
            logits: (B, num_classes).
            targets: from `examples`.
        """
        if self.is_plain:
            return cross_entropy(logits, targets), len(targets)
        mass = targets.sum()
        return -(targets * logits.log_softmax(dim=1)).sum() / mass, mass

"""Memory formats: which network takes its channels last, and that its outputs are the same."""

import pytest
import torch
from torch import nn

from synthaug.models.classifier import Classifier
from synthaug.models.memory_format import arranged, channels_last_from


class Witness(nn.Module):
    """Passes images on and remembers whether their channels were last."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.channels_last: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.channels_last.append(images.is_contiguous(memory_format=torch.channels_last))
        logits: torch.Tensor = self.inner(images)
        return logits


@pytest.mark.parametrize(
    ("backbone", "size", "is_last"),
    [("resnet18", 32, False), ("resnet18", 96, True), ("shufflenet_v2_x0_5", 32, True)],
)
def test_large_images_and_convolutions_within_channels_have_their_channels_last(
    backbone: str, size: int, is_last: bool
) -> None:
    classifier = Classifier(["a", "b"], backbone=backbone).eval()
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        expected = classifier.network((images - classifier.mean) / classifier.std)
        witness = Witness(classifier.network)
        classifier.network = witness
        torch.testing.assert_close(classifier(images), expected, rtol=1e-4, atol=1e-5)
    assert witness.channels_last == [is_last]


def test_one_channel_is_no_convolution_within_channels() -> None:
    grey = nn.Conv2d(1, 4, 3)
    assert channels_last_from(grey) > 0
    images = torch.rand(1, 2, 3, 3)
    assert arranged(images, 4).is_contiguous()
    assert arranged(images, 3).is_contiguous(memory_format=torch.channels_last)

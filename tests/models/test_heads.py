"""The last layer: found by its library's word, dressed without touching the rest."""

import pytest
import torch
from torch import nn

from synthaug.errors import UserError
from synthaug.models import heads
from synthaug.models.backbones import build_backbone


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet18", "fc"),
        ("vit_b_16", "heads.head"),
        ("timm/test_convnext", "head.fc"),
        ("timm/test_vit", "head"),
        ("timm/swin_tiny_patch4_window7_224", "head.fc"),
    ],
)
def test_batch_norm_and_dropout_stand_before_the_layer(name: str, path: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name, None, 5)
        head = network.get_submodule(path)
        heads.add_head_regularization(network, batch_norm=True, dropout=0.3)
        dressed = network.get_submodule(path)
        size = 160 if "test" in name else 224
        assert network(torch.rand(2, 3, size, size)).shape == (2, 5)
    assert isinstance(dressed, nn.Sequential)
    norm, dropout, layer = dressed
    assert isinstance(norm, nn.BatchNorm1d)
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.3
    assert layer is head


def test_either_can_stand_alone() -> None:
    for batch_norm, dropout, kinds in ((True, 0.0, [nn.BatchNorm1d]), (False, 0.5, [nn.Dropout])):
        network = build_backbone("timm/test_resnet", None, 2)
        heads.add_head_regularization(network, batch_norm, dropout)
        assert [type(layer) for layer in network.get_submodule("fc").children()] == [*kinds, nn.Linear]


@pytest.mark.parametrize("name", ["squeezenet1_1", "timm/deit_tiny_distilled_patch16_224"])
def test_a_head_that_is_no_linear_layer_is_not_dressed(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name, None, 2)
    with pytest.raises(UserError, match=r"model\.head_batch_norm.*model\.head_dropout"):
        heads.add_head_regularization(network, batch_norm=True, dropout=0)


def test_a_distilled_network_has_two_heads() -> None:
    with torch.device("meta"):
        network = build_backbone("timm/deit_tiny_distilled_patch16_224", None, 2)
    assert heads.find_head(network) == ["head", "head_dist"]

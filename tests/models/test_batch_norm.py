"""Batch normalisation per origin: what each image is normalised by, and what it leaves behind."""

import copy

import pytest
import torch
from torch import Tensor, nn

from synthaug.errors import UserError
from synthaug.models import batch_norm
from synthaug.models.backbones import build_backbone
from synthaug.models.batch_norm import BatchNormPerOrigin

NETWORKS = ("resnet18", "timm/test_resnet", "timm/test_efficientnet")  # timm's have the activation inside


def images_of(count: int, seed: int = 0, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def statistics(network: nn.Module, origin: str) -> Tensor:
    """All running statistics of an origin in one vector."""
    layers = [module for module in network.modules() if isinstance(module, BatchNormPerOrigin)]
    assert layers
    return torch.cat([value.flatten().float() for layer in layers for value in layer.get_submodule(origin).buffers()])


@pytest.mark.parametrize("name", NETWORKS)
def test_both_begin_as_the_network_was(name: str) -> None:
    network = build_backbone(name, None, 2)
    network(images_of(4))  # statistics that are not those of a new layer
    expected = network.eval()(images_of(3))
    batch_norm.split_by_origin(network)
    for synthetic in (False, True):
        batch_norm.select(network, synthetic)
        assert torch.equal(network(images_of(3)), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_is_parted_by_origin(name: str) -> None:
    """Each origin comes out as it would alone, and only its own statistics move."""
    network = build_backbone(name, None, 2)
    real_alone, synthetic_alone = copy.deepcopy(network), copy.deepcopy(network)
    batch_norm.split_by_origin(network)
    images, synthetic = images_of(7, side=64), torch.tensor([True, False, False, True, False, True, False])
    logits = batch_norm.logits_by_origin(network, images, synthetic)
    torch.testing.assert_close(logits[~synthetic], real_alone(images[~synthetic]))
    torch.testing.assert_close(logits[synthetic], synthetic_alone(images[synthetic]))
    assert not torch.equal(statistics(network, "real"), statistics(network, "synthetic"))


def test_a_batch_of_one_origin_leaves_the_other_alone() -> None:
    network = build_backbone("timm/test_resnet", None, 2)
    batch_norm.split_by_origin(network)
    before = statistics(network, "real")
    batch_norm.logits_by_origin(network, images_of(4), torch.ones(4, dtype=torch.bool))
    assert torch.equal(statistics(network, "real"), before)
    assert not torch.equal(statistics(network, "synthetic"), before)


def test_scales_of_an_origin_learn_from_its_images_alone() -> None:
    network = build_backbone("timm/test_resnet", None, 2)
    batch_norm.split_by_origin(network)
    torch.autograd.backward(batch_norm.logits_by_origin(network, images_of(4), torch.zeros(4, dtype=torch.bool)).sum())
    for layer in network.modules():
        if isinstance(layer, BatchNormPerOrigin):
            assert all(parameter.grad is not None for parameter in layer.real.parameters())
            assert all(parameter.grad is None for parameter in layer.synthetic.parameters())


def test_a_single_image_of_an_origin_is_no_obstacle() -> None:
    """At 32 pixels nothing is left of its height and width in the last stage of ResNet18."""
    network = build_backbone("resnet18", None, 2)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(images_of(1))
    batch_norm.split_by_origin(network)
    logits = batch_norm.logits_by_origin(network, images_of(4), torch.tensor([False, True, True, True]))
    assert bool(logits.isfinite().all())
    assert all(module.training for module in network.modules())


def test_a_network_without_batch_norm_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.batch_norm=per_origin"):
        batch_norm.split_by_origin(build_backbone("timm/test_convnext", None, 2))

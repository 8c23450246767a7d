"""Stages of a network, and which of them train when."""

import re

import pytest
import torch
from torch import nn

from synthaug.errors import UserError
from synthaug.models import heads
from synthaug.models.backbones import build_backbone
from synthaug.models.freezing import Freezing, stages


def on_paper(name: str) -> nn.Module:
    """A network without memory for its weights."""
    with torch.device("meta"):
        return build_backbone(name, None, 3)


RESNET = ["conv1 + bn1", "layer1", "layer2", "layer3", "layer4"]
STAGES = {
    "resnet18": RESNET,
    "resnet50": RESNET,
    "convnext_tiny": [*(f"features.{index}" for index in range(7)), "features.7 + classifier.0"],
    "efficientnet_b0": [f"features.{index}" for index in range(9)],
    "vit_b_16": [
        "conv_proj",
        *(f"encoder.layers.encoder_layer_{index}" for index in range(11)),
        "encoder.layers.encoder_layer_11 + encoder.ln",
    ],
    "swin_t": [*(f"features.{index}" for index in range(7)), "features.7 + norm"],
    "timm/resnet18": RESNET,
    "timm/test_convnext": ["stem", "stages.0", "stages.1", "stages.2", "stages.3 + head.norm"],
    "timm/test_vit": ["patch_embed", *(f"blocks.{index}" for index in range(5)), "blocks.5 + norm"],
    "timm/test_efficientnet": ["conv_stem + bn1", *(f"blocks.{index}" for index in range(5)), "conv_head + bn2"],
    "timm/swin_tiny_patch4_window7_224": ["patch_embed", "layers.0", "layers.1", "layers.2", "layers.3 + norm"],
    "timm/deit_tiny_distilled_patch16_224": [
        "patch_embed",
        *(f"blocks.{index}" for index in range(11)),
        "blocks.11 + norm",
    ],
}
BLOCKS = [f"blocks.{index}" for index in range(11)]
STAGES |= {
    "timm/vit_small_patch14_dinov2.lvd142m": ["patch_embed", *BLOCKS, "blocks.11 + norm"],
    "timm/vit_small_patch16_dinov3.lvd1689m": ["patch_embed", *BLOCKS, "blocks.11 + norm"],
    "timm/vit_base_patch16_clip_quickgelu_224.openai": ["patch_embed + norm_pre", *BLOCKS, "blocks.11 + norm"],
    "timm/vit_base_patch16_siglip_224.v2_webli": ["patch_embed", *BLOCKS, "blocks.11 + norm", "attn_pool"],
}


@pytest.mark.parametrize("name", STAGES)
def test_a_network_falls_into_stages_from_input_to_head(name: str) -> None:
    network = on_paper(name)
    assert [" + ".join(stage.paths) for stage in stages(network, heads.find_head(network))] == STAGES[name]


@pytest.mark.parametrize("name", [*STAGES, "densenet121", "vgg16", "squeezenet1_1", "maxvit_t", "timm/levit_128"])
def test_every_parameter_is_in_one_stage_or_in_the_head(name: str) -> None:
    network = on_paper(name)
    paths = heads.find_head(network)
    inside = [id(parameter) for stage in stages(network, paths) for parameter in stage.parameters]
    inside += [id(parameter) for path in paths for parameter in network.get_submodule(path).parameters()]
    assert sorted(inside) == sorted(id(parameter) for parameter in network.parameters())


def test_tokens_and_positions_belong_to_the_first_stage() -> None:
    network = on_paper("vit_b_16")
    first, second, *_ = stages(network, heads.find_head(network))
    inside = {id(parameter) for parameter in first.parameters}
    named = dict(network.named_parameters())
    assert {id(named["class_token"]), id(named["encoder.pos_embedding"])} <= inside
    assert not inside & {id(parameter) for parameter in second.parameters}


def test_a_normalisation_at_the_beginning_belongs_to_what_follows() -> None:
    parts = [nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)]
    assert [stage.paths for stage in stages(nn.Sequential(*parts), ["5"])] == [("0", "1"), ("3", "4")]


def trains(network: nn.Module) -> list[str]:
    """Children of a ResNet that get gradients."""
    return [
        name
        for name, child in network.named_children()
        if (flags := {parameter.requires_grad for parameter in child.parameters()}) and flags == {True}
    ]


@pytest.mark.parametrize(
    ("last", "expected"),
    [(0, ["fc"]), (2, ["layer3", "layer4", "fc"]), (4, [f"layer{n}" for n in range(1, 5)] + ["fc"])],
)
def test_the_last_stages_train_and_the_others_stay_still(last: int, expected: list[str]) -> None:
    network = build_backbone("timm/test_resnet", None, 2)
    freezing = Freezing(network, ["fc"], last)
    assert trains(network) == expected
    freezing.set_frozen_to_eval()
    names = ["bn1", *(f"layer{number}" for number in range(1, 5)), "fc"]
    assert [name for name in names if network.get_submodule(name).training] == expected
    some_day = {id(parameter) for parameter in freezing.ever_trainable(network.parameters())}
    assert some_day == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}


def test_stages_are_unfrozen_one_by_one_from_the_last() -> None:
    network = build_backbone("timm/test_resnet", None, 2)
    freezing = Freezing(network, ["fc"], 1, unfreeze_every=2)
    assert len(freezing.ever_trainable(network.parameters())) == len(list(network.parameters()))
    seen = []
    for epoch in range(10):
        freezing.begin(epoch)
        seen.append(len(trains(network)) - 1)
    assert seen == [1, 1, 2, 2, 3, 3, 4, 4, 6, 6]  # the last stage is conv1 and bn1
    freezing.begin(3)  # where a run goes on
    assert trains(network) == ["layer3", "layer4", "fc"]


def test_all_stages_may_be_named() -> None:
    network = build_backbone("timm/test_resnet", None, 2)
    Freezing(network, ["fc"], 5)
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("number", [6, -1])
def test_more_stages_than_there_are_is_refused(number: int) -> None:
    stages_of_resnet = "conv1 + bn1, layer1, layer2, layer3, layer4"
    with pytest.raises(UserError, match=rf"model\.train_stages={number}.*{re.escape(stages_of_resnet)}"):
        Freezing(on_paper("resnet18"), ["fc"], number)


def test_nothing_left_to_unfreeze_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.unfreeze_every=1.*model\.train_stages=5"):
        Freezing(on_paper("resnet18"), ["fc"], 5, unfreeze_every=1)

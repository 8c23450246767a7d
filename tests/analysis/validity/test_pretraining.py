"""Which generators and backbones may have seen the test images."""

from typing import Any

import pytest

from synthaug.analysis.validity.check_result import PASSED, WARNING
from synthaug.analysis.validity.pretraining import UNPUBLISHED, pretraining_checks
from tests.factories.arms import make_arm, make_group

SCRATCH = {"model.backbone": "resnet18", "model.weights": None}


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        (SCRATCH, []),
        (SCRATCH | {"generator.model": "pkg://synthaug.assets/tiny_digits"}, []),
        (SCRATCH | {"model.weights": "DEFAULT"}, [("backbone", "resnet18", "ImageNet-1k")]),
        (
            {"model.backbone": "timm/vit_small_patch14_dinov2.lvd142m", "model.weights": "DEFAULT"},
            [("backbone", "timm/vit_small_patch14_dinov2.lvd142m", "LVD-142M")],
        ),
        (SCRATCH | {"model.weights": "mine.pt"}, [("backbone", "resnet18 (mine.pt)", UNPUBLISHED)]),
        (
            SCRATCH | {"generator.model": "stable-diffusion-v1-5/stable-diffusion-v1-5"},
            [("generator", "stable-diffusion-v1-5/stable-diffusion-v1-5", "LAION-2B")],
        ),
        (SCRATCH | {"generator.model": "someone/else"}, [("generator", "someone/else", UNPUBLISHED)]),
    ],
)
def test_what_was_trained_before(settings: dict[str, Any], models: list[tuple[str, str, str]]) -> None:
    (check,) = pretraining_checks(make_group(make_arm(0.5, settings=settings)))
    assert check.severity == (WARNING if models else PASSED)
    for item, (kind, name, corpus) in zip(check.data["models"], models, strict=True):
        assert (item["kind"], item["name"]) == (kind, name)
        assert item["corpus"].startswith(corpus)


def test_an_arm_without_a_finished_run_is_left_out() -> None:
    arm = make_arm(0.5, settings=SCRATCH | {"model.weights": "DEFAULT"}, accuracy=None)
    assert pretraining_checks(make_group(arm)) == []

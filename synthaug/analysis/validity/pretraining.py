"""Who may have seen the test images before the study: what generators and backbones were trained on.

From their model cards, as far as those say: a model of the web may know photographs that have been on it. Near copies
among the synthetic training images are a check of their own (`overlap`).
"""

from collections.abc import Iterator

from synthaug.analysis.comparison.model import Arm, Group
from synthaug.analysis.validity.check_result import PASSED, WARNING, Check

UNPUBLISHED = "data that its makers do not name"
EMBEDDED = "pkg://"  # 2,000 digits, none of which is in the dataset: see its model card

# Part of a model's name → what its card says that it was trained on; the first that fits.
_GENERATORS = (
    ("stable-diffusion-v1", "LAION-2B, pictures of the web"),
    ("stable-diffusion-2", "LAION-5B, pictures of the web"),
    ("stable-diffusion-3", "public data of the web, filtered, and synthetic images"),
)
_BACKBONES = (
    ("in22k", "ImageNet-22k, photographs of the web"),
    ("in21k", "ImageNet-21k, photographs of the web"),
    ("in12k", "a part of ImageNet-21k, photographs of the web"),
    ("in1k", "ImageNet-1k, photographs of the web"),
    ("openai", "400 million pictures of the web (CLIP)"),
    ("laion", "LAION, pictures of the web"),
    ("lvd142m", "LVD-142M, pictures of the web"),
    ("lvd1689m", "LVD-1689M, pictures of the web"),
    ("webli", "WebLI, pictures of the web"),
)


def pretraining_checks(group: Group) -> list[Check]:
    """Return which of the generators and backbones may have seen the test images; nothing before a run is finished.

    Args:
        group: of the study.
    """
    measured = [arm for arm in group.arms if arm.accuracy]
    facts = {fact for arm in measured for fact in _of_arm(arm)}
    seen = [{"kind": kind, "name": name, "corpus": corpus} for kind, name, corpus in sorted(facts)]
    return [Check("pretraining", WARNING if seen else PASSED, {"models": seen})] if measured else []


def _of_arm(arm: Arm) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, name, training data) of what an arm uses that was trained before."""
    generator, backbone = arm.settings.get("generator.model"), str(arm.settings.get("model.backbone"))
    if generator is not None and not str(generator).startswith(EMBEDDED):
        yield "generator", str(generator), _corpus(str(generator), _GENERATORS)
    weights = arm.settings.get("model.weights")
    if weights == "DEFAULT" and not backbone.startswith("timm/"):
        yield "backbone", backbone, "ImageNet-1k, photographs of the web"
    elif weights is not None:
        name = backbone if weights == "DEFAULT" else f"{backbone} ({weights})"
        yield "backbone", name, _corpus(f"{backbone} {weights}".lower().replace("imagenet1k", "in1k"), _BACKBONES)


def _corpus(name: str, known: tuple[tuple[str, str], ...]) -> str:
    return next((corpus for part, corpus in known if part in name), UNPUBLISHED)

"""From images on the disk to the numbers on a synthetic set: embeddings by a backbone, and everything of them."""

import logging
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthaug.analysis.synthetic.embedded import Embedded
from synthaug.analysis.synthetic.set_quality import SetQuality, measure
from synthaug.data.decoding import open_image
from synthaug.data.samples import Sample
from synthaug.features.backbone_by_name import feature_backbone
from synthaug.features.feature_backbone import PIXELS
from synthaug.features.feature_store import FeatureStore
from synthaug.image_files import open_image_file

log = logging.getLogger(__name__)

AUTO = "auto"
SMALL = 64  # pixels of the short side, up to which a small copy of the pixels shows nearly all of an image
PHOTOGRAPHS = "timm/vit_small_patch14_dinov2.lvd142m"  # as Stein et al. 2023 (NeurIPS) recommend for such distances
_LOOKED_AT = 50  # images


def measure_set(
    synthetic: Sequence[Sample],
    train: Sequence[Sample],
    validation: Sequence[Sample],
    features: Path,
    backbone: str = AUTO,
    image_size: int | None = None,
) -> SetQuality:
    """Measure a synthetic set beside real training images; test images are never looked at.

    Args:
        synthetic: its images.
        train: the real training images, with the same labels.
        validation: real images that a teacher is checked on; may be empty.
        features: folder of the feature stores.
        backbone: as for `feature_backbone`; "auto": see `choose_backbone`.
        image_size: as for `feature_backbone`.

    Raises:
        UserError: a backbone that cannot be had, or files that are not whole images.
    """
    name = choose_backbone([*train, *synthetic]) if backbone == AUTO else backbone
    store = FeatureStore(features, feature_backbone(name, image_size))
    log.info("measuring %d synthetic beside %d real training images (%s)", len(synthetic), len(train), name)

    def embed(samples: Sequence[Sample]) -> Embedded:
        return Embedded(store.of(samples), np.array([sample.label for sample in samples], dtype=np.int64))

    return measure(name, embed(train), embed(validation), embed(synthetic))


def choose_backbone(samples: Sequence[Sample]) -> str:
    """Return "pixels" for small images, and for others where the network for photographs is not on this machine.

    Nothing is downloaded that nobody asked for.

    Args:
        samples: any images of the kind.
    """
    sides = [side for sample in samples[:: max(1, len(samples) // _LOOKED_AT)] if (side := _short_side(sample.path))]
    if not sides or statistics.median(sides) <= SMALL:
        return PIXELS
    if _is_in_cache(PHOTOGRAPHS):
        return PHOTOGRAPHS
    log.warning(
        "quality.backbone=auto: %s is not in the cache of this machine, so that photographs are compared by small "
        "copies of their pixels, which see layout and colours alone. quality.backbone=%s fetches it.",
        *(PHOTOGRAPHS, PHOTOGRAPHS),
    )
    return PIXELS


def _short_side(path: Path) -> int:
    try:
        with open_image_file(path) as stream, open_image(stream) as image:
            return min(image.size)
    except Exception:  # Pillow's plugins raise what they like; embedding the image will name it
        return 0


def _is_in_cache(name: str) -> bool:
    try:
        import timm
        from huggingface_hub import try_to_load_from_cache

        settings = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    except ImportError:
        return False
    return isinstance(try_to_load_from_cache(str(settings and settings.hf_hub_id), "model.safetensors"), str)

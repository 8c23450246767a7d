"""The page of a synthetic set that a command has made or has at hand."""

from pathlib import Path

from synthaug.analysis.output import set_page
from synthaug.analysis.synthetic.set_measurement import AUTO, measure_set
from synthaug.analysis.synthetic.set_record import SetRecord, record_of
from synthaug.analysis.text.set_text import Shortcuts
from synthaug.analysis.validity.shortcuts import image_checks
from synthaug.data.samples import RealImages
from synthaug.features.backbone_by_name import feature_backbone
from synthaug.generation.folder import FolderPool
from synthaug.generation.synthetic_set import SyntheticImages
from synthaug.screening.screened_images import ScreenedImages


def check_backbone(backbone: str, image_size: int | None) -> None:
    """Check that a backbone can be had, before hours of generation.

    Args:
        backbone: as for `measure_set`.
        image_size: as for `measure_set`.

    Raises:
        UserError: it cannot.
    """
    if backbone != AUTO:
        feature_backbone(backbone, image_size)


def write_page(
    images: SyntheticImages, real: RealImages, features: Path, backbone: str, image_size: int | None
) -> Path:
    """Measure a set beside the real training images and write its page; return that.

    Args:
        images: the set, screened or not.
        real: its dataset, of which the test images are not looked at.
        features: folder of the feature stores.
        backbone: as for `measure_set`.
        image_size: as for `measure_set`.

    Raises:
        UserError: a backbone that cannot be had, or files that are not whole images.
    """
    record = record_of(images, real.classes)
    quality = measure_set(record.samples, real.train, real.val, features, backbone, image_size)
    return set_page.write(record, quality, real.train, shortcuts(images, record, real))


def shortcuts(images: SyntheticImages, record: SetRecord, real: RealImages) -> Shortcuts:
    """Return how well the origin of a set's images is told by their files, also before these were matched to real ones.

    Args:
        images: the set, screened or not.
        record: of the same set.
        real: its dataset.
    """
    source = images.images if isinstance(images, ScreenedImages) else images
    before = None
    if isinstance(source, FolderPool) and source.formats is not None:
        before = image_checks(real.train, source.originals(real.classes))
    return Shortcuts(image_checks(real.train, record.samples), before)

"""The criteria that the settings of a screening ask for, in the order in which they are applied."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.data.pixels import PixelStore
from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.messages import bullets, plural
from synthaug.screening.copied import ClassDuplicates, RealCopies
from synthaug.screening.criterion import Criterion, Fingerprints, RealReferences
from synthaug.screening.settings import IGNORE, ScreeningSettings


def make_criteria(
    settings: ScreeningSettings, references: RealReferences, store: PixelStore, features: Path
) -> list[Criterion]:
    """Return the criteria, ready to judge; what they need of the real images is computed by their first use.

    Args:
        settings: of the screening.
        references: real images.
        store: of pixels.
        features: folder of the features of images.

    Raises:
        UserError: real images that cannot be read any more; models that cannot be loaded.
    """
    fingerprints = Fingerprints(store)
    criteria: list[Criterion] = []
    if settings.searches_copies:
        _require_decoded(store, [*references.train, *references.val, *references.test])
        criteria.append(RealCopies(settings, references, fingerprints))
    if settings.duplicates != IGNORE:  # the last one: an image that is rejected for anything else has no copies
        criteria.append(ClassDuplicates(fingerprints))
    return criteria


def decode(store: PixelStore, samples: Sequence[Sample]) -> dict[Path, str]:
    """Decode images into the store.

    Args:
        store: of pixels.
        samples: the images.

    Returns:
        Path → reason, for files that are no whole images.
    """
    reasons = store.add({sample.sha256: sample.path for sample in samples})
    return {sample.path: reasons[sample.sha256] for sample in samples if sample.sha256 in reasons}


def _require_decoded(store: PixelStore, samples: Sequence[Sample]) -> None:
    bad = decode(store, samples)
    if bad:
        what = plural(
            len(bad), "real image that candidates are compared with", "real images that candidates are compared with"
        )
        raise UserError(
            f"{what} cannot be read:\n{bullets([f'{path}: {reason}' for path, reason in sorted(bad.items())])}\n"
            "Restore them, or run the same command again, which lists the dataset anew."
        )

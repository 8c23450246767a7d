"""The criteria that the settings of a screening ask for, in the order in which they are applied."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.data.pixels import PixelStore
from synthaug.data.samples import Sample, Samples
from synthaug.errors import UserError
from synthaug.features.backbone_by_name import feature_backbone
from synthaug.features.feature_store import FeatureStore
from synthaug.messages import bullets, plural
from synthaug.screening.copied import ClassDuplicates, Originals, RealCopies
from synthaug.screening.criterion import Criterion, Fingerprints, RealReferences, Resemblance
from synthaug.screening.in_features import FarFromReal, FeatureCopies, Teacher
from synthaug.screening.settings import DROP, IGNORE, ScreeningSettings


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
    # Verdicts depend on the images that copies are searched of, and without such a search on synthetic ones alone.
    resemblance = Resemblance(fingerprints, references.train if settings.searches_copies else ())
    criteria: list[Criterion] = []
    if settings.searches_copies:
        _require_decoded(store, Samples.joined((references.train, references.val, references.test)))
        real = Originals.listed(settings, references)
        criteria.append(RealCopies(real, fingerprints, resemblance, settings.train_copies == DROP))
        if settings.copy_backbone is not None:
            of_copies = FeatureStore(features, feature_backbone(settings.copy_backbone))
            similarity = settings.copy_similarity
            criteria.append(FeatureCopies(of_copies, real, similarity, settings.train_copies == DROP))
    if settings.scores_by_clip:
        from synthaug.screening.clip_score import ClipImages, ClipScore  # import torch

        clip = ClipImages(settings.clip_model, settings.clip_revision)
        criteria.append(ClipScore(settings, clip, features, references.share))
    if settings.teacher is not None:
        store_of_teacher = FeatureStore(features, feature_backbone(settings.teacher))
        criteria.append(Teacher(store_of_teacher, references.share, settings.teacher_probability))
    if settings.knn is not None:
        neighbours = FeatureStore(features, feature_backbone(settings.knn))
        criteria.append(FarFromReal(neighbours, references.share, settings.knn_neighbours, settings.knn_percentile))
    if settings.duplicates != IGNORE:  # the last one: an image that is rejected for anything else has no copies
        criteria.append(ClassDuplicates(fingerprints, resemblance))
    return criteria


def decode(store: PixelStore, samples: Sequence[Sample]) -> dict[Path, str]:
    """Decode images into the store.

    Args:
        store: of pixels.
        samples: the images.

    Returns:
        Path → reason, for files that are not whole images.
    """
    reasons = store.add_samples(samples)
    return {sample.path: reasons[sample.sha256] for sample in samples if sample.sha256 in reasons} if reasons else {}


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

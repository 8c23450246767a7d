"""What a criterion of screening is, and what it sees of an image."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from synthaug.data.fingerprints import Fingerprint, compared_rows, fingerprint, resemble_by_nature
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import Sample, Samples, digest


@dataclass(frozen=True)
class Candidate:
    """A synthetic image that is screened: its file, and its place in its set."""

    sample: Sample
    image: str


@dataclass(frozen=True)
class Finding:
    """What a criterion has to say of an image.

    Attributes:
        reason: one of those in `verdicts`.
        rejects: whether the image is rejected.
        score: what was measured, if anything was.
        match: the image that it is a copy of, or what else explains the reason.
    """

    reason: str
    rejects: bool = True
    score: float | None = None
    match: str = ""


class Criterion(abc.ABC):
    """Judges the images of one class after another, each in their order.

    Attributes:
        thresholds: what scores were compared with, by name.
    """

    def __init__(self) -> None:
        self.thresholds: dict[str, float] = {}

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:  # noqa: B027 most need not know
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.
        """

    @abc.abstractmethod
    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return what there is to say of each image; None for nothing. All that are not rejected are kept."""


@dataclass(frozen=True)
class RealReferences:
    """The real images that candidates are compared with.

    Attributes:
        share: training images of the arm.
        train: all training images of the dataset.
        val: its validation images.
        test: its test images.
    """

    share: Sequence[Sample]
    train: Sequence[Sample]
    val: Sequence[Sample]
    test: Sequence[Sample]

    def digests(self, with_share: bool, with_copies: bool) -> dict[str, str]:
        """Return the digest of each list that matters.

        Args:
            with_share: whether the training images of the arm do.
            with_copies: whether all others do.
        """
        lists = {"share": self.share} if with_share else {}
        lists |= {"train": self.train, "val": self.val, "test": self.test} if with_copies else {}
        return {role: digest(samples) for role, samples in lists.items()}


class Resemblance:
    """Whether the real images of a dataset resemble one another by nature, found out once it matters.

    Args:
        fingerprints: of images in the pixel store.
        samples: real images.
    """

    def __init__(self, fingerprints: "Fingerprints", samples: Sequence[Sample]) -> None:
        self._fingerprints, self._samples = fingerprints, samples

    @cached_property
    def is_natural(self) -> bool:
        """Whether they do: then near duplicates are not copies, only images of the same pixels are."""
        samples = Samples.of(self._samples)
        if not len(samples):
            return resemble_by_nature([])
        chosen = samples.take(compared_rows(self._fingerprints.store.contents(samples)))
        return resemble_by_nature(self._fingerprints.of(chosen))


@dataclass
class Fingerprints:
    """The fingerprints of images in a pixel store; those of the last images are kept."""

    store: PixelStore
    _recent: dict[str, Fingerprint] = field(default_factory=dict)

    def of(self, samples: Sequence[Sample]) -> list[Fingerprint]:
        """Return the fingerprint of each image."""
        recent = self._recent
        self._recent = {
            sample.sha256: recent.get(sample.sha256) or fingerprint(self.store.image(sample.sha256))
            for sample in samples
        }
        return [self._recent[sample.sha256] for sample in samples]

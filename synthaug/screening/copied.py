"""The criteria on copies: of real images, and of images before them in their class."""

from collections.abc import Sequence

from synthaug.data.fingerprints import CopyIndex, Fingerprint, near_duplicates
from synthaug.data.samples import Sample
from synthaug.screening.criterion import Candidate, Criterion, Finding, Fingerprints, RealReferences, Resemblance
from synthaug.screening.settings import IGNORE, ScreeningSettings
from synthaug.screening.verdicts import DUPLICATE, TEST_COPY, TRAIN_COPY, VAL_COPY


def listed_references(settings: ScreeningSettings, references: RealReferences) -> list[tuple[str, Sample]]:
    """Return the real images of which copies are searched, each with the reason that its copies get.

    Args:
        settings: of the screening.
        references: the real images.
    """
    held_out = settings.test_copies != IGNORE
    roles = [
        (TEST_COPY, references.test if held_out else ()),
        (VAL_COPY, references.val if held_out else ()),
        (TRAIN_COPY, references.train if settings.train_copies != IGNORE else ()),
    ]
    return [(reason, sample) for reason, samples in roles for sample in samples]


class RealCopies(Criterion):
    """Rejects copies of test and validation images, and counts or rejects those of training images.

    Args:
        references: the real images, each with the reason that its copies get.
        fingerprints: of images in the pixel store, which has the real ones.
        resemblance: of real images.
        drops_train: whether copies of training images are rejected.
    """

    def __init__(
        self,
        references: Sequence[tuple[str, Sample]],
        fingerprints: Fingerprints,
        resemblance: Resemblance,
        drops_train: bool,
    ) -> None:
        super().__init__()
        self._references, self._fingerprints, self._drops_train = references, fingerprints, drops_train
        self._resemblance = resemblance
        self._prints: list[Fingerprint] = []
        self._index: CopyIndex | None = None

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which real image each candidate is a copy; of several, a test image before all others."""
        if self._index is None:
            self._prints = self._fingerprints.of([sample for _, sample in self._references])
            self._index = CopyIndex(self._prints)
        prints = self._fingerprints.of([candidate.sample for candidate in candidates])
        matches: dict[int, int] = {}
        for index, match in self._index.find(prints):
            if prints[index].pixels == self._prints[match].pixels or not self._resemblance.is_natural:
                matches[index] = min(match, matches.get(index, match))
        return [self._finding(matches.get(index)) for index in range(len(candidates))]

    def _finding(self, match: int | None) -> Finding | None:
        if match is None:
            return None
        reason, sample = self._references[match]
        return Finding(reason, self._drops_train or reason != TRAIN_COPY, match=sample.file)


class ClassDuplicates(Criterion):
    """Rejects copies of images that are kept and come before them in their class.

    Args:
        fingerprints: of images in the pixel store.
        resemblance: of real images.
    """

    def __init__(self, fingerprints: Fingerprints, resemblance: Resemblance) -> None:
        super().__init__()
        self._fingerprints, self._resemblance = fingerprints, resemblance
        self._kept: list[Candidate] = []
        self._prints: list[Fingerprint] = []
        self._index = CopyIndex()

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.
        """
        self._kept = list(kept)
        self._prints = self._fingerprints.of([candidate.sample for candidate in kept])
        self._index = CopyIndex(self._prints)

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which kept image each candidate is a copy."""
        prints = self._fingerprints.of([candidate.sample for candidate in candidates])
        originals: dict[int, str] = {}
        for index, match in self._index.find(prints):
            if self._is_copy(prints[index], self._prints[match]):
                originals.setdefault(index, self._kept[match].image)
        for index, match in near_duplicates(prints, prints):  # ascending, so that `match` is decided on
            if match < index and match not in originals and self._is_copy(prints[index], prints[match]):
                originals.setdefault(index, candidates[match].image)
        kept = [index for index in range(len(candidates)) if index not in originals]
        self._kept += [candidates[index] for index in kept]
        self._prints += [prints[index] for index in kept]
        self._index.add([prints[index] for index in kept])
        return [
            Finding(DUPLICATE, match=originals[index]) if index in originals else None
            for index in range(len(candidates))
        ]

    def _is_copy(self, candidate: Fingerprint, match: Fingerprint) -> bool:
        return candidate.pixels == match.pixels or not self._resemblance.is_natural

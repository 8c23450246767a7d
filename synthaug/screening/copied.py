"""The criteria on copies: of real images, and of images before them in their class."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from synthaug import progress_bar
from synthaug.data.fingerprints import CopyIndex, Fingerprint, near_duplicates
from synthaug.data.samples import Samples
from synthaug.screening.criterion import Candidate, Criterion, Finding, Fingerprints, RealReferences, Resemblance
from synthaug.screening.settings import IGNORE, ScreeningSettings
from synthaug.screening.verdicts import DUPLICATE, TEST_COPY, TRAIN_COPY, VAL_COPY

_BLOCK = 4096  # images whose fingerprints are held at once


@dataclass(frozen=True)
class Originals:
    """The real images of which copies are searched: those of the test, of validation, of training.

    Attributes:
        samples: the images.
        ends: how many there are up to each kind, and the reason that copies of the kind get.
    """

    samples: Samples
    ends: Sequence[tuple[int, str]]

    @classmethod
    def listed(cls, settings: ScreeningSettings, references: RealReferences) -> "Originals":
        """Return those that a screening compares with.

        Args:
            settings: of the screening.
            references: the real images.
        """
        held_out = settings.test_copies != IGNORE
        roles = {
            TEST_COPY: references.test if held_out else (),
            VAL_COPY: references.val if held_out else (),
            TRAIN_COPY: references.train if settings.train_copies != IGNORE else (),
        }
        ends = list(accumulate(map(len, roles.values())))
        return cls(Samples.joined(roles.values()), list(zip(ends, roles, strict=True)))

    def reason(self, number: int) -> str:
        """Return the reason that copies of an image get."""
        return next(reason for end, reason in self.ends if number < end)


class RealCopies(Criterion):
    """Rejects copies of test and validation images, and counts or rejects those of training images.

    Args:
        originals: the real images.
        fingerprints: of images in the pixel store, which has the real ones.
        resemblance: of real images.
        drops_train: whether copies of training images are rejected.
    """

    def __init__(
        self, originals: Originals, fingerprints: Fingerprints, resemblance: Resemblance, drops_train: bool
    ) -> None:
        super().__init__()
        self._originals, self._fingerprints, self._drops_train = originals, fingerprints, drops_train
        self._resemblance = resemblance

    @cached_property
    def _index(self) -> CopyIndex:
        index, samples = CopyIndex(folder=self._fingerprints.store.folder), self._originals.samples
        with progress_bar.bar("comparing", len(samples), delay=2) as bar:
            for start in range(0, len(samples), _BLOCK):
                index.add(self._fingerprints.of(samples[start : start + _BLOCK]))
                bar.update(len(index) - start)
        return index

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which real image each candidate is a copy; of several, a test image before all others."""
        index = self._index  # before the fingerprints of the candidates, which are the ones that are kept
        prints = self._fingerprints.of([candidate.sample for candidate in candidates])
        matches: dict[int, int] = {}
        for number, match in index.find(prints):
            if prints[number].pixels == index.pixels(match) or not self._resemblance.is_natural:
                matches[number] = min(match, matches.get(number, match))
        return [self._finding(matches.get(number)) for number in range(len(candidates))]

    def _finding(self, match: int | None) -> Finding | None:
        if match is None:
            return None
        reason = self._originals.reason(match)
        return Finding(reason, self._drops_train or reason != TRAIN_COPY, match=self._originals.samples[match].file)


class ClassDuplicates(Criterion):
    """Rejects copies of images that are kept and come before them in their class.

    Args:
        fingerprints: of images in the pixel store.
        resemblance: of real images.
    """

    def __init__(self, fingerprints: Fingerprints, resemblance: Resemblance) -> None:
        super().__init__()
        self._fingerprints, self._resemblance = fingerprints, resemblance
        self._kept: list[str] = []
        self._index = CopyIndex()

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.
        """
        self._kept, self._index = [], CopyIndex(folder=self._fingerprints.store.folder)
        for start in range(0, len(kept), _BLOCK):
            self._keep(kept[start : start + _BLOCK])

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which kept image each candidate is a copy."""
        prints = self._fingerprints.of([candidate.sample for candidate in candidates])
        originals: dict[int, str] = {}
        for index, match in self._index.find(prints):
            if self._is_copy(prints[index], self._index.pixels(match)):
                originals.setdefault(index, self._kept[match])
        for index, match in near_duplicates(prints, prints):  # ascending, so that `match` is decided on
            if match < index and match not in originals and self._is_copy(prints[index], prints[match].pixels):
                originals.setdefault(index, candidates[match].image)
        self._keep([candidate for index, candidate in enumerate(candidates) if index not in originals])
        return [
            Finding(DUPLICATE, match=originals[index]) if index in originals else None
            for index in range(len(candidates))
        ]

    def _keep(self, candidates: Sequence[Candidate]) -> None:
        self._kept += [candidate.image for candidate in candidates]
        self._index.add(self._fingerprints.of([candidate.sample for candidate in candidates]))

    def _is_copy(self, candidate: Fingerprint, pixels: str) -> bool:
        return candidate.pixels == pixels or not self._resemblance.is_natural

"""The criteria on copies: of real images, and of images before them in their class."""

from collections.abc import Sequence

from synthaug.data.fingerprints import Fingerprint, near_duplicates
from synthaug.data.samples import Sample
from synthaug.screening.criterion import Candidate, Criterion, Finding, Fingerprints, RealReferences
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
        drops_train: whether copies of training images are rejected.
    """

    def __init__(self, references: Sequence[tuple[str, Sample]], fingerprints: Fingerprints, drops_train: bool) -> None:
        super().__init__()
        self._references, self._fingerprints, self._drops_train = references, fingerprints, drops_train
        self._prints: list[Fingerprint] | None = None

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which real image each candidate is a copy; of several, a test image before all others."""
        if self._prints is None:
            self._prints = self._fingerprints.of([sample for _, sample in self._references])
        matches: dict[int, int] = {}
        for index, match in near_duplicates(
            self._fingerprints.of([candidate.sample for candidate in candidates]), self._prints
        ):
            matches[index] = min(match, matches.get(index, match))
        return [self._finding(matches.get(index)) for index in range(len(candidates))]

    def _finding(self, match: int | None) -> Finding | None:
        if match is None:
            return None
        reason, sample = self._references[match]
        return Finding(reason, self._drops_train or reason != TRAIN_COPY, match=str(sample.path))


class ClassDuplicates(Criterion):
    """Rejects copies of images that are kept and come before them in their class.

    Args:
        fingerprints: of images in the pixel store.
    """

    def __init__(self, fingerprints: Fingerprints) -> None:
        super().__init__()
        self._fingerprints = fingerprints
        self._kept: list[Candidate] = []
        self._prints: list[Fingerprint] = []

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.
        """
        self._kept = list(kept)
        self._prints = self._fingerprints.of([candidate.sample for candidate in kept])

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return of which kept image each candidate is a copy."""
        prints = self._fingerprints.of([candidate.sample for candidate in candidates])
        earlier: dict[int, list[int]] = {}
        for index, match in near_duplicates(prints, self._prints + prints):
            earlier.setdefault(index, []).append(match)
        before, pool = len(self._kept), [*self._kept, *candidates]
        findings: list[Finding | None] = []
        for index in range(len(candidates)):
            matches = [
                match
                for match in earlier.get(index, ())
                if match < before or (match < before + index and findings[match - before] is None)
            ]
            findings.append(Finding(DUPLICATE, match=pool[min(matches)].image) if matches else None)
        for candidate, fingerprint, finding in zip(candidates, prints, findings, strict=True):
            if finding is None:
                self._kept.append(candidate)
                self._prints.append(fingerprint)
        return findings

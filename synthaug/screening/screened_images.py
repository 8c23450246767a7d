"""A synthetic set of which only those images count that its screening keeps; rejected ones are topped up."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import accumulate, chain
from pathlib import Path, PurePath
from typing import Any, overload

from synthaug import locks, progress_bar
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import Sample, Samples, per_class
from synthaug.errors import UserError
from synthaug.files import remove_unfinished
from synthaug.generation.screening import Rejection
from synthaug.generation.synthetic_set import SyntheticImages
from synthaug.image_files import is_image_file
from synthaug.messages import bullets, plural
from synthaug.screening import pair_sheet
from synthaug.screening.criteria import decode, make_criteria
from synthaug.screening.criterion import Candidate, Criterion, Finding, RealReferences
from synthaug.screening.reject_list import RejectList, describe_unknown
from synthaug.screening.settings import STOP, ScreeningSettings
from synthaug.screening.verdicts import (
    GENERATOR,
    TEST_COPY,
    UNREADABLE,
    VAL_COPY,
    Verdict,
    VerdictFile,
    counted,
    examples,
)

log = logging.getLogger(__name__)

RULE = 2  # raise it with any change of what the same settings reject
MAX_REJECTED = 0.9  # share of a class's candidates above which topping up stops
MIN_CANDIDATES = 20  # of a class, before that share is looked at
COPIES_SHEET = "test_copies.png"
_CHUNK = 256  # candidates judged between two writings of the file


class ScreenedImages:
    """The images of a synthetic set, or of a pool, that a screening keeps; itself such a source.

    Args:
        images: that are screened.
        settings: of the screening.
        references: real images.
        store: of pixels, into which candidates are decoded, once for screening and training.
        features: folder of the features of images; None: beside the set.

    Raises:
        UserError: a reject list that cannot be read.
    """

    def __init__(
        self,
        images: SyntheticImages,
        settings: ScreeningSettings,
        references: RealReferences,
        store: PixelStore,
        features: Path | None = None,
    ) -> None:
        self.images = images
        self.settings = settings
        self.folder = images.folder
        self.root, self.grows, self.partial = images.root, images.grows, images.partial
        self._list = RejectList(Path(settings.reject_list).expanduser()) if settings.reject_list else None
        self._references = references
        self._store = store
        self._features = features or self.folder / "features"
        self._criteria: Sequence[Criterion] = ()
        criteria = {**settings.criteria, "reject_list": sorted(self._list.entries) if self._list else []}
        digests = references.digests(settings.needs_real_share, settings.searches_copies)
        name = _digest([RULE, criteria, digests])[:8]
        self.verdict_folder = self.folder / f"screening-{settings.name or 'custom'}-{name}"
        self._file = VerdictFile(self.verdict_folder, criteria, digests)
        self._verdicts: dict[str, list[Verdict]] | None = None
        self._thresholds: dict[str, float] = {}
        self._is_reported = True

    # --- the interface of a synthetic set ------------------------------------------------------------

    def check(self, counts: Mapping[str, int]) -> None:
        """Check that the images of `counts` can be had; a pool is screened for it, a generator loads no model.

        Raises:
            UserError: what the set itself raises; entries of the reject list that name no image; a pool with copies of
                test images, or with too few images that are kept.
        """
        self.images.check(counts)
        if not self.grows:
            self.ensure(counts)

    def available(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how many images of `counts` there are or can be generated."""
        if self.grows:
            return self.images.available(counts)
        kept = self._count_kept(counts)
        return {name: min(count, kept[name]) for name, count in self.images.available(counts).items()}

    def count_missing(self, counts: Mapping[str, int]) -> int:
        """Return how many images are to be generated at least; those at hand are screened for it."""
        if not self.grows:
            return self.images.count_missing(counts)
        requests = self._requests(counts)
        if missing := self.images.count_missing(requests):
            return missing
        kept = self._judged(counts, requests)
        return sum(max(0, count - kept[name]) for name, count in counts.items())

    def ensure(self, counts: Mapping[str, int]) -> int:
        """Screen what is there, and generate until enough images of each class are kept.

        Args:
            counts: class → images.

        Returns:
            How many images were generated.

        Raises:
            UserError: what the set itself raises; copies of test images, where these stop a command; a class of which
                nearly everything is rejected; a pool of which too few images are kept.
        """
        with self.images.kept_loaded():
            return self._ensure(counts)

    def kept_loaded(self) -> AbstractContextManager[None]:
        """Load the model once for all calls of `ensure` inside."""
        return self.images.kept_loaded()

    def _ensure(self, counts: Mapping[str, int]) -> int:
        generated, requests = 0, dict(counts)
        while True:
            generated += self.images.ensure(requests)
            kept = self._judged(counts, requests)
            missing = {name: count - kept[name] for name, count in counts.items() if kept[name] < count}
            if not missing or (not self.grows and self.partial):
                self._report(list(counts))
                return generated
            if not self.grows:
                raise UserError(self._describe_shortages(counts))
            self._check_rejection_rate(missing)
            requests = self._requests(counts)

    def samples(self, classes: Sequence[str]) -> Samples:
        """Return the images of these classes that are kept: of a pool all, of a generator those judged so far."""
        if not self.grows:
            self._judged(none := dict.fromkeys(classes, 0), none)
        kept = {verdict.image for verdicts in self._read().values() for verdict in verdicts if verdict.kept}
        return Samples.of(self.images.samples(classes)).where(lambda sample: self._place(sample) in kept)

    def rejections(self, classes: Sequence[str]) -> list[Rejection]:
        """Return what was rejected of these classes."""
        return [
            Rejection(verdict.class_name, verdict.image, verdict.sha256, verdict.reason)
            for verdict in self.verdicts(classes)
            if not verdict.kept
        ]

    # --- verdicts ------------------------------------------------------------------------------------

    def verdicts(self, classes: Sequence[str]) -> list[Verdict]:
        """Return the verdict on each image of these classes judged so far, those that the set itself rejects included.

        Args:
            classes: names.
        """
        judged = self._read()
        return [*(verdict for name in classes for verdict in judged.get(name, ())), *self._rejected_by_set(classes)]

    def _rejected_by_set(self, classes: Sequence[str]) -> list[Verdict]:
        return [
            Verdict(item.class_name, item.image, item.sha256, False, f"{GENERATOR}: {item.reason}", None, item.match)
            for item in self.images.rejections(classes)
        ]

    def record(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """Return what a run writes down: where the file is, criteria, thresholds, counts by class, a few examples.

        Of a set that grows, these are of the images up to the last one that the run takes, whatever others have made.

        Args:
            counts: class → images of the run.
        """
        verdicts = self.verdicts(list(counts))
        if self.grows:
            needed = {name: self._needed(name, count) for name, count in counts.items()}
            last = {name: _number(of_class[-1]) if of_class else 0 for name, of_class in needed.items()}
            before = [v for v in self._rejected_by_set(list(counts)) if _number(v) < last[v.class_name]]
            verdicts = [*chain.from_iterable(needed.values()), *before]
        return {
            "name": self.settings.name or "custom",
            "file": str(self._file.path),
            "root": str(self.root),
            "criteria": self.settings.criteria,
            "thresholds": self._file.thresholds(),
            "classes": counted(verdicts),
            "examples": [asdict(verdict) | {"image": str(self._path(verdict.image))} for verdict in examples(verdicts)],
        }

    def _needed(self, name: str, count: int) -> list[Verdict]:
        """Return the verdicts of a class until so many images are kept."""
        verdicts = self._read().get(name, [])
        kept = accumulate(verdict.kept for verdict in verdicts)
        return [verdict for verdict, before in zip(verdicts, chain([0], kept), strict=False) if before < count]

    def _read(self, reports_damage: bool = True) -> dict[str, list[Verdict]]:
        """Return class → verdicts in their order, as the file has them or as they were last judged."""
        if self._verdicts is None:
            verdicts, damaged = self._file.read()
            if damaged and reports_damage:
                lines = plural(len(damaged), "line is", "lines are")
                log.warning(
                    "%s: %s not as written (line %s), and these images are screened again. To reject images by hand, "
                    "name them in a file: screening.reject_list=<file>",
                    self._file.path,
                    lines,
                    ", ".join(map(str, damaged[:5])),
                )
            grouped: dict[str, list[Verdict]] = {}
            for verdict in verdicts:
                if not verdict.reason.startswith(f"{GENERATOR}:"):
                    grouped.setdefault(verdict.class_name, []).append(verdict)
            self._verdicts = grouped
        return self._verdicts

    def _judged(self, counts: Mapping[str, int], requests: Mapping[str, int]) -> dict[str, int]:
        """Screen images of each class until so many are kept, of a pool all; return how many are kept.

        Args:
            counts: class → images to be kept.
            requests: class → the most candidates that are judged of a set that grows.

        Raises:
            UserError: copies of test images, where these stop a command.
        """
        # Before the images, or another process that makes some would seem to have judged what is not there. It may be
        # in the midst of a row: damage is told of once nobody writes.
        self._read(reports_damage=False)
        candidates = self._candidates(list(counts))
        if self._list:
            for candidate in (candidate for of_class in candidates.values() for candidate in of_class):
                self._list.names(candidate)
            if problem := describe_unknown(self._list):
                raise UserError(problem)
        if self._pending(candidates, counts, requests):
            with self._locked():
                self._verdicts = None  # another process may have made and screened some
                candidates = self._candidates(list(counts))
                pending = self._pending(candidates, counts, requests)
                if pending:
                    of_class = {name: listed[: self._last(requests[name])] for name, listed in candidates.items()}
                    self._judge(of_class, pending, counts)
        self._refuse_test_copies(list(counts))
        return self._count_kept(counts)

    def _last(self, requested: int) -> int | None:
        return requested if self.grows else None

    def _pending(
        self, candidates: Mapping[str, Sequence[Candidate]], counts: Mapping[str, int], requests: Mapping[str, int]
    ) -> list[str]:
        """Return the classes with images to be judged; verdicts that no longer agree with the files are dropped."""
        judged = self._read()
        for name, of_class in candidates.items():
            verdicts = judged.get(name, [])
            agreeing = 0
            for candidate, verdict in zip(of_class, verdicts, strict=False):
                if (verdict.image, verdict.sha256) != (candidate.image, candidate.sample.sha256):
                    break
                agreeing += 1
            if agreeing < len(verdicts):
                self._report_disagreement(name, verdicts[agreeing], of_class)
            judged[name] = verdicts[:agreeing]
        kept = self._count_kept(counts)
        return [
            name
            for name, of_class in candidates.items()
            if len(judged[name]) < len(of_class[: self._last(requests[name])])
            and (not self.grows or kept[name] < counts[name])
        ]

    def _report_disagreement(self, name: str, verdict: Verdict, candidates: Sequence[Candidate]) -> None:
        current = {candidate.image: candidate.sample.sha256 for candidate in candidates}.get(verdict.image)
        what = "its file has gone" if current is None else "its file has changed"
        if current == verdict.sha256:
            what = "images before it are new"
        log.warning("%s: %s: %s; %s is screened again from there on", self._file.path, verdict.image, what, name)

    def _judge(
        self, candidates: Mapping[str, Sequence[Candidate]], names: Sequence[str], counts: Mapping[str, int]
    ) -> None:
        if not self._criteria:
            criteria = make_criteria(self.settings, self._references, self._store, self._features)
            self._criteria = [*([self._list] if self._list else []), *criteria]
        judged = self._read()
        total = sum(len(candidates[name]) - len(judged[name]) for name in names)
        self._decode_needed(candidates, names, counts)
        self._write(list(candidates))
        with progress_bar.bar("screening", total) as bar:
            for name in names:
                verdicts, of_class = judged[name], candidates[name]
                kept = [candidate for candidate, verdict in zip(of_class, verdicts, strict=False) if verdict.kept]
                decode(self._store, Samples(candidate.sample for candidate in kept))
                for criterion in self._criteria:
                    criterion.begin(name, kept)
                count = len(kept)
                while len(verdicts) < len(of_class) and not (self.grows and count >= counts[name]):
                    chunk = list(of_class[len(verdicts) : len(verdicts) + _CHUNK])
                    new = self._judge_chunk(chunk)
                    verdicts += new
                    count += sum(verdict.kept for verdict in new)
                    self._file.append(new, self._thresholds)
                    bar.update(len(chunk))
        self._write(list(candidates))
        self._is_reported = False

    def _decode_needed(
        self, candidates: Mapping[str, Sequence[Candidate]], names: Sequence[str], counts: Mapping[str, int]
    ) -> None:
        """Decode the first chunk of each class, of a generator no more than it needs: the store is written once."""
        judged = self._read()
        needed = Samples(
            candidate.sample
            for name in names
            for last in [len(judged[name]) + (min(_CHUNK, counts[name]) if self.grows else _CHUNK)]
            for candidate in candidates[name][:last]
        )
        decode(self._store, needed)

    def _judge_chunk(self, chunk: Sequence[Candidate]) -> list[Verdict]:
        bad = decode(self._store, [candidate.sample for candidate in chunk])
        findings: dict[str, Finding] = {}
        remaining = []
        for candidate in chunk:
            if candidate.sample.path in bad:
                findings[candidate.image] = Finding(UNREADABLE, match=bad[candidate.sample.path])
            else:
                remaining.append(candidate)
        for criterion in self._criteria:
            results = criterion.judge(remaining) if remaining else []
            findings |= {
                candidate.image: finding for candidate, finding in zip(remaining, results, strict=True) if finding
            }
            remaining = [
                candidate
                for candidate, finding in zip(remaining, results, strict=True)
                if not (finding and finding.rejects)
            ]
            self._thresholds |= criterion.thresholds
        return [_verdict(candidate, findings.get(candidate.image)) for candidate in chunk]

    def _write(self, classes: Sequence[str]) -> None:
        judged = self._read()
        others = [verdict for name, verdicts in judged.items() if name not in classes for verdict in verdicts]
        self._file.write([*others, *self.verdicts(classes)], self._thresholds)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.verdict_folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(self.verdict_folder / ".lock", f"screens the images of {self.root}"):
            remove_unfinished(self.verdict_folder)
            yield

    # --- counts and refusals ---------------------------------------------------------------------------

    def _candidates(self, classes: Sequence[str]) -> dict[str, Sequence[Candidate]]:
        """Return the images of each class in the order in which they were made, or of their paths."""
        by_class = per_class(self.images.samples(classes), classes)
        return {
            name: _Candidates(samples.arranged(lambda sample: (sample.order or 0, sample.path.as_posix())), self._place)
            for name, samples in by_class.items()
        }

    def _place(self, sample: Sample) -> str:
        path, root = sample.path, self.root
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()

    def _path(self, image: str) -> Path:
        """Return the file of an image from `_place`; copies in another format do not lie in a pool."""
        return next((path for path in (self.root / image, Path(image)) if is_image_file(path)), self.root / image)

    def _count_kept(self, counts: Mapping[str, int]) -> dict[str, int]:
        judged = self._read()
        return {name: sum(verdict.kept for verdict in judged.get(name, ())) for name in counts}

    def _requests(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how many candidates of each class to have and to judge."""
        judged = self._read()
        return {name: request(judged.get(name, ()), count) if self.grows else count for name, count in counts.items()}

    def _check_rejection_rate(self, missing: Mapping[str, int]) -> None:
        """Stop where topping up would go on for ever."""
        judged = self._read()
        problems = []
        for name in missing:
            verdicts = judged[name]
            rejected = sum(not verdict.kept for verdict in verdicts)
            if len(verdicts) >= MIN_CANDIDATES and rejected > MAX_REJECTED * len(verdicts):
                problems.append(f"{rejected} of {len(verdicts)} images of {name}: {self._reasons(name)}")
        if problems:
            raise UserError(
                f"The screening {self.settings.name or ''!r} rejects nearly everything:\n{bullets(problems)}\n"
                f"Look at the images that {self._file.path} lists; then change the prompts or the generator, or loosen "
                "the criterion (screening=default, or its keys)."
            )

    def _describe_shortages(self, counts: Mapping[str, int]) -> str:
        kept = self._count_kept(counts)
        short = [
            f"{name}: {kept[name]} of {count} ({self._reasons(name)})"
            for name, count in counts.items()
            if kept[name] < count
        ]
        return (
            f"Too few images of {self.root} are kept by the screening in {plural(len(short), 'class', 'classes')}:\n"
            f"{bullets(short)}\nAdd images, choose a mix with fewer synthetic ones, loosen the screening (its "
            f"verdicts: {self._file.path}), or accept fewer with generator.partial=true."
        )

    def _reasons(self, name: str) -> str:
        rejected = counted(self.verdicts([name])).get(name, {}).get("rejected", {})
        return ", ".join(f"{reason}: {count}" for reason, count in rejected.items()) or "none rejected"

    def _refuse_test_copies(self, classes: Sequence[str]) -> None:
        if self.settings.test_copies != STOP:
            return
        copies = [verdict for verdict in self.verdicts(classes) if verdict.reason in (TEST_COPY, VAL_COPY)]
        if not copies:
            return
        sheet = self.verdict_folder / COPIES_SHEET
        pairs = [(self._path(verdict.image), Path(verdict.match)) for verdict in copies]
        pair_sheet.write(sheet, pairs)
        what = plural(len(copies), "synthetic image is a copy", "synthetic images are copies")
        listed = bullets([f"{image}  =  {match}" for image, match in pairs])
        raise UserError(
            f"{what} of validation or test images, so that the test would not be independent:\n{listed}\n"
            f"Side by side: {sheet}. Remove them, or have them rejected with screening.test_copies=drop."
        )

    def _report(self, names: Sequence[str]) -> None:
        """Log once how many images were rejected, if any were judged."""
        if self._is_reported:
            return
        self._is_reported = True
        rejected = {name: count for name in names if (count := sum(not v.kept for v in self._read()[name]))}
        if rejected:
            lines = [
                f"{name}: {count} of {len(self._read()[name])} ({self._reasons(name)})"
                for name, count in rejected.items()
            ]
            log.warning("Images rejected by the screening (%s):\n%s", self._file.path, bullets(lines))
        copies = [v for name in names for v in self._read()[name] if v.kept and v.reason]
        if copies:
            what = plural(len(copies), "kept image is a copy", "kept images are copies")
            listed = bullets([f"{self._path(verdict.image)}  =  {verdict.match}" for verdict in copies], limit=3)
            log.warning("%s of training images (screening.train_copies=drop rejects such):\n%s", what, listed)


def _number(verdict: Verdict) -> int:
    """Return the number of an image of a set that grows, in its class; in a tar file, its place follows the number."""
    return int(PurePath(verdict.image).name.partition(".")[0].partition("@")[0])


def request(verdicts: Sequence[Verdict], count: int) -> int:
    """Return how many candidates of a class to have, if as large a share of the next ones is kept as of those before.

    It depends on no verdict behind those that a request before asked for. So who is stopped, or judges beside others,
    comes to the same number.

    Args:
        verdicts: on the candidates so far, in their order.
        count: images that are to be kept.
    """
    requested = count
    while len(verdicts) >= requested:
        kept = sum(verdict.kept for verdict in verdicts[:requested])
        if kept >= count:
            break
        rate = max(kept, 1) / requested
        requested += int((count - kept) / max(rate, 1 - MAX_REJECTED))
    return requested


class _Candidates(Sequence[Candidate]):
    """The candidates of a class, made when they are asked for: objects of a million take a gigabyte.

    Args:
        samples: their files.
        place: of a file in the set.
    """

    def __init__(self, samples: Samples, place: Callable[[Sample], str]) -> None:
        self._samples, self._place = samples, place

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, item: int) -> Candidate: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, item: int | slice) -> Candidate | Sequence[Candidate]:
        if isinstance(item, slice):
            return _Candidates(self._samples[item], self._place)
        return self._candidate(self._samples[item])

    def __iter__(self) -> Iterator[Candidate]:
        return map(self._candidate, self._samples)

    def _candidate(self, sample: Sample) -> Candidate:
        return Candidate(sample, self._place(sample))


def _verdict(candidate: Candidate, finding: Finding | None) -> Verdict:
    sample = candidate.sample
    if finding is None:
        return Verdict(sample.class_name, candidate.image, sample.sha256, True)
    place = (sample.class_name, candidate.image, sample.sha256)
    return Verdict(*place, not finding.rejects, finding.reason, finding.score, finding.match)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

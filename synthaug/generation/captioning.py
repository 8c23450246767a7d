"""A file of captions, written class by class and step by step; an interrupted one is continued.

    <folder>/recipe.json       what wrote it: model, instruction, seed
    <folder>/<folder>.jsonl    a line for each caption: class, caption, and what it comes from

A step is one answer of a language model, or one image looked at. What a step proposes depends on class, number of the
step and seed alone, so an interrupted file ends up as it would have been.
"""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from synthaug import locks
from synthaug.data.samples import Sample
from synthaug.environment import hidden_settings
from synthaug.errors import UserError
from synthaug.files import open_regular, read_json, remove_unfinished, write_json, write_text
from synthaug.generation.caption_files import CAPTION, CLASS, caption_problem
from synthaug.messages import join_words, plural

log = logging.getLogger(__name__)

RECIPE = "recipe.json"
_STEP = "step"
_FORMER = ("```", "~~~")  # of a block of code around an answer
_THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_NUMBERING = re.compile(r"^(\(?\d{1,4}[.):\]]\s+|[-*•–—]+\s+|(caption|prompt)\s*\d*\s*[:.]\s*)", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»", "`": "`"}


@dataclass(frozen=True)
class Subject:
    """A class as it is described.

    Attributes:
        class_name: of its folder.
        name: in words.
        images: training images that may be looked at.
    """

    class_name: str
    name: str
    images: Sequence[Sample] = ()


@dataclass(frozen=True)
class Proposal:
    """A caption before it is accepted, and the image that it describes, if it was looked at."""

    text: str
    image: Sample | None = None


class Captioner(Protocol):
    """Writes captions; `InstructionCaptioner` and `ImageCaptioner` do."""

    model: str
    looks_at_images: bool

    @property
    def settings(self) -> dict[str, Any]: ...

    def check(self) -> None: ...

    def tries(self, subject: Subject) -> int: ...

    def propose(self, subject: Subject, step: int, seed: int) -> list[Proposal]: ...

    def provenance(self) -> dict[str, str]: ...

    def unload(self) -> None: ...


@dataclass
class _Refusals:
    """Proposals that were not accepted, by reason, and the last one."""

    counts: Counter[str] = field(default_factory=Counter)
    last: str = ""


class CaptionFile:
    """The captions of a dataset's classes by one captioner.

    Args:
        folder: of the file; created on demand.
        captioner: not yet loaded.
        subjects: the classes.
        seed: of the captions.
    """

    def __init__(self, folder: Path, captioner: Captioner, subjects: Sequence[Subject], seed: int) -> None:
        self.folder = folder
        self.path = folder / f"{folder.name}.jsonl"  # the name of prompts from this file
        self.captioner = captioner
        self.subjects = list(subjects)
        self.seed = seed

    def ensure(self, per_class: int | None) -> int:
        """Write the missing captions; return how many were written.

        Args:
            per_class: captions of each class; None: as many different ones as its images give when each is looked at
                once.

        Raises:
            UserError: a model that cannot be loaded, or that writes no more new captions; a class without images to
                look at; a damaged file.
        """
        self._check_images()
        rows = self.rows()
        if not self._unfinished(rows, per_class):
            return 0
        self.captioner.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        with locks.exclusive(self.folder / ".lock", f"writes {self.path}"):
            remove_unfinished(self.folder)
            rows = self.rows()
            before = len(rows)
            try:
                self._write_missing(rows, per_class)
            finally:
                self.captioner.unload()
        return len(rows) - before

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines of the file.

        Raises:
            UserError: a line that is not such as was written.
        """
        if not self.path.is_file():
            return []
        rows = []
        with open_regular(self.path) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    row = json.loads(line.decode("utf-8"))
                    rows.append({**row, CLASS: str(row[CLASS]), CAPTION: str(row[CAPTION]), _STEP: int(row[_STEP])})
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"{self.path}:{number} is not a line of captions ({_one_line(error)}): mend it, or delete it "
                        "and run the same command again."
                    ) from None
        return rows

    def _check_images(self) -> None:
        if self.captioner.looks_at_images and (blind := [item.class_name for item in self.subjects if not item.images]):
            raise UserError(
                f"The captioner {self.captioner.model} looks at real training images, and there are none of "
                f"{join_words(blind)}: choose a mix with real images, such as mix=real, or captioner=instruct."
            )

    def _unfinished(self, rows: Sequence[Mapping[str, Any]], per_class: int | None) -> list[Subject]:
        counts = Counter(row[CLASS] for row in rows)
        last = {row[CLASS]: row[_STEP] for row in rows}
        return [
            subject
            for subject in self.subjects
            if (counts[subject.class_name] < per_class if per_class is not None else not self._is_seen(subject, last))
        ]

    def _is_seen(self, subject: Subject, last: Mapping[str, int]) -> bool:
        return last.get(subject.class_name, -1) >= len(subject.images) - 1

    def _write_missing(self, rows: list[dict[str, Any]], per_class: int | None) -> None:
        unfinished = self._unfinished(rows, per_class)
        provenance = self.captioner.provenance()
        self._check_recipe(rows, provenance)
        done = Counter(row[CLASS] for row in rows)
        goals = {item.class_name: len(item.images) if per_class is None else per_class for item in unfinished}
        missing = sum(goal - done[name] for name, goal in goals.items())
        log.info("writing up to %s into %s", plural(missing, "caption"), self.path)
        used = {_key(row[CAPTION]) for row in rows}
        with tqdm(total=missing, desc="captions", unit="caption", disable=None, leave=False) as bar:
            for subject in unfinished:
                self._write_class(subject, goals[subject.class_name], per_class is None, rows, used, provenance, bar)

    def _write_class(
        self,
        subject: Subject,
        goal: int,
        once: bool,
        rows: list[dict[str, Any]],
        used: set[str],
        provenance: Mapping[str, str],
        bar: Any,
    ) -> None:
        """Write the captions of a class; extends `rows` and `used`."""
        steps = [row[_STEP] for row in rows if row[CLASS] == subject.class_name]
        step, count, idle = max(steps, default=0), len(steps), 0  # of the last step, only a part may have been needed
        refusals = _Refusals()
        while count < goal and not (once and step >= len(subject.images)):
            new: list[dict[str, Any]] = []
            for proposal in self.captioner.propose(subject, step, self.seed):
                text = " ".join(proposal.text.split())
                if reason := self._refusal(text, subject, used):
                    refusals.counts[reason] += 1
                    refusals.last = text
                elif count + len(new) < goal:
                    used.add(_key(text))
                    new.append(self._row(subject, text, step, proposal.image, provenance))
            if new:
                rows += new
                self._write(rows)
            count += len(new)
            bar.update(len(new))
            idle = 0 if new else idle + 1
            if idle >= self.captioner.tries(subject) and not once:
                raise self._exhausted_error(subject, count, goal, idle, refusals)
            step += 1

    def _row(
        self, subject: Subject, text: str, step: int, image: Sample | None, provenance: Mapping[str, str]
    ) -> dict[str, Any]:
        source = {} if image is None else {"source": str(image.path), "source_sha256": image.sha256}
        return {CLASS: subject.class_name, CAPTION: text, _STEP: step, "seed": self.seed, **provenance, **source}

    def _refusal(self, text: str, subject: Subject, used: set[str]) -> str:
        """Return why a caption is not accepted; empty for one that is."""
        if caption_problem(text):
            return "not of a readable length"
        if not names_class(text, subject.name):
            return f"without the words {subject.name!r}"
        if not self.captioner.looks_at_images:  # what an image shows beside its class is true
            rest = _class_pattern(subject.name).sub(" ", text)
            names = [item.name for item in self.subjects if item is not subject]
            if any(names_class(rest, name) for name in names):
                return "with the name of another class"
        return "written already" if _key(text) in used else ""

    def _exhausted_error(self, subject: Subject, count: int, goal: int, tries: int, refusals: _Refusals) -> UserError:
        reasons = [f"{number} {reason}" for reason, number in refusals.counts.most_common()]
        last = f" The last one: {refusals.last[:200]!r}." if refusals.last else ""
        kept = f" What is written is kept, and per_class={count} would be content with it." if count else ""
        key = "beginning" if self.captioner.looks_at_images else "instruction"
        return UserError(
            f"The captioner {self.captioner.model} has no new caption of class {subject.class_name!r} in "
            f"{plural(tries, 'try', 'tries')}, and {count} of {goal} are written. Refused: "
            f"{join_words(reasons) if reasons else 'none, since it answered nothing'}.{last} Raise "
            f"captioner.temperature, change captioner.{key}, or choose another captioner.model.{kept}"
        )

    def _write(self, rows: list[dict[str, Any]]) -> None:
        order = {subject.class_name: number for number, subject in enumerate(self.subjects)}
        rows.sort(key=lambda row: order.get(row[CLASS], len(order)))  # stable: in the order of writing inside a class
        write_text(self.path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def _check_recipe(self, rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, str]) -> None:
        """Record what writes the file; refuse to continue what another version of the model began."""
        path = self.folder / RECIPE
        current = hidden_settings({**self.captioner.settings, "seed": self.seed, **provenance})
        recorded = read_json(path) if path.is_file() and rows else current
        changed = [key for key in ("weights", "revision") if recorded.get(key) != current.get(key)]
        if changed:
            raise UserError(
                f"{self.path} was begun by another version of {self.captioner.model} than the one loaded now (its "
                f"{join_words(changed)} differ): set captioner.revision={recorded.get('revision')}, or move "
                f"{self.folder} away to write all captions again."
            )
        write_json(path, current)


def recipe_name(captioner: Captioner, subjects: Sequence[Subject], seed: int, name: str) -> str:
    """Return the name of a folder of captions: the captioner's, and a hash of all that changes what it writes.

    Args:
        captioner: that writes.
        subjects: the classes.
        seed: of the captions.
        name: of the captioner.
    """
    classes = {subject.class_name: [subject.name, *(image.sha256 for image in subject.images)] for subject in subjects}
    recipe = {"settings": captioner.settings, "classes": classes, "seed": seed}
    return f"{name}-{hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:6]}"


def step_seed(class_name: str, step: int, seed: int) -> int:
    """Return the seed of a step: the same whatever was written before.

    Args:
        class_name: that is described.
        step: its number.
        seed: of the command.
    """
    return int.from_bytes(hashlib.sha256(f"{class_name}\0{step}\0{seed}".encode()).digest()[:8], "big") >> 1


def answer_lines(answer: str, is_cut_off: bool = False) -> list[str]:
    """Return the captions of a language model's answer, without what it puts around them.

    Numbers, bullets, quotes, marks of bold text, thoughts, blocks of code and sentences that end in a colon are left
    out; a list in JSON is read as one.

    Args:
        answer: as decoded.
        is_cut_off: whether it ends where the model was stopped, so that the last line is not a whole one.
    """
    text = _THOUGHTS.sub("", answer).strip()
    lines = [line for line in text.splitlines() if not line.strip().startswith(_FORMER)]
    try:
        listed = json.loads("\n".join(lines))
    except ValueError:
        listed = None
    if isinstance(listed, list):
        lines = [item for item in listed if isinstance(item, str)]
    elif is_cut_off:
        lines = lines[:-1]
    cleaned = map(_clean_line, lines)
    return [line for line in cleaned if line and not line.endswith(":")]


def _clean_line(line: str) -> str:
    text = line.strip().strip(",")
    before = None
    while text != before:
        before = text
        text = _NUMBERING.sub("", text.strip().strip("*_")).strip()
        if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
            text = text[1:-1].strip()
    return text


def names_class(text: str, name: str) -> bool:
    """Return whether a caption has the words of a class, in any case, singular or plural.

    Args:
        text: of the caption.
        name: of the class in words.
    """
    return _class_pattern(name).search(text) is not None


def _class_pattern(name: str) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, name.split()))
    if any(letter.lower() == letter.upper() and letter.isalpha() for letter in name):  # no spaces around its words
        return re.compile(words)
    return re.compile(rf"(?<!\w){words}(e?s)?(?!\w)", re.IGNORECASE)


def _key(text: str) -> str:
    """Return a caption as it is compared: `A cat.` and `a cat` are the same."""
    return re.sub(r"\W+", " ", text).strip().casefold()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__

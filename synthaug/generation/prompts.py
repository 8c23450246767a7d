"""Prompts of a generator: prompt n of a class is the same wherever and whenever it is used.

Prompts come from templates, shared by all classes, or from a file with a list for each class. Image n of a class has
prompt n modulo their number. Templates can have placeholders for lists, such as backgrounds, of which image n has
combination n (`combinations`).
"""

import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from synthaug.errors import UserError, raise_all
from synthaug.generation.caption_files import read_captions
from synthaug.generation.combinations import combination
from synthaug.messages import plural, suggest

# Placeholders of a template.
CLASS, ARTICLE, SETTING = "class_name", "a", "setting"
PLACEHOLDERS = {
    CLASS: "the class",
    ARTICLE: '"a" or "an", whichever the class takes',
    SETTING: "the class's entry of prompts.settings",
}
# Vowels that sound like consonants, and the reverse.
_AN = re.compile(
    r"(?!eu|uni([^mn]|$)|us[eu]|one\b|once\b|ufo)[aeiou]|hour|heir|hono[u]?r|honest|8|1[18](?!\d)", re.IGNORECASE
)
# Spoken letter by letter: "X-ray", "SUV", "HDTV"; and the letters that begin with a vowel then.
_SPELLED = re.compile(r"([A-Z]{1,3}|[B-DF-HJ-NP-TV-Z]{4,})(?![A-Za-z])")
_AN_LETTERS = "AEFHILMNORSX"
# Names of folders that are not words: n02085620-Chihuahua, 001.Black_footed_Albatross, class_3, GoldenRetriever.
_NO_WORDS = re.compile(
    r"[A-Za-z]{0,2}\d{2,}([-_.]|$)|.*([^\W\d]\.\w|__|[a-z][A-Z])|(class|label|category|c|id)[-_ ]?\d+$"
)
CONTENT = "content"  # key of the group: a hash of what the file held when the run was planned
_LIST_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)  # what a key on the command line ends in
_EXAMINED = 100  # prompts of a class that stand for all of its combinations in what depends on class and template
_SHOWN_LETTERS = 160  # of a prompt in a list of many


@dataclass(frozen=True)
class Prompts:
    """The prompts of all classes.

    Attributes:
        templates: each with `{class_name}`, and perhaps `{a}`, `{setting}` and the names of lists.
        settings: class → text for `{setting}`.
        names: class → its name in a prompt, if not that of its folder.
        by_class: class → its prompts as read from a file; replaces the templates.
        source: where they come from, for messages: a configuration key or a file.
        lists: placeholder → its values, such as backgrounds; an image has one of each.
        places: class → file and line of each of its prompts, where they were read from one.
        problems: what is wrong with single lines of the file.
    """

    templates: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    by_class: Mapping[str, Sequence[str]] | None = None
    source: str = "prompts.templates"
    lists: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    problems: Sequence[str] = ()

    def check(self, classes: Sequence[str]) -> None:
        """Check that every class has prompts.

        Raises:
            UserError: malformed templates, lists and lines of a file, classes without a prompt or without a setting,
                prompts of two classes, all at once.
        """
        if self.by_class is not None:
            problems = [*self.problems, *_missing("list of prompts", classes, self.by_class)]
            problems += self._foreign(classes) if problems else []
        else:
            problems = self._list_problems()
            problems += [problem for template in self.templates for problem in _template_problems(template, self.lists)]
            if not problems and any(SETTING in _placeholders(template) for template in self.templates):
                problems = _missing("entry in prompts.settings", classes, self.settings)
                problems += [f'add one, such as {_key("settings", name, "in the garden")}' for name in classes
                             if name not in self.settings][:1]  # fmt: skip
        if not problems or self.by_class is not None:
            problems += self._shared([name for name in classes if self.by_class is None or name in self.by_class])
        raise_all(f"The prompts cannot be used ({self.source}):", problems)

    def _list_problems(self) -> list[str]:
        problems = []
        for name, values in self.lists.items():
            key = f"prompts.lists.{name}"
            problems += [
                f"{key}: {value!r} is a list itself; several lists to compare are written {key}=[a,b],[c,d] with -m"
                for value in values
                if not isinstance(value, str | int | float)
            ]
            repeated = [value for number, value in enumerate(values) if value in values[:number]]
            if not _LIST_NAME.fullmatch(name) or name in PLACEHOLDERS:
                reserved = f"and not {', '.join(PLACEHOLDERS)}"
                problems.append(f"{key}: a list is called by letters, digits and _, {reserved}; rename it")
            elif not any(f"{{{name}}}" in template for template in self.templates):
                problems.append(f"{key}: no template has {{{name}}}; write it into one, or leave the list out: ~{key}")
            if not values:
                problems.append(f"{key}: is empty; give it values, or leave it out: ~{key}")
            if repeated:
                problems.append(f"{key}: has {repeated[0]!r} twice; every value is used as often as any other")
        return problems

    def _foreign(self, classes: Sequence[str]) -> list[str]:
        """Report classes of a file that the dataset does not have."""
        return [
            f"{self._place(name, 0)}class {name!r} is not a class of the dataset"
            for name in self.by_class or {}
            if name not in classes
        ]

    def _place(self, class_name: str, number: int) -> str:
        places = self.places.get(class_name, ())
        return f"{places[number]}: " if number < len(places) else ""

    def _shared(self, classes: Sequence[str]) -> list[str]:
        """Report prompts of two classes, whose images would show one thing under two labels."""
        first: dict[str, str] = {}
        pairs = {
            (first[text], name): text
            for name in classes
            for text in self.distinct(name, None if self.by_class is not None else _EXAMINED)
            if first.setdefault(text, name) != name
        }
        return [self._of_both(*pair, text) for pair, text in pairs.items()]

    def _of_both(self, earlier: str, later: str, text: str) -> str:
        problem = f"{earlier} and {later} have the same prompt, {_shorten(text)!r}"
        if self.by_class is None:
            return f"{problem}; name it with {_key('names', later)}"
        places = [self._place(name, list(self.by_class[name]).index(text)) for name in (earlier, later)]
        where = f" ({places[0].removesuffix(': ')})" if places[0] else ""
        return f"{places[1]}{problem}{where}; list prompts of its own"

    def shown(self, classes: Sequence[str]) -> list[str]:
        """Return a line for each class with its first prompt, after one on the lists that are combined."""
        lines = []
        if self.lists:
            sizes = ", ".join(f"{name} {len(values)}" for name, values in self.lists.items())
            lines = [f"combinations of lists ({sizes}), {self._combinations:,} in all; each value equally often"]
        return lines + [
            f"{name}: {_shorten(self.prompt(name, 0))}" + (f" (and {plural(count - 1, 'other')})" if count > 1 else "")
            for name in classes
            for count in [self._combinations if self.lists else len(self.distinct(name))]
        ]

    def doubts(self, classes: Sequence[str]) -> list[str]:
        """Return a line for each class whose prompts do not seem to be meant: the article, no words, no such class."""
        lines = []
        for name in classes:
            spoken = self.spoken(name)
            wrong = re.compile(rf"\b{'a' if article(spoken) == 'an' else 'an'} {re.escape(spoken)}\b", re.IGNORECASE)
            if text := next(filter(wrong.search, self.distinct(name, _EXAMINED)), ""):
                written = "" if self.by_class is not None else " (the placeholder {a} writes it)"
                lines.append(f"{_shorten(text)!r}: is it '{article(spoken)} {spoken}'?{written}")
            if self.by_class is None and name not in self.names and _NO_WORDS.match(name):
                lines.append(f"{self.prompt(name, 0)!r}: describe the class in words with {_key('names', name)}")
        return lines + self._foreign(classes)

    def spoken(self, class_name: str) -> str:
        """Return the name of a class in prompts."""
        return self.names.get(class_name, class_name.replace("_", " "))

    @property
    def _combinations(self) -> int:
        """How many combinations of templates and values there are."""
        return math.prod(self._sizes)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return len(self.templates), *map(len, self.lists.values())

    @cached_property
    def _has_gaps(self) -> bool:
        return any("" in options for options in self.lists.values())

    def prompt(self, class_name: str, index: int) -> str:
        """Return the prompt of an image.

        Args:
            class_name: a class that `check` has seen.
            index: number of the image within its class.
        """
        if self.by_class is not None:
            texts = self.by_class[class_name]
            return texts[index % len(texts)]
        name = self.spoken(class_name)
        values = {CLASS: name, ARTICLE: article(name), SETTING: self.settings.get(class_name, "")}
        if not self.lists:
            return self.templates[index % len(self.templates)].format(**values)
        template, *chosen = combination(index, self._sizes)
        for (placeholder, options), number in zip(self.lists.items(), chosen, strict=True):
            values[placeholder] = str(options[number])  # 35 is a number to YAML
        text = self.templates[template].format(**values)
        return _tidy(text) if self._has_gaps else text

    def distinct(self, class_name: str, limit: int | None = None) -> list[str]:
        """Return the prompts of a class in their order, each once.

        Args:
            class_name: a class that `check` has seen.
            limit: number of images, of which these are the prompts; None: of any number.
        """
        count = self._combinations if self.by_class is None else len(self.by_class[class_name])
        return list(dict.fromkeys(self.prompt(class_name, index) for index in islice(range(count), limit)))


def read_prompts(
    settings: Mapping[str, Any], default: str | None, class_words: Mapping[str, str] | None = None
) -> Prompts:
    """Build the prompts from their configuration.

    Args:
        settings: of the group `prompts`.
        default: the generator's template, used where the group has none; None if it has none either.
        class_words: class → the word that the generator has learned for it, which stands in the place of its name.

    Raises:
        UserError: a file that cannot be read, or is no longer the one that the run was planned with; templates and a
            file at once.
    """
    templates, file, lists = settings["templates"], settings["file"], settings.get("lists") or {}
    if file is not None:
        unused = [key for key in ("templates", "settings", "names", "lists") if settings.get(key)]
        if unused:
            raise UserError(
                f"prompts.file={file} holds whole prompts, so prompts.{', prompts.'.join(unused)} would not be used: "
                "remove the one or the other."
            )
        captions = read_captions(Path(file).expanduser())
        if settings.get(CONTENT) not in (None, captions.digest):
            raise UserError(f"prompts.file={file} was changed since the command began: run the same command again.")
        return Prompts(
            by_class=captions.by_class,
            source=f"prompts.file={file}",
            places=captions.places,
            problems=captions.problems,
        )
    if not templates and default is None:
        raise UserError("There is no prompt: set prompts.templates=[...] or generator.prompt=<text>.")
    source = "prompts.templates" if templates else "generator.prompt"
    used = {str(name): values for name, values in lists.items() if values is not None}
    names = {**settings["names"], **(class_words or {})}
    return Prompts(templates or [default], settings["settings"], names, source=source, lists=used)


def article(name: str) -> str:
    """Return the indefinite article of an English noun, by its first letters: "an eagle", "a unicorn", "an X-ray"."""
    is_an = name[0] in _AN_LETTERS if _SPELLED.match(name) else _AN.match(name)
    return "an" if is_an else "a"


def _key(node: str, class_name: str, text: str = "<name>") -> str:
    """Return how a class's name or setting is typed, or where else its prompts can stand."""
    if _PLAIN_NAME.fullmatch(class_name):
        return f"prompts.{node}.{class_name}={text if text.startswith('<') else repr(text)}"
    return "a file of prompts: prompts=file prompts.file=<file>"


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 1]}…"


def _tidy(text: str) -> str:
    """Return a prompt without the gaps that an empty value leaves."""
    return re.sub(r"( ,)+", ",", " ".join(text.split())).strip(" ,")


def _missing(entry: str, classes: Sequence[str], entries: Mapping[str, Any]) -> list[str]:
    return [
        f"class {name!r} has no {entry}" + (f" ({hint})" if (hint := suggest(name, entries, limit=1)) else "")
        for name in classes
        if name not in entries
    ]


def _template_problems(template: str, lists: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        names = _placeholders(template)
    except ValueError as error:
        return [f"{template!r} is not a template ({error}): write a literal brace twice"]
    unknown = ", ".join(f"{{{name}}}" for name in sorted(names - PLACEHOLDERS.keys() - lists.keys()))
    meanings = {**PLACEHOLDERS, **{name: f"one of prompts.lists.{name}" for name in lists}}
    allowed = ", ".join(f"{{{name}}} ({meaning})" for name, meaning in meanings.items())
    problems = [f"{template!r} has unknown placeholders {unknown}; use {allowed}"] if unknown else []
    if CLASS not in names:
        problems.append(f"{template!r} lacks the class: write {{{CLASS}}} where it belongs")
    return problems


def _placeholders(template: str) -> set[str]:
    """Return the names in braces, with their conversions and formats, neither of which a template may have."""
    return {
        name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        for _, name, spec, conversion in string.Formatter().parse(template)
        if name is not None
    }

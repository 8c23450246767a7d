"""Prompts of a generator: prompt n of a class is the same wherever and whenever it is used.

Prompts come from templates, shared by all classes, or from a file with a list for each class. Image n of a class has
prompt n modulo their number.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from synthaug import yaml_files
from synthaug.errors import UserError, raise_all
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
# Names of folders that are no words: n02085620-Chihuahua, 001.Black_footed_Albatross, class_3, GoldenRetriever.
_NO_WORDS = re.compile(
    r"[A-Za-z]{0,2}\d{2,}([-_.]|$)|.*([^\W\d]\.\w|__|[a-z][A-Z])|(class|label|category|c|id)[-_ ]?\d+$"
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)  # what a key on the command line ends in
_MAX_PROMPTS = 1_000_000  # of a file, with all its classes
_FILE_FORMAT = "It must map each class to a list of prompts:\n  cat:\n    - a cat on a sofa\n    - a cat in the grass"


@dataclass(frozen=True)
class Prompts:
    """The prompts of all classes.

    Attributes:
        templates: each with `{class_name}`, and perhaps `{a}` and `{setting}`.
        settings: class → text for `{setting}`.
        names: class → its name in a prompt, if not that of its folder.
        by_class: class → its prompts as read from a file; replaces the templates.
        source: where they come from, for messages: a configuration key or a file.
    """

    templates: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    by_class: Mapping[str, Sequence[str]] | None = None
    source: str = "prompts.templates"

    def check(self, classes: Sequence[str]) -> None:
        """Check that every class has prompts.

        Raises:
            UserError: malformed templates, classes without a prompt or without a setting, prompts of two classes, all
                at once.
        """
        if self.by_class is not None:
            problems = _missing("list of prompts", classes, self.by_class)
        else:
            problems = [problem for template in self.templates for problem in _template_problems(template)]
            if not problems and any(SETTING in _placeholders(template) for template in self.templates):
                problems = _missing("entry in prompts.settings", classes, self.settings)
                problems += [f'add one, such as {_key("settings", name, "in the garden")}' for name in classes
                             if name not in self.settings][:1]  # fmt: skip
        raise_all(f"The prompts cannot be used ({self.source}):", problems or self._shared(classes))

    def _shared(self, classes: Sequence[str]) -> list[str]:
        """Report prompts of two classes, whose images would show one thing under two labels."""
        first: dict[str, str] = {}
        pairs = {
            (first[text], name): text
            for name in classes
            for text in self.distinct(name)
            if first.setdefault(text, name) != name
        }
        return [
            f"{' and '.join(pair)} have the same prompt, {text!r}; "
            + ("list prompts of its own" if self.by_class is not None else f"name it with {_key('names', pair[1])}")
            for pair, text in pairs.items()
        ]

    def shown(self, classes: Sequence[str]) -> list[str]:
        """Return a line for each class with its first prompt."""
        texts = {name: self.distinct(name) for name in classes}
        return [
            f"{name}: {first}" + (f" (and {plural(len(others), 'other')})" if others else "")
            for name, (first, *others) in texts.items()
        ]

    def doubts(self, classes: Sequence[str]) -> list[str]:
        """Return a line for each class whose prompts do not seem to be meant: the article, or no words."""
        lines = []
        for name in classes:
            spoken = self._spoken(name)
            wrong = re.compile(rf"\b{'a' if article(spoken) == 'an' else 'an'} {re.escape(spoken)}\b", re.IGNORECASE)
            if text := next(filter(wrong.search, self.distinct(name)), ""):
                written = "" if self.by_class is not None else " (the placeholder {a} writes it)"
                lines.append(f"{text!r}: is it '{article(spoken)} {spoken}'?{written}")
            if self.by_class is None and name not in self.names and _NO_WORDS.match(name):
                lines.append(f"{self.prompt(name, 0)!r}: describe the class in words with {_key('names', name)}")
        return lines

    def _spoken(self, class_name: str) -> str:
        return self.names.get(class_name, class_name.replace("_", " "))

    def prompt(self, class_name: str, index: int) -> str:
        """Return the prompt of an image.

        Args:
            class_name: a class that `check` has seen.
            index: number of the image within its class.
        """
        if self.by_class is not None:
            texts = self.by_class[class_name]
            return texts[index % len(texts)]
        name = self._spoken(class_name)
        values = {CLASS: name, ARTICLE: article(name), SETTING: self.settings.get(class_name, "")}
        return self.templates[index % len(self.templates)].format(**values)

    def distinct(self, class_name: str) -> list[str]:
        """Return all prompts of a class in their order, each once."""
        count = len(self.templates if self.by_class is None else self.by_class[class_name])
        return list(dict.fromkeys(self.prompt(class_name, index) for index in range(count)))


def read_prompts(settings: Mapping[str, Any], default: str | None) -> Prompts:
    """Build the prompts from their configuration.

    Args:
        settings: of the group `prompts`.
        default: the generator's template, used where the group has none; None if it has none either.

    Raises:
        UserError: a file that cannot be read; templates and a file at once.
    """
    templates, file = settings["templates"], settings["file"]
    if file is not None:
        unused = [key for key in ("templates", "settings", "names") if settings[key]]
        if unused:
            raise UserError(
                f"prompts.file={file} holds whole prompts, so prompts.{', prompts.'.join(unused)} would not be used: "
                "remove the one or the other."
            )
        return Prompts(by_class=_read_file(Path(file).expanduser()), source=f"prompts.file={file}")
    if not templates and default is None:
        raise UserError("There is no prompt: set prompts.templates=[...] or generator.prompt=<text>.")
    source = "prompts.templates" if templates else "generator.prompt"
    return Prompts(templates or [default], settings["settings"], settings["names"], source=source)


def article(name: str) -> str:
    """Return the indefinite article of an English noun, by its first letters: "an eagle", "a unicorn", "an X-ray"."""
    is_an = name[0] in _AN_LETTERS if _SPELLED.match(name) else _AN.match(name)
    return "an" if is_an else "a"


def _key(node: str, class_name: str, text: str = "<name>") -> str:
    """Return how a class's name or setting is typed, or where else its prompts can stand."""
    if _PLAIN_NAME.fullmatch(class_name):
        return f"prompts.{node}.{class_name}={text if text.startswith('<') else repr(text)}"
    return "a file of prompts: prompts=file prompts.file=<file>"


def _read_file(path: Path) -> dict[str, list[str]]:
    """Read a YAML (or JSON) file that maps each class to its list of prompts."""
    try:
        text = path.read_text(encoding="utf-8")
        yaml_files.check_text(text, f"prompts.file={path}", max_nodes=_MAX_PROMPTS)
        content = yaml_files.read_text(text)
    except OSError as error:
        raise UserError(f"prompts.file={path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"prompts.file={path} is not YAML: {' '.join(str(error).split())}\n{_FILE_FORMAT}") from error
    if not isinstance(content, dict):
        raise UserError(f"prompts.file={path} has no classes. {_FILE_FORMAT}")
    malformed = [str(name) for name, texts in content.items() if not _is_list_of_text(texts)]
    if malformed:
        raise UserError(f"prompts.file={path} has no list of prompts for {', '.join(malformed)}. {_FILE_FORMAT}")
    return {str(name): texts for name, texts in content.items()}


def _is_list_of_text(texts: Any) -> bool:
    return isinstance(texts, list) and bool(texts) and all(isinstance(text, str) and text.strip() for text in texts)


def _missing(entry: str, classes: Sequence[str], entries: Mapping[str, Any]) -> list[str]:
    return [
        f"class {name!r} has no {entry}" + (f" ({hint})" if (hint := suggest(name, entries, limit=1)) else "")
        for name in classes
        if name not in entries
    ]


def _template_problems(template: str) -> list[str]:
    try:
        names = _placeholders(template)
    except ValueError as error:
        return [f"{template!r} is not a template ({error}): write a literal brace twice"]
    unknown = ", ".join(f"{{{name}}}" for name in sorted(names - PLACEHOLDERS.keys()))
    allowed = ", ".join(f"{{{name}}} ({meaning})" for name, meaning in PLACEHOLDERS.items())
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

"""What a generator is asked for: prompt n of a class, the same whenever and wherever it is asked.

Prompts come from templates, shared by all classes, or from a file with a list for each class. Where there are fewer
than images, they are taken in turn: image n of a class has prompt n modulo their number.
"""

import difflib
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from synthaug.errors import UserError, raise_all

# What may stand in braces in a template.
CLASS, ARTICLE, SETTING = "class_name", "a", "setting"
PLACES = {
    CLASS: "the class",
    ARTICLE: '"a" or "an", as the class wants it',
    SETTING: "the class's entry of prompts.settings",
}
# Vowels that sound like consonants, and the other way round.
_AN = re.compile(r"(?!eu|uni([^mn]|$)|us[eu]|one\b|once\b|ufo)[aeiou]|hour|heir|hono[u]?r|honest", re.IGNORECASE)


@dataclass(frozen=True)
class Prompts:
    """The prompts of all classes.

    Attributes:
        templates: each with `{class_name}`, and perhaps `{a}` and `{setting}`.
        settings: class → what `{setting}` stands for.
        names: class → how it is called in a prompt, where its folder's name will not do.
        by_class: class → its prompts, as they stand in a file; instead of templates.
        source: where they come from, for messages: a configuration key or a file.
    """

    templates: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    by_class: Mapping[str, Sequence[str]] | None = None
    source: str = "prompts.templates"

    def check(self, classes: Sequence[str]) -> None:
        """Find out whether every class has prompts.

        Raises:
            UserError: templates that are none, a class without a prompt or without a setting, all at once.
        """
        if self.by_class is not None:
            problems = _missing("list of prompts", classes, self.by_class)
        else:
            problems = [problem for template in self.templates for problem in _template_problems(template)]
            if not problems and any(SETTING in _places(template) for template in self.templates):
                problems = _missing("entry in prompts.settings", classes, self.settings)
                problems += [f'give one, such as prompts.settings.{name}="in the garden"' for name in classes
                             if name not in self.settings][:1]  # fmt: skip
        raise_all(f"The prompts cannot be used ({self.source}):", problems)

    def prompt(self, class_name: str, index: int) -> str:
        """Prompt of image `index` of a class, which `check` has seen."""
        if self.by_class is not None:
            own = self.by_class[class_name]
            return own[index % len(own)]
        name = self.names.get(class_name, class_name.replace("_", " "))
        places = {CLASS: name, ARTICLE: article(name), SETTING: self.settings.get(class_name, "")}
        return self.templates[index % len(self.templates)].format(**places)

    def distinct(self, class_name: str) -> list[str]:
        """All prompts of a class, in their order, each once."""
        count = len(self.templates if self.by_class is None else self.by_class[class_name])
        return list(dict.fromkeys(self.prompt(class_name, index) for index in range(count)))


def read_prompts(settings: Mapping[str, Any], own: str | None) -> Prompts:
    """Prompts from their configuration.

    Args:
        settings: of the group `prompts`.
        own: the generator's own template, which is used where the group names none; None if it has none.

    Raises:
        UserError: a file that cannot be read; templates and a file at once.
    """
    templates, file = settings["templates"], settings["file"]
    if file is not None:
        unused = [key for key in ("templates", "settings", "names") if settings[key]]
        if unused:
            raise UserError(
                f"prompts.file={file} holds whole prompts, and prompts.{', prompts.'.join(unused)} would not be used: "
                "give one or the other."
            )
        return Prompts(by_class=_read_file(Path(file).expanduser()), source=f"prompts.file={file}")
    if not templates and own is None:
        raise UserError("There is no prompt: give templates with prompts.templates=[...], or generator.prompt=<text>.")
    source = "prompts.templates" if templates else "generator.prompt"
    return Prompts(templates or [own], settings["settings"], settings["names"], source=source)


def article(name: str) -> str:
    """The indefinite article of an English noun, by its first letters: "an eagle", "a unicorn"."""
    return "an" if _AN.match(name) else "a"


def _read_file(path: Path) -> dict[str, list[str]]:
    """A YAML (or JSON) file that maps each class to its list of prompts."""
    way_out = "It must map each class to a list of prompts:\n  cat:\n    - a cat on a sofa\n    - a cat in the grass"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"prompts.file={path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"prompts.file={path} is no YAML: {' '.join(str(error).split())}\n{way_out}") from error
    if not isinstance(content, dict):
        raise UserError(f"prompts.file={path} holds no classes. {way_out}")
    # A class called 7 or yes is a number or a truth value to YAML.
    odd = [str(name) for name, lines in content.items() if not _is_list_of_text(lines)]
    if odd:
        raise UserError(f"prompts.file={path} has no list of prompts for {', '.join(odd)}. {way_out}")
    return {str(name): lines for name, lines in content.items()}


def _is_list_of_text(lines: Any) -> bool:
    return isinstance(lines, list) and bool(lines) and all(isinstance(line, str) and line.strip() for line in lines)


def _missing(what: str, classes: Sequence[str], there: Mapping[str, Any]) -> list[str]:
    close = {name: difflib.get_close_matches(name, list(there), n=1) for name in classes if name not in there}
    return [
        f"class {name!r} has no {what}" + (f" (is it {found[0]!r} there?)" if found else "")
        for name, found in close.items()
    ]


def _template_problems(template: str) -> list[str]:
    try:
        places = _places(template)
    except ValueError as error:
        return [f"{template!r} is no template ({error}): a brace that is meant as such is written twice"]
    unknown = [f"{{{place}}}" for place in sorted(places - PLACES.keys())]
    known = ", ".join(f"{{{place}}} ({what})" for place, what in PLACES.items())
    problems = [f"{template!r} has {', '.join(unknown)}, which nothing fills; there are {known}"] if unknown else []
    if CLASS not in places:
        problems.append(f"{template!r} has no place for the class: write {{{CLASS}}} where it goes")
    return problems


def _places(template: str) -> set[str]:
    """The names in braces; with their conversions and formats, which nothing here wants."""
    return {
        name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        for _, name, spec, conversion in string.Formatter().parse(template)
        if name is not None
    }

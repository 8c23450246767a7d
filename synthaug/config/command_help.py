"""`--help` of a command: what it does, its groups and choices, its keys with their comments in `conf/config.yaml`."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synthaug.config.compose import Composer, initialized_hydra
from synthaug.config.schema import CONF, GROUPS

_DEFAULT_CHOICE = re.compile(r"  - (\w+): (\w+) # (.+)")
_KEY = re.compile(r"(\w+): (\S+) # (.+)")
_WIDEST = 100


@dataclass(frozen=True)
class CommandHelp:
    """What `--help` prints.

    Attributes:
        name: of the command.
        purpose: a paragraph.
        examples: (arguments, at most 50 letters a line; what they do).
        groups: that the command reads.
        nested: a key inside of a group that is often changed, with a value.
        keys: that the command reads; none: all.
        end: lines at the end, as they are.
    """

    name: str
    purpose: str
    examples: Sequence[tuple[str, str]]
    nested: str
    groups: Sequence[str] = tuple(group for group in GROUPS if group != "captioner")
    keys: Sequence[str] = ()
    end: str = ""

    def text(self, config_dir: str | None = None, width: int = 0) -> str:
        """Return the help.

        Args:
            config_dir: the user's own configuration folder, whose choices are listed too.
            width: in columns; 0: of the terminal.
        """
        width = width or min(shutil.get_terminal_size().columns, _WIDEST)
        with initialized_hydra(config_dir) as composer:
            groups = list(self._groups(composer))
        command = f"python -m synthaug.{self.name}"
        return "\n".join(
            [
                textwrap.fill(self.purpose, width),
                "",
                *(line for arguments, what in self.examples for line in (f"  {command} {arguments}", f"      {what}")),
                "",
                "Groups, chosen from as group=choice. A file <folder>/<group>/<name>.yaml of",
                "yours is one more choice with --config-dir=<folder>.",
                "",
                *_table(groups, width),
                "",
                "Keys, changed as key=value:",
                "",
                *_table([(f"{key}={value}", [comment]) for key, value, comment in self._keys()], width),
                "",
                *textwrap.wrap(f"Keys inside of groups too, such as {self.nested}; all of them with values:", width),
                "",
                f"  {command} --cfg job",
                *(["", self.end] if self.end else []),
            ]
        )

    def _groups(self, composer: Composer) -> Iterator[tuple[str, list[str]]]:
        """Yield (group, [what it is, its choices]), the default one first."""
        defaults = {group: (choice, comment) for group, choice, comment in _matches(_DEFAULT_CHOICE)}
        for group in self.groups:
            default, comment = defaults.get(group, ("", "whole studies, used as +experiments=<name>"))
            others = ", ".join(choice for choice in composer.choices(group) if choice != default)
            if default == "null":  # no other command has one
                yield group, [comment, others]
                continue
            first = f"{default}{'' if default == 'default' else ' (default)'}, " if default else ""
            yield group, [comment, f"{first}{others}".removesuffix(", ")]

    def _keys(self) -> Iterator[tuple[str, str, str]]:
        return (match for match in _matches(_KEY) if not self.keys or match[0] in self.keys)


def _matches(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value, comment) of the lines of the primary configuration that a pattern takes."""
    for line in (CONF / "config.yaml").read_text(encoding="utf-8").splitlines():
        if match := pattern.fullmatch(line):
            yield match[1], match[2], match[3]


def _table(rows: Sequence[tuple[str, Sequence[str]]], width: int) -> Iterator[str]:
    """Yield the lines of two columns, the second one wrapped."""
    left = max(len(name) for name, _ in rows) + 4
    for name, texts in rows:
        for i, text in enumerate(texts):
            first = f"  {name}" if i == 0 else ""
            yield from textwrap.wrap(
                text,
                width,
                initial_indent=first.ljust(left),
                subsequent_indent=" " * left,
                break_on_hyphens=False,
                break_long_words=False,
            )

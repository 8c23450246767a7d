"""Files of captions: whole prompts, listed for each class by a person or by a language model.

captions.yaml, .json    cat: [a cat on a sofa, two cats at a window]
captions.jsonl          {"class": "cat", "caption": "a cat on a sofa"}, one such line for each caption
captions.csv            class,caption in the first line, then one line for each caption
captions/cat.txt        a folder with a file for each class and a caption in each of its lines
"""

import csv
import functools
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from synthaug import yaml_files
from synthaug.errors import UserError
from synthaug.files import file_state, open_regular
from synthaug.messages import join_words, plural

CLASS, CAPTION = "class", "caption"  # keys of a line of JSONL, columns of a CSV
_KEY = "prompts.file"
_MAX_CAPTIONS = 1_000_000  # of a file, with all its classes
_MAX_LETTERS = 2_000  # about 500 tokens, which is what the most patient text encoders read
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FORMATS = """It must list the captions of each class, as one of
  captions.yaml   cat:
                    - a cat on a sofa
                    - a cat in the grass
  captions.jsonl  {"class": "cat", "caption": "a cat on a sofa"}
  captions.csv    class,caption
                  cat,a cat on a sofa
  captions/       a folder with cat.txt, one caption a line"""


@dataclass(frozen=True)
class Captions:
    """What a file of captions holds.

    Attributes:
        by_class: class → its captions.
        places: class → file and line of each of them.
        problems: what is wrong with single lines, each with file and line.
    """

    by_class: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the captions alone: the same for another format, comment or place of the file."""
        return hashlib.sha256(json.dumps(self.by_class, sort_keys=True).encode()).hexdigest()[:12]


class _Line(NamedTuple):
    """A caption as it was read; with a problem instead of it, or a class without captions."""

    place: str
    class_name: str
    text: str
    problem: str = ""


def read_captions(path: Path) -> Captions:
    """Read a file or folder of captions; one that has not changed is read once.

    Args:
        path: of the file, whose suffix says its format; any that is not listed above is read as YAML.

    Raises:
        UserError: it cannot be read at all; what is wrong with single lines stands in the result.
    """
    try:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    except OSError as error:
        raise UserError(f"{_KEY}={path} cannot be read ({error.strerror}).") from error
    if not files:
        raise UserError(f"{_KEY}={path} is a folder without .txt files. {_FORMATS}")
    return _read_version(path, tuple((file, file_state(file)) for file in files))


@functools.lru_cache(maxsize=16)
def _read_version(path: Path, files: tuple[tuple[Path, str], ...]) -> Captions:
    captions = Captions()
    for line in _lines(path, [file for file, _ in files]):
        problem = line.problem or caption_problem(line.text)
        if problem:
            captions.problems.append(f"{line.place}: {problem}")
        if line.class_name:  # with problems only, it is not a class that is missing
            captions.by_class.setdefault(line.class_name, [])
            captions.places.setdefault(line.class_name, [])
        if not problem:
            captions.by_class[line.class_name].append(line.text.strip())
            captions.places[line.class_name].append(line.place)
    if not captions.by_class and not captions.problems:
        raise UserError(f"{_KEY}={path} has no classes. {_FORMATS}")
    return captions


def _lines(path: Path, files: Iterable[Path]) -> Iterator[_Line]:
    match path.suffix.lower():
        case _ if path.is_dir():
            for file in files:
                yield from _lines_of_class(file)
        case ".jsonl" | ".ndjson":
            yield from _lines_of_jsonl(path, _read_text(path))
        case ".csv":
            yield from _lines_of_csv(path, _read_text(path))
        case _:
            yield from _lines_of_yaml(path, _read_text(path))


def _read_text(path: Path) -> str:
    """Return a file's text; a byte order mark, as spreadsheets write it, is not part of it."""
    try:
        with open_regular(path) as stream:
            content = stream.read()
    except OSError as error:
        raise UserError(f"{_KEY}={path} cannot be read ({error.strerror}).") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise UserError(
            f"{path}:{line}: byte {column} of the line is not UTF-8 (0x{content[error.start]:02x}): save the file as "
            "UTF-8, as any editor can."
        ) from error


def caption_problem(text: str) -> str:
    """Return what is wrong with the text of a caption; empty for nothing."""
    if not text.strip():
        return "the caption is empty: write one, or delete the line"
    if len(text) > _MAX_LETTERS:
        return f"the caption has {len(text):,} letters, and no model reads more than {_MAX_LETTERS:,}: {text[:40]!r}…"
    if unprintable := _UNPRINTABLE.search(text):
        return f"the caption has a control character ({unprintable[0]!r}): delete it"
    return ""


def _lines_of_class(path: Path) -> Iterator[_Line]:
    lines = _read_text(path).splitlines()
    if not lines:
        yield _Line(str(path), path.stem, "", "the file is empty")
    for number, text in enumerate(lines, start=1):
        yield _Line(f"{path}:{number}", path.stem, text)


def _lines_of_jsonl(path: Path, text: str) -> Iterator[_Line]:
    example = json.dumps({CLASS: "cat", CAPTION: "a cat on a sofa"})
    for number, line in enumerate(text.split("\n")[: _MAX_CAPTIONS + 1], start=1):
        place, content = f"{path}:{number}", line.strip()
        if not content:
            if number <= text.count("\n"):  # or it is the end of the file
                yield _Line(place, "", "", "the line is empty: delete it")
            continue
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            yield _Line(place, "", "", f"no JSON ({' '.join(str(error).split()):.100}); it must be such as {example}")
            continue
        yield _line_of_mapping(place, values, example)


def _line_of_mapping(place: str, values: Any, example: str) -> _Line:
    if not isinstance(values, dict):
        return _Line(place, "", "", f"no mapping; it must be such as {example}")
    name, text = values.get(CLASS), values.get(CAPTION)
    class_name = str(name) if isinstance(name, (str, int)) and not isinstance(name, bool) and str(name).strip() else ""
    if not class_name or not isinstance(text, str):
        missing = [key for key, is_text in ((CLASS, class_name), (CAPTION, isinstance(text, str))) if not is_text]
        return _Line(
            place, class_name, "", f"no text as {join_words(map(repr, missing))}; it must be such as {example}"
        )
    return _Line(place, class_name, text)


def _lines_of_csv(path: Path, text: str) -> Iterator[_Line]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if not {CLASS, CAPTION} <= set(header):
            listed = ",".join(header)
            raise UserError(
                f"{path}:1: the first line of a CSV names its columns, {CLASS},{CAPTION} among them; it is {listed:.80}"
            )
        end = 1
        for cells in reader:
            place, end = f"{path}:{end + 1}", reader.line_num
            values = dict(zip(header, cells, strict=False))
            if not any(cell.strip() for cell in cells):
                yield _Line(place, "", "", "the line is empty: delete it")
            elif len(cells) != len(header):
                counts = f"{plural(len(cells), 'cell')} for {plural(len(header), 'column')}"
                yield _Line(place, "", "", f"{counts}: write a caption with commas in double quotes")
            elif not values[CLASS].strip():
                yield _Line(place, "", "", f"no {CLASS}")
            else:
                yield _Line(place, values[CLASS].strip(), values[CAPTION])
    except csv.Error as error:
        yield _Line(f"{path}:{reader.line_num}", "", "", f"no CSV ({error}); double a quote inside of quotes")


def _lines_of_yaml(path: Path, text: str) -> Iterator[_Line]:
    try:
        yaml_files.check_text(text, f"{_KEY}={path}", max_nodes=_MAX_CAPTIONS)
        classes = yaml_files.text_lists(text)
    except yaml_files.YamlError as error:
        raise UserError(f"{_KEY}={path} is not YAML: {' '.join(str(error).split())}\n{_FORMATS}") from error
    if classes is None:
        raise UserError(f"{_KEY}={path} has no classes. {_FORMATS}")
    first: dict[str, int] = {}
    for name, line, captions in classes:
        place = f"{path}:{line}"
        if first.setdefault(name, line) != line:
            yield _Line(place, name, "", f"class {name!r} has a list already, in line {first[name]}: join the two")
        elif not captions:
            kind = "no list of captions" if captions is None else "an empty list of captions"
            yield _Line(place, name, "", f"class {name!r} has {kind}")
        for caption, number in captions or []:
            problem = f"a caption of class {name!r} is not text, but a list or a mapping" if caption is None else ""
            yield _Line(f"{path}:{number}", name, caption or "", problem)

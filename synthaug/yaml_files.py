"""YAML of other people, measured before anything is built from it.

An alias is a reference while YAML is parsed and a copy once it is a configuration: nine short lines can stand for a
thousand million values. The events of the parser tell how many there would be, without building one.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from synthaug.errors import UserError

YamlError = yaml.YAMLError
MAX_BYTES, MAX_NODES, MAX_DEPTH = 8_000_000, 20_000, 40
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TextLoader(_Loader):  # type: ignore[misc]  # yaml has no types
    """Reads everything as it is written: `no`, `01` and `3.10` are names of classes as well as any."""

    yaml_implicit_resolvers: ClassVar = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # the merge of mappings


def text_lists(text: str) -> list[tuple[str, int, list[tuple[str | None, int]] | None]] | None:
    """Return (key, line, values) of a mapping to lists of text, whatever looks like a number in it as it is written.

    Args:
        text: that `check_text` has seen.

    Returns:
        None where it is not a mapping. The values are None where they are not a list, else each with its line; one
        that is not text is None.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    loader = _TextLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            return None
        loader.flatten_mapping(root)
        return [
            (
                str(key.value),
                key.start_mark.line + 1,
                _list_of_text(values) if isinstance(values, yaml.SequenceNode) else None,
            )
            for key, values in root.value
        ]
    finally:
        loader.dispose()


def _list_of_text(node: Any) -> list[tuple[str | None, int]]:
    return [
        (item.value if isinstance(item, yaml.ScalarNode) else None, item.start_mark.line + 1) for item in node.value
    ]


def plain_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) of what a file says without quotes; the key of a key itself ends in a dot.

    Args:
        path: of a file that `check_file` has seen; nothing is yielded of one that cannot be read.
    """
    with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        yield from _plain_texts(yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader), "")


def _plain_texts(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
        for dotted, scalar in ((prefix, key), (f"{prefix}{key.value}", value)):
            if isinstance(scalar, yaml.ScalarNode) and not scalar.style:
                yield dotted, scalar.value
        yield from _plain_texts(value, f"{prefix}{key.value}.")


def check_file(path: Path) -> None:
    """Check that a YAML file is small once its aliases are written out.

    Raises:
        UserError: it is not; a file that is not YAML, or cannot be read, is left to its reader.
    """
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= MAX_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return
    if size > MAX_BYTES:
        raise UserError(f"{path} has {size:,} bytes; at most {MAX_BYTES:,} are read: split it.")
    check_text(text, str(path))


def check_text(text: str, source: str, max_nodes: int = MAX_NODES) -> None:
    """Check that YAML is small once its aliases are written out.

    Args:
        text: the YAML.
        source: where it comes from, for the message.
        max_nodes: largest number of values.

    Raises:
        UserError: it is too large or too deep, or holds itself.
    """
    try:
        problem = _measure(text, max_nodes)
    except yaml.YAMLError:  # its reader says so, unless it would go down until no memory is left
        problem = f"is nested deeper than {MAX_DEPTH} levels" if _open_brackets(text) > MAX_DEPTH else ""
    if problem:
        raise UserError(f"{source}: {problem}; write it without aliases (*name), or do not use it.")


def _open_brackets(text: str) -> int:
    """Return the largest number of brackets that are open at once."""
    steps = ((sign in "[{") - (sign in "]}") for sign in text)
    return max(itertools.accumulate(steps), default=0)


def _measure(text: str, max_nodes: int) -> str:
    """Return why YAML is too large to be read; empty where it is not."""
    sizes: dict[str, tuple[int, int]] = {}  # anchor → values and depth of what it names
    stack: list[list[Any]] = [["", 0, 0]]  # anchor, values and depth of each open collection
    for event in yaml.parse(text, Loader=_Loader):
        size, depth = 1, 0
        match event:
            case yaml.CollectionStartEvent():
                stack.append([event.anchor, 1, 1])
                if event.anchor:
                    sizes.pop(event.anchor, None)
                if len(stack) > MAX_DEPTH:
                    return f"is nested deeper than {MAX_DEPTH} levels"
                continue
            case yaml.AliasEvent():
                if event.anchor not in sizes:
                    return f"*{event.anchor} stands inside of what it names"
                size, depth = sizes[event.anchor]
            case yaml.CollectionEndEvent():
                anchor, size, depth = stack.pop()
                if anchor:
                    sizes[anchor] = size, depth
            case yaml.ScalarEvent():
                if event.anchor:
                    sizes[event.anchor] = 1, 0
            case _:
                continue
        stack[-1][1] += size
        stack[-1][2] = max(stack[-1][2], depth + 1)
        if stack[-1][1] > max_nodes:
            return f"has more than {max_nodes:,} values once its aliases are written out"
        if len(stack) + depth > MAX_DEPTH:
            return f"is nested deeper than {MAX_DEPTH} levels"
    return ""

"""What a dotted path may be called with, read from source files so that nothing heavy is imported.

A path is followed through plain imports and base classes with `ast`. Where that does not settle the answer (a star
import, a C extension, a computed value) the object is imported after all: slower, but right.
"""

import ast
import functools
import importlib.util
import inspect
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from synthaug.messages import suggest

_Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Parameter(NamedTuple):
    """A keyword: whether it must be given, and the annotation as its source spells it ("" without one)."""

    required: bool
    annotation: str = ""


@dataclass(frozen=True)
class Signature:
    """The keywords that a target takes, and whether it takes any others."""

    keywords: Mapping[str, Parameter]
    accepts_any: bool = False


class UnknownTargetError(Exception):
    """A dotted path that leads to nothing that can be called."""


class _UnclearError(Exception):
    """The source does not settle the answer; the argument is the module at which the path ends."""


def argument_problems(target: str, arguments: Mapping[str, object], program: Collection[str] = ()) -> list[str]:
    """Return what is wrong with calling a target with keywords; their values are checked against plain annotations.

    Args:
        target: dotted path.
        arguments: keyword → value; those that start with an underscore are Hydra's own.
        program: keywords that the program itself passes when it makes the call.
    """
    try:
        signature = read_signature(target)
    except UnknownTargetError as error:
        return [str(error)]
    keywords = signature.keywords
    problems = []
    if not signature.accepts_any:
        for name in arguments:
            if name not in keywords and not name.startswith("_"):
                hint = suggest(name, keywords, limit=1)
                problems.append(f"unknown argument {name!r} of {target}" + (f": {hint}" if hint else ""))
    if "_args_" not in arguments:  # positional values fill parameters that are not named here
        missing = [
            name for name, keyword in keywords.items() if keyword.required and name not in {*arguments, *program}
        ]
        problems += [f"missing argument {name!r} of {target}" for name in missing]
    return problems + [
        f"{name}={value!r} of {target}: must be {keywords[name].annotation}"
        + (", text in quotes" if "str" in keywords[name].annotation and isinstance(value, int | float) else "")
        for name, value in arguments.items()
        if name in keywords and not _fits(value, keywords[name].annotation)
    ]


_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "None": (type(None),)
}  # fmt: skip


def _fits(value: object, annotation: str) -> bool:
    """Whether a value may be what the annotation says; anything may where that is not a union of plain types."""
    kinds = annotation.removeprefix("Optional[").removesuffix("]") if annotation.startswith("Optional[") else annotation
    names = [name.strip() for name in kinds.split("|")]
    # None is let through: `x: int = None` is common where Optional was meant.
    if value is None or not annotation or any(name not in _PLAIN for name in names):
        return True
    if isinstance(value, bool):  # which is an int for Python, but not for whoever wrote `int`
        return "bool" in names
    return any(isinstance(value, _PLAIN[name]) for name in names)


@functools.cache
def read_signature(target: str) -> Signature:
    """Return what a target accepts, importing it only if its source does not tell.

    Raises:
        UnknownTargetError: it leads to nothing that can be called.
    """
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        raise UnknownTargetError(f"unknown target {target!r}: this is not a dotted path")
    try:
        if _spec(parts[0]) is None:
            raise UnknownTargetError(f"unknown target {target}: there is no package {parts[0]!r} installed")
        module, name = ".".join(parts[:-1]), parts[-1]
        if not module or _spec(module) is None:
            raise _UnclearError
        try:
            return _signature(*_definition(module, name))
        except KeyError:
            raise UnknownTargetError(_not_in(target, name, module, _tree(module)[1])) from None
    except _UnclearError:
        return _imported_signature(target)


def is_of_module(target: str) -> bool:
    """Return whether a dotted path is a name of a module, and not of a class or of what a module has imported."""
    module, _, name = target.rpartition(".")
    try:
        return bool(module and name.isidentifier()) and _spec(module) is not None
    except _UnclearError:
        return False


@functools.cache
def defining_module(target: str) -> str | None:
    """Return the module that a name of a module comes from, as far as it can be followed; None where there is none."""
    module, _, name = target.rpartition(".")
    try:
        return _definition(module, name)[0]
    except KeyError:
        return None
    except _UnclearError as error:
        return str(error) or None


def source_file(target: str) -> Path | None:
    """Return the file of the module that a dotted path is a name of; None where it has none of Python."""
    try:
        spec = _spec(target.rpartition(".")[0])
    except _UnclearError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _spec(module: str) -> ModuleSpec | None:
    """Return the spec of a module without importing its parents, as `importlib.util.find_spec` would."""
    parent = module.rpartition(".")[0]
    if parent:
        package = _spec(parent)
        folders = package.submodule_search_locations if package else None
        return PathFinder.find_spec(module, folders) if folders else None
    try:
        return importlib.util.find_spec(module)
    except ValueError as error:  # a module made by hand, such as __main__
        raise _UnclearError from error


@functools.cache
def _tree(module: str) -> tuple[list[ast.stmt], dict[str, list[ast.AST]]]:
    """Return the statements of a module, and each name that it binds outside of functions → what binds it."""
    spec = _spec(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise _UnclearError(module)
    try:
        body = ast.parse(Path(spec.origin).read_bytes()).body
    except (SyntaxError, ValueError, OSError) as error:
        raise _UnclearError(module) from error
    names: dict[str, list[ast.AST]] = {}
    for name, node in _bindings(body):
        names.setdefault(name, []).append(node)
    return body, names


def _bindings(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name.partition(".")[0], node) for alias in node.names)
            case _:
                for child in ast.walk(node):  # conditions and assignments
                    if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                        yield child.id, child
                    elif isinstance(child, ast.Import | ast.ImportFrom):
                        yield from ((alias.asname or alias.name, child) for alias in child.names)
                    elif isinstance(child, _Node):
                        yield child.name, child


def _definition(module: str, name: str, depth: int = 0) -> tuple[str, _Node]:
    """Return the module that defines `name`, and the definition; KeyError where nothing binds it."""
    body, names = _tree(module)
    bound = names.get(name, [])
    if not bound and not {"*", "__getattr__"} & names.keys() and _spec(f"{module}.{name}") is None:
        raise KeyError(name)
    if len(bound) != 1 or bound[0] not in body or depth > 10:
        raise _UnclearError(module)
    if any(body.index(star) > body.index(bound[0]) for star in names.get("*", []) if star in body):
        raise _UnclearError(module)
    match bound[0]:
        case ast.ImportFrom(module=origin, names=aliases, level=level):
            spec = _spec(module)
            relative = "." * level + (origin or "")
            source = importlib.util.resolve_name(relative, spec.parent if spec else None)
            imported = next(alias.name for alias in aliases if (alias.asname or alias.name) == name)
            return _definition(source, imported, depth + 1)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() as node:
            return module, node
    raise _UnclearError(module)


def _signature(module: str, node: _Node) -> Signature:
    if not isinstance(node, ast.ClassDef):
        return _of_function(node, bound=False)
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    if node.keywords or "__new__" in methods:
        raise _UnclearError
    if "__init__" in methods:
        return _of_function(methods["__init__"], bound=True)
    if node.decorator_list or len(node.bases) > 1 or not all(isinstance(base, ast.Name) for base in node.bases):
        raise _UnclearError  # a dataclass, for instance
    try:
        return _signature(*_definition(module, ast.unparse(node.bases[0]))) if node.bases else Signature({})
    except KeyError:  # a builtin, such as Exception
        raise _UnclearError from None


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, bound: bool) -> Signature:
    spec = node.args
    named = [*spec.posonlyargs, *spec.args]
    hidden, required = max(len(spec.posonlyargs), int(bound)), len(named) - len(spec.defaults)
    keywords = {arg.arg: Parameter(i < required, _text(arg.annotation)) for i, arg in enumerate(named) if i >= hidden}
    for arg, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        keywords[arg.arg] = Parameter(default is None, _text(arg.annotation))
    return Signature(keywords, spec.kwarg is not None)


def _text(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation) if annotation else ""


def _imported_signature(target: str) -> Signature:
    try:
        thing = pkgutil.resolve_name(target)
    except AttributeError as error:
        where = getattr(error.obj, "__name__", target.rpartition(".")[0])
        raise UnknownTargetError(_not_in(target, error.name or "", where, dir(error.obj))) from None
    except Exception as error:
        raise UnknownTargetError(f"unknown target {target}: importing it failed: {error}") from error
    if not callable(thing):
        raise UnknownTargetError(f"unknown target {target}: this cannot be called")
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (ValueError, TypeError):  # some C functions do not tell what they take
        return Signature({}, accepts_any=True)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
    keywords = {p.name: Parameter(p.default is p.empty, _annotation(p)) for p in named}
    return Signature(keywords, any(p.kind is p.VAR_KEYWORD for p in parameters))


def _annotation(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return "" if annotation is parameter.empty else inspect.formatannotation(annotation)


def _not_in(target: str, name: str, where: str, names: Collection[str]) -> str:
    hint = suggest(name, names)
    return f"unknown target {target}: there is no {name!r} in {where}" + (f": {hint}" if hint else "")

"""What a dotted path may be called with, read from source files so that nothing heavy is imported.

A path is followed through packages, re-exports and base classes with `ast`. Wherever the source alone
does not settle the answer (a C extension, a lazy module, a computed value) the object is imported after
all: slower, but right.
"""

import ast
import builtins
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


class Parameter(NamedTuple):
    """What a keyword is: must it be given, and the annotation as its source spells it ("" without one)."""

    required: bool
    annotation: str = ""


@dataclass(frozen=True)
class Signature:
    """The names `target` can be given as keywords."""

    target: str
    keywords: Mapping[str, Parameter]
    accepts_any: bool

    @property
    def parameters(self) -> dict[str, bool]:
        """Each keyword with whether it is required."""
        return {name: keyword.required for name, keyword in self.keywords.items()}


class UnknownTarget(Exception):  # noqa: N818 - reads as what it says
    """A dotted path that leads to nothing that can be called."""


def problems(target: str, arguments: Mapping[str, object], supplied: Collection[str] = ()) -> list[str]:
    """Say in sentences what is wrong with calling `target` with the keywords `arguments`.

    `supplied` are names the program itself passes when it makes the call. Keys that start with an
    underscore are Hydra's own. Values are checked where the annotation is made of plain types.
    """
    try:
        signature = find(target)
    except UnknownTarget as error:
        return [str(error)]
    known = signature.keywords
    found = []
    if not signature.accepts_any:
        unknown = [name for name in arguments if name not in known and not name.startswith("_")]
        found += [f"unknown argument {name!r} of {target}{_did_you_mean(name, known, 1)}" for name in unknown]
    if "_args_" not in arguments:  # positional values fill parameters that are not named here
        given = {*arguments, *supplied}
        missing = [name for name, parameter in known.items() if parameter.required and name not in given]
        found += [f"missing argument {name!r} of {target}" for name in missing]
    found += [
        f"{name}={value!r} of {target}: must be {known[name].annotation}"
        for name, value in arguments.items()
        if name in known and not _fits(value, known[name].annotation)
    ]
    return found


_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "None": (type(None),)
}  # fmt: skip


def _fits(value: object, annotation: str) -> bool:
    """Whether a value may be what the annotation says; anything may where that is not a union of plain types."""
    optional = annotation.startswith("Optional[") and annotation.endswith("]")
    kinds = annotation.removeprefix("Optional[").removesuffix("]") if optional else annotation
    names = [name.strip() for name in kinds.split("|")] + ["None"] * optional
    # None is let through: `x: int = None` is common where Optional was meant.
    if value is None or not annotation or any(name not in _PLAIN for name in names):
        return True
    if isinstance(value, bool):  # which is an int for Python, but not for whoever wrote `int`
        return "bool" in names
    return any(isinstance(value, _PLAIN[name]) for name in names)


@functools.cache
def find(target: str) -> Signature:
    """Find what `target` accepts, importing it only if its source does not tell."""
    top, *rest = target.split(".")
    if not all(part.isidentifier() for part in [top, *rest]):
        raise UnknownTarget(f"unknown target {target!r}: this is not a dotted path")
    try:
        if _spec(top) is None:
            raise UnknownTarget(f"unknown target {target}: there is no package {top!r} installed")
        thing = _walk(top, rest)
        if thing is None:
            raise UnknownTarget(_what_is_missing(target))
        if isinstance(thing, str):
            raise UnknownTarget(f"unknown target {target}: this is a module and cannot be called")
        parameters, accepts_any = _parameters(thing)
    except (_UnclearError, RecursionError):  # recursion: a class that is, or seems, its own base
        return _by_import(target)
    return Signature(target, MappingProxyType(parameters), accepts_any)


class _UnclearError(Exception):
    """The source does not settle the answer."""


@dataclass(frozen=True)
class _Definition:
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    module: str
    is_method: bool = False


@dataclass(frozen=True)
class _Import:
    module: str
    name: str | None = None


@dataclass(frozen=True)
class _Binding:
    """One place where a scope gives a value to `name` ('*' for a star import)."""

    name: str
    value: _Definition | _Import | ast.expr
    certain: bool  # False inside if, try and the like


_Thing = _Definition | str  # a string is the name of a module
_Trail = frozenset[tuple[str, str]]  # the (module, name) pairs being looked up: guards against cycles
_Parameters = tuple[dict[str, Parameter], bool]


@functools.cache
def _spec(module: str) -> ModuleSpec | None:
    parent = module.rpartition(".")[0]
    if parent:
        package = _spec(parent)
        # Folder by folder, since importlib.util.find_spec imports the parent of a dotted name.
        for path in (package.submodule_search_locations or []) if package else []:
            finder = pkgutil.get_importer(path)
            if finder and (spec := finder.find_spec(module)):
                return spec
        return None
    try:
        return importlib.util.find_spec(module)
    except ValueError as error:  # a module made by hand, such as __main__
        raise _UnclearError from error


@functools.cache
def _source(module: str) -> bytes:
    spec = _spec(module)
    if spec is None or (spec.origin is None and spec.submodule_search_locations):
        return b""  # not installed, or a namespace package: either way it binds no names
    if not spec.origin or not spec.origin.endswith(".py"):
        raise _UnclearError
    return Path(spec.origin).read_bytes()


@functools.cache
def _module_bindings(module: str) -> list[_Binding]:
    try:
        return list(_bindings(ast.parse(_source(module)).body, module))
    except (SyntaxError, ValueError, OSError) as error:
        raise _UnclearError from error


def _bindings(nodes: Iterable[ast.AST], module: str, certain: bool = True) -> Iterator[_Binding]:
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield _Binding(node.name, _Definition(node, module), certain)
            case ast.Import() | ast.ImportFrom():
                for bound, origin in _imports(node, module):
                    yield _Binding(bound, origin, certain)
            case ast.Assign(targets=targets, value=value):
                for target, name in ((t, n) for t in targets for n in ast.walk(t)):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        # Of `a, b = ...` the target stands in as the value: neither can be followed.
                        yield _Binding(name.id, value if name is target else target, certain)
            case ast.AnnAssign(target=ast.Name(id=bound), value=ast.expr() as value):
                yield _Binding(bound, value, certain)
            case ast.stmt() | ast.ExceptHandler() | ast.match_case():
                yield from _bindings(ast.iter_child_nodes(node), module, certain=False)


def _imports(node: ast.Import | ast.ImportFrom, module: str) -> Iterator[tuple[str, _Import]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, _Import(alias.name if alias.asname else top)
        return
    spec = _spec(module)
    try:
        relative = "." * node.level + (node.module or "")
        origin = importlib.util.resolve_name(relative, spec.parent if spec else None)
    except ImportError:  # more dots than there are parents
        return
    for alias in node.names:
        yield alias.asname or alias.name, _Import(origin, alias.name)


def _walk(thing: _Thing, parts: list[str], trail: _Trail = frozenset()) -> _Thing | None:
    if not parts:
        return thing
    part, rest = parts[0], parts[1:]
    # Going down by files first spares reading the __init__.py of large packages.
    deeper = f"{thing}.{part}" if rest and isinstance(thing, str) else ""
    if deeper and _spec(deeper) and (found := _walk(deeper, rest, trail)):
        return found
    child = _module_member(thing, part, trail) if isinstance(thing, str) else _class_member(thing, part)
    return _walk(child, rest, trail) if child else None


def _module_member(module: str, name: str, trail: _Trail) -> _Thing | None:
    if (module, name) in trail:
        return None
    try:
        if b"sys.modules[__name__] =" in _source(module):
            raise _UnclearError  # a lazy module, which puts something else in its own place
        found = _bound(_module_bindings(module), module, name, trail | {(module, name)})
    except _UnclearError:
        if _spec(f"{module}.{name}") is None:
            raise
        found = None
    if found or _spec(f"{module}.{name}"):
        return found or f"{module}.{name}"
    if any(sign in _source(module) for sign in (b"def __getattr__", b"globals()", b"sys.modules[")):
        raise _UnclearError  # names may be made up at run time
    return None


def _class_member(cls: _Definition, name: str) -> _Thing | None:
    if not isinstance(cls.node, ast.ClassDef):
        raise _UnclearError  # an attribute of a function
    for owner in _lineage(cls):
        if found := _own_member(owner, name):
            return found
        _makes_init(owner)  # whatever may make an __init__ may make other methods as well
    return None


def _own_member(cls: _Definition, name: str) -> _Definition | None:
    """The function or class that the body of `cls` itself defines under `name`."""
    found = [b for b in _bindings(_body(cls), cls.module) if b.name == name]
    if not found:
        return None
    last = found[-1].value
    if not isinstance(last, _Definition) or (len(found) > 1 and not all(b.certain for b in found)):
        raise _UnclearError
    return dataclasses.replace(last, is_method=True)


def _bound(bindings: list[_Binding], module: str, name: str, trail: _Trail) -> _Thing | None:
    """What `name` stands for after `bindings` were run: the last one wins, if there is no doubt."""
    found: list[_Thing] = []
    unclear = False
    for binding in reversed(bindings):
        if binding.name not in (name, "*"):
            continue
        try:
            thing = _value(binding, module, name, trail)
        except _UnclearError:
            # A constant is mostly the `X = None` where an optional import failed.
            if binding.name == name and not isinstance(binding.value, ast.Constant):
                raise
            unclear = True
            continue
        if thing is None:  # a name that leads nowhere is left for a real import to explain
            unclear = unclear or binding.name == name
            continue
        if thing not in found:
            found.append(thing)
        if binding.certain:
            break
    if len(found) > 1 or (unclear and not found):
        raise _UnclearError
    return found[0] if found else None


def _value(binding: _Binding, module: str, name: str, trail: _Trail) -> _Thing | None:
    origin = binding.value
    if isinstance(origin, _Definition):
        return origin
    if isinstance(origin, ast.expr):
        return _named(origin, module, trail)
    if _spec(origin.module) is None:
        return None
    if origin.name is None:
        return origin.module
    found = _module_member(origin.module, name if origin.name == "*" else origin.name, trail)
    if found and origin.name == "*" and not _exports(origin.module, name):
        raise _UnclearError
    return found


def _exports(module: str, name: str) -> bool:
    """Whether a star import takes `name`; an `__all__` that is computed may list anything."""
    listed = [b.value for b in _module_bindings(module) if b.name == "__all__"]
    if not listed:
        return not name.startswith("_")
    spelt = [e for v in listed if isinstance(v, ast.List | ast.Tuple) for e in v.elts]
    return len(listed) > 1 or not spelt or name in [e.value for e in spelt if isinstance(e, ast.Constant)]


def _named(expression: ast.expr, module: str, trail: _Trail = frozenset()) -> _Thing | None:
    parts = _dotted(expression)
    found = _walk(module, parts, trail) if parts else None
    if found is None and (not parts or hasattr(builtins, parts[0])):
        raise _UnclearError
    return found


def _dotted(expression: ast.expr) -> list[str]:
    match expression:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=name):
            parts = _dotted(value)
            return [*parts, name] if parts else []
        case _:
            return []


def _body(cls: _Definition) -> list[ast.stmt]:
    return cls.node.body if isinstance(cls.node, ast.ClassDef) else []


def _lineage(cls: _Definition) -> Iterator[_Definition]:
    """`cls` and its bases in the order Python searches them; bases are looked up only when needed."""
    yield cls
    bases = _bases(cls)
    lines = [*([*_lineage(base)] for base in bases), bases]
    while lines := [line for line in lines if line]:
        heads = (line[0] for line in lines if not any(line[0] in other[1:] for other in lines))
        head = next(heads, None)
        if head is None:
            raise _UnclearError
        yield head
        lines = [[one for one in line if one != head] for line in lines]


def _bases(cls: _Definition) -> list[_Definition]:
    assert isinstance(cls.node, ast.ClassDef)
    bases = []
    for expression in cls.node.bases:
        # The base of `Generic[T]` is Generic.
        plain = expression.value if isinstance(expression, ast.Subscript) else expression
        if _dotted(plain)[-1:] in (["object"], ["ABC"], ["Generic"]):
            continue
        base = _named(plain, cls.module)
        if not isinstance(base, _Definition) or not isinstance(base.node, ast.ClassDef):
            raise _UnclearError
        bases.append(dataclasses.replace(base, is_method=False))
    return bases


def _parameters(definition: _Definition) -> _Parameters:
    if not isinstance(definition.node, ast.ClassDef):
        return _function_parameters(definition.node, definition.is_method)
    for owner in _lineage(definition):
        _check_metaclass(owner)
        method = _own_member(owner, "__init__") or _own_member(owner, "__new__")
        if method:
            return _parameters(method)
        if _makes_init(owner):
            return _field_parameters(owner), False
    return {}, False


def _function_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> _Parameters:
    spec = node.args
    named = [*spec.posonlyargs, *spec.args]
    takes_self = is_method and ["staticmethod"] not in [_dotted(d) for d in node.decorator_list]
    hidden = max(len(spec.posonlyargs), int(takes_self))
    required = len(named) - len(spec.defaults)
    parameters = {
        arg.arg: Parameter(i < required, _spelt(arg.annotation)) for i, arg in enumerate(named) if i >= hidden
    }
    for arg, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        parameters[arg.arg] = Parameter(default is None, _spelt(arg.annotation))
    return parameters, spec.kwarg is not None


def _makes_init(cls: _Definition) -> bool:
    """Whether `cls` is a dataclass with a generated `__init__`; unclear if something else may make one."""
    assert isinstance(cls.node, ast.ClassDef)
    decorator = _dataclass_decorator(cls)
    if decorator is not None:
        return not _is_false(decorator, "init")
    if cls.node.decorator_list:
        raise _UnclearError
    return False


def _check_metaclass(cls: _Definition) -> None:
    """A metaclass may take the call itself, as that of enumerations does."""
    assert isinstance(cls.node, ast.ClassDef)
    metaclasses = [_dotted(k.value)[-1:] for k in cls.node.keywords if k.arg == "metaclass"]
    if metaclasses not in ([], [["ABCMeta"]]):
        raise _UnclearError


def _dataclass_decorator(cls: _Definition) -> ast.expr | None:
    for decorator in cls.node.decorator_list:
        plain = decorator.func if isinstance(decorator, ast.Call) else decorator
        if _dotted(plain)[-1:] == ["dataclass"]:
            return decorator
    return None


def _spelt(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation) if annotation else ""


def _field_parameters(cls: _Definition) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for owner in reversed([*_lineage(cls)]):
        for statement in _body(owner) if _dataclass_decorator(owner) else []:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    kind = ast.unparse(annotation)
                    if "ClassVar" in kind or kind.endswith("KW_ONLY"):
                        continue
                    parameters.pop(name, None)
                    if value is None or not _is_false(value, "init"):
                        parameters[name] = Parameter(not _has_default(value), kind)
    return parameters


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and _dotted(value.func)[-1:] == ["field"]:
        return any(keyword.arg in ("default", "default_factory") for keyword in value.keywords)
    return value is not None


def _is_false(call: ast.expr, keyword: str) -> bool:
    given = call.keywords if isinstance(call, ast.Call) else []
    return any(k.arg == keyword and isinstance(k.value, ast.Constant) and not k.value.value for k in given)


def _by_import(target: str) -> Signature:
    thing = _imported(target)
    if not callable(thing):
        raise UnknownTarget(f"unknown target {target}: this cannot be called")
    try:
        given = list(inspect.signature(thing).parameters.values())
    except (ValueError, TypeError):  # some C functions do not tell what they take
        return Signature(target, MappingProxyType({}), accepts_any=True)
    named = [p for p in given if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    parameters = {p.name: Parameter(p.default is p.empty) for p in named if p.name != "self"}
    return Signature(target, MappingProxyType(parameters), any(p.kind is p.VAR_KEYWORD for p in given))


def _imported(target: str) -> object:
    path, *rest = target.split(".")
    try:
        thing: object = importlib.import_module(path)
        for part in rest:
            deeper = f"{path}.{part}"
            if hasattr(thing, "__path__") and not hasattr(thing, part) and importlib.util.find_spec(deeper):
                importlib.import_module(deeper)
            if not hasattr(thing, part):
                raise UnknownTarget(_missing(target, part, path, dir(thing)))
            thing, path = getattr(thing, part), deeper
    except UnknownTarget:
        raise
    except Exception as error:
        raise UnknownTarget(f"unknown target {target}: importing {path} failed: {error}") from error
    return thing


def _what_is_missing(target: str) -> str:
    top, *rest = target.split(".")
    end = max(end for end in range(len(rest)) if _walk(top, rest[:end]))
    owner = _walk(top, rest[:end])
    return _missing(target, rest[end], ".".join([top, *rest[:end]]), _names(owner))


def _missing(target: str, part: str, where: str, names: Iterable[str]) -> str:
    return f"unknown target {target}: there is no {part!r} in {where}{_did_you_mean(part, names, 3)}"


def _did_you_mean(name: str, names: Iterable[str], most: int) -> str:
    close = difflib.get_close_matches(name, sorted(set(names)), n=most)
    return f": did you mean {' or '.join(map(repr, close))}?" if close else ""


def _names(owner: _Thing | None, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names found in a module or class, as far as the source tells."""
    try:
        if isinstance(owner, _Definition):
            for cls in _lineage(owner):
                yield from (b.name for b in _bindings(_body(cls), cls.module))
        elif owner and owner not in seen:
            spec = _spec(owner)
            paths = spec.submodule_search_locations if spec else None
            yield from (found.name for found in pkgutil.iter_modules(paths or []))
            for binding in _module_bindings(owner):
                match binding:
                    case _Binding(name="*", value=_Import(module=origin)):
                        yield from _names(origin, seen | {owner})
                    case _:
                        yield binding.name
    except _UnclearError:
        return

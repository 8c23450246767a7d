"""Names and docstrings of the package, read from its source: no vague names, documented arguments."""

import ast
from collections.abc import Iterator
from pathlib import Path

import synthaug

PACKAGE = Path(synthaug.__file__).parent
VAGUE = {"found", "said", "own", "one", "other", "there", "here", "known", "given", "made", "taken", "asked"}
# Ceilings, as measured; they only go down.
LARGEST_SHARE = 0.002  # of the functions that bind a vague name
MOST_UNDOCUMENTED = 0  # public functions of several parameters without Args

Function = ast.FunctionDef | ast.AsyncFunctionDef


def bound_names(function: Function) -> set[str]:
    """Return the names of a function's parameters and variables, less those of functions inside it."""
    arguments = function.args
    names = {argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    names |= {argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument}
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            names |= {argument.arg for argument in node.args.args}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        nodes += ast.iter_child_nodes(node)
    return names


def public_functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Function]]:
    """Yield functions of a module and methods of its classes that are public, with their dotted names."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield f"{prefix}.{node.name}", node


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the dotted name and the syntax tree of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_vague_names_are_recognized() -> None:
    source = "def f(given, *, x):\n    found = [one for one in x]\n    def g(): pass\n    return lambda other: found"
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert bound_names(function) == {"given", "x", "found", "one", "g", "other"}


def test_functions_bind_no_vague_names() -> None:
    functions = [
        (f"{name}.{node.name}", sorted(bound_names(node) & VAGUE))
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    vague = {name: names for name, names in functions if names}
    assert len(vague) / len(functions) <= LARGEST_SHARE, vague


def test_public_functions_of_several_parameters_document_them() -> None:
    undocumented = []
    for module, tree in modules():
        for name, function in public_functions(tree.body, module):
            parameters = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            count = sum(parameter.arg not in ("self", "cls") for parameter in parameters)
            docstring = ast.get_docstring(function)
            if docstring is not None and count > 1 and "Args:" not in docstring:
                undocumented.append(name)
    assert len(undocumented) <= MOST_UNDOCUMENTED, undocumented

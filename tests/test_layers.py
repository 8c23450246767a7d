"""Who may import whom, read from the source; and what the commands import before they know what to do."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import synthaug

PACKAGE = Path(synthaug.__file__).parent
COMMANDS = {"synthaug.train", "synthaug.generate", "synthaug.report"}
CONFIGURATION = (
    "synthaug.config",
    "synthaug.checks",
    "synthaug.controls",
    "synthaug.composition",
    "synthaug.controlled_sweep",
    "synthaug.command_line",
    "synthaug.preflight",
)

# Third-party package → the modules or rooms that may import it, at the top or inside a function.
ONLY_IN = {
    "hydra": (
        "synthaug.train",
        "synthaug.generate",
        "synthaug.config",
        "synthaug.controls",
        "synthaug.composition",
        "synthaug.controlled_sweep",
        "synthaug.command_line",
    ),
    "omegaconf": (
        "synthaug.train",
        "synthaug.generate",
        "synthaug.config",
        "synthaug.checks",
        "synthaug.composition",
        "synthaug.controlled_sweep",
        "synthaug.command_line",
    ),
    "diffusers": ("synthaug.generation",),
    "transformers": ("synthaug.generation",),
    "wandb": ("synthaug.wandb_runs", "synthaug.tracking", "synthaug.lineage", "synthaug.dashboard"),
    "wandb_workspaces": ("synthaug.saved_view",),
    "pynvml": ("synthaug.energy",),
    "matplotlib": ("synthaug.analysis",),
    "jinja2": ("synthaug.analysis",),
    "yaml": ("synthaug.analysis.published", "synthaug.generation.prompts"),
}

# Room → what it may import of the package besides itself.
ROOMS = {
    "synthaug.errors": (),
    "synthaug.files": (),
    "synthaug.signatures": (),
    "synthaug.energy": (),
    "synthaug.results": ("synthaug.errors", "synthaug.files"),
    "synthaug.data": ("synthaug.errors", "synthaug.files", "synthaug.results"),
    "synthaug.generation": (
        "synthaug.errors",
        "synthaug.files",
        "synthaug.results",
        "synthaug.data.samples",
        "synthaug.data.pixels",
    ),
    "synthaug.analysis": (
        "synthaug.errors",
        "synthaug.files",
        "synthaug.results",
        "synthaug.data.samples",
        "synthaug.data.pixels",
        "synthaug.data.fingerprints",
        "synthaug.generation.synthetic_set",
    ),
    "synthaug.config": ("synthaug.errors", "synthaug.results"),
    "synthaug.checks": ("synthaug.config", "synthaug.signatures", "synthaug.data.samples"),
    "synthaug.wandb_runs": ("synthaug.results",),
    "synthaug.lineage": ("synthaug.results", "synthaug.data.samples"),
    "synthaug.saved_view": ("synthaug.wandb_runs",),
    "synthaug.dashboard": (
        "synthaug.files",
        "synthaug.results",
        "synthaug.wandb_runs",
        "synthaug.lineage",
        "synthaug.saved_view",
        "synthaug.analysis",
    ),
    "synthaug.preflight": (
        "synthaug.errors",
        "synthaug.results",
        "synthaug.wandb_runs",
        "synthaug.config",
        "synthaug.arms",
        "synthaug.shifted",
        "synthaug.data",
        "synthaug.generation",
    ),
    "synthaug.controls": ("synthaug.config",),
    "synthaug.composition": ("synthaug.errors", "synthaug.config", "synthaug.checks"),
    "synthaug.controlled_sweep": (
        "synthaug.errors",
        "synthaug.config",
        "synthaug.controls",
        "synthaug.composition",
    ),
    "synthaug.command_line": (
        "synthaug.errors",
        "synthaug.results",
        "synthaug.config",
        "synthaug.checks",
        "synthaug.composition",
    ),
}

HEAVY = {
    "torch",
    "torchvision",
    "pytorch_lightning",
    "torchmetrics",
    "diffusers",
    "transformers",
    "wandb",
    "matplotlib",
    "sklearn",
}
# Importable by anyone who wants to read results, list images or check a configuration.
LIGHT = [
    "synthaug.errors",
    "synthaug.files",
    "synthaug.energy",
    "synthaug.signatures",
    "synthaug.results",
    "synthaug.data.samples",
    "synthaug.data.mixing",
    "synthaug.data.pixels",
    "synthaug.generation.folder",
    "synthaug.data.fingerprints",
    "synthaug.data.split_rule",
    "synthaug.data.splitting",
    "synthaug.data.record",
    "synthaug.data.shifts",
    "synthaug.data.digits",
    "synthaug.data.open_images",
    "synthaug.data.huggingface",
    "synthaug.generation.prompts",
    "synthaug.generation.screening",
    "synthaug.generation.synthetic_set",
    "synthaug.analysis.statistics",
    "synthaug.analysis.sample_size",
    "synthaug.analysis.seeds_power",
    "synthaug.analysis.power",
    "synthaug.analysis.power_arguments",
    "synthaug.analysis.power_text",
    "synthaug.analysis.study",
    "synthaug.analysis.answers",
    "synthaug.analysis.inference",
    "synthaug.analysis.notes",
    "synthaug.analysis.findings",
    "synthaug.analysis.confidence",
    "synthaug.analysis.robustness",
    "synthaug.analysis.robustness_text",
    "synthaug.analysis.comparison",
    "synthaug.analysis.records",
    "synthaug.analysis.export",
    "synthaug.analysis.disagreement",
    "synthaug.analysis.table",
    "synthaug.analysis.report",
    "synthaug.analysis.published",
    "synthaug.analysis.audit",
    "synthaug.analysis.audit_text",
    "synthaug.analysis.document",
    "synthaug.analysis.exchange",
    "synthaug.analysis.exchange_text",
    "synthaug.analysis.class_verdicts",
    "synthaug.analysis.plan_study",
    "synthaug.analysis.plan_text",
    "synthaug.wandb_runs",
    "synthaug.lineage",
    "synthaug.saved_view",
    "synthaug.dashboard",
    "synthaug.analysis.images",
    "synthaug.analysis.threats.find",
    "synthaug.analysis.cost",
    "synthaug.analysis.explain",
    "synthaug.analysis.explain_text",
    "synthaug.shifted",
    *CONFIGURATION,
    "synthaug.report",
    "synthaug.generate",
    "synthaug.train",
]


def module_name(path: Path) -> str:
    """`synthaug.data.samples` of its file."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(name: str) -> Iterator[str]:
    """Every module that a module imports, anywhere in it; `from package import module` gives the module."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively: absolute imports can be searched for"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def own_imports(name: str) -> set[str]:
    return {other for other in imports(name) if other.split(".")[0] == "synthaug"} - {"synthaug"}


def within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{room}.") for room in rooms)


def test_imports_are_found() -> None:
    assert "synthaug.results" in own_imports("synthaug.train")
    assert "synthaug.analysis.report" in own_imports("synthaug.train"), "inside a function"
    assert "wandb" in set(imports("synthaug.tracking")), "inside a function"


def test_commands_never_import_one_another_and_nothing_imports_a_command() -> None:
    found = {name: own_imports(name) & COMMANDS for name in MODULES}
    assert {name: commands for name, commands in found.items() if commands} == {}


def test_configuration_stops_at_the_commands() -> None:
    found = {name for name in MODULES if own_imports(name) & set(CONFIGURATION)}
    assert found <= COMMANDS | set(CONFIGURATION)


@pytest.mark.parametrize("package", ONLY_IN)
def test_third_party_packages_stay_in_their_room(package: str) -> None:
    users = {name for name in MODULES if package in {other.split(".")[0] for other in imports(name)}}
    assert users, f"nothing imports {package} any more: take it out of the rules"
    assert {name for name in users if not within(name, ONLY_IN[package])} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_downwards(room: str) -> None:
    members = [name for name in MODULES if within(name, (room,))]
    assert members
    found = {
        f"{name} imports {other}"
        for name in members
        for other in own_imports(name)
        if not within(other, (room, *ROOMS[room]))
    }
    assert found == set()


def test_no_module_imports_itself_by_a_detour() -> None:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail, name])
        if name not in done:
            for other in sorted(own_imports(name) & MODULES.keys()):
                visit(other, (*trail, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def test_light_modules_import_nothing_heavy() -> None:
    code = f"""
import importlib, sys
for name in {LIGHT!r}:
    importlib.import_module(name)
    loaded = {HEAVY!r} & set(sys.modules)
    if loaded:
        sys.exit(f"{{name}} imports {{sorted(loaded)}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

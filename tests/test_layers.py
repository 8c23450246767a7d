"""Who may import whom, read from the source; and what the commands import before they know what to do."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import synthaug

PACKAGE = Path(synthaug.__file__).parent
COMMANDS = (
    "synthaug.train",
    "synthaug.generate",
    "synthaug.caption",
    "synthaug.adapt",
    "synthaug.export",
    "synthaug.report",
    "synthaug.predict",
    "synthaug.check",
)

# The rooms of the package, from the ground up: each imports only what stands before it in this list.
ROOMS = (
    "synthaug.messages",
    "synthaug.terminal",
    "synthaug.progress_bar",
    "synthaug.environment",
    "synthaug.hub_client",
    "synthaug.errors",
    "synthaug.signals",
    "synthaug.exit_codes",
    "synthaug.allocator",
    "synthaug.image_files",
    "synthaug.files",
    "synthaug.locks",
    "synthaug.occupancy",
    "synthaug.checked_rows",
    "synthaug.row_log",
    "synthaug.yaml_files",
    "synthaug.data",
    "synthaug.generation",
    "synthaug.models",
    "synthaug.runs",
    "synthaug.features",
    "synthaug.screening",
    "synthaug.config",
    "synthaug.analysis",
    "synthaug.arms",
    "synthaug.tracking",
    "synthaug.training",
    "synthaug.execution",
    "synthaug.report",
    "synthaug.check",
    "synthaug.predict",
    "synthaug.export",
    "synthaug.caption",
    "synthaug.adapt",
    "synthaug.generate",
    "synthaug.train",
    "synthaug.__main__",
)
# The rooms inside some of them, in the same way. The module that stands alone in a room has no room above it.
INSIDE = {
    "synthaug.data": ("synthaug.data", "synthaug.data.sources"),
    "synthaug.analysis": (
        "synthaug.analysis.inference",
        "synthaug.analysis.comparison",
        "synthaug.analysis.training_images",
        "synthaug.analysis.exchange",
        "synthaug.analysis.audit",
        "synthaug.analysis.robustness",
        "synthaug.analysis.subsets",
        "synthaug.analysis.explain",
        "synthaug.analysis.validity",
        "synthaug.analysis.cost",
        "synthaug.analysis.dataset",
        "synthaug.analysis.synthetic",
        "synthaug.analysis.set_pages",
        "synthaug.analysis.findings",
        "synthaug.analysis.text",
        "synthaug.analysis.output",
        "synthaug.analysis.pipeline",
        "synthaug.analysis.set_report",
    ),
}
# Who may know the configuration: below, plain constructors with plain arguments.
CONFIGURED = (
    "synthaug.config",
    "synthaug.execution",
    "synthaug.adapt",
    "synthaug.caption",
    "synthaug.generate",
    "synthaug.train",
)

# Third-party package → the rooms that may import it, at the top or inside a function.
ONLY_IN = {
    "hydra": CONFIGURED,
    "omegaconf": ("synthaug.config", "synthaug.execution", "synthaug.train", "synthaug.generate", "synthaug.adapt"),
    "diffusers": ("synthaug.generation",),
    "transformers": (
        "synthaug.screening.clip_score",
        "synthaug.generation",
    ),
    "huggingface_hub": (
        "synthaug.hub_client",
        "synthaug.data.sources",
        "synthaug.generation.hub",
        "synthaug.analysis.synthetic.set_measurement",
    ),
    "peft": ("synthaug.generation",),
    "torchao": ("synthaug.generation",),
    "filelock": ("synthaug.locks",),
    "submitit": ("synthaug.execution.slurm_queue",),
    "ray": ("synthaug.execution.ray_queue",),
    "wandb": ("synthaug.tracking",),
    "wandb_workspaces": ("synthaug.tracking.workspace",),
    "matplotlib": ("synthaug.analysis.output.figures",),
    "jinja2": ("synthaug.analysis.text", "synthaug.analysis.output"),
    "rich": ("synthaug.analysis.text", "synthaug.analysis.output", "synthaug.report"),
    "yaml": ("synthaug.analysis.audit.published", "synthaug.yaml_files"),
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
# Whoever trains, generates or draws; all others are importable by anyone who reads results, lists images or checks a
# configuration.
HEAVY_ROOMS = (
    "synthaug.models",
    "synthaug.training.callbacks",
    "synthaug.training.checkpoint_files",
    "synthaug.training.evaluation",
    "synthaug.training.fit",
    "synthaug.training.hardware",
    "synthaug.training.head_training",
    "synthaug.training.lightning_rules",
    "synthaug.training.prediction",
    "synthaug.training.probe_evaluation",
    "synthaug.training.probe_run",
    "synthaug.training.progress",
    "synthaug.training.provenance",
    "synthaug.tracking.loggers",
    "synthaug.tracking.tolerant",
    "synthaug.data.augment",
    "synthaug.data.batches",
    "synthaug.data.corruption",
    "synthaug.data.datamodule",
    "synthaug.data.device_pixels",
    "synthaug.data.policies",
    "synthaug.features.frozen_network",
    "synthaug.features.network_features",
    "synthaug.features.tensor_digest",
    "synthaug.generation.adapters",
    "synthaug.generation.diffusion",
    "synthaug.generation.encoders",
    "synthaug.generation.hub",
    "synthaug.generation.loading",
    "synthaug.generation.memory",
    "synthaug.generation.options",
    "synthaug.generation.quiet",
    "synthaug.generation.weights",
    "synthaug.analysis.validity.probe",
    "synthaug.analysis.output.figures",
    "synthaug.analysis.output.page",
    "synthaug.analysis.output.set_page",
    "synthaug.analysis.set_report",
)


def module_name(path: Path) -> str:
    """`synthaug.data.samples` of its file."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imports(name: str) -> frozenset[str]:
    """Every module that a module imports, anywhere in it; `from package import module` gives the module."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively: absolute imports can be searched for"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {module if module in MODULES else str(node.module) for module in inner}
    return frozenset(imported)


def own_imports(name: str) -> set[str]:
    return {other for other in imports(name) if other.split(".")[0] == "synthaug"} - {"synthaug"}


def within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{room}.") for room in rooms)


def test_imports_are_found() -> None:
    assert "synthaug.execution.session" in own_imports("synthaug.train")
    assert "synthaug.analysis.pipeline" in own_imports("synthaug.train"), "inside a function"
    assert "wandb" in imports("synthaug.tracking.loggers"), "inside a function"


def room_of(name: str, rooms: tuple[str, ...]) -> int | None:
    """The index of the room that a module stands in, the innermost one; None for one outside of all."""
    holders = [index for index, room in enumerate(rooms) if within(name, (room,))]
    return max(holders, key=lambda index: len(rooms[index]), default=None)


def test_every_module_stands_in_a_room() -> None:
    assert {name for name in MODULES if room_of(name, ROOMS) is None} == {"synthaug", "synthaug.assets"}


@pytest.mark.parametrize("rooms", [ROOMS, *INSIDE.values()], ids=["synthaug", *INSIDE])
def test_rooms_import_downwards(rooms: tuple[str, ...]) -> None:
    upwards = {
        f"{name} imports {other}"
        for name in MODULES
        for other in own_imports(name)
        for importer, imported in [(room_of(name, rooms), room_of(other, rooms))]
        if importer is not None and imported is not None and imported > importer
    }
    assert upwards == set()


def test_nothing_imports_a_command() -> None:
    importers = {
        (name, other)
        for name in MODULES
        for other in own_imports(name)
        if within(other, COMMANDS) and not within(name, (other.rpartition(".")[0], other))
    }
    assert {(name, other) for name, other in importers if not within(name, ("synthaug.report",))} == set()


def test_configuration_stops_at_the_execution() -> None:
    users = {name for name in MODULES if any(within(other, ("synthaug.config",)) for other in own_imports(name))}
    assert {name for name in users if not within(name, CONFIGURED)} == set()


def test_no_two_modules_have_one_name() -> None:
    names = [name.rpartition(".")[2] for name, path in MODULES.items() if path.stem not in ("__init__", "__main__")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_third_party_packages_stay_in_their_room(package: str) -> None:
    users = {name for name in MODULES if package in {other.split(".")[0] for other in imports(name)}}
    assert users, f"nothing imports {package} any more: take it out of the rules"
    assert {name for name in users if not within(name, ONLY_IN[package])} == set()


def test_nothing_imports_the_inside_of_hydra() -> None:
    plugins = list((PACKAGE.parent / "hydra_plugins").glob("*.py"))
    sources = {path: path.read_text(encoding="utf-8") for path in [*MODULES.values(), *plugins]}
    assert plugins
    assert [path for path, source in sources.items() if "hydra._internal" in source] == []


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
    apart = ("synthaug.report.__main__", "synthaug.execution.ray_queue")  # a command; the library of an extra
    light = [name for name in MODULES if not within(name, HEAVY_ROOMS) and name not in apart]
    code = f"""
import importlib, sys
for name in {light!r}:
    importlib.import_module(name)
    loaded = {HEAVY!r} & set(sys.modules)
    if loaded:
        sys.exit(f"{{name}} imports {{sorted(loaded)}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

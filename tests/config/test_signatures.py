"""Signatures read from source, and by import where the source does not settle them; real libraries as the yardstick."""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from synthaug.config import signatures
from synthaug.config.signatures import UnknownTargetError, argument_problems, read_signature

Package = Callable[[dict[str, str]], None]

# Every target that conf/ names, and a few of the libraries that users name.
SHIPPED = [
    "synthaug.models.classifier.Classifier",
    "synthaug.generation.diffusion.DiffusionGenerator",
    "synthaug.generation.folder.FolderGenerator",
    "synthaug.arms.shifts.Corruptions",
    "synthaug.arms.shifts.Folder",
    "synthaug.arms.shifts.Synthetic",
    "synthaug.data.sources.digits.write_digits",
    "synthaug.data.sources.huggingface.write_huggingface",
    "synthaug.data.sources.open_images.write_open_images",
    "synthaug.data.corruption.JPEG",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.loggers.CSVLogger",
    "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.loggers.WandbLogger",
    "torchvision.transforms.v2.ColorJitter",
    "torchvision.transforms.v2.GaussianBlur",
    "torchvision.transforms.v2.GaussianNoise",
    "torchvision.transforms.v2.Resize",
]
IMPORTED = ["torch.nn.CrossEntropyLoss", "torch.optim.AdamW", "torchvision.models.resnet18", "timm.create_model"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Write modules below a directory that is on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(files: dict[str, str]) -> None:
        for name in [module for module in sys.modules if module not in before]:
            monkeypatch.delitem(sys.modules, name)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        importlib.invalidate_caches()
        for cached in (read_signature, signatures._spec, signatures._tree):
            cached.cache_clear()

    return write


def required(target: str) -> dict[str, bool]:
    return {name: keyword.required for name, keyword in read_signature(target).keywords.items()}


class TestSource:
    @pytest.fixture(autouse=True)
    def no_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fail where the source should have been enough."""
        monkeypatch.setattr(signatures, "_imported_signature", lambda target: pytest.fail(f"{target} was imported"))

    def test_function(self, package: Package) -> None:
        package({"a_function.py": "def f(p, /, a, b: int = 1, *rest, c, d=None, **more): ..."})
        signature = read_signature("a_function.f")
        assert required("a_function.f") == {"a": True, "b": False, "c": True, "d": False}
        assert signature.accepts_any
        assert signature.keywords["b"].annotation == "int"

    def test_defaults_that_reach_into_positional_only(self, package: Package) -> None:
        package({"a_slash.py": "def f(p=0, /, a=1): ..."})
        assert required("a_slash.f") == {"a": False}

    def test_imports_are_followed(self, package: Package) -> None:
        package(
            {
                "a_package/__init__.py": "from .inner import *\nfrom .sub import f as g",
                "a_package/inner.py": "x = 1",
                "a_package/sub/__init__.py": "from ..base import f",
                "a_package/base.py": "def f(a): ...",
            }
        )
        assert required("a_package.g") == {"a": True}

    def test_init_of_a_base_class(self, package: Package) -> None:
        package(
            {
                "a_base.py": "class Base:\n    def __init__(self, a, b=1): ...",
                "a_child.py": "from a_base import Base\nclass Child(Base): ...\nclass Empty: ...",
            }
        )
        assert required("a_child.Child") == {"a": True, "b": False}
        assert required("a_child.Empty") == {}

    @pytest.mark.parametrize(
        ("target", "parts"),
        [
            ("a_gone.f", ["'a_gone'", "installed"]),
            ("a_here.sub.buidl", ["'buidl'", "'build'"]),
            ("a_here..sub", ["dotted path"]),
        ],
    )
    def test_unknown_targets(self, package: Package, target: str, parts: list[str]) -> None:
        package({"a_here/__init__.py": "", "a_here/sub.py": "def build(a): ..."})
        with pytest.raises(UnknownTargetError) as caught:
            read_signature(target)
        assert all(part in str(caught.value) for part in [target, *parts])
        assert argument_problems(target, {"a": 1}) == [str(caught.value)]


class TestImport:
    """What the source does not settle is imported; so a wrong guess must not come first."""

    @pytest.mark.parametrize(
        "source",
        [
            "import functools\ndef g(z, a): ...\nf = functools.partial(g, 1)",
            "def __getattr__(name):\n    def f(a): ...\n    return f",
            "if 1:\n    def f(a): ...\nelse:\n    def f(b): ...",
            "def f(b): ...\nif 1:\n    def f(a): ...",
            "def f(b): ...\ndef g(a): ...\nf = g",
            "class M(type):\n    def __call__(cls, a): ...\nclass f(metaclass=M):\n    b = 1",
            "def g(cls):\n    cls.__init__ = h\n    return cls\ndef h(self, a): ...\n@g\nclass f: ...",
            "class f:\n    def __new__(cls, a): ...",
            "from dataclasses import dataclass\n@dataclass\nclass f:\n    a: int",
            "class A:\n    def __init__(self, a): ...\nclass B: ...\nclass f(B, A): ...",
            "def f(b): ...\nfrom a_star import *",
        ],
    )
    def test_unclear_source(self, package: Package, source: str) -> None:
        package({"a_dynamic.py": source, "a_star.py": "def f(a): ..."})
        assert required("a_dynamic.f") == {"a": True}

    def test_callable_without_a_signature_accepts_anything(self) -> None:
        assert read_signature("builtins.dict").accepts_any

    def test_unknown_name_of_a_c_extension(self) -> None:
        with pytest.raises(UnknownTargetError, match=r"'sqtr' in math.*'sqrt'"):
            read_signature("math.sqtr")

    def test_import_that_fails(self, package: Package) -> None:
        package({"a_broken.py": "from a_absent import f"})
        with pytest.raises(UnknownTargetError, match=r"a_broken.*a_absent"):
            read_signature("a_broken.f")

    def test_value_that_cannot_be_called(self, package: Package) -> None:
        package({"a_value.py": "size = 3"})
        with pytest.raises(UnknownTargetError, match=r"a_value.size.*called"):
            read_signature("a_value.size")


class TestProblems:
    def test_keys_of_hydra_are_no_arguments(self) -> None:
        keys = ["_target_", "_partial_", "_recursive_", "_convert_", "max_epochs"]
        assert argument_problems("pytorch_lightning.Trainer", dict.fromkeys(keys)) == []

    @pytest.mark.parametrize(("name", "suggestion"), [("max_epoch", "'max_epochs'"), ("zzzz", "")])
    def test_unknown_argument(self, name: str, suggestion: str) -> None:
        (problem,) = argument_problems("pytorch_lightning.Trainer", {name: 1})
        assert repr(name) in problem
        assert problem.endswith(f"did you mean {suggestion}?") if suggestion else "did you mean" not in problem

    def test_missing_argument(self) -> None:
        target = "synthaug.arms.shifts.Folder"
        (problem,) = argument_problems(target, {"origin": "real"})
        assert "'root'" in problem
        assert argument_problems(target, {}, program=["root"]) == []
        assert argument_problems(target, {"_args_": ["photos"]}) == []

    @pytest.mark.parametrize(
        ("name", "value", "wanted"),
        [
            ("lr", "fast", "float"),
            ("lr", True, "float"),
            ("schedule", 3, "str, text in quotes"),
            ("weights", 1.5, "str | None"),
            ("weights", None, None),
            ("lr", 1, None),
        ],
    )
    def test_values_of_plain_types(self, name: str, value: object, wanted: str | None) -> None:
        problems = argument_problems("synthaug.models.classifier.Classifier", {name: value}, program=["classes"])
        assert [f"must be {wanted}" in problem for problem in problems] == [True] * (wanted is not None)

    def test_optional_in_the_old_spelling(self) -> None:
        (problem,) = argument_problems("pytorch_lightning.Trainer", {"max_epochs": "many"})
        assert problem.endswith("must be Optional[int]")
        assert argument_problems("pytorch_lightning.Trainer", {"max_epochs": 3}) == []

    def test_keywords_that_accept_anything(self) -> None:
        assert argument_problems("torchvision.models.resnet18", {"num_classes": 2, "wieghts": None}) == []


def test_shipped_targets_are_read_without_importing_them() -> None:
    script = f"""
import sys
from synthaug.config.signatures import argument_problems, read_signature
for target in {SHIPPED!r}:
    read_signature(target)
assert "did you mean" in argument_problems("synthaug.models.classifier.Classifer", {{}})[0]
print(sorted({{"torch", "torchvision", "pytorch_lightning"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("target", [*SHIPPED, *IMPORTED])
def test_same_as_the_imported_object(target: str) -> None:
    module, _, name = target.rpartition(".")
    real = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    named = [p for p in real if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    assert required(target) == {p.name: p.default is p.empty for p in named}
    assert read_signature(target).accepts_any == any(p.kind is p.VAR_KEYWORD for p in real)

"""Signatures read from source: each way Python can bind a name, and real libraries as the yardstick."""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from synthaug.config import signatures
from synthaug.config.signatures import UnknownTarget, find, problems

Package = Callable[[dict[str, str]], None]

LIGHT_TARGETS = [
    "pytorch_lightning.Trainer",
    "pytorch_lightning.LightningDataModule",
    "pytorch_lightning.callbacks.EarlyStopping",
    "pytorch_lightning.callbacks.ModelCheckpoint",
    "pytorch_lightning.callbacks.LearningRateMonitor",
    "pytorch_lightning.loggers.WandbLogger",
    "pytorch_lightning.loggers.CSVLogger",
    "pytorch_lightning.loggers.TensorBoardLogger",
    "timm.create_model",
    "torch.nn.CrossEntropyLoss",
    "torch.optim.AdamW",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torch.utils.data.DataLoader",
    "torchmetrics.Accuracy",
    "torchmetrics.classification.MulticlassF1Score",
    "torchvision.models.resnet18",
    "torchvision.models.ResNet",
    "torchvision.transforms.v2.RandomResizedCrop",
]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Write files under a directory that is on sys.path; none of them may be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    for cached in (find, signatures._spec, signatures._source, signatures._module_bindings):
        cached.cache_clear()

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        importlib.invalidate_caches()

    return write


@pytest.fixture
def no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the source should have been enough."""

    def refuse(target: str) -> None:
        pytest.fail(f"{target} was imported")

    monkeypatch.setattr(signatures, "_by_import", refuse)


@pytest.mark.usefixtures("no_import")
class TestSource:
    def test_function_parameters(self, package: Package) -> None:
        package({"mu_function.py": "def f(p, /, a, b=1, *rest, c, d=None, **more): ..."})
        found = find("mu_function.f")
        assert dict(found.parameters) == {"a": True, "b": False, "c": True, "d": False}
        assert found.accepts_any

    def test_defaults_that_reach_into_positional_only(self, package: Package) -> None:
        package({"mu_slash.py": "def f(p=0, /, a=1): ..."})
        assert dict(find("mu_slash.f").parameters) == {"a": False}

    def test_the_last_definition_counts(self, package: Package) -> None:
        package({"mu_last.py": "def f(a): ...\ndef f(b): ..."})
        assert dict(find("mu_last.f").parameters) == {"b": True}

    def test_alias_by_assignment(self, package: Package) -> None:
        package({"mu_alias.py": "import mu_other as o\nF = o.f\nG = F", "mu_other.py": "def f(a): ..."})
        assert dict(find("mu_alias.G").parameters) == {"a": True}

    def test_alias_by_import(self, package: Package) -> None:
        package({"mu_as.py": "from mu_as_from import f as g", "mu_as_from.py": "def f(a): ..."})
        assert dict(find("mu_as.g").parameters) == {"a": True}

    def test_star_import(self, package: Package) -> None:
        package(
            {
                "mu_star/__init__.py": "from .one import *\nfrom .two import *",
                "mu_star/one.py": "def f(a): ...",
                "mu_star/two.py": "__all__ = ['g']\ndef _f(b): ...\ndef g(c): ...",
            }
        )
        assert dict(find("mu_star.f").parameters) == {"a": True}
        assert dict(find("mu_star.g").parameters) == {"c": True}

    def test_star_import_leaves_out_private_names(self, package: Package) -> None:
        package(
            {
                "mu_private/__init__.py": "from .one import _f\nfrom .two import *",
                "mu_private/one.py": "def _f(a): ...",
                "mu_private/two.py": "def _f(b): ...",
            }
        )
        assert dict(find("mu_private._f").parameters) == {"a": True}

    def test_relative_imports(self, package: Package) -> None:
        package(
            {
                "mu_rel/__init__.py": "",
                "mu_rel/base.py": "def f(a): ...",
                "mu_rel/sub/__init__.py": "from ..base import f\nfrom . import leaf",
                "mu_rel/sub/leaf.py": "from ..base import f as g",
            }
        )
        assert dict(find("mu_rel.sub.f").parameters) == {"a": True}
        assert dict(find("mu_rel.sub.leaf.g").parameters) == {"a": True}

    def test_namespace_package(self, package: Package) -> None:
        package({"mu_space/sub/mod.py": "def f(a): ..."})
        assert dict(find("mu_space.sub.mod.f").parameters) == {"a": True}

    def test_function_that_shadows_its_module(self, package: Package) -> None:
        package({"mu_shadow/__init__.py": "from .f import f", "mu_shadow/f.py": "def f(a): ..."})
        assert dict(find("mu_shadow.f").parameters) == {"a": True}

    def test_class_that_shadows_its_module(self, package: Package) -> None:
        source = "class F:\n    @classmethod\n    def load(cls, a): ..."
        package({"mu_shade/__init__.py": "from .F import F", "mu_shade/F.py": source})
        assert dict(find("mu_shade.F.load").parameters) == {"a": True}

    def test_imports_under_conditions(self, package: Package) -> None:
        source = """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from mu_cond_other import f
            try:
                from mu_not_there import g
            except ImportError:
                from mu_cond_other import g
            try:
                from mu_cond_other import h
            except ImportError:
                h = None
        """
        other = "def f(a): ...\ndef g(b): ...\ndef h(c): ..."
        package({"mu_cond.py": source, "mu_cond_other.py": other})
        assert dict(find("mu_cond.f").parameters) == {"a": True}
        assert dict(find("mu_cond.g").parameters) == {"b": True}
        assert dict(find("mu_cond.h").parameters) == {"c": True}

    def test_inherited_init(self, package: Package) -> None:
        package(
            {
                "mu_base.py": "class Base:\n    def __init__(self, a, b=1): ...",
                "mu_child.py": """
                    import mu_base
                    from typing import Generic, TypeVar
                    T = TypeVar("T")
                    class Mixin: ...
                    class Child(Mixin, mu_base.Base, Generic[T]): ...
                    class Empty: ...
                """,
            }
        )
        assert dict(find("mu_child.Child").parameters) == {"a": True, "b": False}
        assert dict(find("mu_child.Empty").parameters) == {}

    def test_diamond_is_searched_in_the_order_of_python(self, package: Package) -> None:
        source = """
            class Top:
                def __init__(self, top): ...
            class Left(Top): ...
            class Right(Top):
                def __init__(self, right): ...
            class Bottom(Left, Right): ...
        """
        package({"mu_diamond.py": source})
        assert dict(find("mu_diamond.Bottom").parameters) == {"right": True}

    def test_new_without_init(self, package: Package) -> None:
        package({"mu_new.py": "class C:\n    def __new__(cls, a): ..."})
        assert dict(find("mu_new.C").parameters) == {"a": True}

    def test_methods(self, package: Package) -> None:
        source = """
            class Base:
                @classmethod
                def load(cls, path, strict=True): ...
                @staticmethod
                def make(a): ...
            class C(Base):
                def run(self, steps): ...
        """
        package({"mu_method.py": source})
        assert dict(find("mu_method.C.load").parameters) == {"path": True, "strict": False}
        assert dict(find("mu_method.C.make").parameters) == {"a": True}
        assert dict(find("mu_method.C.run").parameters) == {"steps": True}

    def test_dataclass(self, package: Package) -> None:
        source = """
            import dataclasses
            from dataclasses import KW_ONLY, dataclass, field
            from typing import ClassVar
            @dataclass(frozen=True)
            class Base:
                a: int
                b: int = 1
                count: ClassVar[int] = 0
            class Between(Base):
                not_a_field: int = 0
            @dataclasses.dataclass
            class Child(Between):
                _: KW_ONLY
                c: list[int] = field(default_factory=list)
                d: int = field(repr=False)
                hidden: int = field(init=False)
                b: int
            @dataclass
            class Own:
                a: int
                def __init__(self, z): ...
        """
        package({"mu_data.py": source})
        assert dict(find("mu_data.Base").parameters) == {"a": True, "b": False}
        assert dict(find("mu_data.Child").parameters) == {"a": True, "b": True, "c": False, "d": True}
        assert dict(find("mu_data.Own").parameters) == {"z": True}

    def test_cycle_of_imports_ends(self, package: Package) -> None:
        package(
            {
                "mu_one.py": "from mu_two import *\nfrom mu_two import f\ndef g(b): ...",
                "mu_two.py": "from mu_one import *\ndef f(a): ...",
            }
        )
        assert dict(find("mu_one.f").parameters) == {"a": True}
        assert dict(find("mu_two.g").parameters) == {"b": True}
        with pytest.raises(UnknownTarget):
            find("mu_one.h")

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("mu_gone.f", "unknown target mu_gone.f: there is no package 'mu_gone' installed"),
            ("mu_here.sub.buidl", "there is no 'buidl' in mu_here.sub: did you mean 'build'?"),
            ("mu_here.sbu.build", "there is no 'sbu' in mu_here: did you mean 'sub'?"),
            ("mu_here.starred.biuld", "there is no 'biuld' in mu_here.starred: did you mean 'build'?"),
            ("mu_here.sub.Model.laod", "there is no 'laod' in mu_here.sub.Model: did you mean 'load'?"),
            ("mu_here.sub.zzz", "unknown target mu_here.sub.zzz: there is no 'zzz' in mu_here.sub"),
            ("mu_here.sub", "unknown target mu_here.sub: this is a module and cannot be called"),
            ("mu_here..sub", "unknown target 'mu_here..sub': this is not a dotted path"),
        ],
    )
    def test_unknown_targets(self, package: Package, target: str, message: str) -> None:
        package(
            {
                "mu_here/__init__.py": "",
                "mu_here/sub.py": "def build(a): ...\nclass Model:\n    def load(self): ...",
                "mu_here/starred.py": "from .sub import *",
            }
        )
        with pytest.raises(UnknownTarget) as caught:
            find(target)
        assert str(caught.value).endswith(message)
        assert problems(target, dict.fromkeys(["a"])) == [str(caught.value)]


class TestFallback:
    """What the source does not settle is imported; so a wrong guess must not come first."""

    @pytest.mark.parametrize(
        "source",
        [
            "import functools\ndef g(z, a): ...\nf = functools.partial(g, 1)",
            "def __getattr__(name):\n    def f(a): ...\n    return f",
            "def g(a): ...\nglobals()['f'] = g",
            "if 1:\n    def f(a): ...\nelse:\n    def f(b): ...",
            "def f(b): ...\nif 1:\n    def f(a): ...",
            "class M(type):\n    def __call__(cls, a): ...\nclass f(metaclass=M):\n    b = 1",
            "def g(cls):\n    cls.__init__ = h\n    return cls\ndef h(self, a): ...\n@g\nclass f: ...",
            "import typing\nclass f(typing.NamedTuple):\n    a: int",
            "class f:\n    def __init__(self, a): ...\nclass f(f): ...",
        ],
    )
    def test_import_settles_it(self, package: Package, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
        package({"mu_dynamic.py": source})
        monkeypatch.delitem(sys.modules, "mu_dynamic", raising=False)
        assert dict(find("mu_dynamic.f").parameters) == {"a": True}
        monkeypatch.delitem(sys.modules, "mu_dynamic", raising=False)

    def test_lazy_module_is_not_searched(self, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
        source = """
            import sys, types
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from .wrong import *
            else:
                lazy = types.ModuleType(__name__)
                lazy.f = lambda a: None
                sys.modules[__name__] = lazy
        """
        package({"mu_lazy/__init__.py": source, "mu_lazy/wrong.py": "def f(b): ..."})
        assert dict(find("mu_lazy.f").parameters) == {"a": True}
        monkeypatch.delitem(sys.modules, "mu_lazy")

    def test_c_extension(self) -> None:
        assert "tz" in find("datetime.datetime.now").parameters

    def test_callable_without_a_signature_accepts_anything(self) -> None:
        assert find("builtins.dict").accepts_any

    def test_unknown_name_of_a_c_extension(self) -> None:
        with pytest.raises(UnknownTarget, match=r"there is no 'sqtr' in math: did you mean 'sqrt' or 'isqrt'\?"):
            find("math.sqtr")

    def test_import_that_fails(self, package: Package) -> None:
        package({"mu_broken.py": "from mu_absent import f"})
        with pytest.raises(UnknownTarget, match="importing mu_broken failed: No module named 'mu_absent'"):
            find("mu_broken.f")

    def test_value_that_cannot_be_called(self, package: Package) -> None:
        package({"mu_value.py": "size = 3"})
        with pytest.raises(UnknownTarget, match=r"unknown target mu_value.size: this cannot be called"):
            find("mu_value.size")


class TestProblems:
    def test_nothing_wrong(self) -> None:
        keys = ["_target_", "_partial_", "_recursive_", "_convert_", "monitor", "patience"]
        assert problems("pytorch_lightning.callbacks.EarlyStopping", dict.fromkeys(keys)) == []

    def test_misspelt_argument(self) -> None:
        assert problems("pytorch_lightning.Trainer", dict.fromkeys(["_target_", "max_epoch"])) == [
            "unknown argument 'max_epoch' of pytorch_lightning.Trainer: did you mean 'max_epochs'?"
        ]

    def test_nothing_similar(self) -> None:
        assert problems("pytorch_lightning.Trainer", dict.fromkeys(["zzzz"])) == [
            "unknown argument 'zzzz' of pytorch_lightning.Trainer"
        ]

    def test_missing_argument(self) -> None:
        target = "pytorch_lightning.callbacks.EarlyStopping"
        assert problems(target, dict.fromkeys(["patience"])) == [f"missing argument 'monitor' of {target}"]

    def test_supplied_argument_is_not_missing(self) -> None:
        target = "torch.optim.AdamW"
        assert problems(target, dict.fromkeys(["lr"]), supplied=["params"]) == []
        assert problems(target, dict.fromkeys(["lr", "params"]), supplied=["params"]) == []

    def test_positional_values_may_fill_what_is_missing(self) -> None:
        assert problems("pytorch_lightning.callbacks.EarlyStopping", dict.fromkeys(["_args_"])) == []

    @pytest.mark.parametrize(
        ("name", "value", "wanted"),
        [
            ("lr", "fast", "float"),
            ("lr", True, "float"),
            ("schedule", 3, "str"),
            ("weights", 1.5, "str | None"),
            ("weights", None, None),
            ("lr", 1, None),
        ],
    )
    def test_values_of_plain_types(self, name: str, value: object, wanted: str | None) -> None:
        target = "synthaug.models.classifier.Classifier"
        expected = [f"{name}={value!r} of {target}: must be {wanted}"] if wanted else []
        assert problems(target, {name: value}, supplied=["classes"]) == expected

    def test_optional_in_the_old_spelling(self) -> None:
        assert problems("pytorch_lightning.Trainer", {"max_epochs": "many"}) == [
            "max_epochs='many' of pytorch_lightning.Trainer: must be Optional[int]"
        ]
        assert problems("pytorch_lightning.Trainer", {"max_epochs": 3}) == []

    def test_keywords_that_accept_anything(self) -> None:
        assert problems("torchvision.models.resnet18", dict.fromkeys(["num_classes", "wieghts"])) == []


def test_libraries_are_not_imported() -> None:
    heavy = ["torch", "torchvision", "pytorch_lightning", "timm", "torchmetrics"]
    script = f"""
import sys
from synthaug.config.signatures import find, problems
for target in {LIGHT_TARGETS!r}:
    find(target)
    assert "unknown target" in problems(target + "x", dict.fromkeys([]))[0]
print([name for name in {heavy!r} if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("target", LIGHT_TARGETS)
def test_same_as_the_imported_object(target: str) -> None:
    module, _, name = target.rpartition(".")
    real = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    found = find(target)
    named = [p for p in real if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    assert dict(found.parameters) == {p.name: p.default is p.empty for p in named}
    assert found.accepts_any == any(p.kind is p.VAR_KEYWORD for p in real)

"""CI's audit of the oldest versions: a known vulnerability fails it, a database out of reach is told and passes."""

import importlib.util
import json
import subprocess
from types import ModuleType
from typing import Any

import pytest

from tests.factories.commands import ROOT


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.venv, "create", lambda *_, **__: None)
    return module


def answer(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "", code: int = 0) -> None:
    """Have every program that the audit starts end so."""
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, stdout, stderr))


def entry(name: str, **content: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0", **content}


def test_a_vulnerable_floor_fails(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advisory = {"id": "PYSEC-2020-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
    entries = [entry("torch", vulns=[]), entry("pillow", vulns=[advisory]), entry("ray", skip_reason="no answer")]
    answer(monkeypatch, json.dumps({"dependencies": entries, "fixes": []}), code=1)
    assert audit.main() == 1
    printed = capsys.readouterr().out
    assert "pillow 1.0: PYSEC-2020-1, fixed in 1.1" in printed
    assert "ray" in printed
    assert "2 of " in printed


def test_floors_without_advisories_pass(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, json.dumps({"dependencies": [entry("torch", vulns=[])]}))
    assert audit.main() == 0


@pytest.mark.parametrize("stdout", ["", "<html>", "[]", "{}", '{"dependencies": null}'])
def test_a_database_out_of_reach_is_told(
    stdout: str, audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, stdout, "ERROR: connection\nERROR: no route to host", 1)
    assert audit.main() == 0
    assert "no route to host" in capsys.readouterr().out


def test_a_package_index_out_of_reach_is_told(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert audit.main() == 0
    assert "no audit" in capsys.readouterr().out


def test_every_requirement_with_a_floor_is_audited(audit: ModuleType) -> None:
    floors = audit.floors(ROOT / "pyproject.toml")
    assert len(floors) > 20
    assert all(name and version[0].isdigit() for name, _, version in (floor.partition("==") for floor in floors))

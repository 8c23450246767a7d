"""Text of the environment reaches no file."""

import logging
from pathlib import Path

import pytest

from synthaug import environment
from synthaug.config import schema
from synthaug.execution.study_log import StudyFileHandler
from synthaug.files import read_json
from synthaug.generation.manifest import MANIFEST
from synthaug.generation.prompts import Prompts
from synthaug.generation.synthetic_set import SyntheticSet
from tests.factories.commands import Painter, jobs_of

TEXT = "pa55-of-the-hub"


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that asked for the variable."""
    monkeypatch.setattr(environment, "_NAMES", {})
    monkeypatch.setenv("HUB_PASSWORD", TEXT)
    schema.register()
    jobs_of("model.weights=x${oc.env:HUB_PASSWORD}")


def test_a_resolved_variable_is_hidden_and_a_short_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.hidden(f"a {TEXT}, b") == "a ${oc.env:HUB_PASSWORD}, b"
    environment.remember("SHORT", "a")
    assert environment.hidden("a b") == "a b"


def test_settings_of_another_text_are_other_settings() -> None:
    environment.remember("HUB_PASSWORD", "another-text")
    first, second = (environment.hidden_settings({"a": [{"b": text}], "c": 1}) for text in (TEXT, "another-text"))
    assert first != second
    assert "HUB_PASSWORD" in str(first)
    assert TEXT not in str(first)


def test_the_log_has_the_name_of_the_variable(tmp_path: Path) -> None:
    handler = StudyFileHandler(str(tmp_path / "log.txt"))
    try:
        raise ValueError(f"no weights {TEXT}")
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "%s", (TEXT,), (type(error), error, error.__traceback__))
    handler.emit(record)
    handler.close()
    text = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert text.count("${oc.env:HUB_PASSWORD}") == 2
    assert TEXT not in text


def test_a_synthetic_set_records_the_name_and_resumes(tmp_path: Path) -> None:
    class Configured(Painter):
        @property
        def settings(self) -> dict[str, object]:
            return {"negative_prompt": TEXT}

    def images() -> SyntheticSet:
        painter = Configured()
        painter.negative_prompt = TEXT
        return SyntheticSet(tmp_path / "set", painter, Prompts([f"{TEXT} {{class_name}}"]))

    assert images().ensure({"cat": 2}) == 2
    assert images().ensure({"cat": 3}) == 1
    files = [tmp_path / "set" / MANIFEST, tmp_path / "set" / "set.json"]
    assert all(TEXT not in path.read_text(encoding="utf-8") for path in files)
    assert read_json(files[1])["settings"]["negative_prompt"].startswith("${oc.env:HUB_PASSWORD}")

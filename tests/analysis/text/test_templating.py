"""Templates: the kinds of blocks, and values that look like markup."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from synthaug.analysis.text import templating
from synthaug.analysis.text.document import Commands, Heading, Points, Rows, Sentences
from synthaug.analysis.text.templating import Template

TEXT = """
{% macro document(name, items) %}
# {{ name }}

{{ name }}
goes on.

{% for item in items %}
- {{ item }}
  folded
{% endfor %}

    run {{ name }}

| arm<br>name | n |
| --- | ---: |
{% for item in items %}
| {{ item }} | {{ item | length | fmt(",") }} |
{% endfor %}

### {{ LIMIT }}
{% endmacro %}
{% macro nested(items) %}
{{ listed(items) | blocks }}
{% endmacro %}
{% macro listed(items) %}
{% for item in items %}
- {{ item }}
{% endfor %}
{% endmacro %}
"""
NAMES = ["a", "# b | c\n\n- d", "{{ e }}", "    f"]


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Template]:
    (tmp_path / "made_up.md.j2").write_text(TEXT, encoding="utf-8")
    monkeypatch.setattr(templating, "TEMPLATES", tmp_path)
    templating._environment.cache_clear()
    yield Template("made_up", LIMIT=7)
    templating._environment.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_values_are_text_and_the_template_makes_the_blocks(template: Template, name: str) -> None:
    plain = " ".join(name.split())
    assert template.document("document", name, [name, "z"]) == [
        Heading(plain, 1),
        Sentences(f"{plain} goes on."),
        Points([f"{plain} folded", "z folded"]),
        Commands([f"run {plain}"]),
        Rows(["arm\nname", "n"], [[plain, str(len(name))], ["z", "1"]]),
        Heading("7", 3),
    ]


def test_a_macro_of_blocks_keeps_its_lines(template: Template) -> None:
    assert template.sentences("nested", ["x", "y"]) == ["x", "y"]
    assert template.sentences("nested", []) == []
    assert template.sentence("listed", ["x"]) == "- x"


@pytest.mark.parametrize("path", sorted(templating.TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_lines_of_templates_are_as_short_as_those_of_the_code(path: Path) -> None:
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 120] == []

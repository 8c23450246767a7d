"""YAML is measured before it is built."""

from pathlib import Path

import pytest

from synthaug import yaml_files
from synthaug.errors import UserError


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: [{c: *a}]}",
        "[" * 50 + "]" * 50,
        "- &x0 [1]\n" + "".join(f"- &x{i} [*x{i - 1}]\n" for i in range(1, 60)),
        "- &x0 [1, 2]\n" + "".join(f"- &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 30)),
        "- &x0 {a: 1}\n" + "".join(f"- &x{i} {{a: *x{i - 1}, b: *x{i - 1}, c: *x{i - 1}}}\n" for i in range(1, 20)),
        "[" + "1, " * 25_000 + "1]",
    ],
)
def test_yaml_that_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"made_up\.yaml"):
        yaml_files.check_text(text, "made_up.yaml")


@pytest.mark.parametrize(
    "text", ["", "a: 1", "a: &a [1, 2]\nb: *a\nc: *a", "a: &a {b: 1}\nc: {<<: *a, d: 2}", "a: [", "[" * 30 + "]" * 30]
)
def test_usual_yaml_and_what_is_none_pass(text: str) -> None:
    yaml_files.check_text(text, "made_up.yaml")


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("a: 1\n" * 3, encoding="utf-8")
    yaml_files.check_file(path)
    monkeypatch.setattr(yaml_files, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="15 bytes"):
        yaml_files.check_file(path)
    yaml_files.check_file(tmp_path / "absent.yaml")


def test_everything_is_read_as_it_is_written() -> None:
    text = "no: [a, 01]\n01: [b]\n3.10: [c]\n~: &r\n  - [d]\n  - e\nrest: *r\n<<: {1_0: [2]}\nplain: text\n"
    lists = yaml_files.text_lists(text)
    assert lists is not None
    assert {name: values for name, _, values in lists} == {
        "1_0": [("2", 8)],
        "no": [("a", 1), ("01", 1)],
        "01": [("b", 2)],
        "3.10": [("c", 3)],
        "~": [(None, 5), ("e", 6)],
        "rest": [(None, 5), ("e", 6)],
        "plain": None,
    }
    assert {name: line for name, line, _ in lists}["rest"] == 7
    assert yaml_files.text_lists("[a]") is None
    assert yaml_files.text_lists("") is None


def test_plain_texts_are_named_by_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: {b: 01, 'c': 'quoted', d: [1_0]}\n'no': yes\n", encoding="utf-8")
    assert list(yaml_files.plain_texts(path)) == [
        ("", "a"), ("a.", "b"), ("a.b", "01"), ("a.", "d"), ("no", "yes"),
    ]  # fmt: skip
    path.write_text("a: [", encoding="utf-8")
    assert not list(yaml_files.plain_texts(path))
    assert not list(yaml_files.plain_texts(tmp_path / "absent.yaml"))

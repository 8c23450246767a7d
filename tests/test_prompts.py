"""Prompts: one per class, from a template."""

import pytest

from synthaug.errors import UserError
from synthaug.generation.prompts import prompts


def test_the_class_goes_into_its_place() -> None:
    made = prompts("a photo of a {class_name}", ["cat", "great_white_shark", "sea otter"])
    assert made == {
        "cat": "a photo of a cat",
        "great_white_shark": "a photo of a great white shark",
        "sea otter": "a photo of a sea otter",
    }


def test_names_in_any_script_and_with_braces() -> None:
    names = ["кошка", "犬", "قط", "Käfer", "{class_name}", "100%"]
    assert prompts("{class_name}!", names) == {name: f"{name.replace('_', ' ')}!" for name in names}


def test_a_class_may_be_named_twice_and_braces_be_meant() -> None:
    assert prompts("{class_name}, {{really}} a {class_name}", ["cat"]) == {"cat": "cat, {really} a cat"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a photo", "has no place for the class"),
        ("", "has no place for the class"),
        ("a photo of {label}", r"has \{label\}: it needs \{class_name\}"),
        ("a photo of {}", r"has \{\}: it needs \{class_name\}"),
        ("{class_name} by {artist}", r"has \{artist\}, \{class_name\}: it needs"),
        ("{class_name.upper}", "needs"),
        ("a {class_name", "is no template .*write {class_name} where the class goes"),
        ("a class_name}", "is no template .*brace"),
        ("{class_name:d}", "is no template"),
        ("{class_name:{width}}", "is no template"),
        ("{class_name!x}", "is no template"),
    ],
)
def test_a_template_that_cannot_be_is_shown_with_the_way_out(template: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        prompts(template, ["cat"])
    assert f"generator.prompt={template!r}" in str(caught.value)

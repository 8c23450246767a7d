"""Prompts: of templates and of files; prompt n of a class is always the same."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from synthaug.config import schema
from synthaug.errors import UserError
from synthaug.generation.prompts import Prompts, article, read_prompts

PUBLISHED = (
    "A photorealistic, highly detailed 8K photograph of a turtle in various settings and poses in the sea, shot with a "
    "Nikon Z7 II, 70-200mm lens, natural lighting, sharp focus, ultra-high-definition"
)
EMPTY: dict[str, Any] = {"templates": [], "file": None, "settings": {}, "names": {}, "lists": {}}


def fill(template: str, class_name: str) -> str:
    prompts = Prompts([template])
    prompts.check([class_name])
    return prompts.prompt(class_name, 0)


def conf(choice: str) -> Prompts:
    settings = OmegaConf.to_container(OmegaConf.load(schema.CONF / "prompts" / f"{choice}.yaml"))
    assert isinstance(settings, dict)
    return read_prompts(EMPTY | {str(key): value for key, value in settings.items()}, None)


@pytest.mark.parametrize(
    ("class_name", "prompt"),
    [
        ("cat", "a photo of a cat"),
        ("great_white_shark", "a photo of a great white shark"),
        ("sea otter", "a photo of a sea otter"),
        *((name, f"a photo of a {name}") for name in ("кошка", "犬", "قط", "Käfer", "{class-name}", "100%")),
    ],
)
def test_the_class_goes_into_its_place(class_name: str, prompt: str) -> None:
    assert fill("a photo of a {class_name}", class_name) == prompt


def test_a_class_may_be_named_twice_and_braces_be_meant() -> None:
    assert fill("{class_name}, {{really}} {a} {class_name}", "eagle") == "eagle, {really} an eagle"


@pytest.mark.parametrize(
    ("noun", "expected"),
    [(noun, "an") for noun in ["eagle", "Owl", "umbrella", "hour", "ape", "orange", "uninhabited", "honest"]]
    + [(noun, "an") for noun in ["RV", "S-bend", "LCD_screen", "NMR tube", "HDTV", "MP3s", "8", "11", "18"]]
    + [
        (noun, "a")
        for noun in ["TV", "U-turn", "USB stick", "NASA rocket", "Xylophone", "Mask", "PVC pipe", "1", "111"]
    ]
    + [
        (noun, "a")
        for noun in [
            "turtle",
            "unicorn",
            "user",
            "eurasian_lynx",
            "horse",
            "one-eyed",
            "unit",
            "university",
            "ufo",
            "犬",
        ]
    ],
)
def test_article(noun: str, expected: str) -> None:
    assert article(noun) == expected


def test_names_replace_the_folders_name() -> None:
    prompts = Prompts(["{a} {class_name}"], names={"n02123045": "tabby cat"})
    assert prompts.prompt("n02123045", 5) == "a tabby cat"


@given(st.lists(st.text("ab", min_size=1), min_size=1, max_size=5), st.integers(0, 999))
def test_prompts_are_taken_in_turn(lines: list[str], index: int) -> None:
    templates = Prompts([f"{line} {{class_name}}" for line in lines])
    listed = Prompts(by_class={"cat": [f"{line} cat" for line in lines]})
    expected = f"{lines[index % len(lines)]} cat"
    assert templates.prompt("cat", index) == listed.prompt("cat", index) == expected
    assert templates.distinct("cat") == listed.distinct("cat") == [f"{line} cat" for line in dict.fromkeys(lines)]


def test_the_papers_prompt_is_the_published_one() -> None:
    prompts = conf("paper")
    prompts.check(["bear", "dog", "cat", "turtle", "deer", "eagle"])
    assert prompts.prompt("turtle", 0) == prompts.prompt("turtle", 7) == PUBLISHED
    assert " of an eagle in various settings and poses in the mountains, shot" in prompts.prompt("eagle", 3)
    with pytest.raises(UserError, match=r"'bears' .*prompts.settings \(.*'bear'"):
        prompts.check(["bears", "dog"])
    with pytest.raises(UserError, match=r"'fox' (?s:.)*'owl' (?s:.)*prompts\.settings\.fox="):
        prompts.check(["dog", "fox", "owl"])


def test_the_papers_page_shows_the_prompts_that_are_used() -> None:
    page = (schema.EXPERIMENTS / "paper" / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\w+) \((?:published|ours)\) \| (A photorealistic.*) \|$", page, re.MULTILINE))
    assert listed == {name: conf("paper").prompt(name, 0) for name in ("turtle", "bear", "cat", "deer", "dog", "eagle")}


def test_clips_ensemble_has_eighty_templates() -> None:
    prompts = conf("clip")
    prompts.check(["cat"])
    assert len(prompts.distinct("cat")) == 80
    assert prompts.prompt("cat", 0) == prompts.prompt("cat", 80) == "a bad photo of a cat."


def test_the_class_alone() -> None:
    assert conf("class_name").prompt("sea_lion", 3) == "sea lion"


def test_the_generators_own_template_where_none_is_given() -> None:
    assert read_prompts(EMPTY, "a drawing of {class_name}").prompt("cat", 0) == "a drawing of cat"
    templates = {**EMPTY, "templates": ["my {class_name}"]}
    assert read_prompts(templates, "a drawing of {class_name}").prompt("cat", 1) == "my cat"
    with pytest.raises(UserError, match=r"prompts.templates=.*generator.prompt="):
        read_prompts(EMPTY, None)


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        ("a photo", "{class_name}"),
        ("", "{class_name}"),
        ("a photo of {label}", "{label}; use {class_name} "),
        ("a photo of {}", "{};"),
        ("{class_name} by {artist}", "{artist};"),
        ("{class_name.upper}", "{class_name.upper};"),
        ("a {class_name", "twice"),
        ("a class_name}", "twice"),
        ("{class_name:d}", "{class_name:d};"),
        ("{class_name:{width}}", "{class_name:{width}};"),
        ("{class_name!r} {class_name}", "{class_name!r};"),
    ],
)
def test_a_malformed_template_is_shown_with_its_placeholder(template: str, detail: str) -> None:
    with pytest.raises(UserError) as caught:
        Prompts(["a {class_name}", template], source="generator.prompt").check(["cat"])
    headline, problem, *rest = str(caught.value).splitlines()
    assert "generator.prompt" in headline
    assert problem.startswith(f"  - {template!r} ")
    assert detail in problem.removeprefix(f"  - {template!r}")
    assert all("{class_name}" in line for line in rest)


def read_file(path: Path, text: str) -> Prompts:
    path.write_text(text, encoding="utf-8")
    return read_prompts({**EMPTY, "file": str(path)}, "ignored {class_name}")


def test_a_file_has_a_list_for_each_class(tmp_path: Path) -> None:
    prompts = read_file(tmp_path / "p.yaml", "cat: ['a cat {asleep}', two cats]\nпёс:\n  - a dog\n7: [seven]\n")
    prompts.check(["cat", "пёс", "7"])
    assert [prompts.prompt("cat", index) for index in range(3)] == ["a cat {asleep}", "two cats", "a cat {asleep}"]
    assert prompts.prompt("7", 4) == "seven"


def test_a_file_has_text_alone(tmp_path: Path) -> None:
    prompts = read_file(tmp_path / "p.yaml", "off: [007, 1_5]\n2_0: [yes]\n")
    prompts.check(["off", "2_0"])
    assert [prompts.distinct(name) for name in ("off", "2_0")] == [["007", "1_5"], ["yes"]]


def test_a_file_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p.yaml").write_text("cat: [a cat]", encoding="utf-8")
    assert read_prompts({**EMPTY, "file": "~/p.yaml"}, None).prompt("cat", 0) == "a cat"


def test_a_class_missing_in_the_file_is_named_with_what_is_close(tmp_path: Path) -> None:
    prompts = read_file(tmp_path / "p.yaml", "cats: [a cat]\ndog: [a dog]\n")
    with pytest.raises(UserError) as caught:
        prompts.check(["cat", "dog", "zebra"])
    headline, *problems = str(caught.value).splitlines()
    assert f"prompts.file={tmp_path / 'p.yaml'}" in headline
    assert [re.findall("'[^']+'", problem) for problem in problems] == [["'cat'", "'cats'"], ["'zebra'"], ["'cats'"]]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prompts.file=.*no.yaml .*\(No such file or directory\)"):
        read_prompts({**EMPTY, "file": str(tmp_path / "no.yaml")}, None)


@pytest.mark.parametrize(
    "unused", [{"templates": ["{class_name}"]}, {"settings": {"cat": "here"}, "names": {"a": "b"}}]
)
def test_a_file_with_anything_that_it_would_leave_unused(unused: dict[str, Sequence[str]]) -> None:
    keys = ", ".join(f"prompts.{key}" for key in unused)
    with pytest.raises(UserError, match=f"prompts.file=x.yaml .* {keys} "):
        read_prompts({**EMPTY, "file": "x.yaml", **unused}, None)


def test_two_classes_of_one_prompt_are_refused() -> None:
    named = Prompts(["a {class_name}", "one {class_name}"], names={"crane_2": "crane"})
    from_file = Prompts(by_class={"cat": ["a pet", "a cat"], "dog": ["a dog", "a pet"], "cow": ["a cow"]})
    cases = [(named, "crane", "crane_2"), (from_file, "cat", "dog")]
    for prompts, first, second in cases:
        with pytest.raises(UserError) as caught:
            prompts.check([first, second, "cow"])
        _, line = str(caught.value).splitlines()
        assert line.startswith(f"  - {first} and {second} have the same prompt")
        prompts.check([first, "cow"])


def test_what_is_probably_not_meant_is_doubted() -> None:
    classes = ["RV", "eel", "n0123-Ibex", "007.Sea_Lion", "class_4", "RedPanda", "b__c", "cow", "St. Paul", "sea_bass"]
    named = {"n0123-Ibex": "ibex"}
    lines = Prompts(["a {class_name}", "{a} {class_name}"], names=named).doubts(classes)
    doubted = ["an RV", "an eel", "an ibex", "prompts.file", "names.class_4=", "names.RedPanda=", "names.b__c="]
    assert [word in line for word, line in zip(doubted, lines, strict=True)] == [True] * len(doubted)
    assert not Prompts(["{a} {class_name}", "data of {class_name}"]).doubts(["RV", "eel", "cow", "owl"])
    from_file = Prompts(by_class={"eel": ["an eel", "A eel"], "n0123": ["an ibex"], "cow": ["an cow"]})
    assert [line.partition(":")[0] for line in from_file.doubts(["eel", "n0123", "cow"])] == ["'A eel'", "'an cow'"]


def test_the_first_prompt_of_each_class_is_shown() -> None:
    prompts = Prompts(["{a} {class_name}", "two {class_name}", "three"])
    assert prompts.shown(["cow", "eel"]) == ["cow: a cow (and 2 others)", "eel: an eel (and 2 others)"]
    assert Prompts(by_class={"cow": ["a cow", "a cow"]}).shown(["cow"]) == ["cow: a cow"]


@pytest.mark.parametrize(("name", "key"), [("a-b", "prompts.settings.a-b="), ("a.b", "prompts.file"), ("01", ".file")])
def test_a_class_that_cannot_be_typed_is_sent_to_a_file(name: str, key: str) -> None:
    with pytest.raises(UserError) as caught:
        Prompts(["{class_name} {setting}"]).check([name])
    assert key in str(caught.value).splitlines()[-1]


LISTS = {"place": ["in the sea", "at home", "in the snow"], "light": ["", "at night"]}


def varied(**changes: Any) -> Prompts:
    return read_prompts({**EMPTY, "templates": ["{a} {class_name} {place}, {light}"], "lists": LISTS, **changes}, None)


def test_lists_are_combined_in_a_template() -> None:
    prompts = varied()
    prompts.check(["owl", "cat"])
    texts = prompts.distinct("owl")
    assert sorted(texts) == sorted(
        [f"an owl {place}{light}" for place in LISTS["place"] for light in ("", ", at night")]
    )
    assert [prompts.prompt("owl", index) for index in range(12)] == texts * 2
    assert prompts.distinct("cat", 4) == [text.replace("an owl", "a cat") for text in texts[:4]]
    assert len(prompts.shown(["cat"])) == 2


@given(st.integers(0, 300))
def test_an_images_prompt_depends_on_class_and_index_alone(index: int) -> None:
    assert varied().prompt("cat", index) == varied().prompt("cat", index + 6) == varied().distinct("cat")[index % 6]


def test_templates_and_lists_are_balanced_together() -> None:
    prompts = varied(templates=["one {class_name} {place}", "a {class_name} {light} {place}"])
    texts = [prompts.prompt("cat", index) for index in range(7)]
    assert sum(text.startswith("one") for text in texts) in (3, 4)
    assert all(sum(place in text for text in texts) in (2, 3) for place in LISTS["place"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lists": {**LISTS, "pose": ["up"]}}, ["prompts.lists.pose", "{pose}"]),
        ({"lists": {**LISTS, "light": []}}, ["prompts.lists.light"]),
        ({"lists": {**LISTS, "light": ["x", "y", "x"]}}, ["prompts.lists.light", "'x'"]),
        ({"lists": {"place": ["x"]}}, ["{light}"]),
        ({"lists": {**LISTS, "light": [["a"], ["b"]]}}, ["prompts.lists.light", "['a']"]),
        ({"lists": {**LISTS, "setting": ["x"]}}, ["prompts.lists.setting"]),
        ({"lists": {**LISTS, "no-name": ["x"]}}, ["prompts.lists.no-name"]),
        ({"templates": ["a {class_name} {place} {light!r}"]}, ["{light!r}"]),
    ],
)
def test_malformed_lists_are_named(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        varied(**changes).check(["cat"])
    assert all(word in str(caught.value) for word in words)


def test_numbers_of_a_list_are_text() -> None:
    assert varied(lists={**LISTS, "light": [35]}).prompt("cat", 0) == "a cat in the sea, 35"


def test_a_list_without_values_is_left_out() -> None:
    assert varied(templates=["{class_name} {place}"], lists={**LISTS, "light": None}).prompt("cat", 0).startswith("cat")


def test_photographs_vary() -> None:
    prompts = conf("varied")
    prompts.check(["cat", "owl"])
    texts = prompts.distinct("cat", 5000)
    assert len(texts) == 8 * 7 * 5 * 5
    assert len(set(prompts.distinct("owl", 8))) == 8
    assert max(len(text.split()) for text in texts) < 40, "an encoder of CLIP reads 77 tokens"


def test_what_is_shown_of_many_prompts_stays_short() -> None:
    names = [f"class {number}" for number in range(50)]
    long = Prompts(by_class={name: [f"{name} {'very ' * 300}{number}" for number in range(40)] for name in names})
    assert all(len(line) < 220 for line in [*long.shown(names), *conf("varied").shown(names)])
    assert all("39 others" in line for line in long.shown(names))

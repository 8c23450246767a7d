"""The file of captions: what is accepted, resumed, refused; answers of language models parsed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError
from synthaug.generation.caption_files import read_captions
from synthaug.generation.captioning import (
    CaptionFile,
    Proposal,
    Subject,
    answer_lines,
    names_class,
    recipe_name,
    step_seed,
)

SUBJECTS = [Subject("cat", "cat"), Subject("sea_lion", "sea lion")]


class Author:
    """A captioner without a model: its answers are a list for each class, one after the other."""

    model = "author"

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]], looks_at_images: bool = False, **changes: Any):
        self.answers = answers
        self.looks_at_images = looks_at_images
        self.changes = changes
        self.steps: list[tuple[str, int]] = []

    @property
    def settings(self) -> dict[str, Any]:
        return {"model": self.model, **self.changes}

    def check(self) -> None:
        pass

    def tries(self, subject: Subject) -> int:
        return 3

    def propose(self, subject: Subject, step: int, seed: int) -> list[Proposal]:
        self.steps.append((subject.class_name, step))
        answers = self.answers[subject.class_name]
        texts = answers[step] if step < len(answers) else []
        image = subject.images[step % len(subject.images)] if subject.images else None
        return [Proposal(text, image) for text in texts]

    def provenance(self) -> dict[str, str]:
        return {"model": self.model, "revision": "abc", "weights": "1" * 64, **self.changes}

    def unload(self) -> None:
        pass


ANSWERS = {
    "cat": [["a cat", "A Cat.", "a dog", "a cat and a sea lion"], ["two  cats", "a cat asleep"], ["a black cat"]],
    "sea_lion": [["a sea lion", "a cat"], [], ["sea lions", "the sea lion"]],
}


def texts(file: CaptionFile, class_name: str) -> list[str]:
    return [row["caption"] for row in file.rows() if row["class"] == class_name]


def test_captions_are_new_and_name_their_class_alone(tmp_path: Path) -> None:
    file = CaptionFile(tmp_path, Author(ANSWERS), SUBJECTS, 0)
    assert file.ensure(3) == 6
    assert texts(file, "cat") == ["a cat", "two cats", "a cat asleep"]
    assert texts(file, "sea_lion") == ["a sea lion", "sea lions", "the sea lion"]
    assert file.ensure(3) == 0
    assert read_captions(file.path).by_class == {name: texts(file, name) for name in ("cat", "sea_lion")}
    assert file.rows()[0] == {
        "class": "cat", "caption": "a cat", "step": 0, "seed": 0, "model": "author", "revision": "abc",
        "weights": "1" * 64,
    }  # fmt: skip


def test_a_file_that_grows_ends_up_as_one_written_at_once(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        CaptionFile(tmp_path / "grown", Author(ANSWERS), SUBJECTS, 0).ensure(count)
    CaptionFile(tmp_path / "once", Author(ANSWERS), SUBJECTS, 0).ensure(3)
    grown, once = (tmp_path / name / f"{name}.jsonl" for name in ("grown", "once"))
    assert grown.read_bytes() == once.read_bytes()


def test_an_interrupted_file_is_continued(tmp_path: Path) -> None:
    class Interrupted(Author):
        def propose(self, subject: Subject, step: int, seed: int) -> list[Proposal]:
            if (subject.class_name, step) == ("sea_lion", 1):
                raise KeyboardInterrupt
            return super().propose(subject, step, seed)

    with pytest.raises(KeyboardInterrupt):
        CaptionFile(tmp_path, Interrupted(ANSWERS), SUBJECTS, 0).ensure(3)
    author = Author(ANSWERS)
    file = CaptionFile(tmp_path, author, SUBJECTS, 0)
    assert file.ensure(3) == 2
    assert [name for name, _ in author.steps] == ["sea_lion"] * 3
    assert texts(file, "sea_lion") == ["a sea lion", "sea lions", "the sea lion"]


def test_a_captioner_without_ideas_stops_with_the_reasons(tmp_path: Path) -> None:
    file = CaptionFile(tmp_path, Author({**ANSWERS, "cat": [["a cat", "a dog"], ["a cat"], ["A cat"]]}), SUBJECTS, 0)
    with pytest.raises(UserError) as caught:
        file.ensure(4)
    text = str(caught.value)
    for words in ("author", "'cat'", "1 of 4", "without the words 'cat'", "written already", "per_class=1"):
        assert words in text
    assert texts(file, "cat") == ["a cat"], "what is written stays"


def test_captions_of_images_say_of_which(tmp_path: Path) -> None:
    images = [Sample(tmp_path / f"{number}.png", 0, "cat", REAL, f"{number}" * 64) for number in range(3)]
    subject = Subject("cat", "cat", images)
    author = Author({"cat": [["a cat and a sea lion"], ["a cat and a sea lion"], ["a cat"], ["cats"]]}, True)
    file = CaptionFile(tmp_path, author, [subject], 0)
    assert file.ensure(None) == 2, "each image is looked at once, and a caption that comes twice counts once"
    assert [row["source_sha256"][0] for row in file.rows()] == ["0", "2"]
    assert file.ensure(None) == 0
    assert file.ensure(3) == 1
    with pytest.raises(UserError, match=r"sea_lion.*mix=real"):
        CaptionFile(tmp_path / "b", author, [subject, Subject("sea_lion", "sea lion")], 0).ensure(1)


def test_a_line_that_was_damaged_is_named(tmp_path: Path) -> None:
    file = CaptionFile(tmp_path, Author(ANSWERS), SUBJECTS, 0)
    file.ensure(2)
    lines = file.path.read_text(encoding="utf-8").splitlines()
    for damaged in ("{", '{"class": "cat"}', "[]"):
        file.path.write_text("\n".join([lines[0], damaged, *lines[2:]]), encoding="utf-8")
        with pytest.raises(UserError, match=r"\.jsonl:2 "):
            file.ensure(2)


def test_another_version_of_a_model_does_not_continue_a_file(tmp_path: Path) -> None:
    CaptionFile(tmp_path, Author(ANSWERS), SUBJECTS, 0).ensure(1)
    newer = CaptionFile(tmp_path, Author(ANSWERS, weights="2" * 64), SUBJECTS, 0)
    with pytest.raises(UserError, match=r"weights.*captioner.revision=abc"):
        newer.ensure(2)
    assert newer.ensure(1) == 0, "nothing is to be written"


def test_a_recipe_has_a_folder_of_its_own() -> None:
    names = {
        recipe_name(Author({}), SUBJECTS, 0, "x"),
        recipe_name(Author({}, temperature=2), SUBJECTS, 0, "x"),
        recipe_name(Author({}), SUBJECTS[:1], 0, "x"),
        recipe_name(Author({}), [Subject("cat", "kitten"), SUBJECTS[1]], 0, "x"),
        recipe_name(Author({}), SUBJECTS, 1, "x"),
    }
    assert len(names) == 5
    assert step_seed("cat", 0, 0) != step_seed("cat", 1, 0) != step_seed("cat", 1, 1)


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ("1. a cat\n2) a cat asleep\n(3) cats\n- a cat here\n* cats\n• cat", 6),
        ('Sure! Here are 2 captions:\n\n1. "A cat."\n\n2. “A cat asleep.”\n', 2),
        ("**a cat**\n_a cat asleep_\nCaption 3: a cat on a mat", 3),
        ("<think>the user wants\ncats</think>\na cat\n", 1),
        ("<think>never ending\na cat", 0),
        ('```json\n["a cat", "two cats", 3]\n```', 2),
        ("", 0),
        ("\n\n  \n", 0),
    ],
)
def test_answers_of_many_kinds(answer: str, lines: int) -> None:
    captions = answer_lines(answer)
    assert len(captions) == lines
    assert all(caption[0].isalpha() and caption.lower().startswith(("a cat", "two", "cat")) for caption in captions)


def test_a_last_line_that_was_cut_off() -> None:
    assert answer_lines("a cat\na cat on a", is_cut_off=True) == ["a cat"]


@given(st.text())
def test_any_answer_can_be_parsed(answer: str) -> None:
    assert all(line.strip() == line and line for line in answer_lines(answer))


@given(st.lists(st.from_regex(r"[a-z]{2,5} cat [a-z]{2,5}", fullmatch=True), max_size=5))
def test_numbered_and_quoted_lines_are_what_they_number(captions: list[str]) -> None:
    assert answer_lines("\n".join(f'{number}. "{text}"' for number, text in enumerate(captions, 1))) == captions
    assert answer_lines(json.dumps(captions)) == captions


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("A CAT sleeps", "cat", True),
        ("two cats", "cat", True),
        ("foxes", "fox", True),
        ("a category", "cat", False),
        ("a bobcat", "cat", False),
        ("a sea  lion", "sea lion", True),
        ("lions at sea", "sea lion", False),
        ("digit 1", "1", True),
        ("digit 11", "1", False),
        ("一只犬在雪地里", "犬", True),
    ],
)
def test_whether_a_caption_names_its_class(text: str, name: str, expected: bool) -> None:
    assert names_class(text, name) is expected

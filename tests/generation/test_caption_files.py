"""Files of captions in every format, and everything that can be wrong with them."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import UserError
from synthaug.generation.caption_files import Captions, read_captions
from synthaug.generation.prompts import Prompts, read_prompts

CAPTIONS = {"cat": ["a cat, asleep", 'a "cat"'], "sea_lion": ["a sea lion é"]}
FORMATS = {
    "c.yaml": 'cat:\n  - "a cat, asleep"\n  - a "cat"\nsea_lion: [a sea lion é] # a comment\n',
    "c.json": json.dumps(CAPTIONS),
    "c.jsonl": "".join(
        json.dumps({"caption": f" {text}", "model": "x", "class": name}) + "\n"
        for name, texts in CAPTIONS.items()
        for text in texts
    ),
    "c.csv": 'source,caption,Class\r\n1,"a cat, asleep",cat\r\n,"a ""cat""",cat\r\n,a sea lion é,sea_lion\r\n',
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def write_folder(folder: Path, captions: Mapping[str, Sequence[str]]) -> Path:
    for name, texts in captions.items():
        write(folder / f"{name}.txt", "\n".join(texts) + "\n")
    return folder


def prompts_of(path: Path) -> Prompts:
    settings = {"templates": [], "settings": {}, "names": {}, "lists": {}, "file": str(path)}
    return read_prompts(settings, None)


def problems(path: Path, classes: Sequence[str] = ("cat", "dog")) -> list[str]:
    """What is wrong, each in a line, without the folder of the file."""
    with pytest.raises(UserError) as caught:
        prompts_of(path).check(classes)
    headline, *lines = str(caught.value).splitlines()
    assert f"prompts.file={path}" in headline
    return [line.removeprefix("  - ").replace(f"{path.parent}/", "") for line in lines]


@pytest.mark.parametrize("name", FORMATS)
def test_formats_hold_the_same_captions(tmp_path: Path, name: str) -> None:
    captions = read_captions(write(tmp_path / name, FORMATS[name]))
    assert captions.by_class == CAPTIONS
    assert captions.problems == []
    assert captions.digest == read_captions(write_folder(tmp_path / "folder", CAPTIONS)).digest


def test_places_are_lines(tmp_path: Path) -> None:
    lines = {"c.yaml": [2, 3, 4], "c.jsonl": [1, 2, 3], "c.csv": [2, 3, 4]}
    for name, numbers in lines.items():
        places = read_captions(write(tmp_path / name, FORMATS[name])).places
        assert [*places["cat"], *places["sea_lion"]] == [f"{tmp_path / name}:{number}" for number in numbers]


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.lists(st.text(min_size=1), min_size=1)))
def test_jsonl_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, listed: dict[str, list[str]]
) -> None:
    text = "".join(f"{json.dumps({'class': name, 'caption': text})}\n" for name in listed for text in listed[name])
    if not listed:
        return
    captions = read_captions(write(tmp_path_factory.mktemp("captions") / "c.jsonl", text))
    kept = sum(map(len, captions.by_class.values()))
    assert kept + len(captions.problems) == sum(map(len, listed.values()))
    if not captions.problems:
        assert captions.by_class == {name: [text.strip() for text in texts] for name, texts in listed.items()}


def test_a_byte_order_mark_is_no_part_of_the_first_class(tmp_path: Path) -> None:
    for name, text in FORMATS.items():
        assert read_captions(write(tmp_path / name, "\ufeff" + text)).by_class == CAPTIONS


def test_the_digest_is_that_of_the_captions_alone(tmp_path: Path) -> None:
    plain = read_captions(write(tmp_path / "a.yaml", "cat: [a, b]\ndog: [c]\n")).digest
    assert read_captions(write(tmp_path / "b.yml", "# written today\ndog: ['c']\ncat:\n- a\n- b\n")).digest == plain
    for changed in ("cat: [b, a]\ndog: [c]", "cat: [a, b]\ndog: [d]", "cat: [a, b, b]\ndog: [c]"):
        assert read_captions(write(tmp_path / "c.yaml", changed)).digest != plain
        os.utime(tmp_path / "c.yaml", ns=(0, 0))  # or a file of the same size and time is the same to the cache


BROKEN = {
    "c.yaml": (
        "cat: ['', a cat, [x]]\ncat: [again]\ndog: []\nowl: text\n",
        [*("c.yaml:1: .*empty", "c.yaml:1: .*'cat'"), "c.yaml:2: .* line 1", "c.yaml:3: .*'dog'", "c.yaml:4: .*'owl'"],
    ),
    "c.jsonl": (
        '{"class": "cat", "caption": "a"}\n\n{"class": "dog"}\nnonsense\n[1]\n{"class": true, "caption": "x"}\n',
        ["c.jsonl:2: .*empty", "c.jsonl:3: .*'caption'", "c.jsonl:4: no JSON", "c.jsonl:5: ", "c.jsonl:6: .*'class'"],
    ),
    "c.csv": (
        "class,caption\ncat,a cat\ndog,a dog, asleep\n\n,a fox\ndog,\n",
        ["c.csv:3: 3 cells", "c.csv:4: .*empty", "c.csv:5: .*class", "c.csv:6: .*empty"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_every_wrong_line_is_named_at_once(tmp_path: Path, name: str) -> None:
    text, patterns = BROKEN[name]
    lines = problems(write(tmp_path / name, text))
    for pattern in patterns:
        assert any(re.match(pattern, line) for line in lines), (pattern, lines)


def test_a_quote_without_end_swallows_no_captions_unnoticed(tmp_path: Path) -> None:
    lines = problems(write(tmp_path / "c.csv", 'class,caption\ncat,"a cat\ncat,a black cat\n'))
    assert any(re.match(r"c\.csv:\d: no CSV", line) for line in lines)


def test_all_kinds_of_problems_are_named_together(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "captions",
        {"cat": ["a pet", "", "x" * 5000], "dog": ["a dog", "a pet", "a\x07dog"], "dogs": ["two dogs"], "fox": []},
    )
    write(folder / "fox.txt", "")
    lines = problems(folder, ["cat", "dog", "owl"])
    expected = [
        "captions/cat.txt:2: .*empty",
        "captions/cat.txt:3: .*5,000 letters",
        "captions/dog.txt:3: .*control",
        "captions/fox.txt: .*empty",
        "class 'owl' has no list",
        "captions/dogs.txt:1: class 'dogs' is not",
        "class 'fox' is not",
        r"captions/dog.txt:2: cat and dog .*'a pet' \(captions/cat.txt:1\)",
    ]
    assert len(lines) == len(expected)
    assert [bool(re.match(pattern, line)) for pattern, line in zip(expected, lines, strict=True)] == [True] * 8, lines


def test_a_class_that_the_dataset_lacks_is_doubted(tmp_path: Path) -> None:
    prompts = prompts_of(write(tmp_path / "c.yaml", "cat: [a cat]\nfox:\n  - a fox\n"))
    prompts.check(["cat"])
    (doubt,) = prompts.doubts(["cat"])
    assert doubt.startswith(f"{tmp_path / 'c.yaml'}:3: class 'fox'")


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("c.yaml", b"cat: [a, b", "is not YAML"),
        ("c.yaml", b"- cat\n- dog\n", "has no classes"),
        ("c.yaml", b"", "has no classes"),
        ("c.jsonl", b"", "has no classes"),
        ("c.json", b"cat: \x00", "is not YAML"),
        ("c.csv", b"cat;a cat\n", "c.csv:1: .*class,caption"),
        ("c.csv", b"class,caption\n", "has no classes"),
        ("c.csv", "class,caption\ncat,a café\n".encode("latin-1"), "c.csv:2: byte 10 .*0xe9.* UTF-8"),
        ("c.jsonl", '{"class": "cat"}\n'.encode("utf-16"), "c.jsonl:1: byte 1 .*0xff"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, name: str, content: bytes, cause: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"(?s){cause}"):
        read_captions(tmp_path / name)


def test_a_folder_without_captions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.txt"):
        read_captions(tmp_path)


def test_what_was_changed_after_the_plan_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", "cat: [a cat]\n")
    settings = {"templates": [], "settings": {}, "names": {}, "lists": {}, "file": str(path)}
    planned = {**settings, "content": read_captions(path).digest}
    assert read_prompts(planned, None).prompt("cat", 0) == "a cat"
    write(path, "cat: [another cat]\n")
    with pytest.raises(UserError, match="was changed"):
        read_prompts(planned, None)
    assert isinstance(read_captions(path), Captions)

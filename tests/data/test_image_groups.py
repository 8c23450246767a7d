"""The file of groups: what it may name, and what is refused with names and numbers."""

from pathlib import Path

import pytest

from synthaug.data.image_groups import groups_of_images
from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, number in (("test", 3), ("train", 2)):
        for index in range(number):
            path = tmp_path / "photos" / split / "cat" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path / "photos"


def images(root: Path) -> list[Sample]:
    return [Sample(path, 0, "cat", REAL, path.name) for path in sorted((root / "test" / "cat").iterdir())]


def groups(root: Path, text: str | bytes) -> dict[str, str]:
    file = root.parent / "groups.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {path.name: group for path, group in groups_of_images(file, root, images(root)).items()}


WHOLE = "path,group\ntest/cat/0.png,day\ntest/cat/1.png,night\n./test/cat/2.png, day \n"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        "\ufeff" + WHOLE,
        WHOLE.replace("\n", "\r\n"),
        WHOLE + "train/cat/0.png,dusk\ntest/cat/0.png,day\n",
        "note,group,path\n,day,test/cat/0.png\n,night,test/cat/1.png\n,day,test/cat/2.png\n",
    ],
)
def test_each_test_image_has_its_group_whatever_else_the_file_has(root: Path, text: str) -> None:
    assert groups(root, text) == {"0.png": "day", "1.png": "night", "2.png": "day"}


def test_everything_wrong_is_named_at_once_with_numbers(root: Path) -> None:
    with pytest.raises(UserError) as caught:
        groups(root, "path,group\ntest/cat/0.png,day\ntest/cat/0.png,night\ntest/cat/9.png,day\ntrain/cat/1.png,\n")
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert str(root) in lines[0]
    assert lines[1:] == [
        "- 2 test images have no group:", "- test/cat/1.png", "- test/cat/2.png",
        "- 1 path is of no file in the dataset:", "- test/cat/9.png",
        "- 1 image is in several groups:", "- test/cat/0.png: day, night",
        "- 1 group is empty:", "- train/cat/1.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (WHOLE.replace("night", "day"), "all 3 test images are in one group, day"),
        ("path;group\n", "has the columns path;group and lacks path and group"),
        ("", "has the columns none and lacks path and group"),
        ("path,group\n", "3 test images have no group"),
        (b"path,group\n\xff\xfe,day\n", "no CSV file in UTF-8"),
    ],
)
def test_a_file_that_is_none_of_groups_is_refused(root: Path, text: str | bytes, part: str) -> None:
    with pytest.raises(UserError, match=part):
        groups(root, text)


def test_a_file_that_cannot_be_opened_is_named(root: Path) -> None:
    for file in (root, root / "none.csv"):
        with pytest.raises(UserError, match=f"dataset.groups={file}: .*give a CSV file"):
            groups_of_images(file, root, images(root))

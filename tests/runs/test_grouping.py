"""Groups that a study has recorded."""

import os
from pathlib import Path

import pytest

from synthaug.errors import UserError
from synthaug.runs import layout
from synthaug.runs.grouping import read_groups, write_groups

GROUPS = {Path("data/test/cat/0.png"): "day", Path("data/test/dog/0.png"): "night"}


def test_groups_are_found_by_path_or_by_class_and_file(tmp_path: Path) -> None:
    write_groups(tmp_path, "photos", GROUPS)
    assert read_groups(tmp_path, "photos", ["data/test/dog/0.png", "data/test/cat/0.png", "data/test/cat/1.png"]) == [
        "night",
        "day",
        None,
    ]
    assert read_groups(tmp_path, "photos", ["/home/me/data/test/dog/0.png"]) == ["night"]
    assert read_groups(tmp_path, "other", ["data/test/dog/0.png"]) == [None]


def test_the_same_groups_are_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "photos" / layout.GROUPS
    write_groups(tmp_path, "photos", GROUPS)
    os.utime(file, ns=(1, 1))
    write_groups(tmp_path, "photos", dict(reversed(GROUPS.items())))
    assert file.stat().st_mtime_ns == 1
    write_groups(tmp_path, "photos", dict.fromkeys(GROUPS, "dusk"))
    assert read_groups(tmp_path, "photos", [str(path) for path in GROUPS]) == ["dusk", "dusk"]


def test_a_damaged_record_is_named_with_the_way_out(tmp_path: Path) -> None:
    write_groups(tmp_path, "photos", GROUPS)
    file = tmp_path / "photos" / layout.GROUPS
    file.write_text(file.read_text().replace("night", "light"))
    with pytest.raises(UserError, match=r"is damaged \(line 3\): .*dataset\.groups=<file>"):
        read_groups(tmp_path, "photos", ["data/test/dog/0.png"])

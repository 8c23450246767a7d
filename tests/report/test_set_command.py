"""`report set`: sets with a manifest and pools, beside a dataset or alone."""

from pathlib import Path

import pytest

from synthaug.files import read_json
from synthaug.report.__main__ import main
from tests.factories.images import write_dataset, write_flat
from tests.factories.synthetic_sets import painted_set

CLASSES = ("cat", "dog")


def test_a_set_is_measured_beside_the_dataset_that_it_was_made_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "datasets" / "pets", CLASSES, train=25)
    folder = tmp_path / "synthetic" / "pets" / "painter"
    painted_set(folder, dict.fromkeys(CLASSES, 25))
    assert main(["set", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "FID" in printed
    assert printed.endswith("set.html\n")
    assert read_json(folder / "quality.json")["n"] == 50
    assert list((tmp_path / "features").glob("pixels-*/features.bin"))


def test_a_pool_has_its_page_elsewhere_and_a_dataset_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_flat(tmp_path / "pool", {"cat": 25, "dog": 30}, seed=5000)
    write_flat(tmp_path / "photos", {"cat": 25, "dog": 25})
    assert main(["set", "pool", "--markdown"]) == 0
    assert "FID" not in capsys.readouterr().out
    assert main(["set", "pool", "--real", "photos", "--backbone", "timm/test_efficientnet@random"]) == 0
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == ["cat", "dog"]
    numbers = read_json(tmp_path / "outputs" / "sets" / "pool" / "quality.json")
    assert numbers["backbone"] == "timm/test_efficientnet@random"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere"),
        (["empty"], "no images"),
        (["pool", "--real", "nowhere"], "nowhere"),
        (["pool", "--real", "photos", "--backbone", "resnet19"], "resnet18"),
        (["pool", "--real", "others"], "ape"),
    ],
)
def test_what_cannot_be_used_is_named(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_flat(tmp_path / "pool", {"cat": 3, "dog": 3})
    write_flat(tmp_path / "photos", {"cat": 3, "dog": 3}, seed=10)
    write_flat(tmp_path / "others", {"ape": 3, "bee": 3}, seed=20)
    assert main(["set", *arguments]) == 2
    assert told in capsys.readouterr().err

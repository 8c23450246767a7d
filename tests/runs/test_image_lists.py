"""The list of a run's training images is read as it was written, in both forms, and what is damaged is noticed."""

import contextlib
import csv
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.data.sample_list import REAL, SYNTHETIC, Sample, Samples
from synthaug.runs import contents, image_lists, layout
from synthaug.runs.array_files import write_arrays
from synthaug.runs.contents import UnreadableFileError
from tests.runs.test_contents import NAMES

RUN = Path("study", "photos", "real", "seed0")


def images(count: int, origin: str = REAL) -> list[Sample]:
    """As many images, of all classes in turn."""
    names = sorted(NAMES)
    return [
        Sample(f"{origin}/{label}/{number} 猫.png", label, names[label], origin, f"{number:064x}")
        for number in range(count)
        for label in [number % len(names)]
    ]


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list is taken for a large one."""
    monkeypatch.setattr(image_lists, "MOST_ROWS", 0)


def identities(samples: Sequence[Sample]) -> list[tuple[str, str, str, str]]:
    return sorted((sample.file, sample.class_name, sample.origin, sample.sha256) for sample in samples)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    contents.write_mix(tmp_path, images(30))
    assert contents.read_mix(tmp_path) == images(30)
    with (tmp_path / layout.MIX).open(newline="", encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == ["path", "label", "origin", "sha256"]


@given(st.lists(st.integers(0, 29), unique=True, min_size=1), st.lists(st.integers(0, 29), unique=True), st.data())
def test_any_selection_of_any_lists_is_read_as_it_was_written(
    of_real: list[int], of_synthetic: list[int], data: st.DataObject
) -> None:
    """Whether most, few or none of a list are used, and where some images are in no list."""
    real, synthetic = Samples(images(30)), Samples(images(30, SYNTHETIC))
    chosen = Samples.joined([real.take(of_real), synthetic.take(of_synthetic)])
    options: list[tuple[Samples, ...]] = [(), (real,), (synthetic,), (real, synthetic), (real[:9], synthetic[9:])]
    sources = data.draw(st.sampled_from(options))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_lists, "MOST_ROWS", 0)
        run = Path(folder, RUN)
        contents.write_mix(run, chosen, sources)
        assert [path.name for path in run.iterdir()] == [layout.MIX_ROWS]
        assert identities(contents.read_mix(run)) == identities(chosen)
        lists = set(Path(folder, "study", layout.IMAGE_LISTS).iterdir())
        assert set(image_lists.lists_of(run / layout.MIX_ROWS)) == lists


@pytest.mark.usefixtures("arrays")
def test_runs_share_a_list_and_moved_studies_keep_it(tmp_path: Path) -> None:
    real, synthetic = Samples(images(40)), Samples(images(40, SYNTHETIC))
    for seed, rows in enumerate((range(40), range(0, 40, 2), range(20, 40))):
        chosen = Samples.joined([real.take(rows), synthetic.take(rows)])
        contents.write_mix(tmp_path / RUN.with_name(f"seed{seed}"), chosen, (real, synthetic))
    assert len(list((tmp_path / "study" / layout.IMAGE_LISTS).iterdir())) == 2
    shutil.move(tmp_path / "study", tmp_path / "moved")
    moved = contents.read_mix(tmp_path / "moved" / RUN.relative_to("study"))
    assert identities(moved) == identities([*real, *synthetic])
    aside = layout.set_aside(tmp_path / "moved" / RUN.relative_to("study"))
    assert len(contents.read_mix(aside)) == 80


@pytest.mark.usefixtures("arrays")
def test_few_of_a_large_list_have_one_to_themselves(tmp_path: Path) -> None:
    contents.write_mix(tmp_path / RUN, Samples(images(1000))[:20], (Samples(images(1000)),))
    (file,) = (tmp_path / "study" / layout.IMAGE_LISTS).iterdir()
    assert file.stat().st_size < 20 * 200


def test_a_long_list_takes_the_place_of_a_table_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most, name in ((6, layout.MIX), (5, layout.MIX_ROWS), (6, layout.MIX)):
        monkeypatch.setattr(image_lists, "MOST_ROWS", most)
        contents.write_mix(tmp_path / RUN, images(6))
        assert [path.name for path in (tmp_path / RUN).iterdir()] == [name]
        assert layout.mix_file(tmp_path / RUN).name == name
        assert identities(contents.read_mix(tmp_path / RUN)) == identities(images(6))


def list_file(folder: Path) -> Path:
    return next((folder / "study" / layout.IMAGE_LISTS).iterdir())


@pytest.mark.usefixtures("arrays")
@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-30]),
        lambda file: file.write_bytes(file.read_bytes().replace("猫".encode(), b"cat", 1)),
        lambda file: np.savez(file, x=np.zeros(3)),
    ],
)
def test_a_list_that_is_gone_or_damaged_is_named_and_written_again(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    contents.write_mix(tmp_path / RUN, images(5))
    file = list_file(tmp_path)
    whole = file.read_bytes()
    damage(file)
    image_lists._shared_list.cache_clear()
    with pytest.raises(UnreadableFileError, match=f"{layout.IMAGE_LISTS}/{file.stem}"):
        contents.read_mix(tmp_path / RUN)
    contents.write_mix(tmp_path / RUN, images(5))
    assert file.read_bytes() == whole


@given(st.data())
def test_any_damage_to_a_selection_is_noticed_or_of_no_consequence(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_lists, "MOST_ROWS", 0)
        run = Path(folder, RUN)
        contents.write_mix(run, images(9))
        content = (run / layout.MIX_ROWS).read_bytes()
        place = data.draw(st.integers(0, len(content) - 1))
        changed = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
        (run / layout.MIX_ROWS).write_bytes(data.draw(st.sampled_from([content[:place], changed])))
        with contextlib.suppress(UnreadableFileError):
            assert identities(contents.read_mix(run)) == identities(images(9))


def selection(**changes: Any) -> dict[str, Any]:
    """Arrays of a selection of no list, some of them changed."""
    arrays = {"lists": np.empty(0, "|u1"), "sizes": np.empty(0, "<i8"), "selected": np.empty(0, "|u1")}
    return arrays | changes


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.zeros(3)},
        selection(sizes=np.array([8], "<i8")),
        selection(lists=np.frombuffer(b"a\0", np.uint8), sizes=np.array([-8], "<i8")),
        selection(lists=np.frombuffer(b"a\0b\0", np.uint8), sizes=np.array([2**62, 2**62], "<i8")),
        selection(lists=np.frombuffer(b"../../a\0", np.uint8), sizes=np.array([0], "<i8")),
    ],
)
def test_foreign_selections_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_arrays(tmp_path / RUN / layout.MIX_ROWS, wrong)
    with pytest.raises(UnreadableFileError):
        contents.read_mix(tmp_path / RUN)


@pytest.mark.usefixtures("arrays")
def test_a_list_of_contradicting_columns_is_refused(tmp_path: Path) -> None:
    """Named by its hash, as a stranger could write it."""
    contents.write_mix(tmp_path / RUN, images(4))
    with np.load(list_file(tmp_path)) as archive:
        whole = dict(archive)
    for name, values in (("kind", [0, 1, 2, 99]), ("ends", [5, 4, 9, 12]), ("ends", [5]), ("hashes", [1] * 32)):
        changed = whole | {name: np.array(values, whole[name].dtype)}
        file = tmp_path / f"{image_lists._name_of(changed)}.npz"
        write_arrays(file, changed)
        with pytest.raises(ValueError, match=r"length|kind"):
            image_lists._read_list(file, file.stem)

"""A set against its manifest, and images made again against those that are stored."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug import locks
from synthaug.checked_rows import write_checked_rows
from synthaug.errors import UserError
from synthaug.generation.image_formats import MatchedFormats
from synthaug.generation.manifest import COLUMNS, ManifestRow
from synthaug.generation.synthetic_set import SyntheticSet
from synthaug.generation.verification import MOST_LEVELS, Repetition, file_problems, repeat
from tests.generation.test_image_formats import training
from tests.generation.test_synthetic_set import CLASSES, Painter, contents


class Drifting(Painter):
    """Makes images that differ by some levels from those of `Painter`, or other ones for single seeds."""

    def __init__(self, levels: int = 0, other: Sequence[int] = (), batch_size: int = 3) -> None:
        super().__init__(batch_size=batch_size)
        self.levels, self.other = levels, other

    def paint(self, prompt: str, seed: int) -> Image.Image:
        pixels = np.asarray(super().paint(prompt, seed + (seed in self.other))).astype(int)
        pixels[0, 0] += np.where(pixels[0, 0] > 127, -self.levels, self.levels)
        return Image.fromarray(pixels.astype(np.uint8))

    def provenance(self) -> dict[str, str]:
        return {**super().provenance(), "torch": "9.9", "weights": "2" * 64}


@pytest.fixture
def synthetic(tmp_path: Path) -> SyntheticSet:
    images = SyntheticSet(tmp_path, Painter())
    images.ensure({"cat": 4, "sea_lion": 3})
    return images


def rewrite(images: SyntheticSet, rows: Sequence[ManifestRow]) -> None:
    """Write another manifest, whole."""
    columns = COLUMNS
    write_checked_rows(
        images.folder / "manifest.csv", columns, [[getattr(row, name) for name in columns] for row in rows]
    )


def test_the_same_images_are_made_again_whatever_the_batch(synthetic: SyntheticSet) -> None:
    before = contents(synthetic.folder)
    for batch_size in (1, 100):
        again = SyntheticSet(synthetic.folder, Painter(batch_size=batch_size))
        repetitions, changes = repeat(again, CLASSES, 5, seed=0)
        assert [(item.mean, item.largest, item.is_same) for item in repetitions] == [(0, 0, True)] * 5
        assert changes == []
        assert again.generator.unloaded == 1  # type: ignore[attr-defined]
    assert contents(synthetic.folder) == before
    assert len(repeat(synthetic, CLASSES, 100, seed=0)[0]) == 7, "all, if there are fewer"


def test_the_choice_is_by_the_seed(synthetic: SyntheticSet) -> None:
    def chosen(seed: int) -> list[str]:
        return [item.image for item in repeat(synthetic, CLASSES, 3, seed)[0]]

    assert chosen(0) == chosen(0)
    assert len({tuple(chosen(seed)) for seed in range(10)}) > 3


def test_images_within_the_tolerance_are_the_same_and_changed_versions_are_named(synthetic: SyntheticSet) -> None:
    repetitions, changes = repeat(SyntheticSet(synthetic.folder, Drifting(levels=20)), CLASSES, 7, seed=0)
    assert all(item.is_same and item.largest == 20 for item in repetitions)
    assert changes == [f"weights: {'1' * 64} recorded, {'2' * 64} now", "torch: 0.3 recorded, 9.9 now"]
    repetitions, _ = repeat(SyntheticSet(synthetic.folder, Drifting(levels=80)), CLASSES, 7, seed=0)
    assert not any(item.is_same for item in repetitions)


def test_the_image_that_differs_is_named(synthetic: SyntheticSet) -> None:
    seed = next(row.seed for row in synthetic.rows() if (row.class_name, row.index) == ("cat", 2))
    repetitions, _ = repeat(SyntheticSet(synthetic.folder, Drifting(other=[seed])), CLASSES, 7, seed=0)
    differing = [item for item in repetitions if not item.is_same]
    assert [item.image for item in differing] == ["cat/000002.png"]
    assert differing[0].mean > 20


def test_images_in_the_format_of_real_ones_are_compared_as_they_are_stored(tmp_path: Path) -> None:
    real = training(tmp_path / "real")
    folder = tmp_path / "set"
    SyntheticSet(folder, Painter(), formats=MatchedFormats(folder, real)).ensure({"cat": 6})
    again = SyntheticSet(folder, Drifting(levels=1), formats=MatchedFormats(folder, real))
    repetitions, _ = repeat(again, ["cat"], 6, seed=0)
    assert all(item.is_same for item in repetitions)
    assert max(item.largest for item in repetitions) <= MOST_LEVELS


def test_images_that_cannot_be_compared_say_why(synthetic: SyntheticSet) -> None:
    (synthetic.folder / "cat" / "000000.png").write_bytes(b"text")
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "PNG")
    (synthetic.folder / "cat" / "000001.png").write_bytes(stream.getvalue())

    class Refusing(Painter):
        def sample(
            self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
        ) -> list[Image.Image | str]:
            pairs = zip(prompts, super().sample(prompts, seeds), strict=True)
            return ["a refusal" if prompt.endswith("sea lion") else image for prompt, image in pairs]

    repetitions, _ = repeat(SyntheticSet(synthetic.folder, Refusing()), CLASSES, 7, seed=0)
    problems = [item.problem for item in repetitions]
    assert problems[0].startswith("the stored file cannot be read: ")
    assert problems[1:] == ["9×9 pixels stored, 8×8 now", "", "", *["is rejected now: a refusal"] * 3]


def test_a_set_that_is_whole_has_no_problems(synthetic: SyntheticSet) -> None:
    assert file_problems(synthetic, CLASSES) == []


def test_every_disagreement_of_manifest_and_files_is_named(synthetic: SyntheticSet) -> None:
    folder, rows = synthetic.folder, synthetic.rows()
    (folder / "cat" / "000000.png").unlink()
    changed = folder / "cat" / "000001.png"
    changed.write_bytes(changed.read_bytes() + b"x")
    (folder / "cat" / "000002.png").write_bytes(b"half")
    (folder / "sea_lion" / "000077.png").write_bytes((folder / "sea_lion" / "000000.png").read_bytes())
    (folder / "sea_lion" / ".DS_Store").write_bytes(b"of a Mac")
    wrong = [replace(rows[4], sha256="f" * 64), replace(rows[5], seed=5)]
    rewrite(synthetic, [*rows[:4], *wrong, rows[6], replace(rows[6], class_name="owl")])
    problems = file_problems(synthetic, CLASSES)
    names = ["cat/000000.png", "cat/000001.png", "cat/000002.png", "sea_lion/000000.png"]
    assert [line.partition(":")[0] for line in problems] == [
        *names, "owl/000002", "sea_lion/000001", "sea_lion/000077.png"
    ]  # fmt: skip
    missing, bytes_changed, cut, wrong_hash, unknown, seed, extra = problems
    assert "missing" in missing
    assert "hash" in bytes_changed
    assert "not a whole image" in cut
    assert f"its row {'f' * 12}" in wrong_hash
    assert "'owl'" in unknown
    assert "its seed 5" in seed
    assert "without a row" in extra


def test_files_that_another_process_is_writing_are_no_problem(synthetic: SyntheticSet) -> None:
    (synthetic.folder / "cat" / "000009.png").write_bytes(b"new")
    assert len(file_problems(synthetic, CLASSES)) == 1
    with locks.exclusive(synthetic.folder / ".lock", "generates"):
        assert file_problems(synthetic, CLASSES) == []


def test_a_recipe_that_changed_is_refused(synthetic: SyntheticSet) -> None:
    changed = SyntheticSet(synthetic.folder, Painter(steps=7))
    with pytest.raises(UserError, match=r"generator\.steps"):
        changed.samples(CLASSES)


@pytest.mark.parametrize(
    ("item", "same"),
    [
        (Repetition("a", 1.0, 64.0), True),
        (Repetition("a", 1.01, 2.0), False),
        (Repetition("a", 0.1, 65.0), False),
        (Repetition("a", problem="gone"), False),
    ],
)
def test_the_tolerance(item: Repetition, same: bool) -> None:
    assert item.is_same == same

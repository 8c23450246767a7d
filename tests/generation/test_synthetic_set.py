"""The synthetic set: made once, resumed, shared between processes, never torn and never mixed.

Run as a script, this file is one process that grows a set:

    python tests/generation/test_synthetic_set.py <folder> <journal> <images per class> <seconds per batch> <batches>
"""

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthaug import files
from synthaug.data.payload import without_metadata
from synthaug.data.samples import SYNTHETIC
from synthaug.errors import UserError
from synthaug.generation.inventory import Inventory
from synthaug.generation.manifest import ManifestRow, read_manifest
from synthaug.generation.prompts import Prompts
from synthaug.generation.synthetic_set import SyntheticSet, image_seed

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["cat", "sea_lion"]


class Painter:
    """A generator that needs no model: noise from the seed. Every image made is a line in its journal."""

    is_guided = False

    def __init__(self, journal: Path | None = None, batch_size: int = 3, **settings: Any) -> None:
        self.prompt = settings.pop("prompt", "a photo of a {class_name}")
        self.negative_prompt = settings.pop("negative_prompt", 'blurry, "odd"\nlines')
        self.batch_size = batch_size
        self.more = settings
        self.journal = journal
        self.seeds: list[int] = []
        self.batches: list[int] = []
        self.unloaded = 0

    @property
    def settings(self) -> dict[str, Any]:
        return {"model": "painter", "guidance_scale": 7.5, **self.more}

    def check(self, classes: Sequence[str]) -> None:
        pass

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        assert len(prompts) == len(seeds)
        self.seeds += seeds
        self.batches.append(len(seeds))
        if self.journal is not None:
            with self.journal.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{seed}\n" for seed in seeds)
        return [self.paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def paint(self, prompt: str, seed: int) -> Image.Image:
        random = np.random.default_rng([*prompt.encode(), seed])
        return Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))

    def provenance(self) -> dict[str, str]:
        model = {"model": "painter", "revision": "abc", "weights": "1" * 64, "dtype": "float32"}
        sampling = {"scheduler": "DDIMScheduler", "steps": "16", "guidance": "7.5"}
        return {**model, **sampling, "diffusers": "0.1", "transformers": "0.2", "torch": "0.3", "python": "3.11"}

    def seed_provenance(self, seed: int) -> dict[str, str]:
        return {}

    def check_prompts(self, prompts: Sequence[str]) -> None:
        pass

    def unload(self) -> None:
        self.unloaded += 1


def contents(folder: Path) -> dict[str, bytes]:
    """Every image of a set by its path; asserts that nothing unfinished lies about."""
    everything = [path for path in folder.rglob("*") if path.is_file()]
    # A killed process leaves the file that says who holds the lock; the next one removes it.
    assert [
        path for path in everything if path.name.startswith(".") and not path.name.endswith((".lock", ".lock.holder"))
    ] == []
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in everything if path.suffix == ".png"}


def assert_consistent(synthetic: SyntheticSet, wanted: Mapping[str, int]) -> None:
    """Every image has one row and every row its image, whole and of the hash that the row says."""
    assert synthetic.count_missing(wanted) == 0
    samples = synthetic.samples(list(wanted))
    assert Counter(sample.class_name for sample in samples) == Counter(wanted)
    rows = synthetic.rows()
    assert len({(row.class_name, row.index) for row in rows}) == len(rows)
    assert set(contents(synthetic.folder)) == {s.path.relative_to(synthetic.folder).as_posix() for s in samples}
    for sample in samples:
        assert files.sha256(sample.path) == sample.sha256
        with Image.open(sample.path) as image:
            image.load()


def test_missing_images_are_made_once(tmp_path: Path) -> None:
    painter = Painter()
    synthetic = SyntheticSet(tmp_path / "set", painter)
    assert synthetic.count_missing({"cat": 5, "sea_lion": 2}) == 7
    assert not (tmp_path / "set").exists()
    assert synthetic.ensure({"cat": 5, "sea_lion": 2}) == 7
    assert painter.batches == [3, 3, 1]
    assert painter.unloaded == 1
    assert_consistent(synthetic, {"cat": 5, "sea_lion": 2})
    assert synthetic.ensure({"cat": 5, "sea_lion": 2}) == 0
    assert synthetic.ensure({"cat": 1}) == 0
    assert len(painter.seeds) == 7
    assert painter.unloaded == 1


def test_every_image_has_a_row_with_all_it_was_made_from(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"sea_lion": 2, "cat": 1})
    rows = SyntheticSet(tmp_path, Painter()).rows()
    assert [(row.class_name, row.index) for row in rows] == [("cat", 0), ("sea_lion", 0), ("sea_lion", 1)]
    prompt = "a photo of a sea lion"
    origin: dict[str, Any] = Painter().provenance()
    assert all(float(row.seconds) > 0 for row in rows)
    assert rows[2] == ManifestRow(
        class_name="sea_lion",
        index=1,
        rejected="",
        sha256=files.sha256(tmp_path / "sea_lion/000001.png"),
        prompt=prompt,
        negative_prompt="blurry, \"odd\"\nlines",
        seed=image_seed("sea_lion", prompt, 1),
        seconds=rows[2].seconds,
        payload=hashlib.sha256(without_metadata((tmp_path / "sea_lion/000001.png").read_bytes())).hexdigest(),
        size=(tmp_path / "sea_lion/000001.png").stat().st_size,
        **origin,
    )  # fmt: skip


def test_samples_are_labelled_in_the_order_of_the_classes(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"b": 2, "a": 1, "other": 1})
    samples = synthetic.samples(["b", "a"])
    assert [(sample.class_name, sample.label, sample.order) for sample in samples] == [
        ("a", 1, 0), ("b", 0, 0), ("b", 0, 1)
    ]  # fmt: skip
    assert {sample.origin for sample in samples} == {SYNTHETIC}
    assert SyntheticSet(tmp_path / "none", Painter()).samples(["a"]) == []


def test_growing_leaves_earlier_images_untouched(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"cat": 4})
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("cat/*.png")}
    rows = synthetic.rows()
    assert synthetic.ensure({"cat": 9, "sea_lion": 3}) == 8
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert synthetic.rows()[:4] == rows
    assert_consistent(synthetic, {"cat": 9, "sea_lion": 3})


def test_an_image_is_the_same_whichever_way_it_was_asked_for(tmp_path: Path) -> None:
    def generate(name: str, batch_size: int, *wishes: Mapping[str, int]) -> dict[str, bytes]:
        synthetic = SyntheticSet(tmp_path / name, Painter(batch_size=batch_size))
        for wanted in wishes:
            synthetic.ensure(wanted)
        return contents(tmp_path / name)

    once = generate("once", 100, {"cat": 6, "sea_lion": 5})
    assert len(once) == 11
    assert generate("turned", 4, {"sea_lion": 5, "cat": 6}) == once
    assert generate("bit by bit", 1, {"cat": 2}, {"sea_lion": 3}, {"cat": 6, "sea_lion": 5}) == once
    fewer = generate("fewer", 2, {"cat": 3})
    assert fewer == {name: once[name] for name in fewer}


def test_seeds_differ_by_class_prompt_and_index() -> None:
    names, texts = ["cat", "dog", "cat1"], ["a cat", "a dog"]
    seeds = [image_seed(name, text, index) for name in names for text in texts for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # Frozen: another rule for seeds would make another set under the settings of the old one.
    assert image_seed("cat", "a photo of a cat", 7) == 7660844309185622374


def test_another_series_has_other_images_of_the_same_prompts(tmp_path: Path) -> None:
    sets = [SyntheticSet(tmp_path / name, Painter(), series=name) for name in ("", "held out")]
    for images in sets:
        images.ensure({"cat": 5})
    prompts, seeds = ([getattr(row, name) for images in sets for row in images.rows()] for name in ("prompt", "seed"))
    assert prompts[:5] == prompts[5:]
    assert len(set(seeds)) == 10


def test_a_deleted_image_is_made_again_even_if_enough_others_are_there(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"cat": 6})
    before = contents(tmp_path)
    (tmp_path / "cat/000002.png").unlink()
    assert [sample.order for sample in synthetic.samples(["cat"])] == [0, 1, 3, 4, 5]
    assert synthetic.count_missing({"cat": 2}) == 0
    assert synthetic.count_missing({"cat": 4}) == 1
    again = Painter()
    assert SyntheticSet(tmp_path, again).ensure({"cat": 4}) == 1
    assert again.seeds == [image_seed("cat", "a photo of a cat", 2)]
    assert contents(tmp_path) == before
    assert_consistent(synthetic, {"cat": 6})


def test_the_manifest_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SyntheticSet(tmp_path, Painter()).ensure({"cat": 3})
    reads: list[Path] = []
    read = Inventory.read

    def counted(folder: Path) -> Inventory:
        reads.append(folder)
        return read(folder)

    monkeypatch.setattr(Inventory, "read", counted)
    images = SyntheticSet(tmp_path, Painter())
    for use in uses(images):
        use()
    assert reads == [tmp_path]
    SyntheticSet(tmp_path, Painter()).ensure({"cat": 4})  # as another process would
    assert len(images.samples(["cat"])) == 4


def test_class_names_in_any_script(tmp_path: Path) -> None:
    wanted = {"морской лев": 2, "犬": 1, "قط": 1, 'great white, "shark"': 1, "path": 1, "Ångström_unit": 1}
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure(wanted)
    assert_consistent(SyntheticSet(tmp_path, Painter()), wanted)
    assert {row.prompt for row in synthetic.rows() if row.class_name == "Ångström_unit"} == {
        "a photo of a Ångström unit"
    }


# --- settings --------------------------------------------------------------------------------------


def uses(images: SyntheticSet) -> list[Callable[[], object]]:
    """Everything that reads the set."""
    return [
        lambda: images.ensure({"cat": 1}), lambda: images.check({"cat": 1}),
        lambda: images.count_missing({"cat": 1}), lambda: images.samples(["cat"]),
    ]  # fmt: skip


def refusal(use: Callable[[], object]) -> list[str]:
    """The lines of the error."""
    with pytest.raises(UserError) as caught:
        use()
    return str(caught.value).splitlines()


def test_other_settings_are_refused_by_key_and_value(tmp_path: Path) -> None:
    SyntheticSet(tmp_path, Painter(steps=16)).ensure({"cat": 1})
    for use in uses(SyntheticSet(tmp_path, Painter(scheduler="DDIM", steps=20, crop=None))):
        headline, *changed, remedy = refusal(use)
        assert str(tmp_path) in headline
        assert [re.findall(r"generator\.\w+|None|'DDIM'|\d+", line) for line in changed] == [
            ["generator.scheduler", "None", "'DDIM'"], ["generator.steps", "16", "20"]
        ]  # fmt: skip
        assert "generator.name=<name>" in remedy


def test_other_prompts_are_refused_by_image(tmp_path: Path) -> None:
    SyntheticSet(tmp_path, Painter(), Prompts(["a {class_name}", "the {class_name}"])).ensure({"cat": 3, "dog": 1})
    changed_set = SyntheticSet(tmp_path, Painter(), Prompts(by_class={"cat": ["a cat"], "owl": ["an owl"]}))
    for use in uses(changed_set):
        headline, changed, remedy = refusal(use)
        assert str(tmp_path) in headline
        assert re.findall(r"image 1 of cat|'[^']+'", changed) == ["image 1 of cat", "'the cat'", "'a cat'"]
        assert "prompts.name=<name>" in remedy
    assert changed_set.ensure({"owl": 2}) == 2, "classes that are not requested do not matter"


def test_the_same_prompts_by_other_means_are_no_difference(tmp_path: Path) -> None:
    SyntheticSet(tmp_path, Painter()).ensure({"cat": 2})
    listed = Prompts(by_class={"cat": ["a photo of a cat"]})
    assert SyntheticSet(tmp_path, Painter(), listed).count_missing({"cat": 2}) == 0


def test_every_image_has_its_own_prompt(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter(), Prompts(["a {class_name}", "the {class_name}"]))
    synthetic.ensure({"cat": 3})
    assert [row.prompt for row in synthetic.rows()] == ["a cat", "the cat", "a cat"]
    assert len({row.seed for row in synthetic.rows()}) == 3
    with pytest.raises(UserError, match="'owl'"):
        SyntheticSet(tmp_path, Painter(), Prompts(by_class={"cat": ["x"]})).ensure({"owl": 1})


def test_a_set_that_grows_keeps_its_combinations_of_lists(tmp_path: Path) -> None:
    lists = {"place": ["in snow", "at home", "at sea"], "light": ["at dawn", "at night"]}
    prompts = Prompts(["a {class_name} {place} {light}"], lists=lists)
    for count in (2, 7):
        SyntheticSet(tmp_path / "grown", Painter(), prompts).ensure({"cat": count})
    SyntheticSet(tmp_path / "once", Painter(batch_size=10), prompts).ensure({"cat": 7})
    grown, once = ([(row.prompt, row.seed) for row in read_manifest(tmp_path / name)] for name in ("grown", "once"))
    assert grown == once
    assert len({text for text, _ in once}) == 6
    assert once[0][0] == once[6][0]
    with pytest.raises(UserError, match="other prompts"):
        SyntheticSet(tmp_path / "once", Painter(), Prompts(prompts.templates, lists={**lists, "light": ["x"]})).samples(
            ["cat"]
        )


def test_another_batch_size_is_no_difference(tmp_path: Path) -> None:
    SyntheticSet(tmp_path, Painter(batch_size=2)).ensure({"cat": 3})
    assert SyntheticSet(tmp_path, Painter(batch_size=5)).ensure({"cat": 7}) == 4


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_none_is_a_batch_of_one(tmp_path: Path, batch_size: int) -> None:
    assert SyntheticSet(tmp_path, Painter(batch_size=batch_size)).ensure({"cat": 2}) == 2


def test_a_generator_that_fails_at_once_claims_nothing(tmp_path: Path) -> None:
    class Broken(Painter):
        def provenance(self) -> dict[str, str]:
            raise UserError("no such model")

    broken = Broken(steps=1)
    with pytest.raises(UserError, match="no such model"):
        SyntheticSet(tmp_path, broken).ensure({"cat": 1})
    assert broken.unloaded == 1
    with pytest.raises(UserError, match="'a photo'"):
        SyntheticSet(tmp_path, Painter(prompt="a photo")).ensure({"cat": 1})
    assert SyntheticSet(tmp_path, Painter(steps=2)).ensure({"cat": 1}) == 1
    assert SyntheticSet(tmp_path, Painter(steps=2)).count_missing({"cat": 1}) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("set.json", "{"),
        ("set.json", "{}"),
        ("manifest.csv", "class_name,index\ncat,0\n"),
        ("manifest.csv", "class_name;index\ncat;0\n"),
        ("manifest.csv", "\x00\x00"),
        ("manifest.csv", ""),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, content: str) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"cat": 1})
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="is damaged") as caught:
        synthetic.samples(["cat"])
    assert str(tmp_path / name) in str(caught.value)
    assert "move" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda rows: [*rows, rows[2]],
        lambda rows: [*rows[:-2], rows[-2][:-12], rows[-1]],
        lambda rows: [*rows[:-2], rows[-2].replace('"', "", 1), rows[-1]],
        lambda rows: [*rows[:-1], rows[-1].replace("a photo of", "a painting of")],
        lambda rows: [rows[0], *(re.sub(r",\d{10,},", ",12345,", row) for row in rows[1:])],
        lambda rows: [rows[0], rows[1].replace("cat,0", "cat,1"), *rows[2:]],
        lambda rows: [rows[0].replace("seed", "sead"), *rows[1:]],
    ],
)
def test_a_manifest_that_is_not_what_was_written_is_damaged(
    tmp_path: Path, damage: Callable[[list[str]], list[str]]
) -> None:
    SyntheticSet(tmp_path, Painter()).ensure({"cat": 3})
    manifest = tmp_path / "manifest.csv"
    rows = re.split(r"(?<=\n)(?=cat,)", manifest.read_text(encoding="utf-8"))  # a cell may have several lines
    assert len(read_manifest(tmp_path)) == len(rows) - 1
    assert damage(rows) != rows
    manifest.write_text("".join(damage(rows)), encoding="utf-8")
    with pytest.raises(UserError, match="is damaged") as caught:
        read_manifest(tmp_path)
    assert str(manifest) in str(caught.value)


# --- rejected images -------------------------------------------------------------------------------


class Censored(Painter):
    """Blacks out the images of these classes and indices."""

    def __init__(self, black: Mapping[str, Sequence[int]], **settings: Any) -> None:
        super().__init__(**settings)
        texts = {name: f"a photo of a {name}" for name in black}
        self.black = {image_seed(name, texts[name], index) for name in black for index in black[name]}

    def paint(self, prompt: str, seed: int) -> Image.Image:
        return Image.new("RGB", (8, 8)) if seed in self.black else super().paint(prompt, seed)


def test_flat_images_have_a_row_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    painter = Censored({"cat": [0, 3, 5]}, batch_size=4)
    synthetic = SyntheticSet(tmp_path, painter)
    with caplog.at_level("WARNING", "synthaug"):
        assert synthetic.ensure({"cat": 4, "dog": 2}) == 6
    assert "3 more were rejected" in caplog.text
    assert_consistent(synthetic, {"cat": 4, "dog": 2})
    assert [sample.order for sample in synthetic.samples(["cat"])] == [1, 2, 4, 6]
    rejected = [row for row in synthetic.rows() if row.rejected]
    assert [(row.index, row.sha256) for row in rejected] == [(0, ""), (3, ""), (5, "")]
    assert {row.rejected for row in rejected} == {"one flat colour (safety checker or overflow)"}
    # They are not tried again.
    assert synthetic.ensure({"cat": 5}) == 1
    assert len(painter.seeds) == 6 + 3 + 1


def test_a_class_that_is_always_black_stops_the_work(tmp_path: Path) -> None:
    painter = Censored({"dog": range(1000)}, batch_size=4)
    with pytest.raises(UserError, match=r"(2\d) of \1 images of class 'dog' were rejected: one flat colour") as caught:
        SyntheticSet(tmp_path, painter).ensure({"cat": 2, "dog": 500})
    assert "'a photo of a dog'" in str(caught.value)
    assert f"delete {tmp_path}" in str(caught.value)
    assert len(painter.seeds) < 2 + 20 + 4
    assert painter.unloaded == 1
    assert len(SyntheticSet(tmp_path, painter).samples(["cat", "dog"])) == 2
    again = Censored({"dog": range(1000)})
    with pytest.raises(UserError, match="were rejected"):
        SyntheticSet(tmp_path, again).ensure({"cat": 2, "dog": 500})
    assert again.seeds == []


@pytest.mark.parametrize(("rejected", "stops"), [(18, False), (19, True)])
def test_more_than_nine_of_ten_candidates_of_twenty_stop_the_work(tmp_path: Path, rejected: int, stops: bool) -> None:
    painter = Censored({"dog": range(rejected)}, batch_size=20)
    synthetic = SyntheticSet(tmp_path, painter)
    if stops:
        with pytest.raises(UserError, match=r"19 of 20 .*'dog'"):
            synthetic.ensure({"dog": 20})
    else:
        assert synthetic.ensure({"dog": 20}) == 20
    few = Censored({"dog": range(19)}, batch_size=19)
    assert SyntheticSet(tmp_path / "few", few).ensure({"dog": 19}) == 19, "nineteen candidates are too few"


# --- the model that made it ------------------------------------------------------------------------


class Reloaded(Painter):
    """A generator whose provenance is set by hand; its settings stay the same."""

    def __init__(self, **provenance: str) -> None:
        super().__init__()
        self.changed = provenance

    def provenance(self) -> dict[str, str]:
        return {**super().provenance(), **self.changed}


@pytest.mark.parametrize(("key", "recorded", "current"), [
    ("revision", "abc", "def"), ("weights", "1" * 64, "2" * 64), ("dtype", "float32", "float16")
])  # fmt: skip
def test_a_set_does_not_grow_by_another_model(key: str, recorded: str, current: str, tmp_path: Path) -> None:
    SyntheticSet(tmp_path, Reloaded(**{key: recorded})).ensure({"cat": 2})
    assert [getattr(row, key) for row in SyntheticSet(tmp_path, Painter()).rows()] == [recorded, recorded]
    before = contents(tmp_path)
    reloaded = Reloaded(**{key: current})
    grown = SyntheticSet(tmp_path, reloaded)
    assert grown.ensure({"cat": 2}) == 0  # nothing to generate, nothing to mix
    headline, changed, remedy = refusal(lambda: grown.ensure({"cat": 3}))
    assert str(tmp_path) in headline
    assert re.findall(rf"\b({key}|{recorded}|{current})\b", changed) == [key, recorded, current]
    assert "generator.name=<name>" in remedy
    assert (reloaded.seeds, reloaded.unloaded, contents(tmp_path)) == ([], 1, before)
    assert SyntheticSet(tmp_path, Reloaded(**{key: recorded})).ensure({"cat": 3}) == 1


def test_what_the_seed_decides_stands_in_the_row_of_its_image(tmp_path: Path) -> None:
    class Drawing(Painter):
        def seed_provenance(self, seed: int) -> dict[str, str]:
            return {"guidance": str(seed % 7)}

    synthetic = SyntheticSet(tmp_path, Drawing())
    synthetic.ensure({"cat": 3})
    assert [row.guidance for row in synthetic.rows()] == [str(row.seed % 7) for row in synthetic.rows()]


def test_prompts_are_checked_once_and_before_the_first_image(tmp_path: Path) -> None:
    class Strict(Painter):
        def check_prompts(self, prompts: Sequence[str]) -> None:
            assert self.seeds == []
            raise UserError(f"too long: {', '.join(prompts)}")

    strict = Strict()
    with pytest.raises(UserError, match="too long: a photo of a cat, a photo of a dog"):
        SyntheticSet(tmp_path, strict).ensure({"cat": 2, "dog": 2})
    assert (strict.seeds, strict.unloaded) == ([], 1)


def test_an_image_that_could_not_be_made_is_rejected_with_the_reason(tmp_path: Path) -> None:
    class Overflowing(Painter):
        def sample(
            self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
        ) -> list[Image.Image | str]:
            return [
                "not a number" if seed % 2 else image
                for seed, image in zip(seeds, super().sample(prompts, seeds), strict=True)
            ]

    synthetic = SyntheticSet(tmp_path, Overflowing())
    assert synthetic.ensure({"cat": 4}) == 4
    rejected = [row for row in synthetic.rows() if row.rejected]
    assert rejected
    assert {(row.rejected, row.sha256, row.seed % 2) for row in rejected} == {("not a number", "", 1)}
    assert_consistent(synthetic, {"cat": 4})


# --- what goes wrong in the middle -----------------------------------------------------------------


def test_a_full_disk_loses_no_finished_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"cat": 9}
    write_bytes = Path.write_bytes
    saved: list[Path] = []

    def full(path: Path, content: bytes) -> int:
        if len(saved) == 5:
            write_bytes(path, b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    synthetic = SyntheticSet(tmp_path, Painter(batch_size=3))
    with pytest.raises(OSError, match="No space left"):
        synthetic.ensure(wanted)
    monkeypatch.undo()
    assert_consistent(synthetic, {"cat": 5})
    rest = Painter(batch_size=3)
    assert SyntheticSet(tmp_path, rest).ensure(wanted) == 4
    assert rest.seeds == [image_seed("cat", "a photo of a cat", index) for index in range(5, 9)]
    assert_consistent(synthetic, wanted)


def test_what_cannot_be_saved_stops_sampling_after_the_batch_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_once(path: Path, content: bytes) -> int:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_once)
    painter = Painter(batch_size=2)
    with pytest.raises(OSError, match="No space left"):
        SyntheticSet(tmp_path, painter).ensure({"cat": 40})
    assert painter.batches == [2, 2]
    assert painter.unloaded == 1


def test_a_manifest_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic = SyntheticSet(tmp_path, Painter(batch_size=2))
    synthetic.ensure({"cat": 2})
    manifest = (tmp_path / "manifest.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        synthetic.ensure({"cat": 6})
    monkeypatch.undo()
    assert (tmp_path / "manifest.csv").read_bytes() == manifest
    assert len(synthetic.samples(["cat"])) == 2
    synthetic.ensure({"cat": 6})
    assert_consistent(synthetic, {"cat": 6})


def test_what_a_killed_process_left_half_done_is_made_anew(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"cat": 3})
    (tmp_path / "cat/000003.png").write_bytes(b"torn, and without a row")
    for leftover in ("cat/.000004-0a1b2c3d.png", ".manifest-0a1b2c3d.csv", ".set-0a1b2c3d.json"):
        (tmp_path / leftover).write_bytes(b"half")
    assert [sample.order for sample in synthetic.samples(["cat"])] == [0, 1, 2]
    assert synthetic.ensure({"cat": 5}) == 2
    assert_consistent(synthetic, {"cat": 5})


def test_an_image_that_is_made_again_has_no_old_row_while_that_lasts(tmp_path: Path) -> None:
    SyntheticSet(tmp_path, Painter()).ensure({"cat": 3})
    (tmp_path / "cat/000001.png").unlink()
    lines: list[str] = []

    class Watching(Painter):
        def sample(
            self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
        ) -> list[Image.Image | str]:
            lines.extend((tmp_path / "manifest.csv").read_text(encoding="utf-8").split("\ncat,")[1:])
            return super().sample(prompts, seeds)

    SyntheticSet(tmp_path, Watching()).ensure({"cat": 3})
    assert [line[0] for line in lines] == ["0", "2"]
    assert_consistent(SyntheticSet(tmp_path, Painter()), {"cat": 3})


# --- several processes -----------------------------------------------------------------------------


def start(folder: Path, journal: Path, amount: int, lives: int = -1) -> "subprocess.Popen[str]":
    arguments = [str(value) for value in (folder, journal, amount, lives)]
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_process_is_resumed_and_nothing_is_made_twice(tmp_path: Path) -> None:
    folder, journal = tmp_path / "set", tmp_path / "journal"
    hangs = tmp_path / "journal.hangs"
    process = start(folder, journal, 5, lives=2)
    with process:
        wait_for(hangs.exists, process)  # two batches of three are sampled, and the third is being sampled
        wait_for(lambda: len(read_manifest(folder)) == 6, process)  # the second one is saved meanwhile
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(journal.read_text(encoding="utf-8").split()) == 6

    painter = Painter(journal)
    synthetic = SyntheticSet(folder, painter)
    assert_consistent(synthetic, {"cat": 5, "sea_lion": 1})
    assert synthetic.ensure({"cat": 5, "sea_lion": 5}) == 4
    assert_consistent(synthetic, {"cat": 5, "sea_lion": 5})
    assert not list(folder.rglob("*.holder"))
    assert Counter(journal.read_text(encoding="utf-8").split()).most_common(1)[0][1] == 1
    SyntheticSet(tmp_path / "in one go", Painter()).ensure({"cat": 5, "sea_lion": 5})
    assert contents(folder) == contents(tmp_path / "in one go")


def test_two_processes_make_one_set_between_them(tmp_path: Path) -> None:
    folder, journal = tmp_path / "set", tmp_path / "journal"
    first = start(folder, journal, 10, lives=2)
    with first:
        wait_for(journal.with_name("journal.hangs").exists, first)
        second = start(folder, journal, 10)
        with second:
            assert second.stderr is not None
            assert any("Waiting for another process" in line for line in iter(second.stderr.readline, ""))
            journal.with_name("journal.goes_on").touch()
            outputs = [process.communicate(timeout=60) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], outputs
    assert [int(out) for out, _ in outputs] == [20, 0]
    seeds = journal.read_text(encoding="utf-8").split()
    assert len(seeds) == len(set(seeds)) == 20
    assert_consistent(SyntheticSet(folder, Painter()), {"cat": 10, "sea_lion": 10})


class Hanging(Painter):
    """Hangs after `lives` batches, until a file says that it goes on."""

    def __init__(self, journal: Path, lives: int) -> None:
        super().__init__(journal)
        self.lives = lives

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        assert self.journal is not None
        if self.lives == 0:
            self.journal.with_name("journal.hangs").touch()
            while not self.journal.with_name("journal.goes_on").exists():
                time.sleep(0.01)
        self.lives -= 1
        return super().sample(prompts, seeds)


def main() -> None:
    folder, journal, amount, lives = sys.argv[1:]
    painter = Hanging(Path(journal), int(lives))
    print(SyntheticSet(Path(folder), painter).ensure(dict.fromkeys(CLASSES, int(amount))))


if __name__ == "__main__":
    main()


def test_prompts_are_shown_and_doubted_once_before_anything_is_sampled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = Prompts(["a sketch of a {class_name}"])
    announced: set[str] = set()  # by one command
    with caplog.at_level("INFO", "synthaug"):
        for name in ("first", "second"):
            SyntheticSet(tmp_path / name, Painter(), prompts, announced=announced).check({"emu": 2, "yak": 2})
    assert ["emu: a sketch of a emu" in caplog.text, caplog.text.count("yak: a sketch of a yak")] == [True, 1]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert "an emu" in caplog.records[1].getMessage()


class Renamed(Painter):
    def provenance(self) -> dict[str, str]:
        return {**super().provenance(), "revision": "b"}


def test_what_is_written_about_an_image_does_not_change_its_random_numbers(tmp_path: Path) -> None:
    sets = [SyntheticSet(tmp_path / kind.__name__, kind()) for kind in (Painter, Renamed)]
    assert [synthetic.ensure({"cat": 3}) for synthetic in sets] == [3, 3]
    first, second = (synthetic.samples(["cat"]) for synthetic in sets)
    assert all(left.sha256 != right.sha256 for left, right in zip(first, second, strict=True))
    assert [sample.random_key for sample in first] == [sample.random_key for sample in second]
    assert len({sample.random_key for sample in first}) == 3

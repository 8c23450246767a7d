"""Screening as a source of synthetic images: what is kept, recorded, topped up and refused."""

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from synthaug.data.fingerprints import fingerprint, near_duplicates
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import RealImages, scan
from synthaug.errors import UserError
from synthaug.files import sha256
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.generation.synthetic_set import SyntheticImages, SyntheticSet, image_seed
from synthaug.screening import screened_images
from synthaug.screening.criterion import Candidate, RealReferences
from synthaug.screening.screened_images import ScreenedImages
from synthaug.screening.settings import ScreeningSettings
from synthaug.screening.verdicts import (
    CRITERIA,
    DUPLICATE,
    LISTED,
    TEST_COPY,
    TRAIN_COPY,
    UNREADABLE,
    VAL_COPY,
    VERDICTS,
    Verdict,
)
from tests.factories.commands import Painter
from tests.factories.images import SPLIT_FOLDERS, write_dataset
from tests.factories.origins import picture

SIZE = (64, 48)
Substitute = Callable[[int], Image.Image | str | None]


class Copyist(Painter):
    """Paints the picture of an image's number in its class; `substitute` puts another in its place."""

    def __init__(self, substitute: Substitute = lambda number: None, batch_size: int = 4) -> None:
        super().__init__("{class_name}", batch_size)
        self.substitute = substitute
        self.numbers: dict[str, list[int]] = {}
        self.unloaded_after: list[int] = []

    def unload(self) -> None:
        self.unloaded_after.append(sum(map(len, self.numbers.values())))

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        images: list[Image.Image | str] = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            listed = self.numbers.setdefault(prompt, [])
            listed += [] if seed in listed else [seed]
            number = listed.index(seed)
            images.append(self.substitute(number) or picture(10_000 * (prompt == "dog") + 5000 + number, SIZE))
        return images


@pytest.fixture
def real(tmp_path: Path) -> RealImages:
    root = write_dataset(tmp_path / "data", train=6, val=2, test=3, size=SIZE)
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        picture(number, SIZE).save(path)
    return scan(root, SPLIT_FOLDERS)


def references(real: RealImages) -> RealReferences:
    return RealReferences((), real.train, real.val, real.test)


def screen(images: SyntheticImages, real: RealImages, **changed: Any) -> ScreenedImages:
    store = PixelStore(images.folder.parent / "pixels", 64)
    return ScreenedImages(images, ScreeningSettings(name="mine", **changed), references(real), store)


def altered(path: Path) -> Image.Image:
    """A mirrored, cropped and re-encoded copy."""
    with Image.open(path) as opened:
        mirrored = ImageOps.mirror(opened.convert("RGB"))
    stream = io.BytesIO()
    mirrored.crop((1, 1, mirrored.width - 1, mirrored.height - 1)).save(stream, "JPEG", quality=80)
    return Image.open(stream).convert("RGB")


def rows(screened: ScreenedImages, *classes: str) -> dict[str, tuple[bool, str, str]]:
    return {v.image: (v.kept, v.reason, v.match) for v in screened.verdicts(classes or ("cat", "dog"))}


def test_what_is_kept_is_listed_and_what_is_rejected_is_topped_up(tmp_path: Path, real: RealImages) -> None:
    copies: Mapping[int, Image.Image | str] = {
        0: altered(real.test[0].path),
        2: altered(real.val[0].path),
        3: altered(real.train[0].path),
        4: altered(real.train[-1].path),
        5: "a safety checker",
        7: ImageOps.mirror(altered(real.train[0].path)),
    }
    generator = Copyist(copies.get)
    screened = screen(SyntheticSet(tmp_path / "set", generator), real, test_copies="drop")
    assert screened.count_missing({"cat": 5}) == 5
    assert screened.ensure({"cat": 5}) == 8, "two of five are lacking, and of five three are kept: three more"
    assert generator.unloaded_after == [9], "topping up does not load the model again"
    assert [sample.order for sample in screened.samples(["cat"])] == [1, 3, 4, 6, 8]
    assert screened.ensure({"cat": 5}) == 0
    assert screened.count_missing({"cat": 5}) == 0
    verdicts = rows(screened, "cat")
    assert verdicts["cat/000000.png"] == (False, TEST_COPY, str(real.test[0].path))
    assert verdicts["cat/000002.png"] == (False, VAL_COPY, str(real.val[0].path))
    assert verdicts["cat/000003.png"] == (True, TRAIN_COPY, str(real.train[0].path))
    assert verdicts["cat/000004.png"] == (True, TRAIN_COPY, str(real.train[-1].path)), "of whatever class"
    assert verdicts["cat/000005"] == (False, "generator: a safety checker", "")
    assert verdicts["cat/000007.png"] == (False, DUPLICATE, "cat/000003.png"), "a copy of what is counted, too"
    record = screened.record({"cat": 5, "dog": 0})
    assert record["classes"]["cat"]["copies"] == 2
    assert record["classes"]["cat"]["rejected"] == {
        TEST_COPY: 1, VAL_COPY: 1, DUPLICATE: 1, "generator: a safety checker": 1
    }  # fmt: skip


@given(verdicts=st.lists(st.booleans(), min_size=400, max_size=400), count=st.integers(1, 20), cut=st.data())
def test_who_is_stopped_requests_what_the_others_do(verdicts: list[bool], count: int, cut: st.DataObject) -> None:
    """A request depends on no verdict beyond the one before, and is no less than what is needed."""
    rows = [Verdict("cat", f"{number}.png", "", kept) for number, kept in enumerate(verdicts)]
    ends = [screened_images.request(rows[:0], count)]
    while (following := screened_images.request(rows[: ends[-1]], count)) != ends[-1] and following <= len(rows):
        ends.append(following)
    assert ends[0] == count
    for before, end in zip([0, *ends], ends, strict=False):
        part = cut.draw(st.integers(before, end - 1))
        assert screened_images.request(rows[:part], count) == end
    if following <= len(rows):
        assert sum(verdicts[: ends[-1]]) >= count


def test_a_set_that_several_judge_is_topped_up_as_by_one(tmp_path: Path, real: RealImages) -> None:
    """Three threads, as processes on nodes of their own: the verdicts and the images of one."""
    repeated = {number: picture(7, SIZE) for number in (1, 2, 4, 5, 7, 8)}

    def made(folder: Path, processes: int, parts: int) -> tuple[list[int], dict[str, tuple[bool, str, str]], list[str]]:
        def ensure(_: int) -> int:
            generator = Copyist(batch_size=2)
            generator.sample = lambda prompts, seeds, sources=None: [  # type: ignore[method-assign]
                repeated.get(numbers[seed]) or picture(5000 + numbers[seed], SIZE) for seed in seeds
            ]
            return screen(SyntheticSet(folder, generator, parts=parts), real).ensure({"cat": 6})

        with ThreadPoolExecutor(processes) as pool:
            generated = list(pool.map(ensure, range(processes)))
        screened = screen(SyntheticSet(folder, Copyist()), real)
        return generated, rows(screened, "cat"), sorted(sha256(path) for path in (folder / "cat").iterdir())

    numbers = {image_seed("cat", "cat", number): number for number in range(100)}
    alone, verdicts, images = made(tmp_path / "alone" / "set", 1, 1)
    together = made(tmp_path / "together" / "set", 3, 4)
    assert sum(alone) > 6
    assert sum(together[0]) == sum(alone)
    assert together[1:] == (verdicts, images)


def test_copies_of_test_images_stop_by_default_with_pictures(tmp_path: Path, real: RealImages) -> None:
    root = write_dataset(tmp_path / "pool", ("cat", "dog"), train=3, val=0, test=0, size=SIZE) / "train"
    altered(real.test[1].path).save(root / "dog" / "hidden.jpg")
    for strict, kept in (("stop", 0), ("drop", 3)):
        screened = screen(FolderPool(tmp_path / "verdicts", FolderGenerator(str(root))), real, test_copies=strict)
        if not kept:
            with pytest.raises(UserError, match="1 synthetic image is a copy of validation or test images") as error:
                screened.check({"cat": 1, "dog": 1})
            assert f"{root / 'dog/hidden.jpg'}  =  {real.test[1].path}" in str(error.value)
            sheet = screened.verdict_folder / screened_images.COPIES_SHEET
            with Image.open(sheet) as opened:
                assert opened.width > 4 * 64
        else:
            screened.check({"cat": 1, "dog": kept})
            assert len(screened.samples(["cat", "dog"])) == 2 * kept
    assert sheet.parent == screened.verdict_folder, "stopping and dropping share their verdicts"
    ignoring = screen(screened.images, real, test_copies="ignore", train_copies="drop")
    assert len(ignoring.samples(["cat", "dog"])) == 7
    assert ignoring.verdict_folder != screened.verdict_folder


@settings(max_examples=12, deadline=None)
@given(
    steps=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    chunk=st.integers(1, 9),
    batch=st.integers(1, 7),
    repeats=st.dictionaries(st.integers(1, 15), st.integers(0, 14), max_size=6),
)
def test_a_verdict_does_not_depend_on_steps_and_batches(
    steps: list[int], chunk: int, batch: int, repeats: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("set")

    def substitute(number: int) -> Image.Image | None:
        return ImageOps.mirror(picture(repeats[number], SIZE)) if number in repeats else picture(number, SIZE)

    def verdicts(name: str, requests: Sequence[int], size: int) -> list[Verdict]:
        images = SyntheticSet(folder / name, Copyist(substitute, batch))
        nothing = RealImages(["cat"], [], [], [])
        screened = screen(images, nothing)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(screened_images, "_CHUNK", size)
            for request in requests:
                screened.ensure({"cat": request})
        again = screen(images, nothing).verdicts(["cat"])
        assert again == screened.verdicts(["cat"])
        return again

    first, second = verdicts("steps", steps, chunk), verdicts("once", [max(steps)], 256)
    shared = min(len(first), len(second))
    assert first[:shared] == second[:shared]
    assert sum(verdict.kept for verdict in first) >= max(steps)


def test_what_was_screened_is_not_screened_again(
    tmp_path: Path, real: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = SyntheticSet(tmp_path / "set", Copyist())
    judged: list[str] = []
    judge_chunk = ScreenedImages._judge_chunk

    def spy(self: ScreenedImages, chunk: Sequence[Candidate]) -> list[Verdict]:
        judged.extend(candidate.image for candidate in chunk)
        return judge_chunk(self, chunk)

    monkeypatch.setattr(ScreenedImages, "_judge_chunk", spy)
    screen(images, real).ensure({"cat": 3, "dog": 3})
    first = list(judged)
    screen(images, real).ensure({"cat": 5, "dog": 2})
    assert judged == [*first, "cat/000003.png", "cat/000004.png"]
    judged.clear()
    fewer = RealImages(real.classes, real.train, real.val, real.test[1:])
    screen(images, fewer).ensure({"cat": 1})
    assert len(judged) == 1, "other real images, other verdicts"


def test_a_class_of_which_everything_is_rejected_stops_with_the_reason(tmp_path: Path, real: RealImages) -> None:
    generator = Copyist(lambda number: picture(7, SIZE))
    screened = screen(SyntheticSet(tmp_path / "set", generator), real)
    with pytest.raises(UserError, match=rf"of \d\d images of cat: {DUPLICATE}: \d\d"):
        screened.ensure({"cat": 4})
    with pytest.raises(UserError, match="rejects nearly everything"):
        screen(SyntheticSet(tmp_path / "set", Copyist()), real).ensure({"cat": 4})


def test_a_pool_of_which_too_few_are_kept_says_so_by_class(tmp_path: Path, real: RealImages) -> None:
    root = write_dataset(tmp_path / "pool", ("cat", "dog"), train=4, val=0, test=0, size=SIZE) / "train"
    for number in range(3):
        altered(root / "dog" / "000.png").save(root / "dog" / f"again{number}.jpg", quality=90 - number)
    Image.new("RGB", SIZE).save(root / "dog" / "black.png")
    (root / "dog" / "same.png").write_bytes((root / "dog" / "001.png").read_bytes())

    def pool(partial: bool) -> ScreenedImages:
        return screen(FolderPool(tmp_path / f"verdicts {partial}", FolderGenerator(str(root), partial)), real)

    for request in (pool(False).check, pool(False).ensure):
        with pytest.raises(UserError, match=r"dog: 4 of 6 \(near duplicate in its class: 3, generator: one flat"):
            request({"cat": 4, "dog": 6})
    assert pool(True).ensure({"cat": 4, "dog": 6}) == 0
    assert pool(True).available({"cat": 4, "dog": 6}) == {"cat": 4, "dog": 4}
    assert rows(pool(True))["dog/same.png"][1:] == ("generator: a file that is there already", "dog/001.png")
    with pytest.raises(UserError, match=r"dog: 7 of 9; 1 one flat colour .*, 1 a file that is there already"):
        pool(False).check({"cat": 4, "dog": 9})


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_verdicts_that_disagree_with_the_files_are_named_and_given_anew(
    tmp_path: Path, real: RealImages, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_dataset(tmp_path / "pool", ("cat", "dog"), train=4, val=0, test=0, size=SIZE) / "train"

    def samples() -> list[str]:
        caplog.clear()
        screened = screen(FolderPool(tmp_path / "verdicts", FolderGenerator(str(root))), real)
        kept = [sample.path.name for sample in screened.samples(["cat"])]
        assert [verdict.image for verdict in screened.verdicts(["cat"]) if verdict.kept] == [f"cat/{n}" for n in kept]
        return kept

    assert len(samples()) == 4
    assert caplog.text == ""
    (verdicts,) = (tmp_path / "verdicts").glob(f"screening-*/{VERDICTS}")
    edit(verdicts, ",yes,", ",no,")
    assert len(samples()) == 4
    assert f"{verdicts}: 1 line is not as written (line 2)" in caplog.text
    picture(99, SIZE).save(root / "cat" / "001.png")
    assert len(samples()) == 4
    assert "cat/001.png: its file has changed; cat is screened again from there on" in caplog.text
    (root / "cat" / "002.png").unlink()
    assert samples() == ["000.png", "001.png", "003.png"]
    assert "cat/002.png: its file has gone" in caplog.text
    picture(100, SIZE).save(root / "cat" / "0000.png")
    assert len(samples()) == 4
    assert "cat/001.png: images before it are new" in caplog.text
    edit(verdicts.with_name(CRITERIA), '"drop"', '"ignore"')
    with pytest.raises(UserError, match="is not as it was written"):
        samples()
    verdicts.with_name(CRITERIA).unlink()
    with pytest.raises(UserError, match="does not belong to the verdicts beside it"):
        samples()


def test_a_generated_image_that_is_no_longer_whole_is_rejected(tmp_path: Path, real: RealImages) -> None:
    images = SyntheticSet(tmp_path / "set", Copyist())
    images.ensure({"cat": 3})
    path = images.samples(["cat"])[1].path
    path.write_bytes(bytes(path.stat().st_size))
    screened = screen(images, real)
    screened.ensure({"cat": 3})
    assert rows(screened)["cat/000001.png"][:2] == (False, UNREADABLE)
    assert [sample.order for sample in screened.samples(["cat"])] == [0, 2, 3]


def test_a_real_image_that_was_deleted_since_is_named(tmp_path: Path, real: RealImages) -> None:
    screened = screen(SyntheticSet(tmp_path / "set", Copyist()), real)
    real.train[2].path.unlink()
    with pytest.raises(UserError, match=rf"1 real image that .*cannot be read:\n  - {real.train[2].path}: "):
        screened.ensure({"cat": 1})


def test_a_reject_list_is_obeyed_and_its_mistakes_named(tmp_path: Path, real: RealImages) -> None:
    images = SyntheticSet(tmp_path / "set", Copyist())
    images.ensure({"cat": 3, "dog": 2})
    by_hash = images.samples(["dog"])[1]
    listed = tmp_path / "bad.txt"
    listed.write_text(f"cat/000000.png # six legs\n{by_hash.sha256.upper()}\n\n", encoding="utf-8")
    screened = screen(images, real, reject_list=str(listed))
    assert screened.ensure({"cat": 3, "dog": 2}) == 3
    assert rows(screened)["cat/000000.png"][:2] == rows(screened)["dog/000001.png"][:2] == (False, LISTED)
    assert [sample.order for sample in screened.samples(["cat"])] == [1, 2, 3]
    table = tmp_path / "bad.csv"
    table.write_text(f"why,path\nsix legs,{by_hash.path}\n", encoding="utf-8")
    screened = screen(images, real, reject_list=str(table))
    screened.ensure({"dog": 2, "cat": 1})
    assert [verdict.image for verdict in screened.verdicts(["cat", "dog"]) if not verdict.kept] == ["dog/000001.png"]
    assert sha256(by_hash.path) == by_hash.sha256
    table.write_text("path\ncat/000099.png\n000000.png\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"2 entries name no image of the set:\n  - cat/000099.png\n  - 000000.png"):
        screen(images, real, reject_list=str(table)).ensure({"cat": 1})
    for content in (b"", b"\xff\xfe"):
        table.write_bytes(content)
        with pytest.raises(UserError, match=r"screening\.reject_list="):
            screen(images, real, reject_list=str(table))
    with pytest.raises(UserError, match="cannot be read"):
        screen(images, real, reject_list=str(tmp_path / "none.csv"))


def test_two_screenings_of_one_set_work_side_by_side(
    tmp_path: Path, real: RealImages, caplog: pytest.LogCaptureFixture
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def run(number: int) -> list[Verdict]:
        screened = screen(SyntheticSet(tmp_path / "set", Copyist()), real)
        screened.ensure({"cat": 6, "dog": 6})
        return screened.verdicts(["cat", "dog"])

    with caplog.at_level(logging.ERROR), ThreadPoolExecutor(3) as threads:
        results = list(threads.map(run, range(3)))
    assert results[0] == results[1] == results[2]
    assert len({verdict.image for verdict in results[0]}) == len(results[0]) == 12


@pytest.mark.parametrize("size", [1, 2, 256])
def test_a_copy_of_a_rejected_copy_alone_is_kept(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screened_images, "_CHUNK", size)
    first = picture(1, (200, 160))
    second = first.crop((16, 12, 200, 160))
    third = second.crop((16, 12, 184, 148))
    images = [first, second, third]
    prints = [fingerprint(np.asarray(image)) for image in images]
    assert near_duplicates(prints, prints) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)]
    generator = Copyist(lambda number: images[number] if number < 3 else None, batch_size=3)
    screened = screen(SyntheticSet(tmp_path / "set", generator), RealImages(["cat"], [], [], []))
    screened.ensure({"cat": 3})
    verdicts = rows(screened, "cat")
    assert verdicts["cat/000001.png"] == (False, DUPLICATE, "cat/000000.png")
    assert verdicts["cat/000002.png"] == (True, "", "")

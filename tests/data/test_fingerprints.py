"""Which images are copies of one another: changed a little, and neither alike by chance nor by way of others."""

import gc
import io
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from scipy import ndimage

from synthaug import files
from synthaug.data import fingerprints, registration
from synthaug.data.decoding import decode
from synthaug.data.fingerprints import (
    CopyIndex,
    Fingerprint,
    copies,
    distances,
    fingerprint,
    fingerprint_files,
    groups,
    groups_of_lists,
    near_duplicates,
    perceptual_hash,
    resemble_by_nature,
)
from synthaug.data.keyed_rows import digests_of
from synthaug.data.sample_list import REAL, Sample
from synthaug.data.sources.digits import write_digits
from tests.factories.images import image
from tests.factories.origins import picture

Change = Callable[[Image.Image], Image.Image]


def saved(original: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    original.save(stream, "JPEG", quality=60)
    return Image.open(stream).convert("RGB")


def cropped(left: float, top: float, share: float) -> Change:
    """Cut `share` off the sides, of which these parts are on the left and at the top."""

    def cut(original: Image.Image) -> Image.Image:
        width, height = (round(share * side) for side in original.size)
        corner = round(left * width), round(top * height)
        return original.crop((*corner, original.width - width + corner[0], original.height - height + corner[1]))

    return cut


CHANGES: dict[str, Change] = {
    "JPEG": saved,
    "half": lambda original: original.resize((original.width // 2, original.height // 2)),
    "larger": lambda original: original.resize((3 * original.width, 3 * original.height)),
    "another shape": lambda original: original.resize((original.width, original.height // 2)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 180 degrees": lambda original: original.rotate(180),
    "brighter": lambda original: ImageEnhance.Brightness(original).enhance(1.2),
    "darker": lambda original: ImageEnhance.Brightness(original).enhance(0.8),
    "contrast": lambda original: ImageEnhance.Contrast(original).enhance(0.7),
    "cropped 2 %": cropped(1, 0, 0.02),
    "cropped 5 %": cropped(0.5, 0.5, 0.05),
    "cropped 10 %": cropped(0.3, 0.9, 0.1),
    "cropped and mirrored": lambda original: ImageOps.mirror(cropped(1, 1, 0.05)(original)),
}


def photograph(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC)


PHOTOGRAPHS = [photograph(seed) for seed in range(20)]


def prints(pictures: list[Image.Image]) -> list[Fingerprint]:
    return [fingerprint(np.asarray(item)) for item in pictures]


ORIGINALS = prints(PHOTOGRAPHS)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits") / "digits"
    write_digits(root)
    return root


def read_digits(root: Path, label: str, count: int) -> list[Image.Image]:
    """Return handwritten digits of one class."""
    return [Image.fromarray(decode(path, 256)) for path in sorted((root / "train" / label).iterdir())[:count]]


@pytest.fixture(scope="module")
def ones(digits: Path) -> list[Image.Image]:
    """Of all digits these are most alike."""
    return read_digits(digits, "1", 100)


# --- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_those_of_their_originals_and_of_no_other(name: str) -> None:
    changed = prints([CHANGES[name](item) for item in PHOTOGRAPHS])
    expected = [(number, number) for number in range(20)]
    assert near_duplicates(ORIGINALS, changed) == near_duplicates(changed, ORIGINALS) == expected


@pytest.mark.parametrize("name", ["JPEG", "larger", "mirrored", "brighter", "darker", "cropped 2 %", "cropped 5 %"])
def test_copies_of_small_pictures(name: str, digits: Path) -> None:
    fours = read_digits(digits, "4", 10)
    pairs = near_duplicates(prints(fours), prints([CHANGES[name](item) for item in fours]))
    assert pairs == [(number, number) for number in range(10)]


def on_white(seed: int) -> Image.Image:
    """Draw some coloured discs on white."""
    random = np.random.default_rng(seed)
    drawn = Image.new("RGB", (200, 200), "white")
    for x, y, radius in zip(*random.integers(50, 150, (2, 4)), random.integers(12, 45, 4), strict=True):
        colour = tuple(int(value) for value in random.integers(20, 220, 3))
        ImageDraw.Draw(drawn).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return drawn


def test_brightened_objects_on_white_are_copies_although_colours_are_clipped() -> None:
    objects = [on_white(seed) for seed in range(20)]
    pairs = near_duplicates(prints(objects), prints([CHANGES["brighter"](item) for item in objects]))
    assert set(pairs) <= {(number, number) for number in range(20)}
    assert len(pairs) >= 18


def slanted_and_thick(digit: Image.Image) -> Image.Image:
    sheared = digit.transform(digit.size, Image.Transform.AFFINE, (1, 0.5, -7, 0, 1, 0), Image.Resampling.BICUBIC)
    return sheared.filter(ImageFilter.MaxFilter(3))


def test_handwritten_ones_are_no_copies_of_one_another(ones: list[Image.Image]) -> None:
    """Their perceptual hashes chain nearly all of them; with thick strokes, one residual for all joins every fifth."""
    assert groups(prints(ones), near=True) == list(range(100))
    thick = prints([slanted_and_thick(digit) for digit in ones])
    assert len(set(groups(thick, near=True))) >= 98
    changed = prints([CHANGES["cropped 5 %"](slanted_and_thick(digit)) for digit in ones[:20]])
    assert {(number, number) for number in range(20)} <= set(near_duplicates(thick[:20], changed))


@pytest.mark.parametrize("change", ["colour", "grey", "part"])
def test_pictures_that_differ_in_colour_or_in_a_part_are_no_copies(change: str) -> None:
    pixels = np.asarray(PHOTOGRAPHS[0]).copy()
    if change == "colour":
        pixels = pixels[:, :, ::-1]
    elif change == "grey":
        pixels = np.asarray(PHOTOGRAPHS[0].convert("L").convert("RGB"))
    else:
        pixels[20:50, 30:60] = np.asarray(PHOTOGRAPHS[1])[20:50, 30:60]
    assert near_duplicates(ORIGINALS[:1], [fingerprint(pixels)]) == []


def test_larger_cuts_are_no_copies() -> None:
    assert near_duplicates(ORIGINALS, prints([cropped(0.5, 0.5, 0.3)(item) for item in PHOTOGRAPHS])) == []


def test_pictures_of_one_colour_are_copies_of_the_same_pixels_only() -> None:
    plain = prints([Image.new("RGB", (64, 64), (grey, grey, grey)) for grey in (10, 10, 200)])
    assert groups(plain, near=True) == [0, 0, 2]
    assert near_duplicates(plain[:1], plain[1:]) == [(0, 0)]


def thick_strokes() -> list[Image.Image]:
    """Slanted strokes of a few pixels, each like those beside it."""
    rows, columns = np.mgrid[0:28, 0:28]
    strokes = []
    for slant in np.linspace(0.1, 0.6, 30):
        away = np.abs(columns - 14 - slant * (rows - 14)) - 2.5
        stroke = np.where((rows > 4) & (rows < 24), np.clip(1.5 - away, 0, 1), 0)
        strokes.append(Image.fromarray((255 * stroke).astype(np.uint8)).convert("RGB"))
    return strokes


def test_plain_pictures_of_one_kind_resemble_one_another() -> None:
    strokes = prints(thick_strokes())
    assert resemble_by_nature(strokes)
    assert not resemble_by_nature(strokes[:1] * 30), "the same picture again and again"
    assert len(set(groups(strokes, near=True))) < 30
    repeated = [strokes[:20], [*strokes[20:], strokes[25]]]
    assert groups_of_lists(repeated, near=True) == [list(range(20)), [*range(10), 5]], "but the same pixels are copies"
    assert copies(strokes, strokes[:3]) == [(0, 0), (1, 1), (2, 2)]


def test_frames_of_a_film_are_alike_and_stay_together() -> None:
    film = [PHOTOGRAPHS[0].resize((960, 720))]
    for _ in range(7):
        film.append(cropped(0.5, 0.5, 0.08)(film[-1]))
    frames = prints(film)
    together = groups(frames, near=True)
    assert len(set(together)) < len(frames)
    assert groups_of_lists([frames], near=True) == [together]
    assert resemble_by_nature(frames)
    assert not resemble_by_nature(frames, only_plain=True)


def test_copies_of_pictures_are_no_resemblance(ones: list[Image.Image]) -> None:
    originals = [photograph(seed) for seed in range(12)]
    changed = [change(picture) for picture in originals for change in (ImageOps.mirror, saved)]
    assert not resemble_by_nature(prints([*originals, *changed]))
    assert not resemble_by_nature(prints(ones))


@pytest.mark.parametrize(
    ("near", "nearly", "is_natural"), [(3, 25, True), (3, 24, False), (2, 99, False), (3, 0, False)]
)
def test_many_pairs_that_nearly_are_copies_are_a_resemblance(
    near: int, nearly: int, is_natural: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = np.array([(2 * number, 2 * number + 1) for number in range(near + nearly)])
    shares = np.array([0.9] * near + [1.4] * nearly)
    monkeypatch.setattr(registration, "measure_windows", lambda *_: (pairs, shares))
    thumbnail = np.zeros((registration.SIDE, registration.SIDE, 3), dtype=np.uint8)
    pictures = [Fingerprint(f"{number:03d}", thumbnail, 32) for number in range(2 * (near + nearly))]
    assert resemble_by_nature(pictures) == is_natural


def test_nothing_is_a_copy_of_nothing() -> None:
    assert near_duplicates([], ORIGINALS) == near_duplicates(ORIGINALS, []) == []
    assert groups([], near=True) == []


# --- groups ----------------------------------------------------------------------------------------


def test_the_same_pixels_are_a_group_whatever_counts_as_a_copy() -> None:
    repeated = [*ORIGINALS[:2], ORIGINALS[0], *prints([saved(PHOTOGRAPHS[1])])]
    assert groups(repeated, near=False) == [0, 1, 0, 3]
    assert groups(repeated, near=True) == [0, 1, 0, 1]


def test_a_chain_of_cuts_is_no_group() -> None:
    """Each picture is a tenth cut off the one before; the last shows a half of the first."""
    chain = [PHOTOGRAPHS[0].resize((960, 720))]
    for _ in range(6):
        chain.append(cropped(0.5, 0.5, 0.08)(chain[-1]))
    links = prints(chain)
    pairs = set(near_duplicates(links, links))
    assert {(number, number + 1) for number in range(6)} <= pairs
    assert (0, 6) not in pairs
    labels = groups(links, near=True)
    assert len(set(labels)) > 1
    for label in set(labels):
        members = [number for number, other in enumerate(labels) if other == label]
        assert any(all((centre, member) in pairs for member in members) for centre in members)


Links = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20)


@given(Links, st.randoms(use_true_random=False))
def test_every_group_has_a_centre_in_any_order(links: set[tuple[int, int]], order: random.Random) -> None:
    thumbnail = np.zeros((registration.SIDE, registration.SIDE, 3), dtype=np.uint8)
    items = [Fingerprint(f"{number:02d}", thumbnail, 32) for number in range(12)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "find_windows", lambda *_: np.array(sorted(links)).reshape(-1, 2))
        labels = groups(items, near=True)
        places = list(range(12))
        order.shuffle(places)
        mixed = groups([items[place] for place in places], near=True)
    joined = links | {(j, i) for i, j in links} | {(i, i) for i in range(12)}
    sets = {frozenset(i for i in range(12) if labels[i] == label) for label in labels}
    assert {frozenset(places[i] for i in range(12) if mixed[i] == label) for label in mixed} == sets
    assert all(labels[i] == min(members) for members in sets for i in members)
    assert all(any((centre, i) in joined for centre in members if all((centre, j) in joined for j in members))
               for members in sets for i in members)  # fmt: skip


def test_groups_do_not_depend_on_the_order_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = PHOTOGRAPHS + [change(item) for change in CHANGES.values() for item in PHOTOGRAPHS[:2]]
    items = prints(pictures)
    labels = groups(items, near=True)
    assert sorted(labels.count(label) for label in set(labels))[-3:] == [1, *[len(CHANGES) + 1] * 2]
    places = list(range(len(items)))
    random.Random(0).shuffle(places)
    monkeypatch.setattr(registration, "_ROWS", 7)
    mixed = groups([items[place] for place in places], near=True)
    assert {frozenset(places[i] for i, label in enumerate(mixed) if label == number) for number in mixed} == {
        frozenset(i for i, label in enumerate(labels) if label == number) for number in labels
    }


# --- fingerprints ----------------------------------------------------------------------------------


def test_the_same_pixels_in_another_format_have_the_same_fingerprint(tmp_path: Path) -> None:
    for name in ("a.png", "b.bmp"):
        image(1, (96, 96)).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no image")
    paths = [tmp_path / name for name in ("a.png", "b.bmp", "c.png")]
    keys = [files.sha256(path) for path in paths]
    listed = [Sample(path, 0, "a", REAL, key) for path, key in zip([*paths, paths[0]], [*keys, keys[0]], strict=True)]
    actual, bad = fingerprint_files(listed)
    assert len(actual) == 2
    assert actual[keys[0]].pixels == actual[keys[1]].pixels
    assert list(bad) == [keys[2]]


@given(st.lists(st.integers(0, 30)), st.integers(1, 8))
def test_the_least_pictures_are_those_of_all_sorted(numbers: list[int], count: int) -> None:
    prints = [Fingerprint(f"{number:064x}", np.zeros((0,), dtype=np.uint8), 1) for number in numbers]
    least = [item.pixels for item in fingerprints._least(iter(prints), count)]
    assert least == sorted({item.pixels for item in prints})[:count]


def test_the_shape_belongs_to_the_pixels() -> None:
    wide = np.zeros((2, 8, 3), dtype=np.uint8)
    assert fingerprint(wide).pixels != fingerprint(wide.reshape(8, 2, 3)).pixels


def test_prints_are_of_the_short_side_that_tells_photographs_apart(tmp_path: Path) -> None:
    """The fingerprint of a large file is that of its pixels at 256; smaller files keep theirs."""
    for name, side in (("large", 600), ("small", 200)):
        image(1, (side, side)).save(tmp_path / f"{name}.png")
        key = files.sha256(tmp_path / f"{name}.png")
        actual, _ = fingerprint_files([Sample(tmp_path / f"{name}.png", 0, "a", REAL, key)])
        expected = fingerprint(decode(tmp_path / f"{name}.png", 256))
        assert (actual[key].pixels, actual[key].side) == (expected.pixels, min(side, 256))
        assert np.array_equal(actual[key].thumbnail, expected.thumbnail)


# --- the perceptual hash ---------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6), st.integers(0, 2**64 - 1))
def test_distances_count_bits(ones: list[int], second: int) -> None:
    actual = distances([f"{first:016x}" for first in ones], [f"{second:016x}"])
    assert actual[:, 0].tolist() == [(first ^ second).bit_count() for first in ones]


def test_the_perceptual_hash_stands_from_release_to_release() -> None:
    assert perceptual_hash(np.asarray(image(1, (96, 96)))) == "c6e471db83258799"


def test_an_index_finds_what_a_comparison_of_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = [picture(number) for number in range(9)]
    changed = [ImageOps.mirror(originals[7]), picture(100), originals[2].crop((1, 0, 47, 47)), originals[2]]
    first, second = ([fingerprint(np.asarray(image)) for image in images] for images in (changed, originals))
    monkeypatch.setattr(fingerprints, "_BLOCK", 4)
    index = CopyIndex(second[:5])
    assert index.find(first) == [(2, 2), (3, 2)]
    index.add(second[5:])
    assert index.find(first) == near_duplicates(first, second) == [(0, 7), (2, 2), (3, 2)]
    assert index.find([]) == []


@given(st.tuples(*(st.integers(1, 5) for _ in range(4))), st.integers(0, 2**32 - 1))
def test_the_largest_value_around_each_point(shape: tuple[int, int, int, int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    assert (registration._around(values) == ndimage.maximum_filter(values, (1, 3, 3, 1))).all()


def test_grey_and_coloured_pictures_are_compared_alike_in_any_company() -> None:
    random = np.random.default_rng(0)
    grey = (
        ndimage.gaussian_filter(random.uniform(-600, 900, (4, 32, 32, 1)), (0, 2, 2, 0)).clip(0, 255).astype(np.uint8)
    )
    pixels = np.repeat(np.concatenate([grey, grey[:, :, ::-1]]), 3, axis=3)
    coloured = np.concatenate([pixels, pixels // np.array([1, 1, 2], dtype=np.uint8)])
    pictures = registration.Thumbnails(coloured, np.full(len(coloured), 64))
    pairs, shares = registration.measure_windows(pictures, pictures, 2.0)
    assert {(0, 4), (4, 0), (8, 12), (12, 8)} <= {(int(i), int(j)) for i, j in pairs}, "mirrored"
    alone = registration.Thumbnails(pixels, np.full(len(pixels), 64))
    few, of_few = registration.measure_windows(alone, alone, 2.0)
    together = {(int(i), int(j)): float(share) for (i, j), share in zip(pairs, shares, strict=True)}
    assert {
        (int(i), int(j)): float(share) for (i, j), share in zip(few, of_few, strict=True)
    }.items() <= together.items()


def test_grey_pictures_are_what_they_are_in_three_channels() -> None:
    random = np.random.default_rng(0)
    values = ndimage.gaussian_filter(random.uniform(-600, 900, (5, 32, 32, 1)), (0, 2, 2, 0)).astype(np.float32)
    windows = np.tile(np.array([0.97, 0.02, 0.01], dtype=np.float32), (5, 1))
    other = 0.9 * values + random.normal(0, 5, values.shape).astype(np.float32)
    one, three = (
        registration._residuals(np.repeat(values, channels, axis=3), np.repeat(other, channels, axis=3), windows)
        for channels in (1, 3)
    )
    assert np.isfinite(three).all()
    np.testing.assert_allclose(one, three, rtol=1e-3)


@given(st.lists(st.integers(0, 12), max_size=14), st.lists(st.integers(0, 12), max_size=4), st.integers(1, 5))
@example([0, 8, 1, 8], [8, 9], 2)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_index_in_files_finds_what_a_comparison_of_all_finds(
    tmp_path: Path, real: list[int], candidates: list[int], block: int
) -> None:
    """Numbers above 8 are changed copies of pictures below, or nothing but one colour."""
    changed = {
        8: Image.new("RGB", (48, 48), "red"),
        9: ImageOps.mirror(picture(1)),
        10: picture(2).point(lambda value: min(255, value + 9)),
    }
    prints = {number: fingerprint(np.asarray(changed.get(number, picture(number)))) for number in range(13)}
    first, second = ([prints[number] for number in numbers] for numbers in (candidates, real))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "_BLOCK", block)
        index = CopyIndex(second[:3], tmp_path)
        index.add(second[3:])
    assert index.find(first) == near_duplicates(first, second)
    assert [index.pixels(number) for number in range(len(index))] == [item.pixels for item in second]


@given(st.lists(st.sampled_from([f"{number:064x}"[::-1] for number in range(30)]), max_size=40), st.integers(1, 9))
def test_few_images_tell_whether_all_resemble_one_another(contents: list[str], count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "_MOST_COMPARED", count)
        rows = fingerprints.compared_rows(digests_of(contents))
    least = sorted(set(contents))[:count]
    assert sorted({contents[row] for row in rows.tolist()}) == least


def test_thumbnails_that_a_full_disk_does_not_take_are_dropped_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with Path("/dev/full").open("r+b", buffering=1 << 20) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        prints = fingerprints.FingerprintTable()
        prints.add("ab" * 32, fingerprint(np.zeros((8, 8, 3), np.uint8)))
        del prints
        gc.collect()
        assert full.closed
    assert not ignored

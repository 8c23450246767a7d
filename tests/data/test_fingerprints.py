"""What an image looks like: equal for the same pixels, close for re-saved and resized copies, far for others."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synthaug import files
from synthaug.data import fingerprints
from synthaug.data.fingerprints import Fingerprint, distances, fingerprint, fingerprint_files, groups
from synthaug.data.pixels import decode
from synthaug.data.split_rule import Rule
from tests.factories.images import image


def photo(seed: int, side: int = 96) -> Image.Image:
    return image(seed, (side, side))


def bits(first: Image.Image, second: Image.Image) -> int:
    return int(distances([fingerprint(np.asarray(first)).phash], [fingerprint(np.asarray(second)).phash])[0, 0])


def with_hash(value: int, pixels: str = "") -> Fingerprint:
    return Fingerprint(pixels or f"pixels {value}", f"{value:016x}")


def test_copies_are_near_and_others_far(tmp_path: Path) -> None:
    original = photo(1)
    original.save(tmp_path / "a.jpg", quality=60)
    with Image.open(tmp_path / "a.jpg") as saved:
        assert bits(original, saved.convert("RGB")) <= 8
    assert bits(original, original.resize((48, 48))) <= 8
    assert min(bits(original, photo(seed)) for seed in range(2, 40)) > 8


def test_the_same_pixels_in_another_format_have_the_same_fingerprint(tmp_path: Path) -> None:
    for name in ("a.png", "b.bmp"):
        photo(1).save(tmp_path / name)
    photo(2).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_text("no image")
    paths = sorted(tmp_path.iterdir())
    keys = [files.sha256(path) for path in paths]
    actual, bad = fingerprint_files(dict(zip(keys, paths, strict=True)))
    a, b, c = (actual[key] for key in keys[:3])
    assert a == b
    assert a.pixels != c.pixels
    assert bad == {keys[3]: "not an image that Pillow can read"}


def test_the_shape_belongs_to_the_pixels() -> None:
    wide = np.zeros((2, 8, 3), dtype=np.uint8)
    assert fingerprint(wide).pixels != fingerprint(wide.reshape(8, 2, 3)).pixels


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6), st.integers(0, 2**64 - 1))
def test_distances_count_bits(ones: list[int], second: int) -> None:
    actual = distances([f"{first:016x}" for first in ones], [f"{second:016x}"])
    assert actual[:, 0].tolist() == [(first ^ second).bit_count() for first in ones]


def test_groups_join_by_way_of_others() -> None:
    chain = [with_hash(0b111), with_hash(0), with_hash(0b111 << 20), with_hash((1 << 40) - 1)]
    assert groups(chain, 3) == [0, 0, 0, 3]
    assert groups(chain, 2) == [0, 1, 2, 3]
    assert groups(chain, None) == [0, 1, 2, 3]


def test_the_same_pixels_are_a_group_whatever_the_limit() -> None:
    same = [with_hash(0, "a"), with_hash(0, "b"), with_hash(0, "a")]
    assert groups(same, None) == [0, 1, 0]
    assert groups(same, 0) == [0, 0, 0]
    assert groups([], 8) == []


@given(st.lists(st.integers(0, 63), max_size=40), st.integers(0, 6), st.randoms())
def test_groups_are_those_of_a_slow_search_in_any_order(values: list[int], near: int, order: random.Random) -> None:
    prints = [with_hash(value) for value in values]
    actual = groups(prints, near)
    expected = list(range(len(values)))
    changed = True
    while changed:
        changed = False
        for first, value in enumerate(values):
            for second in range(first):
                if (value ^ values[second]).bit_count() <= near and expected[first] != expected[second]:
                    least, most = sorted((expected[first], expected[second]))
                    expected = [least if label == most else label for label in expected]
                    changed = True
    assert actual == expected
    places = list(range(len(values)))
    order.shuffle(places)
    mixed = groups([prints[place] for place in places], near)
    sets = {frozenset(places[i] for i, label in enumerate(mixed) if label == members) for members in mixed}
    assert sets == {frozenset(i for i, label in enumerate(actual) if label == members) for members in actual}


def test_blocks_of_rows_miss_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    prints = [with_hash(rng.getrandbits(64)) for _ in range(50)]
    prints[49] = with_hash(int(prints[3].phash, 16) ^ 0b101)
    monkeypatch.setattr(fingerprints, "_ROWS", 7)
    actual = groups(prints, 8)
    assert actual[49] == 3
    assert len(set(actual)) == 49


# --- the limit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 9, 32, 64])
@pytest.mark.parametrize("near", [0, 7, 8, 9, 63])
def test_copies_differ_in_at_most_the_limit(bits: int, near: int) -> None:
    pair = [with_hash(0x0123456789ABCDEF), with_hash(0x0123456789ABCDEF ^ ((1 << bits) - 1))]
    assert groups(pair, near) == ([0, 0] if bits <= near else [0, 1])


def test_the_default_limit_takes_saved_copies_and_no_other_photograph(tmp_path: Path) -> None:
    """Of 60 photographs and their copies of half the size and at JPEG quality 90, in bits."""
    near = Rule(val=0.1, test=0.1).near
    assert near == 8
    photographs = [photo(seed) for seed in range(60)]
    copies = []
    for number, original in enumerate(photographs):
        original.resize((48, 48)).save(tmp_path / f"{number}.jpg", quality=90)
        with Image.open(tmp_path / f"{number}.jpg") as opened:
            copies.append(fingerprint(np.asarray(opened.convert("RGB"))))
    between = distances([fingerprint(np.asarray(item)).phash for item in photographs], [item.phash for item in copies])
    assert np.diag(between).max() <= near
    assert between[~np.eye(60, dtype=bool)].min() > near


def test_prints_are_of_the_short_side_that_tells_photographs_apart(tmp_path: Path) -> None:
    """The fingerprint of a large file is that of its pixels at 256; smaller files keep theirs."""
    for name, side in (("large", 600), ("small", 200)):
        photo(1, side).save(tmp_path / f"{name}.png")
        key = files.sha256(tmp_path / f"{name}.png")
        prints, _ = fingerprint_files({key: tmp_path / f"{name}.png"})
        assert prints[key] == fingerprint(decode(tmp_path / f"{name}.png", 256))


def test_the_perceptual_hash_stands_from_release_to_release() -> None:
    """Splits that were drawn are compared with hashes of later versions."""
    assert fingerprint(np.asarray(photo(1))).phash == "c6e471db83258799"

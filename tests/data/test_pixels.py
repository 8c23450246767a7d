"""The pixel store: every file decoded once and right, whoever else uses the store and whatever is killed."""

import io
import logging
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from synthaug import files
from synthaug.checked_rows import append_checked_rows, checked_rows, read_checked_rows
from synthaug.data import decoding, pixels
from synthaug.data.decoding import as_rgb, by_torch, decode
from synthaug.data.pixels import PixelStore, padded
from synthaug.data.sample_list import REAL, Sample
from synthaug.errors import UserError
from tests.factories.images import image

WHOLE = 1000  # a short side that shrinks none of the images here


def save(folder: Path, seeds: Iterable[int], size: tuple[int, int] = (20, 16)) -> dict[str, Path]:
    """Write images and return file hash → path."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        image(seed, size).save(folder / f"{seed}.png")
    return {files.sha256(path): path for path in sorted(folder.iterdir())}


def stored(store: PixelStore, key: str) -> NDArray[np.uint8]:
    """One image (H, W, 3) as the store gives it."""
    batch, _ = store.batch([key])
    image: NDArray[np.uint8] = batch[0].transpose(1, 2, 0)
    return image


def holds(store: PixelStore, images: dict[str, Path]) -> bool:
    decoded = {key: decode(path, store.short_side, by_torch) for key, path in images.items()}
    return all(np.array_equal(stored(store, key), image) for key, image in decoded.items())


def reason(path: Path, folder: Path) -> str:
    """Why the store does not take a file."""
    key = files.sha256(path)
    return PixelStore(folder, WHOLE).add({key: path})[key]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that were decoded, in the order in which decoding began."""
    calls: list[Path] = []

    original = pixels.try_decode_sizes

    def counted(key: str | None, path: Path, sizes: Any) -> list[NDArray[np.uint8]] | str:
        calls.append(path)
        return original(key, path, sizes)

    monkeypatch.setattr(pixels, "try_decode_sizes", counted)
    return calls


# --- once ----------------------------------------------------------------------------------------------


def test_every_file_is_decoded_once(tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_CHUNK", 3)
    images = save(tmp_path / "images", range(8))
    store = PixelStore(tmp_path / "store", WHOLE)
    assert store.add(images) == {}
    assert sorted(decoded) == sorted(images.values())
    assert store.add(images) == {}
    assert PixelStore(tmp_path / "store", WHOLE).add(images) == {}
    assert len(decoded) == 8
    assert holds(store, images)


def test_only_what_is_new_is_decoded(tmp_path: Path, decoded: list[Path]) -> None:
    old = save(tmp_path / "old", range(3))
    new = save(tmp_path / "new", range(3, 5))
    PixelStore(tmp_path / "store", WHOLE).add(old)
    decoded.clear()
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(old | new)
    assert sorted(decoded) == sorted(new.values())
    assert holds(store, old | new)


def test_the_index_is_read_again_only_where_somebody_else_has_written_it(
    tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def recorded(path: Path, header: Sequence[str], damaged: list[int]) -> Iterator[list[str]]:
        read.append(path)
        return checked_rows(path, header, damaged)

    monkeypatch.setattr(pixels, "checked_rows", recorded)
    images = [save(tmp_path / str(number), [number]) for number in range(5)]
    store, other = (PixelStore(tmp_path / "store", WHOLE) for _ in range(2))
    for batch in images[:3]:
        store.add(batch)
    assert read == []
    other.add(images[3])
    assert len(read) == 1
    store.add(images[3] | images[4])
    assert len(read) == 2
    assert len(decoded) == 5
    assert all(holds(store, batch) for batch in images)


def test_what_is_added_after_a_batch_was_read_can_be_read(tmp_path: Path) -> None:
    old, new = save(tmp_path / "old", range(2)), save(tmp_path / "new", range(2, 4))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(old)
    assert holds(store, old)
    store.add(new)
    assert holds(store, old | new)


def test_an_open_store_learns_what_another_one_has_added(tmp_path: Path, decoded: list[Path]) -> None:
    images = save(tmp_path / "images", range(4))
    early, late = PixelStore(tmp_path / "store", WHOLE), PixelStore(tmp_path / "store", WHOLE)
    late.add(images)
    decoded.clear()
    assert early.add(images) == {}
    assert decoded == []
    assert holds(early, images)


def test_a_store_that_was_removed_meanwhile_is_named(tmp_path: Path) -> None:
    old, new = save(tmp_path / "old", range(2)), save(tmp_path / "new", range(2, 4))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(old)
    shutil.rmtree(tmp_path / "store")
    store.add(new)
    assert holds(store, new)
    (key, path), *_ = old.items()
    sample = Sample(path, 0, "cat", REAL, key)
    for read in (lambda: store.contents([sample]), lambda: store.image(key), lambda: store.batch([key])):
        with pytest.raises(UserError, match=f"{tmp_path / 'store'}/.* was removed"):
            read()


def test_other_sizes_are_other_stores(tmp_path: Path) -> None:
    images = save(tmp_path / "images", range(2))
    small, large = PixelStore(tmp_path / "store", 8), PixelStore(tmp_path / "store", 16)
    small.add(images)
    large.add(images)
    assert holds(small, images)
    assert holds(large, images)
    assert {small.place(key).height for key in images} == {8}


# --- several processes, and killed ones -----------------------------------------------------------------

# Adds all images of a folder, and waits for a line between writing the pixels and writing the index.
SLOW_ADD = """
import sys
from pathlib import Path
from synthaug import files
from synthaug.data import decoding, pixels

write_rows = pixels.append_checked_rows

def wait_and_write(*arguments):
    print("has written the pixels", flush=True)
    sys.stdin.readline()
    write_rows(*arguments)

pixels.append_checked_rows = wait_and_write
images = {files.sha256(path): path for path in sorted(Path(sys.argv[2]).iterdir())}
pixels.PixelStore(Path(sys.argv[1]), 1000).add(images)
"""


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    first, second = save(tmp_path / "first", range(10, 16)), save(tmp_path / "second", range(14, 24))
    command = [sys.executable, "-c", SLOW_ADD, str(tmp_path / "store"), str(tmp_path / "first")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdin
        assert slow.stdout
        slow.stdout.readline()
        fast = threading.Thread(target=PixelStore(tmp_path / "store", WHOLE).add, args=(second,))
        fast.start()
        fast.join(0.3)  # time to write, if nothing holds it back
        slow.communicate("\n", timeout=60)
        assert slow.returncode == 0
        fast.join(60)
    store = PixelStore(tmp_path / "store", WHOLE)
    assert holds(store, first | second)
    assert (store.folder / "pixels.bin").stat().st_size == 14 * 20 * 16 * 3  # each image is there once


def test_a_killed_process_leaves_nothing_that_is_taken_for_an_image(tmp_path: Path) -> None:
    first, second = save(tmp_path / "first", range(3)), save(tmp_path / "second", range(2, 6))
    PixelStore(tmp_path / "store", WHOLE).add(second)
    command = [sys.executable, "-c", SLOW_ADD, str(tmp_path / "store"), str(tmp_path / "first")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow:
        assert slow.stdout
        slow.stdout.readline()
        slow.kill()
    again = PixelStore(tmp_path / "store", WHOLE)
    assert [key for key in first if key in again._places] == [key for key in first if key in second]
    assert again.add(first) == {}
    assert holds(PixelStore(tmp_path / "store", WHOLE), first | second)
    assert (again.folder / "pixels.bin").stat().st_size == 6 * 20 * 16 * 3


@pytest.mark.parametrize("damage", [lambda rows: rows[:-30], lambda rows: rows.replace(b",20,", b",x0,", 1)])
def test_images_of_damaged_lines_of_the_index_are_decoded_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    images = save(tmp_path / "images", range(4))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(images)
    index = store.folder / "index.csv"
    index.write_bytes(damage(index.read_bytes()))
    again = PixelStore(tmp_path / "store", WHOLE)
    assert again.add(images) == {}
    assert read_checked_rows(index, pixels._COLUMNS)[1] == []
    assert holds(again, images)
    assert holds(PixelStore(tmp_path / "store", WHOLE), images)


def test_bytes_of_a_killed_process_beyond_the_index_are_written_over(tmp_path: Path) -> None:
    old, new = save(tmp_path / "old", range(3)), save(tmp_path / "new", range(3, 6))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(old)
    with (store.folder / "pixels.bin").open("ab") as stream:
        stream.write(b"half an image" * 500)  # more than the new images
    again = PixelStore(tmp_path / "store", WHOLE)
    assert holds(again, old)
    again.add(new)
    assert holds(PixelStore(tmp_path / "store", WHOLE), old | new)
    assert (store.folder / "pixels.bin").stat().st_size == 6 * 20 * 16 * 3


def test_pixels_are_on_the_disk_before_the_index_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PixelStore(tmp_path, WHOLE)
    events: list[object] = []

    def recorded_fsync(descriptor: int) -> None:
        events.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    def recorded_rows(*arguments: object) -> None:
        events.append("index")
        append_checked_rows(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(pixels, "append_checked_rows", recorded_rows)
    store.add(save(tmp_path / "images", range(3)))
    written = (store.folder / "pixels.bin").stat()
    assert events[:2] == [(written.st_ino, 3 * 20 * 16 * 3), "index"]


@pytest.mark.parametrize("kept", [None, 0, 2 * 20 * 16 * 3 + 7])
def test_lost_bytes_are_decoded_again_and_not_read_as_black(
    tmp_path: Path, decoded: list[Path], kept: int | None
) -> None:
    images = save(tmp_path / "images", range(4))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(images)
    decoded.clear()
    if kept is None:
        (store.folder / "pixels.bin").unlink()
    else:
        os.truncate(store.folder / "pixels.bin", kept)
    again = PixelStore(tmp_path / "store", WHOLE)
    again.add(images)
    assert len(decoded) == (2 if kept else 4)
    assert holds(again, images)


@pytest.mark.parametrize("keeps_time", [False, True])
def test_changed_bytes_are_noticed_and_decoded_again(
    tmp_path: Path, decoded: list[Path], caplog: pytest.LogCaptureFixture, keeps_time: bool
) -> None:
    images = save(tmp_path / "images", range(4))
    PixelStore(tmp_path / "store", WHOLE).add(images)
    path = PixelStore(tmp_path / "store", WHOLE).folder / "pixels.bin"
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(20 * 16 * 3 + 5)
        byte = stream.read(1)
        stream.seek(20 * 16 * 3 + 5)
        stream.write(bytes([byte[0] ^ 1]))
    if keeps_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    decoded.clear()
    store = PixelStore(tmp_path / "store", WHOLE)
    with caplog.at_level(logging.WARNING):
        assert store.add(images) == {}
    assert decoded == [list(images.values())[1]]
    assert holds(store, images)
    assert "1 stored image has changed" in caplog.text
    caplog.clear()
    assert holds(PixelStore(tmp_path / "store", WHOLE), images)
    assert PixelStore(tmp_path / "store", WHOLE).add(images) == {}
    assert not caplog.messages
    assert len(decoded) == 1


def test_a_copied_store_is_verified_once_and_taken(
    tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = save(tmp_path / "images", range(3))
    PixelStore(tmp_path / "store", WHOLE).add(images)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    decoded.clear()
    hashed: list[int] = []
    content_hash = pixels.content_hash

    def counted_hash(pixels: NDArray[np.uint8]) -> str:
        hashed.append(1)
        return content_hash(pixels)

    monkeypatch.setattr(pixels, "content_hash", counted_hash)
    for expected in (3, 3):
        assert PixelStore(tmp_path / "copy", WHOLE).add(images) == {}
        assert len(hashed) == expected
    assert decoded == []


def test_an_index_that_mixes_images_up_is_noticed(tmp_path: Path, decoded: list[Path]) -> None:
    images = save(tmp_path / "images", range(2))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(images)
    index = store.folder / "index.csv"
    header, first, second = index.read_text().splitlines()
    swapped = [
        ",".join([row.split(",")[0], *other.split(",")[1:4], row.split(",")[4]])
        for row, other in ((first, second), (second, first))
    ]
    index.write_text("\n".join([header, *swapped]) + "\n")
    again = PixelStore(tmp_path / "store", WHOLE)
    assert again.add(images) == {}
    assert holds(again, images)


def test_a_failure_to_write_loses_at_most_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_CHUNK", 2)
    images = save(tmp_path / "images", range(6))
    store = PixelStore(tmp_path / "store", WHOLE)
    calls: list[object] = []

    def full(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        append_checked_rows(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pixels, "append_checked_rows", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(images)
    assert [key in store._places for key in images] == [True] * 4 + [False] * 2
    store.add(images)
    assert holds(store, images)
    assert holds(PixelStore(tmp_path / "store", WHOLE), images)


def test_pickling_takes_the_index_along_but_not_the_pixels(tmp_path: Path) -> None:
    images = save(tmp_path / "images", range(3), size=(200, 200))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(images)
    assert holds(store, images)  # the file is mapped now
    packed = pickle.dumps(store)
    assert len(packed) < 10_000
    assert holds(pickle.loads(packed), images)
    assert holds(store, images)


# --- batches -------------------------------------------------------------------------------------------


def test_a_batch_is_padded_with_zeros_to_its_largest_image(tmp_path: Path) -> None:
    images = {**save(tmp_path / "a", [0], (20, 16)), **save(tmp_path / "b", [1], (10, 30))}
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(images)
    wide, tall = images
    batch, sizes = store.batch([wide, tall, wide])
    assert batch.shape == (3, 3, 30, 20)
    assert batch.dtype == np.uint8
    assert sizes.tolist() == [[16, 20], [30, 10], [16, 20]]
    assert not batch[0, :, 16:].any()
    assert not batch[1, :, :, 10:].any()
    assert np.array_equal(batch[0], batch[2])
    assert np.array_equal(batch[1, :, :, :10].transpose(1, 2, 0), decode(images[tall], WHOLE))


def test_a_panorama_and_a_screenshot_do_not_pad_a_batch_to_both() -> None:
    wide = np.arange(10 * 200 * 3, dtype=np.uint8).reshape(10, 200, 3)
    tall = wide.transpose(1, 0, 2)
    ordinary = wide[:, :30]
    batch, sizes = padded([wide, tall, ordinary])
    assert (batch.shape, sizes.tolist()) == ((3, 3, 30, 30), [[10, 30], [30, 10], [10, 30]])
    assert np.array_equal(batch[0, :, :10].transpose(1, 2, 0), wide[:, 85:115])
    assert np.array_equal(batch[2, :, :10].transpose(1, 2, 0), ordinary)
    places = np.array([[0.7, 0], [1, 0.2], [0, 1]], dtype=np.float32)
    batch, _ = padded([wide, tall, ordinary], places)
    assert np.array_equal(batch[0, :, :10].transpose(1, 2, 0), wide[:, :30])
    assert np.array_equal(batch[1, :, :, :10].transpose(1, 2, 0), tall[170:])
    assert np.array_equal(batch[2, :, :10].transpose(1, 2, 0), ordinary)


def test_content_is_of_the_pixels_and_their_shape(tmp_path: Path) -> None:
    flat = Image.new("RGB", (8, 2))
    for name, picture in (("a.png", flat), ("b.bmp", flat), ("c.png", flat.resize((2, 8))), ("d.png", image(1))):
        picture.save(tmp_path / name)
    paths = sorted(tmp_path.iterdir())
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add({files.sha256(path): path for path in paths})
    a, b, c, d = (store.place(files.sha256(path)).content for path in paths)
    assert a == b
    assert len({a, c, d}) == 3


# --- the same image in any format -----------------------------------------------------------------------


def rgb(seed: int = 5) -> NDArray[np.uint8]:
    return np.asarray(image(seed))


def grey(seed: int = 5) -> NDArray[np.uint8]:
    return np.asarray(image(seed, mode="L"))


def as_three(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(values[:, :, None], 3, axis=2)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.webp", "a", "a.jpg.png"])
def test_lossless_colour(tmp_path: Path, name: str) -> None:
    image(5).save(tmp_path / name, format=None if "." in name else "PNG", lossless=True)
    assert np.array_equal(decode(tmp_path / name, WHOLE), rgb())


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.gif"])
def test_grey(tmp_path: Path, name: str) -> None:
    image(5, mode="L").save(tmp_path / name)
    assert np.array_equal(decode(tmp_path / name, WHOLE), as_three(grey()))


def test_black_and_white(tmp_path: Path) -> None:
    picture = image(5, mode="1")
    picture.save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", WHOLE), as_three(np.asarray(picture.convert("L"))))


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_16_bit_grey_is_neither_white_nor_black(tmp_path: Path, name: str) -> None:
    Image.fromarray(grey().astype(np.uint16) * 257).save(tmp_path / name)
    with Image.open(tmp_path / name) as opened:
        assert opened.mode.startswith("I")
    assert np.array_equal(decode(tmp_path / name, WHOLE), as_three(grey()))


def test_a_dark_16_bit_image_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(grey().astype(np.uint16)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", WHOLE).max() <= 1


def test_32_bit_grey_that_holds_8_bits(tmp_path: Path) -> None:
    Image.fromarray(grey().astype(np.int32)).save(tmp_path / "a.tiff")
    assert np.array_equal(decode(tmp_path / "a.tiff", WHOLE), as_three(grey()))


def test_the_values_of_grey_decide_on_its_scale(tmp_path: Path) -> None:
    values = {
        "8": np.array([[255, 10]], dtype=np.int32),
        "16": np.array([[256, 128]], dtype=np.int32),
        "1": np.array([[1.0, 0.2]], dtype=np.float32),
        "255": np.array([[1.5, 51.0]], dtype=np.float32),
    }
    for name, table in values.items():
        Image.fromarray(table).save(tmp_path / f"{name}.tiff")
    grey = {name: decode(tmp_path / f"{name}.tiff", WHOLE)[0, :, 0].tolist() for name in values}
    assert grey == {"8": [255, 10], "16": [1, 0], "1": [255, 51], "255": [2, 51]}


@pytest.mark.parametrize("scale", [1, 255])
def test_float_grey(tmp_path: Path, scale: int) -> None:
    Image.fromarray(grey().astype(np.float32) / 255 * scale).save(tmp_path / "a.tiff")
    assert np.array_equal(decode(tmp_path / "a.tiff", WHOLE), as_three(grey()))


def test_float_grey_with_holes(tmp_path: Path) -> None:
    values = np.full((4, 4), 0.5, dtype=np.float32)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert decode(tmp_path / "a.tiff", WHOLE)[0, :2, 0].tolist() == [0, 128]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_white_and_not_the_colour_under_it(tmp_path: Path, mode: str) -> None:
    picture = Image.new(mode, (6, 4), (40, 0) if mode == "LA" else (10, 20, 30, 0))
    picture.paste(Image.new(mode, (3, 4), (40, 255) if mode == "LA" else (10, 20, 30, 255)), (0, 0))
    picture.save(tmp_path / "a.png")
    actual = decode(tmp_path / "a.png", WHOLE)
    assert actual[0, 0].tolist() == ([40, 40, 40] if mode == "LA" else [10, 20, 30])
    assert actual[0, -1].tolist() == [255, 255, 255]


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", WHOLE)[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_a_palette_with_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    picture = Image.new("P", (4, 2), 1)
    picture.putpalette([200, 0, 0, 0, 100, 0])
    picture.paste(0, (0, 0, 2, 2))
    picture.save(tmp_path / "a.png", transparency=transparency)
    actual = decode(tmp_path / "a.png", WHOLE)
    assert actual[0, 0].tolist() == [255, 255, 255]
    assert actual[0, -1].tolist() == [0, 100, 0]


def test_a_colour_that_stands_for_transparency(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 2), (1, 2, 3))
    picture.paste((9, 9, 9), (0, 0, 2, 2))
    picture.save(tmp_path / "a.png", transparency=(9, 9, 9))
    assert decode(tmp_path / "a.png", WHOLE)[0, ::3].tolist() == [[255, 255, 255], [1, 2, 3]]


def test_cmyk(tmp_path: Path) -> None:
    picture = image(5, (64, 48))
    picture.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    difference = decode(tmp_path / "a.jpg", WHOLE).astype(int) - np.asarray(picture)
    assert np.abs(difference).mean() < 4


def test_of_an_animation_the_first_frame(tmp_path: Path) -> None:
    frames = [image(seed, mode="P") for seed in (5, 6, 7)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.array_equal(decode(tmp_path / "a.gif", WHOLE), np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".webp"])
def test_photographs_stand_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    turned = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    upright = lying = image(5, (48, 32))
    for turn in turned[orientation]:
        lying = lying.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying.save(tmp_path / f"a{suffix}", exif=exif, quality=98, lossless=True)
    actual = decode(tmp_path / f"a{suffix}", WHOLE)
    assert actual.shape == (32, 48, 3)
    assert np.abs(actual.astype(int) - np.asarray(upright)).mean() < (4 if suffix == ".jpg" else 0.01)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_of_other_animations_and_pages_the_first(tmp_path: Path, name: str) -> None:
    frames = [image(seed) for seed in (5, 6, 7)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(tmp_path / name) as opened:
        assert getattr(opened, "n_frames", 1) == 3
    assert np.array_equal(decode(tmp_path / name, WHOLE), rgb())


def test_cielab(tmp_path: Path) -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(image(5), *profiles, outputMode="LAB")
    assert lab is not None
    lab.save(tmp_path / "a.tiff")
    with Image.open(tmp_path / "a.tiff") as opened:
        assert opened.mode == "LAB"
    assert np.abs(decode(tmp_path / "a.tiff", WHOLE).astype(int) - rgb()).mean() < 3


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_other_colour_spaces(mode: str) -> None:
    assert np.abs(np.asarray(as_rgb(image(5).convert(mode))).astype(int) - rgb()).mean() < 4


def press_profile() -> bytes:
    """An ICC profile of a press whose inks are all black: one ink alone is a grey of lightness 67."""
    identity = bytes(range(256))
    corners = [
        255 * max(0, 3 - (c + m + y + 3 * k)) // 3 for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    ]
    matrix = b"".join(struct.pack(">i", 65536 * (place in (0, 4, 8))) for place in range(9))
    colours = b"".join(bytes([lightness, 128, 128]) for lightness in corners)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + colours + identity * 3
    white = struct.pack(">iii", *(round(65536 * value) for value in (0.9642, 1.0, 0.8249)))
    rest = struct.pack(">II", 0, 0x02400000) + b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28) + white
    tags = struct.pack(">I4sII", 1, b"A2B0", 128 + 16, len(table))
    return struct.pack(">I", 128 + 16 + len(table)) + rest.ljust(124, b"\0") + tags + table


@pytest.mark.parametrize("name", ["a.tiff", "a.jpg"])
@pytest.mark.parametrize(("profile", "seen"), [(press_profile(), (162, 162, 162)), (b"junk", (0, 255, 255))])
def test_profiled_cmyk_by_its_profile_unless_that_is_damaged(
    tmp_path: Path, name: str, profile: bytes, seen: tuple[int, int, int]
) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / name, icc_profile=profile, quality=98)
    assert np.abs(decode(tmp_path / name, WHOLE)[4, 4].astype(int) - seen).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_an_uncompressed_tiff_that_lies_on_its_side(tmp_path: Path, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = image(5, (48, 32), mode)
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.tiff", exif=exif)
    assert np.array_equal(decode(tmp_path / "a.tiff", WHOLE), np.asarray(as_rgb(picture)))


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 4).tolist() == [[[1, 2, 3]]]


def test_a_large_photograph_is_shrunk(tmp_path: Path) -> None:
    image(5, (3000, 2000)).save(tmp_path / "a.jpg")
    assert decode(tmp_path / "a.jpg", 64).shape == (64, 96, 3)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60))
def test_shrinking_keeps_the_aspect_and_nothing_is_enlarged(width: int, height: int, short_side: int) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "PNG")
    new_height, new_width, _ = decode(stream.getvalue(), short_side).shape
    assert min(new_height, new_width) == min(height, width, short_side)
    assert (new_height == height) == (new_width == width)
    scale = min(new_height, new_width) / min(height, width)
    assert abs(new_height - height * scale) <= 0.5
    assert abs(new_width - width * scale) <= 0.5


def test_shrinking_is_pillows_bicubic(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", 24), np.asarray(noise.resize((32, 24), Image.Resampling.BICUBIC)))


def test_shrinking_averages_instead_of_skipping(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    inner = decode(tmp_path / "a.png", 8)[2:-2, 2:-2]
    assert abs(inner.astype(int) - 128).max() <= 6


# --- files that are not images ----------------------------------------------------------------------------


def test_empty_files_are_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).touch()
    paths = sorted(tmp_path.iterdir())
    assert len({files.sha256(path) for path in paths}) == 1
    store = PixelStore(tmp_path / "store", WHOLE)
    assert store.add({files.sha256(path): path for path in paths}) == {
        files.sha256(paths[0]): "the file is empty (0 bytes)"
    }


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".tiff", ".webp", ".bmp"])
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_truncated_files_are_damaged(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path)
    os.truncate(path, int(path.stat().st_size * share))
    assert reason(path, tmp_path).startswith(("damaged (", "not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF image"))


def test_a_damaged_png_is_reported_and_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    assert reason(path, tmp_path).startswith("damaged (")


@pytest.mark.parametrize("content", [b"hello\n", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"<html>404</html>"])
def test_what_is_no_image_is_called_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason(tmp_path / "a.jpg", tmp_path) == "not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF image"


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"])
def test_photographs_of_telephones_are_named(tmp_path: Path, brand: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(64))
    assert reason(tmp_path / "a.jpg", tmp_path) == "HEIC, which Pillow cannot read: convert it to JPEG"


def test_a_file_that_is_gone_is_not_called_damaged(tmp_path: Path) -> None:
    store = PixelStore(tmp_path, WHOLE)
    assert store.add({"0" * 64: tmp_path / "gone.png"}) == {"0" * 64: "cannot be read (No such file or directory)"}


def test_a_file_that_was_replaced_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    images = save(tmp_path / "images", range(2))
    old, second = images
    image(7).save(images[old])
    new = files.sha256(images[old])
    store = PixelStore(tmp_path / "store", WHOLE)
    assert store.add(images) == {old: f"its content is not what was listed (sha256 {new[:12]} instead of {old[:12]})"}
    assert holds(store, {second: images[second]})
    assert store.add({new: images[old]}) == {}
    assert holds(store, {new: images[old]})


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("odd"), AssertionError(), OSError("broken stream")])
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(path: Path, *how: Any) -> NDArray[np.uint8]:
        raise error

    images = save(tmp_path / "images", [0])
    monkeypatch.setattr(decoding, "decode_sizes", failing)
    assert list(PixelStore(tmp_path / "store", WHOLE).add(images).values()) == [
        f"damaged ({error if str(error) else 'AssertionError'})"
    ]


def test_a_lack_of_memory_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path, *how: Any) -> NDArray[np.uint8]:
        raise MemoryError

    monkeypatch.setattr(decoding, "decode_sizes", failing)
    with pytest.raises(MemoryError):
        PixelStore(tmp_path / "store", WHOLE).add(save(tmp_path / "images", [0]))


def test_bad_files_do_not_keep_good_ones_out(tmp_path: Path, decoded: list[Path]) -> None:
    images = save(tmp_path / "images", range(3))
    (tmp_path / "bad.jpg").write_text("hello")
    store = PixelStore(tmp_path / "store", WHOLE)
    bad = files.sha256(tmp_path / "bad.jpg")
    both = {bad: tmp_path / "bad.jpg", **images}
    assert list(store.add(both)) == [bad]
    assert holds(store, images)
    decoded.clear()
    assert list(PixelStore(tmp_path / "store", WHOLE).add(both)) == [bad]
    assert decoded == [tmp_path / "bad.jpg"]  # it may have been mended


def test_a_very_large_photograph_passes_and_an_absurd_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = save(tmp_path / "images", range(6))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 16 - 1)
    before = list(warnings.filters)
    store = PixelStore(tmp_path / "store", WHOLE)
    assert store.add(images) == {}
    assert warnings.filters == before
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 16 // 2 - 1)
    assert reason(next(iter(images.values())), tmp_path / "other").startswith("too large (")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_panorama_of_300_megapixels_arrives(tmp_path: Path, name: str) -> None:
    picture = Image.new("L", (30_000, 10_000), 200)
    picture.paste(50, (0, 0, 15_000, 10_000))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / name, exif=exif, compress_level=1)
    del picture
    key = files.sha256(tmp_path / name)
    store = PixelStore(tmp_path / "store", 32)
    assert store.add({key: tmp_path / name}) == {}
    pixels = stored(store, key)
    assert pixels.shape == (96, 32, 3)
    assert pixels[:46].max() <= 52
    assert pixels[50:].min() >= 198


def test_a_gigapixel_is_the_limit() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert 2 * Image.MAX_IMAGE_PIXELS == decoding.MOST_PIXELS == 10**9


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "1", "RGBA", "LA"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_huge_image_is_the_same_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image(5, (400, 300), mode).save(tmp_path / "a.tiff", exif=exif)
    plain = decode(tmp_path / "a.tiff", 20)
    monkeypatch.setattr(decoding, "HUGE", 1000)
    huge = decode(tmp_path / "a.tiff", 20)
    assert huge.shape == plain.shape == ((20, 27, 3) if orientation == 1 else (27, 20, 3))
    assert np.abs(huge.astype(int) - plain).mean() < 3


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_huge_image_keeps_twice_the_pixels_until_it_is_shrunk(tmp_path: Path, name: str) -> None:
    image(5, (1000, 700)).save(tmp_path / name)
    before: list[Image.Image] = []

    def shrink(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
        before.append(image)
        return decoding.by_pillow(image, size)

    with Image.open(tmp_path / name) as opened:
        assert decoding._decode_huge(opened, 32, shrink).shape == (32, 46, 3)
    assert 64 <= min(before[0].size) < 128


def test_huge_is_beyond_the_limit_of_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph at the limit has the bits of a full decoding."""
    assert decoding.HUGE == 1024**3 // 4 // 3
    calls: list[Image.Image] = []
    decode_huge = decoding._decode_huge

    def counted(opened: Image.Image, short_side: int, shrink: decoding.Shrink) -> NDArray[np.uint8]:
        calls.append(opened)
        return decode_huge(opened, short_side, shrink)

    monkeypatch.setattr(decoding, "_decode_huge", counted)
    image(5, (40, 30)).save(tmp_path / "a.jpg")
    for limit, expected in ((40 * 30, 0), (40 * 30 - 1, 1)):
        monkeypatch.setattr(decoding, "HUGE", limit)
        decode(tmp_path / "a.jpg", 8)
        assert len(calls) == expected


def test_huge_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ordinary ones beside them."""
    at_once = {"huge": 0, "most": 0}
    decode_huge = decoding._decode_huge

    def counted(opened: Image.Image, short_side: int, shrink: decoding.Shrink) -> NDArray[np.uint8]:
        at_once["huge"] += 1
        at_once["most"] = max(at_once.values())
        time.sleep(0.01)
        actual = decode_huge(opened, short_side, shrink)
        at_once["huge"] -= 1
        return actual

    monkeypatch.setattr(decoding, "_decode_huge", counted)
    monkeypatch.setattr(decoding, "HUGE", 30 * 30)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    images = save(tmp_path / "a", range(8), (40, 40)) | save(tmp_path / "b", range(8, 12), (20, 20))
    store = PixelStore(tmp_path / "store", WHOLE)
    assert store.add(images) == {}
    assert at_once == {"huge": 0, "most": 1}
    assert holds(store, images)


# --- from any file to the store --------------------------------------------------------------------


def kinds(folder: Path) -> dict[str, dict[str, object]]:
    """File name → how Pillow saves picture 5 under it."""
    exif = Image.Exif()
    exif[0x0112] = 3
    return {
        "grau.png": {"mode": "L"},
        "schwarzweiß.png": {"mode": "1"},
        "16 bit.png": {"mode": "I;16"},
        "druck.jpg": {"mode": "CMYK", "quality": 95},
        "durchsichtig.png": {"mode": "RGBA"},
        "палитра.gif": {"mode": "P"},
        "動く.webp": {"mode": "RGB", "save_all": True, "append_images": [image(6, (48, 32))], "lossless": True},
        "متحرك.png": {"mode": "RGB", "save_all": True, "append_images": [image(6, (48, 32))]},
        "kopfüber.jpg": {"mode": "RGB", "exif": exif, "quality": 95},
        "ohne Endung": {"mode": "RGB", "format": "BMP"},
    }


def test_every_kind_of_file_arrives_in_the_store_under_any_name(tmp_path: Path) -> None:
    arguments = kinds(tmp_path)
    for name, how in arguments.items():
        mode = str(how.pop("mode"))
        picture = image(5, (48, 32))
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
        elif mode != "RGB":
            picture = picture.convert(mode)
        if name.startswith("kopf"):
            picture = picture.transpose(Image.Transpose.ROTATE_180)
        picture.save(tmp_path / name, **how)  # type: ignore[arg-type]
    images = {files.sha256(tmp_path / name): tmp_path / name for name in arguments}
    store = PixelStore(tmp_path / "store", WHOLE)
    assert store.add(images) == {}
    expected = np.asarray(image(5, (48, 32))).astype(int)
    for key, path in images.items():
        actual = stored(store, key).astype(int)
        assert actual.shape == (32, 48, 3), path
        brightness = np.abs(actual.mean(axis=2) - expected.mean(axis=2)).mean()
        assert brightness < (120 if "weiß" in path.name else 25), path
        assert np.abs(actual[::-1, ::-1] - expected).mean() > 10, path


@pytest.mark.parametrize("name", ["ein Käse.png", "猫 🐈.png", "عربي.png", "a'b\"c,d;e.png", "a\nb.png", "%20.png"])
def test_names_in_any_script(tmp_path: Path, name: str) -> None:
    images = save(tmp_path / "ein Ordner 猫", [0])
    (old,) = images.values()
    renamed = dict.fromkeys(images, old.rename(old.parent / name))
    store = PixelStore(tmp_path / "söre", WHOLE)
    assert store.add(renamed) == {}
    assert holds(PixelStore(tmp_path / "söre", WHOLE), renamed)


def test_several_threads_may_read_one_store(tmp_path: Path) -> None:
    images = save(tmp_path / "images", range(6))
    store = PixelStore(tmp_path / "store", WHOLE)
    store.add(images)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(holds(store, images))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 4

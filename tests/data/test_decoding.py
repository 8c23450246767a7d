"""Images from anywhere: decoded right within limits, or refused by a reason."""

import contextlib
import io
import os
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from synthaug.data import decoding
from synthaug.data.decoding import by_pillow, by_torch, decode, large_photographs, open_image, try_decode
from synthaug.image_files import image_bytes
from tests.factories.images import image

WHOLE = 1000  # a short side that shrinks none of the images here
SIZE = (24, 18)


def why_not(path: Path) -> str:
    answer = try_decode(None, path, WHOLE)
    assert isinstance(answer, str)
    return answer


def pixels_of(path: Path) -> NDArray[np.uint8]:
    answer = try_decode(None, path, WHOLE)
    assert not isinstance(answer, str), answer
    return answer


# --- seconds ---------------------------------------------------------------------------------------------------------


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: each goes through all pixels again."""
    stream = io.BytesIO()
    Image.new("L", (side, side), 128).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content[content.rindex(b"\xff\xc4") : -2]
    return content[:-2] + scans * last + content[-2:]


def test_an_image_of_endless_work_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(many_scans(2000, 20))
    assert pixels_of(path).shape == (WHOLE, WHOLE, 3)
    path.write_bytes(many_scans(2000, 30_000))
    monkeypatch.setattr(decoding, "MOST_SECONDS", 0.1)
    started = time.thread_time()
    assert why_not(path).startswith("takes too long")
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.bmp"])
def test_formats_that_are_read_piece_by_piece_have_a_limit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(5, SIZE).save(tmp_path / name)
    load = decoding._load

    def load_late(opened: Image.Image) -> Image.Image:
        opened.fp._end = 0  # type: ignore[attr-defined]
        return load(opened)

    monkeypatch.setattr(decoding, "_load", load_late)
    assert why_not(tmp_path / name).startswith("takes too long")


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".ppm", ".ico", ".pcx", ".tga", ".jp2", ".dds", ".eps", ".pdf", ".sgi"])
@pytest.mark.parametrize("name", ["a", "a.png"])
def test_other_formats_are_not_opened_under_any_name(tmp_path: Path, suffix: str, name: str) -> None:
    image(5, SIZE).save(tmp_path / f"x{suffix}")
    path = (tmp_path / f"x{suffix}").rename(tmp_path / name)
    assert why_not(path).startswith("not a JPEG, PNG")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tiff", "a.avif"])
def test_accepted_formats_are_opened_under_any_name(tmp_path: Path, name: str) -> None:
    image(5, SIZE).save(tmp_path / name)
    assert pixels_of((tmp_path / name).rename(tmp_path / "x.eps")).shape == (*SIZE[::-1], 3)


@pytest.mark.parametrize(
    ("content", "tool"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 9\n" % 7, "git lfs pull"),
        (b"/annex/objects/SHA256E-s9--07.png\n", "git annex get"),
    ],
)
def test_pointers_name_the_tool_that_fetches_the_image(tmp_path: Path, content: bytes, tool: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert tool in why_not(tmp_path / "a.png")


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert why_not(tmp_path / "pipe.png") == "not a regular file"
    assert decoding.stored_bytes(tmp_path / "pipe.png", 8) == 0, "nor is it waited for where sizes are summed up"
    with pytest.raises(OSError, match="regular file"):
        image_bytes(tmp_path / "pipe.png")
    assert why_not(tmp_path / "gone.png") == f"a link to {tmp_path / 'nowhere.png'}, which does not exist"
    assert why_not(tmp_path / "loop.png").startswith("cannot be read (")


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.webp"])
def test_images_beyond_the_memory_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    image(5, (60, 50)).save(tmp_path / name)
    monkeypatch.setattr(decoding, "MOST_MEMORY", 60 * 50 * 11 - 1)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert why_not(tmp_path / name).startswith("too large (60 × 50 pixels")


@pytest.mark.parametrize(("mode", "most"), [("P", 9), ("RGB", 11), ("L", 9)])
def test_the_array_of_an_image_that_is_not_shrunk_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, most: int
) -> None:
    image(5, (400, 300), mode).save(tmp_path / "a.tiff")
    monkeypatch.setattr(decoding, "HUGE", 1000)
    for short_side, size in ((None, most), (300, most), (20, most - 3)):
        monkeypatch.setattr(decoding, "MOST_MEMORY", 400 * 300 * size)
        assert decode(tmp_path / "a.tiff", short_side).shape[:2] == ((20, 27) if short_side == 20 else (300, 400))
        if short_side != 20:
            monkeypatch.setattr(decoding, "MOST_MEMORY", 400 * 300 * size - 1)
            with pytest.raises(decoding.RefusedImageError, match="too large"):
                decode(tmp_path / "a.tiff", short_side)


@pytest.mark.parametrize("shrink", [by_pillow, by_torch])
@pytest.mark.parametrize(("short_side", "most"), [(None, 3.3), (20, 0.3)])
def test_a_huge_image_is_held_as_an_array_once_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shrink: decoding.Shrink, short_side: int | None, most: float
) -> None:
    """What Pillow holds beside the array is not seen here."""
    image(5, (40, 30), "P").resize((1600, 1200)).save(tmp_path / "a.gif")
    decode(tmp_path / "a.gif", 20, shrink)  # imports
    monkeypatch.setattr(decoding, "HUGE", 1000)
    monkeypatch.setattr(decoding, "_BAND", 2**16)
    content = (tmp_path / "a.gif").read_bytes()
    tracemalloc.start()
    try:
        decode(content, short_side, shrink)
        assert tracemalloc.get_traced_memory()[1] < most * 1600 * 1200
    finally:
        tracemalloc.stop()


def test_large_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(5, SIZE).save(tmp_path / "a.png")
    monkeypatch.setattr(decoding, "MOST_FILE_BYTES", 100)
    assert why_not(tmp_path / "a.png").startswith("too large (")


def test_the_coefficients_of_a_progressive_jpeg_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "HUGE", 1000)
    monkeypatch.setattr(decoding, "MOST_MEMORY", 400 * 300 * 5)
    for progressive in (False, True):
        image(5, (400, 300)).save(tmp_path / "a.jpg", progressive=progressive)
        answer = try_decode(None, tmp_path / "a.jpg", 20)
        assert isinstance(answer, str) == progressive


def test_threads_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, held, most = decoding._Memory(100), [0], [0]
    lock = threading.Lock()

    def work(size: int) -> None:
        with memory.hold(size):
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
            time.sleep(0.003)
            with lock:
                held[0] -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (100, 40, 30, 60, 70, 10, 100, 55)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [0]
    assert 70 <= most[0] <= 100


def test_decoding_holds_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    hold = decoding._memory.hold

    def recorded_hold(size: int) -> contextlib.AbstractContextManager[None]:
        asked.append(size)
        return hold(size)

    monkeypatch.setattr(decoding._memory, "hold", recorded_hold)
    image(5, (60, 50)).save(tmp_path / "a.png")
    image(5, (60, 50), "L").save(tmp_path / "b.png")
    for limit in (decoding.HUGE, 1000):
        monkeypatch.setattr(decoding, "HUGE", limit)
        pixels_of(tmp_path / "a.png")
        pixels_of(tmp_path / "b.png")
    assert asked == [33000, 27000, 33000, 27000]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "I;16", "F"])
def test_bands_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    if mode in ("I;16", "F"):
        values = np.asarray(image(5, SIZE, "L"))
        picture = Image.fromarray(values.astype(np.uint16) * 257 if mode == "I;16" else values.astype(np.float32))
    else:
        picture = image(5, SIZE, mode)
    picture.save(tmp_path / "a.tiff")
    whole = decode(tmp_path / "a.tiff", WHOLE)
    monkeypatch.setattr(decoding, "_BAND", 5 * SIZE[0])
    assert np.array_equal(decode(tmp_path / "a.tiff", WHOLE), whole)


# --- metadata --------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("size", [2_000_000, 30_000_000])
@pytest.mark.parametrize(
    "make",
    [
        lambda text: chunk(b"zTXt", b"workflow\0\0" + zlib.compress(text)),
        lambda text: chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(text)),
        lambda text: chunk(b"iCCP", b"profile\0\0" + zlib.compress(text)),
        lambda text: chunk(b"tEXt", b"workflow\0" + text) * 4,
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_large_text_and_profiles_are_no_damage(
    tmp_path: Path, make: Callable[[bytes], bytes], size: int, last: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image(5, SIZE).save(tmp_path / "a.png", exif=exif)
    expected = pixels_of(tmp_path / "a.png")
    assert expected.shape == (*SIZE, 3)
    content, metadata = (tmp_path / "a.png").read_bytes(), make(b"node " * (size // 5))
    place = len(content) - 12 if last else 33
    (tmp_path / "a.png").write_bytes(content[:place] + metadata + content[place:])
    assert np.array_equal(pixels_of(tmp_path / "a.png"), expected)


def test_a_damaged_png_with_large_text_stays_damaged(tmp_path: Path) -> None:
    image(5, SIZE).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    text = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(20_000_000)))
    (tmp_path / "a.png").write_bytes((content[:33] + text + content[33:])[:-40])
    assert why_not(tmp_path / "a.png").startswith("damaged (")


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(0x011A, 10, struct.pack("<ii", -1, 0)), (0x829A, 5, struct.pack("<II", 1, 0)), (0x9999, 77, bytes(8))],
)
def test_a_photograph_is_turned_whatever_else_its_exif_says(tmp_path: Path, tag: int, kind: int, value: bytes) -> None:
    offset = 8 + 2 + 24 + 4
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 8, 0) + struct.pack("<HHII", tag, kind, 1, offset)
    odd = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0) + value
    plain = Image.Exif()
    plain[0x0112] = 8
    image(5, SIZE).save(tmp_path / "odd.jpg", exif=odd)
    image(5, SIZE).save(tmp_path / "plain.jpg", exif=plain)
    assert pixels_of(tmp_path / "odd.jpg").shape == (*SIZE, 3)
    assert np.array_equal(pixels_of(tmp_path / "odd.jpg"), pixels_of(tmp_path / "plain.jpg"))


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0", b"Exif\0\0junk and more junk"])
def test_damaged_exif_turns_nothing(tmp_path: Path, exif: bytes) -> None:
    image(5, SIZE).save(tmp_path / "a.jpg", exif=exif)
    with large_photographs():
        assert pixels_of(tmp_path / "a.jpg").shape == (*SIZE[::-1], 3)


# --- deep grey -------------------------------------------------------------------------------------------------------


def with_white_as_zero(path: Path) -> None:
    """Set PhotometricInterpretation of a little-endian TIFF to 0."""
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for number in range(struct.unpack_from("<H", content, start)[0]):
        entry = start + 2 + 12 * number
        if struct.unpack_from("<H", content, entry)[0] == 262:
            struct.pack_into("<H", content, entry + 8, 0)
    path.write_bytes(content)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "deepen",
    [
        lambda values: values,
        lambda values: values.astype(np.uint16) * 257,
        lambda values: values.astype(np.float32) / 255,
    ],
)
def test_white_as_zero_is_black_where_the_file_says_so(
    tmp_path: Path, deepen: Callable[[NDArray[np.uint8]], NDArray[np.generic]], compression: str | None, turned: bool
) -> None:
    upright = np.asarray(image(5, SIZE, "L"))
    upright = np.where(upright == upright.max(), 255, upright).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3 if turned else 1
    stored = 255 - (upright[::-1, ::-1] if turned else upright)
    Image.fromarray(np.ascontiguousarray(deepen(stored))).save(tmp_path / "a.tiff", exif=exif, compression=compression)
    with_white_as_zero(tmp_path / "a.tiff")
    assert np.array_equal(pixels_of(tmp_path / "a.tiff")[..., 0], upright)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0.0, 4012.0]], dtype=np.float32),
        np.array([[-1.0, 1.0]], dtype=np.float32),
        np.array([[0.0, 1.02]], dtype=np.float32),
        np.array([[0.5, np.inf]], dtype=np.float32),
        np.array([[0, 70_000]], dtype=np.int32),
        np.array([[-5, 200]], dtype=np.int32),
    ],
)
def test_grey_of_no_known_scale_is_refused(tmp_path: Path, values: NDArray[np.generic]) -> None:
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert why_not(tmp_path / "a.tiff").endswith("save it with 8 or 16 bits")


def test_opening_decodes_nothing(tmp_path: Path) -> None:
    content = io.BytesIO()
    image(5, SIZE).save(content, "PNG")
    with open_image(io.BytesIO(content.getvalue()[:60])) as opened:
        assert opened.size == SIZE


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 10**6))
def test_pytorch_shrinks_as_pillow_does(width: int, height: int, seed: int) -> None:
    random, picture = np.random.default_rng(seed), image(seed, (width, height))
    size = int(random.integers(1, width + 1)), int(random.integers(1, height + 1))
    shrunk = decoding.by_torch(picture, size)
    assert shrunk.flags.c_contiguous
    assert shrunk.shape == (*size[::-1], 3)
    assert np.abs(shrunk.astype(int) - decoding.by_pillow(picture, size)).max() <= 8  # of photographs 2

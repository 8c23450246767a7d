"""Web files: whole however often the line breaks, and named when they cannot be had."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synthaug.data.sources import download
from synthaug.data.sources.download import GoneError, UnreachableError, lines, read
from synthaug.errors import UserError
from tests.factories.servers import Server, serve

CONTENT = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    monkeypatch.setattr(download, "_PIECE", 1000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    (tmp_path / "a.csv").write_text("Käse,1\r\n猫,2\nlast", encoding="utf-8", newline="")
    with serve(tmp_path) as server:
        yield server


def test_a_file_comes_read(server: Server, tmp_path: Path) -> None:
    assert read(f"{server.address}/a.bin") == CONTENT
    assert read((tmp_path / "a.bin").as_uri()) == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_line_is_taken_up_where_it_broke(server: Server, ranges: bool) -> None:
    server.ranges = ranges
    server.breaks["a.bin"] = 3
    assert read(f"{server.address}/a.bin") == CONTENT
    assert server.requests["a.bin"] == 4


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.busy["a.bin"] = download._ATTEMPTS - 1
    assert read(f"{server.address}/a.bin") == CONTENT


def test_a_server_that_stays_busy_is_named(server: Server) -> None:
    server.busy["a.bin"] = 100
    with pytest.raises(UnreachableError, match=rf"{server.address}/a\.bin cannot be reached: HTTP 503"):
        read(f"{server.address}/a.bin")
    assert server.requests["a.bin"] == download._ATTEMPTS


def test_what_is_not_there_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(GoneError, match="no such file"):
        read(f"{server.address}/b.bin")
    assert server.requests["b.bin"] == 1
    with pytest.raises(GoneError, match="no such file"):
        read((tmp_path / "b.bin").as_uri())


def test_no_server_at_all_is_the_users_to_mend(server: Server) -> None:
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/a cannot be reached: .*refused"):
        read("http://127.0.0.1:9/a")


def test_lines_keep_their_ends_and_their_letters(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 3, 1000):
        monkeypatch.setattr(download, "_PIECE", size)
        assert list(lines(f"{server.address}/a.csv", "list")) == ["Käse,1\r\n", "猫,2\n", "last"]

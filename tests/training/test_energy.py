"""Energy by counters that are made up: what is added up, where they begin anew, and where nothing is measured."""

import itertools
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.training import energy
from synthaug.training.energy import JOULES_PER_KWH, Counter, Meter


def counter(readings: list[float], span: float | None = None) -> Counter:
    """Gives the readings one after the other, then the last one again and again."""
    given = itertools.chain(readings, itertools.repeat(readings[-1]))
    return Counter("made up", lambda: next(given), span)


def joules(*counters: Counter) -> float | None:
    with Meter(counters) as meter:
        pass
    return None if meter.kwh is None else meter.kwh * JOULES_PER_KWH


def test_what_counters_count_is_added_up() -> None:
    assert joules(counter([100.0, 350.0]), counter([0.0, 50.0])) == pytest.approx(300)


def test_a_counter_that_begins_anew() -> None:
    assert joules(counter([900.0, 100.0], span=1000.0)) == pytest.approx(200)


@given(st.lists(st.floats(0, 90), min_size=1, max_size=20), st.floats(0, 99))
def test_a_wrapping_counter_read_often_enough_loses_nothing(used: list[float], start: float) -> None:
    readings = [value % 100.0 for value in itertools.accumulate([start, *used])]
    meter = Meter([counter(readings, span=100.0)])
    for _ in readings:
        meter._add()
    assert meter.kwh is not None
    assert meter.kwh * JOULES_PER_KWH == pytest.approx(sum(used), abs=1e-6)


def test_counters_are_read_while_the_block_runs() -> None:
    read = itertools.count()
    with Meter([Counter("made up", lambda: float(next(read)))], every=0.001):
        while next(read) < 20:
            time.sleep(0.001)


def test_without_counters_nothing_is_measured() -> None:
    assert joules() is None


def test_a_counter_that_runs_backwards_or_fails_measures_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert joules(counter([100.0, 50.0])) is None
    assert "the counter of made up ran backwards" in caplog.text

    def readings() -> Iterator[float]:
        yield 1.0
        raise OSError("gone")

    given = readings()
    assert joules(Counter("made up", lambda: next(given))) is None
    assert "Energy is not measured any more: gone" in caplog.text


def test_a_block_that_fails_stops_the_meter() -> None:
    meter = Meter([counter([0.0, 1.0])])
    with pytest.raises(RuntimeError), meter:
        raise RuntimeError
    assert not meter._thread.is_alive()


# --- where counters are ------------------------------------------------------------------------------


def zone(root: Path, place: str, name: str, microjoules: str = "5000000") -> Path:
    folder = root / place
    folder.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", "262143328850")):
        (folder / file).write_text(f"{text}\n", encoding="ascii")
    return folder


def test_packages_and_memory_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:0", "core")
    zone(tmp_path, "intel-rapl:0:1", "dram")
    zone(tmp_path, "intel-rapl:1", "psys")
    (zone(tmp_path, "intel-rapl:2", "package-1") / "energy_uj").unlink()
    zone(tmp_path, "intel-rapl:3", "package-2", "not readable")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    found = energy.counters()
    assert [item.name for item in found] == ["package-0 (intel-rapl:0)", "dram (intel-rapl:0:1)"]
    assert [item.read() for item in found] == [5.0, 5.0]
    assert found[0].span == pytest.approx(262143.32885)


class NVML(types.ModuleType):
    """A made-up `pynvml` with one GPU."""

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != "GPU-1":
            raise RuntimeError("not found")
        return uuid

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "Some GPU"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return 1234


def test_gpus_by_nvml_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", NVML("pynvml"))
    (found,) = energy.counters(["GPU-1"])
    assert (found.name, found.read(), found.span) == ("Some GPU (GPU-1)", 1.234, None)
    assert energy.counters(["GPU-1", "GPU-2"]) == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.counters(["GPU-1"]) == []

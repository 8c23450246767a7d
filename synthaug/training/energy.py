"""Energy as the machine's own counters measure it: NVIDIA's through NVML, the processor's and memory's through RAPL.

Each counts everything that runs on its device, so what else the machine does at the time is in the figure, and fans,
disks and power supply are not. Where there is no counter that may be read, nothing is measured and nothing is guessed.
"""

import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
JOULES_PER_KWH = 3.6e6
# Seconds between two readings: at 300 W the smallest of Intel's counters, of 65 kJ, begins anew every 200 seconds.
EVERY = 30.0


@dataclass(frozen=True)
class Counter:
    """A counter of energy.

    Attributes:
        name: what it counts.
        read: joules since some moment.
        span: joules after which it begins anew at 0; None if it never does.
    """

    name: str
    read: Callable[[], float]
    span: float | None = None


class Meter:
    """Adds up what counters count while the `with` block runs.

    Args:
        counters: which; none measures nothing.
        every: seconds between two readings, less than any counter takes to begin anew.
    """

    def __init__(self, counters: Sequence[Counter], every: float = EVERY) -> None:
        self.counters = counters
        self._every = every
        self._joules: float | None = 0.0 if counters else None
        self._last: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> "Meter":
        if self._joules is not None:
            self._add()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            self._add()

    @property
    def kwh(self) -> float | None:
        """Kilowatt-hours of all counters together; None where there is none, or one could not be read throughout."""
        return None if self._joules is None else self._joules / JOULES_PER_KWH

    def _go_on(self) -> None:
        while not self._stop.wait(self._every):
            self._add()

    def _add(self) -> None:
        """Add what was counted since the last reading."""
        if self._joules is None:
            return
        try:
            now = [counter.read() for counter in self.counters]
        except Exception as error:  # NVML's are its own; a run does not fail for want of a figure beside it
            log.warning("Energy is not measured any more: %s", error)
            self._joules = None
            return
        for counter, before, after in zip(self.counters, self._last or now, now, strict=True):
            if after < before and counter.span is None:
                log.warning("Energy is not measured any more: the counter of %s ran backwards", counter.name)
                self._joules = None
                return
            self._joules += after - before + (counter.span or 0.0) * (after < before)
        self._last = now


def counters(gpus: Sequence[str] = ()) -> list[Counter]:
    """The counters of this machine that may be read.

    Args:
        gpus: UUIDs of the NVIDIA GPUs that are used, "GPU-…".
    """
    return [*_processors(POWERCAP), *_gpus(gpus)]


def _processors(root: Path) -> list[Counter]:
    """RAPL's packages and their memory; "psys" counts the packages once more, "core" and "uncore" are parts of one."""
    found = []
    for folder in sorted(root.glob("intel-rapl:*")):  # AMD's processors are listed under the same name
        try:
            name = (folder / "name").read_text(encoding="ascii").strip()
            span = float((folder / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            counter = Counter(f"{name} ({folder.name})", _microjoules(folder / "energy_uj"), span)
            counter.read()
        except (OSError, ValueError):  # most systems let only root read it
            continue
        if name.startswith(("package", "dram")):
            found.append(counter)
    return found


def _microjoules(path: Path) -> Callable[[], float]:
    return lambda: float(path.read_text(encoding="ascii")) / 1e6


def _gpus(uuids: Sequence[str]) -> list[Counter]:
    """NVML's counters, which GPUs since Volta (2017) have; all of `uuids` or none."""
    if not uuids:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's old name
            import pynvml

        pynvml.nvmlInit()
        found = [_gpu(pynvml, uuid) for uuid in uuids]
        for counter in found:
            counter.read()
    except Exception as error:  # not installed, no driver, no permission, no counter
        log.debug("GPU energy is not measured: %s", error)
        return []
    return found


def _gpu(nvml: Any, uuid: str) -> Counter:
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    name = nvml.nvmlDeviceGetName(handle)
    return Counter(f"{name} ({uuid})", lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3)

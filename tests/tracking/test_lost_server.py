"""A server of W&B that is lost: no run is failed or waits for it, and what it lacks is told with the way out."""

import functools
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from synthaug.runs import layout
from synthaug.tracking import connection, run_ids, tolerant
from tests.factories.commands import Commands
from tests.factories.servers import serve
from tests.factories.wandb_server import serve_wandb


class Server(WandbLogger):
    """W&B's logger with a server that is lost, and no service; or with one that was killed so many times."""

    def __init__(self, mode: str = "online", logs: bool = False, kills: list[int] | None = None, **_: Any) -> None:
        super().__init__(project="p")
        self.mode, self.logs, self.kills, self.steps = mode, logs, kills or [], list[int]()

    @property
    def experiment(self) -> Any:
        if self.mode == "online":
            raise ConnectionError("the server is gone")
        if self.mode == "offline" and self.kills:
            wandb.run = SimpleNamespace(id=f"dead {self.kills.pop()}")  # type: ignore[assignment]
            raise ConnectionResetError("Connection lost")
        return SimpleNamespace(id="a")

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.steps.append(step or 0)
        if not self.logs:
            raise ConnectionResetError("its service is gone")


def test_a_run_that_cannot_begin_online_is_offline(caplog: pytest.LogCaptureFixture) -> None:
    logger = tolerant.open_logger(Server, {"mode": "online"}, "real-seed0")
    assert isinstance(logger, Server)
    assert logger.mode == "offline"
    assert "the server is gone" in caplog.text


@pytest.mark.parametrize(("kills", "mode"), [(1, "offline"), (2, "disabled")])
def test_a_run_whose_service_is_killed_while_it_begins_has_another_one_or_none(kills: int, mode: str) -> None:
    logger = tolerant.open_logger(Server, {"mode": "offline", "kills": list(range(kills))}, "real-seed0")
    assert isinstance(logger, Server)
    assert logger.mode == mode
    assert logger.experiment.id == "a"
    assert wandb.run is None, "the next run would be logged to this one"


@pytest.mark.parametrize("code", [None, 247])  # of the service, with which W&B would end the process
def test_a_run_whose_service_is_killed_before_it_ends_leaves_nothing_for_the_next(
    code: int | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(**_: object) -> None:
        raise SystemExit(code) if code else ConnectionResetError("Connection lost")

    def finish(**_: object) -> None:
        raise ConnectionResetError("Connection lost")

    monkeypatch.setattr("wandb.finish", finish)
    monkeypatch.setattr("wandb.teardown", lost)
    monkeypatch.setattr("wandb.run", SimpleNamespace(id="dead"))
    run: Any = SimpleNamespace(id="a", name="real-seed0", offline=True)
    tolerant.finish([WandbLogger(project="p", experiment=run)], failed=False)
    assert wandb.run is None
    assert "real-seed0" in caplog.text


def test_a_logger_that_fails_is_told_of_once_and_left(caplog: pytest.LogCaptureFixture) -> None:
    connection._shown.clear()
    logger = tolerant.open_logger(Server, {"mode": "offline"}, "real-seed0")
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    assert isinstance(logger, Server)
    assert logger.steps == [0]
    assert caplog.text.count("its service is gone") == 1


def test_a_logger_that_works_is_used(tmp_path: Path) -> None:
    logger = tolerant.open_logger(Server, {"mode": "offline", "logs": True}, "real-seed0")
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    assert isinstance(logger, Server)
    assert logger.steps == [0, 1, 2]
    assert isinstance(tolerant.open_logger(functools.partial(CSVLogger, tmp_path), {}, ""), CSVLogger)


@pytest.fixture
def at_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Where W&B's server is, and an answer that it gives."""
    with serve(tmp_path) as server:
        settings = SimpleNamespace(base_url=server.address)
        monkeypatch.setattr("wandb.setup", lambda: SimpleNamespace(settings=settings))
        yield SimpleNamespace(server=server, settings=settings)


def test_a_server_that_answers_anything_but_its_failure_is_there(at_address: Any, tmp_path: Path) -> None:
    assert connection.problem() == "", "404"
    at_address.server.forbidden = True
    assert connection.problem() == "", "403"
    at_address.server.forbidden = False
    (tmp_path / "a").touch()
    at_address.server.busy["a"] = 1
    at_address.settings.base_url += "/a"
    assert "503" in connection.problem()
    at_address.settings.base_url = "http://127.0.0.1:9"
    assert "127.0.0.1:9" in connection.problem()


def test_what_the_server_lacks_is_told_until_it_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "a study"
    folder = study / "wandb" / "run-1-a"
    (folder / "files").mkdir(parents=True)

    def finish(**_: object) -> None:
        raise TimeoutError("it takes too long")

    monkeypatch.setattr("wandb.finish", finish)
    logger = WandbLogger(project="p", experiment=SimpleNamespace(id="a", name="real", offline=False, dir=folder / "f"))  # type: ignore[arg-type]
    tolerant.finish([logger], failed=False)
    words = shlex.split(run_ids.upload_hint(study).splitlines()[1])
    assert words[-2:] == ["--include-online", str(folder)]
    (study / "wandb" / "offline-run-1-b").mkdir()
    assert run_ids.upload_hint(study).splitlines()[1].endswith("/offline-run-*")
    (folder / "run-a.wandb.synced").touch()
    assert str(folder) not in run_ids.upload_hint(study)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "after"), [("reset", 20), ("hang", 20), ("500", 10), ("429", 30)])
def test_a_sweep_whose_server_is_lost_ends_whole(fault: str, after: int, tmp_path: Path) -> None:
    """Most of its time is W&B's own: each artifact waits 20 s for the server."""
    with serve_wandb(fault, after) as address:
        variables = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40, "WANDB_FINISH_TIMEOUT": "5"}
        commands = Commands(tmp_path, {**variables, "SYNTHAUG_TARGETS": "tests"})
        code, printed = commands.run("-m", "mix=real,55", "logger=wandb")
    assert code == 0, printed
    assert "Traceback" not in printed
    assert all((commands.run_folder(arm) / layout.RESULT).is_file() for arm in ("real", "55"))
    assert "wandb sync --include-online " in printed

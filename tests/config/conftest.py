"""Compositions of the shipped configuration are kept: each takes a fifth of a second, and many tests need the same."""

from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict, read_write

from synthaug.config import schema
from synthaug.config.compose import Composer

_KEPT: dict[tuple[object, ...], DictConfig] = {}


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    """What Hydra finds in its store; tests that register studies of their own take them away again."""
    schema.register()


@pytest.fixture(autouse=True)
def kept_compositions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose what no file of a test's own takes part in once in a process."""
    compose_files = Composer._compose_files

    def compose_once(composer: Composer, overrides: tuple[str, ...]) -> DictConfig:
        if composer._hydra_overrides or any("experiments" in override for override in overrides):
            return compose_files(composer, overrides)
        folders = str(GlobalHydra.instance().config_loader().get_search_path())
        key = (*overrides, folders, composer._config_name, *sorted(ConfigStore.instance().repo.get("mix", {})))
        if key not in _KEPT:
            _KEPT[key] = compose_files(composer, overrides)
        config = _KEPT[key].copy()
        with read_write(config), open_dict(config):
            config.hydra.runtime.cwd = str(Path.cwd())
        return config

    monkeypatch.setattr(Composer, "_compose_files", compose_once)

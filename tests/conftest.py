"""Settings and fixtures that tests share."""

import gc
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Tests run side by side, and two OpenMP teams on one core wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SYNTHAUG_TARGETS"] = "tests"  # which is allowed to be called, as a package of a user's would be

# A slow moment of the machine is not a failure; 40 examples are drawn anew in each run.
settings.register_profile("steady", deadline=None, max_examples=40)
settings.load_profile("steady")


LONGEST = ("execution", "config", "training", "tracking", "generation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that take longest: files are shared out whole, and the last one has a core of its own."""
    rank = {folder: number for number, folder in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(Path(__file__).parent).parts[0], len(rank)))


def pytest_collection_finish() -> None:
    """Keep the collector from what is imported by now: every run of a test would look through all of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline by the name of its architecture; read only, saved at its first use."""
    root = tmp_path_factory.mktemp("pipelines")

    def saved(kind: str) -> Path:
        if not (root / kind).exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # whatever the libraries say of themselves while they are imported
                from tests.factories.further_pipelines import BUILDERS, build
                from tests.factories.pipelines import SAVERS

                if kind in BUILDERS:
                    build(kind).save_pretrained(root / kind)
                else:
                    SAVERS[kind](root / kind)
        return root / kind

    return saved

"""A few hundred cases of each family in every run of the tests; `benchmarks/fuzz.py` runs a million."""

import logging
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.checked_rows import append_checked_rows, read_checked_rows, write_checked_rows
from synthaug.config import schema
from synthaug.errors import UserError
from synthaug.row_log import DamagedLogError, logged_rows
from tests.factories.commands import jobs_of
from tests.fuzz import cases

QUICK = [name for name in cases.FAMILIES if name not in ("configuration", "command_line_composed", "yaml_files")]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged files
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("family", QUICK)
def test_random_input_is_taken_in_or_refused(family: str) -> None:
    @settings(max_examples=150, database=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        cases.FAMILIES[family][0](random.Random(seed))

    run()


@pytest.mark.parametrize("family", ["configuration", "command_line_composed", "yaml_files"])
def test_random_configurations_are_composed_or_refused(family: str) -> None:
    @settings(max_examples=3, database=None)
    @given(st.integers(0, 2**63))
    def run(seed: int) -> None:
        cases.FAMILIES[family][0](random.Random(seed))

    run()


# What it has found.


def test_a_carriage_return_in_a_cell_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [["a\rb", "\r", 'c"\n'], ["", "d\r\n", "e"]]
    write_checked_rows(tmp_path / "rows.csv", ["x", "y", "z"], rows)
    append_checked_rows(tmp_path / "rows.csv", ["x", "y", "z"], rows)
    assert read_checked_rows(tmp_path / "rows.csv", ["x", "y", "z"]) == (rows * 2, [])


@pytest.mark.parametrize(
    "override",
    ["sampling=${nowhere}", "screening=${nowhere}", "dataset.split=${nowhere}", "dataset.image_size=${oc.env:HOME}"],
)
def test_a_reference_that_leads_nowhere_is_refused_in_a_sentence(override: str) -> None:
    schema.register()
    with pytest.raises(UserError, match=override.partition("=")[0]):
        jobs_of("mix=real", override)


def test_a_logger_without_a_target_is_refused_in_a_sentence() -> None:
    schema.register()
    with pytest.raises(UserError, match="_target_"):
        jobs_of("mix=real", "logger=csv", "logger.csv._target_=null", "logger.csv.nmae=1")


def test_a_log_whose_header_is_no_row_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"class\r,x\n")
    with pytest.raises(DamagedLogError, match="line 1"):
        list(logged_rows(tmp_path / "log.csv", ["class", "x"]))

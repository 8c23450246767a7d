"""The simulations of further designs: each yields its rows, and the page shows what was simulated."""

import json
from itertools import islice

import numpy as np
import pytest

from benchmarks import designs


@pytest.mark.parametrize("part", designs.PARTS)
def test_every_part_has_rows_of_the_columns_on_the_page(part: str) -> None:
    rows = list(islice(designs.PARTS[part](np.random.default_rng(0), 5), 2))
    recorded = json.loads(designs.RESULTS.read_text())[part]["rows"]
    assert rows
    assert all(list(row) == list(recorded[0]) for row in [*rows, *recorded])


@pytest.mark.parametrize("part", designs.PARTS)
def test_the_page_shows_what_was_simulated(part: str) -> None:
    page = designs.RESULTS.with_name("README.md").read_text()
    assert designs.table(json.loads(designs.RESULTS.read_text())[part]["rows"]) in page

"""Keys that hold text keep it as it is typed."""

import pytest

from synthaug.config import schema
from synthaug.config.command_line import normalize_override
from tests.factories.commands import jobs_of


@pytest.mark.parametrize("name", ["2023_11_02", "7e2", "45e99999", "007", "True", "nan", "1_0.5", "+3", "a7e2"])
def test_a_study_has_the_name_that_was_typed(name: str) -> None:
    schema.register()
    job, _ = jobs_of("-m", "mix=real,64", f"experiment={name}")
    assert job.settings["experiment"] == name


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("dataset.root=1_5,b", "dataset.root='1_5',b"),
        ("generator.revision=12e34", "++generator.revision='12e34'"),
        ("prompts.names.cat=1_0", "++prompts.names.cat='1_0'"),
        ("prompts.names.big cat=1_0", "++prompts.names={big cat: '1_0'}"),
        ("model.weights=null", "++model.weights=null"),
        ("seed=1_0", "seed=1_0"),
        ("model.lr=1e-3", "++model.lr=1e-3"),
        ("experiment='1e3'", "experiment='1e3'"),
    ],
)
def test_numbers_among_texts_are_quoted(typed: str, normalized: str) -> None:
    assert normalize_override(typed) == normalized

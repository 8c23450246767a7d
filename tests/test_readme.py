"""What the README tells people to type works, and its map names every file."""

import re
from pathlib import Path

import pytest

from synthaug.config import schema, sweep
from synthaug.models.backbones import build_backbone
from tests.factories.images import write_dataset

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```yaml\n# conf/(\w+)/(\w+)\.yaml[^\n]*\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def own_configs(tmp_path: Path) -> Path:
    """The README's YAML files, in a folder of the user's own."""
    photos = write_dataset(tmp_path / "photos")
    for group, name, text in SNIPPETS:
        path = tmp_path / "mine" / group / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text.replace("/data/shelter", str(photos)), encoding="utf-8")
    return tmp_path / "mine"


def test_one_yaml_each_for_a_ratio_a_backbone_and_a_dataset(own_configs: Path) -> None:
    assert [group for group, _, _ in SNIPPETS] == ["mix", "model", "dataset"]
    schema.register()
    jobs = sweep.jobs_of(
        [f"--config-dir={own_configs}", schema.quote_choices("mix=91"), "model=convnext", "dataset=shelter"]
    )
    assert jobs is not None
    (job,) = jobs
    assert job.key.folder == Path("shelter/tiny_digits/convnext/91/seed0")
    assert (job.settings["mix"]["real"], job.settings["mix"]["synthetic"]) == (0.1, 0.9)
    backbone = build_backbone(job.settings["model"]["backbone"], None, num_classes=2)
    assert sum(parameter.numel() for parameter in backbone.parameters()) > 1_000_000


def test_commands_for_own_photographs_pass_every_check(tmp_path: Path) -> None:
    section = README.partition("## Your own photographs")[2]
    command = re.search(r"python -m synthaug\.train (.*?)\n\n", section.replace("\\\n", " "), re.DOTALL)
    assert command is not None
    photos = str(write_dataset(tmp_path / "photos"))
    schema.register()
    arguments = [sweep.as_hydra_reads(word) for word in command[1].replace("photos", photos).split()]
    jobs = sweep.jobs_of(arguments)
    assert jobs is not None
    assert [job.key.arm for job in jobs] == ["real", "55", "64", "73", "82"]


def test_map_names_every_module() -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "synthaug").rglob("*.py") if path.name != "__init__.py"}
    listed = set(re.findall(r"`(synthaug/[\w/]+\.py)`", ARCHITECTURE))
    assert listed == modules


def test_table_of_mixes_names_every_file() -> None:
    section = README.partition("## A mix is two numbers")[2].partition("##")[0]
    files = {path.stem for path in (ROOT / "conf" / "mix").glob("*.yaml")}
    assert set(re.findall(r"`(\w+)`(?=[^|]*\|)", section)) - {"real", "synthetic"} == files - {"real", "synthetic"}


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)[^)]*\)", README + ARCHITECTURE))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()

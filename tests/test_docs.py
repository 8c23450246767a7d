"""What the documents tell people to type works, and their links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import pytest

from synthaug.config import schema
from synthaug.generation.prompts import read_prompts
from synthaug.generation.synthetic_set import SyntheticSet
from synthaug.models.backbones import build_backbone
from synthaug.runs.discovery import find_runs
from tests.factories.commands import jobs_of
from tests.factories.images import image, write_dataset
from tests.factories.studies import DIGITS, MadeUp, make_study
from tests.factories.weights import write_checkpoint

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "experiments").rglob("*.md")]
}
LINKS = [(name, link) for name, text in DOCUMENTS.items() for link in re.findall(r"\]\(([^)]+)\)", text)]
SNIPPETS = re.findall(r"```yaml\n# conf/(\w+)/(\w+)\.yaml[^\n]*\n(.*?)```", DOCUMENTS["docs/extending.md"], re.DOTALL)


@pytest.fixture
def own_configs(tmp_path: Path) -> Path:
    """Write the YAML files of the documents into a folder of the user's own."""
    photos = write_dataset(tmp_path / "photos")
    for group, name, text in SNIPPETS:
        path = tmp_path / "mine" / group / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("/data/shelter", str(photos)), encoding="utf-8")
    return tmp_path / "mine"


def test_one_yaml_each_for_a_mix_a_model_and_a_dataset(own_configs: Path) -> None:
    assert [group for group, _, _ in SNIPPETS] == ["mix", "model", "dataset", "prompts", "dataset"]
    schema.register()
    (job,) = jobs_of(f"--config-dir={own_configs}", "mix=91", "model=convnext", "dataset=shelter", "prompts=night")
    assert job.key.folder.match("shelter/91-tiny_digits-convnext-??????/seed0")
    assert (job.settings["mix"]["real"], job.settings["mix"]["synthetic"]) == (0.1, 0.9)
    prompts = read_prompts(job.settings["prompts"], None)
    prompts.check(["fox"])
    assert {text.rpartition(", ")[0].rpartition(", ")[2] for text in prompts.distinct("fox", 8)} == {
        "at dusk",
        "at night under a street lamp",
    }
    backbone = build_backbone(job.settings["model"]["backbone"], None, num_classes=2)
    assert sum(parameter.numel() for parameter in backbone.parameters()) > 1_000_000


def test_commands_for_own_photographs_pass_every_check(tmp_path: Path) -> None:
    section = DOCUMENTS["README.md"].partition("## Your own photographs")[2]
    command = re.search(r"python -m synthaug\.train (.*?)\n\n", section.replace("\\\n", " "), re.DOTALL)
    assert command is not None
    photos = str(write_dataset(tmp_path / "photos"))
    schema.register()
    jobs = jobs_of(*command[1].replace("photos", photos).split())
    assert [job.arm for job in jobs] == ["real", "55", "64", "73", "82"]


def test_table_of_mixes_names_every_file() -> None:
    section = DOCUMENTS["docs/user-guide.md"].partition("## Mixes")[2].partition("##")[0]
    files = {path.stem for path in (ROOT / "conf" / "mix").glob("*.yaml")}
    assert set(re.findall(r"`(\w+)`(?=[^|]*\|)", section)) - {"real", "synthetic"} == files - {"real", "synthetic"}


def test_python_examples_run(tmp_path: Path) -> None:
    """One after the other, on a made-up study; examples of classes of the user's own are those of docs/extending.md."""
    study = make_study(tmp_path / "study", MadeUp())
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENTS["docs/python-api.md"], re.DOTALL)
    for run in find_runs(study):
        write_checkpoint(run.folder / "best.ckpt", DIGITS)
    image(0).save(tmp_path / "new.jpg")
    code = "".join(blocks).replace('"outputs/default"', repr(str(study))).replace('"new_photos"', repr(str(tmp_path)))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/python-api.md", "exec"), names)
    assert len(names["classified"].predicted) == 1


def test_a_dataset_and_a_generator_of_the_users_own(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCUMENTS["docs/extending.md"], re.DOTALL):
        exec(compile(block, "docs/extending.md", "exec"), names)
    names["write_stripes"](tmp_path / "stripes", per_class=3)
    classes = sorted(folder.name for folder in (tmp_path / "stripes").iterdir())
    assert classes == ["horizontal", "vertical"]
    synthetic = SyntheticSet(tmp_path / "set", names["NoiseGenerator"](side=16))
    assert synthetic.ensure(dict.fromkeys(classes, 2)) == 4
    assert [sample.class_name for sample in synthetic.samples(classes)] == ["horizontal"] * 2 + ["vertical"] * 2


def anchors(document: str) -> set[str]:
    """Anchors of the headings of a Markdown file, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", document, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("document", "link"), [pair for pair in LINKS if not pair[1].startswith("http")])
def test_links_lead_somewhere(document: str, link: str) -> None:
    target, _, anchor = link.partition("#")
    path = (ROOT / document).parent / target if target else ROOT / document
    assert path.exists()
    assert not anchor or anchor in anchors(path.read_text(encoding="utf-8"))

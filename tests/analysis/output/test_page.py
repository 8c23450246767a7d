"""The page of made-up studies: its structure and data; its wording stands in `tests/golden/page.txt`."""

import base64
import dataclasses
import hashlib
import html
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.disagreement import disputed, never_right
from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings, findings
from synthaug.analysis.output.page import charts, pictures, protocol, screened
from synthaug.analysis.output.page.content import Content
from synthaug.analysis.output.page.frame import TEMPLATES
from synthaug.analysis.output.page.render import Page, render
from synthaug.analysis.output.page.sections import FIGURES, SECTIONS
from synthaug.analysis.text import format
from synthaug.files import read_json, write_json
from synthaug.runs import contents, discovery, grouping, layout
from tests.analysis.output.figures.test_exchange_curves import EXCHANGE
from tests.factories.golden import assert_golden
from tests.factories.studies import SWEEP, MadeUp, edit_result, make_study

SMALL = {name: SWEEP[name] for name in ("real", "64")}
TINY = MadeUp(arms=SMALL, classes=("cat", "cow", "dog"), n_test=300)
CONTROLLED = SMALL | {"real40": (0.4, 0.0), "82": SWEEP["82"]}
STRANGE = ("猫", "كلب", "<b>cow & calf</b>", "$x_1$", 'say "hi"', "a very long name of some aircraft variant")


SCREENING = {
    "name": "default",
    "file": "outputs/synthetic/photos/sd15/screening-default-0/verdicts.csv",
    "root": "outputs/synthetic/photos/sd15",
    "criteria": {},
    "thresholds": {},
    "classes": {
        "cat": {"kept": 40, "copies": 1, "rejected": {"near duplicate in its class": 2}},
        "dog": {"kept": 39, "copies": 0, "rejected": {"near duplicate in its class": 1, "copy of a test image": 8}},
    },
    "examples": [
        {"image": "sd15/cat/000003.png", "reason": "copy of a training image", "kept": True, "match": "p/cat/7.jpg"},
        {"image": "sd15/dog/000001.png", "reason": "copy of a test image", "kept": False, "match": "p/dog/9.jpg"},
        {"image": "sd15/dog/000002.png", "reason": "near duplicate in its class", "kept": False, "match": "dog/0.png"},
    ],
}


class Parser(HTMLParser):
    """Text, tags and addresses of a page; complains about tags that do not close."""

    void = frozenset({"meta", "img", "br", "input", "path", "use", "rect", "circle"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.unclosed: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(content)
        assert not self.unclosed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        self.attributes.append(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.addresses += [attributes[name] or "" for name in ("src", "href", "xlink:href") if name in attributes]
        self.ids += [attributes["id"] or ""] if "id" in attributes else []
        if tag not in self.void:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.unclosed.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def analyse(study: Path) -> tuple[Comparison, Group, Findings]:
    """Compare a study of one group."""
    comparison = compare(study)
    (group,), (of_group,) = comparison.groups, findings(comparison)
    return comparison, group, of_group


def page_of(study: Path) -> Page:
    comparison = compare(study)
    return render(comparison, findings(comparison))


def sections_of(page: Page) -> list[str]:
    return [name.removesuffix("-1") for name in Parser(page.html).ids if name.endswith("-1") and "figure" not in name]


def words(page: Page) -> str:
    """The text of a page, one line per block, without figures and style."""
    text = re.sub(r"<(svg|style|title|nav).*?</\1>", "", page.html, flags=re.DOTALL)
    text = re.sub(r"</?(?:p|div|h\d|tr|li|ul|table|section|figcaption|summary|header|footer)\b[^>]*>", "\n", text)
    text = re.sub(r"</(?:td|th|label)>", " | ", text)
    lines = (" ".join(html.unescape(re.sub("<[^>]*>", "", line)).split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line) + "\n"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with controls, a shift set, groups, a rare class, pictures, and a run that failed."""
    content = dataclasses.replace(TINY, arms=CONTROLLED, seeds=(0, 1), n_test=600, images=1, failed=[("82", 1)])
    content = dataclasses.replace(content, compare=[["64", "82"]])
    study = make_study(tmp_path_factory.mktemp("page") / "study", content)
    for run in discovery.find_runs(study):
        if run.result is not None:
            folder = layout.shift_folder(run.folder, "blur")
            contents.write_predictions(folder, contents.read_predictions(run.folder))
            facts = {"format": layout.FORMAT, "origin": "real", "paired_with": "test", "digest": "d" * 64}
            write_json(folder / layout.RESULT, facts)
            if run.arm == "82":
                by_class = {name: {"cat": 1, "dog": 2}.get(name, 3) for name in content.classes}
                finished = {"synthetic": by_class, "scores": dict.fromkeys(content.classes, 0.25), "accuracy": 0.9}
                edit_result(run.folder, {"feedback": [finished], "screening": SCREENING})
            if run.arm == "real":
                edit_result(run.folder, {f"counts.per_class.{content.classes[1]}.real": 90})
    paths = compare(study).groups[0].paths
    groups = {Path(path): ("day", "night")[number % 4 == 0] for number, path in enumerate(paths)}
    grouping.write_groups(study, content.dataset, groups)
    return study


@pytest.fixture(scope="module")
def page(full: Path) -> Page:
    return page_of(full)


# --- the whole page ----------------------------------------------------------------------------------


def test_wording(full: Path, page: Page) -> None:
    assert_golden("page.txt", words(page).replace(str(full), "<study>"))


def test_the_page_needs_no_other_file(page: Page) -> None:
    parsed = Parser(page.html)
    assert all(address.startswith(("data:", "#")) for address in parsed.addresses)
    assert not re.search(r"@import|url\((?!#)|<script|<link|javascript:", page.html)
    assert parsed.tags.count("img") == 3 * 2


def test_the_policy_allows_one_style_sheet_and_nothing_else(page: Page) -> None:
    parsed = Parser(page.html)
    (style,) = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    (policy,) = (attributes["content"] for attributes in parsed.attributes if "http-equiv" in attributes)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert not any("style" in item or "onclick" in item for item in parsed.attributes), "which the policy refuses"


def test_a_full_study_has_every_section_in_its_order(page: Page) -> None:
    without = {"sets"}  # the images of made-up runs are of no set
    assert sections_of(page) == [section.name for section in SECTIONS if section.name not in without]


def test_figures_are_handed_over_by_name(page: Page) -> None:
    (figures,) = page.figures
    assert {"curve/accuracy", "curve/difference", "decomposition/loss-and-gain"} <= figures.keys()
    assert {"learning/val/accuracy", "learning/train/loss"} <= figures.keys()
    by_arm = {kind: {name for name in figures if name.startswith(kind)} for kind in ("classes/", "confusion/")}
    assert by_arm == {
        "classes/": {"classes/64", "classes/82", "classes/real40"},
        "confusion/": {"confusion/real", "confusion/64", "confusion/82", "confusion/real40"},
    }
    assert page.html.count('<svg role="img"') == len(figures)
    assert all(figure.element in page.html for figure in figures.values())


def test_every_section_has_a_template_and_every_template_a_section() -> None:
    templates = {path.name.removesuffix(".html.j2") for path in (TEMPLATES / "sections").iterdir()}
    assert templates == {section.name for section in SECTIONS}


def test_ids_and_headings(full: Path, tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", dataclasses.replace(TINY, images=1))
    two_groups = Parser(page_of(make_study(study, dataclasses.replace(TINY, dataset="letters", n_test=90))).html)
    assert len(two_groups.ids) == len(set(two_groups.ids))
    assert {address[1:] for address in two_groups.addresses if address.startswith("#")} <= set(two_groups.ids)
    assert two_groups.headings[:3] == [1, 2, 3]
    assert two_groups.headings.count(2) == 2
    assert all(after <= before + 1 for before, after in pairwise(two_groups.headings))
    pictured = [item for item in two_groups.attributes if str(item.get("src")).startswith("data:")]
    assert pictured
    assert all(item.get("alt") for item in pictured)


def test_the_page_is_the_same_twice(full: Path, page: Page) -> None:
    assert page_of(full) == page


def test_names_in_any_script_are_text(tmp_path: Path) -> None:
    page = page_of(make_study(tmp_path / "study", MadeUp(arms=SMALL, classes=STRANGE, images=1)))
    text = Parser(page.html).text
    for name in STRANGE:
        assert name[:15] in text
    assert "<b>cow" not in page.html


# --- sections ----------------------------------------------------------------------------------------


def test_sections_without_data_are_left_out_with_their_links(tmp_path: Path) -> None:
    missing = [(arm, 0) for arm in SMALL]
    page = page_of(make_study(tmp_path / "study", dataclasses.replace(TINY, missing=missing)))
    assert sections_of(page) == ["result", "checks", "runs"]
    links = [address for address in Parser(page.html).addresses if address.endswith("-1")]
    assert links == ["#result-1", "#checks-1", "#runs-1", "#checks-1"], "the last one stands in the result"
    assert page.figures == ({},)


def test_the_table_has_every_arm_and_names_the_controls(full: Path, page: Page) -> None:
    _, group, _ = analyse(full)
    text = words(page)
    for arm in group.arms:
        control = {"real40": " control of 64"}.get(arm.name, "")
        assert f"{arm.name}{control} | " in text
        for estimate in (arm.loss, arm.gain, arm.difference):
            assert format.difference(estimate, group.n_test) in text


def test_excluded_runs_are_listed_with_their_reasons(tmp_path: Path) -> None:
    content = dataclasses.replace(TINY, arms=SWEEP, failed=[("64", 0)], missing=[("73", 0)], unfinished=[("82", 0)])
    lines = words(page_of(make_study(tmp_path / "study", content))).splitlines()
    for run, reason in (
        ("64 | 0 | failed |", "ValueError: loss is <nan> at step 12"),
        ("73 | 0 | missing |", ""),
        ("82 | 0 | unfinished |", ""),
    ):
        (line,) = (line for line in lines if line.startswith(run))
        assert reason in line
    assert any("3 of 5 runs" in line for line in lines)


def test_hard_images_are_pictured_or_named(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=(0, 1)))
    comparison, group, of_group = analyse(study)
    split, lost = disputed(group, pictures.MAX_DISPUTED), never_right(group)
    assert split
    picture = tmp_path / lost[0].path
    picture.parent.mkdir(parents=True)
    Image.new("L", (28, 28)).save(picture)
    context = pictures.hardest(Content(comparison, group, of_group))
    assert context is not None
    assert context["n_lost"] == len(lost)
    assert [item.image.path for item in context["disputed"]] == [image.path for image in split]
    assert context["disputed"][0].picture is None
    assert context["lost"][0].picture is not None
    parsed = Parser(render(comparison, [of_group]).html)
    assert context["disputed"][0].name in parsed.text
    assert any(context["lost"][0].name in (item.get("alt") or "") for item in parsed.attributes)


def test_many_classes_are_limited(tmp_path: Path) -> None:
    content = MadeUp(arms=SMALL, classes=[f"class {index}" for index in range(60)], n_test=300, images=1)
    comparison, group, of_group = analyse(make_study(tmp_path / "study", content))
    by_class = charts.classes(Content(comparison, group, of_group))
    assert by_class is not None
    assert len(by_class[FIGURES]["64"].axes[0].get_yticks()) == charts.MAX_CLASS_ROWS
    confusion = charts.confusion(Content(comparison, group, of_group))
    assert confusion is not None
    assert confusion[FIGURES] == {}
    images = pictures.images(Content(comparison, group, of_group))
    assert images is not None
    assert len(images["rows"]) == pictures.MAX_CLASSES


def test_missing_and_damaged_pictures_are_counted(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", dataclasses.replace(TINY, images=2))
    (study / "images/real/0/0.png").unlink()
    (study / "images/synthetic/1/1.png").write_bytes(b"no image")
    (study / "images/synthetic/2/1.png").write_bytes(b"")
    context = pictures.images(Content(*analyse(study)))
    assert context is not None
    assert {origin: len(files) for origin, files in context["lost"].items()} == {"real": 1, "synthetic": 2}
    assert len(context["rows"]["cat"]["real"]) == 1
    assert len(context["rows"]["cat"]["synthetic"]) == 2


def test_pictures_are_read_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_study(Path("study"), dataclasses.replace(TINY, images=1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "img" in Parser(page_of(tmp_path / "study").html).tags


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", TINY)
    folder = study / "digits/64/seed0"
    (folder / layout.HISTORY).write_text("epoch\nx\n", encoding="utf-8")
    (folder / layout.MIX).unlink()
    comparison, group, of_group = analyse(study)
    learning, images = (
        charts.learning(Content(comparison, group, of_group)),
        pictures.images(Content(comparison, group, of_group)),
    )
    assert learning is not None
    assert learning["unreadable"] == ["64-seed0"]
    assert images is not None
    assert any("mix.csv of 64-seed0" in problem for problem in images["problems"])


def test_the_protocol_has_a_range_where_runs_differ(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=(0, 1)))
    path = study / "digits/64/seed1" / layout.RESULT
    result = read_json(path)
    result["training"]["steps"] += 100
    write_json(path, result)
    context = protocol.protocol(Content(*analyse(study)))
    assert context is not None
    _, (epochs, steps, batch_size, checkpoint, validation, seconds) = context["rows"]["64"]
    assert (epochs, steps, batch_size, checkpoint) == ((8, 8), (248, 348), (32, 32), (8, 8))
    assert (validation, seconds) == ((500, 500), (41, 41))


def test_provenance_has_every_value_of_any_run(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", TINY)
    path = study / "digits/64/seed0" / layout.RESULT
    result = read_json(path)
    result["versions"]["torch"] = "2.0"
    write_json(path, result | {"finished": "2026-01-01T10:00:41+00:00"})
    context = protocol.provenance(Content(*analyse(study)))
    assert context is not None
    assert list(context["values"]["torch"]) == ["2.14.1", "2.0"]
    assert list(context["values"]["cpu"]) == ["A CPU <2.5 GHz>"]
    assert (context["first"].year, context["last"].year) == (2025, 2026)
    assert "A CPU <2.5 GHz>" in words(page_of(study))


def test_one_epoch_and_one_test_image(tmp_path: Path) -> None:
    page = page_of(make_study(tmp_path / "study", dataclasses.replace(TINY, epochs=1, n_test=1)))
    assert "result" in sections_of(page)


def test_longer_training_is_named_beside_the_exchange_rate(full: Path) -> None:
    comparison, group, of_group = analyse(full)
    longer = dataclasses.replace(group, arms=(dataclasses.replace(group.arms[0], steps=9_999), *group.arms[1:]))
    of_group = dataclasses.replace(of_group, exchange=EXCHANGE)
    assert "9,999 optimizer steps" in words(render(dataclasses.replace(comparison, groups=(longer,)), [of_group]))


def test_a_grid_of_arms_is_a_heat_map_and_its_walls_are_folded(tmp_path: Path) -> None:
    arms = {f"real{real}-synthetic{synthetic}": (real, synthetic) for real in (1.0, 0.1, 0.4) for synthetic in (0.5, 2)}
    content = dataclasses.replace(TINY, arms={"real": (1.0, 0.0), **arms}, seeds=(0, 1), n_test=120)
    page = page_of(make_study(tmp_path / "study", content))
    (figures,) = page.figures
    assert "result/accuracy" in figures
    assert "curve" not in sections_of(page)
    assert "400 real + 2,000 synthetic" in Parser(page.html).text
    for section in ("classes", "confusion", "protocol", "learning", "hardest", "cost"):
        (inside,) = re.findall(rf'<section id="{section}-1".*?</section>', page.html, re.DOTALL)
        assert re.search(r"</h3>\s*<details>", inside)
        assert "real0.4-synthetic2" not in inside


def test_copies_stand_side_by_side_and_without_their_files_by_name(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", dataclasses.replace(TINY, arms=CONTROLLED))
    images = {name: tmp_path / "pool" / "cat" / f"{name}.png" for name in ("copy", "original")}
    for number, path in enumerate(images.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (200, 10 * number, 0)).save(path)
    pairs = [("copy of a test image", str(images["original"])), ("near duplicate in its class", "cat/original.png")]
    examples = [{"image": str(images["copy"]), "reason": r, "kept": False, "match": m} for r, m in pairs]
    rejected = {reason: 8 for reason, _ in pairs}
    record = {
        **SCREENING,
        "root": str(tmp_path / "pool"),
        "classes": {"cat": {"kept": 1, "copies": 0, "rejected": rejected}},
        "examples": [*examples, {**examples[0], "image": "gone/cat/1.png"}],
    }
    for run in discovery.find_runs(study):
        if run.arm in ("64", "82"):
            edit_result(run.folder, {"screening": record})
    filled = screened.screening(Content(*analyse(study)))
    assert filled is not None
    (of_both,) = filled["sets"]
    assert list(of_both.arms) == ["64", "82"]
    assert of_both.total == {"kept": 1, "copies": 0, "rejected": rejected}
    shown = of_both.shown["copy of a test image, rejected: 8"]
    assert [(item.picture is None, item.match is None) for item in shown] == [(False, False), (True, False)]
    assert [item.name for item in shown] == ["cat/copy.png", "cat/1.png"]
    (duplicate,) = of_both.shown["near duplicate in its class, rejected: 8"]
    assert (duplicate.match is None, duplicate.match_name) == (False, "= cat/original.png")


def test_of_many_arms_some_are_drawn_and_the_rest_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MAX_DRAWN", 4)
    arms = {"real": (1.0, 0.0)} | {f"arm{n}": (round(n / 10, 3), 0.0) for n in range(1, 7)}
    comparison = compare(make_study(tmp_path / "study", MadeUp(arms=arms, classes=("cat", "cow"), n_test=60)))
    (group,) = comparison.groups
    page = render(comparison, findings(comparison))
    drawn = [name.removeprefix("confusion/") for name in page.figures[0] if name.startswith("confusion/")]
    accuracy = {arm.name: arm.accuracy.value for arm in group.arms if arm.accuracy}
    left = [accuracy[name] for name in accuracy if name not in drawn]
    assert (len(drawn), len(left), "real" in drawn) == (4, 3, True)
    assert sum(accuracy[name] >= max(left) for name in drawn if name != "real") >= 2
    assert sum(accuracy[name] <= min(left) for name in drawn if name != "real") >= 1
    assert page.html.count("<details><summary>7 arms</summary>") >= 3
    assert 'class="wide tall" tabindex="0" role="region" aria-label="All arms"' in page.html
    assert charts.drawn_arms(group.arms[:4]) == list(group.arms[:4])

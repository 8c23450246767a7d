"""The page of made-up studies, read as a parser and a statistician read it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthaug.analysis.comparison.compare import compare
from synthaug.analysis.comparison.disagreement import disputed, never_right
from synthaug.analysis.comparison.model import Arm, NonInferiority
from synthaug.analysis.inference.intervals import Difference, Estimate, MeanVariance, VarianceComponent
from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.curve import accuracy_by_share
from synthaug.analysis.output.figures.decomposition import decomposition
from synthaug.analysis.output.page import arm_verdicts
from synthaug.analysis.output.page.render import TEMPLATES
from synthaug.analysis.output.page.sections import SECTIONS
from synthaug.analysis.pipeline import make_report
from synthaug.analysis.text import format
from synthaug.files import write_json
from synthaug.runs import contents, discovery, layout
from tests.factories.studies import SWEEP, MadeUp, make_study

SMALL = {name: SWEEP[name] for name in ("real", "64")}
CONTROLLED = SWEEP | {"real50": (0.5, 0.0), "real40": (0.4, 0.0)}
STRANGE = ("猫", "كلب", "<b>cow & calf</b>", "$x_1$", 'say "hi"', "a very long name of some aircraft variant")

FIGURES = {  # of a study with four arms beside real: how their descriptions begin, and how many there are
    "Accuracy against synthetic share": 1,
    "Difference from real of each arm": 1,
    "Difference from real of each class": 4,
    "Confusion matrix": 5,
    "validation accuracy": 1,
    "training loss": 1,
}


class Page(HTMLParser):
    """Text, tags and addresses of a page; complains about tags that do not close."""

    void = frozenset({"meta", "img", "br", "input", "path", "use", "rect", "circle"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(content)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.attributes.append(found)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.addresses += [found[name] or "" for name in ("src", "href", "xlink:href", "data") if name in found]
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(study: Path) -> Page:
    make_report(study)
    return Page((study / "report.html").read_text(encoding="utf-8"))


# --- the page --------------------------------------------------------------------------------------


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(images=2))
    page = page_of(study)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    content = (study / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)|<script|<link|javascript:", content)
    for figure, times in FIGURES.items():
        assert content.count(f'<svg role="img" aria-label="{figure}') == times, figure
    assert page.tags.count("img") == 10 * (2 + 2)
    for part in ("60 % synthetic: 400 real + 600 synthetic images", "points below real, 95 % interval"):
        assert part in page.text.replace("\u00a0", " ")
    for part in ("run to run is not measured", "not the draw of seeds", "torch", "A CPU <2.5 GHz>"):
        assert part in page.text


def sections_of(page: Page) -> list[str]:
    return [name.removesuffix("-1") for name in page.ids if name.endswith("-1")]


def test_a_full_study_has_every_section_in_its_order(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=CONTROLLED, seeds=(0, 1), images=1))
    for run in discovery.find_runs(study):
        folder = layout.shift_folder(run.folder, "blur")
        contents.write_predictions(folder, contents.read_predictions(run.folder))
        facts = {"format": 1, "origin": "real", "paired_with": "test", "digest": "d" * 64}
        write_json(folder / layout.RESULT, facts)
    page = page_of(study)
    assert sections_of(page) == [section.name for section in SECTIONS]
    assert "What a synthetic image is worth" in page.text


def test_sections_without_data_are_left_out_with_their_links(tmp_path: Path) -> None:
    missing = [(arm, 0) for arm in SMALL]
    page = page_of(make_study(tmp_path / "study", MadeUp(arms=SMALL, missing=missing)))
    assert sections_of(page) == ["answer", "arms", "runs"]
    assert [address for address in page.addresses if address.endswith("-1")] == ["#answer-1", "#arms-1", "#runs-1"]


def test_every_section_has_a_template_and_every_template_a_section() -> None:
    found = {path.name.removesuffix(".html.j2") for path in (TEMPLATES / "sections").iterdir()}
    assert found == {section.name for section in SECTIONS}


def test_what_is_lost_and_given_back(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=CONTROLLED, seeds=(0, 1, 2)))
    arm = next(arm for arm in compare(study).groups[0].arms if arm.name == "64")
    assert arm.loss is not None
    assert arm.gain is not None
    assert f"64 {100 * arm.loss.value:+.2f} then {100 * arm.gain.value:+.2f} points".replace("-", "\u2212") in (
        decomposition([arm])
    )
    text = page_of(study).text
    for part in (arm.loss, arm.gain, arm.difference):
        assert format.difference(part, 1500) in text


def test_hard_images_are_shown_or_named(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=(0, 1)))
    group = compare(study).groups[0]
    split, lost = disputed(group, 12), never_right(group)
    assert split
    text = page_of(study).text
    assert "/".join(Path(split[0].path).parts[-2:]) in text, "the picture is not there"
    assert f"{len(lost)} of 1,500 test images are wrong in every run of every arm" in text
    picture = tmp_path / lost[0].path
    picture.parent.mkdir(parents=True)
    Image.new("L", (28, 28)).save(picture)
    assert any(
        "/".join(Path(lost[0].path).parts[-2:]) in (given.get("alt") or "") for given in page_of(study).attributes
    )


def found(value: float, adjusted_p: float) -> Difference:
    variance = MeanVariance(VarianceComponent(np.zeros(())))
    return Difference(value, value - 0.01, value + 0.01, value, variance, adjusted_p / 2, 2, adjusted_p)


@pytest.mark.parametrize(
    ("difference", "non_inferiority", "gain", "said"),
    [
        (found(-0.05, 0.01), "rejected", found(0.02, 0.01), ["bad", "bad", "good"]),
        (found(0.05, 0.01), "established", found(-0.02, 0.01), ["good", "good", "bad"]),
        (found(-0.05, 0.06), "open", found(-0.02, 0.06), ["open", "open", "open"]),
        (found(-0.05, 0.06), None, None, ["open"]),
    ],
)
def test_verdicts(
    difference: Difference, non_inferiority: str | None, gain: Difference | None, said: list[str]
) -> None:
    judged = NonInferiority(non_inferiority, 0.01, 0.02) if non_inferiority else None
    arm = Arm("64", 0.4, 0.6, False, 1, difference=difference, non_inferiority=judged, gain=gain)
    verdicts = arm_verdicts.verdicts(arm, 0.015)
    assert [verdict.tone for verdict in verdicts] == said
    assert all("1.5 points" in verdict.words for verdict in verdicts if "by" in verdict.words.split())


def test_many_lost_runs_are_counted_and_folded(tmp_path: Path) -> None:
    missing = [("64", seed) for seed in range(9)]
    text = page_of(make_study(tmp_path / "study", MadeUp(arms=SMALL, seeds=range(9), missing=missing))).text
    assert "9 of 18 runs are not in the numbers:" in text
    assert "9 missing." in text
    assert "64, seed 8: missing: planned, but never started" in text


def test_the_policy_allows_one_style_sheet_and_nothing_else(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, images=1))
    page = page_of(study)
    content = (study / "report.html").read_text(encoding="utf-8")
    (style,) = re.findall(r"<style>(.*?)</style>", content, re.DOTALL)
    (policy,) = (given["content"] for given in page.attributes if "http-equiv" in given)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert not any("style" in given or "onclick" in given for given in page.attributes), "which the policy refuses"


def test_two_groups_share_a_page(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, images=1))
    page = page_of(make_study(study, MadeUp(arms=SMALL, model="resnet50", n_test=900)))
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert page.headings[:3] == [1, 2, 3]
    assert page.headings.count(2) == 2
    assert all(after <= before + 1 for before, after in pairwise(page.headings))
    assert all(given.get("alt") for given in page.attributes if str(given.get("src")).startswith("data:"))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_letters_stand_out_from_their_paper(theme: int) -> None:
    def luminance(name: str) -> float:
        """WCAG 2.2, relative luminance."""
        parts = (int(palette.THEME[name][theme][at : at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    letters = ["ink", "soft", "link", *(name for name in palette.THEME if name.startswith("arm"))]
    pairs = [(name, paper) for name in letters for paper in ("paper", "ground")] + [("ink", "warn"), ("ink", "band")]
    for pair in pairs:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


def test_the_page_is_the_same_twice(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, images=1))
    page_of(study)
    first = (study / "report.html").read_bytes()
    page_of(study)
    assert (study / "report.html").read_bytes() == first


def test_names_in_any_script_are_text(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, classes=STRANGE, images=1))
    page = page_of(study)
    assert "b" not in page.open
    for name in STRANGE:
        assert name[:15] in page.text
    assert "<b>cow" not in (study / "report.html").read_text(encoding="utf-8")


def test_runs_that_are_not_in_the_numbers_are_on_the_page(tmp_path: Path) -> None:
    content = MadeUp(failed=[("64", 0)], missing=[("73", 0)], unfinished=[("82", 0)])
    text = page_of(make_study(tmp_path / "study", content)).text
    assert "3 of 5 runs are not in the numbers" in text
    assert "64, seed 0: failed: ValueError: loss is <nan> at step 12" in text
    assert "no finished run that can be compared" in text
    assert f"To drop a run that is no longer wanted, delete its entry in {tmp_path / 'study/planned.json'}." in text


def test_a_study_without_any_finished_run_has_a_page(tmp_path: Path) -> None:
    page = page_of(make_study(tmp_path / "study", MadeUp(arms=SMALL, failed=[("real", 0)], missing=[("64", 0)])))
    assert "figure" not in page.tags
    assert "No arm can be compared with real yet." in page.text


def test_many_classes_are_limited_and_said(tmp_path: Path) -> None:
    content = MadeUp(arms=SMALL, classes=[f"class {index}" for index in range(60)], n_test=300, images=1)
    text = page_of(make_study(tmp_path / "study", content)).text
    assert "Shown are the 30 of 60 classes that differ most" in text
    assert "Not drawn for 60 classes, only up to 50." in text
    assert "Shown are the first 20 of 60 classes." in text


def test_vanished_and_damaged_pictures_are_counted(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL, images=2))
    (study / "images/real/0/0.png").unlink()
    (study / "images/synthetic/3/1.png").write_bytes(b"no image")
    (study / "images/synthetic/4/1.png").write_bytes(b"")
    text = page_of(study).text
    assert "1 of the real image file is gone" in text
    assert "2 of the synthetic image files are gone or unreadable by now, e.g. " in text


def test_pictures_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = make_study(Path("study"), MadeUp(arms=SMALL, images=1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "img" in page_of(tmp_path / study).tags


def test_logs_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    folder = study / "digits/tiny_digits/resnet18/64/seed0"
    (folder / layout.HISTORY).write_text("epoch\nx\n", encoding="utf-8")
    (folder / layout.MIX).unlink()
    text = page_of(study).text
    assert "No curve could be read for 64-seed0" in text
    assert "mix.csv of 64-seed0 cannot be read" in text


def test_one_epoch_and_one_test_image(tmp_path: Path) -> None:
    page = page_of(make_study(tmp_path / "study", MadeUp(arms=SMALL, epochs=1, n_test=1)))
    assert "cannot be told apart from real with these one test image" not in page.text
    assert "with this one test image" in page.text


def test_arms_of_other_sizes_are_marked(tmp_path: Path) -> None:
    arms = SMALL | {"add100": (1.0, 1.0), "real20": (0.2, 0.0), "a name that is long": (0.0, 1.0)}
    text = page_of(make_study(tmp_path / "study", MadeUp(arms=arms))).text
    assert "■ more images" in text
    assert "▼ fewer images" in text


def test_many_arms_of_one_share_are_named_beside_their_points() -> None:
    found = [Estimate(value, value - 0.01, value + 0.01) for value in (0.954, 0.953, 0.938, 0.925, 0.856)]
    names = ("real", "again", "real50", "real40", "real20")
    arms = [Arm(name, 1, 0, name == "real", 1, accuracy=item) for name, item in zip(names, found, strict=True)]
    drawn = accuracy_by_share([*arms, Arm("55", 0.5, 0.5, False, 1, accuracy=found[0])])
    places = dict(zip(names, (label_place(drawn, name) for name in names), strict=True))
    assert len({x for x, _ in places.values()}) == 1
    heights = sorted(y for _, y in places.values())
    assert min(high - low for low, high in pairwise(heights)) > 9
    assert places["real"][0] < label_place(drawn, "55")[0]


def test_a_control_stands_below_its_arm() -> None:
    good, bad = Estimate(0.95, 0.94, 0.96), Estimate(0.9, 0.89, 0.91)
    real, alone = Arm("real", 1, 0, True, 1, accuracy=good), Arm("real50", 0.5, 0, False, 1, accuracy=bad)
    arm = Arm("55", 0.5, 0.5, False, 1, accuracy=good, control="real50", loss=found(-0.05, 0.01))
    drawn = accuracy_by_share([real, alone, arm])
    above, below = label_place(drawn, "55"), label_place(drawn, "real50")
    assert below[1] > above[1] + 50
    assert abs(below[0] - above[0]) < 10 < abs(below[0] - label_place(drawn, "real")[0])


def label_place(drawn: str, name: str) -> tuple[float, float]:
    """Where the figure writes a bold name."""
    found = re.search(rf'<text [^>]*rotate\(-0 ([\d.]+) ([\d.]+)\)"[^>]*>{name}</text>', drawn)
    assert found
    return float(found[1]), float(found[2])

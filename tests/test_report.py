"""The command and the page, on made-up studies."""

import dataclasses
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from made_up import SWEEP, MadeUp, make_study
from rich.console import Console

from synthaug import results
from synthaug.analysis import table
from synthaug.analysis.comparison import compare
from synthaug.analysis.figures.curve import accuracy_by_share
from synthaug.analysis.report import make_report
from synthaug.analysis.statistics import Estimate
from synthaug.analysis.study import Arm, Group
from synthaug.analysis.table import print_table
from synthaug.report import main

SMALL = {name: SWEEP[name] for name in ("real", "64")}
STRANGE = ("猫", "كلب", "<b>cow & calf</b>", "$x_1$", 'say "hi"', "a very long name of some aircraft variant")


class Page(HTMLParser):
    """Text, tags and addresses of a page; complains about tags that do not close."""

    void = frozenset({"meta", "img", "br", "path", "use", "rect"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(content)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
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
    assert not re.search(r"@import|url\((?!#)|<script|<link", content)
    assert len(page.ids) == len(set(page.ids))
    # accuracy, differences, 4 x classes, 5 x confusion, 2 curves
    assert page.tags.count("svg") == 1 + 1 + 4 + 5 + 2
    assert page.tags.count("img") == 10 * (2 + 2)
    for part in ("60 % synthetic: 400 real + 600 synthetic images", "points below real, 95 % interval"):
        assert part in page.text.replace("\u00a0", " ")
    for part in ("run to run is not measured", "not the draw of seeds", "torch", "A CPU <2.5 GHz>"):
        assert part in page.text


def test_notes_are_in_table_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    place = study / "digits/tiny_digits/resnet18/64/seed0" / results.RESULT
    result = results.read_json(place)
    result["settings"]["model"]["lr"] = 0.002
    results.write_json(place, result)
    note = "Not all runs had the same settings: model.lr is 0.001 in real, 0.002 in 64."
    assert main([str(study)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Note: {note}" in printed
    assert "To drop a run" not in printed
    assert note in Page((study / "report.html").read_text(encoding="utf-8")).text
    assert any(found.startswith(note) for found in results.read_json(study / "results.json")["groups"][0]["notes"])


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
    assert "svg" not in page.tags
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
    (folder / results.HISTORY).write_text("epoch\nx\n", encoding="utf-8")
    (folder / results.MIX).unlink()
    text = page_of(study).text
    assert "No curve could be read for 64-seed0" in text
    assert "(mix.csv) of 64-seed0 cannot be read" in text


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


def label_place(drawn: str, name: str) -> tuple[float, float]:
    """Where the figure writes a bold name."""
    found = re.search(rf'<text [^>]*rotate\(-0 ([\d.]+) ([\d.]+)\)"[^>]*>{name}</text>', drawn)
    assert found
    return float(found[1]), float(found[2])


# --- the command -----------------------------------------------------------------------------------


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(make_study(tmp_path / "whole", MadeUp(arms=SMALL)))]) == 0
    out = capsys.readouterr().out
    assert out.endswith("report.html\n")
    assert "1,000" in out
    assert main([str(make_study(tmp_path / "part", MadeUp(arms=SMALL, failed=[("64", 0)])))]) == 1
    out = capsys.readouterr().out
    assert "64  seed 0  failed: ValueError" in out
    assert "To drop a run that is no longer wanted, delete its entry in" in out
    assert (tmp_path / "part/report.html").is_file()
    assert main([str(tmp_path / "nothing")]) == 2
    captured = capsys.readouterr()
    assert "is no folder" in captured.err
    assert not captured.out


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "Exit codes" in capsys.readouterr().out


def test_the_command_imports_nothing_heavy(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms=SMALL))
    code = (
        "import sys; from synthaug.report import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'diffusers', 'transformers', 'wandb', 'hydra', 'matplotlib.pyplot'}; "
        "bad = heavy & set(sys.modules); assert not bad, bad; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(study)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_table_takes_names_literally(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(arms={"real": (1, 0), "[red]x[/red]": (0.4, 0.6)}))
    stream = io.StringIO()
    print_table(compare(study), Console(file=stream, width=120))
    assert "[red]x[/red]" in stream.getvalue()


def test_the_table_cuts_no_name(tmp_path: Path) -> None:
    long = "real0.4-synthetic0.6-erasing_0.25-policy_"
    study = make_study(
        tmp_path / "study", MadeUp(arms={"real": (1, 0), f"{long}trivial": (0.4, 0.6), f"{long}rand": (0.4, 0.6)})
    )
    stream = io.StringIO()
    print_table(compare(study), Console(file=stream, width=100))
    assert "\u2026" not in stream.getvalue()


# --- words -----------------------------------------------------------------------------------------


def group_with(*arms: Arm, n_test: int = 1500) -> Group:
    return Group("digits", "tiny_digits", "resnet18", "0" * 64, n_test, ("0", "1"), arms, (), ())


UNCLEAR = (
    "cannot be told apart from real with these 1,500 test images (\u22120.40 points, 95 % interval \u22121.10 to +0.30)"
)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Estimate(-0.012, -0.021, -0.003), "1.20 points below real, 95 % interval 0.30 to 2.10 below"),
        (Estimate(0.012, 0.003, 0.021), "1.20 points above real, 95 % interval 0.30 to 2.10 above"),
        (
            Estimate(-0.004, -0.011, 0.003),
            UNCLEAR,
        ),
    ],
)
def test_sentences(difference: Estimate, said: str) -> None:
    arm = Arm("64", 0.4, 0.6, False, 1, (0,), 400, 600, Estimate(0.95, 0.94, 0.96), difference=difference)
    assert table.answer(arm, group_with(arm)) == said
    assert table.mix(arm) == "60 % synthetic: 400 real + 600 synthetic images"


def test_arms_without_a_run_show_what_was_asked_for() -> None:
    assert table.counts(Arm("64", 0.4, 0.6, False, 1)) == ("0.4 \u00d7", "0.6 \u00d7")


@pytest.mark.parametrize(
    ("value", "n", "said"),
    [(0.0052, 1500, "+0.52"), (-0.00001, 1500, "0.00"), (0.0, 50, "0.0"), (-0.5, 50, "\u221250.0")],
)
def test_points(value: float, n: int, said: str) -> None:
    assert table.points(value, n) == said


def test_the_caption_names_arms_with_one_seed() -> None:
    one, two = Arm("64", 0.4, 0.6, False, 2, (0,)), Arm("73", 0.3, 0.7, False, 2, (0, 1))
    assert any("spread from run to run is not measured: 64." in line for line in table.caption(group_with(one, two)))
    assert not any("spread" in line for line in table.caption(group_with(two)))
    assert "One seed per arm" in table.caption(group_with(one))[-1]


def test_the_caption_says_that_seeds_share_the_synthetic_images() -> None:
    real, mixed = Arm("real", 1, 0, True, 2, (0, 1)), Arm("64", 0.4, 0.6, False, 2, (0, 1))
    assert "share its synthetic images" in table.caption(group_with(real, mixed))[-1]
    drawn = dataclasses.replace(mixed, one_draw=False)
    assert not any("share its synthetic images" in line for line in table.caption(group_with(real, drawn)))
    assert not any("synthetic" in line for line in table.caption(group_with(real)))

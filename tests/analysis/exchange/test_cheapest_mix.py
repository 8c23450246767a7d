"""The cheapest mix: what it follows from, how it is said, and what the command refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from synthaug.analysis.exchange.cheapest_mix import ImagePrices, measured_seconds, plan
from synthaug.analysis.exchange.rate import fit
from synthaug.analysis.text import plan_text
from synthaug.errors import UserError
from synthaug.files import write_rows
from synthaug.report.__main__ import main
from tests.analysis.exchange.test_rate import PERFECT, replaced
from tests.factories.exchange_studies import GRID, answers, write_exchange_study

FOUND = fit(GRID, answers(), along=False)
CHEAP, DEAR = ImagePrices(0.5, 1.2, 2.0), ImagePrices(0.5, 3600.0, 2.0)


def test_the_line_meets_the_target_and_the_cheapest_is_on_it() -> None:
    assert FOUND.law is not None
    found = plan(FOUND, 0.93, CHEAP)
    for mix in found.line:
        if mix.n_real > 50:  # with 50, the fewest of any arm, it may do better
            assert FOUND.law.error(mix.n_real, mix.n_synthetic) == pytest.approx(0.07, abs=1e-3)
    assert found.cheapest is not None
    assert found.cheapest.cost == pytest.approx(CHEAP.cost(found.cheapest.n_real, found.cheapest.n_synthetic))
    assert found.cheapest.cost <= min(mix.cost for mix in found.line if mix.measured)
    assert found.cheapest.measured
    assert found.cost_low is not None
    assert found.cost_high is not None
    assert found.cost_low <= found.cheapest.cost <= found.cost_high


def test_prices_decide_which_images_to_buy() -> None:
    synthetic, real = plan(FOUND, 0.93, CHEAP), plan(FOUND, 0.93, DEAR)
    assert synthetic.cheapest is not None
    assert synthetic.cheapest.n_synthetic > 0
    assert real.cheapest is not None
    assert real.cheapest.n_synthetic == 0
    assert real.cheapest.n_real > synthetic.cheapest.n_real


def test_more_certainty_costs_more() -> None:
    found = plan(FOUND, 0.94, CHEAP)
    assert found.cheapest is not None
    assert found.sure is not None
    assert found.sure.cost >= found.cheapest.cost
    assert found.sure.likely >= 0.9 > found.cheapest.likely


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan(FOUND, 0.93, CHEAP) == plan(FOUND, 0.93, CHEAP)


def test_a_target_above_the_curve_is_out_of_reach() -> None:
    found = plan(FOUND, 0.995, CHEAP)
    assert (found.cheapest, found.line) == (None, ())
    said = " ".join(plan_text.advice(found))
    assert said.startswith("99.5 % is out of reach: by the fitted curve no number of images brings this model above 9")


def test_what_lies_beyond_the_arms_is_called_so() -> None:
    assert FOUND.law is not None
    best = 1 - float(FOUND.law.error(1000, 2000))
    found = plan(FOUND, best + 0.003, CHEAP)
    assert found.cheapest is not None
    assert not found.cheapest.measured
    said = " ".join(plan_text.advice(found))
    assert "That is more than the 1,000 real images of any arm: extrapolated." in said
    assert "has no upper limit" in said or "95 % interval" in said


def test_other_forms_are_planned_with_too() -> None:
    shifted = fit(GRID, answers(replaced(shift=0.05)), along=False)
    assert shifted.better == "shifted"
    found = plan(shifted, 0.93, CHEAP, draws=20)
    law = next(form.law for form in shifted.forms if form.name == "shifted")
    for mix in found.line:
        assert float(law.error(mix.n_real, mix.n_synthetic)) <= 0.07 + 1e-6


def test_no_plan_without_an_exchange_rate() -> None:
    with pytest.raises(ValueError, match="needs an exchange rate"):
        plan(fit(GRID, answers(PERFECT)), 0.9, CHEAP)


def test_the_most_synthetic_images_are_no_limit() -> None:
    found = plan(FOUND, 0.93, CHEAP, draws=20)
    assert found.cheapest is not None
    found = replace(found, cheapest=replace(found.cheapest, n_synthetic=2000))
    assert "add arms beyond 2,000" in " ".join(plan_text.advice(found))


# --- measured seconds --------------------------------------------------------------------------------


def write_manifest(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, ["index", "rejected", "seconds"], [(n, *row) for n, row in enumerate(rows)])
    return path


def test_rejected_images_are_paid_for_too(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", [("", "2"), ("black", "2"), ("", "2"), ("", "")])
    assert measured_seconds(manifest) == 3
    assert measured_seconds(write_manifest(manifest, [("", "")])) is None
    assert measured_seconds(tmp_path / "none.csv") is None
    with pytest.raises(UserError, match=r"cannot be read .* Give the seconds: --seconds-per-image"):
        measured_seconds(write_manifest(manifest, [("", "two")]))


# --- the command -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exchange_study(tmp_path_factory.mktemp("outputs") / "study")


def ask(study: Path, *arguments: str, accuracy: str = "0.9") -> int:
    given = [str(study), "--accuracy", accuracy, "--price-photo", "0.5", "--price-hour", "1.2", *arguments]
    return main(["plan", *given])


def test_the_command_advises(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(study, "--seconds-per-image", "2.1") == 0
    said = capsys.readouterr().out
    assert "The cheapest way to 90 % accuracy: digits · tiny_digits · resnet18" in said
    assert "The cheapest mix is " in said
    assert "One real image is worth " in said
    assert ask(study, "--seconds-per-image", "2.1", "--markdown") == 0
    assert "| real | synthetic | cost | probability |" in capsys.readouterr().out
    assert ask(study, "--seconds-per-image", "2.1", accuracy="0.9999") == 1
    assert "out of reach" in capsys.readouterr().out


def test_seconds_come_from_the_synthetic_set(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = study.parent / "synthetic" / "digits" / "tiny_digits" / "manifest.csv"
    assert ask(study) == 2
    assert "does not say how many seconds an image took: give them, e.g. --seconds-per-image" in capsys.readouterr().err
    write_manifest(manifest, [("", "4.5")])
    assert ask(study) == 0
    assert "a synthetic image takes 4.5 s" in capsys.readouterr().out
    manifest.unlink()


def test_all_that_is_wrong_is_said_at_once(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        "plan",
        str(study),
        "--accuracy",
        "96",
        "--price-photo",
        "-1",
        "--price-hour",
        "nan",
        "--seconds-per-image",
        "-2",
    ]
    assert main(wrong) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "No plan can be made:",
        "  - --accuracy is a fraction between 0 and 1, e.g. 0.96; got 96",
        "  - --price-photo is a price, 0 or more; got -1",
        "  - --price-hour is a price, 0 or more; got nan",
        "  - --seconds-per-image must be above 0; got -2",
    ]
    assert main(["plan", str(study / "none"), "--accuracy", "2", "--price-photo", "1", "--price-hour", "1"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[1].startswith("  - --accuracy is a fraction")
    assert "is no folder" in said[2]


def test_a_study_that_cannot_tell_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real_only = write_exchange_study(tmp_path / "real_only", arms=[arm for arm in GRID if not arm.n_synthetic])
    assert ask(real_only, "--seconds-per-image", "1") == 2
    said = capsys.readouterr().err
    assert "digits · tiny_digits · resnet18: What a synthetic image is worth is not identifiable: no arm has" in said

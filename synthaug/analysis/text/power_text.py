"""How power is said: tables, what they mean, what no number of seeds or images can do, and what all of it rests on."""

import math
from collections.abc import Mapping

from synthaug.analysis.inference.power_analysis import (
    BONETT_PRICE,
    IMAGE_SHARE,
    MOST_SEEDS,
    POINT,
    REPEATED,
    SEED_DEVIATION,
    ArmPower,
    Assumptions,
    Expected,
    Grid,
    GroupPower,
    Power,
    PowerOfTest,
    SeedsPower,
)
from synthaug.analysis.inference.sample_size import MOST_IMAGES
from synthaug.analysis.text.document import Block, Commands, Heading, Points, Rows, Sentences
from synthaug.analysis.text.format import NONE, in_points, test_images

NOTHING = "none"
FOUND = "found in four of five tries (80 % power), two-sided, at 5 %"


def of_plan(power: Power, source: str) -> list[Block]:
    """What a study can show by what is assumed of it.

    Args:
        power: the numbers.
        source: where the number of test images comes from, a sentence; may be empty.
    """
    assumed = power.assumed
    title = (
        f"What {test_images(assumed.n)} and {seeds(assumed.seeds)} can show at {percent(assumed.accuracy)} % accuracy"
    )
    intro = f"{source} " if source else ""
    return [
        Heading(title, 1),
        Sentences(f"{intro}A difference counts as shown if it is {FOUND}. {_verdict(power)}"),
        *_sections(power),
        Heading("What this rests on"),
        Points(_rests_on(assumed)),
    ]


def of_study(groups: Mapping[str, GroupPower], study: str) -> list[Block]:
    """What a study could have shown, arm by arm.

    Args:
        groups: title → numbers; each has arms and a plan.
        study: its name.
    """
    blocks: list[Block] = [
        Heading(f"What the study {study} can show", 1),
        Sentences(f"By what it measured. A difference counts as shown if it is {FOUND}."),
    ]
    for title, group in groups.items():
        if group.again is None:
            continue
        assumed = group.again.assumed
        blocks += [
            Heading(f"{title}: {test_images(assumed.n)}"),
            _arms(group.arms),
            Points([sentence(name, arm) for name, arm in group.arms.items()]),
            Sentences(_columns(group.arms)),
            Heading(f"Another study like it, with the medians over its arms ({percent(assumed.accuracy)} % for real)"),
            *_sections(group.again),
        ]
        if assumed.accuracy < 1:
            blocks += [Sentences("To change these numbers:"), Commands([command(assumed)])]
    return blocks


def announcement(expected: Expected) -> str:
    """What to expect of a study; on lines of their own what it cannot show, and the command that says what would."""
    assumed = expected.assumed
    size = f"{test_images(assumed.n)}, {seeds(assumed.seeds)}"
    least = "no difference can be shown"
    if expected.smallest is not None:
        least = f"differences from about {points(expected.smallest)} points on can be shown"
    said = f"{size}: {least} (at {percent(assumed.accuracy)} % accuracy)"
    wished = in_points(assumed.difference)
    looked_for = f"{wished} {'are' if wished.endswith('s') else 'is'} looked for"
    if expected.shows:
        return f"{said}; {looked_for}"
    return f"{said};\n{looked_for}, which takes more images or seeds:\n{_short_command(assumed)}"


def _short_command(assumed: Assumptions) -> str:
    size = f"--accuracy {assumed.accuracy:g} --n {assumed.n} --seeds {assumed.seeds}"
    given = "" if assumed.difference == POINT else f" --difference {100 * assumed.difference:g}"
    return f"python -m synthaug.report power {size}{given}"


# --- a plan ------------------------------------------------------------------------------------------


def _verdict(power: Power) -> str:
    """Whether the study shows what it looks for, in a sentence."""
    assumed = power.assumed
    found = smallest(power)
    if found is None:
        return "None is: not even if one arm lost all images on which the two disagree."
    said = f"The smallest that synthaug's own interval shows is about {points(found)} points"
    enough = "enough" if found <= assumed.difference else "too much"
    return f"{said}: {enough} for the {in_points(assumed.difference)} looked for."


def smallest(power: Power) -> float | None:
    """The smallest difference that the program's own interval shows, whichever share of discordant images holds."""
    found = [item.smallest for item in power.over_seeds]
    if not found:
        found = [item.smallest for item in power.tests if item.test == BONETT_PRICE]
    known = [size for size in found if size is not None]
    return max(known) if len(known) == len(found) else None


def _sections(power: Power) -> list[Block]:
    assumed = power.assumed
    blocks: list[Block] = [Heading("One run per arm"), _tests(power), Sentences(_about_tests(power))]
    if power.over_seeds:
        blocks += [
            Heading(f"{seeds(assumed.seeds)[0].upper()}{seeds(assumed.seeds)[1:]} per arm"),
            _over_seeds(power),
            Points([_statement(assumed, found) for found in power.over_seeds]),
        ]
    for grid in power.grids:
        share = "" if len(power.grids) == 1 else f", {_share(assumed, grid.discordant)}"
        blocks += [Heading(f"Smallest difference in points, by test images and seeds{share}"), _grid(grid)]
    return [*blocks, Sentences(_about_grid())]


def _tests(power: Power) -> Rows:
    headers = ("test", "setting", "smallest\ndifference,\npoints", f"images for\n{in_points(power.assumed.difference)}")
    return Rows(headers, [_test(power.assumed, found) for found in power.tests], left=(0, 1))


def _test(assumed: Assumptions, found: PowerOfTest) -> tuple[str, str, str, str]:
    needed = NOTHING if found.images is None else f"{found.images:,}"
    if not found.paired:
        name = {"z": "two-proportion z", "Fisher": "Fisher's exact"}[found.test]
        return f"two test sets, {name}", f"from {percent(assumed.accuracy)} %", _or_none(found.smallest), needed
    name = {BONETT_PRICE: "synthaug's interval (Bonett-Price)"}.get(found.test, found.test)
    return f"same images, {name}", _share(assumed, found.discordant), _or_none(found.smallest), needed


def _about_tests(power: Power) -> str:
    said = (
        "Images: those of each arm where every arm has a test set of its own, else the same for both. They say how far "
        "another draw of test images would move the difference of two trained classifiers, and nothing about training "
        "them again with another seed."
    )
    if any(found.paired and found.smallest is None for found in power.tests):
        said += (
            f" {NOTHING}: not even if all images on which the arms disagree were lost by one of them; with more "
            "disagreement there is more to be found."
        )
    return said


def _over_seeds(power: Power) -> Rows:
    assumed = power.assumed
    headers = (
        "interval over seeds and images",
        "smallest\ndifference,\npoints",
        f"images for\n{in_points(assumed.difference)}\nwith {seeds(assumed.seeds)}",
        f"seeds for\n{in_points(assumed.difference)}\nwith {test_images(assumed.n).replace('test ', '')}",
    )
    rows = [
        (
            _share(assumed, found.discordant),
            _or_none(found.smallest),
            _count(found.images, MOST_IMAGES),
            _count(found.seeds, MOST_SEEDS),
        )
        for found in power.over_seeds
    ]
    return Rows(headers, rows)


def _statement(assumed: Assumptions, found: SeedsPower) -> str:
    """What neither more images nor more seeds alone can do."""
    margin, of = in_points(assumed.difference), _share(assumed, found.discordant)
    if found.least_images is None and found.least_seeds is None:
        return f"{of}: arms that differ by {margin} disagree on more images than that; it cannot be looked for."
    ways = []
    if found.images is None:
        ways.append(f"no number of images makes {seeds(assumed.seeds)} show {margin}: they vary too much")
    if found.seeds is None:
        ways.append(f"no number of seeds makes {test_images(assumed.n)} show {margin}")
    if found.least_seeds is not None and found.least_seeds > 2:
        ways.append(f"with fewer than {found.least_seeds} seeds no number of images shows {margin}")
    if found.least_images is not None:
        ways.append(f"with fewer than {found.least_images:,} images no number of seeds does")
    return f"{of}: {'; '.join(ways)}."


def _grid(grid: Grid) -> Rows:
    headers = ("images", *(seeds(count) for count in grid.seeds))
    rows = [(f"{n:,}", *map(_or_none, smallest)) for n, smallest in zip(grid.images, grid.smallest, strict=True)]
    return Rows(headers, rows, left=())


def _about_grid() -> str:
    return (
        "One seed: holds for the two classifiers that were trained, and how another seed would move them is not in it. "
        "From two seeds on it is. Two say almost nothing of it (t is 12.7 with one degree of freedom), three are the "
        "sensible least, five are good."
    )


def _rests_on(assumed: Assumptions) -> list[str]:
    deviation, share = points(assumed.seed_deviation), f"{100 * assumed.image_share:.3g}"
    return [
        *_discordance(assumed),
        (
            f"From seed to seed the difference varies by {deviation} points (standard deviation), were the test set "
            "endless: --seed-deviation."
        ),
        (
            f"Of the variance on images {share} % is the same in every seed (--image-share); where arms disagree in "
            f"one seed, they do in another with probability {assumed.repeated:.2g} (--repeated)."
        ),
        (
            f"Without these options: {100 * SEED_DEVIATION:g} points, {100 * IMAGE_SHARE:g} % and {REPEATED:g}, about "
            "what the digits study with controls measured for its arms with synthetic images (1,500 test images, 5 "
            "seeds). With few real images and nothing else it was 2 points. A first study tells yours: python -m "
            "synthaug.report power outputs/<study>"
        ),
        "Each comparison stands alone: where several arms are compared, Holm's correction asks for more.",
    ]


def _discordance(assumed: Assumptions) -> list[str]:
    said = "Discordant images are those that exactly one of two runs gets right"
    if None in assumed.discordant:
        wrong = f"{100 * (1 - assumed.accuracy):.4g} %"
        return [
            (
                f"{said}: {wrong} plus the difference, as if the arm also got wrong half of what the baseline gets "
                "wrong; a little more than in the digits study. State your own with --discordant."
            )
        ]
    shares = " and ".join(f"{100 * share:.4g} %" for share in assumed.discordant if share is not None)
    return [f"{said}: {shares}, as stated.", *_impossible(assumed)]


def _impossible(assumed: Assumptions) -> list[str]:
    """Stated shares of disagreement that two such arms cannot have."""
    most = 2 * (1 - assumed.accuracy) + assumed.difference
    return [
        f"But {100 * share:.4g} % is more than two arms can have of which one gets {percent(assumed.accuracy)} % right "
        f"and the other {in_points(assumed.difference)} less: at most {100 * most:.3g} %."
        for share in assumed.discordant
        if share is not None and share > most + 1e-9
    ]


# --- a study -----------------------------------------------------------------------------------------


def sentence(name: str, arm: ArmPower) -> str:
    """What a study can show of an arm, and what it would take to show the margin."""
    margin = f"a difference of {in_points(arm.margin_fraction)}"
    if arm.shows:
        said = f"{name}: {margin} would be shown, and any from {_or_none(arm.smallest)} points on."
        return said if arm.variances else f"{said} With one seed that holds for these two trainings alone."
    least = (
        "none is"
        if arm.smallest is None
        else f"the smallest it can is {apart(arm.smallest, arm.margin_fraction)} points"
    )
    return f"{name}: this study cannot show {margin} ({least}). {_way_out(arm)}"


def _way_out(arm: ArmPower) -> str:
    ways = []
    if arm.images is not None:
        times = arm.images / arm.n
        much = f"{_rounded(times)} times the test images" if times >= 1.1 else "a few more test images"
        ways.append(f"{much} ({arm.images:,})")
    if arm.more_seeds is not None:
        ways.append(f"{arm.more_seeds} seeds")
    said = f"It needs {' or '.join(ways)}." if ways else "Neither more test images nor more seeds alone are enough."
    if arm.variances is None:
        return f"{said} How much seeds would help is not known from one."
    if ways and arm.images is None:
        return f"{said} No number of test images makes up for {seeds(arm.seeds)}."
    if ways and arm.more_seeds is None:
        return f"{said} No number of seeds makes up for {test_images(arm.n)}."
    return said


def _arms(arms: Mapping[str, ArmPower]) -> Rows:
    margin = next(iter(arms.values())).margin_fraction
    headers = (
        "arm",
        "seeds",
        "discordant\n%",
        "seed\ndeviation,\npoints",
        "same in\nevery seed,\n%",
        "smallest\ndifference,\npoints",
        f"images for\n{in_points(margin)}",
        f"seeds for\n{in_points(margin)}",
    )
    return Rows(headers, [(name, *_arm(arm)) for name, arm in arms.items()])


def _arm(arm: ArmPower) -> tuple[str, ...]:
    found = arm.variances
    return (
        str(arm.seeds),
        _rounded(100 * arm.discordant),
        points(math.sqrt(found.seed)) if found else NONE,
        _rounded(100 * found.image_share) if found else NONE,
        _or_none(arm.smallest),
        _count(arm.images, MOST_IMAGES),
        _count(arm.more_seeds, MOST_SEEDS) if found else NONE,
    )


def _columns(arms: Mapping[str, ArmPower]) -> str:
    said = (
        "Discordant: test images that exactly one of the arm and the baseline gets right in the same seed. Seed "
        "deviation: of the difference from seed to seed, were the test set endless; 0 where it varied no more than its "
        "test images explain. The same in every seed: share of the variance on images that more seeds do not take away."
    )
    if any(arm.variances is None for arm in arms.values()):
        said += " One seed tells neither, and its numbers hold for the two trainings alone."
    elif min(arm.seeds for arm in arms.values()) < 5:
        said += " With so few seeds these variances are rough."
    return said


# --- words -------------------------------------------------------------------------------------------


def command(assumed: Assumptions) -> str:
    """What to type for a plan."""
    shares = ",".join(f"{share:.3g}" for share in assumed.discordant if share is not None)
    return " ".join(
        [
            "python -m synthaug.report power",
            f"--accuracy {assumed.accuracy:.4g} --n {assumed.n} --seeds {assumed.seeds}",
            *([f"--discordant {shares}"] if shares else []),
            f"--difference {100 * assumed.difference:g} --seed-deviation {100 * assumed.seed_deviation:.2g}",
            f"--image-share {assumed.image_share:.2g} --repeated {assumed.repeated:.2g}",
        ]
    )


def points(difference: float) -> str:
    """Percentage points: 7.1, and two digits below 1."""
    value = 100 * difference
    return f"{value:.1f}".removesuffix(".0") if value >= 1 else f"{value:.2g}"


def apart(difference: float, margin: float) -> str:
    """`points`, with as many digits as it takes to tell it from the margin."""
    decimals = next(d for d in range(1, 9) if d == 8 or f"{difference * 100:.{d}f}" != f"{margin * 100:.{d}f}")
    return points(difference) if decimals == 1 else f"{100 * difference:.{decimals}f}"


def _rounded(number: float) -> str:
    """Two digits that count; all of a number from 100 on, which they would turn into a power of ten."""
    return f"{number:.2g}" if number < 99.5 else f"{number:,.0f}"


def percent(value: float) -> str:
    """A fraction as a percentage without the sign."""
    return f"{100 * value:.4g}"


def seeds(count: int) -> str:
    """A number of seeds."""
    return "one seed" if count == 1 else f"{count} seeds"


def _share(assumed: Assumptions, share: float | None) -> str:
    if share is None:
        return f"{100 * (1 - assumed.accuracy):.4g} % + difference discordant"
    return f"{100 * share:.4g} % discordant"


def _or_none(difference: float | None) -> str:
    if difference is None:
        return NOTHING
    value = 100 * difference
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _count(found: int | None, most: int) -> str:
    return f"over {most:,}" if found is None else f"{found:,}"

"""How an audit is said: its tables, what they mean, and the findings in plain words, the most important first."""

from collections.abc import Sequence
from decimal import Decimal

from synthaug.analysis.audit.reanalysis import (
    MOST_RUNS,
    MOST_SIZE,
    Audit,
    Detectable,
    Figure,
    Pair,
    ReadingAudit,
    last_digit,
)
from synthaug.analysis.inference.hypothesis_tests import Trend
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text.document import Block, Commands, Heading, Points, Rows, Sentences
from synthaug.analysis.text.format import MINUS, NONE

# What can be said of a difference from the baseline; see `verdict`.
NEVER, CORRECTED, OPEN, ALWAYS = "never", "not after correction", "open", "always"
UNPAIRED_NO, UNPAIRED_CORRECTED, UNPAIRED_YES = "unpaired: no", "unpaired: not after correction", "unpaired: yes"


def document(audit: Audit) -> list[Block]:
    """The whole audit, to be printed or made into Markdown."""
    source = f"{audit.published.source[:1].upper()}{audit.published.source[1:]}. " if audit.published.source else ""
    return [
        Heading(f"Audit of {audit.published.title}", 1),
        Sentences(f"{source}Baseline: {audit.baseline.arm.name}. Tests are two-sided, at 5 %."),
        Heading("Can the figures be counts?"),
        *_counts(audit),
        Heading(f"Differences from {audit.baseline.arm.name}"),
        *_differences(audit),
        *_others(audit),
        Heading(f"What {_images(audit.baseline.arm.n_test)} can show"),
        *_power(audit),
        Heading("What the names of the arms mean"),
        *_readings(audit),
        Heading("Fewer real images, and no control"),
        *_controls(audit),
        Heading("Findings"),
        Points(findings(audit), numbered=True),
    ]


# --- figures -----------------------------------------------------------------------------------------


def _counts(audit: Audit) -> list[Block]:
    rows = [(figure.arm.name, _printed(figure), _right(figure), _interval(figure)) for figure in audit.figures]
    headers = ("arm", "accuracy %", "right answers", "95 % interval")
    missed = [_missed(figure) for figure in audit.figures if figure.attainable.rule != "rounded"]
    said = [
        "An accuracy is k right answers of n, rounded.",
        *_gaps(audit.figures),
        "The interval is Wilson's and covers the draw of the test images, not that of the runs.",
    ]
    return [Rows(headers, rows, left=(0, 2)), *([Points(missed)] if missed else []), Sentences(" ".join(said))]


def _gaps(figures: Sequence[Figure]) -> list[str]:
    """How much it says that a figure is a count."""
    said, silent = [], []
    for figure in figures:
        n, step = figure.attainable.n, last_digit(figure.arm.accuracy)
        if figure.attainable.informative:
            # Neighbouring counts lie further apart than neighbouring figures, so that each has one of its own.
            said.append(f"Of the {int(100 / step) + 1:,} figures in steps of {step:f}, {n + 1:,} are counts of {n:,}.")
        else:
            silent.append(f"{step:f} with {n:,} answers")
    if silent:
        said.append(
            f"In steps of {_and(list(dict.fromkeys(silent)))} every figure is a count, so that it says nothing."
        )
    return list(dict.fromkeys(said))


def _right(figure: Figure) -> str:
    found = figure.attainable
    runs = f" ({figure.arm.n_test:,} × {figure.arm.seeds} runs)" if figure.several else ""
    if not found.counts:
        return f"none of {found.n:,}{runs}"
    counts = f"{found.counts[0]:,}" if len(found.counts) == 1 else f"{found.counts[0]:,} to {found.counts[-1]:,}"
    how = {
        "rounded": "",
        "half up": ", if ties are rounded up",
        "half to even": ", if ties are rounded to even",
        "cut off": ", if cut off",
    }[found.rule]
    return f"{counts} of {found.n:,}{runs}{how}"


def _missed(figure: Figure) -> str:
    """A figure that plain rounding does not give."""
    found = figure.attainable
    name = f"{_printed(figure)} ({figure.arm.name})"
    if found.rule == "cut off":
        return f"{name} is {found.counts[0]:,} of {found.n:,} only if digits were cut off instead of rounded."
    if found.rule:
        way = found.rule.removeprefix("half ")
        return f"{name} is {found.counts[0]:,} of {found.n:,} only if a tie is rounded {way}."
    beside = [f"{count:,} of {found.n:,} is {_as_printed(count, figure)}" for count in (found.below, found.above)]
    return f"{name} is no count: {', '.join(beside)}. {_mean_of_runs(figure)}"


def _mean_of_runs(figure: Figure) -> str:
    if figure.several:
        return f"Not even as the mean of {figure.arm.seeds} runs."
    if figure.runs is not None:
        return f"It could be the mean of {figure.runs} runs."
    return f"No mean of 2 to {MOST_RUNS} runs gives it either."


def _interval(figure: Figure) -> str:
    decimals = max(1, min(2, _decimals(figure)))
    return f"{100 * figure.accuracy.low:.{decimals}f} to {100 * figure.accuracy.high:.{decimals}f}"


# --- differences -------------------------------------------------------------------------------------


def verdict(pair: Pair) -> str:
    """What can be said of a difference from the baseline, after Holm's correction.

    With one test set: NEVER, no pairing of the answers makes McNemar's test significant; CORRECTED, one does, but not
    after the correction; ALWAYS, every pairing does; OPEN, it depends on the answers. Without one, by Fisher's test.
    """
    tests, corrected = pair.tests, pair.corrected
    assert corrected is not None, "only comparisons with the baseline are judged"
    if tests.best is None or corrected.best is None or corrected.worst is None:
        if corrected.fisher <= ALPHA:
            return UNPAIRED_YES
        return UNPAIRED_CORRECTED if tests.fisher <= ALPHA else UNPAIRED_NO
    if tests.best > ALPHA:
        return NEVER
    if corrected.best > ALPHA:
        return CORRECTED
    return ALWAYS if corrected.worst <= ALPHA else OPEN


def _differences(audit: Audit) -> list[Block]:
    pairs = audit.against_baseline
    rows = [
        (
            pair.second.arm.name,
            _points(pair.difference),
            *(
                _p(value, adjusted)
                for value, adjusted in (
                    (pair.tests.fisher, pair.corrected.fisher),
                    (pair.tests.z, pair.corrected.z),
                    (pair.tests.best, pair.corrected.best),
                )
            ),
        )
        for pair in pairs
        if pair.corrected is not None
    ]
    headers = ("arm", "points", "Fisher\np (Holm)", "z test\np (Holm)", "McNemar at best\np (Holm)")
    return [
        Rows(headers, rows),
        Points([_verdict_text(pair, len(pairs)) for pair in pairs]),
        Sentences(
            "Fisher's exact test and the z test (pooled variance) treat the arms as two test sets. McNemar's exact "
            "test compares two classifiers on the same images, but needs the answers, and only their number is "
            "published: 'at best' is the smallest p value that any pairing of the answers could give, with every "
            f"disagreement going one way. Holm's correction is for {_comparisons(len(pairs))}.{_stand_ins(audit)}"
        ),
    ]


def _stand_ins(audit: Audit) -> str:
    """What the tests take for a figure that is no single count."""
    said = ""
    guessed = [figure for figure in audit.figures if not figure.attainable.counts or figure.several]
    if guessed:
        counts = ", ".join(f"{figure.right:,} of {figure.arm.n_test:,} for {_printed(figure)}" for figure in guessed)
        said += f" A mean of runs or a figure that is no count is tested as the nearest one: {counts}."
    if any(not figure.attainable.counts and figure.arm.seeds is None for figure in guessed):
        said += " Should it be a mean of several runs after all, its best case is not known."
    if any(len(figure.attainable.counts) > 1 for figure in audit.figures):
        said += " Where several counts are printed alike, the one nearest to the figure is tested."
    return said


def _verdict_text(pair: Pair, comparisons: int) -> str:
    name, base, tests = pair.second.arm.name, pair.first.arm.name, pair.tests
    said = verdict(pair)
    if tests.best is None:
        how = {
            UNPAIRED_YES: f"differs from {base} by Fisher's test, also corrected for {_comparisons(comparisons)}",
            UNPAIRED_CORRECTED: f"differs by Fisher's test only as the one comparison, not as one of {comparisons}",
            UNPAIRED_NO: f"is not told apart from {base} by Fisher's test",
        }[said]
        return f"{name} {how}. No best case of McNemar's test: {pair.unpaired_because}."
    gap = abs(pair.second.right - pair.first.right)
    best = f"{_p(tests.best)} at best"
    if said == NEVER:
        text = f"{name}: {_images(gap)} apart. No pairing of the answers makes it significant: p is {best}."
        if pair.extremes is not None and tests.extreme is not None and tests.extreme <= ALPHA:
            first, second = pair.extremes
            text += f" Taken as {first:,} against {second:,} right answers, it is {_p(tests.extreme)} at best."
        return text
    if said == CORRECTED:
        return (
            f"{name}: {_images(gap)} apart. p is {best}, if {_opposed(pair)}; "
            f"as one of {comparisons} comparisons, no pairing of the answers makes it significant."
        )
    if said == ALWAYS:
        return f"{name}: {_images(gap)} apart. Significant however the answers are paired, also corrected."
    return (
        f"{name}: {_images(gap)} apart. It depends on the answers: p is {best}, and at most 0.05 if {_opposed(pair)}."
    )


def _opposed(pair: Pair) -> str:
    if not pair.opposed:
        return "not one image goes the other way"
    return f"no more than {_images(pair.opposed)} {'goes' if pair.opposed == 1 else 'go'} the other way"


def _others(audit: Audit) -> list[Block]:
    if not audit.others:
        return []
    rows = [
        (
            f"{pair.first.arm.name} and {pair.second.arm.name}",
            _points(pair.difference),
            _p(pair.tests.fisher),
            _p(pair.tests.z),
            _p(pair.tests.best),
        )
        for pair in audit.others
    ]
    headers = ("arms", "points", "Fisher\np", "z test\np", "McNemar at best\np")
    return [Heading("The other pairs, not corrected"), Rows(headers, rows)]


# --- power -------------------------------------------------------------------------------------------


def _power(audit: Audit) -> list[Block]:
    rows = [(*_setting(found), _smallest(found), _needed(found)) for found in audit.detectable]
    headers = ("test", "setting", "smallest\ndifference,\npoints", "images for\none point")
    said = (
        f"The smallest difference from {audit.baseline.arm.name} that the test finds in four of five tries (80 % "
        "power), and about how many images one point would need, each arm's own or the same for both; exact tests "
        "need somewhat more. 'none': not even the largest difference that is possible is found as often."
    )
    if not audit.published.expected_discordant:
        said += (
            " Arms that answer the same images need fewer of them: give expected_discordant, the share of images "
            "that only one of two arms gets right, to see how many."
        )
    return [Rows(headers, rows, left=(0, 1)), Sentences(said)]


def _setting(found: Detectable) -> tuple[str, str]:
    if found.accuracy is not None:
        return f"two test sets, {found.test}", f"from {100 * found.accuracy:.6g} %"
    assert found.discordant is not None
    return f"same images, {found.test}", f"{100 * found.discordant:.6g} % discordant"


def _smallest(found: Detectable) -> str:
    if found.difference is None:
        return "none"
    points = 100 * found.difference
    return f"{points:.1f}" if points >= 1 else f"{points:.2g}"


def _needed(found: Detectable) -> str:
    return NONE if found.images is None else f"{found.images:,.0f}"


# --- readings ----------------------------------------------------------------------------------------


def _readings(audit: Audit) -> list[Block]:
    if not audit.readings:
        return [Sentences("No reading is given: the audit does not know the synthetic share of any arm.")]
    columns = [
        [
            f"{share:.4g} % ({mix})" if not mix.startswith("mix.") else f"{share:.4g} %"
            for share, mix in zip(_shares(audit, item), item.mixes, strict=True)
        ]
        for item in audit.readings
    ]
    rows = [(figure.arm.name, _printed(figure), *cells) for figure, *cells in zip(audit.figures, *columns, strict=True)]
    headers = ("arm", "accuracy %", *(f"{item.reading.name}:\nsynthetic (mix)" for item in audit.readings))
    return [
        Rows(headers, rows),
        Points([_reading(item) for item in audit.readings]),
        Sentences("Each reading as arms of this program:"),
        Commands([line for item in audit.readings for line in _commands(item)]),
        *([Sentences(text)] if (text := _contradiction(audit)) else []),
    ]


def _reading(item: ReadingAudit) -> str:
    says = f" ({item.reading.says})" if item.reading.says else ""
    return f"{item.reading.name}{says}: {_trend(item)}"


def _trend(item: ReadingAudit) -> str:
    if item.trend is None:
        return "share or accuracy is the same in all arms, so that there is no trend."
    said = f"as the synthetic share rises, accuracy {_direction(item.trend)} over all arms ({_tau(item.trend)})"
    if item.mixed_trend is not None and item.mixed_trend != item.trend:
        said += f" and {_direction(item.mixed_trend)} over those with synthetic images ({_tau(item.mixed_trend)})"
    return f"{said}."


def _direction(trend: Trend | None) -> str:
    tau = 0.0 if trend is None else round(trend.tau, 2)
    return "falls" if tau < 0 else "rises" if tau > 0 else "neither falls nor rises"


def _tau(trend: Trend) -> str:
    return f"Kendall's tau {trend.tau:+.2f}, p {_p(trend.p_value)}".replace("-", MINUS).replace("+0.00", "0")


def _commands(item: ReadingAudit) -> list[str]:
    """What to type for the arms of a reading; a mix without a name of its own needs a command of its own."""
    mixes = dict.fromkeys(item.mixes)
    named = [mix for mix in mixes if not mix.startswith("mix.")]
    several = "-m " if len(named) > 1 else ""
    together = [f"python -m synthaug.train {several}mix={','.join(named)}"] if named else []
    alone = [f"python -m synthaug.train {mix}" for mix in mixes if mix not in named]
    return [f"{command}    # {item.reading.name}" for command in together + alone]


def _contradiction(audit: Audit) -> str:
    """What the readings disagree about; empty where they do not."""
    differing = _differing(audit)
    if not differing:
        return ""
    example = differing[-1]
    shares = [f"{item.reading.synthetic[example]:.4g} % ({item.reading.name})" for item in audit.readings]
    said = f"The readings contradict each other about {_and(differing)}: {example} is {_or(shares)} synthetic."
    trends = [item.mixed_trend for item in audit.readings]
    if {"falls", "rises"} <= {_direction(trend) for trend in trends}:
        ways = [f"{_direction(item.mixed_trend)} ({item.reading.name})" for item in audit.readings]
        said += f" As the share rises, accuracy {_or(ways)} among the arms with synthetic images: opposite conclusions"
        few = all(trend is None or trend.p_value > ALPHA for trend in trends)
        said += ", though so few arms support neither." if few else "."
    return said


def _differing(audit: Audit) -> list[str]:
    names = [figure.arm.name for figure in audit.figures]
    return [name for name in names if len({item.reading.synthetic[name] for item in audit.readings}) > 1]


def _shares(audit: Audit, item: ReadingAudit) -> list[float]:
    return [item.reading.synthetic[figure.arm.name] for figure in audit.figures]


# --- controls ----------------------------------------------------------------------------------------


def _controls(audit: Audit) -> list[Block]:
    known = [item for item in audit.readings if any(count is not None for count in item.real)]
    if not known:
        missing = "readings" if not audit.readings else "n_train"
        return [Sentences(f"Without {missing} the audit cannot count the real images of an arm.")]
    columns = [[NONE if count is None else f"{count:,}" for count in item.real] for item in known]
    rows = [(figure.arm.name, *cells) for figure, *cells in zip(audit.figures, *columns, strict=True)]
    headers = ("arm", *(f"{item.reading.name}:\nreal images" for item in known))
    return [
        Rows(headers, rows),
        Points([_control(item) for item in known]),
        Sentences("Counted as n_train times the share that is not synthetic, so about."),
    ]


def _control(item: ReadingAudit) -> str:
    if not item.uncontrolled:
        return f"{item.reading.name}: every arm that has fewer real images than the baseline has its control."
    verb = "has" if len(item.uncontrolled) == 1 else "have"
    return (
        f"{item.reading.name}: {_and(item.uncontrolled)} {verb} fewer real images than the baseline, and no arm has as "
        "few real images and nothing else."
    )


# --- findings ----------------------------------------------------------------------------------------


def findings(audit: Audit) -> list[str]:
    """What the audit found, in plain words, the most important first."""
    return [
        _counts_finding(audit),
        *([text] if (text := _contradiction(audit)) else []),
        *_differences_findings(audit),
        *_control_finding(audit),
        _power_finding(audit),
        *_runs_finding(audit),
    ]


def _counts_finding(audit: Audit) -> str:
    none = [figure for figure in audit.figures if not figure.attainable.counts]
    cut = [figure for figure in audit.figures if figure.attainable.rule == "cut off"]
    if none:
        said = (
            f"{len(none)} of {len(audit.figures)} figures cannot be a number of right answers among that many test "
            f"images: {_listed(none)}. A misprint, another number of images ({_common_size(audit)}), or a mean that "
            "the source does not describe; the rest of this audit takes the nearest count."
        )
    elif not any(figure.attainable.informative for figure in audit.figures):
        return "With so many test images and so few decimals, every figure can be a count."
    else:
        said = "Every figure can be a number of right answers."
    if cut:
        said += f" Only cutting digits off gives {_listed(cut)}."
    return said


def _common_size(audit: Audit) -> str:
    if audit.common_size is None:
        return f"no single one up to {MOST_SIZE:,} gives all figures"
    return f"the smallest that gives all figures is {audit.common_size:,}"


def _differences_findings(audit: Audit) -> list[str]:
    base = audit.baseline.arm.name
    by_verdict: dict[str, list[Pair]] = {}
    for pair in audit.against_baseline:
        by_verdict.setdefault(verdict(pair), []).append(pair)

    def names(*verdicts: str) -> list[str]:
        return [pair.second.arm.name for pair in audit.against_baseline if verdict(pair) in verdicts]

    said = []
    if found := names(ALWAYS):
        said.append(f"However the answers are paired, {_and(found)} {_differ(found)} from {base}.")
    if found := names(UNPAIRED_YES):
        said.append(f"By Fisher's test {_and(found)} {_differ(found)} from {base}, corrected for all comparisons.")
    if found := names(OPEN):
        said.append(
            f"Whether {_and(found)} {_differ(found)} from {base} depends on the answers to each image, which the table "
            "does not give."
        )
    if found := names(NEVER, CORRECTED):
        alone = names(CORRECTED)
        without = f" Alone and uncorrected, {_and(alone)} could be significant at the best." if alone else ""
        said.append(
            f"{_and(found)} cannot be told from {base} by these images: whichever of them each arm got right, the "
            "difference is not significant at 5 % after Holm's correction for "
            f"{_comparisons(len(audit.against_baseline))}."
            f"{_other_counts(audit)}{without}"
        )
    if found := names(UNPAIRED_NO, UNPAIRED_CORRECTED):
        said.append(f"By Fisher's test {_and(found)} cannot be told from {base} after Holm's correction.")
    return said


def _other_counts(audit: Audit) -> str:
    """Whether what cannot be significant still cannot with the other counts that the figures may mean."""
    found = [pair for pair in audit.against_baseline if verdict(pair) in (NEVER, CORRECTED)]
    if all(pair.extremes == (pair.first.right, pair.second.right) for pair in found):
        return ""
    tipped = [
        pair.second.arm.name
        for pair in found
        if pair.corrected is not None and pair.corrected.extreme is not None and pair.corrected.extreme <= ALPHA
    ]
    if tipped:
        return f" The other counts that may be meant could make {_and(tipped)} significant."
    return " That holds for every other count that the figures may mean, too."


def _control_finding(audit: Audit) -> list[str]:
    lacking = [item for item in audit.readings if item.uncontrolled]
    if not lacking:
        return []
    same = len({item.uncontrolled for item in lacking}) == 1 and len(lacking) == len(audit.readings)
    names = _and(lacking[0].uncontrolled)
    which = names if same else "; ".join(f"{_and(item.uncontrolled)} as {item.reading.name}" for item in lacking)
    said = "Whether an arm is worse because it has synthetic images or because it has fewer real ones cannot be said"
    return [f"{said}: there is no control with as few real images for {which}."]


def _power_finding(audit: Audit) -> str:
    n = audit.baseline.arm.n_test
    largest = max((abs(pair.difference) for pair in audit.against_baseline), default=Decimal(0))
    unpaired = next(found for found in audit.detectable if found.test == "z")
    paired = [found for found in audit.detectable if found.test == "McNemar"]
    said = f"With {_images(n)} a test finds, in four of five tries, {_found(unpaired)} on two test sets"
    if paired:
        said += f" and {_found(paired[-1])} on the same images with {_setting(paired[-1])[1]}"
    said += f"; the largest difference in the table is {largest:f} points."
    needed = [found.images for found in paired if found.images is not None]
    if unpaired.images is not None:
        said += f" One point would need about {unpaired.images:,.0f} images per arm"
        if needed:
            span = f"{min(needed):,.0f}" if len(needed) == 1 else f"{min(needed):,.0f} to {max(needed):,.0f}"
            said += f", or the same {span} for both"
        said += "."
    return said


def _found(found: Detectable) -> str:
    return "no difference" if found.difference is None else f"a difference of {_smallest(found)} points or more"


def _runs_finding(audit: Audit) -> list[str]:
    one = [figure for figure in audit.figures if figure.arm.seeds == 1]
    unknown = [figure for figure in audit.figures if figure.arm.seeds is None]
    said = []
    if one:
        said.append(f"One run each: how far another run would move {_listed(one)} is not measured.")
    if unknown:
        which = "each figure" if len(unknown) == len(audit.figures) else _listed(unknown)
        said.append(f"How many runs are behind {which} is not given, nor how far another run would move it.")
    return said


# --- words -------------------------------------------------------------------------------------------


def _printed(figure: Figure) -> str:
    return f"{figure.arm.accuracy:f}"


def _decimals(figure: Figure) -> int:
    exponent = figure.arm.accuracy.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _as_printed(count: int, figure: Figure) -> str:
    return f"{100 * count / figure.attainable.n:.{_decimals(figure)}f}"


def _points(difference: Decimal) -> str:
    return f"{difference:+f}".replace("-", MINUS) if difference else f"{abs(difference):f}"


def _p(value: float | None, adjusted: float | None = None) -> str:
    """A p value, with the corrected one in brackets."""
    if value is None:
        return NONE
    few = f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"
    said = "1" if value > 0.9995 else "<0.0001" if value < 0.0001 else few
    return said if adjusted is None else f"{said} ({_p(adjusted)})"


def _images(n: int) -> str:
    return "one image" if n == 1 else f"{n:,} images"


def _comparisons(n: int) -> str:
    return "one comparison" if n == 1 else f"{n} comparisons"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _differ(names: Sequence[str]) -> str:
    return "differs" if len(names) == 1 else "differ"


def _listed(figures: Sequence[Figure]) -> str:
    return ", ".join(f"{_printed(figure)} ({figure.arm.name})" for figure in figures)

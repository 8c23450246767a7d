"""How an exchange rate and the verdicts on classes are said."""

from synthaug.analysis.exchange import rate as rate
from synthaug.analysis.exchange.class_verdicts import ClassMix
from synthaug.analysis.exchange.law import MOST_VALUE
from synthaug.analysis.exchange.rate import Exchange, Value
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text.document import Block, Heading, Points, Rows, Sentences
from synthaug.analysis.text.format import MINUS, NONE, in_points, percent

MAX_NAMED = 3  # arms in one sentence

# Why there is no exchange rate, and what would give one.
REASONS = {
    rate.NO_SYNTHETIC: "no arm has synthetic images. Add some: mix.synthetic=0.5,1,2",
    rate.FEW_REAL: (
        f"the arms have fewer than {rate.FEWEST_REAL} different numbers of real images, so that nothing says how fast "
        "error falls with them. Add some: mix.real=0.1,0.2,0.4,1 mix.synthetic=0"
    ),
    rate.FEW_ARMS: (
        f"there are fewer than {rate.FEWEST_ARMS} different training sets with real images, and the law has four "
        "numbers: nothing could contradict it. Run a grid: mix.real=0.1,0.2,0.4,1 mix.synthetic=0,0.5,2"
    ),
    rate.FLAT: (
        "the error does not measurably fall with the number of images, so that there is nothing to exchange. Arms with "
        "far fewer real images, more seeds or more test images could show it fall"
    ),
    rate.ALL_RIGHT: "every arm gets every test image right. A harder or a larger test set could tell arms apart",
    rate.OPEN_ABOVE: (
        f"a synthetic image may be worth more than {MOST_VALUE:g} real ones as far as these arms can tell. Add "
        "arms with more real images and no synthetic one, to see how much those would bring"
    ),
    rate.OPEN_BELOW: (
        "synthetic images may undo all real ones as far as these arms can tell. Add controls, with as many real images "
        "and no synthetic one"
    ),
}


ONE_RATE = (
    "The interval is right if one rate holds for all numbers of these arms. That it falls with the number of synthetic "
    "images is found out in one of five studies with 20 arms and three seeds (benchmarks/), so do not carry it further."
)


def headline(exchange: Exchange) -> str:
    """The exchange rate, or why there is none, in one or two sentences."""
    if exchange.value is None:
        why = "; ".join(REASONS[reason] for reason in exchange.reasons)
        return f"What a synthetic image is worth is not identifiable: {why}.{_limit(exchange.limit)}"
    if exchange.better == "changing" and len(exchange.along) > 1:
        first, last = exchange.along[0], exchange.along[-1]
        return (
            f"What a synthetic image is worth changes with their number: where there are {first.n_synthetic:,.0f}, "
            f"{_along(first)} real ones on average; where there are {last.n_synthetic:,.0f}, {_along(last)}. "
            f"A single rate for all numbers: {_worth(exchange.value)}"
        )
    return _worth(exchange.value)


def rate_text(value: Value | None) -> str:
    """K with its interval, for a cell: "2.2 [1.1, 4.8]"; "no limit" where a synthetic image may be worth nothing."""
    if value is None:
        return NONE
    if value.harms:
        return "none: harmful"
    high = _short(value.k_high) if value.k_high is not None else "no limit"
    return f"{_short(value.k) if value.k is not None else NONE} [{_short(value.k_low)}, {high}]"


def remarks(exchange: Exchange) -> list[str]:
    """What a reader of the exchange rate must know: other forms of the law, how well it holds, what is not covered."""
    said = []
    if exchange.value is not None:
        said += _form_remarks(exchange) or [ONE_RATE]
    if exchange.agreement is not None and exchange.agreement <= ALPHA:
        said.append(
            f"The arms lie further from the curve than seeds and test images explain (p = {exchange.agreement:.2g}): "
            f"the law is not quite theirs. The interval is {_short(exchange.inflation**0.5)} times as wide for it."
        )
    if exchange.one_seed and exchange.value is not None:
        said.append(
            "One seed per arm: the spread from run to run is guessed from how far the arms lie off the curve. Two more "
            "seeds would measure it."
        )
    if exchange.left_out:
        names = ", ".join(arm.name for arm in exchange.left_out)
        said.append(f"Arms without real images are left out, since the law is about adding to real ones: {names}.")
    return said


def document(exchange: Exchange) -> list[Block]:
    """The exchange rate with everything that it rests on."""
    blocks: list[Block] = [Heading("What a synthetic image is worth"), Sentences(headline(exchange))]
    if said := remarks(exchange):
        blocks.append(Points(said))
    if exchange.law is not None:
        blocks.append(_arm_rows(exchange))
    if exchange.classes:
        blocks += [Heading("By class", 3), _class_rows(exchange)]
    return blocks


def mix_sentence(item: ClassMix, margin: float) -> str:
    """The recommended mix of one class."""
    said = f"{item.name}: {item.best} is best ({percent(item.accuracy, item.n_test)} %)"
    if item.tied:
        few = len(item.tied) <= MAX_NAMED
        said += f", not told apart from {', '.join(item.tied) if few else f'{len(item.tied)} other arms'}"
    if item.cheapest != item.best:
        said += f"; {item.cheapest} has fewer real images and is shown to be less than {in_points(margin)} worse"
    return f"{said}."


# --- sentences ---------------------------------------------------------------------------------------


def _worth(value: Value) -> str:
    if value.harms:
        low, high = _short(-(value.high or 0.0)), _short(-(value.low or 0.0))
        return (
            f"Synthetic images do harm: each takes away what {_short(-value.value)} real ones teach "
            f"(95 % interval {low} to {high})."
        )
    interval = f"95 % interval {_short(value.low)} to {_short(value.high)}"
    if value.helps and value.k is not None:
        return (
            f"One real image is worth {_short(value.k)} synthetic ones (95 % interval {_short(value.k_low)} to "
            f"{_short(value.k_high)}): a synthetic image is worth {_short(value.value)} real ones ({interval})."
        )
    return (
        f"Synthetic images cannot be told from worthless: one is worth {_short(value.value)} real ones ({interval}), "
        f"so that it takes at least {_short(value.k_low)} of them to replace a real one."
    )


def _limit(limit: Value | None) -> str:
    """The end of the interval that is known."""
    if limit is None:
        return ""
    low, high = _short(limit.low), _short(limit.high)
    return f" It is worth at {f'least {low}' if limit.low is not None else f'most {high}'} real ones."


def _form_remarks(exchange: Exchange) -> list[str]:
    if exchange.better is None:
        return []
    forms = {form.name: form for form in exchange.forms}
    best, constant = forms[exchange.better], forms["constant"]
    assert best.aicc is not None
    assert constant.aicc is not None
    gain = f"AICc lower by {constant.aicc - best.aicc:.1f}"
    if exchange.better == "worthless":
        return [f"A law in which synthetic images are worth nothing does as well with one number less ({gain})."]
    if exchange.better == "shifted":
        shift = best.law.shift
        word = "raise" if shift > 0 else "lower"
        said = (
            f"A law in which synthetic images also {word} the error that no number of images removes, by "
            f"{percent(abs(shift), exchange.n_images)} points at a synthetic share of 100 %, fits better ({gain}); in "
            f"it a synthetic image is worth {_short(best.law.value)} real ones beside that."
        )
        return [said]
    said = f"A law in which what a synthetic image is worth changes with their number fits better ({gain})."
    if not exchange.along:
        return [said]
    along = "; ".join(f"{value.n_synthetic:,.0f}: {_along(value)}" for value in exchange.along)
    return [f"{said} Real images that one is worth on average, by the number of synthetic images: {along}."]


def _along(value: Value) -> str:
    low = _short(value.low) if value.low is not None else "no lower limit"
    high = _short(value.high) if value.high is not None else "no upper limit"
    return f"{_short(value.value)} [{low}, {high}]"


def _short(number: float | None) -> str:
    """Two significant digits: no exchange rate is known to more."""
    if number is None:
        return NONE
    text = f"{number:#.2g}".rstrip(".") if abs(number) < 99.5 else f"{float(f'{number:.2g}'):,.0f}"
    return ("0" if float(f"{number:.2g}") == 0 else text).replace("-", MINUS)


# --- tables ------------------------------------------------------------------------------------------


def _arm_rows(exchange: Exchange) -> Rows:
    n = exchange.n_images
    rows = [
        (
            point.arm.name,
            f"{point.arm.n_real:,}",
            f"{point.arm.n_synthetic:,}",
            f"{percent(point.error, n)} ± {percent(1.96 * point.standard_error, n)}",
            percent(point.fitted, n),
        )
        for point in exchange.points
    ]
    return Rows(("arm", "real", "synthetic", "error %\n± 95 %", "by the law\nwith one rate"), rows)


def _class_rows(exchange: Exchange) -> Rows:
    rows = [
        (item.name, f"{item.n_test:,}", rate_text(item.exchange.value), _why(item.exchange))
        for item in exchange.classes
    ]
    return Rows(("class", "test images", "synthetic images worth\none real [95 %]", ""), rows, left=(0, 3))


def _why(exchange: Exchange) -> str:
    if not exchange.reasons:
        return ""
    known = exchange.limit.k_high if exchange.limit else None
    said = f"; at most {_short(known)}" if known is not None else ""
    return f"not identifiable: {'; '.join(exchange.reasons)}{said}"

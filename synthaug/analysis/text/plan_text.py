"""How a plan is said."""

from synthaug.analysis.comparison.model import Group
from synthaug.analysis.exchange.cheapest_mix import SURE, Mix, Plan
from synthaug.analysis.exchange.rate import Exchange
from synthaug.analysis.text.document import Block, Heading, Points, Rows, Sentences
from synthaug.analysis.text.exchange_text import headline, remarks
from synthaug.analysis.text.format import title


def document(group: Group, exchange: Exchange, plan: Plan) -> list[Block]:
    """The advice first, then the mixes to choose from, then what it rests on."""
    blocks: list[Block] = [
        Heading(f"The cheapest way to {_percent(plan.accuracy)} % accuracy: {title(group)}", 1),
        Points(advice(plan)),
    ]
    if plan.line:
        blocks += [Heading("Mixes that reach it, by the fitted curve"), _line(plan)]
    blocks += [Heading("What this rests on"), Sentences(headline(exchange))]
    return [*blocks, Points([*remarks(exchange), *basis(plan)])]


def advice(plan: Plan) -> list[str]:
    """What to buy, how sure it is, and what it may cost."""
    if plan.cheapest is None:
        return [out_of_reach(plan)]
    said = [f"The cheapest mix is {_mix(plan.cheapest)}. {_chance(plan.cheapest)}{_beyond(plan.cheapest, plan)}"]
    if plan.sure is None:
        said.append(f"No mix reaches the target with a probability of {100 * SURE:.0f} %.")
    elif plan.sure != plan.cheapest:
        said.append(
            f"To reach it with a probability of {100 * SURE:.0f} %: {_mix(plan.sure)}.{_beyond(plan.sure, plan)}"
        )
    if plan.cost_high is not None and plan.cost_low is not None:
        said.append(f"The cheapest way costs between {plan.cost_low:,.2f} and {plan.cost_high:,.2f} (95 % interval).")
    elif plan.cost_low is not None:
        said.append(
            f"The cheapest way costs at least {plan.cost_low:,.2f} (95 % interval) and has no upper limit: the target "
            "may be out of reach."
        )
    if plan.cheapest.n_synthetic == plan.most_synthetic and plan.most_synthetic:
        said.append(
            f"That is as many synthetic images as were measured. More may be cheaper still: add arms beyond "
            f"{plan.most_synthetic:,}."
        )
    return said


def out_of_reach(plan: Plan) -> str:
    """That nothing reaches the target."""
    return (
        f"{_percent(plan.accuracy)} % is out of reach: by the fitted curve no number of images brings this model above "
        f"{_percent(plan.best_accuracy)} %. Another model, longer training or better labels might."
    )


def basis(plan: Plan) -> list[str]:
    """Prices, and what the probabilities cover."""
    prices = plan.prices
    cost = (
        f"A labelled photograph costs {prices.photo:,.2f}; a synthetic image takes {prices.seconds_per_image:.3g} s, "
        f"which at {prices.hour:,.2f} an hour is {prices.synthetic:.2g}."
    )
    covered = (
        "Probabilities cover the draw of test images and seeds, if the curve is right; nothing covers that it may not "
        "be. Train the mix before paying for all of it."
    )
    return [cost, covered]


def _mix(mix: Mix) -> str:
    return f"{mix.n_real:,} real and {mix.n_synthetic:,} synthetic images, for {mix.cost:,.2f}"


def _chance(mix: Mix) -> str:
    return f"It reaches the target with a probability of {100 * mix.likely:.0f} %."


def _beyond(mix: Mix, plan: Plan) -> str:
    """That a mix lies outside of what was measured."""
    return "" if mix.measured else f" That is more than the {plan.most_real:,} real images of any arm: extrapolated."


def _line(plan: Plan) -> Rows:
    rows = [
        (
            f"{mix.n_real:,}",
            f"{mix.n_synthetic:,}",
            f"{mix.cost:,.2f}",
            f"{100 * mix.likely:.0f} %",
            "" if mix.measured else "extrapolated",
        )
        for mix in plan.line
    ]
    return Rows(("real", "synthetic", "cost", "probability", ""), rows, left=(4,))


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.4g}"

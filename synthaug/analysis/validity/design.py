"""Threats that the plan of a study and the results of its runs show, without a look at any image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from synthaug.analysis.comparison.model import Arm, ComparedRun, Group
from synthaug.analysis.comparison.predictions import some
from synthaug.analysis.validity.finding import MIND, PASSED, SERIOUS, Finding

FEW_SEEDS, ENOUGH_SEEDS = 3, 5
UNEQUAL_SHARES = 0.05  # difference of the synthetic share between two classes of an arm


def findings(group: Group) -> list[Finding]:
    """Every check of the design, whatever its outcome."""
    runs = [run for run in group.runs if run.compared]
    checks = [_left_out(group), _baseline(group), _controls(group.arms)]
    if runs:
        checks += [_seeds(group.arms), _steps(runs), _shares(runs)]
        checks += [_same(runs, *question) for question in _QUESTIONS]
    return [finding for finding in checks if finding is not None]


def _left_out(group: Group) -> Finding:
    name, planned = "failed and missing runs", len(group.runs)
    if not group.left_out:
        return Finding(name, PASSED, f"All {planned} planned runs are finished and compared.")
    said = "; ".join(f"{item.run.key.label}: {item.state}" for item in group.left_out[:5])
    more = f"; and {len(group.left_out) - 5} more" if len(group.left_out) > 5 else ""
    empty = [arm.name for arm in group.arms if arm.accuracy is None]
    without = f" Nothing is known of {some(empty)}." if empty else ""
    survivors = " If runs fail where training is hardest, those that are left look better than the arm is."
    failed = survivors if any(item.state == "failed" for item in group.left_out) else ""
    return Finding(
        name,
        SERIOUS if empty else MIND,
        f"{len(group.left_out)} of {planned} planned runs are not in the numbers ({said}{more}).{without}{failed}",
        "Run the command that was to train them again; it computes only what is missing.",
    )


def _baseline(group: Group) -> Finding | None:
    if group.baseline is not None:
        return None
    said = "No arm with all real images and no synthetic one has a finished run, so nothing can be compared with it."
    return Finding("baseline", SERIOUS, said, "Train it with mix=real.")


def _controls(arms: Sequence[Arm]) -> Finding | None:
    name = "controls"
    fewer = [arm for arm in arms if arm.synthetic > 0 and 0 < arm.real < 1]
    lacking = [arm.name for arm in fewer if arm.control is None and arm.accuracy is not None]
    if lacking:
        return Finding(
            name,
            SERIOUS,
            f"Nothing trained on the same real images alone stands beside {_all(lacking)}. A difference from real may "
            "come from the real images that are gone, or from the synthetic ones that came: which, cannot be said.",
            "Train the controls too: controls=true.",
        )
    if not fewer:
        return None
    return Finding(name, PASSED, "Every arm with fewer real images has a control: as many of them and nothing else.")


def _seeds(arms: Sequence[Arm]) -> Finding:
    name, way_out = "seeds", "Add seeds to the command, such as seed=0,1,2,3,4; finished runs are kept."
    seeds = {arm.name: len(arm.seeds) for arm in arms if arm.seeds}
    fewest = min(seeds.values())
    which = [arm for arm, count in seeds.items() if count == fewest]
    where = "Every arm has" if len(which) == len(seeds) else f"{some(which)} {'has' if len(which) == 1 else 'have'}"
    if fewest == 1:
        said = f"{where} one run: how far another run would move the accuracy is not measured, and in no interval."
        return Finding(name, SERIOUS, said, way_out)
    if fewest < ENOUGH_SEEDS:
        few = "too few to know the spread from run to run well" if fewest < FEW_SEEDS else "so intervals are wide"
        return Finding(name, MIND, f"{where} {fewest} runs, {few}.", way_out)
    return Finding(name, PASSED, f"Every arm has {fewest} runs or more.")


def _steps(runs: Sequence[ComparedRun]) -> Finding:
    name = "training length"
    steps = {item.run.key.label: int(_result(item)["training"]["steps"]) for item in runs}
    arms = {item.run.key.label: item.run.key.arm for item in runs}
    low, high = min(steps.values()), max(steps.values())
    if low == high:
        return Finding(name, PASSED, f"Every run took {low:,} optimizer steps.")
    shortest, longest = (
        some(list(dict.fromkeys(arms[label] for label, value in steps.items() if value == end))) for end in (low, high)
    )
    return Finding(
        name,
        SERIOUS,
        f"Runs differ in optimizer steps, from {low:,} ({shortest}) to {high:,} ({longest}). An arm that trains longer "
        "may be better for that alone, whatever its images are.",
        "Train with budget=steps, which gives every arm as many.",
    )


def _shares(runs: Sequence[ComparedRun]) -> Finding | None:
    """Where classes differ in how synthetic they are, what tells origin tells class."""
    name = "synthetic share of the classes"
    unequal, mixed = [], False
    for item in runs:
        counts = _result(item)["counts"].get("per_class", {})
        shares = {
            label: count["synthetic"] / (count["real"] + count["synthetic"])
            for label, count in counts.items()
            if count["real"] + count["synthetic"]
        }
        mixed = mixed or any(0 < share < 1 for share in shares.values()) or len(set(shares.values())) > 1
        if shares and max(shares.values()) - min(shares.values()) > UNEQUAL_SHARES:
            least, most = min(shares, key=lambda key: shares[key]), max(shares, key=lambda key: shares[key])
            unequal.append(
                f"{item.run.key.label}: {100 * shares[least]:.0f} % of {least}, {100 * shares[most]:.0f} % of {most}"
            )
    if unequal:
        return Finding(
            name,
            SERIOUS,
            f"Classes of an arm differ in how many of their images are synthetic ({some(unequal)}). A network may then "
            "know a class by the look of synthetic images, which test images have not.",
            "Add synthetic images to the classes that lack them, or choose a mix that all classes can fill.",
        )
    return Finding(name, PASSED, "Within an arm all classes have the same synthetic share.") if mixed else None


# --- what should be the same in all runs -----------------------------------------------------------------

_Facts = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _same(
    runs: Sequence[ComparedRun], name: str, severity: str, facts: _Facts, passed: str, problem: str, way_out: str
) -> Finding | None:
    """Whether the facts of all results are the same; those that some runs do not have are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    for item in runs:
        for fact, value in facts(_result(item)).items():
            found.setdefault(fact, {}).setdefault(str(value), []).append(item.run.key.label)
    differing = [
        f"{fact} is {', '.join(f'{value} in {some(labels)}' for value, labels in values.items())}"
        for fact, values in found.items()
        if len(values) > 1
    ]
    if differing:
        return Finding(name, severity, f"{problem}: {'; '.join(differing)}.", way_out)
    return Finding(name, PASSED, passed) if found else None


def _digest(part: str, *place: str) -> _Facts:
    def facts(result: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in place:
            result = result.get(name) or {}
        return {"the digest": str(result[part])[:12]} if part in result else {}

    return facts


_QUESTIONS = (
    (
        "validation images",
        SERIOUS,
        _digest("val", "data"),
        "All runs chose their checkpoint on the same validation images.",
        "Runs chose their checkpoint on different validation images, so that luck in the choice is not shared",
        "Train all arms on one split of the dataset, in a study of their own (experiment=<name>).",
    ),
    (
        "real training images",
        SERIOUS,
        _digest("train", "data", "scanned"),
        "All runs drew their real images from the same training set.",
        "Runs drew their real images from different training sets",
        "Train all arms on one dataset, in a study of their own (experiment=<name>).",
    ),
    (
        "machine",
        MIND,
        lambda result: result.get("machine", {}),
        "All runs were computed on the same kind of machine.",
        "Runs were computed on different machines, and the same seed gives the same bits on one only",
        "Where a difference hangs on it, train both arms on one machine.",
    ),
    (
        "versions",
        MIND,
        lambda result: result.get("versions", {}),
        "All runs were computed with the same versions of all libraries.",
        "Runs were computed with different versions, which may train differently",
        "Where a difference hangs on it, train both arms with one installation.",
    ),
)


# --- words -----------------------------------------------------------------------------------------------


def _result(item: ComparedRun) -> Mapping[str, Any]:
    assert item.run.result is not None, "only finished runs are compared"
    return item.run.result


def _all(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""What a reader must be told beside the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthaug.analysis.comparison.model import Arm, ComparedRun, Group, controls_of, spaced
from synthaug.analysis.comparison.predictions import is_baseline, some
from synthaug.analysis.inference.power_analysis import ArmPower
from synthaug.analysis.text.format import in_points, size_unlike
from synthaug.runs import identity

MAX_SETTINGS_NOTES = 6
MAX_VALUES = 4  # of one setting, in one note
MAX_VALUE_TEXT = 60  # letters of one value


def notes(group: Group) -> tuple[str, ...]:
    """Everything that bears on how far the arms of a group may be compared."""
    arms, runs = group.arms, [item for item in group.runs if item.compared]
    return (
        *_baseline_notes(arms),
        *_augment_notes(arms),
        *_control_notes(arms),
        *_power_notes(arms),
        *_seed_notes(arms),
        *_run_notes(runs),
        *_settings_notes(runs),
        *_pool_notes(runs),
        *_chance_notes(arms, group.labels),
    )


def _baseline_notes(arms: tuple[Arm, ...]) -> list[str]:
    baseline = next((arm for arm in arms if arm.baseline), None)
    # In words: nothing here knows the whole command, and a part of it would train something else.
    if baseline is None:
        what = "There is no real arm (real 1, synthetic 0, augmented as the dataset is), so no difference can be given."
        return [f"{what} To add one, run the command that trained the other arms with mix=real in place of its mix."]
    if baseline.accuracy is None:
        what = "The real arm has no run to compare with, so no difference can be given."
        return [f"{what} Run the command that was to train it again."]
    return []


def _augment_notes(arms: tuple[Arm, ...]) -> list[str]:
    """The counts of images do not show in what such an arm differs from the others."""
    said = [f"{arm.name} ({arm.augment})" for arm in arms if arm.augment]
    return [f"Training images vary otherwise than in the other arms in {', '.join(said)}."] if said else []


def _control_notes(arms: Sequence[Arm]) -> list[str]:
    """Arms of which nobody can say whether lost real images or synthetic ones made them what they are."""
    alone = [
        arm.name for arm in arms if arm.accuracy and arm.synthetic > 0 and 0 < arm.real < 1 and arm.control is None
    ]
    if not alone:
        return []
    what = (
        f"No control of {', '.join(alone)} (the same real images and no synthetic one): what losing real images costs"
    )
    return [f"{what} cannot be told from what synthetic ones give. Run the same command with +controls=true added."]


def _power_notes(arms: Sequence[Arm]) -> list[str]:
    """Arms in which the study cannot show what it looks for, controls aside: they lose enough to be seen."""
    controls = controls_of(arms)
    weak = [(arm.name, arm.power) for arm in arms if arm.power and not arm.power.shows and arm.name not in controls]
    if not weak:
        return []
    least = [f"{name} ({_least(found)})" for name, found in weak]
    margin = in_points(weak[0][1].margin_fraction)
    return [f"Underpowered: a difference of {margin} would not be shown in {', '.join(least)}."]


def _least(found: ArmPower) -> str:
    if found.smallest is None:
        return "none would"
    return f"{size_unlike(found.smallest, found.margin_fraction)} points would"


def _seed_notes(arms: Sequence[Arm]) -> list[str]:
    """Which seeds the differences rest on, where that is not simply all of them."""
    base = {seed for arm in arms if arm.baseline for seed in arm.seeds}
    compared = [arm for arm in arms if arm.difference is not None]
    partly = [arm for arm in compared if arm.difference_seeds and set(arm.seeds) != base]
    apart = [arm for arm in compared if not arm.difference_seeds]
    notes = []
    if partly:
        said = ", ".join(f"{arm.name} ({_name_seeds(arm.difference_seeds)})" for arm in partly)
        notes.append(f"Differences from real use only the seeds that both have: {said}.")
    if apart:
        said = ", ".join(f"{arm.name} ({_name_seeds(arm.seeds)})" for arm in apart)
        notes.append(
            f"No seed is shared with real ({_name_seeds(sorted(base))}), so that the difference is between "
            f"the means of all seeds of each: {said}."
        )
    if unequal := [arm.name for arm in compared if not _adds_up(arm)]:
        notes.append(
            "What losing real images costs and what synthetic ones give back rest on other seeds than the difference "
            f"from real, and need not add up to it: {', '.join(unequal)}."
        )
    return notes


def _adds_up(arm: Arm) -> bool:
    if arm.difference is None or arm.loss is None or arm.gain is None:
        return True
    return abs(arm.loss.value + arm.gain.value - arm.difference.value) < 1e-9


def _run_notes(runs: list[ComparedRun]) -> list[str]:
    """Things that differ between runs, or inside one, and should not."""
    notes = []
    for item in runs:
        recorded, counted = result_of(item)["test"]["accuracy"], item.accuracy or 0.0
        if abs(recorded - counted) > 1e-4:
            notes.append(
                f"{item.run.key.label}: result.json says accuracy {recorded:.4f}, predictions.csv gives "
                f"{counted:.4f}; the latter is used."
            )
        left_out = result_of(item)["counts"].get("left_out", 0)
        if left_out:
            files = "file that is no whole image was" if left_out == 1 else "files that are no whole images were"
            notes.append(f"{item.run.key.label}: {left_out} {files} left out of the dataset.")
    if len({result_of(item)["data"]["val"] for item in runs}) > 1:
        notes.append("The runs picked their checkpoints on different validation sets.")
    for field, what in (("steps", "optimizer steps"), ("epochs", "epochs"), ("batch_size", "batch size")):
        values = {result_of(item)["training"][field] for item in runs}
        if len(values) > 1:
            low, high = min(values), max(values)
            said = f"Not all runs had the same {what}: {low:,} to {high:,}. Longer training can pass for better data."
            notes.append(said + (" A study with budget=steps gives all arms as many." if field == "steps" else ""))
    return notes


# Settings that a note on `result.json`'s "training" already tells.
_TOLD_BY_TRAINING = {"batch_size": "batch_size", "trainer.max_epochs": "epochs", "trainer.max_steps": "steps"}


def _settings_notes(runs: list[ComparedRun]) -> list[str]:
    """One note per setting that differs between runs and is not what tells arms and seeds apart."""
    # The baseline first; runs of earlier versions recorded no settings.
    known = sorted(
        (item for item in runs if result_of(item).get("settings")), key=lambda item: not is_baseline(item.run)
    )
    found = _differing(known, {"seed", "mix", "generator"})
    # What made the synthetic images matters to the arms that have some.
    mixed = [item for item in known if item.run.synthetic]
    found |= _differing(mixed, {name for item in mixed for name in result_of(item)["settings"]} - {"generator"})
    for key, field in _TOLD_BY_TRAINING.items():
        if len({result_of(item)["training"][field] for item in runs}) > 1:
            found.pop(key, None)
    intro, outro = "Not all runs had the same settings:", "What the arms show may come from that."
    said = [f"{intro} {key} is {values}. {outro}" for key, values in found.items()]
    if len(said) > MAX_SETTINGS_NOTES:
        rest = list(found)[MAX_SETTINGS_NOTES - 1 :]
        said[MAX_SETTINGS_NOTES - 1 :] = [f"{intro} {len(rest)} more differ ({', '.join(rest)}). {outro}"]
    return said


def _differing(runs: list[ComparedRun], ignored: set[str]) -> dict[str, str]:
    """Key -> its values and where they are found, for the settings that are not the same in all runs."""
    settings = [
        {name: value for name, value in result_of(item)["settings"].items() if name not in ignored} for item in runs
    ]
    pairs = [identity.differing_settings(settings[0], other) for other in settings]
    first = {key: pair[0] for found in pairs for key, pair in found.items()}
    return {
        key: _by_value(runs, [found[key][1] if key in found else value for found in pairs])
        for key, value in sorted(first.items())
    }


def _pool_notes(runs: list[ComparedRun]) -> list[str]:
    pools = [(item, result_of(item)["data"].get("scanned", {}).get("train")) for item in runs]
    known = [(item, digest[:12]) for item, digest in pools if digest]
    if len({digest for _, digest in known}) <= 1:
        return []
    said = _by_value([item for item, _ in known], [digest for _, digest in known])
    return [f"Not all runs drew from the same real training images: the digest of those is {said}."]


def _by_value(runs: list[ComparedRun], values: Sequence[Any]) -> str:
    """ "0.002 in real, 0.001 in 82": each value and the arms, or single runs of an arm, that have it."""
    texts = list(map(str, values))
    of_arm: dict[str, set[str]] = {}
    for item, text in zip(runs, texts, strict=True):
        of_arm.setdefault(item.run.key.arm, set()).add(text)
    where: dict[str, list[str]] = {}
    for item, text in zip(runs, texts, strict=True):
        key = item.run.key
        name = key.arm if len(of_arm[key.arm]) == 1 else key.label
        if name not in where.setdefault(text, []):
            where[text].append(name)
    # The value of many comes last, as that of all others.
    largest = max(where, key=lambda text: len(where[text]))
    others = len(where[largest]) > 3
    shown = [text for text in where if not (others and text == largest)]
    said = [f"{_shortened(text)} in {some(where[text])}" for text in shown[:MAX_VALUES]]
    if len(shown) > MAX_VALUES:
        said.append(f"{len(shown) - MAX_VALUES} more values in other runs")
    return ", ".join([*said, *([f"{_shortened(largest)} in all others"] if others else [])])


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_VALUE_TEXT else text[:MAX_VALUE_TEXT] + "..."


def _chance_notes(arms: tuple[Arm, ...], labels: NDArray[np.int64]) -> list[str]:
    """A model of NaNs trains in silence and then scores like chance."""
    if len(labels) == 0:
        return []
    share = float(np.bincount(labels).max()) / len(labels)
    names = [arm.name for arm in arms if arm.accuracy and arm.accuracy.low <= share and arm.accuracy.value < 1]
    if not names:
        return []
    verb, whose = ("is", "its") if len(names) == 1 else ("are", "their")
    said = f"{verb} not shown to be better than always naming the most frequent class ({share:.1%} of the test images)"
    return [f"{', '.join(names)} {said}: did {whose} training diverge?"]


def _name_seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {spaced(seeds)}"


def result_of(item: ComparedRun) -> Mapping[str, Any]:
    """Content of the `result.json` of a compared run."""
    assert item.run.result is not None, "only finished runs are compared"
    return item.run.result

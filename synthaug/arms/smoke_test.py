"""What `debug=true` trains and tests on: so few images that everything is tried in a minute.

Every class has an image where there is one, every arm images of both origins as far as its mix has them, and both in
about its proportion. What such runs say of the arms is nothing.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from synthaug import locks
from synthaug.arms.mixing import Counts, Mix
from synthaug.data.samples import RealImages, Sample, Samples, per_class
from synthaug.errors import UserError
from synthaug.runs import layout

_GENERATED = {"log.txt", "synthetic", "held_out"}  # what the command `generate` leaves
IMAGES = 16  # of an arm, of the validation and of the test set, unless there are more classes


def few_images(real: RealImages) -> RealImages:
    """Return the first images of every class: those of validation and test, and as many as an arm may take."""
    classes = real.classes

    def first(samples: Iterable[Sample], counts: Mapping[str, int]) -> Samples:
        return Samples.joined(listed[: counts[name]] for name, listed in per_class(samples, classes).items())

    total = max(IMAGES, len(classes))
    every = dict.fromkeys(classes, IMAGES)
    val, test = (
        first(samples, _spread(total, {name: len(listed) for name, listed in per_class(samples, classes).items()}))
        for samples in (real.val, real.test)
    )
    return replace(real, train=first(real.train, every), val=val, test=test, more=first(real.more, every))


def few_counts(real: RealImages, mix: Mix) -> dict[str, Counts]:
    """Return class → the images of an arm, `IMAGES` in all, or one of every class where there are more of these.

    Args:
        real: the dataset.
        mix: whose proportion of real and synthetic images counts; half and half where they fill classes.
    """
    real_share = mix.real if mix.real_per_class is None else 1.0
    synthetic_share = mix.synthetic if mix.fill is None else 1.0
    classes = real.classes
    total = max(IMAGES, len(classes))
    kept = round(total * real_share / (real_share + synthetic_share))
    kept = min(max(kept, real_share > 0), total - (synthetic_share > 0))
    by_class = per_class(Samples.joined((real.train, real.more)), classes)
    available = {name: len(samples) for name, samples in by_class.items()}
    real_counts = _spread(kept, available)
    # Where the real ones end, the synthetic ones begin, so that classes are of about one size.
    begin = kept % len(classes)
    turned = [*classes[begin:], *classes[:begin]]
    synthetic_counts = _spread(total - kept, dict.fromkeys(turned, total))
    return {name: Counts(real_counts[name], synthetic_counts[name]) for name in classes}


def clear(study: Path) -> None:
    """Remove what an earlier smoke test has left in its study, unless another process works there or it is not a study.

    Args:
        study: folder of a study of `debug=true`; `log.txt` stays.

    Raises:
        UserError: it holds a run of another kind.
    """
    runs = [path.parent for path in study.glob(f"{'*/' * layout.STUDY_DEPTH}{layout.CONFIG}")]
    foreign = [run for run in runs if b"debug: true" not in (run / layout.CONFIG).read_bytes().splitlines()]
    if foreign or not layout.is_debug(study):
        raise UserError(
            f"debug=true: would clear {study}, where {foreign[0] if foreign else 'a study'} is not a smoke test; move "
            "it away, or give another name with experiment=<name>."
        )
    content = {path.name: path for path in study.iterdir()} if study.is_dir() else {}
    if any(map(_is_locked, runs)) or not (layout.PLANNED in content or content.keys() <= _GENERATED):
        return
    for path in content.values():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "log.txt":
            path.unlink()


def _is_locked(run: Path) -> bool:
    with locks.without_waiting(run / ".lock") as is_free:
        return not is_free


def _spread(total: int, available: Mapping[str, int]) -> dict[str, int]:
    """Spread a number of images over classes one by one, so far as they have some; each class that has gets one."""
    counts = dict.fromkeys(available, 0)
    total = min(max(total, 0), sum(available.values()))
    while sum(counts.values()) < total:
        for name in available:
            if counts[name] < available[name] and sum(counts.values()) < total:
                counts[name] += 1
    return counts

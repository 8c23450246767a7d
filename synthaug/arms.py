"""From settings to the images of an arm: real images scanned, synthetic ones made, all decoded, the mix drawn."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.data import mixing
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import (
    REAL,
    SPLITS,
    RealImages,
    Sample,
    bullets,
    per_class,
    repeated,
    require_distinct,
    require_every_class,
    scan,
)
from synthaug.errors import UserError
from synthaug.generation.synthetic_set import SyntheticSet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arm:
    """What a run trains on and is judged by.

    Attributes:
        real: the dataset.
        train: real and synthetic images of the mix.
        store: pixels of all of them.
        left_out: files that were no images and were skipped.
    """

    real: RealImages
    train: list[Sample]
    store: PixelStore
    left_out: int

    @property
    def counts(self) -> dict[str, Any]:
        """Images by origin, class and split, as `result.json` has them."""
        by_class = {
            name: {"real": kept, "synthetic": len(samples) - kept}
            for name, samples in per_class(self.train, self.real.classes).items()
            for kept in [sum(sample.origin == REAL for sample in samples)]
        }
        real = sum(count["real"] for count in by_class.values())
        return {
            "real": real,
            "synthetic": len(self.train) - real,
            "per_class": by_class,
            "val": len(self.real.val),
            "test": len(self.real.test),
            "left_out": self.left_out,
        }

    @property
    def digests(self) -> dict[str, str]:
        """A hash of the content of each list, which says whether two runs had the same images."""
        lists = {"train": self.train, "val": self.real.val, "test": self.real.test}
        return {name: digest(samples) for name, samples in lists.items()}


def digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over (class, file hash), whatever the files are called and in which order they are listed."""
    lines = sorted(f"{sample.class_name}\0{sample.sha256}" for sample in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def prepare(dataset: Mapping[str, Any], instantiate: Callable[..., object]) -> None:
    """Let a dataset that is made by a function write itself to its root, once."""
    if dataset["prepare"]:
        instantiate(dataset["prepare"], root=Path(dataset["root"]))


def read_real(dataset: Mapping[str, Any], output_dir: Path) -> tuple[RealImages, PixelStore, int]:
    """Scan and decode a dataset.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where the pixel store goes.

    Returns:
        The dataset, its pixels, and how many files were left out as no images.
    """
    real = scan(Path(dataset["root"]), {split: dataset[split] for split in SPLITS})
    # Evaluation shows crop_pct of the short side at image_size pixels: more is never looked at.
    short_side = round(dataset["image_size"] / dataset["crop_pct"])
    store = PixelStore(output_dir / "pixels" / dataset["name"], short_side)
    bad = _decode(store, [sample for samples in real.splits.values() for sample in samples])
    if bad and dataset["on_bad_image"] != "skip":
        raise _bad_files(
            bad, "Mend or remove them, or leave them out (they are counted) with dataset.on_bad_image=skip."
        )
    real = real.without(bad)
    require_every_class(real)
    require_distinct(real, lambda key: store.place(key).content)
    again = repeated(real.train)
    if again:
        log.warning("%d training images of %s repeat another one byte for byte", again, dataset["name"])
    return real, store, len(bad)


def synthetic_folder(output_dir: Path, dataset: str, generator: str) -> Path:
    """Where the images of a generator for a dataset lie, shared by all studies."""
    return output_dir / "synthetic" / dataset / generator


def build(
    real: RealImages,
    store: PixelStore,
    left_out: int,
    mix: Mapping[str, Any],
    seed: int,
    synthetic: SyntheticSet,
    siblings: Iterable[tuple[float, float]] = (),
    check: Callable[[], object] = lambda: None,
) -> Arm:
    """Draw the mix, generating what the synthetic set lacks.

    Args:
        real, store, left_out: from `read_real`.
        mix: the settings of the group `mix`.
        seed: of the run.
        synthetic: the generator's set for this dataset.
        siblings: (real, synthetic) of the study's other mixes: what they will ask for is made in the same go, so
            that the model is loaded once.
        check: called before anything is generated, which may take hours: raises where they would be in vain.
    """
    wanted = mixing.required(real.train, real.classes, mix["real"], mix["synthetic"])
    pool: Sequence[Sample] = []
    if mix["synthetic"] > 0:
        needed = {name: count.synthetic for name, count in wanted.items()}
        if synthetic.lacks(needed):
            check()
            for other in siblings:
                for name, count in mixing.required(real.train, real.classes, *other).items():
                    needed[name] = max(needed[name], count.synthetic)
            synthetic.ensure(needed)
        pool = synthetic.samples(real.classes)
    train = mixing.select(real.train, pool, wanted, seed)
    bad = _decode(store, train)
    if bad:
        raise _bad_files(bad, "Delete them and run the same command again: they are generated anew.")
    return Arm(real, train, store, left_out)


def _decode(store: PixelStore, samples: Sequence[Sample]) -> dict[Path, str]:
    """Bring images into the store; path → reason for those that are no whole images."""
    reasons = store.add({sample.sha256: sample.path for sample in samples})
    return {sample.path: reasons[sample.sha256] for sample in samples if sample.sha256 in reasons}


def _bad_files(bad: Mapping[Path, str], way_out: str) -> UserError:
    lines = [f"{path}: {reason}" for path, reason in sorted(bad.items())]
    return UserError(f"{len(bad)} files are not whole images:\n{bullets(lines)}\n{way_out}")

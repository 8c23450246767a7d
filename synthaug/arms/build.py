"""From settings to the images of an arm: real images scanned, synthetic ones made, all decoded, the mix drawn."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthaug.arms import mixing
from synthaug.data import splitting
from synthaug.data.hash_cache import HASHES, HashCache
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import (
    MORE,
    REAL,
    SPLITS,
    RealImages,
    Sample,
    digest,
    per_class,
    repeated,
    require_distinct,
    require_every_class,
    scan_more,
)
from synthaug.data.split_rule import Rule
from synthaug.data.splitting import Divided
from synthaug.errors import UserError
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.generation.prompts import read_prompts
from synthaug.generation.synthetic_set import Generator, SyntheticImages, SyntheticSet
from synthaug.messages import bullets, plural

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RealData:
    """A dataset that can be used, decoded.

    Attributes:
        real: the dataset.
        store: its pixels.
        left_out: files that were no images and were skipped.
        scanned: split → `digest` of its files as `list_real` found them, those that were left out later among them.
    """

    real: RealImages
    store: PixelStore
    left_out: int
    scanned: dict[str, str]


@dataclass(frozen=True)
class Arm:
    """What a run trains on and is judged by.

    Attributes:
        real: the dataset.
        train: real and synthetic images of the mix.
        store: pixels of all of them.
        left_out: files that were no images and were skipped.
        scanned: digests of the dataset as it was found, from `read_real`.
    """

    real: RealImages
    train: list[Sample]
    store: PixelStore
    left_out: int
    scanned: dict[str, str]

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
        synthetic = [sample for sample in self.train if sample.origin != REAL]
        lists = {"train": self.train, "synthetic": synthetic, "val": self.real.val, "test": self.real.test}
        return {name: digest(samples) for name, samples in lists.items()}


def prepare(dataset: Mapping[str, Any], instantiate: Callable[..., object]) -> None:
    """Let a dataset that is made by a function write itself to its root, once."""
    if dataset["prepare"]:
        instantiate(dataset["prepare"], root=Path(dataset["root"]).expanduser(), _convert_="all")


def hash_cache(dataset: Mapping[str, Any], output_dir: Path) -> HashCache:
    """Return the content hashes of a dataset's files, which lie beside its pixels.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where the pixel store is.
    """
    return HashCache(output_dir / "pixels" / dataset["name"] / HASHES)


def list_real(dataset: Mapping[str, Any], output_dir: Path) -> Divided:
    """List the images of a dataset in their splits, as its folder has them or as they were drawn, which happens once.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where drawn splits and content hashes are kept.

    Raises:
        UserError: the folder cannot be used or split, or is not the one that was split under this name.
    """
    rule = dataset.get("split")
    root = Path(dataset["root"]).expanduser()
    with hash_cache(dataset, output_dir) as hashes:
        divided = splitting.divide(
            root,
            {split: dataset[split] for split in SPLITS},
            Rule(**rule) if rule else None,
            output_dir / "splits" / dataset["name"],
            lambda bad: refuse_bad(bad, dataset),
            hashes.sha256,
        )
        more = dataset.get(MORE)
        return replace(divided, real=scan_more(root, more, divided.real, hashes.sha256)) if more else divided


def read_real(dataset: Mapping[str, Any], output_dir: Path, divided: Divided | None = None) -> RealData:
    """Scan and decode a dataset.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where the pixel store goes.
        divided: the dataset from `list_real`; None has it listed now.

    Raises:
        UserError: the folder, its files or their contents cannot be used, all of a kind at once.
    """
    divided = divided or list_real(dataset, output_dir)
    real = divided.real
    scanned = {split: digest(samples) for split, samples in real.splits.items()}
    store = PixelStore(output_dir / "pixels" / dataset["name"], _short_side(dataset))
    bad = decode(store, [sample for samples in real.splits.values() for sample in samples])
    refuse_bad(bad, dataset)
    left_out = divided.bad | bad
    if left_out:
        what = plural(len(left_out), "file")
        log.warning("%s: left out, since they are not whole images:\n%s", what, _reasons(left_out))
    if divided.copies:
        what = plural(len(divided.copies), "image is a near duplicate", "images are near duplicates")
        listed = bullets([str(path) for path in divided.copies], limit=3)
        log.warning("%s of validation or test images and left out:\n%s", what, listed)
    real = real.without(bad)
    require_every_class(real)
    require_distinct(real, lambda key: store.place(key).content)
    for split, samples in real.splits.items():
        again = repeated(samples, lambda key: store.place(key).content)
        if again:
            repeats = plural(len(again), "image repeats", "images repeat")
            log.warning("%s: %s another one of its class:\n%s", split, repeats, bullets(again, limit=3))
    return RealData(real, store, len(left_out), scanned)


def _short_side(dataset: Mapping[str, Any]) -> int:
    """Short side of stored images in pixels, so that neither evaluation nor a training crop is enlarged.

    An arm's own augmentation has no say: all arms of a dataset share one store, or their test images would not be the
    same to the last bit. A smaller crop than the dataset's is thus enlarged.
    """
    image_size: int = dataset["image_size"]
    crop_pct: float = dataset["crop_pct"]
    smallest = min(crop_pct, math.sqrt(dataset["augment"]["scale"][0]))
    # Disk and memory grow with the square: a scale of 0.01 would ask for 77 times as much as evaluation.
    return math.ceil(min(image_size / smallest, 2 * image_size / crop_pct))


def synthetic_folder(settings: Mapping[str, Any], dataset: str, name: str) -> Path:
    """Where the images of a generator for a dataset lie, or what is known of a pool of them."""
    return Path(settings["output_dir"]) / "synthetic" / dataset / name


def synthetic_images(
    settings: Mapping[str, Any], dataset: str, name: str, generator: Generator | FolderGenerator
) -> SyntheticImages:
    """The images of a generator for a dataset, shared by all studies.

    Args:
        settings: of the run.
        dataset: its name.
        name: of the generator with its prompts.
        generator: not yet loaded.

    Raises:
        UserError: prompts that cannot be read, or that nobody would ask.
    """
    folder = synthetic_folder(settings, dataset, name)
    if isinstance(generator, FolderGenerator):
        prompts = settings["prompts"]
        if any(prompts[key] for key in ("templates", "file", "settings", "names")):
            raise UserError(
                f"prompts={prompts['name']}: the images of generator.root={generator.root} are made already and ask "
                "for no prompts: use prompts=default, or a generator that makes images."
            )
        return FolderPool(folder, generator)
    return SyntheticSet(folder, generator, read_prompts(settings["prompts"], generator.prompt))


def build(
    data: RealData,
    mix: Mapping[str, Any],
    seed: int,
    synthetic: SyntheticImages,
    siblings: Iterable[tuple[float, float]] = (),
    check: Callable[[], object] = lambda: None,
) -> Arm:
    """Draw the mix, generating what the synthetic set lacks.

    Args:
        data: from `read_real`.
        mix: the settings of the group `mix`.
        seed: of the run.
        synthetic: from `synthetic_images`.
        siblings: (real, synthetic) of the study's other mixes: what they will ask for is made in the same go, so
            that the model is loaded once.
        check: called before anything is generated, which may take hours: raises where they would be in vain.
    """
    real = data.real
    wanted = mixing.required(real.train, real.classes, mix["real"], mix["synthetic"], real.more)
    pool: Sequence[Sample] = []
    if mix["synthetic"] > 0:
        needed = {name: count.synthetic for name, count in wanted.items()}
        if synthetic.count_missing(needed):
            check()
            for other in siblings:  # one that cannot be had fails its own run, not this one
                for name, samples in per_class(real.train, real.classes).items():
                    needed[name] = max(needed[name], mixing.counts(len(samples), *other).synthetic)
            synthetic.ensure(needed)
        wanted = mixing.within(wanted, synthetic.available({name: count.synthetic for name, count in wanted.items()}))
        pool = synthetic.samples(real.classes)
    train = mixing.select(real.train, pool, wanted, seed, real.more)
    bad = decode(data.store, train)
    if bad:
        raise _bad_files(bad, "Delete them and run the same command again: they are generated anew.")
    _require_foreign(train, real, data.store)
    return Arm(real, train, data.store, data.left_out, data.scanned)


def _require_foreign(train: Sequence[Sample], real: RealImages, store: PixelStore) -> None:
    """Refuse synthetic images that are real ones: a pool made elsewhere may hold what the test will ask."""
    split_of = {
        store.place(sample.sha256).content: (split, sample.path)
        for split, samples in real.splits.items()
        for sample in samples
    }
    found = [
        f"{sample.path}  =  {split}: {path}"
        for sample in train
        if sample.origin != REAL
        for split, path in [split_of.get(store.place(sample.sha256).content, ("", Path()))]
        if split
    ]
    if found:
        raise UserError(
            f"{plural(len(found), 'synthetic image is a real one', 'synthetic images are real ones')}:\n"
            f"{bullets(found)}\nRemove them from the synthetic images."
        )


def decode(store: PixelStore, samples: Sequence[Sample]) -> dict[Path, str]:
    """Bring images into the store; path → reason for those that are no whole images."""
    reasons = store.add({sample.sha256: sample.path for sample in samples})
    return {sample.path: reasons[sample.sha256] for sample in samples if sample.sha256 in reasons}


def refuse_bad(bad: Mapping[Path, str], dataset: Mapping[str, Any]) -> None:
    """Stop at files that are no whole images, unless they are to be left out."""
    if bad and dataset["on_bad_image"] != "skip":
        raise _bad_files(
            bad, "Mend or remove them, or leave them out (they are counted) with dataset.on_bad_image=skip."
        )


def _bad_files(bad: Mapping[Path, str], way_out: str) -> UserError:
    what = plural(len(bad), "file is not a whole image", "files are not whole images")
    return UserError(f"{what}:\n{_reasons(bad)}\n{way_out}")


def _reasons(bad: Mapping[Path, str]) -> str:
    return bullets([f"{path}: {reason}" for path, reason in sorted(bad.items())])

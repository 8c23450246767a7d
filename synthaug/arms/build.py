"""The images of an arm: real ones scanned, synthetic ones generated, all decoded, the mix drawn."""

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthaug import locks
from synthaug.arms import mixing, real_share, smoke_test
from synthaug.arms.feedback import Round
from synthaug.arms.mixing import Counts, Mix
from synthaug.arms.real_share import AdaptedImages
from synthaug.data import fingerprints, fold_split, long_tail, splitting
from synthaug.data.hash_cache import HASHES, HashCache
from synthaug.data.keyed_rows import are_among, short_keys
from synthaug.data.pixels import PixelStore
from synthaug.data.samples import (
    MORE,
    SPLITS,
    RealImages,
    Sample,
    Samples,
    digest,
    label_conflicts,
    per_class,
    repeated,
    require_distinct,
    require_every_class,
    scan_more,
)
from synthaug.data.split_rule import Fold, Rule
from synthaug.data.splitting import Divided
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.generation.image_formats import MATCH, MatchedFormats
from synthaug.generation.pool_sources import PoolSource
from synthaug.generation.prompts import Prompts, read_prompts
from synthaug.generation.source_images import SourceImages
from synthaug.generation.synthetic_set import AUTO, Generator, SyntheticImages, SyntheticSet
from synthaug.messages import bullets, plural
from synthaug.screening.criteria import decode
from synthaug.screening.criterion import RealReferences
from synthaug.screening.screened_images import ScreenedImages
from synthaug.screening.settings import KEEP, NO_SCREENING, ScreeningSettings

log = logging.getLogger(__name__)

CLUSTERS = "clusters.json"  # in a pixel store


@dataclass(frozen=True)
class RealData:
    """A decoded dataset.

    Attributes:
        real: the dataset.
        store: its pixels.
        left_out: number of files that are not images and were skipped.
        scanned: split → `digest` of its files from `list_real`, including those that were left out later.
        conflicts: number of images that were left out since they are in more than one class.
    """

    real: RealImages
    store: PixelStore
    left_out: int
    scanned: dict[str, str]
    conflicts: int = 0


@dataclass(frozen=True)
class Arm:
    """What a run trains on and is evaluated on.

    Attributes:
        real: the dataset.
        train: real and synthetic images of the mix.
        store: pixels of all of them.
        left_out: number of files that are not images and were skipped.
        scanned: digests of the dataset, from `read_real`.
        conflicts: number of images that were left out since they are in more than one class.
        feedback: the rounds that spread its synthetic images over classes.
        screening: what the run writes down of the screening of its synthetic images; None without any.
        adapted: what the adapters of its generator were trained on.
        pool: the synthetic images that those of the mix were selected from.
    """

    real: RealImages
    train: Sequence[Sample]
    store: PixelStore
    left_out: int
    scanned: dict[str, str]
    conflicts: int = 0
    feedback: tuple[Round, ...] = ()
    screening: dict[str, Any] | None = None
    adapted: tuple[AdaptedImages, ...] = ()
    pool: Sequence[Sample] = ()

    @property
    def counts(self) -> dict[str, Any]:
        """Images by origin, class and split, as `result.json` has them."""
        by_class = {
            name: {"real": real, "synthetic": len(samples) - real}
            for name, samples in per_class(self.train, self.real.classes).items()
            for real in [len(samples) - int(samples.synthetic.sum())]
        }
        real = sum(count["real"] for count in by_class.values())
        return {
            "real": real,
            "synthetic": len(self.train) - real,
            "per_class": by_class,
            "val": len(self.real.val),
            "test": len(self.real.test),
            "left_out": self.left_out,
            **({"label_conflicts": self.conflicts} if self.conflicts else {}),
        }

    @property
    def clusters(self) -> list[int]:
        """The cluster of each test image; near duplicates have the same one."""
        return clusters(self.real.test, self.store)

    @property
    def digests(self) -> dict[str, str]:
        """Hash of each list: two runs with equal hashes had the same images."""
        train = Samples.of(self.train)
        synthetic = train.take(np.flatnonzero(train.synthetic))
        lists = {"train": self.train, "synthetic": synthetic, "val": self.real.val, "test": self.real.test}
        return {name: digest(samples) for name, samples in lists.items()}


def prepare(dataset: Mapping[str, Any], instantiate: Callable[..., object]) -> None:
    """Have a dataset with a `prepare` function written to its root, once.

    Args:
        dataset: the settings of the group `dataset`.
        instantiate: Hydra's, which calls the function.
    """
    if dataset["prepare"]:
        instantiate(dataset["prepare"], root=Path(dataset["root"]).expanduser(), _convert_="all")


def hash_cache(dataset: Mapping[str, Any], output_dir: Path) -> HashCache:
    """Return the content hashes of a dataset's files, which lie beside its pixels.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where the pixel store is.
    """
    return HashCache(output_dir / "pixels" / dataset["name"] / HASHES)


def list_real(dataset: Mapping[str, Any], output_dir: Path, fold: Fold | None = None) -> Divided:
    """List the images of a dataset in their splits, as its folder has them or as they were drawn, which happens once.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where drawn splits and content hashes are kept.
        fold: whose images are the test images, where all images are dealt into folds.

    Raises:
        UserError: the folder cannot be used or split, or is not the one that was split under this name; classes that
            have fewer images than they are to keep.
    """
    rule = Rule(**dataset["split"]) if dataset.get("split") else None
    root, folder = Path(dataset["root"]).expanduser(), output_dir / "splits" / dataset["name"]
    split_folders = {split: dataset[split] for split in SPLITS}

    def refuse(bad: Mapping[Path, str]) -> None:
        refuse_bad(bad, dataset)

    with hash_cache(dataset, output_dir) as hashes:

        def read(samples: Samples) -> Any:
            hashes.close()
            return fingerprints.fingerprint_into(pixel_store(dataset, output_dir), samples)

        rest = (refuse, hashes.sha256, drops_conflicts(dataset), read)
        if fold is None:
            divided = splitting.divide(root, split_folders, rule, folder, *rest)
        else:
            divided = fold_split.divide_by_folds(root, split_folders, rule, folder, fold, *rest)
    real = _with_few(divided.real, dataset)
    if more := dataset.get(MORE):
        with hash_cache(dataset, output_dir) as hashes:
            real = scan_more(root, more, real, hashes.sha256)
    return replace(divided, real=real)


def _with_few(real: RealImages, dataset: Mapping[str, Any]) -> RealImages:
    """Return a dataset of whose training images some classes keep few."""
    imbalance, class_counts = dataset.get("imbalance"), dataset.get("class_counts")
    if imbalance is None and class_counts is None:
        return real
    available = {name: len(samples) for name, samples in per_class(real.train, real.classes).items()}
    if imbalance is not None:
        sizes = long_tail.tail_sizes(available, imbalance, dataset.get("imbalance_seed"))
    else:
        sizes = long_tail.few_of(available, class_counts or {})
    train = long_tail.keep(real.train, sizes)
    listed = ", ".join(f"{name}: {size:,}" for name, size in sizes.items())
    log.info("%s: %d of %d training images are kept (%s)", dataset["name"], len(train), len(real.train), listed)
    return replace(real, train=train)


def read_real(
    dataset: Mapping[str, Any], output_dir: Path, divided: Divided | None = None, debug: bool = False
) -> RealData:
    """Scan and decode a dataset.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where the pixel store goes.
        divided: the dataset from `list_real`; None has it listed now.
        debug: whether a few images are enough.

    Raises:
        UserError: the folder, its files or their contents cannot be used; all problems of a kind at once.
    """
    divided = divided or list_real(dataset, output_dir)
    real = divided.real
    scanned = real.digests
    real = smoke_test.few_images(real) if debug else real
    store = pixel_store(dataset, output_dir)
    bad = decode(store, Samples.joined(real.splits.values()))
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
    conflicts = list(divided.conflicts)
    if drops_conflicts(dataset):
        all_samples = Samples.joined(real.splits.values())
        conflicts += [sample.path for sample in label_conflicts(all_samples, store.contents)]
        real = real.without(conflicts)
    if conflicts:
        what = plural(len(conflicts), "image is", "images are")
        log.warning("%s in more than one class and left out:\n%s", what, bullets([str(path) for path in conflicts]))
    require_every_class(real)
    require_distinct(real, store.contents)
    for split, samples in real.splits.items():
        again = repeated(samples, store.contents)
        if again:
            repeats = plural(len(again), "image repeats", "images repeat")
            log.warning("%s: %s another one of its class:\n%s", split, repeats, bullets(again, limit=3))
    return RealData(real, store, len(left_out), scanned, len(conflicts))


def pixel_store(dataset: Mapping[str, Any], output_dir: Path) -> PixelStore:
    """Return the store of a dataset's pixels.

    Args:
        dataset: the settings of the group `dataset`.
        output_dir: where the store is.
    """
    most_gb = dataset.get("most_stored_gb")
    most_bytes = None if most_gb is None else round(most_gb * 1e9)
    return PixelStore(output_dir / "pixels" / dataset["name"], _short_side(dataset), most_bytes)


def _short_side(dataset: Mapping[str, Any]) -> int:
    """Return the short side of stored images in pixels, so that neither evaluation nor a training crop is enlarged.

    An arm's own augmentation is not considered: all arms of a dataset share one store, or their test images would not
    be the same to the last bit. A smaller crop than the dataset's is thus enlarged.
    """
    image_size: int = dataset["image_size"]
    crop_pct: float = dataset["crop_pct"]
    smallest = min(crop_pct, math.sqrt(dataset["augment"]["scale"][0]))
    # Disk and memory grow with the square: a scale of 0.01 would need 77 times as much as evaluation.
    return math.ceil(min(image_size / smallest, 2 * image_size / crop_pct))


def synthetic_folder(settings: Mapping[str, Any], dataset: str, name: str) -> Path:
    """Return the folder of a generator's images for a dataset, or of the verdicts on a pool of them.

    Args:
        settings: of the run.
        dataset: its name.
        name: of the set.
    """
    return images_folder(settings) / "synthetic" / dataset / name


def images_folder(settings: Mapping[str, Any]) -> Path:
    """Return where generated images are kept: for all studies together, but for a smoke test in its own study."""
    output_dir = Path(settings["output_dir"])
    return output_dir / settings["experiment"] if settings.get("debug") else output_dir


def mix_counts(real: RealImages, mix: Mapping[str, Any], debug: bool = False) -> dict[str, Counts]:
    """Return class → the counts of a mix.

    Args:
        real: the dataset.
        mix: the settings of the group `mix`.
        debug: whether a few images are enough.

    Raises:
        UserError: the images do not allow the mix.
    """
    if debug:
        return smoke_test.few_counts(real, Mix.of(mix))
    return mixing.required(real.train, real.classes, Mix.of(mix), real.more)


def synthetic_images(
    settings: Mapping[str, Any],
    dataset: str,
    name: str,
    generator: Generator | FolderGenerator,
    announced: set[str] | None = None,
    sources: SourceImages | None = None,
    training: Sequence[Sample] = (),
    parts: int = 1,
) -> SyntheticImages:
    """Return the images of a generator for a dataset, which all studies share.

    Args:
        settings: of the run.
        dataset: its name.
        name: of the set.
        generator: not yet loaded.
        announced: what the command has told already.
        sources: real images for a generator that is guided by them, from `real_share.source_images`.
        training: real images, whose formats `generator.image_format` may ask for.
        parts: of `SyntheticSet`.

    Raises:
        UserError: prompts that cannot be read, or that would not be used.
    """
    folder, draw = synthetic_folder(settings, dataset, name), settings["generator"].get("draw") or 0
    if isinstance(generator, PoolSource):
        generator.place(Path(settings["output_dir"]) / "pools")
    if isinstance(generator, FolderGenerator):
        prompts = settings["prompts"]
        if any(prompts[key] for key in ("templates", "file", "settings", "names", "lists")):
            raise UserError(
                f"prompts={prompts['name']}: the images of {generator.title} exist already and use no "
                "prompts: set prompts=default, or a generator that makes images."
            )
        if draw:
            raise UserError(
                f"generator.draw={draw}: the images of {generator.title} exist already, and no others "
                "are drawn; leave it out, or choose a generator that makes images."
            )
        return FolderPool(folder, generator, matched_formats(settings, folder, training))
    series = f"draw {draw}" if draw else ""
    prompts = make_prompts(settings, generator)
    formats = matched_formats(settings, folder, training)
    return SyntheticSet(
        folder, generator, prompts, series, announced, sources, formats, settings.get("storage") or AUTO, parts
    )


def make_prompts(settings: Mapping[str, Any], generator: Any) -> Prompts:
    """Return the prompts of a run.

    Args:
        settings: of the run.
        generator: of the run, which may have learned words for classes.

    Raises:
        UserError: prompts that cannot be read.
    """
    return read_prompts(settings["prompts"], generator.prompt, getattr(generator, "class_words", None))


def matched_formats(settings: Mapping[str, Any], folder: Path, training: Sequence[Sample]) -> MatchedFormats | None:
    """Return the formats of a set's images where they are those of real ones; None: as they are sampled.

    Args:
        settings: of the run.
        folder: of the set.
        training: real images.
    """
    return MatchedFormats(folder, training) if settings["generator"].get("image_format") == MATCH else None


def screened_images(
    images: SyntheticImages, settings: Mapping[str, Any], real: RealImages, store: PixelStore
) -> SyntheticImages:
    """Return a source of synthetic images less those that the run's screening rejects.

    Args:
        images: from `synthetic_images`.
        settings: of the run.
        real: the dataset, from `real_share.redrawn`.
        store: of the dataset's pixels.

    Raises:
        UserError: a reject list that cannot be read.
    """
    screening = ScreeningSettings.of(settings.get("screening") or NO_SCREENING)
    if not screening.is_active:
        return images
    share = real_share.select(real, settings) if screening.needs_real_share else []
    references = RealReferences(share, Samples.joined((real.train, real.more)), real.val, real.test)
    return ScreenedImages(images, screening, references, store, images_folder(settings) / "features")


def build(
    data: RealData,
    mix: Mapping[str, Any],
    seed: int,
    synthetic: SyntheticImages,
    siblings: Iterable[Mapping[str, Any]] = (),
    check: Callable[[], object] = lambda: None,
    debug: bool = False,
    class_counts: Mapping[str, Counts] | None = None,
    announce: Callable[[Mapping[str, int]], object] | None = None,
) -> Arm:
    """Draw the mix, and generate what the synthetic set lacks.

    Args:
        data: from `read_real`.
        mix: the settings of the group `mix`.
        seed: of the run.
        synthetic: from `synthetic_images`.
        siblings: the study's other mixes, whose images are generated at once so that the model is loaded once.
        check: called before anything is generated; raises where hours of generation would be in vain.
        debug: whether a few images are enough.
        class_counts: class → counts in the place of the mix's.
        announce: called with class → images at hand, each time that one more of the mixes has all of its own: the
            smaller ones are made first; None: all are made at once.

    Raises:
        UserError: a mix that the images do not allow; files that are not whole images; synthetic copies of real images.
    """
    real = data.real
    class_counts = class_counts or mix_counts(real, mix, debug)
    pool: Sequence[Sample] = []
    if Mix.of(mix).has_synthetic:
        needed = {name: count.synthetic for name, count in class_counts.items()}
        if synthetic.count_missing(needed):
            check()
            _make_images(synthetic, [needed, *synthetic_counts(real, siblings, debug)], announce)
        synthetic.ensure(needed)
        if announce:
            announce(needed)
        class_counts = mixing.within(class_counts, synthetic.available(needed))
        pool = synthetic.samples(real.classes)
    train = mixing.select(real.train, pool, class_counts, seed, real.more)
    bad = decode(data.store, train)
    if bad:
        raise _bad_files(bad, "Delete them and run the same command again: they are generated anew.")
    is_screened = isinstance(synthetic, ScreenedImages) and synthetic.settings.train_copies == KEEP
    counted = ("train", MORE) if is_screened else ()  # as memorisation
    synthetic_part = train.take(np.flatnonzero(train.synthetic))
    _require_foreign(synthetic_part, {name: s for name, s in real.splits.items() if name not in counted}, data.store)
    _warn_of_two_labels(synthetic_part, data.store)
    screening = (
        synthetic.record({name: count.synthetic for name, count in class_counts.items()})
        if isinstance(synthetic, ScreenedImages) and pool
        else None
    )
    return Arm(real, train, data.store, data.left_out, data.scanned, data.conflicts, screening=screening, pool=pool)


def synthetic_counts(real: RealImages, mixes: Iterable[Mapping[str, Any]], debug: bool = False) -> list[dict[str, int]]:
    """Return class → the synthetic images of each mix, also of one that the real images do not allow.

    Args:
        real: the dataset.
        mixes: the settings of the group `mix` of each.
        debug: whether a few images are enough.
    """
    available = {name: len(samples) for name, samples in per_class(real.train, real.classes).items()}
    needs = []
    for mix in map(Mix.of, mixes):
        class_counts = smoke_test.few_counts(real, mix) if debug else mixing.mix_counts(available, mix)
        needs.append({name: count.synthetic for name, count in class_counts.items()})
    return needs


def _make_images(
    synthetic: SyntheticImages,
    needs: Sequence[Mapping[str, int]],
    announce: Callable[[Mapping[str, int]], object] | None,
) -> None:
    """Generate the images of several mixes; one after the other, where it is to be told of, the smaller ones first.

    Args:
        synthetic: from `synthetic_images`.
        needs: class → images of each mix.
        announce: of `build`.
    """
    at_hand = dict.fromkeys(needs[0], 0)
    with synthetic.kept_loaded():
        for needed in sorted(needs, key=lambda counts: sum(counts.values())):
            before, at_hand = at_hand, {name: max(count, needed[name]) for name, count in at_hand.items()}
            if announce and at_hand != before:
                synthetic.ensure(at_hand)
                announce(at_hand)
        synthetic.ensure(at_hand)


def _require_foreign(synthetic: Samples, splits: Mapping[str, Sequence[Sample]], store: PixelStore) -> None:
    """Raise UserError if synthetic images are copies of real ones: a pool may hold test images."""
    if not len(synthetic):
        return
    contents = store.contents(synthetic)
    ordered = np.sort(short_keys(contents))
    originals: dict[bytes, str] = {}
    for split, samples in splits.items():
        of_split = store.contents(samples)
        for number in np.flatnonzero(are_among(short_keys(of_split), ordered)).tolist():
            originals[of_split[number].tobytes()] = f"{split}: {samples[number].path}"
    copies = [
        f"{sample.path}  =  {originals[content.tobytes()]}"
        for sample, content in zip(synthetic, contents, strict=True)
        if content.tobytes() in originals
    ]
    if copies:
        raise UserError(
            f"{plural(len(copies), 'synthetic image is a real one', 'synthetic images are real ones')}:\n"
            f"{bullets(copies)}\nRemove them from the synthetic images."
        )


def _warn_of_two_labels(synthetic: Sequence[Sample], store: PixelStore) -> None:
    """Warn of synthetic images that are in more than one class: no way out but another pool or other prompts."""
    conflicts = label_conflicts(synthetic, store.contents)
    if conflicts:
        what = plural(len(conflicts), "synthetic image is", "synthetic images are")
        log.warning("%s in more than one class:\n%s", what, bullets([sample.file for sample in conflicts]))


def clusters(samples: Sequence[Sample], store: PixelStore) -> list[int]:
    """Return the cluster of near duplicates of each image, named by the index of its first one.

    They are kept beside the pixels, so that the same images are compared once for all runs.

    Args:
        samples: the images.
        store: that holds them.
    """
    keys = [sample.sha256 for sample in samples]
    path = store.folder / CLUSTERS
    name = hashlib.sha256("\n".join([str(fingerprints.RULE), *keys]).encode()).hexdigest()
    recorded = _recorded_clusters(path)
    if name not in recorded:
        with locks.exclusive(store.folder / f".{CLUSTERS}.lock", "compares the test images"):
            recorded = _recorded_clusters(path)
            if name not in recorded:
                prints = fingerprints.FingerprintTable(store.folder)
                for key in dict.fromkeys(keys):
                    prints.add(key, fingerprints.fingerprint(store.image(key)))
                recorded[name] = fingerprints.groups_of_lists([prints.of(Samples.of(samples))], near=True)[0]
                write_json(path, recorded)
    return recorded[name]


def _recorded_clusters(path: Path) -> dict[str, list[int]]:
    try:
        return read_json(path) if path.is_file() else {}
    except UserError:  # damaged: computed again
        return {}


def drops_conflicts(dataset: Mapping[str, Any]) -> bool:
    """Whether images whose pixels are in more than one class are left out instead of refused."""
    return bool(dataset.get("on_label_conflict") == "drop")


def refuse_bad(bad: Mapping[Path, str], dataset: Mapping[str, Any]) -> None:
    """Raise UserError for files that are not whole images, unless the dataset's setting is to skip them.

    Args:
        bad: path → reason.
        dataset: the settings of the group `dataset`.
    """
    if bad and dataset["on_bad_image"] != "skip":
        raise _bad_files(
            bad, "Repair or remove them, or leave them out (they are counted) with dataset.on_bad_image=skip."
        )


def _bad_files(bad: Mapping[Path, str], remedy: str) -> UserError:
    what = plural(len(bad), "file is not a whole image", "files are not whole images")
    return UserError(f"{what}:\n{_reasons(bad)}\n{remedy}")


def _reasons(bad: Mapping[Path, str]) -> str:
    return bullets([f"{path}: {reason}" for path, reason in sorted(bad.items())])

"""Lineage in W&B: which dataset and synthetic set an arm was mixed from, what it was trained on, what it predicted.

    dataset-<dataset>                                    in    the images of all splits, by their hashes
    synthetic-<dataset>-<generator>                      in    the manifest of the synthetic set
    mix-<dataset>-<generator>-<arm>-seed<k>              out   mix.csv (.npz): every image trained on
    predictions-<study>-<dataset>-<generator>-<model>-…  out   predictions.csv (.npz): the prediction for every image
    model-<study>-<dataset>-<generator>-<model>-…        out   best.ckpt, where the logger has log_model=true

W&B keeps one version of an artifact for one content: arms of a study share theirs. No image is uploaded.
"""

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthaug.data.samples import RealImages
from synthaug.files import write_rows
from synthaug.generation.manifest import SETTINGS, part_files
from synthaug.runs import contents, image_lists, layout
from synthaug.runs.layout import RunKey
from synthaug.tracking import connection

MAX_LISTED = 100_000  # images; of a larger dataset each split has one hash
MAX_BYTES = 50_000_000  # a larger file is named by place and hash, and stays where it is
_MAX_NAME = 128  # letters of an artifact's name


def log_images(run: Any, folder: Path, key: RunKey, real: RealImages, root: Path, synthetic: Path) -> None:
    """Log the dataset and the synthetic set as inputs of a run, and its mix as an output.

    Args:
        run: of W&B.
        folder: of the run, which holds the list of its images.
        key: of the run.
        real: the dataset.
        root: folder of the dataset.
        synthetic: folder of the synthetic set.
    """
    with connection.warn_on_failure("lineage is"):
        dataset = dataset_artifact(key.dataset, real, root)
        _use(run, dataset)
        sources = {"dataset": dataset.name, "dataset_digest": dataset.digest}
        pool = synthetic_artifact(key, synthetic)
        if pool is not None and contents.read_mix(folder).synthetic.any():
            _use(run, pool)
            sources |= {"synthetic_set": pool.name, "synthetic_set_digest": pool.digest}
        run.log_artifact(mix_artifact(key, folder, sources))


def log_predictions(run: Any, folder: Path, study: str, key: RunKey) -> None:
    """Log the predictions of a run as its output.

    Args:
        run: of W&B.
        folder: of the run.
        study: its name.
        key: of the run.
    """
    with connection.warn_on_failure("predictions are"):
        run.log_artifact(predictions_artifact(study, key, folder))


def log_model(run: Any, folder: Path, study: str, key: RunKey, test: Mapping[str, Any]) -> None:
    """Log the best checkpoint of a run as its output, with its classes and how well it does.

    Lightning's loggers do so for its own ModelCheckpoint alone.

    Args:
        run: of W&B.
        folder: of the run.
        study: its name.
        key: of the run.
        test: the field `test` of its result.
    """
    from synthaug.models import frozen_weights  # imports torch

    metadata = {name: test[name] for name in ("accuracy", "macro_f1", "class_accuracy")}
    with connection.warn_on_failure("the model is"):
        parts = (study, key.dataset, key.arm, key.place)
        artifact = _artifact("model", *parts, metadata={"classes": list(test["class_accuracy"]), **metadata})
        # Of any size, unlike `_add`: it is uploaded because somebody asked for it.
        checkpoint = (folder / layout.CHECKPOINT).absolute()
        artifact.add_file(str(checkpoint), name=layout.CHECKPOINT)
        if frozen := frozen_weights.referred(checkpoint):
            artifact.add_file(str(frozen), name=frozen.name)
        run.log_artifact(artifact, aliases=["latest", "best"])


def use_predictions(run: Any, folder: Path, study: str, key: RunKey) -> None:
    """Log the predictions of a run as an input of this one.

    Args:
        run: of W&B, the one that uses them.
        folder: of the run that made them.
        study: its name.
        key: of the run that made them.
    """
    _use(run, predictions_artifact(study, key, folder))


def dataset_artifact(name: str, real: RealImages, root: Path) -> Any:
    """Return the dataset as a list of its images, or if that is long as one hash for each split.

    Args:
        name: of the dataset.
        real: its images.
        root: folder of the dataset.
    """
    count = {split: len(samples) for split, samples in real.splits.items()}
    artifact = _artifact("dataset", name, metadata={"classes": len(real.classes), **count})
    by_class = {split: Counter(sample.class_name for sample in samples) for split, samples in real.splits.items()}
    totals = [(split, of, counts[of], real.digests[split]) for split, counts in by_class.items() for of in real.classes]
    _add_rows(artifact, "splits.csv", ("split", "class", "images", "sha256 of split"), totals)
    if sum(count.values()) <= MAX_LISTED:
        listed = [
            (split, sample.class_name, _below(root, sample.path), sample.sha256)
            for split, samples in real.splits.items()
            for sample in samples
        ]
        _add_rows(artifact, "images.csv", ("split", "class", "path", "sha256"), sorted(listed))
    _add(artifact, root / "dataset.json")  # where it came from, and its licence
    return artifact


def synthetic_artifact(key: RunKey, folder: Path) -> Any | None:
    """Return the synthetic set as its manifest, or a foreign pool as its list of accepted images; None without either.

    Args:
        key: of the run.
        folder: of the synthetic set.
    """
    others = [path for name in (SETTINGS, "screened.csv") if (path := folder / name).is_file()]
    files = [*part_files(folder), *others]
    if not files:
        return None
    artifact = _artifact("synthetic", key.dataset, folder.name, kind="synthetic-set")
    for path in files:
        _add(artifact, path)
    return artifact


def mix_artifact(key: RunKey, folder: Path, sources: Mapping[str, Any]) -> Any:
    """Return the list of the images that a run trained on.

    Args:
        key: of the run.
        folder: of the run.
        sources: names and hashes of the dataset and the synthetic set, as metadata.
    """
    artifact = _artifact("mix", key.dataset, key.arm, key.place, metadata=dict(sources))
    listed = layout.mix_file(folder)
    for path in (listed, *(image_lists.lists_of(listed) if listed.name == layout.MIX_ROWS else ())):
        _add(artifact, path)
    return artifact


def predictions_artifact(study: str, key: RunKey, folder: Path) -> Any:
    """Return the predictions of a run.

    Args:
        study: its name.
        key: of the run.
        folder: of the run.
    """
    artifact = _artifact("predictions", study, key.dataset, key.arm, key.place)
    _add(artifact, layout.predictions_file(folder))
    return artifact


def report_artifact(study: str, folder: Path) -> Any:
    """Return the page of a study and its numbers in every format.

    Args:
        study: its name.
        folder: of the study.
    """
    artifact = _artifact("report", study)
    for path in sorted([folder / layout.PAGE, *folder.glob("results.*")]):
        _add(artifact, path)
    return artifact


def artifact_name(*parts: str) -> str:
    """Return a name that W&B accepts: other letters become "-", and a hash keeps changed or cut names apart."""
    name = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    if plain == name and len(name) <= _MAX_NAME:
        return name
    return f"{plain[: _MAX_NAME - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _artifact(*parts: str, kind: str = "", metadata: Mapping[str, Any] | None = None) -> Any:
    import wandb

    return wandb.Artifact(artifact_name(*parts), type=kind or parts[0], metadata=dict(metadata or {}))


def _add(artifact: Any, path: Path) -> None:
    """Add a file if it is there; W&B copies it, so that what is uploaded later is what was hashed."""
    if not path.is_file():
        return
    if path.stat().st_size > MAX_BYTES:
        artifact.add_reference(path.absolute().as_uri(), name=path.name)
    else:
        artifact.add_file(str(path.absolute()), name=path.name)


def _add_rows(artifact: Any, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # an artifact's `new_file` does not say when it is removed
        write_rows(Path(folder, name), header, rows)
        artifact.add_file(str(Path(folder, name)), name=name)


def _use(run: Any, artifact: Any) -> None:
    # `use_artifact` refuses to work offline, and waits without end for a server that was lost, although the record
    # that it writes is uploaded as well as any other.
    run._log_artifact(artifact, is_user_created=True, use_after_commit=True)


def _below(root: Path, path: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()

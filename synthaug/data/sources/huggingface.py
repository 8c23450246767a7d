"""Image classification datasets of the Hugging Face hub, laid out once as image folders: `<root>/<split>/<class>/`.

The package `datasets` reads them, and is imported only where one is to be written.
"""

import importlib.metadata
import importlib.util
import io
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from synthaug import locks
from synthaug.data.decoding import open_image
from synthaug.data.folders import folder_of_class
from synthaug.data.sources import dataset_record
from synthaug.errors import UserError, raise_all
from synthaug.files import whole_folder
from synthaug.hub_client import cache_alone_where_silent, limit_silence
from synthaug.messages import join_words, plural, suggest

log = logging.getLogger(__name__)

_NODE = "dataset.prepare"
_NETWORK = {"aiohttp", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3"}


def write_huggingface(
    root: Path,
    id: str,
    revision: str | None = None,
    config: str | None = None,
    train: str = "train",
    val: str | None = None,
    test: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    classes: Sequence[str] | Mapping[str, str] | None = None,
) -> None:
    """Write a dataset as an image folder, every file with the bytes that the dataset has.

    Does nothing where `root` holds it; the folder appears whole or not at all.

    Args:
        root: where the image folder goes.
        id: `<owner>/<name>` on the hub, or a folder: of images or Parquet files, or written by `save_to_disk`.
        revision: branch, tag or commit; None is the newest. The commit is written down.
        config: which of the dataset's configurations, where it has several.
        train: its split that is trained on.
        val: its split that is validated on; None where it has none, or none is to be used.
        test: its split that is tested on; None likewise.
        image_column: the column of images.
        label_column: the column of class labels, or of names.
        classes: the selected classes, or old name → new name, of which several may be the same; None is all.

    Raises:
        UserError: the dataset cannot be loaded, or lacks what is requested.
    """
    if isinstance(classes, str):
        raise UserError(
            f"dataset.prepare.classes={classes}: must be a list or a mapping, such as [{classes},<another>]"
        )
    splits = {"train": train, "val": val, "test": test}
    request = {
        "id": id, "revision": revision, "config": config, **splits,
        "image_column": image_column, "label_column": label_column,
        "classes": dict(classes) if isinstance(classes, Mapping) else classes and list(classes),
    }  # fmt: skip
    if dataset_record.is_made(root, request):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(root.parent / f".{root.name}.lock", f"writes {root}"):
        if dataset_record.is_made(root, request):
            return
        require_package("dataset=huggingface")
        facts, tables = open_tables(id, revision, config, {name: split for name, split in splits.items() if split})
        _write_folder(root, request, facts, tables, image_column, label_column, classes)


def require_package(choice: str) -> None:
    """Check that the package `datasets` is installed, and quiet it.

    Turn off messages that would be printed twice, and progress bars that would fill a log file; no server that is
    silent is waited for without end.

    Args:
        choice: what needs it, such as "dataset=huggingface".

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            f"{choice} needs the package datasets: pip install 'synthaug[huggingface]' (or, in a checkout, "
            "pip install -e '.[huggingface]')."
        )
    import datasets

    limit_silence()
    for library in ("datasets", "huggingface_hub"):  # they print what they pass on to our log
        logging.getLogger(library).propagate = False
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()


# --- from the hub or from a folder -----------------------------------------------------------------


def open_tables(
    id: str, revision: str | None, config: str | None, splits: Mapping[str, str], node: str = _NODE
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts for the record, and our name of each split → its table.

    Args:
        id: `<owner>/<name>` on the hub, or a folder.
        revision: branch, tag or commit; None is the newest.
        config: which of the dataset's configurations, where it has several.
        splits: our name of a split, which is its key in the configuration, → the dataset's.
        node: of the configuration, named in messages.

    Raises:
        UserError: it cannot be loaded.
    """
    folder = Path(id).expanduser()
    if not folder.exists() and (id.startswith((".", "~")) or folder.is_absolute()):
        raise UserError(f"{node}.id={id}: there is no folder {folder.absolute()}")
    if folder.is_dir():
        saved = any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
        tables = (
            _load_saved(folder, splits, node) if saved else _load(str(folder.absolute()), None, config, splits, node)
        )
        facts: dict[str, Any] = {"source": f"the folder {folder.absolute()}"}
    else:
        with cache_alone_where_silent(id, "dataset") as silence:
            facts = {"source": f"https://huggingface.co/datasets/{id}", **_hub_facts(id, revision, node)}
            tables = _load(id, facts.get("revision") or revision, config, splits, node, silence)
    info = next(iter(tables.values())).info
    commits = re.findall(r"@([0-9a-f]{40})/", " ".join(info.download_checksums or {}))
    facts |= {
        "revision": facts.get("revision") or next(iter(commits), None) or revision,
        "licence": facts.get("licence") or info.license or "not stated: to be verified before it is passed on",
        "citation": info.citation or None,
        "homepage": info.homepage or None,
        "versions": {"datasets": importlib.metadata.version("datasets")},
    }
    unused = sorted({str(name) for name in info.splits or {}} - set(splits.values()))
    if unused:
        log.info("%s: its splits %s are not used; see %s", id, ", ".join(unused), _keys(node, splits))
    return facts, tables


def _keys(node: str, splits: Mapping[str, str]) -> str:
    names = ("val", "test") if node == _NODE else splits
    return join_words(f"{node}.{name}" for name in names)


def _hub_facts(id: str, revision: str | None, node: str) -> dict[str, Any]:
    """Return commit and licence; nothing without a connection, where the dataset may still be in the cache."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().dataset_info(id, revision=revision)
    except GatedRepoError:
        raise UserError(_gated(id)) from None
    except RevisionNotFoundError:
        raise UserError(
            f"{node}.revision={revision}: {id} has no such branch, tag or commit (any more); see "
            f"https://huggingface.co/datasets/{id}/commits/main"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(_not_on_hub(id, node)) from None
    except Exception:  # of whichever HTTP library the client uses; loading raises if the cache does not have it
        return {}
    card = info.card_data
    return {"revision": info.sha, "licence": card.get("license") if card else None}


def _load(
    id: str, revision: str | None, config: str | None, splits: Mapping[str, str], node: str, silence: str = ""
) -> dict[str, Any]:
    """Return our name of each split → its table, by `load_dataset`."""
    import datasets

    tables = {}
    for name, split in splits.items():
        try:
            tables[name] = datasets.load_dataset(id, name=config, revision=revision, split=split)
        except Exception as error:  # of the package, of PyArrow, or of an HTTP library
            problem = _lost(id, silence, node) if silence else _explain(error, id, config, f"{name}={split}", node)
            raise UserError(problem) from None
    return tables


def _load_saved(folder: Path, splits: Mapping[str, str], node: str) -> dict[str, Any]:
    """Return our name of each split → its table, as `save_to_disk` wrote it; a table alone is for training."""
    import datasets

    try:
        saved = datasets.load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        raise UserError(f"{node}.id={folder}: cannot be read ({error})") from None
    tables = saved if isinstance(saved, datasets.DatasetDict) else {next(iter(splits.values())): saved}
    for name, split in splits.items():
        if split not in tables:
            raise UserError(f"{node}.{name}={split}: there is no such split; {folder} has {', '.join(tables)}")
    return {name: tables[split] for name, split in splits.items()}


def _explain(error: Exception, id: str, config: str | None, split: str, node: str) -> str:
    """Return what to tell the user of an error of `load_dataset` for a split, named by its key and value."""
    text = " ".join(str(error).split())
    if "gated" in text:
        return _gated(id)
    if text.startswith("Unknown split"):
        return f"{node}.{split}: {text[0].lower()}{text[1:]}"
    if "BuilderConfig" in text or "Config name is missing" in text:
        return f"{node}.config={config}: {text}"
    if "scripts are no longer supported" in text:
        return (
            f"{id} is made by a program, which the package datasets no longer runs; most have a converted copy: "
            f"{node}.revision=refs/convert/parquet"
        )
    if type(error).__name__ == "DatasetNotFoundError":
        return _not_on_hub(id, node)
    if _is_of_network(error):
        return _lost(id, text or type(error).__name__, node)
    return f"{node}.id={id}: cannot be read ({text or type(error).__name__})"


def _lost(id: str, reason: str, node: str) -> str:
    return (
        f"{id} cannot be loaded: {reason}. Check the connection (and that HF_HUB_OFFLINE is not set), then run the "
        f"same command again, which keeps complete files; without one, give a folder with {node}.id=<folder>."
    )


def _is_of_network(error: BaseException | None) -> bool:
    """Whether a network led to an error, by whichever library the hub's client works."""
    while error is not None:
        library = type(error).__module__.partition(".")[0]
        if isinstance(error, (ConnectionError, TimeoutError)) or library in _NETWORK:
            return True
        error = error.__cause__
    return False


def _gated(id: str) -> str:
    return (
        f"{id} is gated: accept its terms at https://huggingface.co/datasets/{id}, log in with `hf auth login`, and "
        "run the same command again."
    )


def _not_on_hub(id: str, node: str) -> str:
    return (
        f"{node}.id={id}: the hub has no such dataset, and there is no such folder; it is <owner>/<name> as "
        "on https://huggingface.co/datasets (a private one needs `hf auth login`)"
    )


# --- the folder ------------------------------------------------------------------------------------


def _write_folder(
    root: Path,
    request: Mapping[str, Any],
    facts: Mapping[str, Any],
    tables: Mapping[str, Any],
    image_column: str,
    label_column: str,
    classes: Sequence[str] | Mapping[str, str] | None,
) -> None:
    """Write the files of all splits; the folder appears whole."""
    labels = {split: read_labels(table, image_column, label_column, split) for split, table in tables.items()}
    folders = _folders(labels, classes)
    counts = {}
    with whole_folder(root) as temporary:
        for split, table in tables.items():
            rows = [row for row, label in enumerate(labels[split]) if label in folders]
            names = [folders[labels[split][row]] for row in rows]
            counts[split] = dict(Counter(names))
            _write_split(temporary / split, table, rows, names, image_column)
        dataset_record.write(temporary, request, {**facts, "counts": counts})


def _write_split(folder: Path, table: Any, rows: Sequence[int], names: Sequence[str], image_column: str) -> None:
    """Write the images of some rows, named by their row, into the folders of their classes."""
    import datasets

    undecoded = table.select_columns([image_column]).cast_column(image_column, datasets.Image(decode=False))
    images = tqdm(undecoded.select(rows), desc=f"writing {folder.name}", unit="image", disable=None)
    for row, name, entry in zip(rows, names, images, strict=True):
        if entry[image_column] is None:
            raise UserError(f"Row {row} of the split for {folder.name} has no image in its column {image_column}.")
        content, suffix = stored_file(entry[image_column])
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{row:07d}{suffix}").write_bytes(content)


def stored_file(stored: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the bytes of an image file and the suffix of its name.

    Args:
        stored: as an undecoded column of images has it: bytes, or a path.
    """
    content = stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()
    suffix = Path(stored["path"] or "").suffix.lower()
    return content, suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else _suffix(content)


def _suffix(content: bytes) -> str:
    """Return the usual suffix of an image file; files that are not images are reported when they are decoded."""
    try:
        with open_image(io.BytesIO(content)) as opened:
            return f".{(opened.format or 'img').lower()}".replace("jpeg", "jpg")
    except OSError:
        return ".img"


def read_labels(
    table: Any, image_column: str, label_column: str, split: str, node: str = _NODE, accept_numbers: bool = False
) -> list[str]:
    """Return the name of every row's class.

    Args:
        table: a split.
        image_column: of images.
        label_column: of class labels or names.
        split: our name of the table.
        node: of the configuration, named in messages.
        accept_numbers: whether a label may be a number without a name.

    Raises:
        UserError: columns that do not exist or have another type.
    """
    import datasets

    for key, name in (("image_column", image_column), ("label_column", label_column)):
        if name not in table.column_names:
            columns = ", ".join(table.column_names)
            raise UserError(f"{node}.{key}={name}: there is no such column; the dataset has {columns}")
    image, label = table.features[image_column], table.features[label_column]
    if not isinstance(image, datasets.Image):
        raise UserError(f"{node}.image_column={image_column}: holds {image} and no images")
    column = list(table[label_column])
    if isinstance(label, datasets.ClassLabel):
        if any(value is None or value < 0 for value in column):
            raise UserError(f"The split for {split} has images without a label: give another as {node}.{split}")
        return [label.names[value] for value in column]
    kind = str(getattr(label, "dtype", None))
    is_named = kind in ("string", "large_string") or (accept_numbers and "int" in kind)
    if not is_named or None in column:
        raise UserError(
            f"{node}.label_column={label_column}: holds {label}, neither class labels nor names; the dataset "
            f"has {', '.join(table.column_names)}"
        )
    return [str(value) for value in column]


def _folders(labels: Mapping[str, Iterable[str]], classes: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Return the dataset's name of a class → our folder, for the selected classes.

    Raises:
        UserError: classes that the dataset does not have, fewer than two, or two that would share a folder.
    """
    available = sorted({name for names in labels.values() for name in names})
    renamed = {name: name for name in available}
    listed = f"there are {', '.join(available[:10])}{', …' if len(available) > 10 else ''}"
    if classes is not None:
        renamed = {str(name): str(classes[name] if isinstance(classes, Mapping) else name) for name in classes}
    unknown = [name for name in renamed if name not in available]
    problems = [f"there is no class {name!r}; {suggest(name, available) or listed}" for name in unknown]
    selected = sorted(set(renamed.values()))
    if len(selected) < 2:
        problems.append(f"{plural(len(selected), 'class', 'classes')} ({', '.join(selected)}); at least two are needed")
    folders = {name: folder_of_class(new) for name, new in renamed.items()}
    first: dict[str, str] = {}
    for name, folder in folders.items():
        if not folder or first.setdefault(folder, renamed[name]) != renamed[name]:
            problems.append(f"{renamed[name]!r} cannot be the name of a folder; rename it: {{{name!r}: <new name>}}")
    raise_all("dataset.prepare.classes:", problems)
    return folders

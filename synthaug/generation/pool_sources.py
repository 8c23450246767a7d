"""Pools of synthetic images in other forms than folders: WebDataset shards, Parquet files, Hugging Face datasets.

Each is read once into a folder of its own (see `pool_files`), which is then a pool like any other.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.data.sources import download, huggingface
from synthaug.errors import UserError, raise_all
from synthaug.generation import webdataset
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.pool_files import Shard, write_pool
from synthaug.generation.webdataset import PoolEntry

_ROWS = 2_000  # of a table that are read between two states of a pool
_CAPTIONS = ("caption", "text", "prompt")  # columns that are taken for captions where none is named
_REMOTE = ("http://", "https://")


class PoolSource(FolderGenerator):
    """A pool that is read into a folder before it is used.

    Args:
        request: all that decides which images are read.
        class_names: names of the classes by the source's label: a mapping, or a list by number; None takes the labels.
        partial: whether a pool is accepted that has too few images of a class, or none.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        class_names: Sequence[str] | Mapping[Any, str] | None = None,
        partial: bool = False,
    ) -> None:
        if isinstance(class_names, str):
            example = f"[{class_names},<another>]"
            raise UserError(f"generator.class_names={class_names}: must be a list or a mapping, such as {example}")
        listed = class_names if isinstance(class_names, Mapping) else dict(enumerate(class_names or []))
        self.class_names = {str(label): str(name) for label, name in listed.items()}
        self.request = dict(request)
        super().__init__("", partial)

    @property
    def kind(self) -> str:
        """Name of the choice that makes such a pool."""
        raise NotImplementedError

    def class_name(self, folder: str) -> str:
        """Return the class of a folder's images, which is called by their label."""
        return self.class_names.get(folder, folder)

    @property
    def title(self) -> str:
        """How messages call the pool."""
        return f"generator={self.kind} (read into {self.root})"

    @property
    def remedy(self) -> str:
        """What makes its classes those of the dataset."""
        return "Name its classes with generator.class_names={<label>: <class>, …}"

    def place(self, folder: Path) -> None:
        """Say where the images go.

        Args:
            folder: of all pools.
        """
        digest = hashlib.sha256(json.dumps(self.request, sort_keys=True).encode()).hexdigest()[:6]
        self.root = str(folder / f"{self.kind}-{digest}")

    def prepare(self) -> None:
        """Read the images into the pool's folder, where they are not there yet."""
        write_pool(Path(self.root), self.request, self.shards)

    def shards(self) -> list[Shard]:
        """Return the parts of the source, none of which is read yet."""
        raise NotImplementedError


class WebDatasetGenerator(PoolSource):
    """WebDataset shards in the place of a generator: `generator=webdataset generator.urls='shards/{000..012}.tar'`.

    Args:
        urls: tar files, here or on the web; a pattern with braces or asterisks, or a list of them.
        label: where a sample's class is: the ending of a member ("cls"), "json.<field>" or "folder".
        caption: where its caption is, if it has one: an ending ("txt") or "json.<field>".
        class_names: names of the classes by label; see `PoolSource`.
        partial: whether a pool is accepted that has too few images of a class, or none.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        label: str = "cls",
        caption: str = "txt",
        class_names: Sequence[str] | Mapping[Any, str] | None = None,
        partial: bool = False,
    ) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.label, self.caption = label, caption
        super().__init__({"urls": self.urls, "label": label, "caption": caption}, class_names, partial)

    @property
    def kind(self) -> str:
        return "webdataset"

    def shards(self) -> list[Shard]:
        """Return the shards; raise `UserError` with all patterns that no file fits."""
        return [self._shard(url) for url in _existing("generator.urls", self.urls)]

    def _shard(self, url: str) -> Shard:
        def read(leave_out: Callable[[str, str], None]) -> Iterator[PoolEntry]:
            if not url.startswith(_REMOTE):
                yield from webdataset.read_shard(Path(url), url, self.label, self.caption, leave_out)
                return
            local = Path(self.root) / ".shards" / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}.tar"
            try:
                download.save(url, local)
            except download.GoneError as error:
                raise UserError(f"generator.urls: {error}") from None
            yield from webdataset.read_shard(local, url, self.label, self.caption, leave_out)
            local.unlink()

        return Shard(url, read, None if url.startswith(_REMOTE) else Path(url))


class _TableGenerator(PoolSource):
    """A table with a column of images."""

    def __init__(
        self,
        request: Mapping[str, Any],
        columns: Mapping[str, str | None],
        class_names: Sequence[str] | Mapping[Any, str] | None,
        partial: bool,
    ) -> None:
        self.columns = columns
        super().__init__({**request, **columns}, class_names, partial)

    def _table(self) -> Any:
        raise NotImplementedError

    def shards(self) -> list[Shard]:
        """Return rows of the table in parts; raise `UserError` if it cannot be read or lacks a column."""
        import datasets

        huggingface.require_package(f"generator={self.kind}")
        table, image = self._table(), str(self.columns["image_column"])
        feature = table.features.get(image)
        if feature is not None and not isinstance(feature, datasets.Image) and _holds_files(feature):
            table = table.cast_column(image, datasets.Image())
        labels = huggingface.read_labels(
            table, image, str(self.columns["label_column"]), "this", "generator", accept_numbers=True
        )
        caption = self._caption_column(table)
        undecoded = table.cast_column(image, datasets.Image(decode=False))
        return [
            Shard(f"rows {start} to {stop - 1}", _Rows(undecoded, labels, image, caption, start, stop), None)
            for start in range(0, len(table), _ROWS)
            for stop in [min(start + _ROWS, len(table))]
        ]

    def _caption_column(self, table: Any) -> str | None:
        name = self.columns["caption_column"]
        if name is not None and name not in table.column_names:
            columns = ", ".join(table.column_names)
            raise UserError(f"generator.caption_column={name}: there is no such column; the dataset has {columns}")
        return name or next((column for column in _CAPTIONS if column in table.column_names), None)


@dataclass(frozen=True)
class _Rows:
    """Rows of a table, read when it is called."""

    table: Any
    labels: Sequence[str]
    image: str
    caption: str | None
    start: int
    stop: int

    def __call__(self, leave_out: Callable[[str, str], None]) -> Iterator[PoolEntry]:
        columns = [self.image, *([self.caption] if self.caption else [])]
        selected = self.table.select_columns(columns).select(range(self.start, self.stop))
        for row, entry in enumerate(selected, self.start):
            try:
                content, suffix = huggingface.stored_file(entry[self.image])
            except (TypeError, OSError) as error:  # no image; a path that leads nowhere
                leave_out(f"row {row}", f"no image ({error})" if isinstance(error, OSError) else "no image")
                continue
            text = entry[self.caption] if self.caption else None
            yield PoolEntry(f"row {row}", self.labels[row], suffix, content, "" if text is None else str(text))


class ParquetGenerator(_TableGenerator):
    """Parquet files in the place of a generator: `generator=parquet generator.files='pool/*.parquet'`.

    Args:
        files: a pattern with braces or asterisks, or a list of them.
        image_column: of image files, as bytes or as `datasets` writes them.
        label_column: of class names or numbers.
        caption_column: of captions; None takes "caption", "text" or "prompt" where there is such a column.
        class_names: names of the classes by label; see `PoolSource`.
        partial: whether a pool is accepted that has too few images of a class, or none.
    """

    def __init__(
        self,
        files: str | Sequence[str],
        image_column: str = "image",
        label_column: str = "label",
        caption_column: str | None = None,
        class_names: Sequence[str] | Mapping[Any, str] | None = None,
        partial: bool = False,
    ) -> None:
        self.files = [files] if isinstance(files, str) else list(files)
        columns = {"image_column": image_column, "label_column": label_column, "caption_column": caption_column}
        super().__init__({"files": self.files}, columns, class_names, partial)

    @property
    def kind(self) -> str:
        return "parquet"

    def _table(self) -> Any:
        import datasets

        paths = _existing("generator.files", self.files)
        try:
            return datasets.load_dataset("parquet", data_files=paths, split="train")
        except Exception as error:  # of the package or of PyArrow
            text = " ".join(str(error.__cause__ or error).split())
            bad = [path for path in paths if not path.startswith(_REMOTE) and not _is_parquet(path)]
            raise UserError(
                f"generator.files: {', '.join(bad) or ', '.join(paths[:3])} cannot be read, damaged or truncated "
                f"({text or type(error).__name__}). Fetch it again."
            ) from None


class HuggingFaceGenerator(_TableGenerator):
    """A dataset of the Hugging Face hub in the place of a generator: `generator=huggingface generator.id=<id>`.

    Args:
        id: on the hub, or a folder of images or Parquet files, or one that `save_to_disk` wrote.
        revision: branch, tag or commit; None is the newest.
        config: which of the dataset's configurations, where it has several.
        split: which of its splits.
        image_column: of images.
        label_column: of class labels, names or numbers.
        caption_column: of captions; None takes "caption", "text" or "prompt" where there is such a column.
        class_names: names of the classes by label; see `PoolSource`.
        partial: whether a pool is accepted that has too few images of a class, or none.
    """

    def __init__(
        self,
        id: str,
        revision: str | None = None,
        config: str | None = None,
        split: str = "train",
        image_column: str = "image",
        label_column: str = "label",
        caption_column: str | None = None,
        class_names: Sequence[str] | Mapping[Any, str] | None = None,
        partial: bool = False,
    ) -> None:
        self.id, self.revision, self.config, self.split = id, revision, config, split
        columns = {"image_column": image_column, "label_column": label_column, "caption_column": caption_column}
        request = {"id": id, "revision": revision, "config": config, "split": split}
        super().__init__(request, columns, class_names, partial)

    @property
    def kind(self) -> str:
        return "huggingface"

    def _table(self) -> Any:
        splits = {"split": self.split}
        _, tables = huggingface.open_tables(self.id, self.revision, self.config, splits, "generator")
        return tables["split"]


def _holds_files(feature: Any) -> bool:
    """Whether a column is of bytes, or of what `datasets` writes for an image."""
    return getattr(feature, "dtype", None) in ("binary", "large_binary") or (
        isinstance(feature, Mapping) and {"bytes", "path"} <= feature.keys()
    )


def _is_parquet(path: str) -> bool:
    """Whether a file begins and ends as Parquet files do."""
    with Path(path).open("rb") as stream:
        start = stream.read(4)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 4))
        return start == stream.read() == b"PAR1" and size > 8


def _existing(key: str, patterns: Sequence[str]) -> list[str]:
    """Return the files of patterns, in their order.

    Raises:
        UserError: with all that there are not.
    """
    paths: list[str] = []
    problems = []
    for pattern in patterns:
        for url in webdataset.expand(pattern):
            if url.startswith(_REMOTE):
                paths.append(url)
                continue
            path = Path(url).expanduser().absolute()
            matches = [path] if path.is_file() else sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
            if not matches:
                problems.append(f"{path}: there is no such file")
            paths += map(str, matches)
    raise_all(f"{key}={','.join(patterns)}:", problems)
    return list(dict.fromkeys(paths))

"""The check of a dataset: its files, what is wrong with them, and its manifest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.analysis.dataset.defects import MANIFEST_CODES, SERIOUS, Finding, find_all
from synthaug.analysis.dataset.inspection import Inspected, inspect, list_files
from synthaug.data import checksums
from synthaug.data.folders import is_text
from synthaug.data.parallel import map_images
from synthaug.errors import UserError


@dataclass(frozen=True)
class DatasetCheck:
    """What the check of a dataset gave.

    Attributes:
        root: the dataset's folder.
        classes: of all splits.
        counts: split → class → images that can be used.
        findings: the most severe kinds first.
        hashes: path → SHA-256 of every file that can be read.
        recorded: whether the dataset had a manifest.
        added: number of files that its manifest does not have.
    """

    root: Path
    classes: Sequence[str]
    counts: Mapping[str, Mapping[str, int]]
    findings: Sequence[Finding]
    hashes: dict[str, str]
    recorded: bool
    added: int

    @property
    def manifest_differs(self) -> bool:
        """Whether files are missing, or not those that the manifest has."""
        return any(finding.code in MANIFEST_CODES for finding in self.findings)

    def is_serious(self, accepted: bool) -> bool:
        """Whether any finding is serious.

        Args:
            accepted: whether changes since the manifest was written count as meant.
        """
        codes = MANIFEST_CODES if accepted else ()
        return any(finding.severity == SERIOUS and finding.code not in codes for finding in self.findings)


def check_dataset(root: Path, split_folders: Mapping[str, str], accept: bool = False) -> DatasetCheck:
    """Read all files of a dataset and compare them, with one another and with its manifest.

    Args:
        root: the dataset's folder.
        split_folders: split → folder name below `root`.
        accept: whether the manifest will be written anew, so that a damaged one is none.

    Raises:
        UserError: no dataset, or a damaged manifest.
    """
    listing = list_files(root, split_folders)
    recorded = _read_manifest(root, accept)
    inspected = map_images(inspect, listing.files, "reading")
    hashes = {
        item.listed.path: item.sha256 for item in inspected if item.sha256 is not None and is_text(item.listed.file)
    }
    changes = None if recorded is None else checksums.compare(root, recorded, hashes)
    return DatasetCheck(
        root,
        sorted({name for names in listing.classes.values() for name in names}),
        {split: _count(inspected, split) for split in listing.classes},
        find_all(listing, inspected, changes),
        hashes,
        recorded is not None,
        len(changes.added) if changes else 0,
    )


def _read_manifest(root: Path, accept: bool) -> dict[str, str] | None:
    try:
        return checksums.read(root)
    except UserError:
        if accept:
            return None
        raise


def _count(inspected: Sequence[Inspected], split: str) -> Mapping[str, int]:
    return Counter(
        item.listed.class_name for item in inspected if item.listed.split == split and item.header is not None
    )

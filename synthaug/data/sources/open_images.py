"""Photographs of selected classes of Open Images V7, chosen by their boxes, as `<root>/<split>/<class>/`.

Open Images (https://storage.googleapis.com/openimages/web/index.html; Kuznetsova et al., IJCV 2020) lists photographs
of Flickr with boxes drawn by people. Its lists are streamed: of 2.3 GB of boxes and 0.6 GB of authors and titles, only
the rows of the selected classes are kept, in a small file beside the dataset.
"""

import csv
import hashlib
import logging
import os
import shutil
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from synthaug import locks
from synthaug.data import fingerprints
from synthaug.data.decoding import decode, large_photographs
from synthaug.data.samples import SPLITS
from synthaug.data.sources import dataset_record, download
from synthaug.errors import UserError, raise_all
from synthaug.files import remove_unfinished, whole_file, whole_folder, write_rows
from synthaug.messages import plural, suggest

log = logging.getLogger(__name__)

PUBLISHED = "https://storage.googleapis.com/openimages"
ATTRIBUTION = "attribution.csv"
_MAX_FAILURES = 50  # photographs that cannot be downloaded, before any that can
_MIN_SIDE = 32  # pixels; the placeholder of a deleted photograph is smaller

# Degrees by which an image must be turned counterclockwise → EXIF orientation.
_ORIENTATION = {90: 8, 180: 3, 270: 6}
_ORIENTATION_TAG = 0x0112

_SELECTION = (
    "Of the training images of Open Images, those with boxes of exactly one of the classes, none of them of a group or "
    "of a depiction, the largest covering at least `smallest_box` of the image; ordered by SHA-256 of (seed, image), "
    "and taken in this order unless gone, unreadable, or a near duplicate (phash within `near` bits) of one taken "
    "before: first train, then val, then test, each as equal over the classes as its number allows. A larger test set "
    "therefore contains a smaller one, beside the same training and validation images."
)


@dataclass(frozen=True)
class Candidate:
    """A photograph that shows one of the classes.

    Attributes:
        class_name: our name of the class.
        image_id: Open Images' name of the photograph.
        share: share of the image that the largest box of the class covers.
        rotation: degrees by which the photograph must be turned counterclockwise to stand upright.
        author: as Flickr names the photographer.
        author_url: the photographer's page.
        title: of the photograph.
        licence: address of the licence as Open Images lists it.
        original_url: address of the original file.
        landing_url: the photograph's page.
    """

    class_name: str
    image_id: str
    share: float
    rotation: int
    author: str
    author_url: str
    title: str
    licence: str
    original_url: str
    landing_url: str


def write_open_images(
    root: Path,
    classes: Mapping[str, Sequence[str]],
    train: int = 1348,
    val: int = 162,
    test: int = 162,
    seed: int = 0,
    smallest_box: float = 0.1,
    near: int | None = 8,
    threads: int = 8,
    descriptions: str = f"{PUBLISHED}/v7/oidv7-class-descriptions-boxable.csv",
    boxes: str = f"{PUBLISHED}/v6/oidv6-train-annotations-bbox.csv",
    metadata: str = f"{PUBLISHED}/2018_04/train/train-images-boxable-with-rotation.csv",
    images: str = "https://open-images-dataset.s3.amazonaws.com/train",
) -> None:
    """Select and download photographs. Does nothing if `root` holds them; the folder appears whole or not at all.

    What was downloaded before an interruption is in `open_images/` beside `root` and is not downloaded again. A list
    in that folder, under its published name, is read instead of the published one.

    Args:
        root: where the image folder goes.
        classes: our name of a class → the names of Open Images that belong to it.
        train: number of training images, in all classes together.
        val: number of validation images.
        test: number of test images.
        seed: another seed selects other photographs.
        smallest_box: least share of the image that the largest box of the class covers.
        near: most bits in which the perceptual hashes of near duplicates differ; None keeps near duplicates.
        threads: simultaneous downloads.
        descriptions: address of the list of classes (columns LabelName, DisplayName).
        boxes: address of the list of boxes.
        metadata: address of the list of authors, titles, licences and rotations.
        images: address under which `<image>.jpg` lie.

    Raises:
        UserError: classes that Open Images does not have, too few photographs, or no connection.
    """
    _check_arguments(classes, train, val, test, smallest_box, threads)
    selected = {str(name): list(names) for name, names in classes.items()}
    request = {
        "classes": selected, "train": train, "val": val, "test": test,
        "seed": seed, "smallest_box": smallest_box, "near": near,
    }  # fmt: skip
    if dataset_record.is_made(root, request):
        return
    cache = root.parent / "open_images"
    (cache / "images").mkdir(parents=True, exist_ok=True)
    with locks.exclusive(cache / ".lock", f"downloads into {cache}"):
        for folder in (cache, cache / "images"):
            remove_unfinished(folder)
        if dataset_record.is_made(root, request):
            return
        try:
            candidates = _candidates(cache, selected, smallest_box, descriptions, boxes, metadata)
            parts = [_divide(total, len(selected)) for total in (train, val, test)]
            counts = {
                name: dict(zip(SPLITS, sizes, strict=True)) for name, *sizes in zip(selected, *parts, strict=True)
            }
            photographs = _download_all(candidates, counts, cache / "images", images.rstrip("/"), seed, near, threads)
        except (download.UnreachableError, download.GoneError) as error:
            raise UserError(
                f"{error}\nCheck the connection and run the same command again: it resumes where it stopped. A list "
                f"(.csv) can also be downloaded by hand into {cache}. Or use photographs of your own: "
                "dataset=imagefolder dataset.root=<folder>."
            ) from None
        _write_folder(root, request, photographs, cache / "images")


# --- which photographs -----------------------------------------------------------------------------


def _candidates(
    cache: Path,
    classes: Mapping[str, Sequence[str]],
    smallest_box: float,
    descriptions: str,
    boxes: str,
    metadata: str,
) -> list[Candidate]:
    """Return the photographs of exactly one class; read from Open Images' lists once, then from `cache`."""
    request = (sorted((name, *names) for name, names in classes.items()), smallest_box, boxes, metadata)
    path = cache / f"candidates-{hashlib.sha256(repr(request).encode()).hexdigest()[:12]}.csv"
    if not path.is_file():
        log.info("Reading the lists of Open Images (3 GB) once; the selected rows stay in %s", path)
        labels = _read_labels(_address(descriptions, cache), classes)
        shown = _read_boxes(download.lines(_address(boxes, cache), "boxes"), labels, smallest_box)
        candidates = _read_metadata(download.lines(_address(metadata, cache), "authors"), shown)
        write_rows(path, [field.name for field in fields(Candidate)], map(astuple, candidates))
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [dict(row) for row in csv.DictReader(stream)]
    return [Candidate(**{**row, "share": float(row["share"]), "rotation": int(row["rotation"])}) for row in rows]


def _address(url: str, cache: Path) -> str:
    """Return the address of a list, or of the copy that was downloaded by hand."""
    copy = cache / url.rpartition("/")[2]
    return copy.absolute().as_uri() if copy.is_file() else url


def _read_labels(descriptions: str, classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return Open Images' label → our class.

    Raises:
        UserError: names that are not a boxable class of Open Images.
    """
    rows = list(csv.reader(download.lines(descriptions, "classes")))
    label_of = {row[1]: row[0] for row in rows if len(row) == 2}
    problems = [
        f"dataset.prepare.classes.{name}: Open Images has no class {member!r}; {suggest(member, label_of, cutoff=0.5)}"
        for name, members in classes.items()
        for member in members
        if member not in label_of
    ]
    raise_all("The classes cannot be selected:", problems)
    return {label_of[member]: name for name, members in classes.items() for member in members}


def _read_boxes(lines: Iterator[str], labels: Mapping[str, str], smallest_box: float) -> dict[str, tuple[str, float]]:
    """Return image → (class, share of its largest box), for images of one class without a group or depiction of it."""
    column = {name: index for index, name in enumerate(next(lines, "").strip().split(","))}
    _require_columns(column, ["ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf", "IsDepiction"])
    label = column["LabelName"]
    boxes: dict[str, tuple[str, float]] = {}
    for line in lines:
        row = line.split(",")  # no field of this list is quoted, and there are 14 million rows
        class_name = labels.get(row[label]) if len(row) > label else None
        if class_name is None:
            continue
        image = row[column["ImageID"]]
        width, height = (float(row[column[f"{side}Max"]]) - float(row[column[f"{side}Min"]]) for side in "XY")
        previous, share = boxes.get(image, (class_name, 0.0))
        is_excluded = "1" in (row[column["IsGroupOf"]], row[column["IsDepiction"]]) or previous != class_name
        boxes[image] = ("" if is_excluded else class_name, max(share, width * height))
    return {image: box for image, box in boxes.items() if box[0] and box[1] >= smallest_box}


def _read_metadata(lines: Iterator[str], shown: Mapping[str, tuple[str, float]]) -> list[Candidate]:
    """Return the photographs with their authors and licences, in order of class and image."""
    rows = csv.DictReader(lines)
    columns = ["Author", "AuthorProfileURL", "Title", "License", "OriginalURL", "OriginalLandingURL"]
    _require_columns(rows.fieldnames or [], ["ImageID", "Rotation", *columns])
    candidates = []
    for row in rows:
        if row["ImageID"] not in shown or None in row or None in row.values():
            continue
        class_name, share = shown[row["ImageID"]]
        rotation = _degrees(row["Rotation"])
        values = [row[name] for name in columns]
        candidates.append(Candidate(class_name, row["ImageID"], round(share, 6), rotation, *values))
    return sorted(candidates, key=lambda candidate: (candidate.class_name, candidate.image_id))


def _degrees(text: str) -> int:
    """Return 0, 90, 180 or 270; 0 for "nan" or nothing, where Flickr no longer had the photograph."""
    return int(float(text)) % 360 if text.strip() not in ("", "nan") else 0


def _require_columns(columns: Collection[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise UserError(
            f"A list of Open Images lacks the columns {', '.join(missing)} (it has {', '.join(columns) or 'none'}): it "
            "is another file, or has changed. Set its address with dataset.prepare.boxes=<url> or "
            "dataset.prepare.metadata=<url>."
        )


# --- download ------------------------------------------------------------------------------------


_Photographs = dict[str, dict[str, list[Candidate]]]  # class → split → photographs


def _download_all(
    candidates: Sequence[Candidate],
    counts: Mapping[str, Mapping[str, int]],
    folder: Path,
    address: str,
    seed: int,
    near: int | None,
    threads: int,
) -> _Photographs:
    """Download as many photographs of each class as are requested, in the order of the seed."""
    by_class = {name: [item for item in candidates if item.class_name == name] for name in counts}
    _require_enough({name: len(items) for name, items in by_class.items()}, counts)
    photographs: _Photographs = {}
    total = sum(sum(sizes.values()) for sizes in counts.values())
    with tqdm(total=total, desc="photographs", unit="image", disable=None) as bar, large_photographs():
        for name, items in by_class.items():
            ordered = sorted(items, key=lambda item: hashlib.sha256(f"{seed}\0{item.image_id}".encode()).digest())
            kept = _download(ordered, sum(counts[name].values()), folder, address, near, threads, bar)
            _require_enough({name: len(kept)}, {name: counts[name]})
            rest = iter(kept)
            photographs[name] = {split: list(islice(rest, size)) for split, size in counts[name].items()}
    return photographs


def _download(
    ordered: Sequence[Candidate],
    count: int,
    folder: Path,
    address: str,
    near: int | None,
    threads: int,
    bar: "tqdm[Any]",
) -> list[Candidate]:
    """Return the first photographs that can be downloaded and are not near duplicates of an earlier one."""
    kept: list[Candidate] = []
    hashes: list[str] = []
    failures = 0
    queue: deque[tuple[Candidate, Future[str | None]]] = deque()
    rest = iter(ordered)
    pool = ThreadPoolExecutor(threads)
    try:
        while len(kept) < count:
            room = min(2 * threads, count - len(kept)) - len(queue)
            queue.extend((item, pool.submit(_fetch, item, folder, address)) for item in islice(rest, room))
            if not queue:
                break
            item, future = queue.popleft()
            phash = future.result()
            if phash is None:
                failures += 1
                if failures == _MAX_FAILURES and not kept:
                    raise UserError(
                        f"None of the first {failures} photographs of {item.class_name} can be downloaded from "
                        f"{address}: set another address with dataset.prepare.images=<url>."
                    )
                continue
            if near is not None and hashes and (fingerprints.distances([phash], hashes) <= near).any():
                continue
            kept.append(item)
            hashes.append(phash)
            bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return kept


def _fetch(candidate: Candidate, folder: Path, address: str) -> str | None:
    """Bring a photograph into `folder`, upright; return its perceptual hash, or None if there is no whole one."""
    path = folder / f"{candidate.image_id}.jpg"
    if not path.is_file():
        try:
            content = download.read(f"{address}/{candidate.image_id}.jpg")
        except download.GoneError:
            return None
        with whole_file(path) as temporary:
            temporary.write_bytes(upright(content, candidate.rotation))
    try:
        pixels = decode(path, fingerprints.SHORT_SIDE)
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins raise what they like on damaged files
        return None
    return fingerprints.perceptual_hash(pixels) if min(pixels.shape[:2]) >= _MIN_SIDE else None


def upright(content: bytes, rotation: int) -> bytes:
    """Return a JPEG file with its rotation as EXIF orientation; encoding its pixels again would lose some.

    Args:
        content: the file. One that has an orientation, or is not a JPEG, stays as it is.
        rotation: degrees counterclockwise, 0, 90, 180 or 270.
    """
    if rotation not in _ORIENTATION or content[:2] != b"\xff\xd8":
        return content
    segments, place = [content[:2]], 2
    while content[place : place + 1] == b"\xff" and 0xE0 <= content[place + 1] <= 0xEF:
        segment = content[place : place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")]
        place += len(segment)
        if segment[1] != 0xE1 or segment[4:10] != b"Exif\0\0":
            segments.append(segment)
        elif _orientation(segment[4:]) != 1:
            return content
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _ORIENTATION[rotation]
    text = exif.tobytes()
    return b"".join([*segments, b"\xff\xe1", (len(text) + 2).to_bytes(2, "big"), text, content[place:]])


def _orientation(content: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(content)
    except Exception:  # whatever Pillow raises on a damaged one
        return 1
    return int(exif.get(_ORIENTATION_TAG, 1))


# --- the folder ------------------------------------------------------------------------------------


def _write_folder(root: Path, request: Mapping[str, Any], photographs: _Photographs, folder: Path) -> None:
    """Move the photographs from `folder` into the image folder, which appears whole."""
    placed = {
        f"{split}/{name}/{item.image_id}.jpg": item
        for name, by_split in photographs.items()
        for split, items in by_split.items()
        for item in items
    }
    facts = {
        "source": "Open Images V7, training images with boxes, "
        "https://storage.googleapis.com/openimages/web/index.html",
        "licence": "The photographs are listed by Open Images as CC BY 2.0, which it does not warrant: verify each "
        f"before passing it on, and name its author ({ATTRIBUTION}). The boxes: Google LLC, CC BY 4.0.",
        "licences_listed": dict(Counter(item.licence for item in placed.values())),
        "citation": "A. Kuznetsova et al.: The Open Images Dataset V4. International Journal of Computer Vision "
        "128, 2020",
        "selection": _SELECTION,
        "counts": {split: {name: len(items[split]) for name, items in photographs.items()} for split in SPLITS},
    }
    columns = ["image_id", "author", "author_url", "title", "licence", "original_url", "landing_url"]
    with whole_folder(root) as temporary:
        for file, item in placed.items():
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            _link(folder / f"{item.image_id}.jpg", temporary / file)
        rows = ([file, *(getattr(item, name) for name in columns)] for file, item in placed.items())
        write_rows(temporary / ATTRIBUTION, ["file", *columns], rows)
        dataset_record.write(temporary, request, facts)
    for item in placed.values():
        (folder / f"{item.image_id}.jpg").unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


# --- numbers ---------------------------------------------------------------------------------------


def _divide(total: int, parts: int) -> list[int]:
    """Return sizes that differ by at most one, the larger ones first."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _require_enough(available: Mapping[str, int], counts: Mapping[str, Mapping[str, int]]) -> None:
    problems = [
        f"{name}: {plural(available[name], 'photograph')} of {sum(sizes.values())} requested "
        f"({', '.join(f'{size} {split}' for split, size in sizes.items())})"
        for name, sizes in counts.items()
        if available[name] < sum(sizes.values())
    ]
    raise_all(
        "Open Images has too few photographs; request fewer with dataset.prepare.train, dataset.prepare.val or "
        "dataset.prepare.test, allow smaller boxes with dataset.prepare.smallest_box, or list more of its classes in "
        "dataset.prepare.classes:",
        problems,
    )


def _check_arguments(
    classes: Mapping[str, Sequence[str]], train: int, val: int, test: int, smallest_box: float, threads: int
) -> None:
    problems = []
    if len(classes) < 2 or any(isinstance(names, str) or not names for names in classes.values()):
        problems.append(
            f"dataset.prepare.classes={dict(classes)}: must be at least two classes, each with a list of names of "
            "Open Images"
        )
    problems += [
        f"dataset.prepare.{name}={count}: must be at least {len(classes)}, one image for each class"
        for name, count in {"train": train, "val": val, "test": test}.items()
        if count < len(classes)
    ]
    if not 0 <= smallest_box <= 1:
        problems.append(f"dataset.prepare.smallest_box={smallest_box}: must be 0 to 1, a share of the image")
    if threads < 1:
        problems.append(f"dataset.prepare.threads={threads}: must be at least 1")
    raise_all("The photographs cannot be selected:", problems)

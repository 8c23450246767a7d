"""Photographs of chosen classes of Open Images V7, selected by their boxes, laid out as `<root>/<split>/<class>/`.

Open Images (https://storage.googleapis.com/openimages/web/index.html; Kuznetsova et al., IJCV 2020) lists photographs
of Flickr with boxes drawn by people. Its files are read as they come and never held: of 2.3 GB of boxes and 0.6 GB of
authors and titles, what remains of the chosen classes is kept in a small file beside the dataset.
"""

import csv
import hashlib
import logging
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from synthaug.data import fingerprints
from synthaug.data.pixels import decode, large_photographs
from synthaug.data.samples import SPLITS
from synthaug.data.sources import dataset_record, download
from synthaug.errors import UserError, raise_all
from synthaug.files import whole_file, write_rows
from synthaug.messages import plural, suggest

log = logging.getLogger(__name__)

PUBLISHED = "https://storage.googleapis.com/openimages"
ATTRIBUTION = "attribution.csv"
_HOPELESS = 50  # photographs that cannot be had, before any that can
_LEAST_SIDE = 32  # pixels: what stands for a photograph that was taken down is smaller

# Degrees by which an image must be turned counterclockwise → the EXIF orientation that says so.
_ORIENTATION = {90: 8, 180: 3, 270: 6}
_ORIENTATION_TAG = 0x0112

_IN_WORDS = (
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
    """Select and download photographs. Does nothing where `root` holds them; the folder appears whole or not at all.

    What was downloaded before an interruption lies in `open_images/` beside `root` and is not downloaded again. A list
    that lies there under its published name is read instead of the published one.

    Args:
        root: where the image folder goes.
        classes: our name of a class → the names of Open Images that count as it.
        train: number of training images, in all classes together.
        val: number of validation images.
        test: number of test images.
        seed: another seed takes other photographs.
        smallest_box: least share of the image that the largest box of the class covers.
        near: most bits in which the perceptual hashes of near duplicates differ; None takes near duplicates too.
        threads: downloads at once.
        descriptions: address of the list of classes (columns LabelName, DisplayName).
        boxes: address of the list of boxes.
        metadata: address of the list of authors, titles, licences and rotations.
        images: address under which `<image>.jpg` lie.

    Raises:
        UserError: classes that Open Images has not, too few photographs, or no connection.
    """
    _require_sensible(classes, train, val, test, smallest_box, threads)
    chosen = {str(name): list(names) for name, names in classes.items()}
    request = {
        "classes": chosen, "train": train, "val": val, "test": test,
        "seed": seed, "smallest_box": smallest_box, "near": near,
    }  # fmt: skip
    if dataset_record.is_made(root, request):
        return
    cache = root.parent / "open_images"
    (cache / "images").mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".lock"):
        if dataset_record.is_made(root, request):
            return
        try:
            found = _candidates(cache, chosen, smallest_box, descriptions, boxes, metadata)
            parts = [_equally(total, len(chosen)) for total in (train, val, test)]
            wanted = {
                name: dict(zip(SPLITS, counts, strict=True)) for name, *counts in zip(chosen, *parts, strict=True)
            }
            taken = _take_all(found, wanted, cache / "images", images.rstrip("/"), seed, near, threads)
        except (download.UnreachableError, download.GoneError) as error:
            raise UserError(
                f"{error}\nCheck the connection and run the same command again: it goes on where it stopped. A list "
                f"(.csv) can also be downloaded by hand into {cache}. Or use photographs of your own: "
                "dataset=imagefolder dataset.root=<folder>."
            ) from None
        _lay_out(root, request, taken, cache / "images")


# --- which photographs -----------------------------------------------------------------------------


def _candidates(
    cache: Path,
    classes: Mapping[str, Sequence[str]],
    smallest_box: float,
    descriptions: str,
    boxes: str,
    metadata: str,
) -> list[Candidate]:
    """The photographs that show exactly one of the classes; read from Open Images' lists once, then from `cache`."""
    asked = (sorted((name, *names) for name, names in classes.items()), smallest_box, boxes, metadata)
    key = hashlib.sha256(repr(asked).encode())
    kept = cache / f"candidates-{key.hexdigest()[:12]}.csv"
    names = [field.name for field in fields(Candidate)]
    if not kept.is_file():
        log.info("Reading the lists of Open Images (3 GB) once; what is chosen of them stays in %s", kept)
        labels = _labels(_source(descriptions, cache), classes)
        shown = _shown(download.lines(_source(boxes, cache), "boxes"), labels, smallest_box)
        found = _described(download.lines(_source(metadata, cache), "authors"), shown)
        write_rows(kept, names, map(astuple, found))
    with kept.open(newline="", encoding="utf-8") as stream:
        rows = [dict(row) for row in csv.DictReader(stream)]
    return [Candidate(**{**row, "share": float(row["share"]), "rotation": int(row["rotation"])}) for row in rows]


def _source(url: str, cache: Path) -> str:
    """The address of a list, or of the copy that was downloaded by hand."""
    by_hand = cache / url.rpartition("/")[2]
    return by_hand.absolute().as_uri() if by_hand.is_file() else url


def _labels(descriptions: str, classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Open Images' label → our class.

    Raises:
        UserError: names that are no boxable class of Open Images.
    """
    rows = list(csv.reader(download.lines(descriptions, "classes")))
    label_of = {row[1]: row[0] for row in rows if len(row) == 2}
    problems = [
        f"dataset.prepare.classes.{name}: Open Images has no class {other!r}; {suggest(other, label_of, cutoff=0.5)}"
        for name, others in classes.items()
        for other in others
        if other not in label_of
    ]
    raise_all("The classes cannot be selected:", problems)
    return {label_of[other]: name for name, others in classes.items() for other in others}


def _shown(lines: Iterator[str], labels: Mapping[str, str], smallest_box: float) -> dict[str, tuple[str, float]]:
    """Image → (class, share of its largest box), for images that show one class and no group or picture of it."""
    place = {name: index for index, name in enumerate(next(lines, "").strip().split(","))}
    _require_columns(place, ["ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf", "IsDepiction"])
    label = place["LabelName"]
    found: dict[str, tuple[str, float]] = {}
    for line in lines:
        row = line.split(",")  # no field of this list is quoted, and there are 14 million rows
        class_name = labels.get(row[label]) if len(row) > label else None
        if class_name is None:
            continue
        image = row[place["ImageID"]]
        width, height = (float(row[place[f"{side}Max"]]) - float(row[place[f"{side}Min"]]) for side in "XY")
        before, share = found.get(image, (class_name, 0.0))
        spoilt = "1" in (row[place["IsGroupOf"]], row[place["IsDepiction"]]) or before != class_name
        found[image] = ("" if spoilt else class_name, max(share, width * height))
    return {image: entry for image, entry in found.items() if entry[0] and entry[1] >= smallest_box}


def _described(lines: Iterator[str], shown: Mapping[str, tuple[str, float]]) -> list[Candidate]:
    """The photographs with what is known of them, in order of class and image."""
    rows = csv.reader(lines)
    place = {name: index for index, name in enumerate(next(rows, []))}
    columns = ["Author", "AuthorProfileURL", "Title", "License", "OriginalURL", "OriginalLandingURL"]
    _require_columns(place, ["ImageID", "Rotation", *columns])
    found = []
    for row in rows:
        if len(row) != len(place) or row[place["ImageID"]] not in shown:
            continue
        image = row[place["ImageID"]]
        told = [row[place[name]] for name in columns]
        class_name, share = shown[image]
        found.append(Candidate(class_name, image, round(share, 6), _degrees(row[place["Rotation"]]), *told))
    return sorted(found, key=lambda one: (one.class_name, one.image_id))


def _degrees(text: str) -> int:
    """0, 90, 180 or 270; "nan" or nothing where Flickr no longer had the photograph, taken for upright."""
    return int(float(text)) % 360 if text.strip() not in ("", "nan") else 0


def _require_columns(place: Mapping[str, int], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in place]
    if missing:
        raise UserError(
            f"A list of Open Images lacks the columns {', '.join(missing)} (it has {', '.join(place) or 'none'}): it "
            "is not the file it should be, or has changed. Set its address with dataset.prepare.boxes=<url> or "
            "dataset.prepare.metadata=<url>."
        )


# --- fetching them ---------------------------------------------------------------------------------


_Taken = dict[str, dict[str, list[Candidate]]]  # class → split → photographs


def _take_all(
    found: Sequence[Candidate],
    wanted: Mapping[str, Mapping[str, int]],
    folder: Path,
    address: str,
    seed: int,
    near: int | None,
    threads: int,
) -> _Taken:
    """Fetch as many photographs of each class as are wanted, in the order of the seed."""
    by_class = {name: [one for one in found if one.class_name == name] for name in wanted}
    _require_enough({name: len(own) for name, own in by_class.items()}, wanted)
    taken: _Taken = {}
    total = sum(sum(own.values()) for own in wanted.values())
    with tqdm(total=total, desc="photographs", unit="image", disable=None) as bar, large_photographs():
        for name, own in by_class.items():
            ordered = sorted(own, key=lambda one: hashlib.sha256(f"{seed}\0{one.image_id}".encode()).digest())
            whole = _take(ordered, sum(wanted[name].values()), folder, address, near, threads, bar)
            rest = iter(whole)
            taken[name] = {split: list(islice(rest, count)) for split, count in wanted[name].items()}
            _require_enough({name: len(whole)}, {name: wanted[name]})
    return taken


def _take(
    ordered: Sequence[Candidate],
    wanted: int,
    folder: Path,
    address: str,
    near: int | None,
    threads: int,
    bar: "tqdm[Any]",
) -> list[Candidate]:
    """The first photographs that can be had and are no near duplicates of one before."""
    taken: list[Candidate] = []
    hashes: list[str] = []
    missed = 0
    waiting: deque[tuple[Candidate, Future[str | None]]] = deque()
    coming = iter(ordered)
    pool = ThreadPoolExecutor(threads)
    try:
        while len(taken) < wanted:
            room = min(2 * threads, wanted - len(taken)) - len(waiting)
            waiting.extend((one, pool.submit(_fetched, one, folder, address)) for one in islice(coming, room))
            if not waiting:
                break
            one, result = waiting.popleft()
            found = result.result()
            if found is None:
                missed += 1
                if missed == _HOPELESS and not taken:
                    raise UserError(
                        f"None of the first {missed} photographs of {one.class_name} can be had from {address}: set "
                        "another address with dataset.prepare.images=<url>."
                    )
                continue
            if near is not None and hashes and (fingerprints.distances([found], hashes) <= near).any():
                continue
            taken.append(one)
            hashes.append(found)
            bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return taken


def _fetched(one: Candidate, folder: Path, address: str) -> str | None:
    """Bring a photograph into `folder`, upright; its perceptual hash, or None where there is no whole photograph."""
    path = folder / f"{one.image_id}.jpg"
    if not path.is_file():
        try:
            content = b"".join(download.pieces(f"{address}/{one.image_id}.jpg"))
        except download.GoneError:
            return None
        with whole_file(path) as temporary:
            temporary.write_bytes(upright(content, one.rotation))
    try:
        pixels = decode(path, fingerprints.SHORT_SIDE)
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins raise what they like on damaged files
        return None
    return fingerprints.of(pixels).phash if min(pixels.shape[:2]) >= _LEAST_SIDE else None


def upright(content: bytes, rotation: int) -> bytes:
    """A JPEG file that says how it is to be turned; its pixels are not encoded anew, which would lose some.

    Args:
        content: the file. One that says so itself, or is no JPEG, stays as it is.
        rotation: degrees counterclockwise, 0, 90, 180 or 270.
    """
    if rotation not in _ORIENTATION or content[:2] != b"\xff\xd8":
        return content
    kept, place = [content[:2]], 2
    while content[place : place + 1] == b"\xff" and 0xE0 <= content[place + 1] <= 0xEF:
        segment = content[place : place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")]
        place += len(segment)
        if segment[1] != 0xE1 or segment[4:10] != b"Exif\0\0":
            kept.append(segment)
        elif _told_orientation(segment[4:]) != 1:
            return content
    told = Image.Exif()
    told[_ORIENTATION_TAG] = _ORIENTATION[rotation]
    text = told.tobytes()
    return b"".join([*kept, b"\xff\xe1", (len(text) + 2).to_bytes(2, "big"), text, content[place:]])


def _told_orientation(exif: bytes) -> int:
    told = Image.Exif()
    try:
        told.load(exif)
    except Exception:  # whatever a damaged one makes Pillow raise
        return 1
    return int(told.get(_ORIENTATION_TAG, 1))


# --- the folder ------------------------------------------------------------------------------------


def _lay_out(root: Path, request: Mapping[str, Any], taken: _Taken, folder: Path) -> None:
    """Make the image folder out of what was fetched; it appears whole."""
    workplace = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    whole = workplace / root.name  # mkdtemp's own folder is private (0700), this one follows the umask
    placed = [
        (f"{split}/{name}/{one.image_id}.jpg", one)
        for name, own in taken.items()
        for split in own
        for one in own[split]
    ]
    try:
        for file, one in placed:
            (whole / file).parent.mkdir(parents=True, exist_ok=True)
            _link(folder / f"{one.image_id}.jpg", whole / file)
        write_rows(
            whole / ATTRIBUTION,
            ["file", "image_id", "author", "author_url", "title", "licence", "original_url", "landing_url"],
            (
                [file, o.image_id, o.author, o.author_url, o.title, o.licence, o.original_url, o.landing_url]
                for file, o in placed
            ),
        )
        facts = {
            "source": "Open Images V7, training images with boxes, "
            "https://storage.googleapis.com/openimages/web/index.html",
            "licence": "The photographs are listed by Open Images as CC BY 2.0, which it does not warrant: verify each "
            f"before passing it on, and name its author ({ATTRIBUTION}). The boxes: Google LLC, CC BY 4.0.",
            "licences_listed": dict(Counter(one.licence for _, one in placed)),
            "citation": "A. Kuznetsova et al.: The Open Images Dataset V4. International Journal of Computer Vision "
            "128, 2020",
            "selection": _IN_WORDS,
            "counts": {split: {name: len(own[split]) for name, own in taken.items()} for split in SPLITS},
        }
        dataset_record.write(whole, request, facts)
        whole.replace(root)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    for _, one in placed:
        (folder / f"{one.image_id}.jpg").unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


# --- numbers ---------------------------------------------------------------------------------------


def _equally(total: int, parts: int) -> list[int]:
    """A number cut into parts that differ by at most one, the larger ones first."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _require_enough(there: Mapping[str, int], wanted: Mapping[str, Mapping[str, int]]) -> None:
    problems = [
        f"{name}: {plural(there[name], 'photograph')} of {sum(own.values())} wanted "
        f"({', '.join(f'{count} {split}' for split, count in own.items())})"
        for name, own in wanted.items()
        if there[name] < sum(own.values())
    ]
    raise_all(
        "Open Images has too few photographs; ask for fewer with dataset.prepare.train, dataset.prepare.val or "
        "dataset.prepare.test, take smaller boxes with dataset.prepare.smallest_box, or name more of its classes in "
        "dataset.prepare.classes:",
        problems,
    )


def _require_sensible(
    classes: Mapping[str, Sequence[str]], train: int, val: int, test: int, smallest_box: float, threads: int
) -> None:
    problems = []
    wrong = [name for name, names in classes.items() if isinstance(names, str) or not names]
    if len(classes) < 2 or wrong:
        problems.append(
            f"dataset.prepare.classes={dict(classes)}: must be at least two classes, each with a list of names of "
            "Open Images"
        )
    counts = {"train": train, "val": val, "test": test}
    problems += [
        f"dataset.prepare.{name}={count}: must be at least {len(classes)}, one image for each class"
        for name, count in counts.items()
        if count < len(classes)
    ]
    if not 0 <= smallest_box <= 1:
        problems.append(f"dataset.prepare.smallest_box={smallest_box}: must be 0 to 1, a share of the image")
    if threads < 1:
        problems.append(f"dataset.prepare.threads={threads}: must be at least 1")
    raise_all("The photographs cannot be selected:", problems)

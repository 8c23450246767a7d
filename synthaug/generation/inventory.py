"""In-memory index of a synthetic set, about ninety bytes per image, and the queue of images to generate."""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.generation.manifest import COLUMNS, ManifestRow, damaged, part_cells, part_files
from synthaug.generation.shard import Shard
from synthaug.image_files import Member, size_of

ABSENT, ACCEPTED, REJECTED = 0, 1, 2

Place = tuple[str, int]  # class and number of an image

_CLASS, _INDEX, _REASON, _SHA256, _PROMPT, _PAYLOAD, _SIZE, _MEMBER = map(
    COLUMNS.index, ("class_name", "index", "rejected", "sha256", "prompt", "payload", "size", "member")
)
MODEL = ("revision", "weights", "dtype")  # columns that identify a model beside its name
_MODEL = [COLUMNS.index(name) for name in MODEL]
_MOST_INDEX = 10**8  # arrays grow to the largest index


class _OfClass:
    """The images of a class by their numbers: arrays, whose entries of absent images are zero."""

    def __init__(self) -> None:
        self.states = bytearray()
        self.hashes = bytearray()
        self.payloads = bytearray()
        self.prompts, self.sizes, self.parts = array("q"), array("Q"), array("H")
        self.tars, self.offsets = array("H"), array("Q")  # of images in tar files, of which 0 is none
        self.candidates = self.rejected = 0

    def put(self, index: int, state: int, sha256: str, payload: str, prompt: str, size: int, part: int) -> None:
        lacking = index + 1 - len(self.states)
        if lacking > 0:
            self.states.extend(bytes(lacking))
            self.hashes.extend(bytes(32 * lacking))
            self.payloads.extend(bytes(32 * lacking))
            for column in (self.prompts, self.sizes, self.parts, self.tars, self.offsets):
                column.frombytes(bytes(column.itemsize * lacking))
        before = self.states[index]
        self.candidates += before == ABSENT
        self.rejected += (state == REJECTED) - (before == REJECTED)
        self.states[index] = state
        if state == ACCEPTED:
            self.hashes[32 * index : 32 * index + 32] = bytes.fromhex(sha256)
            self.payloads[32 * index : 32 * index + 32] = bytes.fromhex(payload) or bytes(32)
        self.prompts[index], self.sizes[index], self.parts[index] = hash(prompt), size, part


class Inventory:
    """The images of a set, read from its manifest.

    Attributes:
        reasons: class and number of each rejected image → why.
        lost: class and number of images whose files were not there when they were last looked for.
        models: what told the model of the rows: revision, weights and dtype → the values.
    """

    def __init__(self) -> None:
        self._classes: dict[str, _OfClass] = {}
        self.reasons: dict[Place, str] = {}
        self.models: dict[str, set[str]] = {name: set() for name in MODEL}
        self.lost: list[Place] = []
        self._tar_numbers: dict[str, int] = {}
        self._tar_names: dict[int, str] = {}
        self._parts: list[Path] = []

    @classmethod
    def read(cls, folder: Path) -> "Inventory":
        """Read the manifest of a set, row by row.

        Raises:
            UserError: a log is damaged.
        """
        inventory = cls()
        inventory._parts = part_files(folder)
        for part, path in enumerate(inventory._parts, 1):
            for cells in part_cells(path):
                name, index = cells[_CLASS], int(cells[_INDEX])
                of_class = inventory._classes.setdefault(name, _OfClass())
                if index > _MOST_INDEX:
                    raise damaged(path, f"image {index} of {name} is none that a set has")
                if index < len(of_class.states) and of_class.parts[index] == part:
                    raise damaged(path, f"image {index} of {name} is listed twice")
                inventory._put(cells, part)
        return inventory

    def _put(self, cells: Sequence[str], part: int) -> None:
        name, index, reason = cells[_CLASS], int(cells[_INDEX]), cells[_REASON]
        state = REJECTED if reason else ACCEPTED
        rest = cells[_SHA256], cells[_PAYLOAD], cells[_PROMPT], int(cells[_SIZE]), part
        of_class = self._classes.setdefault(name, _OfClass())
        of_class.put(index, state, *rest)
        if member := Member.of(cells[_MEMBER]):
            tar = self._tar_numbers.setdefault(member.tar, len(self._tar_numbers) + 1)
            of_class.tars[index], of_class.offsets[index] = tar, member.offset
            self._tar_names[tar] = member.tar
        if reason:
            self.reasons[name, index] = reason
        for column, number in zip(MODEL, _MODEL, strict=True):
            self.models[column].add(cells[number])

    def __len__(self) -> int:
        return sum(of_class.candidates for of_class in self._classes.values())

    def add(self, row: ManifestRow) -> None:
        """Add an image that was made."""
        self._put([str(getattr(row, name)) for name in COLUMNS], 0)

    def state(self, name: str, index: int) -> int:
        """Return whether an image is `ABSENT`, `ACCEPTED` or `REJECTED`.

        Args:
            name: of its class.
            index: its number.
        """
        of_class = self._classes.get(name)
        return of_class.states[index] if of_class and index < len(of_class.states) else ABSENT

    def candidates(self, name: str) -> tuple[int, int]:
        """Return how many images of a class there are, rejected ones included, and how many of them are rejected."""
        of_class = self._classes.get(name) or _OfClass()
        return of_class.candidates, of_class.rejected

    def rejected(self, classes: Sequence[str]) -> list[tuple[Place, str]]:
        """Return class, number and reason of the rejected images of some classes, in their order."""
        return sorted(item for item in self.reasons.items() if item[0][0] in classes)

    def of_other_prompts(self, name: str, prompt: Callable[[int], str]) -> list[int]:
        """Return the numbers of the images of a class that were made from other prompts than now.

        Args:
            name: of the class.
            prompt: number of an image → its prompt now.
        """
        of_class = self._classes.get(name) or _OfClass()
        return [
            index
            for index, (state, recorded) in enumerate(zip(of_class.states, of_class.prompts, strict=True))
            if state != ABSENT and hash(prompt(index)) != recorded
        ]

    def accepted(self, name: str) -> Iterator[int]:
        """Yield the numbers of the accepted images of a class."""
        of_class = self._classes.get(name) or _OfClass()
        return (index for index, state in enumerate(of_class.states) if state == ACCEPTED)

    def extent(self, name: str, count: int) -> int:
        """Return how many numbers of a class have `count` images, if no further one will be rejected.

        Args:
            name: of the class.
            count: images.
        """
        number = 0
        while count:
            count -= self.state(name, number) != REJECTED
            number += 1
        return number

    def look_for_lost(self, classes: Sequence[str], path: Callable[[str, int], str]) -> None:
        """Mark images as absent (`lost`) whose file is missing or has another size than its manifest row.

        Args:
            classes: names.
            path: class and number of an image → its file.
        """
        for name, index in self.lost:  # they may have been restored
            self._set_lost(name, index, is_lost=False)
        self.lost = [
            (name, index)
            for name in classes
            for index in self.accepted(name)
            if size_of(path(name, index)) != self._classes[name].sizes[index]
        ]
        for name, index in self.lost:
            self._set_lost(name, index, is_lost=True)

    def by_part(self, places: Iterable[Place]) -> dict[Path, set[Place]]:
        """Return the logs of the manifest that list some images, and which of them."""
        by_part: dict[Path, set[Place]] = {}
        for name, index in places:
            by_part.setdefault(self._parts[self._classes[name].parts[index] - 1], set()).add((name, index))
        return by_part

    def _set_lost(self, name: str, index: int, is_lost: bool) -> None:
        of_class = self._classes[name]
        of_class.states[index] = ABSENT if is_lost else ACCEPTED
        of_class.candidates += -1 if is_lost else 1

    def member(self, name: str, index: int, suffix: str) -> str:
        """Return where an image is in a tar file, below the set's folder; empty for a file of its own.

        Args:
            name: of its class.
            index: its number.
            suffix: of its file.
        """
        of_class = self._classes.get(name)
        tar = of_class.tars[index] if of_class and index < len(of_class.tars) else 0
        if not of_class or not tar:
            return ""
        place = of_class.offsets[index], of_class.sizes[index], suffix
        return str(Member(self._tar_names[tar], f"{name}/{index:06d}", *place))

    def tar_ends(self) -> dict[str, int]:
        """Return the name of each tar file that has images → offset behind the last of them."""
        ends = dict.fromkeys(self._tar_numbers, 0)
        for of_class in self._classes.values():
            for state, tar, offset, size in zip(
                of_class.states, of_class.tars, of_class.offsets, of_class.sizes, strict=True
            ):
                if tar and state == ACCEPTED:
                    ends[self._tar_names[tar]] = max(ends[self._tar_names[tar]], offset + size)
        return ends

    def sample(self, name: str, index: int, path: str, label: int) -> Sample:
        """Return an accepted image to train on.

        Args:
            name: of its class.
            index: its number.
            path: of its file.
            label: index of its class.
        """
        of_class, span = self._classes[name], slice(32 * index, 32 * index + 32)
        payload = of_class.payloads[span]
        hashes = of_class.hashes[span].hex(), index, payload.hex() if any(payload) else ""
        return Sample(Path(path), label, name, SYNTHETIC, *hashes)


class Missing:
    """Queue of the images to generate, class by class, assuming that none will be rejected.

    A class has its first `count` images that are not rejected, whatever stands behind them: so a gap is filled although
    there are enough images behind it.

    Args:
        inventory: what there is.
        counts: class → images.
    """

    def __init__(self, inventory: Inventory, counts: Mapping[str, int]) -> None:
        self._inventory = inventory
        self._names = list(counts)
        self._numbers = {name: number for number, name in enumerate(counts)}
        self._lacking = list(counts.values())
        self._next = [0] * len(counts)
        self._open = [number for number, count in enumerate(self._lacking) if count > 0]  # a heap, since it is sorted

    def __iter__(self) -> Iterator[Place]:
        while self._open:
            number = self._open[0]
            name, index = self._names[number], self._next[number]
            self._next[number] += 1
            state = self._inventory.state(name, index)
            if state != REJECTED:
                self._lacking[number] -= 1
                if self._lacking[number] == 0:
                    heapq.heappop(self._open)
            if state == ABSENT:
                yield name, index

    def replace(self, name: str) -> None:
        """Add an image of a class, to replace a rejected one."""
        number = self._numbers[name]
        self._lacking[number] += 1
        if self._lacking[number] == 1:
            heapq.heappush(self._open, number)


class MissingOfShard:
    """Queue of the images of a shard; rejected ones are not replaced, or the set would depend on the number of shards.

    Args:
        inventory: what there is.
        counts: class → images of all shards.
        shard: that is made.
    """

    def __init__(self, inventory: Inventory, counts: Mapping[str, int], shard: Shard) -> None:
        self._places = (place for place in shard.places(counts) if inventory.state(*place) == ABSENT)

    def __iter__(self) -> Iterator[Place]:
        return self._places

    def replace(self, name: str) -> None:
        """Do nothing: a later command without shards replaces rejected images."""


def missing(inventory: Inventory, counts: Mapping[str, int], shard: Shard) -> Missing | MissingOfShard:
    """Return the queue of images to generate.

    Args:
        inventory: what there is.
        counts: class → images of all shards.
        shard: that is made.
    """
    return Missing(inventory, counts) if shard.is_whole else MissingOfShard(inventory, counts, shard)

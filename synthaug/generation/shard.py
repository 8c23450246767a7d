"""Shards of a synthetic set: parts of one list of images, each made by a process of its own.

Image i of a class is of shard (i + a number of the class) mod n. So it is fixed before any work begins, whatever exists
and however many are asked for, and the same images are made by any number of shards.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from synthaug.errors import UserError

_PROCESS, _PROCESSES = "RANK", "WORLD_SIZE"  # of torchrun


def number_of(name: str, index: int, count: int) -> int:
    """Return the shard of an image.

    Args:
        name: of its class.
        index: its number.
        count: of shards.
    """
    return (index + _offset(name)) % count


def _offset(name: str) -> int:
    return zlib.crc32(name.encode())  # or all small classes would be in the first shards


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`; its text is the name of its files."""

    number: int = 0
    count: int = 1

    @classmethod
    def of(cls, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Self:
        """Return the shard of a command: of its keys, or of its process among those of torchrun.

        Args:
            settings: of the command.
            environment: variables.

        Raises:
            UserError: keys that contradict each other or torchrun, or that leave the shard open.
        """
        number, count = settings["shard"], settings["shards"]
        keys = " ".join(f"{key}={value}" for key, value in (("shards", count), ("shard", number)) if value is not None)
        if (processes := environment.get(_PROCESSES, "1")) != "1" and _PROCESS in environment:
            if keys:
                raise UserError(
                    f"{keys}: torchrun has started {processes} processes, and each makes a shard: leave {keys} out, or "
                    "start the commands without torchrun."
                )
            return cls(int(environment[_PROCESS]), int(processes))
        if number is None and (count or 1) == 1:
            return cls()
        if count is None:
            raise UserError(f"shard={number}: of how many? Add shards=<n>.")
        if number is None:
            every = ",".join(map(str, range(min(count, 3))))
            raise UserError(
                f"shards={count}: which one? Add shard=<n>, 0 to {count - 1}, to the command of each process, or "
                f"-m shard={every}{',…' if count > 3 else ''} for one after the other; torchrun does without."
            )
        if number >= count:
            raise UserError(f"shard={number}: there are shards={count}, which are counted from 0 to {count - 1}.")
        return cls(number, count)

    @property
    def is_whole(self) -> bool:
        """Whether it has all images."""
        return self.count == 1

    def places(self, counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        """Yield class and number of the shard's images.

        Args:
            counts: class → images of all shards.
        """
        for name, count in counts.items():
            for index in range((self.number - _offset(name)) % self.count, count, self.count):
                yield name, index

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"

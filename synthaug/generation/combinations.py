"""Combinations of lists: one value of each, evenly over the images of a class and never twice before all were used."""

import functools
import hashlib
import math


@functools.lru_cache(maxsize=2**17)  # the prompts of a set are compared with its manifest again and again
def combination(index: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return which value of each list belongs to an image.

    Among the first images, however many, each value of a list is as often as any other, up to one; and no combination
    comes again before all of them were used.

    The longest list is run through again and again. A list of n values after others with m combinations is run
    through beside them: lcm(n, m) images later, both would begin anew together, so it is turned on by one, which
    happens gcd(n, m) times before all n m pairs were used (the Chinese remainder theorem). Where n divides m, each
    run through the list may be turned by any number that depends on the combination of the others, and is by a
    shuffled one: or lists of one size would go side by side for as long as m.

    Args:
        index: number of the image within its class.
        sizes: of the lists, at least 1.
    """
    values = [0] * len(sizes)
    combined = 1  # combinations of the lists so far
    for rank, position in enumerate(sorted(range(len(sizes)), key=lambda position: -sizes[position])):
        size = sizes[position]
        turned = index % (combined * size) // math.lcm(combined, size)
        if combined % size == 0:
            run = index % combined // size
            turned += _shuffled(size, rank, run // size)[run % size]
        values[position] = (index + turned) % size
        combined *= size
    return tuple(values)


@functools.lru_cache(maxsize=4096)
def _shuffled(size: int, rank: int, number: int) -> list[int]:
    """Return the numbers below `size` in an order that depends on the other two alone."""
    keys = [hashlib.sha256(f"{rank} {number} {value}".encode()).digest() for value in range(size)]
    return sorted(range(size), key=keys.__getitem__)

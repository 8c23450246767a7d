"""How evenly prompts with lists are spread, beside drawing each value of each image at random.

    python -m benchmarks.prompt_lists          # the table in README.md; seed 0

For lists of some sizes and a number of images: how much more often the commonest value of a list is than its rarest,
which share of the combinations is there twice, and which share of the pairs of two lists' values is there, of as many
as could be.
"""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from statistics import mean

from synthaug.generation.combinations import combination

SIZES = ((8, 7, 5, 5), (8, 8, 8, 8), (6, 4, 3), (10, 10))
IMAGES = (20, 100, 500)
DRAWS = 200
Chosen = Sequence[Sequence[int]]  # image → number of its value in each list


def imbalance(chosen: Chosen, sizes: Sequence[int]) -> float:
    """Return how much more often the commonest value of a list is than its rarest, in the worst list."""
    counts = [Counter(values[position] for values in chosen) for position in range(len(sizes))]
    return max(
        max(count.values()) - min(count[value] for value in range(size))
        for count, size in zip(counts, sizes, strict=True)
    )


def repeated(chosen: Chosen) -> float:
    """Return the share of images whose combination an earlier image has."""
    return 1 - len(set(map(tuple, chosen))) / len(chosen)


def covered(chosen: Chosen, sizes: Sequence[int]) -> float:
    """Return the mean share of pairs of values of two lists that occur, of as many as could."""
    return mean(
        len({(values[first], values[second]) for values in chosen}) / min(len(chosen), sizes[first] * sizes[second])
        for first, second in itertools.combinations(range(len(sizes)), 2)
    )


def measure(sets: Sequence[Chosen], sizes: Sequence[int]) -> list[float]:
    """Return the mean of the three numbers over sets of images."""
    return [
        mean(imbalance(chosen, sizes) for chosen in sets),
        mean(repeated(chosen) for chosen in sets),
        mean(covered(chosen, sizes) for chosen in sets),
    ]


def rows(seed: int = 0) -> list[tuple[str, int, list[float], list[float]]]:
    """Return (sizes, images, our three numbers, those of random draws)."""
    generator = random.Random(seed)
    table = []
    for sizes in SIZES:
        for images in IMAGES:
            ours = [combination(index, sizes) for index in range(images)]
            draws = [[[generator.randrange(size) for size in sizes] for _ in range(images)] for _ in range(DRAWS)]
            numbers, drawn = (measure([ours], sizes), measure(draws, sizes))
            table.append((" x ".join(map(str, sizes)), images, numbers, drawn))
    return table


def main() -> None:
    """Print the table."""
    print("| lists | images | imbalance | random | repeated | random | pairs | random |")
    print("|---|---|---|---|---|---|---|---|")
    for sizes, images, ours, drawn in rows():
        cells = [f"{ours[0]:.0f}", f"{drawn[0]:.1f}"]
        cells += [f"{100 * value:.0f} %" for pair in zip(ours[1:], drawn[1:], strict=True) for value in pair]
        print(f"| {sizes} | {images} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

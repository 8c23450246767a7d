"""Check distances between a synthetic set and real images against normal distributions whose distance is known.

    python -m benchmarks.quality             # four minutes of one core: writes benchmarks/quality.json
    python -m benchmarks.quality --table     # the tables of benchmarks/README.md, from that file

The real images have variances that are equal or fall as 1/i over the dimensions; the synthetic ones 1.3 times these and
a mean that is 0.3 off in ten dimensions. With classes, each is moved by 3 in a dimension of its own.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration import about
from synthaug.analysis.synthetic.embedded import Embedded
from synthaug.analysis.synthetic.frechet import extrapolated_distance, frechet_distance
from synthaug.analysis.synthetic.kernel_distance import kernel_distance
from synthaug.files import read_json, write_json

RESULTS = Path(__file__).with_name("quality.json")
SEED = 20261130
WIDER, MOVED, MOVED_IN = 1.3, 0.3, 10
APART = 3.0  # between classes
Row = dict[str, Any]
Moments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Truth:
    """Two distributions, and how often they are drawn.

    Attributes:
        name: of the truth.
        dimension: of the embeddings.
        decay: exponent by which variances fall.
        classes: number of classes, equally many images of each.
        studies: number of draws.
        is_same: whether the synthetic images are a second draw of the real ones.
    """

    name: str
    dimension: int
    decay: float = 0.0
    classes: int = 1
    studies: int = 50
    is_same: bool = False

    @property
    def variances(self) -> NDArray[np.float64]:
        """Variances of the real images, 1 in the mean."""
        falling = np.arange(1, self.dimension + 1) ** -self.decay
        return np.asarray(falling * self.dimension / falling.sum())

    @property
    def distance(self) -> float:
        """The true Fréchet distance of one class."""
        if self.is_same:
            return 0.0
        return float(MOVED_IN * MOVED**2 + (self.variances * (1 - np.sqrt(WIDER)) ** 2).sum())

    @property
    def kernel_distance(self) -> float:
        """The true kernel distance, of the first three moments of both distributions."""
        real, synthetic = self._moments(False), self._moments(True)

        def mean_kernel(first: Moments, second: Moments) -> float:
            pairs = zip((3, 3, 1), first, second, strict=True)
            powers = (n * float((a * b).sum()) / float(self.dimension) ** k for k, (n, a, b) in enumerate(pairs, 1))
            return 1 + sum(powers)

        return mean_kernel(real, real) + mean_kernel(synthetic, synthetic) - 2 * mean_kernel(real, synthetic)

    def _moments(self, synthetic: bool) -> Moments:
        """Return the mean over the classes of the moments E x, E xx, E xxx of normal distributions."""
        differs = synthetic and not self.is_same
        covariance = np.diag(self.variances * (WIDER if differs else 1))
        moments = []
        for label in range(self.classes):
            mean = np.zeros(self.dimension)
            mean[:MOVED_IN] = MOVED * differs
            mean[label] += APART * (self.classes > 1)
            second = covariance + np.multiply.outer(mean, mean)
            mixed = np.multiply.outer(mean, covariance)
            third = np.multiply.outer(np.multiply.outer(mean, mean), mean)
            third += mixed + mixed.transpose(1, 0, 2) + mixed.transpose(1, 2, 0)
            moments.append((mean, second, third))
        first, second, third = (np.mean(order, axis=0) for order in zip(*moments, strict=True))
        return first, second, third

    def draw(self, count: int, synthetic: bool, random: np.random.Generator) -> Embedded:
        """Draw images.

        Args:
            count: of the images.
            synthetic: whether they are.
            random: source of random numbers.
        """
        labels = np.arange(count) % self.classes
        vectors = random.standard_normal((count, self.dimension)) * np.sqrt(self.variances)
        if synthetic and not self.is_same:
            vectors = vectors * np.sqrt(WIDER)
            vectors[:, :MOVED_IN] += MOVED
        if self.classes > 1:
            vectors += APART * np.eye(self.dimension)[labels]
        return Embedded(vectors, labels)


FRECHET = (
    *(Truth("equal variances", dimension) for dimension in (16, 64)),
    *(Truth("variances as 1/i", dimension, 1.0) for dimension in (16, 64)),
    Truth("variances as 1/i", 228, 1.0, studies=40),
    Truth("a second draw of real images", 64, 1.0, is_same=True),
)
RATIOS = (1, 2, 4, 8)  # images of each origin per dimension
KERNEL = (
    Truth("one class", 64, 1.0, studies=300),
    Truth("ten classes", 64, 1.0, classes=10, studies=300),
    Truth("ten classes, a second draw of real images", 64, 1.0, classes=10, studies=300, is_same=True),
)
COUNTS = (20, 50, 100, 500)


def frechet_rows(random: np.random.Generator) -> Iterator[Row]:
    """Yield a row for each truth and number of images.

    Args:
        random: source of random numbers.
    """
    for truth in FRECHET:
        for ratio in RATIOS:
            count = ratio * truth.dimension
            pairs = [(truth.draw(count, False, random), truth.draw(count, True, random)) for _ in range(truth.studies)]
            plain = [frechet_distance(real.vectors, synthetic.vectors) for real, synthetic in pairs]
            estimates = [extrapolated_distance(real, synthetic, random) for real, synthetic in pairs]
            told = [estimate for estimate in estimates if estimate is not None]
            row = {"truth": truth.name, "dimension": truth.dimension, "images": count, "distance": truth.distance}
            row |= {"studies": truth.studies, "plain": float(np.mean(plain))}
            if told:
                row |= {
                    "extrapolated": float(np.mean([estimate.value for estimate in told])),
                    "deviation": float(np.std([estimate.value for estimate in told], ddof=1)),
                    "covered": float(np.mean([estimate.low <= truth.distance <= estimate.high for estimate in told])),
                }
            yield row


def kernel_rows(random: np.random.Generator) -> Iterator[Row]:
    """Yield a row for each truth and number of images.

    Args:
        random: source of random numbers.
    """
    for truth in KERNEL:
        distance = truth.kernel_distance
        for count in COUNTS:
            pairs = [
                [truth.draw(count, synthetic, random) for synthetic in (False, True)] for _ in range(truth.studies)
            ]
            estimates = [kernel_distance(*pair) for pair in pairs]
            usual = [kernel_distance(*(_without_classes(part) for part in pair)).value for pair in pairs]
            yield {
                "truth": truth.name,
                "images": count,
                "distance": distance,
                "studies": truth.studies,
                "estimate": float(np.mean([estimate.value for estimate in estimates])),
                "deviation": float(np.std([estimate.value for estimate in estimates], ddof=1)),
                "usual": float(np.mean(usual)),
                "covered": float(np.mean([estimate.low <= distance <= estimate.high for estimate in estimates])),
            }


def _without_classes(images: Embedded) -> Embedded:
    """Return the same images as one class: the usual U statistic."""
    return Embedded(images.vectors, np.zeros_like(images.labels))


def tables(results: Mapping[str, Any]) -> str:
    """Return both tables as Markdown."""
    first = [
        [
            row["truth"],
            f"{row['dimension']}",
            f"{row['images']:,}",
            f"{row['distance']:.2f}",
            f"{row['plain']:.2f}",
            *(
                [f"{row['extrapolated']:.2f} ± {row['deviation']:.2f}", f"{100 * row['covered']:.0f} %"]
                if "covered" in row
                else ["-", "-"]
            ),
        ]
        for row in results["frechet"]
    ]
    second = [
        [
            row["truth"],
            f"{row['images']:,}",
            f"{row['distance']:.4f}",
            f"{row['usual']:.4f}",
            f"{row['estimate']:.4f} ± {row['deviation']:.4f}",
            f"{100 * row['covered']:.0f} %",
        ]
        for row in results["kernel"]
    ]
    heads = (
        ["truth", "dimension", "images of each", "FID", "mean FID of n images", "extrapolated", "covered"],
        ["truth", "images of each", "KID", "mean of the usual statistic", "mean by class", "covered"],
    )
    return "\n\n".join(_table(head, rows) for head, rows in zip(heads, (first, second), strict=True))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def main() -> None:
    """Simulate and write the results, or print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the tables of the last simulation")
    parsed = parser.parse_args()
    if not parsed.table:
        random = np.random.default_rng(SEED)
        results = {"frechet": list(frechet_rows(random)), "kernel": list(kernel_rows(random))}
        write_json(RESULTS, {"about": about(SEED), **results})
    print(tables(read_json(RESULTS)))


if __name__ == "__main__":
    main()

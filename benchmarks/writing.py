"""How much time it saves that images are saved while the next ones are sampled.

    python -m benchmarks.writing            # ten pairs of each generator: five minutes of one core

Sets of images are made in pairs, with and without the thread that saves, in turn, since machines are busy with other
things too; the ratio of a pair's times is what counts. The embedded generator computes on the processor; the other one
waits as long as one with a graphics processor would compute, and gives images of 512 pixels like photographs.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from synthaug.config import schema
from synthaug.generation import synthetic_set
from synthaug.generation.synthetic_set import SyntheticSet

SIDE, BATCH, SECONDS = 512, 4, 0.25  # of an image
COLUMNS = (
    "model", "revision", "scheduler", "steps", "guidance", "diffusers", "transformers", "torch", "python", "weights",
    "dtype",
)  # fmt: skip


class Waiting:
    """A generator that takes time but no processor."""

    prompt, negative_prompt, batch_size, is_guided = "a {class_name}", "", BATCH, False

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        coarse = [random.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(BATCH)]
        grain = random.integers(0, 12, (SIDE, SIDE, 3), dtype=np.uint8)
        self._images: list[Image.Image | str] = [
            Image.fromarray(np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE))) // 2 + grain) for pixels in coarse
        ]

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def check(self, classes: Sequence[str]) -> None:
        """Accept all."""

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Accept all."""

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        """Return the same images again, after a while."""
        time.sleep(SECONDS * len(prompts))
        return self._images[: len(prompts)]

    def provenance(self) -> dict[str, str]:
        """Return what every row has."""
        return dict.fromkeys(COLUMNS, "")

    def seed_provenance(self, seed: int) -> dict[str, str]:
        """Return nothing."""
        return {}

    def unload(self) -> None:
        """Do nothing."""


class Immediately:
    """An executor that does the work at once, in the same thread."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> "Immediately":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Call a function and return its result as a future."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def embedded() -> Any:
    """Return the generator of the default study."""
    schema.register()
    with initialize_config_dir(str(schema.CONF), version_base=schema.VERSION_BASE):
        node = compose("config").generator
    return instantiate(schema.target_kwargs(node), batch_size=16)


def seconds(generator: Any, images: int, overlaps: bool) -> float:
    """Return how long it takes to make a set.

    Args:
        generator: what samples.
        images: how many.
        overlaps: whether images are saved while the next ones are sampled.
    """
    executor = ThreadPoolExecutor if overlaps else Immediately
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(synthetic_set, "ThreadPoolExecutor", executor),
        mock.patch.object(generator, "unload"),  # loading is not measured
    ):
        started = time.perf_counter()
        SyntheticSet(Path(folder), generator).ensure({"3": images})
        return time.perf_counter() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    pairs = parser.parse_args().pairs
    print("| generator | images | seconds, one after the other | overlapping | ratio: median (of pairs) |")
    print("|---|---|---|---|---|")
    for name, generator, images in (("embedded, 28 px", embedded(), 64), ("waits 0.25 s, 512 px", Waiting(), 24)):
        seconds(generator, 4, overlaps=True)  # loads the model
        times = [(seconds(generator, images, False), seconds(generator, images, True)) for _ in range(pairs)]
        ratios = sorted(after / before for before, after in times)
        before, after = (statistics.median(values) for values in zip(*times, strict=True))
        median = statistics.median(ratios)
        print(
            f"| {name} | {images} | {before:.1f} | {after:.1f} | {median:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()

"""Sweep efficiency on a GPU: a run's fit against the fastest bare loop in bfloat16, in images a second.

    python -m benchmarks.gpu_training             # 224 px, ResNet18, batches of 128, 4,000 + 400 images
    python -m benchmarks.gpu_training --tiny      # on any machine, to see that it works

A pair is the fit of a run (Trainer, augmentation, validation, checkpoints: everything after the start-up) and as many
epochs of a bare loop over bfloat16 tensors that lie on the device, compiled where a compiler is there. Both are timed
after a first round that compiles and allocates.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.training_loop import CLASSES, Run
from synthaug.models.backbones import build_backbone
from synthaug.training import hardware, lightning_rules


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="32 px, few images")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=5, help="of each run")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("overrides", nargs="*", help="settings of the product, such as compile=true")
    arguments = parser.parse_args()
    size, counts = (32, (10, 2)) if arguments.tiny else (224, (400, 40))
    batch = min(arguments.batch, counts[0])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    hardware.allow_tf32()
    lightning_rules.quiet_libraries()
    bare = bare_loop(size, CLASSES * counts[0], CLASSES * counts[1], batch, device)
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"batch_size={batch}", *arguments.overrides]
        run = Run(Path(folder), size, arguments.epochs, settings, counts, clock)
        pairs = [(run.seconds(), seconds(bare, arguments.epochs)) for _ in range(arguments.pairs + 1)][1:]
    ratios = [alone / product for product, alone in pairs]
    images = CLASSES * counts[0] * arguments.epochs
    print(
        f"training at {size} px: {statistics.median(ratios):.2f} of the bare loop, {min(ratios):.2f} to "
        f"{max(ratios):.2f} in {len(ratios)} pairs; {images / statistics.median(spent for spent, _ in pairs):,.0f} "
        f"images a second, bare {images / statistics.median(spent for _, spent in pairs):,.0f}"
    )


def bare_loop(size: int, train: int, val: int, batch: int, device: torch.device) -> Callable[[], object]:
    """Return an epoch of training and validation on tensors that lie on the device.

    Args:
        size: side of the images in pixels.
        train: number of training images.
        val: number of validation images.
        batch: images per step.
        device: a GPU, or the processor.
    """
    torch.manual_seed(0)
    network: nn.Module = build_backbone("resnet18", None, CLASSES).to(memory_format=torch.channels_last)
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    if device.type == "cuda":
        network.compile()
    images = torch.rand(train + val, 3, size, size, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (train + val,), device=device)

    def epoch() -> object:
        network.train()
        with torch.autocast(device.type, torch.bfloat16):
            for start in range(0, train - batch + 1, batch):
                part = slice(start, start + batch)
                loss = cross_entropy(network(images[part]), labels[part])
                torch.autograd.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            network.eval()
            with torch.inference_mode():
                parts = [images[start : start + batch] for start in range(train, train + val, batch)]
                return [network(part).argmax(dim=1).cpu() for part in parts]

    return epoch


def clock() -> float:
    """Return the time, after the GPU's work is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(epoch: Callable[[], object], epochs: int) -> float:
    """Return how long so many epochs take.

    Args:
        epoch: one of them.
        epochs: number.
    """
    started = clock()
    for _ in range(epochs):
        epoch()
    return clock() - started


if __name__ == "__main__":
    main()

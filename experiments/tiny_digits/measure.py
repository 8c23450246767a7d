"""Measure the saved generator `tiny_digits`: fidelity to the label, likeness, diversity, copying, speed.

The judge is a small CNN trained on the real digits of the parts `train` and `val` (150 a class) and
checked on `test`; the generator saw none of the three. Everything is computed on the centre 28x28.
About 5 minutes of CPU time; README.md has the figures to expect.

Run from the root of the checkout:

    PYTHONPATH=. python experiments/tiny_digits/measure.py --model synthaug/assets/tiny_digits \
        --results experiments/tiny_digits/results.json --grid experiments/tiny_digits/grid.png
"""

# mypy: allow-untyped-calls

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from digits import jitter, load_part, to_grey28
from PIL import Image
from prompts import DEFAULT_PROMPT, NAMES, TEMPLATES
from torch import Tensor, nn
from torch.nn import functional
from train import jittered_copies

STEPS, GUIDANCE, BATCH = 16, 2.0, 64
PER_CLASS, PER_WORDING = 100, 3
UNSEEN_TEMPLATES = ("draw me a {}", "digit {}", "the number {} written by hand")
Figures = dict[str, object]
Pipeline = Any  # diffusers and its lazy imports carry no types


def load(folder: Path) -> Pipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(pipeline: Pipeline, prompts: Sequence[str], first_seed: int) -> Tensor:
    """One image a prompt as (n, 3, 32, 32) in [-1, 1]; image i has its own seed, first_seed + i."""
    parts = []
    for start in range(0, len(prompts), BATCH):
        batch = list(prompts[start : start + BATCH])
        seeds = range(first_seed + start, first_seed + start + len(batch))
        images = pipeline(
            batch,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).images
        parts.append(torch.from_numpy(np.stack([np.asarray(image) for image in images])))
    return torch.cat(parts).permute(0, 3, 1, 2).float() / 127.5 - 1


def build_classifier() -> nn.Sequential:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]

    pool = nn.MaxPool2d(2)
    layers = [*block(1, 16), pool, *block(16, 32), pool, *block(32, 64)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 10))


def train_classifier(images: Tensor, labels: Tensor, seed: int, steps: int = 800) -> nn.Sequential:
    """On the grey centres, with small turns, scalings and shifts; batches of 64, one-cycle Adam."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = build_classifier()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        index = torch.randint(len(labels), (64,), generator=random)
        batch = jitter(images[index], random, degrees=12, scale=0.1, shear=0.1, shift=2)
        loss = functional.cross_entropy(model(to_grey28(batch).unsqueeze(1)), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return model.eval()


@torch.no_grad()
def classify(model: nn.Sequential, images: Tensor) -> Tensor:
    return torch.cat([model(to_grey28(batch).unsqueeze(1)).argmax(1) for batch in images.split(250)])


def share(right: Tensor) -> Figures:
    return {"right": int(right.sum()), "of": len(right), "share": round(right.float().mean().item(), 4)}


def label_fidelity(judge: nn.Sequential, images: Tensor, labels: Tensor) -> Figures:
    right = classify(judge, images) == labels
    return {**share(right), "per_class": [int(right[labels == digit].sum()) for digit in range(10)]}


def wording_fidelity(pipeline: Pipeline, judge: nn.Sequential) -> Figures:
    """Fidelity of each template, with figures and words, trained on and not."""
    labels = torch.arange(10).repeat(2).repeat_interleave(PER_WORDING)
    figures: Figures = {}
    for number, template in enumerate((*TEMPLATES, *UNSEEN_TEMPLATES)):
        names = (*map(str, range(10)), *NAMES)
        prompts = [template.format(name) for name in names for _ in range(PER_WORDING)]
        images = generate(pipeline, prompts, 1_000_000 + 1_000 * number)
        origin = "unseen" if template in UNSEEN_TEMPLATES else "trained"
        figures[f"{origin}: {template}"] = share(classify(judge, images) == labels)
    return figures


@torch.no_grad()
def reconstruct(pipeline: Pipeline, images: Tensor) -> Tensor:
    vae = pipeline.vae
    means = (vae.encode(batch).latent_dist.mean for batch in images.split(100))
    return torch.cat([vae.decode(mean).sample.clamp(-1, 1) for mean in means])


def psnr(images: Tensor, decoded: Tensor) -> float:
    """Mean over images, in dB, of the grey centres in [0, 1]."""
    error = (to_grey28(images) - to_grey28(decoded)).square().mean((1, 2))
    return round((-10 * error.log10()).mean().item(), 2)


def nearest(images: Tensor, others: Tensor) -> Figures:
    """Euclidean distance of grey centres in [0, 1] to the nearest of the others."""
    distances = torch.cdist(to_grey28(images).flatten(1), to_grey28(others).flatten(1)).amin(1)
    return {
        "mean": round(distances.mean().item(), 3),
        "percentile_1": round(distances.quantile(0.01).item(), 3),
        "least": round(distances.min().item(), 3),
    }


def spread(images: Tensor, labels: Tensor) -> float:
    """Mean distance of two images of one class, averaged over the classes."""
    groups = (to_grey28(images[labels == digit]).flatten(1) for digit in range(10))
    return round(float(np.mean([torch.pdist(group).mean().item() for group in groups])), 3)


def usefulness(images: Tensor, labels: Tensor, test: tuple[Tensor, Tensor]) -> Figures:
    """Accuracy on real digits of classifiers trained on these images alone (three seeds)."""
    scores = []
    for seed in range(3):
        right = classify(train_classifier(images, labels, seed), test[0]) == test[1]
        scores.append(round(right.float().mean().item(), 4))
    return {"accuracies": scores, "mean": round(float(np.mean(scores)), 4)}


def rates(pipeline: Pipeline, batches: int = 6) -> Figures:
    """Images a second in batches of 64: the fastest of six, as other programs can only slow a batch down."""
    prompts = [DEFAULT_PROMPT.format(index % 10) for index in range(BATCH)]
    figures: Figures = {}
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        seconds = []
        for _ in range(batches):
            started = time.perf_counter()
            generate(pipeline, prompts, 0)
            seconds.append(time.perf_counter() - started)
        figures[f"{threads} threads"] = round(BATCH / min(seconds), 1)
    torch.set_num_threads(before)
    return figures


def save_grid(images: Tensor, path: Path) -> None:
    """Return the first ten images of each class, a class a row, twice enlarged."""
    chosen = images.view(10, -1, 3, 32, 32)[:, :10]
    table = chosen.permute(0, 3, 1, 4, 2).reshape(320, 320, 3).add(1).mul(127.5).round().byte()
    Image.fromarray(table.numpy()).resize((640, 640), Image.Resampling.NEAREST).save(path)


def measure(pipeline: Pipeline, grid: Path) -> Figures:
    parts = {part: load_part(part) for part in ("generator", "train", "val", "test")}
    seen, (unseen, unseen_labels) = parts["generator"][0], parts["test"]
    real, real_labels = (torch.cat(pair) for pair in zip(parts["train"], parts["val"], strict=True))
    labels = torch.arange(10).repeat_interleave(PER_CLASS)
    fakes = generate(pipeline, [DEFAULT_PROMPT.format(label) for label in labels.tolist()], 0)
    save_grid(fakes, grid)
    judge = train_classifier(real, real_labels, seed=7)
    decoded = reconstruct(pipeline, unseen)
    jittered = torch.cat([seen, *jittered_copies(seen)])  # what the denoiser was trained on
    return {
        "judge_on_test": share(classify(judge, unseen) == unseen_labels),
        "fidelity": label_fidelity(judge, fakes, labels),
        "fidelity_by_wording": wording_fidelity(pipeline, judge),
        "autoencoder_psnr": {
            "generator": psnr(seen, reconstruct(pipeline, seen)),
            "test": psnr(unseen, decoded),
        },
        "nearest_training_image": {
            "generated": nearest(fakes, seen),
            "test": nearest(unseen, seen),
            "test_through_autoencoder": nearest(decoded, seen),
        },
        "nearest_jittered_training_image": {
            "generated": nearest(fakes, jittered),
            "test_through_autoencoder": nearest(decoded, jittered),
        },
        "spread_within_class": {"generated": spread(fakes, labels), "test": spread(unseen, unseen_labels)},
        "accuracy_on_test_when_trained_on": {
            "generated": usefulness(fakes, labels, parts["test"]),
            "train": usefulness(*parts["train"], parts["test"]),
        },
        "images_per_second": rates(pipeline),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the generator tiny_digits.")
    parser.add_argument("--model", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--grid", type=Path, required=True, help="PNG to write: 10 images of each digit")
    arguments = parser.parse_args()
    figures = measure(load(arguments.model), arguments.grid)
    text = json.dumps(figures, indent=2) + "\n"
    arguments.results.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()

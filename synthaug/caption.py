"""Write captions of the classes, as prompts of a generator, with a language model or one that looks at training images.

python -m synthaug.caption dataset=imagefolder dataset.root=photos
python -m synthaug.caption captioner=blip dataset=imagefolder dataset.root=photos
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate

from synthaug.config.command_help import CommandHelp
from synthaug.config.command_line import key_of
from synthaug.config.job import Job
from synthaug.config.schema import CAPTIONS, DEFAULT_CAPTIONER
from synthaug.data.samples import Samples, per_class
from synthaug.execution.single_run import run_command
from synthaug.terminal import tolerant_output

log = logging.getLogger(__name__)

_DEFAULT_PER_CLASS = 50  # captions of a language model

HELP = CommandHelp(
    "caption",
    "Write captions of each class, from which a generator makes images (prompts=file prompts.file=<file>). A language "
    "model is told the class; captioner=blip or smolvlm looks at the real training images of the mix instead, never at "
    "validation or test images. They go to <output_dir>/captions/<dataset>/<captioner>/<captioner>.jsonl, each with "
    "model, revision, seed and source image; a stopped command resumes.",
    [
        (
            "per_class=100 dataset=imagefolder \\\n      dataset.root=photos",
            "100 captions of each class, by a small language model",
        ),
        (
            "captioner=blip dataset=imagefolder \\\n      dataset.root=photos",
            "one caption of each training image",
        ),
        (
            "captioner=blip mix=real20 seed=1 \\\n      dataset=imagefolder dataset.root=photos",
            "only of the images that the arm real20 has",
        ),
    ],
    nested="captioner.temperature=0.7 or captioner.model=<hub id or folder>",
    groups=("captioner", "dataset", "prompts", "mix"),
    keys=("output_dir", "per_class", "seed", "debug"),
    end="Exit codes: 0 all captions are written; 1 writing failed; 2 the command or the\n"
    "configuration is wrong; 128+n stopped by signal n (130 Ctrl-C, 143 SIGTERM).",
)


@tolerant_output()
def main() -> None:
    """Check the configuration, then write. Exits 2 when the configuration is wrong, 1 when writing failed."""
    if not any(key_of(argument) == "captioner" for argument in sys.argv[1:]):
        sys.argv.append(f"captioner={DEFAULT_CAPTIONER}")
    run_command(write_captions, HELP, "The captions written so far stay")


def write_captions(job: Job) -> None:
    """Bring the captions of the job's dataset and captioner to `per_class` of each class."""
    from synthaug.arms import build, mixing, real_share
    from synthaug.execution.factory import make_group
    from synthaug.generation.captioning import CaptionFile, Subject, recipe_name

    settings, seed = job.settings, job.settings["seed"]
    captioner = make_group(job, "captioner")
    captioner.check()
    build.prepare(settings["dataset"], instantiate)
    divided = build.list_real(settings["dataset"], job.output_dir, job.fold)
    real = build.read_real(settings["dataset"], job.output_dir, divided, settings["debug"]).real
    images: dict[str, Samples] = {}
    if captioner.looks_at_images:
        real = real_share.redrawn(real, settings)
        samples = real_share.select(real, settings)
        real_share.require_training_images(samples, real)
        images = per_class(samples, real.classes)
    spoken = settings["prompts"]["names"]
    subjects = [
        Subject(name, spoken.get(name, name.replace("_", " ")), mixing.shuffled(images.get(name, ()), seed))
        for name in real.classes
    ]
    name = recipe_name(captioner, subjects, seed, settings["captioner"]["name"])
    file = CaptionFile(build.images_folder(settings) / CAPTIONS / job.key.dataset / name, captioner, subjects, seed)
    written = file.ensure(_per_class(settings, captioner.looks_at_images))
    log.info("%d captions written, %d existed: %s", written, len(file.rows()) - written, file.path)
    log.info("Look through them, then generate with prompts=file prompts.file=%s", file.path)


def _per_class(settings: Mapping[str, Any], looks_at_images: bool) -> int | None:
    """Return how many captions of each class are requested; None: one of each image."""
    count: int | None = settings["per_class"]
    if count is None and not looks_at_images:
        count = _DEFAULT_PER_CLASS
    return min(count or 1, 2) if settings["debug"] else count


if __name__ == "__main__":
    main()

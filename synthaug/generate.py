"""Make the synthetic images that a mix needs, without training anything.

python -m synthaug.generate mix=82
python -m synthaug.generate per_class=1000 generator=sd15 dataset=imagefolder dataset.root=photos
"""

import functools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra.utils import instantiate
from omegaconf import DictConfig

from synthaug.config.command_help import CommandHelp
from synthaug.config.job import Job
from synthaug.config.sweep import Combination
from synthaug.errors import UserError, raise_all
from synthaug.execution import single_run
from synthaug.execution.factory import make_generator
from synthaug.execution.session import Session
from synthaug.generation.shard import Shard
from synthaug.messages import bullets, plural
from synthaug.terminal import tolerant_output

if TYPE_CHECKING:  # numpy and Pillow, which a wrong key does without
    from synthaug.arms.build import RealData
    from synthaug.generation.synthetic_set import SyntheticImages

log = logging.getLogger(__name__)

_MOST_LISTED = 50  # lines on what is wrong with a set

HELP = CommandHelp(
    "generate",
    "Make the synthetic images that a mix needs, or per_class of them for every class, and train nothing. They go to "
    "<output_dir>/synthetic/<dataset>/<generator>/<class>/, where every study finds them; what is there already is "
    "kept, and a stopped command resumes. At the end set.html in that folder shows what they are like.",
    [
        ("mix=82", "what the arm 82 of the default study needs: 80 images per class"),
        ("per_class=20", "20 digits of each class, to look at"),
        (
            "per_class=500 generator=sd15 \\\n      dataset=imagefolder dataset.root=photos",
            "Stable Diffusion 1.5 for the classes of your photographs",
        ),
        ("per_class=500 shards=8 shard=3", "the fourth of eight parts, each by a process or a job of its own"),
        ("per_class=500 shards=8 cluster=slurm", "all eight of them, as jobs of Slurm"),
        ("verify=20", "makes 20 images again and compares them, and all files with the manifest"),
    ],
    nested="generator.num_inference_steps=30, generator.prompt='a wet {class_name}' or quality.backbone=resnet18",
    groups=("dataset", "generator", "prompts", "screening", "mix", "cluster"),
    keys=("output_dir", "per_class", "shards", "shard", "storage", "verify", "debug"),
    end="Exit codes: 0 all images exist, or are as they were; 1 generating failed, or an\n"
    "image is not as it was; 2 the command or the configuration is wrong;\n"
    "128+n stopped by signal n (130 Ctrl-C, 143 SIGTERM).",
)


@tolerant_output()
def main() -> None:
    """Check the configuration, then generate. Exits 2 when the configuration is wrong, 1 when generating failed."""
    sys.argv[1:] = with_every_shard(sys.argv[1:])
    single_run.run_command(generate, HELP, "The images made so far stay", check, launch)


def with_every_shard(arguments: Sequence[str]) -> list[str]:
    """Return arguments that request all shards where a cluster makes them: `shards=8 cluster=slurm` is a sweep.

    Args:
        arguments: of the command line.
    """
    typed = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    count, is_sweep = typed.get("shards", "1"), not {"-m", "--multirun"}.isdisjoint(arguments)
    if typed.get("cluster", "local") == "local" or is_sweep or not count.isdecimal():
        return list(arguments)
    shards = [] if "shard" in typed else [f"shard={','.join(map(str, range(int(count))))}"]
    every = [] if "shards" in typed else ["shards=1"]
    return ["-m", *arguments, *every, *shards]


def launch(session: Session, config: DictConfig, combinations: Sequence[Combination]) -> list[Combination]:
    """Have shards made in a cluster; return them where there is none.

    Args:
        session: of the command.
        config: of the sweep.
        combinations: overrides of the shards.
    """
    from synthaug.execution import launching

    return launching.launch_shards(session, config, combinations, "synthaug.generate:execute")


def check(session: Session, jobs: Sequence[Job]) -> None:
    """Check which shard each job makes.

    Args:
        session: of the command.
        jobs: its runs.

    Raises:
        UserError: keys that contradict each other, or leave it open.
    """
    from synthaug.execution import clusters

    raise_all("Nothing was started:", clusters.cluster_problems(jobs))
    for job in jobs:
        Shard.of(job.settings, os.environ)


def generate(job: Job) -> None:
    """Bring the synthetic set of the job's dataset and generator to what its mix, or `per_class`, requests."""
    from synthaug.analysis import set_report
    from synthaug.arms import build, real_share
    from synthaug.arms.mixing import Mix

    settings = job.settings
    build.prepare(settings["dataset"], instantiate)
    debug = settings["debug"]
    divided = build.list_real(settings["dataset"], job.output_dir, job.fold)
    data = build.read_real(settings["dataset"], job.output_dir, divided, debug)
    real = data.real
    if settings["verify"] is not None:
        verify(job, data)
        return
    per_class, mix = settings["per_class"], settings["mix"]
    if per_class is None and not Mix.of(mix).has_synthetic:
        raise UserError(f"mix={mix['name']} has no synthetic images: choose another (mix=82) or give per_class=<n>.")
    if per_class is not None:
        needed = dict.fromkeys(real.classes, min(per_class, 1) if debug else per_class)
    else:
        counts = build.mix_counts(real, mix, debug)
        needed = {name: count.synthetic for name, count in counts.items()}
    images = _images(job, data)
    shard = Shard.of(settings, os.environ)
    if not shard.is_whole and not make_shard(images, needed, shard):
        return
    synthetic = build.screened_images(images, settings, real_share.redrawn(real, settings), data.store)
    quality = settings["quality"]
    if quality is not None:
        set_report.check_backbone(quality["backbone"], quality["image_size"])
    generated = synthetic.ensure(needed)
    log.info(
        "%d images generated, %d existed: %s", generated, max(0, sum(needed.values()) - generated), synthetic.folder
    )
    if quality is not None:
        features = build.images_folder(settings) / "features"
        page = set_report.write_page(synthetic, real, features, quality["backbone"], quality["image_size"])
        log.info("see %s", page)


execute = functools.partial(single_run.execute, generate)  # of a shard where a cluster has begun it


def make_shard(images: "SyntheticImages", needed: Mapping[str, int], shard: Shard) -> bool:
    """Make a shard of a synthetic set; say what is missing of the others.

    Args:
        images: the set.
        needed: class → images of all shards.
        shard: that is made.

    Returns:
        Whether all shards are made: rejected images are replaced, and all of them screened, once they are.

    Raises:
        UserError: what `SyntheticSet.ensure` raises; a pool, of which nothing is made.
    """
    from synthaug.generation.synthetic_set import SyntheticSet

    if not isinstance(images, SyntheticSet):
        raise UserError(f"shards={shard.count}: the images of {images.root} exist already; leave it out.")
    generated = images.ensure(needed, shard)
    log.info("shard %d of %d: %d images generated: %s", shard.number, shard.count, generated, images.folder)
    lacking = images.lacking_shards(needed, shard.count)
    if lacking:
        lines = [f"shard={number}: {plural(count, 'image')}" for number, count in lacking.items()]
        log.info(
            "Other shards lack images:\n%s\nThe same command with that shard makes them, unless it is at work; "
            "without shards it makes all that is missing. Rejected images are replaced when all shards are made.",
            bullets(lines),
        )
    return not lacking


def _images(job: Job, data: "RealData") -> "SyntheticImages":
    from synthaug.arms import build, real_share

    settings, real, generator = job.settings, data.real, make_generator(job)
    sources = real_share.source_images(real_share.redrawn(real, settings), settings, generator)
    return build.synthetic_images(
        settings, job.key.dataset, job.synthetic_set, generator, sources=sources, training=real.train
    )


def verify(job: Job, data: "RealData") -> None:
    """Compare a synthetic set with its manifest, and some of its images with what its generator makes of them now.

    Args:
        job: whose set it is.
        data: its dataset.

    Raises:
        UserError: the images are not those of the manifest; there are none; a pool, which no generator made.
    """
    from synthaug.generation import verification
    from synthaug.generation.synthetic_set import SyntheticSet

    images, classes, count = _images(job, data), data.real.classes, job.settings["verify"]
    if not isinstance(images, SyntheticSet):
        raise UserError(
            f"verify={count}: the images of {images.root} exist already, and no generator can make them again. "
            f"`python -m synthaug.check {images.root}` checks its files."
        )
    if not images.samples(classes):
        raise UserError(f"verify={count}: {images.folder} has no images yet; generate some without verify.")
    problems = verification.file_problems(images, classes)
    repetitions, changes = verification.repeat(images, classes, count, job.settings["seed"])
    if changes:
        log.warning("%s: made with other versions than there are now:\n%s", images.folder, bullets(changes))
    differing = [str(repetition) for repetition in repetitions if not repetition.is_same]
    same = [repetition for repetition in repetitions if repetition.is_same]
    log.info(
        "%s: %d of %s made again are the same, to %.2f levels on average and %.0f at most",
        images.folder,
        len(same),
        plural(len(repetitions), "image"),
        max((repetition.mean for repetition in same), default=0),
        max((repetition.largest for repetition in same), default=0),
    )
    tolerance = f"{verification.MOST_MEAN:g} level on average or {verification.MOST_LEVELS:g} anywhere"
    if problems or differing:
        lines = [*problems, *(f"{line}: more than {tolerance}" if "levels" in line else line for line in differing)]
        raise UserError(
            f"The synthetic set {images.folder} is not what its manifest says:\n{bullets(lines, limit=_MOST_LISTED)}\n"
            "Delete what is wrong, and the same command without verify makes it again."
        )


if __name__ == "__main__":
    main()

"""Adapt a generator to a few real images of an arm: train a LoRA or words, and write a generator that uses them.

python -m synthaug.adapt generator=sd15 dataset=imagefolder dataset.root=photos adapt.images_per_class=20
"""

import logging
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from synthaug import locks
from synthaug.config.command_help import CommandHelp
from synthaug.config.command_line import key_of, normalize_argv
from synthaug.config.job import Job
from synthaug.errors import UserError
from synthaug.execution.factory import make_group
from synthaug.execution.single_run import run_command
from synthaug.files import write_text
from synthaug.terminal import tolerant_output

log = logging.getLogger(__name__)

HELP = CommandHelp(
    "adapt",
    "Train a LoRA for the generator, or a word for each class, on real images of the arm, and write a generator that "
    "uses it. The images are "
    "those that the arm trains on itself (mix, seed), so that the comparison stays fair; validation and test images "
    "are refused. A stopped command resumes.",
    [
        ("mix=64 adapt.images_per_class=20", "on 20 digits of each class of the arm 64"),
        (
            "mix=real generator=sd15 \\\n      dataset=imagefolder dataset.root=photos",
            "Stable Diffusion 1.5, on all training images of your photographs",
        ),
    ],
    nested="adapt.steps=1000, adapt.per_class=true (a LoRA for each class) or adapt.method=textual_inversion",
    groups=("dataset", "generator", "prompts", "mix"),
    keys=("seed", "output_dir"),
    end="Exit codes: 0 the adapter exists; 1 training failed; 2 the command or the\n"
    "configuration is wrong; 128+n stopped by signal n (130 Ctrl-C, 143 SIGTERM).",
)
# Settings of the generator that its training does without: they save memory in sampling, or need a real image.
_WITHOUT = {
    **dict.fromkeys(("offload", "quantization", "strength", "mask", "ip_adapter", "controlnet")),
    **dict.fromkeys(("compile", "slicing", "tiling"), False),
}


@tolerant_output()
def main() -> None:
    """Check the configuration, then train. Exits 2 when the configuration is wrong, 1 when training failed."""
    run_command(_adapt, HELP, "What was trained so far stays")


def _adapt(job: Job) -> None:
    adapt(job, normalize_argv(sys.argv[1:]).config_dir)


def adapt(job: Job, config_dir: str | None = None) -> Path:
    """Train the adapter of a run, unless it exists, and return the file of the generator that uses it.

    Args:
        job: the run.
        config_dir: the user's own configuration folder, which gets that file; None: `<output_dir>/conf`.

    Raises:
        UserError: settings, images or a model with which none can be trained; another adapter of the same name.
    """
    from synthaug.arms import adapting
    from synthaug.generation.diffusion import DiffusionGenerator

    settings = job.settings
    generator = make_group(_plain(job), "generator")
    if not isinstance(generator, DiffusionGenerator):
        raise UserError(f"generator={settings['generator']['name']}: cannot be adapted: choose another.")
    plan = adapting.plan(settings, generator, lambda: instantiate_dataset(settings))
    plan.folder.parent.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(plan.folder.parent / f".{plan.folder.name}.lock", f"trains {plan.folder}"):
        adapting.train(plan, generator)
    conf = Path(config_dir) if config_dir is not None else job.output_dir / "conf"
    path = conf / "generator" / f"{plan.folder.name}.yaml"
    node = {key: value for key, value in job.recorded["generator"].items() if key not in ("name", "draw")}
    node |= plan.generator_keys
    if "vae" in plan.generator_keys and node.get("components"):
        node["components"] = {name: value for name, value in node["components"].items() if name != "vae"}
    write_text(path, f"# {plan.description}\n{OmegaConf.to_yaml(OmegaConf.create(node))}")
    log.info(
        "%s\nIts generator is %s. The same arm with it:\n\n  %s\n", plan.folder, path, _next_command(conf, path.stem)
    )
    return path


def instantiate_dataset(settings: dict[str, Any]) -> None:
    """Have the dataset written, where a function does that."""
    from synthaug.arms import build

    build.prepare(settings["dataset"], instantiate)


def _plain(job: Job) -> Job:
    """Return the run with a generator that can be trained."""
    node = job.settings["generator"]
    changed = {**node, **{key: value for key, value in _WITHOUT.items() if key in node}}
    return Job({**job.settings, "generator": changed}, job.recorded, job.key, job.study, job.arm)


def _next_command(conf: Path, name: str) -> str:
    """Return the command that trains the arms of the same dataset with the adapted generator."""
    typed = [
        override
        for override in normalize_argv(sys.argv[1:]).overrides
        if key_of(override).partition(".")[0] not in ("adapt", "generator", "experiment")
    ]
    plain = [re.sub(r"=('?)([\w.,-]+)\1$", r"=\2", override) for override in typed]  # quoted for Hydra's grammar
    return shlex.join(["python", "-m", "synthaug.train", "--config-dir", str(conf), f"generator={name}", *plain])


if __name__ == "__main__":
    main()

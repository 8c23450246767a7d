"""Small real runs: a generator that paints, an arm of few images, a network that trains in a second."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from synthaug.config import schema, sweep
from synthaug.config.command_line import normalize_argv
from synthaug.config.job import Job
from synthaug.runs.identity import synthetic_set_name
from synthaug.runs.layout import RunKey
from tests.factories.images import write_dataset
from tests.factories.processes import Process, start_process

if TYPE_CHECKING:  # the commands' tests and the generator below do without torch
    from pytorch_lightning.loggers import Logger

    from synthaug.arms.build import Arm
    from synthaug.models.classifier import Classifier
    from synthaug.training.progress import SweepPlace

ROOT = Path(__file__).parents[2]
NETWORK = "timm/test_efficientnet"  # 100,000 parameters, with batch normalisation
KEY = RunKey("photos", "55", 0)
MAKERS = {  # of synthetic images
    "generator": {"name": "painter"},
    "prompts": {"name": "default", "templates": [], "settings": {}, "names": {}, "lists": {}, "file": None},
}
SET = synthetic_set_name(MAKERS)


class Painter:
    """A generator in the interface of `DiffusionGenerator`: noise in a colour that depends on the prompt."""

    is_guided = False

    def __init__(self, prompt: str = "a {class_name}", batch_size: int = 8, fails: bool = False) -> None:
        self.prompt = prompt
        self.negative_prompt = ""
        self.batch_size = batch_size
        self.fails = fails

    @property
    def settings(self) -> dict[str, Any]:
        return {"colours": 2}

    def check(self, classes: Sequence[str]) -> None:
        pass

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        if self.fails:
            raise RuntimeError("the painter has run out of paint")
        return [paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def provenance(self) -> dict[str, str]:
        names = "model revision weights dtype scheduler steps guidance diffusers transformers torch python"
        return dict.fromkeys(names.split(), "made up")

    def seed_provenance(self, seed: int) -> dict[str, str]:
        return {}

    def check_prompts(self, prompts: Sequence[str]) -> None:
        pass

    def unload(self) -> None:
        pass


class Retoucher(Painter):
    """A painter that starts from real images: it shows them with noise of a strength."""

    is_guided = True

    def __init__(self, prompt: str = "a {class_name}", strength: float = 0.5, batch_size: int = 8) -> None:
        super().__init__(prompt, batch_size)
        self.strength = strength

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        assert sources is not None
        noise = [paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return [
            Image.blend(source.resize(image.size), image, self.strength)
            for source, image in zip(sources, noise, strict=True)
        ]


def paint(prompt: str, seed: int, side: int = 16) -> Image.Image:
    """Noise around one of two colours for each prompt."""
    red = 40 + 160 * (sum(map(ord, prompt)) % 2)
    noise = random.Random(seed)
    image = Image.new("RGB", (side, side))
    image.putdata([(red + noise.randrange(50), noise.randrange(256), noise.randrange(256)) for _ in range(side**2)])
    return image


def settings(root: Path, output_dir: Path, real: float = 0.5, synthetic: float = 0.5, seed: int = 0) -> dict[str, Any]:
    """The configuration of a run as the commands hand it down."""
    return {
        "experiment": "made_up",
        "seed": seed,
        "batch_size": 4,
        "budget": "epochs",
        "selection": "best",
        "num_workers": 0,
        "compile": False,
        "output_dir": str(output_dir),
        "dataset": {
            "name": KEY.dataset,
            "root": str(root),
            "train": "train",
            "val": "val",
            "test": "test",
            "prepare": None,
            "image_size": 32,
            "crop_pct": 0.875,
            "on_bad_image": "stop",
            "augment": {"scale": [0.5, 1.0], "ratio": [0.8, 1.25], "horizontal_flip": 0.5, "rotation": 10.0},
        },
        "mix": {"name": KEY.arm, "real": real, "synthetic": synthetic},
        **MAKERS,
        "model": {"backbone": NETWORK, "lr": 0.01, "schedule": "one_cycle"},
        "trainer": {"max_epochs": 4},
    }


def jobs_of(*arguments: str) -> list[Job]:
    """The runs that a command line requests, as the commands read it."""
    schema.register()
    return sweep.requested_jobs(normalize_argv(arguments))


def build_arm(settings_of_run: dict[str, Any]) -> "Arm":
    """The images of a run, synthetic ones painted on the way."""
    from synthaug.arms import build

    output_dir = Path(settings_of_run["output_dir"])
    data = build.read_real(settings_of_run["dataset"], output_dir)
    synthetic = build.synthetic_images(settings_of_run, KEY.dataset, SET, Painter())
    return build.build(data, settings_of_run["mix"], settings_of_run["seed"], synthetic)


def train(
    folder: Path,
    settings_of_run: dict[str, Any],
    loggers: "Sequence[Logger]" = (),
    callbacks: Sequence[Any] = (),
    kind: "Callable[..., Classifier] | None" = None,
    place: "SweepPlace | None" = None,
    **trainer: Any,
) -> str:
    """One run through `fit_and_test`.

    `callbacks` join those of the program, `trainer` overrides Lightning's, `kind` builds another model than ours,
    `place` is that of the run in its sweep.
    """
    import pytorch_lightning as lightning

    from synthaug.models.classifier import Classifier
    from synthaug.training import fit, lightning_rules

    lightning_rules.quiet_libraries()
    folder.mkdir(parents=True, exist_ok=True)

    def make_trainer(**arguments: Any) -> lightning.Trainer:
        arguments["callbacks"] = [*arguments["callbacks"], *callbacks]
        plain = {"accelerator": "cpu", "devices": 1, "deterministic": "warn"}
        return lightning.Trainer(**{**plain, **settings_of_run["trainer"], **arguments, **trainer})

    return fit.fit_and_test(
        folder,
        KEY,
        settings_of_run["mix"]["name"],
        settings_of_run,
        build_arm(settings_of_run),
        loggers,
        make_model=lambda **arguments: (kind or Classifier)(**settings_of_run["model"], **arguments),
        make_trainer=make_trainer,
        place=place,
    )


@dataclass
class Commands:
    """The program's commands, each in a process of its own, on made-up photographs below `folder`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        write_dataset(self.photos, train=10, val=4, test=6)
        for path, text in {
            "generator/painter.yaml": "_target_: tests.factories.commands.Painter\n"
            "prompt: a {class_name}\nfails: false\n",
            "generator/retoucher.yaml": "_target_: tests.factories.commands.Retoucher\n"
            "prompt: a {class_name}\nstrength: 0.5\n",
            "model/tiny.yaml": f"_target_: synthaug.models.classifier.Classifier\nbackbone: {NETWORK}\nlr: 1e-2\n",
        }.items():
            file = self.folder / "conf" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (self.folder / "home").mkdir()

    @classmethod
    def attach(cls, commands: "Commands", environment: dict[str, str]) -> "Commands":
        """The same folder under other environment variables."""
        attached = cls.__new__(cls)
        attached.folder, attached.environment = commands.folder, environment
        return attached

    def copy_to(self, folder: Path) -> "Commands":
        """A copy of all files in a folder, which is begun afresh, without variables of the environment."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        copied = Commands.__new__(Commands)
        copied.folder, copied.environment = folder, {"SYNTHAUG_TARGETS": "tests"}
        return copied

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    def study(self, experiment: str = "default") -> Path:
        return self.folder / "outputs" / experiment

    def run_folder(self, arm: str, experiment: str = "default", seed: int = 0) -> Path:
        """Folder of a run of the mix `arm`; one that does not exist where there is none."""
        dataset = self.study(experiment) / self.photos.name
        folders = [path for name in ("painter-tiny", "tiny") for path in dataset.glob(f"{arm}-{name}-??????")]
        return (folders or [dataset / arm])[0] / f"seed{seed}"

    def start(self, *arguments: str, command: str = "train", before: Callable[[], object] | None = None) -> Process:
        """Start a command; what it prints goes to `log` in `folder`."""
        settings_of_run = {
            "dataset": "imagefolder",
            "dataset.root": "photos",
            "dataset.image_size": "32",
            "generator": "painter",
            "model": "tiny",
            "trainer.max_epochs": "2",
            "trainer.accelerator": "cpu",
            "batch_size": "4",
            "logger": "none",
            "parallel": "1",
        }
        settings_of_run |= dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        if settings_of_run["dataset"] != "imagefolder" and "dataset.root=photos" not in arguments:
            del settings_of_run["dataset.root"]  # of the others, which write their own
        flags = [argument for argument in arguments if "=" not in argument]
        words = ["--config-dir", "conf", *flags, *(f"{key}={value}" for key, value in settings_of_run.items())]
        return self.start_plain(command, words, before)

    def start_plain(self, command: str, words: Sequence[str], before: Callable[[], object] | None = None) -> Process:
        """Start a command with these words and no others."""
        home = str(self.folder / "home")
        return start_process(
            f"synthaug.{command}",
            words,
            self.folder,
            {
                **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "HOME": home,
                "XDG_CACHE_HOME": f"{home}/.cache",
                **self.environment,
            },
            # The hub's libraries read their variables when they are imported.
            fresh=any(name.startswith(("PYTHONPATH", "HF_")) for name in self.environment),
            before=before,
        )

    def run(
        self, *arguments: str, command: str = "train", before: Callable[[], object] | None = None
    ) -> tuple[int, str]:
        """Run a command to its end: exit code, and what it printed."""
        code = self.start(*arguments, command=command, before=before).wait(timeout=300)
        return code, self.printed

    @property
    def printed(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def stop_when(self, reached: Callable[[], bool], how: signal.Signals, *arguments: str) -> tuple[int, str]:
        """Start a command and send it a signal as soon as `reached` holds: exit code, and what it printed."""
        process = self.start(*arguments)
        try:
            deadline = time.monotonic() + 120
            while not reached():
                assert process.poll() is None, self.printed
                assert time.monotonic() < deadline, self.printed
                time.sleep(0.02)
            process.send_signal(how)
            return process.wait(timeout=60), self.printed
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

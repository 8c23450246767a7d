"""The typed schema of the configuration, and the files that it is read from.

Nothing here imports torch: a typo is answered in a second. A node is either data, with a dataclass below as its
type, or names a `_target_` whose signature is read from its source (`signatures`).
"""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.resolvers import oc

from synthaug import environment
from synthaug.errors import UserError
from synthaug.files import resolved
from synthaug.runs import layout
from synthaug.screening.settings import ScreeningSettings

VERSION_BASE = "1.3"
GROUPS = (
    *("dataset", "generator", "prompts", "screening", "mix", "model", "trainer", "logger", "shift"),
    *("cluster", "captioner", "experiments"),
)
SEVERAL = ("logger", "shift", "experiments")  # groups of which more than one choice can be in force
DEFAULT_CAPTIONER = "instruct"  # of the command that writes captions; other commands have none
CAPTIONS = "captions"  # their folder in output_dir
_PACKAGE = Path(__file__).resolve().parents[1]


def _beside_or_inside(name: str) -> Path:
    """Return a folder of the checkout, or its copy in an installed package."""
    beside = _PACKAGE.parent / name
    return beside if beside.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / name


CONF = _beside_or_inside("conf")
EXPERIMENTS = _beside_or_inside("experiments")


# --- the schema ------------------------------------------------------------------------------------


class OnBadImage(Enum):
    """What happens to files that are not whole images."""

    stop = "stop"
    skip = "skip"


class OnLabelConflict(Enum):
    """What happens to images of the same pixels in more than one class."""

    stop = "stop"
    drop = "drop"


class Replicate(Enum):
    """What a seed draws anew: each of these what the one before does, and more."""

    weights = "weights"  # initial weights, order and augmentation
    images = "images"  # the choice of real images
    draw = "draw"  # the noise of the synthetic images
    full = "full"  # which images are for training and which for validation


class Budget(Enum):
    """What all arms have equally much of: epochs, optimizer steps, or what training and generation cost together."""

    epochs = "epochs"
    steps = "steps"
    cost = "cost"


class Sampling(Enum):
    """How classes are resampled: each as often as the largest, or a class drawn for each place of a batch."""

    oversample = "oversample"
    balanced = "balanced"


class Selection(Enum):
    """Which epoch is tested; see `arms.epoch_images`."""

    best = "best"
    last = "last"
    own_share = "own_share"


class Feedback(Enum):
    """Of which classes the next synthetic images of an arm are; see `arms.feedback`."""

    error = "error"
    entropy = "entropy"


@dataclass
class AugmentConfig:
    """Mirrors `data.augment.Augmentation`, which may not be imported here because it needs torch."""

    scale: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    whole: bool = False
    vertical_flip: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    policy: str | None = None
    erasing: float = 0.0


@dataclass
class SplitConfig:
    """Mirrors `data.split_rule.Rule`; `checks` sees to it that `val` and `test` are numbers.

    Declared as `int | float`, OmegaConf fails to merge a file into this optional node.
    """

    val: Any = 0.15
    test: Any = 0.15
    seed: int = 0
    near_duplicates: bool = True


@dataclass
class DatasetConfig:
    """A folder `<root>/<split>/<class>/<image>`, or a `_target_` that writes one there.

    With `split`, validation and test images that have no folder are drawn from the others. `more` is a folder of
    further real images below `root`, which only arms with `mix.real` above 1 have. `imbalance` leaves a long tail of
    the training images, `class_counts` (class → number) so many of single classes; see `data.long_tail`.
    `groups` is a CSV file of the test images' groups (columns path and group). Of decoded pixels, `most_stored_gb` are
    kept on the disk, null: as many as it has room for; where they take more, images are decoded when they are read.
    """

    name: str | None = None
    root: str = MISSING
    train: str = "train"
    val: str = "val"
    test: str = "test"
    split: SplitConfig | None = None
    more: str | None = None
    imbalance: float | None = None
    imbalance_seed: int | None = None
    class_counts: Any = None
    groups: str | None = None
    most_stored_gb: float | None = None
    prepare: dict[str, Any] | None = None
    image_size: int = 224
    crop_pct: float = 0.875
    on_bad_image: OnBadImage = OnBadImage.stop
    on_label_conflict: OnLabelConflict = OnLabelConflict.stop
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass
class MixConfig:
    """Both numbers are multiples of the number of real training images, in every class.

    In their place there may be a number of real images of each class (`real_per_class`), with 1 as `real`, and a size
    to which synthetic images fill each class (`fill`: "largest", a number, or class → number), and 0 as `synthetic`.

    `augment` makes strong classic augmentation an arm beside the others: its keys are those of `AugmentConfig`, and
    those that are given stand in the place of the dataset's, for this arm alone.
    """

    real: float = MISSING
    synthetic: float = MISSING
    real_per_class: int | None = None
    fill: Any = None
    augment: dict[str, Any] | None = field(default_factory=dict)  # null is fine, but no key can be set in it


@dataclass
class PromptsConfig:
    """Templates, or a file with the prompts of each class; without either, the generator's own template.

    `lists` (placeholder → values) are combined in the templates: an image has one value of each.
    """

    name: str | None = None
    templates: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str] | None] = field(default_factory=dict)
    file: str | None = None


@dataclass
class AdaptConfig:
    """What `synthaug.adapt` trains: mirrors `generation.adaptation.Recipe`, which may not be imported here.

    `images_per_class` null takes all real images of the arm; with `per_class`, each class has a LoRA of its own. A
    word learned by textual inversion always is of one class.
    """

    name: str | None = None
    images_per_class: int | None = None
    per_class: bool = False
    method: str = "lora"
    steps: int = 500
    rank: int = 8
    vectors: int = 1
    initializer: str | None = None
    lr: float | None = None
    batch_size: int = 4
    layers: str = "attention"
    resolution: int | None = None
    autoencoder: bool = False
    autoencoder_steps: int = 500
    autoencoder_lr: float = 1e-4
    prompt_dropout: float = 0.1
    snr_gamma: float | None = None


@dataclass
class QualityConfig:
    """How a synthetic set is measured when it was generated; see `analysis.synthetic.set_measurement`."""

    backbone: str = "auto"
    image_size: int | None = None


@dataclass
class Config:
    """The whole configuration. generator, model, trainer, loggers and shifts are checked against what they call."""

    experiment: str = "default"
    seed: int = 0
    folds: int | None = None
    fold: int | None = None
    batch_size: int = 32
    replicate: Replicate = Replicate.images
    budget: Budget = Budget.steps
    image_price: float | None = None
    sampling: Sampling | None = None
    selection: Selection = Selection.best
    feedback: Feedback | None = None
    feedback_rounds: int = 3
    feedback_epochs: int | None = None
    parallel: Any = "auto"
    threads: int = 1
    num_workers: int = 0
    compile: bool = False
    output_dir: str = "outputs"
    overwrite: bool = False
    per_class: int | None = None
    shards: int | None = None
    shard: int | None = None
    storage: str = "auto"
    verify: int | None = None
    controls: bool = False
    compare: Any = None
    debug: bool = False
    margin: float = 1.0
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    screening: ScreeningSettings = field(default_factory=ScreeningSettings)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    quality: QualityConfig | None = field(default_factory=QualityConfig)
    generator: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] | None = None
    shift: dict[str, Any] | None = None
    captioner: dict[str, Any] | None = None
    cluster: dict[str, Any] | None = None


# Arguments that the program itself passes to what a node names, and that a configuration may therefore not set.
PROGRAM_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "dataset.prepare": ("root",),
    "generator": (),
    "model": ("classes", "seed", "fetch_weights"),
    "trainer": (
        "logger",
        "callbacks",
        "default_root_dir",
        "enable_progress_bar",
        "enable_model_summary",
        "use_distributed_sampler",
    ),
    "logger": ("name", "group", "id", "save_dir", "version", "mode", "offline", "resume"),
    "shift": (),
    "captioner": (),
    "cluster": (),
}
# Keys of a node that are the program's and not its target's.
PROGRAM_KEYS = ("name", "draw", "image_format")


# At import: processes that a launcher starts resolve the names of folders before anything of ours is called.
OmegaConf.register_new_resolver("study_name", layout.study_name, replace=True)
# Not by `oc.env`, whose texts are hidden: the name of a project is not a secret.
OmegaConf.register_new_resolver(
    "wandb_project", lambda default: os.environ.get("WANDB_PROJECT") or default, replace=True
)


def _read_variable(name: str, *default: Any) -> Any:
    """Resolve `${oc.env:name}`, and remember its text."""
    value = oc.env(name, *default)
    if isinstance(value, str) and name in os.environ:
        environment.remember(name, value)
    return value


OmegaConf.register_new_resolver("oc.env", _read_variable, replace=True)


def target_kwargs(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node without the program's own keys: what its target is called with."""
    return {key: value for key, value in node.items() if key not in PROGRAM_KEYS}


def register() -> None:
    """Make the schema and the study configs of `experiments/` known to Hydra.

    Raises:
        UserError: a study config cannot be read.
    """
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        node = _study_config(path, path.stat().st_mtime_ns)
        store.store(group="experiments", name=path.stem, node=node, package="_global_")


@functools.cache
def _study_config(path: Path, mtime_ns: int) -> Any:
    try:
        node = OmegaConf.load(path)
        params = OmegaConf.select(node, "hydra.sweeper.params") or {}
    except Exception as error:  # of the YAML reader or of OmegaConf
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    for key in params:
        params[key] = quote_choices(f"{key}={params[key]}").partition("=")[2]
    return node


def folder_name(path: str) -> str:
    """Return the name of a folder as the name of a dataset: `${folder_name:${dataset.root}}`.

    Letters of any script stay; what a name may not have in it (see `checks`), or no file system takes, becomes a "-".
    """
    name = resolved(Path(path).expanduser()).name
    return re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "-", name).lstrip(". ")[:100].strip() or "imagefolder"


def quote_choices(override: str) -> str:
    """Quote the choices of a group that begin with a digit: `mix=real,55` becomes `mix=real,'55'`.

    Hydra reads a bare 55 as an integer and refuses it as a choice.
    """
    group, equals, choices = override.partition("=")
    if not equals or group.lstrip("+") not in GROUPS:
        return override
    quoted = re.sub(r"(?<=[,[(])\s*(\d[\w.+-]*)\s*(?=[,\])])", r"'\1'", f"({choices})")
    return f"{group}={quoted[1:-1]}"

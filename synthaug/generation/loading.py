"""From a model's name to a pipeline in memory, or to an error that says what is wrong and what to do."""

import importlib.util
import inspect
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError
from synthaug.generation import weights
from synthaug.generation.hub import CONVERT, INDEX, PICKLED, fetch_model, half_downloaded, locate, sentence, unusable
from synthaug.generation.options import taken_by
from synthaug.generation.quiet import quiet


@dataclass(frozen=True)
class Loaded:
    """A pipeline on the CPU, and where it is from.

    `revision` is its commit, "" for a folder that is not in the hub's cache; `device` and `dtype` are those to use;
    `files` are the weights by their names below the folder.
    """

    pipeline: Any
    revision: str
    device: str
    dtype: str
    files: dict[str, Path]


def load_pipeline(
    model: str,
    revision: str | None,
    variant: str | None,
    scheduler: str | None,
    dtype: str | None,
    device: str | None,
    allow_pickle: bool = False,
) -> Loaded:
    """Load a text-to-image pipeline without a word on the screen; the arguments are `DiffusionGenerator`'s.

    Raises:
        UserError: a model that is out of reach, broken or not what it should be; a scheduler or device that is not.
    """
    # Prompts are few, and threads of the tokenizer make it warn when a data loader forks later.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with quiet():
        import diffusers
        import torch

    if scheduler is not None and not _is_scheduler(getattr(diffusers, scheduler, None)):
        raise UserError(
            f"generator.scheduler={scheduler}: diffusers {diffusers.__version__} has no such scheduler; "
            "use a class name such as DPMSolverMultistepScheduler, DDIMScheduler or EulerDiscreteScheduler."
        )
    device = device or _best_device()
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"generator.device={device} cannot be used here ({sentence(error)}): take another, such as "
            "generator.device=cpu, or null for the best there is."
        ) from error
    dtype = dtype or ("float32" if device == "cpu" else "float16")
    folder = locate(model) or fetch_model(model, revision, variant, allow_pickle)
    parts = _require_pipeline(model, folder, variant, allow_pickle)
    mend = (
        f"look into {folder}: a file is missing, cut short or not a text-to-image model's; fetch it again"
        f"{half_downloaded(_downloads(folder))}."
    )
    if variant:
        mend = f"if it has no files of the variant {variant}, set generator.variant=null; otherwise {mend}"
    with quiet() as said:
        try:
            pipeline = _class(model, folder).from_pretrained(
                str(folder),
                variant=variant,
                dtype=getattr(torch, dtype),
                use_safetensors=None if allow_pickle else True,
            )
        except UserError:
            raise
        except ImportError as error:
            raise unusable(model, sentence(error), "install the package that is named there with pip.") from error
        except Exception as error:  # file system, configuration, weights: every library raises its own
            raise unusable(model, sentence(error), mend) from error
        _require_complete(model, pipeline, said, mend)
        if scheduler is not None:
            pipeline.scheduler = _other_scheduler(model, pipeline.scheduler, scheduler)
        pipeline.set_progress_bar_config(disable=True)
        if getattr(pipeline, "watermark", None) is not None:
            pipeline.watermark = None  # drawn only where a package for it is installed: images would differ
    loaded = [name for name in parts if pipeline.components.get(name) is not None]
    return Loaded(
        pipeline,
        folder.name if folder.parent.name == "snapshots" else "",
        device,
        dtype,
        weights.weight_files(folder, loaded, variant, allow_pickle),
    )


def _require_pipeline(model: str, folder: Path, variant: str | None, allow_pickle: bool) -> list[str]:
    """The parts of a pipeline's folder; refuse one that is none, is damaged, or could run code when it is read."""
    path = folder / INDEX
    if not path.is_file():
        below = sorted(found.parent for found in folder.glob(f"*/{INDEX}"))
        hint = f"perhaps {below[0]} was meant; otherwise " if below else ""
        cause = f"{folder.absolute()} has no {INDEX}, so it is no model in diffusers' format"
        raise unusable(model, cause + _other_format(folder), hint + CONVERT)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        parts = [name for name, value in index.items() if isinstance(value, list) and value[0] is not None]
        kind = index["_class_name"]
    except (ValueError, AttributeError, LookupError) as error:
        raise unusable(model, f"{path} is damaged ({sentence(error)})", "fetch it again.") from None
    if not isinstance(kind, str):
        way_out = "take a model whose pipeline is a class of diffusers."
        raise unusable(model, f"its pipeline {kind} is code of its own, which is not run", way_out)
    for name in parts:
        files = sorted(found for found in (folder / name).glob("*") if found.is_file())
        pickled = [found.name for found in files if found.suffix in PICKLED]
        if pickled and not allow_pickle and not any(found.suffix == ".safetensors" for found in files):
            raise unusable(
                model,
                f"its {name} comes as {pickled[0]} only, a pickle, which can run any code when it is read",
                "take a copy that has safetensors; or, if you trust it, set generator.allow_pickle=true.",
            )
    if lacks := list(weights.damage(folder, parts, variant, allow_pickle)):
        more = f" and {len(lacks) - 5} more" if len(lacks) > 5 else ""
        cause = "; ".join(lacks[:5]) + more + half_downloaded(_downloads(folder))
        raise unusable(model, cause, f"fetch it again (it lies in {folder}).")
    if lacks := list(_lacking_packages(folder, parts)):
        raise unusable(model, "; ".join(lacks), "pip install 'synthaug[t5]'.")
    return parts


def _downloads(folder: Path) -> Path:
    """Where what is fetched into a folder lies until it is whole."""
    return folder.parents[1] if folder.parent.name == "snapshots" else folder / ".cache"


def _other_format(folder: Path) -> str:
    """What else a folder is, where that can be seen."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return ""
    return f" (but a {kind} model of transformers)" if kind else ""


def _lacking_packages(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    """Without these packages, transformers would take a file of SentencePiece for one of another kind."""
    for name in parts:
        kept = list((folder / name).glob("*.model")) if name.startswith("tokenizer") else []
        needed = (
            ["sentencepiece", "google.protobuf"] if kept and not (folder / name / "tokenizer.json").is_file() else []
        )
        missing = [package for package in needed if not _is_installed(package)]
        if missing:
            yield f"its {name} needs packages that are not installed ({', '.join(missing)})"


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


def _class(model: str, folder: Path) -> Any:
    """The class that loads a text-to-image pipeline from a folder, or the refusal of another kind."""
    import diffusers

    kind = json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"]
    own = getattr(diffusers, kind, None)
    way_out = "take a text-to-image model, such as that of generator=sd15."
    if not (inspect.isclass(own) and issubclass(own, diffusers.DiffusionPipeline)):
        cause = f"diffusers {diffusers.__version__} has no pipeline {kind}, which it was made for"
        raise unusable(model, cause, "pip install -U diffusers; or " + way_out)
    sizes = {name: _config_of(folder / name) for name in ("unet", "vae")}
    channels, latent = sizes["unet"].get("in_channels"), sizes["vae"].get("latent_channels")
    if channels and latent and channels != latent:
        cause = f"its unet takes {channels} channels and not {latent}: it was made to change a picture ({kind})"
        raise unusable(model, cause, way_out)
    if "Control" in kind:  # listed as text-to-image, but each image follows a picture that nobody has
        raise unusable(model, f"a {kind} is not a text-to-image model: it asks for control_image", way_out)
    linked = diffusers.pipelines.auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()
    if own in linked or "Img2Img" in kind or "Inpaint" in kind:  # of the latter two, the weights serve all three
        return diffusers.AutoPipelineForText2Image
    takes = taken_by(own)
    foreign = [name for name in takes if name in _FOREIGN or name.startswith(("audio", "video", "image"))]
    needed = [name for name, one in takes.items() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    foreign += [name for name in needed if name not in ("self", "prompt")]
    if "prompt" not in takes or foreign:
        asks = f"it asks for {foreign[0]}" if foreign else "it takes no prompt"
        raise unusable(model, f"a {kind} is not a text-to-image model: {asks}", f"fetch it again, or {way_out}")
    return diffusers.DiffusionPipeline


_FOREIGN = ("num_frames", "frames", "mask_image", "input_images", "mesh")


def _config_of(part: Path) -> dict[str, Any]:
    try:
        found = json.loads((part / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # what that means is said when the part is loaded
        return {}
    return found if isinstance(found, dict) else {}


def _require_complete(model: str, pipeline: Any, said: Sequence[str], mend: str) -> None:
    """Refuse what the libraries put up with: a tokenizer that knows no word, weights left at random."""
    for name, part in pipeline.components.items():
        marks = getattr(part, "all_special_tokens", None)
        if marks is not None and len(part) <= len(marks):
            raise unusable(model, f"its {name} knows no words, so all prompts are one to it", mend)
    for message in said:
        if "newly initialized" in message:
            raise unusable(model, f"weights are missing, and would be random numbers: {message[:300]}", mend)


def _other_scheduler(model: str, own: Any, wanted: str) -> Any:
    """The scheduler asked for, with the noise schedule that the model was trained on."""
    fitting = {other.__name__: other for other in own.compatibles if _is_scheduler(other)}
    if wanted not in fitting:
        raise UserError(
            f"generator.scheduler={wanted} does not fit {model}, which was made for {type(own).__name__}; "
            f"those that fit: {', '.join(sorted(fitting)) or 'none'}."
        )
    # Where a configuration leaves it out, some schedulers take clip_sample as true, which cuts latents off at 1.
    unclipped = {} if "clip_sample" in own.config else {"clip_sample": False}
    return fitting[wanted].from_config(own.config, **unclipped)


def _is_scheduler(found: object) -> bool:
    import diffusers

    return isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

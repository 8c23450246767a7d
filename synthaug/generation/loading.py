"""From a model's name to a pipeline in memory, or to an error with its cause and remedy."""

import importlib.util
import inspect
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthaug.errors import UserError, raise_all
from synthaug.generation import single_file, weights
from synthaug.generation.components import AUTOENCODER, Component, load_components, require_fitting_autoencoder
from synthaug.generation.hub import (
    MODEL_INDEX,
    ONE_FILE,
    PICKLE_SUFFIXES,
    fetch_model,
    incomplete_downloads,
    locate,
    model_error,
    one_line,
)
from synthaug.generation.options import call_parameters, read_component
from synthaug.generation.pipeline_guidance import ReadConfig
from synthaug.generation.quantization import quantization_config, quantization_problems
from synthaug.generation.quiet import quiet

# Arguments of pipelines that generate something else than an image from a prompt.
_OTHER_INPUTS = ("num_frames", "frames", "mask_image", "input_images", "mesh")
_OTHER_MODEL = "choose a text-to-image model, such as that of generator=sd15."


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline on the CPU, and its origin.

    Attributes:
        pipeline: of diffusers.
        revision: its commit, "" for a folder outside of the hub's cache.
        device, dtype: those to use.
        files: name below the folder → path of each weight file.
        schedule: configuration of the scheduler that the weights came with, whatever it was replaced by.
    """

    pipeline: Any
    revision: str
    device: str
    dtype: str
    files: dict[str, Path]
    schedule: dict[str, Any]

    def read(self, component: str, key: str) -> Any:
        """Return a value of the configurations that the weights came with; None where there is none.

        Args:
            component: name of a part of the pipeline; "" is the pipeline itself.
            key: of its configuration.
        """
        return self.schedule.get(key) if component == "scheduler" else read_component(self.pipeline, component, key)


def load_pipeline(
    model: str,
    revision: str | None,
    variant: str | None,
    scheduler: str | None,
    dtype: str | None,
    device: str | None,
    allow_pickle: bool = False,
    scheduler_options: Mapping[str, Any] | None = None,
    file: str | None = None,
    base: str | None = None,
    quantization: str | None = None,
    components: Mapping[str, Component] | None = None,
) -> LoadedPipeline:
    """Load a text-to-image pipeline without any output on the screen.

    Args:
        model, revision, variant, scheduler, dtype, device, allow_pickle, scheduler_options, file, base, quantization:
            of `DiffusionGenerator`.
        components: parts that come from other models, by name.

    Raises:
        UserError: a model that is unreachable, damaged or of another kind; an unknown scheduler or device.
    """
    # Prompts are few, and threads of the tokenizer make it warn when a data loader forks later.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with quiet():
        import torch

    _check_scheduler(scheduler)
    device = device or _best_device()
    _check_device(device)
    components = components or {}
    is_file = single_file.is_single_file(model, file)
    raise_all("The generator cannot be used:", quantization_problems(quantization, device, None, is_file))
    checkpoint: Path | None = None
    if is_file:
        checkpoint = single_file.fetch_checkpoint(model, file, revision)
        folder = single_file.configuration(model, checkpoint, base)
        parts = list(_read_json(folder / MODEL_INDEX))
    else:
        folder = locate(model) or fetch_model(model, revision, variant, allow_pickle, components)
        parts = _check_folder(model, folder, variant, allow_pickle, components)
    source = _Source(model, folder, checkpoint, allow_pickle)
    dtype = dtype or _default_dtype(device, parts, str(_read_json(folder / MODEL_INDEX).get("_class_name")))
    remedy = (
        f"look into {folder}: a file is missing, cut short or not a text-to-image model's; fetch it again"
        f"{incomplete_downloads(_download_cache(folder))}."
    )
    if variant:
        remedy = f"if it has no files of the variant {variant}, set generator.variant=null; otherwise {remedy}"
    with quiet() as messages:
        try:
            pipeline, added_files = _assembled(source, variant, getattr(torch, dtype), quantization, components)
        except UserError:
            raise
        except ImportError as error:
            raise model_error(model, one_line(error), "install the package that is named in it with pip.") from error
        except Exception as error:  # file system, configuration, weights: every library raises its own
            raise model_error(model, one_line(error), remedy) from error
        _check_complete(model, pipeline, messages, remedy)
        if AUTOENCODER in components:
            new = {**pipeline.vae.config, "_class_name": type(pipeline.vae).__name__}
            old = _read_config(folder / AUTOENCODER)
            require_fitting_autoencoder(components[AUTOENCODER], model, new, old)
        schedule = dict(getattr(getattr(pipeline, "scheduler", None), "config", None) or {})
        if scheduler is not None or scheduler_options:
            pipeline.scheduler = _build_scheduler(model, pipeline.scheduler, scheduler, scheduler_options or {})
        pipeline.set_progress_bar_config(disable=True)
        if getattr(pipeline, "watermark", None) is not None:
            pipeline.watermark = None  # drawn only where a package for it is installed: images would differ
    loaded = [name for name in parts if pipeline.components.get(name) is not None and name not in components]
    files = {checkpoint.name: checkpoint} if checkpoint else weights.weight_files(folder, loaded, variant, allow_pickle)
    origin = folder if checkpoint is None else checkpoint.parent
    return LoadedPipeline(
        pipeline,
        origin.name if origin.parent.name == "snapshots" else "",
        device,
        dtype,
        {**files, **added_files},
        schedule,
    )


@dataclass(frozen=True)
class _Source:
    """Where the files of a pipeline are.

    Attributes:
        model: its name.
        folder: with its index and the configurations of its parts.
        checkpoint: the file that is all of its weights, if any.
        allow_pickle: of `DiffusionGenerator`.
    """

    model: str
    folder: Path
    checkpoint: Path | None
    allow_pickle: bool


def _assembled(
    source: _Source, variant: str | None, dtype: Any, quantization: str | None, components: Mapping[str, Component]
) -> tuple[Any, dict[str, Path]]:
    """Build a pipeline of its own parts and others; return it with the weight files of the others.

    Args:
        source: of its files.
        variant, dtype, quantization, components: of `load_pipeline`.

    Raises:
        Exception: whatever the libraries raise on damaged files.
    """
    import diffusers

    kind = _pipeline_class(source.model, source.folder)
    _check_parts(source.model, source.folder, components)
    index = _read_json(source.folder / MODEL_INDEX)
    named = getattr(diffusers, str(index["_class_name"]))
    added, added_files = load_components(named, index, components, dtype, quantization)
    if source.checkpoint is not None:
        return single_file.load(source.model, source.checkpoint, source.folder, named, dtype, added), added_files
    if quantization:
        added["quantization_config"] = quantization_config(quantization, source.folder, dtype)
    safe = None if source.allow_pickle else True
    loaded = kind.from_pretrained(str(source.folder), variant=variant, dtype=dtype, use_safetensors=safe, **added)
    return loaded, added_files


def _check_scheduler(scheduler: str | None) -> None:
    import diffusers

    if scheduler is not None and not _is_scheduler(getattr(diffusers, scheduler, None)):
        raise UserError(
            f"generator.scheduler={scheduler}: diffusers {diffusers.__version__} has no such scheduler; "
            "set a class name such as DPMSolverMultistepScheduler, DDIMScheduler or EulerDiscreteScheduler."
        )


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"generator.device={device} is not available ({one_line(error)}): choose another, such as "
            "generator.device=cpu, or null for the best one."
        ) from error


def read_configs(folder: Path | None) -> tuple[str, ReadConfig] | None:
    """Return the pipeline class of a folder and what reads its configurations; None where there is no such folder."""
    index = _read_json(folder / MODEL_INDEX) if folder is not None else {}
    kind = index.get("_class_name")
    if folder is None or not isinstance(kind, str):
        return None

    def read(component: str, key: str) -> Any:
        if not component:
            return index.get(key)
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        return _read_json(folder / component / name).get(key)

    return kind, read


def _check_folder(
    model: str, folder: Path, variant: str | None, allow_pickle: bool, components: Mapping[str, Component]
) -> list[str]:
    """Return the components of a pipeline's folder; refuse another folder, a damaged one, code and pickles."""
    path = folder / MODEL_INDEX
    if not path.is_file():
        below = sorted(file.parent for file in folder.glob(f"*/{MODEL_INDEX}"))
        hint = f"set generator.model={below[0]} if that is meant; otherwise " if below else ""
        cause = f"{folder.absolute()} has no {MODEL_INDEX}, so it is not a model in diffusers' format"
        raise model_error(model, cause + _transformers_kind(folder), hint + ONE_FILE)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        parts = [name for name, value in index.items() if isinstance(value, list) and value[0] is not None]
        kind = index["_class_name"]
    except (ValueError, AttributeError, LookupError) as error:
        raise model_error(model, f"{path} is damaged ({one_line(error)})", "fetch it again.") from None
    if not isinstance(kind, str):
        cause = f"its pipeline {kind} is custom code, which is not run"
        raise model_error(model, cause, "choose a model whose pipeline is a class of diffusers.")
    own = [name for name in parts if name not in components]
    for name in own:
        names = sorted(file.name for file in (folder / name).glob("*") if file.is_file())
        pickled = [file for file in names if file.endswith(PICKLE_SUFFIXES)]
        if pickled and not allow_pickle and not any(file.endswith(".safetensors") for file in names):
            raise model_error(
                model,
                f"its {name} exists as {pickled[0]} only, a pickle, which can run any code when it is loaded",
                "choose a copy in safetensors; or, if you trust it, set generator.allow_pickle=true.",
            )
    if damaged := list(weights.damaged_files(folder, own, variant, allow_pickle)):
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        cause = "; ".join(damaged[:5]) + more + incomplete_downloads(_download_cache(folder))
        raise model_error(model, cause, f"fetch it again (its folder is {folder}).")
    if missing := list(_missing_packages(folder, own)):
        raise model_error(model, "; ".join(missing), "pip install 'synthaug[t5]'.")
    return parts


def _download_cache(folder: Path) -> Path:
    """Return where files lie while they are downloaded into a folder."""
    return folder.parents[1] if folder.parent.name == "snapshots" else folder / ".cache"


def _transformers_kind(folder: Path) -> str:
    """Return what a folder that is not a pipeline is, as far as it says so."""
    kind = _read_config(folder).get("model_type")
    return f" (but a {kind} model of transformers)" if kind else ""


def _missing_packages(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    """Yield packages without which transformers would take a file of SentencePiece for one of another kind."""
    for name in parts:
        if name.startswith("tokenizer") and list((folder / name).glob("*.model")):
            needed = () if (folder / name / "tokenizer.json").is_file() else ("sentencepiece", "google.protobuf")
            if missing := [package for package in needed if not _is_installed(package)]:
                yield f"its {name} needs packages that are not installed ({', '.join(missing)})"


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


def _pipeline_class(model: str, folder: Path) -> Any:
    """Return the class that loads a text-to-image pipeline from a folder; refuse one of another kind."""
    import diffusers

    kind = json.loads((folder / MODEL_INDEX).read_text(encoding="utf-8"))["_class_name"]
    pipeline_class = getattr(diffusers, kind, None)
    if not (inspect.isclass(pipeline_class) and issubclass(pipeline_class, diffusers.DiffusionPipeline)):
        cause = f"diffusers {diffusers.__version__} has no pipeline {kind}, which its {MODEL_INDEX} names"
        raise model_error(model, cause, "pip install -U diffusers; or " + _OTHER_MODEL)
    unet, autoencoder = _read_config(folder / "unet"), _read_config(folder / "vae")
    channels, latent = unet.get("in_channels"), autoencoder.get("latent_channels")
    if channels and latent and channels != latent:
        cause = f"its unet takes {channels} channels and not {latent}: it edits an image ({kind})"
        raise model_error(model, cause, _OTHER_MODEL)
    if "Control" in kind:  # listed as text-to-image, but each image follows a picture that nobody has
        raise model_error(model, f"a {kind} is not a text-to-image model: it requires control_image", _OTHER_MODEL)
    makes_video = "num_frames" in call_parameters(pipeline_class)  # some of them are listed as well
    listed = diffusers.pipelines.auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()
    # The weights of an image-to-image pipeline and of an inpainting one serve text-to-image as well.
    if (pipeline_class in listed and not makes_video) or "Img2Img" in kind or "Inpaint" in kind:
        return diffusers.AutoPipelineForText2Image
    parameters = call_parameters(pipeline_class)
    inputs = [name for name in parameters if name in _OTHER_INPUTS or name.startswith(("audio", "video", "image"))]
    inputs += [
        name for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and name not in ("self", "prompt")
    ]  # fmt: skip
    if "prompt" not in parameters or inputs:
        reason = f"it requires {inputs[0]}" if inputs else "it takes no prompt"
        raise model_error(
            model, f"a {kind} is not a text-to-image model: {reason}", f"fetch it again, or {_OTHER_MODEL}"
        )
    return diffusers.DiffusionPipeline


def _check_parts(model: str, folder: Path, components: Mapping[str, Component]) -> None:
    """Refuse a folder without parts that its makers leave to be added, such as HiDream's fourth text encoder."""
    import diffusers

    index = _read_json(folder / MODEL_INDEX)
    kind = getattr(diffusers, str(index["_class_name"]))
    required = {
        name
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    if missing := sorted(required - set(index) - set(kind._optional_components) - {"self", *components}):
        cause = f"its {', '.join(missing)} are to be added by its users, from another model"
        listed = ", ".join(f"{name}: <hub id or folder>" for name in missing)
        raise model_error(model, cause, f"set generator.components={{{listed}}}.")


def _read_config(part: Path) -> dict[str, Any]:
    return _read_json(part / "config.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # reported when the part is loaded
        return {}
    return config if isinstance(config, dict) else {}


def _check_complete(model: str, pipeline: Any, messages: Sequence[str], remedy: str) -> None:
    """Refuse what the libraries tolerate: a tokenizer without words, weights left at random."""
    for name, part in pipeline.components.items():
        special = getattr(part, "all_special_tokens", None)
        if special is not None and len(part) <= len(special):
            raise model_error(model, f"its {name} has no words, so all prompts are the same to it", remedy)
    for message in messages:
        if "newly initialized" in message:
            raise model_error(model, f"weights are missing, and would be random numbers: {message[:300]}", remedy)


def _build_scheduler(model: str, default: Any, name: str | None, options: Mapping[str, Any]) -> Any:
    """Return the requested scheduler, with the noise schedule that the model was trained on but for the options."""
    compatible = {scheduler.__name__: scheduler for scheduler in default.compatibles if _is_scheduler(scheduler)}
    compatible[type(default).__name__] = type(default)
    name = type(default).__name__ if name is None else name
    if name not in compatible:
        raise UserError(
            f"generator.scheduler={name} does not fit {model}, which was trained for {type(default).__name__}; "
            f"choose one of: {', '.join(sorted(compatible)) or 'none'}."
        )
    # Where a configuration omits it, some schedulers take clip_sample as true, which cuts latents off at 1.
    unclipped = {} if "clip_sample" in default.config else {"clip_sample": False}
    accepted = sorted(set(inspect.signature(compatible[name].__init__).parameters) - {"self", "kwargs"})
    problems = [
        f"generator.scheduler_options.{key}={value}: a {name} has no such option; choose of: {', '.join(accepted)}"
        for key, value in options.items()
        if key not in accepted
    ]
    raise_all(f"The scheduler of {model} cannot be set up:", problems)
    try:
        return compatible[name].from_config(default.config, **unclipped, **options)
    except Exception as error:  # each class checks its options in ways of its own
        listed = ", ".join(f"{key}={value}" for key, value in options.items())
        raise UserError(
            f"generator.scheduler_options ({listed}): a {name} refuses them ({one_line(error)}); change them, or leave "
            "them out."
        ) from error


def _is_scheduler(candidate: object) -> bool:
    import diffusers

    return isinstance(candidate, type) and issubclass(candidate, diffusers.SchedulerMixin)


def _default_dtype(device: str, parts: Sequence[str], kind: str) -> str:
    """Return the precision for weights of no stated one.

    Unets, and PixArt, are published in float16. Later transformers are trained in bfloat16, and overflow in float16.
    """
    import torch

    if device.startswith("cpu"):
        return "float32"
    is_of_half = "unet" in parts or kind.startswith("PixArt")
    lacks_bfloat = device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False)
    return "float16" if is_of_half or lacks_bfloat else "bfloat16"


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        process = os.environ.get("LOCAL_RANK")  # of torchrun, whose processes on one machine have a GPU each
        return f"cuda:{int(process) % torch.cuda.device_count()}" if process else "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

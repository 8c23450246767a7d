"""From a model's name to a pipeline in memory, or to an error that says what is wrong and what to do."""

import contextlib
import importlib.resources
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synthaug.errors import UserError

log = logging.getLogger(__name__)

PACKAGED = "pkg://"

_INDEX = "model_index.json"  # what makes a folder a pipeline of diffusers
_PICKLED = {".bin", ".ckpt", ".pt", ".pth"}
_HUB_SECONDS = 10  # that the hub has for its first answer

_CONVERT = (
    "a single .safetensors file becomes such a folder in Python, by diffusers' "
    "StableDiffusionPipeline.from_single_file(<file>).save_pretrained(<folder>); then generator.model=<folder>."
)


def load_pipeline(
    model: str, revision: str | None, variant: str | None, scheduler: str | None, dtype: str | None, device: str | None
) -> tuple[Any, str]:
    """Load a text-to-image pipeline without a word on the screen; the arguments are `DiffusionGenerator`'s.

    Returns:
        The pipeline, and the commit it is of; "" for a folder that is not in the hub's cache.

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
            f"generator.device={device} cannot be used here ({_sentence(error)}): take another, such as "
            "generator.device=cpu, or null for the best there is."
        ) from error
    folder = locate(model) or _fetch(model, revision, variant)
    _require_pipeline(model, folder)
    mend = f"look into {folder}: a file is missing, cut short or not a text-to-image model's; fetch it again."
    if variant:
        mend = f"if it has no files of the variant {variant}, set generator.variant=null; otherwise {mend}"
    with quiet() as said:
        try:
            pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                str(folder),
                variant=variant,
                dtype=getattr(torch, dtype or ("float32" if device == "cpu" else "float16")),
                use_safetensors=True,
            )
        except Exception as error:  # file system, configuration, weights: every library raises its own
            raise _unusable(model, _sentence(error), mend) from error
        _require_complete(model, pipeline, said, mend)
        if scheduler is not None:
            pipeline.scheduler = _other_scheduler(model, pipeline.scheduler, scheduler)
        pipeline.set_progress_bar_config(disable=True)
        pipeline = pipeline.to(device)
    return pipeline, folder.name if folder.parent.name == "snapshots" else ""


def locate(model: str) -> Path | None:
    """The folder that a model's name stands for; None for a hub id.

    Raises:
        UserError: package data or what is clearly a path, where there is no folder.
    """
    if model.startswith(PACKAGED):
        package, _, below = model.removeprefix(PACKAGED).partition("/")
        try:
            folder = Path(str(importlib.resources.files(package) / below))
        except (ImportError, TypeError, ValueError):
            raise _unusable(
                model, f"there is no package {package!r}", "install it, or give generator.model=<folder>."
            ) from None
    else:
        folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise _unusable(model, "it is a file, and a model in diffusers' format is a folder", _CONVERT)
    if model.startswith((PACKAGED, ".", "/", "~")) or model.count("/") > 1 or "\\" in model or model.endswith("/"):
        raise _unusable(
            model, f"there is no folder {folder.absolute()}", "give one that exists with generator.model=<folder>."
        )
    return None


def _fetch(model: str, revision: str | None, variant: str | None) -> Path:
    """The folder of a hub id in the hub's cache, fetched if need be.

    The hub is asked once, and where it does not answer the cache must do: left alone, the libraries try for half a
    minute, and say in the end that the model does not exist.
    """
    with quiet():
        import diffusers
        import huggingface_hub
        from huggingface_hub import constants
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

        way_out = (
            "give a local folder in diffusers' format with generator.model=<folder> "
            f"(there is none at {Path(model).absolute()}),\n"
            "           or point HF_HOME at a cache that holds the model and set HF_HUB_OFFLINE=1,\n"
            "           or, for a gated model, accept its licence and log in with 'hf auth login',\n"
            "           or use generator=tiny_digits, which is embedded."
        )
        silence: Exception | None = None
        try:
            revision = huggingface_hub.model_info(model, revision=revision, timeout=_HUB_SECONDS).sha
        except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise _unusable(model, _sentence(error), way_out) from error
        except Exception as error:  # no network, offline mode, a proxy's page, a hub that is down …
            silence = error
        try:
            return Path(
                diffusers.DiffusionPipeline.download(
                    model,
                    revision=revision,
                    variant=variant,
                    use_safetensors=True,
                    local_files_only=silence is not None,
                )
            )
        except Exception as error:
            if silence is None:
                raise _unusable(model, _sentence(error), way_out) from error
            told = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else _sentence(silence)
            cause = f"the hub cannot be reached ({told})"
            missing = f"and the cache {constants.HF_HUB_CACHE} does not hold the whole model"
            raise _unusable(model, f"{cause},\n         {missing}", way_out) from error


def _require_pipeline(model: str, folder: Path) -> None:
    """Refuse a folder that is no pipeline of diffusers, and weights that could run code when they are read."""
    path = folder / _INDEX
    if not path.is_file():
        below = sorted(found.parent for found in folder.glob(f"*/{_INDEX}"))
        hint = f"perhaps {below[0]} was meant; otherwise " if below else ""
        raise _unusable(
            model, f"{folder.absolute()} has no {_INDEX}, so it is no model in diffusers' format", hint + _CONVERT
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        parts = [name for name, value in index.items() if isinstance(value, list) and value[0] is not None]
    except (ValueError, AttributeError, IndexError) as error:
        raise _unusable(model, f"{path} is damaged ({_sentence(error)})", "fetch it again.") from None
    for name in parts:
        files = sorted(found for found in (folder / name).glob("*") if found.is_file())
        pickled = [found.name for found in files if found.suffix in _PICKLED]
        if pickled and not any(found.suffix == ".safetensors" for found in files):
            raise _unusable(
                model,
                f"its {name} comes as {pickled[0]} only, a pickle, which can run any code when it is read",
                "take a copy that has safetensors; or, if you trust it, write one in Python, by diffusers' "
                "DiffusionPipeline.from_pretrained(<folder>, use_safetensors=False).save_pretrained(<new folder>).",
            )


def _require_complete(model: str, pipeline: Any, said: Sequence[str], mend: str) -> None:
    """Refuse what the libraries put up with: a tokenizer that knows no word, weights left at random."""
    for name, part in pipeline.components.items():
        marks = getattr(part, "all_special_tokens", None)
        if marks is not None and len(part) <= len(marks):
            raise _unusable(model, f"its {name} knows no words, so all prompts are one to it", mend)
    for message in said:
        if "newly initialized" in message:
            raise _unusable(model, f"weights are missing, and would be random numbers: {message[:300]}", mend)


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


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep warnings and bars of the libraries off the screen; yields what they said. All is put back at the end."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        import diffusers
        import transformers

        listener = _Listener()
        for library in (diffusers, transformers):
            bars = library.utils.logging
            if bars.is_progress_bar_enabled():
                bars.disable_progress_bar()
                stack.callback(bars.enable_progress_bar)
            stack.enter_context(_only_to(logging.getLogger(library.__name__), listener))
        yield listener.said


@contextlib.contextmanager
def _only_to(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


class _Listener(logging.Handler):
    """Keeps what is logged, each on one line, and hands it on to whoever debugs."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(" ".join(record.getMessage().split()))
        log.debug("%s: %s", record.name, self.said[-1])


def _unusable(model: str, cause: str, way_out: str) -> UserError:
    return UserError(f"The text-to-image model {model} could not be loaded.\n  cause: {cause}\n  way out: {way_out}")


def _sentence(error: Exception) -> str:
    """An exception on one line of readable length."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:299] + '…'}"


def _is_scheduler(found: object) -> bool:
    import diffusers

    return isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

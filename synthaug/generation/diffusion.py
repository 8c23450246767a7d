"""Text-to-image through diffusers: the embedded model, a hub id and a local folder go the same way."""

import importlib.resources
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.errors import UserError

PACKAGED = "pkg://"


class DiffusionGenerator:
    """A text-to-image model and how it is sampled. Nothing is loaded before the first image.

    Args:
        model: a hub id, a local folder in diffusers' format, or "pkg://<package>/<folder>" for package data.
        prompt: template with `{class_name}`.
        negative_prompt: what to steer away from.
        num_inference_steps: denoising steps.
        guidance_scale: strength of classifier-free guidance; 1 is none.
        height, width: of the sampled images in pixels; None takes the model's own.
        crop: side of the centre square that is kept, in pixels; None keeps all. For models whose size must be a
            multiple of eight while the real images' is not.
        mode: Pillow mode of the saved images, "RGB" or "L", so that the files are like the real ones.
        scheduler: a scheduler class of diffusers by name; None takes the model's own.
        revision: commit, tag or branch on the hub.
        variant: file variant on the hub, such as "fp16".
        dtype: "float32", "float16" or "bfloat16"; None takes float32 on a CPU and float16 elsewhere.
        batch_size: images sampled at once; changes an image by single grey levels at most.
        device: "cpu", "cuda", "mps" …; None takes the best there is.
    """

    def __init__(
        self,
        model: str,
        prompt: str,
        negative_prompt: str = "",
        num_inference_steps: int = 30,
        guidance_scale: float = 7.5,
        height: int | None = None,
        width: int | None = None,
        crop: int | None = None,
        mode: str = "RGB",
        scheduler: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str | None = None,
        batch_size: int = 4,
        device: str | None = None,
    ) -> None:
        self.model = model
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = guidance_scale
        self.height = height
        self.width = width
        self.crop = crop
        self.mode = mode
        self.scheduler = scheduler
        self.revision = revision
        self.variant = variant
        self.dtype = dtype
        self.batch_size = batch_size
        self.device = device
        self._pipeline: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        """What decides how the images look: two sets that differ here must not be mixed."""
        names = "model revision variant prompt negative_prompt scheduler num_inference_steps guidance_scale"
        return {name: getattr(self, name) for name in f"{names} height width crop mode dtype".split()}

    def load(self) -> None:
        """Load the pipeline; the place where a missing model is found out.

        Raises:
            UserError: the model is out of reach or broken, with the cause and the way out.
        """
        if self._pipeline is not None:
            return
        import diffusers
        import torch

        device = self.device or _best_device()
        dtype = getattr(torch, self.dtype or ("float32" if device == "cpu" else "float16"))
        diffusers.utils.logging.disable_progress_bar()
        try:
            pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                str(locate(self.model)),
                revision=self.revision,
                variant=self.variant,
                dtype=dtype,
                use_safetensors=True,
            )
        except Exception as error:  # hub, file system, configuration: every library raises its own
            raise self._unreachable(error) from error
        if self.scheduler is not None:
            pipeline.scheduler = self._scheduler_class(diffusers).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)

    def unload(self) -> None:
        """Give the memory back: the classifier trains next."""
        self._pipeline = None

    def sample(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One image per prompt. Each has a random state of its own, so its place in a batch does not matter."""
        import torch

        self.load()
        # Noise is drawn on the CPU, so that a seed means the same image on every device (up to rounding).
        states = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        negative = [self.negative_prompt] * len(prompts) if self.negative_prompt else None
        sizes = {"height": self.height, "width": self.width}
        with torch.inference_mode():
            images = self._pipeline(
                prompt=list(prompts),
                negative_prompt=negative,
                generator=states,
                num_inference_steps=self.num_inference_steps,
                guidance_scale=self.guidance_scale,
                **{name: size for name, size in sizes.items() if size is not None},
            ).images
        return [self._finish(image) for image in images]

    def provenance(self) -> dict[str, str]:
        """What a manifest row says of the model: revision, scheduler and library versions, all as text."""
        import diffusers
        import torch
        import transformers

        self.load()
        commit = getattr(self._pipeline.config, "_commit_hash", None)
        return {
            "model": self.model,
            "revision": str(commit or self.revision or ""),
            "scheduler": type(self._pipeline.scheduler).__name__,
            "steps": str(self.num_inference_steps),
            "guidance": f"{self.guidance_scale:g}",
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }

    def _finish(self, image: Image.Image) -> Image.Image:
        if self.crop is not None:
            left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image.convert(self.mode)

    def _scheduler_class(self, diffusers: Any) -> Any:
        found = getattr(diffusers, self.scheduler or "", None)
        if found is None or not hasattr(found, "from_config"):
            raise UserError(
                f"generator.scheduler={self.scheduler}: diffusers {diffusers.__version__} has no such scheduler; "
                "use a class name such as DPMSolverMultistepScheduler, DDIMScheduler or EulerDiscreteScheduler."
            )
        return found

    def _unreachable(self, error: Exception) -> UserError:
        return UserError(
            f"The text-to-image model {self.model} could not be loaded.\n"
            f"  cause: {type(error).__name__}: {' '.join(str(error).split())[:500]}\n"
            f"  way out: give a local folder in diffusers' format with generator.model=<folder>; or point HF_HOME at "
            f"a cache that holds the model and set HF_HUB_OFFLINE=1; or, for a gated model, accept its licence and "
            f"log in with 'hf auth login'; or use the embedded generator=tiny_digits."
        )


def locate(model: str) -> str | Path:
    """Resolve "pkg://<package>/<folder>" to a folder on disk; other names stay as they are."""
    if not model.startswith(PACKAGED):
        return model
    package, _, folder = model.removeprefix(PACKAGED).partition("/")
    return Path(str(importlib.resources.files(package) / folder))


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

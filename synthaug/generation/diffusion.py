"""Text-to-image through diffusers: the embedded model, a hub id and a local folder go the same way."""

import platform
from collections.abc import Sequence
from typing import Any

from PIL import Image

from synthaug.errors import UserError, raise_all
from synthaug.generation.loading import load_pipeline, locate, quiet

MODES = ("RGB", "L")
DTYPES = ("float32", "float16", "bfloat16")


class DiffusionGenerator:
    """A text-to-image model and how it is sampled. Nothing is loaded before the first image.

    Args:
        model: a hub id, a local folder in diffusers' format, or "pkg://<package>/<folder>" for package data.
        prompt: template with `{class_name}`, used where the group `prompts` names no other.
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
        classes: the only class names that the model knows; None for a model that was trained on everything.
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
        classes: Sequence[str] | None = None,
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
        self.classes = classes
        self._pipeline: Any = None
        self._revision = ""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides how the images look: two sets that differ here must not be mixed."""
        names = "model revision variant negative_prompt scheduler num_inference_steps guidance_scale"
        return {name: getattr(self, name) for name in f"{names} height width crop mode dtype".split()}

    def check(self, classes: Sequence[str]) -> None:
        """Find out what can be known before the model is loaded; imports no torch.

        Raises:
            UserError: a setting that cannot be, a folder that does not exist, or classes that this model cannot paint.
        """
        self._check_values()
        foreign = [name for name in classes if self.classes is not None and name not in self.classes]
        if foreign:
            raise UserError(
                f"The model {self.model} knows only the classes {', '.join(self.classes or ())}, and the dataset has "
                f"{', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}: choose another, such as generator=sd15."
            )
        locate(self.model)

    def load(self) -> None:
        """Load the pipeline; the place where a missing model is found out.

        Raises:
            UserError: a setting that cannot be, or a model that is out of reach or broken, with the way out.
        """
        if self._pipeline is None:
            self._check_values()
            self._pipeline, self._revision = load_pipeline(
                self.model, self.revision, self.variant, self.scheduler, self.dtype, self.device
            )

    def unload(self) -> None:
        """Give the memory back: the classifier trains next."""
        self._pipeline = None

    def sample(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One image per prompt. Each has a random state of its own, so its place in a batch does not matter."""
        self.load()
        import torch

        # Noise is drawn on the CPU, so that a seed means the same image on every device (up to rounding).
        states = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        negative = [self.negative_prompt] * len(prompts) if self.negative_prompt else None
        sizes = {"height": self.height, "width": self.width}
        with torch.inference_mode(), quiet():
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
        self.load()
        import diffusers
        import torch
        import transformers

        return {
            "model": self.model,
            "revision": self._revision,
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
            if self.crop > min(image.size):  # Pillow would add a black border
                raise UserError(
                    f"generator.crop={self.crop} is more than the {image.width}x{image.height} pixels that "
                    f"{self.model} makes: lower it, or set generator.height and generator.width."
                )
            left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image.convert(self.mode)

    def _check_values(self) -> None:
        checks = [
            ("num_inference_steps", self.num_inference_steps >= 1, "at least 1"),
            ("guidance_scale", self.guidance_scale >= 0, "at least 0; 1 is no guidance"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("crop", self.crop is None or self.crop >= 1, "at least 1 pixel, or null"),
            ("height", self.height is None or (self.height > 0 and self.height % 8 == 0), "a multiple of 8, or null"),
            ("width", self.width is None or (self.width > 0 and self.width % 8 == 0), "a multiple of 8, or null"),
            ("mode", self.mode in MODES, f"one of {', '.join(MODES)}"),
            ("dtype", self.dtype in (None, *DTYPES), f"one of {', '.join(DTYPES)}, or null"),
            (
                "negative_prompt",
                not self.negative_prompt or self.guidance_scale > 1,
                f"empty, since guidance_scale={self.guidance_scale:g} leaves it out; or guidance_scale above 1",
            ),
        ]
        wrong = [f"generator.{key}={getattr(self, key)}: must be {rule}" for key, fine, rule in checks if not fine]
        raise_all("The generator cannot be used:", wrong)

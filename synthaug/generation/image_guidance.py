"""Guidance of a text-to-image model by a real image: from which image, how strongly, through which pipeline."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthaug.errors import UserError
from synthaug.generation import attachments
from synthaug.generation.canny import canny_edges
from synthaug.generation.options import call_parameters
from synthaug.generation.pipeline_guidance import ReadConfig

MASKS = ("center", "border", "random")
_FILTER = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class ImageGuidance:
    """How each synthetic image is guided by a real one; nothing is set for a model that follows prompts alone.

    Attributes:
        strength: of image-to-image: the share of the noise that is added to the real image, above 0; 1 leaves nothing
            of it.
        mask: the part of it that is painted anew (inpainting): "center", "border" or "random"; None is all of it.
        ip_adapter: shows the model what the real image is like, as `attachments.Attachment`; None for none.
        controlnet: gives it the edges of the real image, in the same form.
    """

    strength: float | None = None
    mask: str | None = None
    ip_adapter: Any = None
    controlnet: Any = None

    @property
    def is_active(self) -> bool:
        """Whether there is a real image for each synthetic one."""
        return any(value is not None for value in (self.strength, self.ip_adapter, self.controlnet))

    @property
    def is_one_by_one(self) -> bool:
        """Whether a pipeline takes one real image a call: several for an IP-Adapter would be mixed."""
        return self.ip_adapter is not None

    def problems(self, steps: int | None) -> list[str]:
        """Return what is wrong with the values, before anything is loaded.

        Args:
            steps: denoising steps; None where the pipeline decides.
        """
        problems = []
        strength, mask = self.strength, self.mask
        is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
        if strength is not None and not (is_number and 0 < strength <= 1):
            problems.append(
                f"generator.strength={strength}: must be more than 0 and at most 1, where 1 leaves nothing of the real "
                "image; or null for none"
            )
        elif strength is not None and steps is not None and (reason := _steps_problem(steps, strength)):
            problems.append(reason)
        if mask is not None and mask not in MASKS:
            problems.append(f"generator.mask={mask}: must be one of {', '.join(MASKS)}, or null")
        elif mask is not None and strength is None:
            problems.append(f"generator.mask={mask}: needs generator.strength, how far what it shows is painted anew")
        for key in attachments.KINDS:
            try:
                attachments.parse(key, getattr(self, key))
            except UserError as error:
                problems.append(str(error))
        return problems

    def check(self, model: str, read: ReadConfig | None) -> None:
        """Check what is attached, as far as local folders tell.

        Args:
            model: what it is attached to.
            read: reads the configurations of the model's parts; None where they are not at hand.

        Raises:
            UserError: a folder that does not exist or lacks a file; weights that do not fit the model.
        """
        part = next((name for name in ("unet", "transformer") if read and read("", name)), "")
        kind = read(part, "_class_name") if read and part else None
        denoiser = (str(kind), partial(read, part)) if read and kind else None
        for key in attachments.KINDS:
            if (attachment := attachments.parse(key, getattr(self, key))) is not None:
                attachments.check(key, attachment, model, denoiser)

    def adapt(self, pipeline: Any, model: str, dtype: str = "float32") -> tuple[Any, dict[str, Path]]:
        """Return the pipeline of the same weights that takes real images, without a second copy of them.

        Args:
            pipeline: text-to-image, of diffusers, on the CPU.
            model: its name.
            dtype: of its weights.

        Returns:
            The pipeline; name → path of the weight files that were attached.

        Raises:
            UserError: diffusers has no such pipeline for this model; what is attached cannot be had or does not fit.
        """
        files: dict[str, Path] = {}
        components: dict[str, Any] = {}
        if (controlnet := attachments.parse("controlnet", self.controlnet)) is not None:
            components["controlnet"], files = attachments.load_controlnet(controlnet, dtype)
        if self.strength is not None or components:
            pipeline = self._convert(pipeline, model, components)
        if controlnet is not None:
            denoiser: Any = getattr(pipeline, "unet", None) or pipeline.transformer
            networks = [(type(part).__name__, part.config.get) for part in (denoiser, components["controlnet"])]
            attachments.require_fitting_controlnet(controlnet, model, networks[0], networks[1])
        if (ip_adapter := attachments.parse("ip_adapter", self.ip_adapter)) is not None:
            files |= attachments.load_ip_adapter(pipeline, model, ip_adapter)
        return pipeline, files

    def _convert(self, pipeline: Any, model: str, components: Mapping[str, Any]) -> Any:
        import diffusers

        task = "Text2Image" if self.strength is None else "Inpainting" if self.mask else "Image2Image"
        needed = {"strength": self.strength, "mask_image": self.mask, "controlnet_conditioning_scale": self.controlnet}
        try:
            converted = getattr(diffusers, f"AutoPipelineFor{task}").from_pipe(pipeline, **components)
        except (ValueError, TypeError):  # no such class; or a ControlNet of another architecture
            converted = None
        accepted = call_parameters(type(converted)) if converted is not None else {}
        if any(value is not None and name not in accepted for name, value in needed.items()):
            what = {"Text2Image": "text-to-image", "Inpainting": "inpainting", "Image2Image": "image-to-image"}[task]
            keys = [name for name in ("strength", "mask", "controlnet") if getattr(self, name) is not None]
            listed = ", ".join(f"generator.{key}={getattr(self, key)}" for key in keys)
            raise UserError(
                f"{listed}: diffusers {diffusers.__version__} has no pipeline for {what}"
                f"{' with a ControlNet' if components else ''} with a {type(pipeline).__name__} ({model}): set "
                f"{' and '.join(f'generator.{key}=null' for key in keys)}, or choose another model, such as "
                "generator=sd15."
            )
        converted.set_progress_bar_config(disable=True)
        if getattr(converted, "watermark", None) is not None:
            converted.watermark = None  # as `loading` does
        return converted

    def arguments(
        self,
        pipeline: Any,
        images: Sequence[Image.Image],
        seeds: Sequence[int],
        size: tuple[int, int],
        crop: int | None,
    ) -> dict[str, Any]:
        """Return the arguments of a pipeline's call that guide it.

        Args:
            pipeline: from `adapt`.
            images: the real ones, one per synthetic image.
            seeds: of the synthetic images, which place a random mask.
            size: height and width of the sampled images.
            crop: side of the centre square that is kept of them.
        """
        fitted = [fit(image, size, crop) for image in images]
        arguments: dict[str, Any] = {}
        if self.strength is not None:
            arguments = {"image": fitted, "strength": self.strength}
        if self.mask is not None:
            arguments["mask_image"] = [paint_mask(self.mask, size, seed) for seed in seeds]
        if (controlnet := attachments.parse("controlnet", self.controlnet)) is not None:
            name = "control_image" if "control_image" in call_parameters(type(pipeline)) else "image"
            arguments[name] = [canny_edges(image) for image in fitted]
            arguments["controlnet_conditioning_scale"] = controlnet.scale
        if self.ip_adapter is not None:
            arguments["ip_adapter_image"] = fitted[0]  # one by one
        return arguments


def sampled_size(pipeline: Any, height: int | None, width: int | None) -> tuple[int, int]:
    """Return height and width of a pipeline's images.

    Args:
        pipeline: of diffusers.
        height, width: as they are set; None is the model's own.

    Raises:
        UserError: nothing says the model's own.
    """
    if height is not None and width is not None:
        return height, width
    denoiser: Any = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    sample = getattr(pipeline, "default_sample_size", None) or getattr(denoiser.config, "sample_size", None)
    if not isinstance(sample, int):
        raise UserError(
            "generator.height=null, generator.width=null: the model does not say its size, to which the real images "
            "are brought: set both."
        )
    side = sample * getattr(pipeline, "vae_scale_factor", 8)
    return height or side, width or side


def fit(image: Image.Image, size: tuple[int, int], crop: int | None = None) -> Image.Image:
    """Return the centre of an image in the size that a model takes.

    Args:
        image: RGB.
        size: height and width.
        crop: side of the centre square that is kept of the model's images: then the image becomes this square, and its
            edge pixels are repeated around it.
    """
    height, width = (crop, crop) if crop is not None else size
    scale = max(height / image.height, width / image.width)
    box_height, box_width = min(image.height, height / scale), min(image.width, width / scale)
    left, top = (image.width - box_width) / 2, (image.height - box_height) / 2
    fitted = image.resize((width, height), _FILTER, box=(left, top, left + box_width, top + box_height))
    if crop is None:
        return fitted
    above, before = (size[0] - crop) // 2, (size[1] - crop) // 2
    border = ((above, size[0] - crop - above), (before, size[1] - crop - before), (0, 0))
    return Image.fromarray(np.pad(np.asarray(fitted), border, mode="edge"))


def paint_mask(kind: str, size: tuple[int, int], seed: int) -> Image.Image:
    """Return a mask, white where an image is painted anew.

    Args:
        kind: "center" for a box of half the height and width, "border" for all but this box, "random" for a box with
            sides of a third to two thirds, anywhere.
        size: height and width.
        seed: of the image; decides the random box.
    """
    height, width = size
    if kind == "random":
        digest = hashlib.sha256(f"mask\0{seed}".encode()).digest()
        shares = [int.from_bytes(digest[8 * part : 8 * part + 8], "big") / 2**64 for part in range(4)]
        box_height, box_width = (round(side * (1 + share) / 3) for side, share in zip(size, shares, strict=False))
        top, left = round((height - box_height) * shares[2]), round((width - box_width) * shares[3])
    else:
        box_height, box_width, top, left = height // 2, width // 2, height // 4, width // 4
    inside, outside = (0, 255) if kind == "border" else (255, 0)
    pixels = np.full(size, outside, dtype=np.uint8)
    pixels[top : top + box_height, left : left + box_width] = inside
    return Image.fromarray(pixels)


def _steps_problem(steps: int, strength: float) -> str:
    if int(steps * strength) >= 1:
        return ""
    return (
        f"generator.strength={strength}, generator.num_inference_steps={steps}: less than one step is left, so that "
        f"nothing would be done; raise one of them ({math.ceil(1 / strength)} steps are the least)"
    )

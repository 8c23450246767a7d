"""Text-to-image with diffusers, in the same way for the embedded model, a hub id and a local folder."""

import hashlib
import itertools
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug.errors import UserError, raise_all
from synthaug.generation import adapters, encoders, memory, options, weights
from synthaug.generation.components import (
    AUTOENCODER,
    Component,
    check_component,
    parse_components,
    read_config,
    require_fitting_autoencoder,
)
from synthaug.generation.hub import MODEL_INDEX, cached_index, check_reachable, locate, one_line
from synthaug.generation.image_guidance import ImageGuidance, sampled_size
from synthaug.generation.loading import LoadedPipeline, load_pipeline, read_configs
from synthaug.generation.pipeline_guidance import RULES, Guidance, GuidanceRule, ReadConfig, decide, published_values
from synthaug.generation.quantization import quantization_problems
from synthaug.generation.quiet import quiet
from synthaug.generation.single_file import is_single_file, local_file
from synthaug.generation.text_memory import remember_texts

log = logging.getLogger(__name__)

MODES = ("RGB", "L")
DTYPES = ("float32", "float16", "bfloat16")

# How a model is sampled → batch size that fits into its device's memory, learned by running out of it. It belongs to
# the process and not to a generator, since each arm builds its own.
_fitting_batch: dict[tuple[object, ...], int] = {}


class DiffusionGenerator:
    """A text-to-image model and how it is sampled. Nothing is loaded before the first image.

    Args:
        model: a hub id, a local folder in diffusers' format, a .safetensors file, or "pkg://<package>/<folder>" for
            package data.
        file: name of the one .safetensors file below `model` that is all of it; None for diffusers' format.
        quantization: store large weights in fewer bits: "int8" (torchao), "8bit" or "4bit" (bitsandbytes, on a GPU of
            NVIDIA's, AMD's or Intel's); None keeps them as they are.
        base: hub id or folder of a model whose configuration such a file takes; None recognizes it by its weights.
        prompt: template with `{class_name}`, used where the group `prompts` has none.
        negative_prompt: what the guidance steers away from.
        num_inference_steps: denoising steps; None takes the model's default.
        guidance_scale: strength of guidance as the model's card has it, passed as the argument that its pipeline takes
            it by (`pipeline_guidance`); None takes the model's default. Two numbers are a range from which each
            image's seed draws; a pipeline takes one number a call, so images are then sampled one by one.
        height, width: of the sampled images in pixels; None takes the model's default.
        crop: side of the centre square that is kept, in pixels; None keeps all. For models whose size must be a
            multiple of eight while that of the real images is not.
        mode: Pillow mode of the saved images, "RGB" or "L", so that the files are like the real ones.
        scheduler: a scheduler class of diffusers by name; None takes the model's default.
        scheduler_options: option of that class → value, such as "timestep_spacing" → "trailing".
        revision: commit, tag or branch on the hub.
        variant: file variant on the hub, such as "fp16".
        dtype: "float32", "float16" or "bfloat16"; None takes float32 on a CPU, elsewhere float16 for unets and bfloat16
            for transformers.
        batch_size: images sampled at once; changes an image by single grey levels at most.
        device: "cpu", "cuda", "mps" …; None takes the best one.
        classes: the only class names that the model was trained on; None for a model without such a list.
        lora: a file, folder or hub id, or a list of them or of mappings with the fields of `adapters.Adapter`.
        textual_inversion: the same for words learned by textual inversion.
        max_sequence_length: tokens that a text encoder of the T5 kind reads; None is the pipeline's default.
        offload: "model" or "sequential" keeps weights in main memory until they are used; None keeps all on the device.
        slicing: attention and decoder process images one by one, which needs less memory.
        tiling: the decoder processes large images tile by tile.
        compile: compile the denoiser, which takes minutes once and makes it faster.
        allow_pickle: load weights that come as pickles only, which can run any code when they are read.
        lora_per_class: class → a LoRA for its images alone, in the form of one entry of `lora`.
        textual_inversion_per_class: class → a learned word that stands for it in prompts, in the form of one entry of
            `textual_inversion`, with its token.
        components: part of the pipeline → hub id or folder that it comes from, or the fields of
            `components.Component`; for a part that the model's makers leave to be added, or another one in its place.
        vae: the same for the autoencoder, such as madebyollin/sdxl-vae-fp16-fix; None is the model's.
        strength, mask, ip_adapter, controlnet: start from real images; see `image_guidance.ImageGuidance`.
    """

    def __init__(
        self,
        model: str,
        prompt: str,
        negative_prompt: str = "",
        num_inference_steps: int | None = None,
        guidance_scale: float | Sequence[float] | None = None,
        height: int | None = None,
        width: int | None = None,
        crop: int | None = None,
        mode: str = "RGB",
        scheduler: str | None = None,
        scheduler_options: Mapping[str, Any] | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str | None = None,
        batch_size: int = 4,
        device: str | None = None,
        classes: Sequence[str] | None = None,
        lora: str | Mapping[str, Any] | Sequence[Any] | None = None,
        textual_inversion: str | Mapping[str, Any] | Sequence[Any] | None = None,
        max_sequence_length: int | None = None,
        offload: str | None = None,
        slicing: bool = False,
        tiling: bool = False,
        compile: bool = False,
        allow_pickle: bool = False,
        file: str | None = None,
        base: str | None = None,
        quantization: str | None = None,
        strength: float | None = None,
        mask: str | None = None,
        ip_adapter: Mapping[str, Any] | None = None,
        controlnet: Mapping[str, Any] | None = None,
        lora_per_class: Mapping[str, Any] | None = None,
        textual_inversion_per_class: Mapping[str, Any] | None = None,
        components: Mapping[str, Any] | None = None,
        vae: str | Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = _to_builtin(guidance_scale)
        self.height = height
        self.width = width
        self.crop = crop
        self.mode = mode
        self.scheduler = scheduler
        self.scheduler_options = _to_builtin(scheduler_options)
        self.revision = revision
        self.variant = variant
        self.dtype = dtype
        self.batch_size = batch_size
        self.device = device
        self.classes = classes
        self.lora = _to_builtin(lora)
        self.textual_inversion = _to_builtin(textual_inversion)
        self.max_sequence_length = max_sequence_length
        self.offload = offload
        self.slicing = slicing
        self.tiling = tiling
        self.compile = compile
        self.allow_pickle = allow_pickle
        self.file = file
        self.base = base
        self.quantization = quantization
        self.strength = strength
        self.mask = mask
        self.lora_per_class = _to_builtin(lora_per_class)
        self.textual_inversion_per_class = _to_builtin(textual_inversion_per_class)
        self.ip_adapter = _to_builtin(ip_adapter)
        self.controlnet = _to_builtin(controlnet)
        self.components = _to_builtin(components)
        self.vae = _to_builtin(vae)
        self._guidance = ImageGuidance(strength, mask, self.ip_adapter, self.controlnet)
        self._loaded: LoadedPipeline | None = None
        self._arguments: dict[str, Any] = {}
        self._text_guidance: Guidance | None = None
        self._passed: dict[str, Any] = {}
        self._weights = ""
        self._learned_words: list[str] = []
        self._class_in_use: str | None = None

    @property
    def has_class_loras(self) -> bool:
        """Whether the images of each class have a LoRA of their own, so that `sample` needs their classes."""
        return bool(self.lora_per_class)

    @property
    def class_words(self) -> dict[str, str]:
        """Class → the learned word that stands for it in prompts, where it has one."""
        learned = adapters.parse_per_class("textual_inversion", self.textual_inversion_per_class)
        return {name: str(entry.token) for name, entry in learned.items()}

    @property
    def adapter_files(self) -> list[Path]:
        """The local files and folders of adapters."""
        return adapters.local_files(entry for entries in self._additions().values() for entry in entries)

    def _additions(self) -> dict[str, list[adapters.Adapter]]:
        """Return the adapters of each kind; those of classes come last."""
        return {
            key: [*adapters.parse_adapters(key, getattr(self, key)), *self._per_class(key).values()]
            for key in adapters.KINDS
        }

    def _per_class(self, key: str) -> dict[str, adapters.Adapter]:
        return adapters.parse_per_class(key, getattr(self, f"{key}_per_class"))

    @property
    def _components(self) -> dict[str, Component]:
        """Name → origin of the parts that come from other models."""
        return parse_components(self.components, self.vae)

    @property
    def is_guided(self) -> bool:
        """Whether it starts from real images."""
        return self._guidance.is_active

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the images: two sets that differ in it must not be mixed."""
        names = (
            "model file base quantization revision variant negative_prompt scheduler num_inference_steps guidance_scale"
        )
        more = "scheduler_options height width crop mode dtype lora lora_per_class textual_inversion"
        last = "textual_inversion_per_class components vae max_sequence_length strength mask ip_adapter controlnet"
        return {name: getattr(self, name) for name in f"{names} {more} {last}".split()}

    @property
    def call_arguments(self) -> dict[str, Any]:
        """What the pipeline's last call was passed, less what differs between images; empty before the first one."""
        guidance = self._text_guidance
        varied = {} if guidance is None or not self._has_guidance_range else {guidance.argument: self.guidance_scale}
        return {name: varied.get(name, value) for name, value in self._passed.items()}

    @property
    def pipeline(self) -> Any:
        """The pipeline of diffusers while it is loaded, otherwise None."""
        return None if self._loaded is None else self._loaded.pipeline

    def check(self, classes: Sequence[str]) -> None:
        """Check all that can be checked before the model is loaded; imports no torch.

        Raises:
            UserError: an invalid setting, a folder that does not exist, a hub without the model or out of reach, or
                classes that the model was not trained on.
        """
        self._check_values()
        foreign = [name for name in classes if self.classes is not None and name not in self.classes]
        if foreign:
            raise UserError(
                f"The model {self.model} was trained on the classes {', '.join(self.classes or ())} only, and the "
                f"dataset has {', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}: choose another model, such "
                "as generator=sd15."
            )
        folder = self._locate()
        for key, entries in self._additions().items():
            adapters.check_adapters(key, entries, self.allow_pickle)
        for key, kind in adapters.KINDS.items():
            of_classes = self._per_class(key)
            if absent := [name for name in classes if of_classes and name not in of_classes]:
                raise UserError(
                    f"generator.{key}_per_class has no {kind} of {', '.join(absent[:5])}"
                    f"{' …' if len(absent) > 5 else ''}: train one for each class with synthaug.adapt "
                    f"{'adapt.per_class=true' if key == 'lora' else 'adapt.method=textual_inversion'}."
                )
        configs = read_configs(folder)
        for name, component in self._components.items():
            check_component(name, component)
            if name == AUTOENCODER and configs and (new := read_config(component)) is not None:
                keys = ("_class_name", "latent_channels", "block_out_channels", "scaling_factor")
                old = {key: configs[1](AUTOENCODER, key) for key in keys}
                require_fitting_autoencoder(component, self.model, new, old)
        self._guidance.check(self.model, configs and configs[1])
        if configs:
            self._check_guidance(*configs)

    def _locate(self) -> Path | None:
        """Check that the model can be had; return the folder with its configuration, where that is at hand."""
        if is_single_file(self.model, self.file):
            if local_file(self.model, self.file) is None:
                check_reachable(self.model, self.revision, self.file or MODEL_INDEX)
            return None if self.base is None else locate(self.base)
        if (folder := locate(self.model)) is not None:
            return folder
        check_reachable(self.model, self.revision)
        return cached_index(self.model, self.revision)

    def load(self) -> None:
        """Load the pipeline, unless it is loaded.

        Raises:
            UserError: an invalid setting, or a model that is unreachable or damaged.
        """
        if self._loaded is not None:
            return
        self._check_values()
        additions = self._additions()
        for key, entries in additions.items():
            adapters.check_adapters(key, entries, self.allow_pickle)
        loaded = load_pipeline(
            self.model,
            self.revision,
            self.variant,
            self.scheduler,
            self.dtype,
            self.device,
            self.allow_pickle,
            self.scheduler_options,
            self.file,
            self.base,
            self.quantization,
            self._components,
        )
        attached: dict[str, Path] = {}
        if self.is_guided:
            with quiet():
                pipeline, attached = self._guidance.adapt(loaded.pipeline, self.model, loaded.dtype)
            loaded = replace(loaded, pipeline=pipeline)
        self._text_guidance = self._decide_guidance(loaded)
        self._tell_published()
        names = ["height", "width", "max_sequence_length"]
        if self.is_guided:  # the size of the real images is that of the synthetic ones
            accepted = options.call_parameters(type(loaded.pipeline))
            names = [name for name in names if name in accepted or name not in ("height", "width")]
        requested = {"num_inference_steps": self._steps, **{name: getattr(self, name) for name in names}}
        self._arguments = options.call_arguments(loaded.pipeline, self.model, requested, self._text_guidance)
        raise_all("The generator cannot be used:", self._guidance.problems(self._sampled_steps(loaded)))
        files, self._learned_words = adapters.load_adapters(loaded.pipeline, self.model, additions, self.allow_pickle)
        self._weights = weights.fingerprint({**loaded.files, **files, **attached})
        with quiet():
            memory.place_pipeline(
                self.model, loaded.pipeline, loaded.device, self.offload, self.slicing, self.tiling, self.compile
            )
        remember_texts(loaded.pipeline)
        self._loaded, self._class_in_use = loaded, None

    def _use_class(self, class_name: str) -> None:
        """Let the LoRA of a class take effect, beside those of all classes."""
        if class_name == self._class_in_use:
            return
        additions = self._additions()["lora"]
        of_classes = list(self._per_class("lora"))
        shared = len(additions) - len(of_classes)
        places = [*range(shared), shared + of_classes.index(class_name)]
        adapters.use_loras(self._require_loaded().pipeline, {place: additions[place].weight for place in places})
        self._class_in_use = class_name

    def unload(self) -> None:
        """Release the memory: the classifier trains next."""
        self._loaded = None

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Check that the text encoders read the prompts, and the negative one, to the end; loads the model.

        Raises:
            UserError: prompts that would be truncated, or that use none of the learned words.
        """
        pipeline = self._require_loaded().pipeline
        texts = [*prompts, *([self.negative_prompt] if self.negative_prompt else [])]
        of_classes = set(self.class_words.values())  # of which prompts of some classes alone have not all
        unused = [word for word in self._learned_words if not any(word in text for text in texts)]
        if not of_classes <= set(unused):
            unused = [word for word in unused if word not in of_classes]
        raise_all(
            "Words of generator.textual_inversion are in no prompt, so they would have no effect:",
            [f"{word!r}: write it into the prompt, or remove its file" for word in unused],
        )
        encoders.check_prompt_lengths(pipeline, self.model, texts, self.max_sequence_length)

    def seed_provenance(self, seed: int) -> dict[str, str]:
        """Return the columns of an image's manifest row that its seed decides: the guidance, where that is a range."""
        scale = self._draw_guidance(seed)
        return {"guidance": f"{scale:g}"} if scale is not None and isinstance(self.guidance_scale, list) else {}

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        sources: Sequence[Image.Image] | None = None,
        classes: Sequence[str] | None = None,
    ) -> list[Image.Image | str]:
        """Return one image per prompt, or the reason why there is none.

        Each has a random state of its own, so its place in a batch does not matter; a batch that does not fit into
        the memory is halved.

        Args:
            prompts: of the images.
            seeds: one per prompt, below 2^63.
            sources: real images in RGB, one per prompt, for a generator that is guided by them.
            classes: of the images, for a generator with a LoRA for each.

        Raises:
            UserError: what `load` raises; too little memory for a single image; what the pipeline refuses.
        """
        if self.is_guided and sources is None:
            raise UserError(f"The model {self.model} is guided by real images, and it has got none.")
        if self.has_class_loras and classes is None:
            raise UserError(f"The model {self.model} has a LoRA for each class, and the images' classes are not named.")
        self._require_loaded()
        images: list[Image.Image | str] = []
        while len(images) < len(prompts):
            batch = slice(len(images), len(images) + self._batch_limit(len(prompts)))
            if classes is not None and self.has_class_loras:
                alike = itertools.takewhile(classes[batch.start].__eq__, classes[batch])
                batch = slice(batch.start, batch.start + sum(1 for _ in alike))
                self._use_class(classes[batch.start])
            guides = sources[batch] if sources is not None and self.is_guided else ()
            arrays = self._sample_arrays(list(prompts[batch]), list(seeds[batch]), guides)
            if arrays is None:
                self._halve_batch(len(prompts[batch]))
            else:
                images += [self._to_image(array) for array in arrays]
        return images

    def provenance(self) -> dict[str, str]:
        """Return the model's columns of a manifest row: revision, weights, scheduler, versions of the libraries."""
        loaded = self._require_loaded()
        import diffusers
        import torch
        import transformers

        assert self._text_guidance is not None
        scales = self._guidance_range
        return {
            "model": self.model,
            "revision": loaded.revision,
            "scheduler": type(loaded.pipeline.scheduler).__name__,
            "steps": str(self._sampled_steps(loaded) or ""),
            "guidance": " to ".join(f"{scale:g}" for scale in dict.fromkeys(scales or ())) or self._text_guidance.scale,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "weights": self._weights,
            "dtype": loaded.dtype,
            "negative_prompt": self._text_guidance.negative or "",
        }

    def _sampled_steps(self, loaded: LoadedPipeline) -> int | None:
        """Return the denoising steps of every image; None where the pipeline has no such argument."""
        steps = self._arguments.get("num_inference_steps")
        default: int | None = options.call_defaults(type(loaded.pipeline)).get("num_inference_steps")
        return default if steps is None else steps

    def _require_loaded(self) -> LoadedPipeline:
        self.load()
        assert self._loaded is not None
        return self._loaded

    def _sample_arrays(
        self, prompts: list[str], seeds: list[int], sources: Sequence[Image.Image]
    ) -> NDArray[np.float32] | None:
        """Return images (N, height, width, channels) from 0 to 1; None if the memory is too small."""
        loaded = self._require_loaded()
        import torch

        # Noise is drawn on the CPU, so that a seed means the same image on every device (up to rounding).
        states = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        assert self._text_guidance is not None
        text_guidance = self._text_guidance.arguments(self._draw_guidance(seeds[0]), len(prompts))
        arguments: dict[str, Any] = {"prompt": prompts, "generator": states, **self._arguments, **text_guidance}
        if sources:
            size = sampled_size(loaded.pipeline, self.height, self.width)
            arguments |= self._guidance.arguments(loaded.pipeline, sources, seeds, size, self.crop)
        self._passed = _shared_arguments(arguments)
        with torch.inference_mode(), quiet():
            try:
                images: NDArray[np.float32] | None = getattr(loaded.pipeline(**arguments), "images", None)
            except Exception as error:
                if memory.is_out_of_memory(error):
                    return None
                if isinstance(error, ValueError):  # a pipeline's answer to arguments that it does not support
                    raise UserError(
                        f"The model {self.model} refuses its arguments ({one_line(error)}): change them, or take the "
                        "model's default with generator.height=null and generator.width=null."
                    ) from error
                if self.compile and type(error).__module__.startswith("torch._"):
                    raise UserError(
                        f"The model {self.model} cannot be compiled on this machine ({one_line(error)}): set "
                        "generator.compile=false."
                    ) from error
                raise
        if images is None:
            raise UserError(f"The model {self.model} does not return images: choose a text-to-image model.")
        return images

    def _batch_limit(self, size: int) -> int:
        """Return how many of `size` images to sample at once."""
        if self._has_guidance_range or self._guidance.is_one_by_one:
            return 1
        return _fitting_batch.get(self._memory_key, size)

    def _halve_batch(self, size: int) -> None:
        """Sample fewer images at once from now on."""
        loaded = self._require_loaded()
        memory.release_memory()
        if size == 1:
            default = self.height is None or self.width is None
            pixels = "the model's default size" if default else f"{self.height} x {self.width} pixels"
            raise memory.memory_error(self.model, f"one image of {pixels} in {loaded.dtype}", loaded.device)
        _fitting_batch[self._memory_key] = size // 2
        log.warning("%d images at once do not fit into the memory of %s: now %d", size, loaded.device, size // 2)

    @property
    def _memory_key(self) -> tuple[object, ...]:
        size = (self.height, self.width, self.dtype)
        return (self.model, *size, self.device, self.offload, self.slicing, self.tiling)

    def _tell_published(self) -> None:
        """Tell what the authors of distilled weights publish, where that stands in for a setting."""
        published = published_values(self.model, self._loras)
        if published is not None and None in (self.num_inference_steps, self.guidance_scale):
            text = "%s: %d steps and guidance %g where none are set, as its authors publish (%s)"
            log.info(text, self.model, published.steps, published.guidance, published.source)

    def _quantization_problems(self) -> list[str]:
        is_file = is_single_file(self.model, self.file)
        return quantization_problems(self.quantization, self.device, self.offload, is_file)

    @property
    def _steps(self) -> int | None:
        """Denoising steps: those of the configuration, or those that the authors of distilled weights publish."""
        published = published_values(self.model, self._loras)
        return published.steps if self.num_inference_steps is None and published else self.num_inference_steps

    @property
    def _loras(self) -> list[str]:
        return [lora.model for lora in adapters.parse_adapters("lora", self.lora)]

    def _decide_guidance(self, loaded: LoadedPipeline) -> Guidance:
        kind = type(loaded.pipeline)
        rule, defaults = options.guidance_rule(kind), options.call_defaults(kind)
        return self._decide(kind.__name__, rule, loaded.read, defaults)

    def _decide(self, kind: str, rule: GuidanceRule, read: ReadConfig, defaults: Mapping[str, Any]) -> Guidance:
        return decide(kind, rule, self.model, read, self._guidance_range, self.negative_prompt, defaults, self._loras)

    def _check_guidance(self, kind: str, read: ReadConfig) -> None:
        """Check the guidance against a pipeline that is not loaded, as far as the table has its class."""
        if kind in RULES:
            problems = self._decide(kind, RULES[kind], read, {}).problems
            raise_all(f"The model {self.model} does not support these settings:", problems)

    @property
    def _guidance_range(self) -> tuple[float, float] | None:
        scale = self.guidance_scale
        return scale if scale is None else (scale[0], scale[1]) if isinstance(scale, list) else (scale, scale)

    @property
    def _has_guidance_range(self) -> bool:
        return len(set(self._guidance_range or ())) > 1

    def _draw_guidance(self, seed: int) -> float | None:
        """Return the guidance scale of a seed's image, to four decimals, so that the manifest has all of it."""
        if self._guidance_range is None:
            return None
        low, high = self._guidance_range
        if low == high:
            return low
        digest = hashlib.sha256(f"guidance\0{seed}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        return min(max(round(low + share * (high - low), 4), low), high)

    def _to_image(self, pixels: NDArray[np.float32]) -> Image.Image | str:
        """Return the image of an array (height, width, channels) from 0 to 1, or why there is none."""
        height, width = pixels.shape[:2]
        if (self.height or height, self.width or width) != (height, width):
            raise UserError(
                f"generator.height={self.height}, generator.width={self.width}: {self.model} returned {height} x "
                f"{width} pixels; set sizes that it supports, or both to null."
            )
        if not np.isfinite(pixels).all():
            half = self._require_loaded().dtype != "float32"
            cause = "overflow in half precision: try generator.dtype=bfloat16 or float32"
            return f"not a number ({cause if half else 'the weights may be damaged'})"
        levels = (pixels * 255).round().astype("uint8")  # as diffusers does
        image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
        if self.crop is not None:
            if self.crop > min(image.size):  # Pillow would add a black border
                raise UserError(
                    f"generator.crop={self.crop} is more than the {image.width}x{image.height} pixels that "
                    f"{self.model} returns: lower it, or set generator.height and generator.width."
                )
            left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image.convert(self.mode)

    def _check_values(self) -> None:
        scale, is_file = self.guidance_scale, is_single_file(self.model, self.file)
        numbers = scale if isinstance(scale, list) and len(scale) == 2 else [0 if scale is None else scale]
        valid = all(_is_number(number) and number >= 0 for number in numbers) and numbers[0] <= numbers[-1]
        checks = [
            (
                "num_inference_steps",
                self.num_inference_steps is None or self.num_inference_steps >= 1,
                "at least 1, or null for the model's default",
            ),
            (
                "guidance_scale",
                valid,
                "at least 0, which is none; a range of two, [low, high]; or null for the model's default",
            ),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("base", self.base is None or is_file, "null: it is for a model in one .safetensors file"),
            ("variant", self.variant is None or not is_file, "null: a model in one file has no variants"),
            (
                "scheduler_options",
                self.scheduler_options is None or isinstance(self.scheduler_options, dict),
                "a mapping such as {timestep_spacing: trailing}, or null",
            ),
            ("crop", self.crop is None or self.crop >= 1, "at least 1 pixel, or null"),
            ("height", self.height is None or (self.height > 0 and self.height % 8 == 0), "a multiple of 8, or null"),
            ("width", self.width is None or (self.width > 0 and self.width % 8 == 0), "a multiple of 8, or null"),
            ("mode", self.mode in MODES, f"one of {', '.join(MODES)}"),
            ("dtype", self.dtype in (None, *DTYPES), f"one of {', '.join(DTYPES)}, or null"),
            (
                "max_sequence_length",
                self.max_sequence_length is None or self.max_sequence_length >= 1,
                "at least 1 token, or null",
            ),
            ("offload", self.offload in (None, *memory.OFFLOADS), f"one of {', '.join(memory.OFFLOADS)}, or null"),
            (
                "negative_prompt",
                not self.negative_prompt or not valid or scale is None or numbers[0] > 0,
                f"empty, since guidance_scale={_format_scale(scale)} ignores it; or set a higher guidance_scale",
            ),
        ]
        problems = [f"generator.{key}={getattr(self, key)}: must be {rule}" for key, holds, rule in checks if not holds]
        for key in adapters.KINDS:
            for parse in (lambda key: adapters.parse_adapters(key, getattr(self, key)), self._per_class):
                try:
                    parse(key)
                except UserError as error:
                    problems.append(str(error))
        try:
            parse_components(self.components, self.vae)
        except UserError as error:
            problems.append(str(error))
        problems += self._guidance.problems(self.num_inference_steps)
        raise_all(
            "The generator cannot be used:",
            [*problems, *memory.missing_packages(self.offload), *self._quantization_problems()],
        )


def _shared_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call that are plain values, the same for all of its images."""
    negative = arguments.get("negative_prompt")
    shared = {**arguments, **({"negative_prompt": negative[0]} if negative else {})}
    return {name: value for name, value in shared.items() if value is None or isinstance(value, str | int | float)}


def _to_builtin(value: Any) -> Any:
    """Return a config value as lists and dicts, which JSON can hold."""
    if isinstance(value, Mapping):
        return {str(name): _to_builtin(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_builtin(item) for item in value]
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _format_scale(scale: object) -> str:
    return f"{scale:g}" if _is_number(scale) else str(scale)

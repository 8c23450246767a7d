"""Text-to-image through diffusers: the embedded model, a hub id and a local folder go the same way."""

import hashlib
import logging
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug.errors import UserError, raise_all
from synthaug.generation import adapters, encoders, memory, options, weights
from synthaug.generation.hub import locate, require_within_reach, sentence
from synthaug.generation.loading import Loaded, load_pipeline
from synthaug.generation.quiet import quiet

log = logging.getLogger(__name__)

MODES = ("RGB", "L")
DTYPES = ("float32", "float16", "bfloat16")

# How a model is sampled → images that its device's memory takes at once, found out by running out of it. Of the
# process and not of a generator, since each arm makes a generator of its own.
_most_at_once: dict[tuple[object, ...], int] = {}


class DiffusionGenerator:
    """A text-to-image model and how it is sampled. Nothing is loaded before the first image.

    Args:
        model: a hub id, a local folder in diffusers' format, or "pkg://<package>/<folder>" for package data.
        prompt: template with `{class_name}`, used where the group `prompts` names no other.
        negative_prompt: what to steer away from.
        num_inference_steps: denoising steps.
        guidance_scale: strength of classifier-free guidance; 1 and less is none. Two numbers are a range, of which each
            image draws its own by its seed; a pipeline takes one number a call, so images are then sampled singly.
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
        lora: a file, folder or hub id, or a list of them or of mappings with the fields of `adapters.Adapter`.
        textual_inversion: the same of words learned by textual inversion.
        max_sequence_length: tokens that a text encoder of the T5 kind reads; None is the pipeline's own number.
        offload: "model" or "sequential" keeps weights in main memory until they are needed; None keeps all on device.
        slicing: attention and decoder take images one by one, which needs less memory.
        tiling: the decoder takes large images tile by tile.
        compile: compile the denoiser, which takes minutes once and makes it faster.
        allow_pickle: load weights that come as pickles only, which can run any code when they are read.
    """

    def __init__(
        self,
        model: str,
        prompt: str,
        negative_prompt: str = "",
        num_inference_steps: int = 30,
        guidance_scale: float | Sequence[float] = 7.5,
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
        lora: str | Mapping[str, Any] | Sequence[Any] | None = None,
        textual_inversion: str | Mapping[str, Any] | Sequence[Any] | None = None,
        max_sequence_length: int | None = None,
        offload: str | None = None,
        slicing: bool = False,
        tiling: bool = False,
        compile: bool = False,
        allow_pickle: bool = False,
    ) -> None:
        self.model = model
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = _plain(guidance_scale)
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
        self.lora = _plain(lora)
        self.textual_inversion = _plain(textual_inversion)
        self.max_sequence_length = max_sequence_length
        self.offload = offload
        self.slicing = slicing
        self.tiling = tiling
        self.compile = compile
        self.allow_pickle = allow_pickle
        self._loaded: Loaded | None = None
        self._arguments: dict[str, Any] = {}
        self._weights = ""
        self._words: list[str] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What decides how the images look: two sets that differ here must not be mixed."""
        names = "model revision variant negative_prompt scheduler num_inference_steps guidance_scale"
        more = "height width crop mode dtype lora textual_inversion max_sequence_length"
        return {name: getattr(self, name) for name in f"{names} {more}".split()}

    @property
    def pipeline(self) -> Any:
        """The pipeline of diffusers while it is loaded, else None."""
        return None if self._loaded is None else self._loaded.pipeline

    def check(self, classes: Sequence[str]) -> None:
        """Find out what can be known before the model is loaded; imports no torch.

        Raises:
            UserError: a setting that cannot be, a folder that does not exist, a hub that cannot be asked for the
                model, or classes that this model cannot paint.
        """
        self._check_values()
        foreign = [name for name in classes if self.classes is not None and name not in self.classes]
        if foreign:
            raise UserError(
                f"The model {self.model} knows only the classes {', '.join(self.classes or ())}, and the dataset has "
                f"{', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}: choose another, such as generator=sd15."
            )
        if locate(self.model) is None:
            require_within_reach(self.model, self.revision)
        for key in adapters.KINDS:
            adapters.check(key, adapters.read(key, getattr(self, key)), self.allow_pickle)

    def load(self) -> None:
        """Load the pipeline; the place where a missing model is found out.

        Raises:
            UserError: a setting that cannot be, or a model that is out of reach or broken, with the way out.
        """
        if self._loaded is not None:
            return
        self._check_values()
        added = {key: adapters.read(key, getattr(self, key)) for key in adapters.KINDS}
        for key, entries in added.items():
            adapters.check(key, entries, self.allow_pickle)
        loaded = load_pipeline(
            self.model, self.revision, self.variant, self.scheduler, self.dtype, self.device, self.allow_pickle
        )
        names = ("num_inference_steps", "height", "width", "max_sequence_length")
        self._arguments = options.arguments(
            loaded.pipeline,
            self.model,
            {name: getattr(self, name) for name in names},
            self._range,
            self.negative_prompt,
        )
        files, self._words = adapters.load(loaded.pipeline, self.model, added, self.allow_pickle)
        self._weights = weights.fingerprint({**loaded.files, **files})
        with quiet():
            memory.place(
                self.model, loaded.pipeline, loaded.device, self.offload, self.slicing, self.tiling, self.compile
            )
        self._loaded = loaded

    def unload(self) -> None:
        """Give the memory back: the classifier trains next."""
        self._loaded = None

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Find out whether prompts, and the negative one, are read to their end; loads the model.

        Raises:
            UserError: prompts that would be cut off, or that have none of the words which were loaded for them.
        """
        pipeline = self._ready().pipeline
        asked = [*prompts, *([self.negative_prompt] if self.negative_prompt else [])]
        idle = [word for word in self._words if not any(word in prompt for prompt in asked)]
        raise_all(
            "Words that generator.textual_inversion loads stand in no prompt, so they would do nothing:",
            [f"{word!r}: write it into the prompt, or leave its file out" for word in idle],
        )
        encoders.refuse_cut(pipeline, self.model, asked, self.max_sequence_length)

    def seed_provenance(self, seed: int) -> dict[str, str]:
        """What an image's manifest row says that the seed decides: its guidance, where that is a range."""
        low, high = self._range
        return {} if low == high else {"guidance": f"{self._guidance(seed):g}"}

    def sample(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | str]:
        """One image per prompt, or the reason why there is none.

        Each has a random state of its own, so its place in a batch does not matter; a batch that the memory does not
        take is made in halves.

        Raises:
            UserError: what `load` raises; a memory that does not take a single image; what the pipeline refuses.
        """
        self._ready()
        pairs = list(zip(prompts, seeds, strict=True))
        made: list[Image.Image | str] = []
        while len(made) < len(pairs):
            batch = pairs[len(made) :][: self._portion(len(pairs))]
            arrays = self._paint([prompt for prompt, _ in batch], [seed for _, seed in batch])
            if arrays is None:
                self._halve(len(batch))
            else:
                made += [self._finish(array) for array in arrays]
        return made

    def provenance(self) -> dict[str, str]:
        """What a manifest row says of the model: revision, weights, scheduler and library versions, all as text."""
        loaded = self._ready()
        import diffusers
        import torch
        import transformers

        low, high = self._range
        return {
            "model": self.model,
            "revision": loaded.revision,
            "scheduler": type(loaded.pipeline.scheduler).__name__,
            "steps": str(self.num_inference_steps),
            "guidance": f"{low:g}" if low == high else f"{low:g} to {high:g}",
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "weights": self._weights,
            "dtype": loaded.dtype,
        }

    def _ready(self) -> Loaded:
        self.load()
        assert self._loaded is not None
        return self._loaded

    def _paint(self, prompts: list[str], seeds: list[int]) -> NDArray[np.float32] | None:
        """Images (N, height, width, channels) from 0 to 1; None if the memory does not do."""
        loaded = self._ready()
        import torch

        # Noise is drawn on the CPU, so that a seed means the same image on every device (up to rounding).
        states = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        changing: dict[str, Any] = {"prompt": prompts, "generator": states}
        if self.negative_prompt:
            changing["negative_prompt"] = [self.negative_prompt] * len(prompts)
        if options.takes_guidance(loaded.pipeline):
            changing["guidance_scale"] = self._guidance(seeds[0])
        with torch.inference_mode(), quiet():
            try:
                images: NDArray[np.float32] | None = getattr(
                    loaded.pipeline(**changing, **self._arguments), "images", None
                )
            except Exception as error:
                if memory.ran_out(error):
                    return None
                if isinstance(error, ValueError):  # how a pipeline says that it does not take what it was given
                    raise UserError(
                        f"The model {self.model} refuses what it is asked for ({sentence(error)}): change that, or "
                        "take the model's own with generator.height=null and generator.width=null."
                    ) from error
                if self.compile and type(error).__module__.startswith("torch._"):
                    raise UserError(
                        f"The model {self.model} cannot be compiled here ({sentence(error)}): set "
                        "generator.compile=false."
                    ) from error
                raise
        if images is None:
            raise UserError(f"The model {self.model} makes something else than images: take a text-to-image model.")
        return images

    def _portion(self, most: int) -> int:
        """How many images to sample at once."""
        low, high = self._range
        return 1 if low != high else _most_at_once.get(self._kind_of_call, most)

    def _halve(self, size: int) -> None:
        """Take fewer images at once from now on."""
        loaded = self._ready()
        memory.free()
        if size == 1:
            own = self.height is None or self.width is None
            size_of_one = "the model's own size" if own else f"{self.height} x {self.width} pixels"
            raise memory.not_enough(self.model, f"one image of {size_of_one} in {loaded.dtype}", loaded.device)
        _most_at_once[self._kind_of_call] = size // 2
        log.warning("The memory of %s does not take %d images at once: %d from now on", loaded.device, size, size // 2)

    @property
    def _kind_of_call(self) -> tuple[object, ...]:
        size = (self.height, self.width, self.dtype)
        return (self.model, *size, self.device, self.offload, self.slicing, self.tiling)

    @property
    def _range(self) -> tuple[float, float]:
        if isinstance(self.guidance_scale, list):
            return self.guidance_scale[0], self.guidance_scale[1]
        return self.guidance_scale, self.guidance_scale

    def _guidance(self, seed: int) -> float:
        """The guidance of the image of a seed; four decimals, so that the manifest has all of it."""
        low, high = self._range
        if low == high:
            return low
        digest = hashlib.sha256(f"guidance\0{seed}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        return min(max(round(low + share * (high - low), 4), low), high)

    def _finish(self, pixels: NDArray[np.float32]) -> Image.Image | str:
        """The image of an array (height, width, channels) from 0 to 1, or why there is none."""
        height, width = pixels.shape[:2]
        if (self.height or height, self.width or width) != (height, width):
            raise UserError(
                f"generator.height={self.height}, generator.width={self.width}: {self.model} made {height} x {width} "
                "pixels of it; ask for sizes that it has, or set both to null."
            )
        if not np.isfinite(pixels).all():
            half = self._ready().dtype != "float32"
            cause = "overflow in half precision: try generator.dtype=bfloat16 or float32"
            return f"not a number ({cause if half else 'the weights may be damaged'})"
        levels = (pixels * 255).round().astype("uint8")  # as diffusers does
        image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
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
        scale = self.guidance_scale
        numbers = scale if isinstance(scale, list) and len(scale) == 2 else [scale]
        guided = all(_is_number(number) and number >= 0 for number in numbers) and numbers[0] <= numbers[-1]
        checks = [
            ("num_inference_steps", self.num_inference_steps >= 1, "at least 1"),
            ("guidance_scale", guided, "at least 0, where 1 is no guidance; or a range of two, [low, high]"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
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
                not self.negative_prompt or not guided or numbers[0] > 1,
                f"empty, since guidance_scale={_shown(scale)} leaves it out; or guidance_scale above 1",
            ),
        ]
        wrong = [f"generator.{key}={getattr(self, key)}: must be {rule}" for key, fine, rule in checks if not fine]
        for key in adapters.KINDS:
            try:
                adapters.read(key, getattr(self, key))
            except UserError as error:
                wrong.append(str(error))
        raise_all("The generator cannot be used:", [*wrong, *memory.lacking(self.offload)])


def _plain(value: Any) -> Any:
    """A config value as plain lists and mappings, which can be written down."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(scale: object) -> str:
    return f"{scale:g}" if _is_number(scale) else str(scale)

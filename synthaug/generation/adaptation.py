"""Training of a LoRA or a word: a text-to-image model of the Stable Diffusion family is adapted to a few images.

Latents are encoded once, and prompts too where their encoder stays as it is.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.errors import UserError, raise_all
from synthaug.generation.autoencoder import encode_images
from synthaug.generation.encoders import check_prompt_lengths
from synthaug.generation.image_guidance import sampled_size
from synthaug.generation.learned_words import LearnedWord, learned_word, save_word
from synthaug.generation.memory import is_out_of_memory, memory_error
from synthaug.generation.options import read_component
from synthaug.generation.pipeline_guidance import is_turbo, published_values
from synthaug.generation.quiet import quiet
from synthaug.generation.training_loop import OptimizerSettings, batch_indices, optimize, step_seed

log = logging.getLogger(__name__)

LORA, TEXTUAL_INVERSION = "lora", "textual_inversion"
LEARNING_RATES = {LORA: 1e-4, TEXTUAL_INVERSION: 5e-4}  # as the examples of diffusers have them
LAYERS = {
    "attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "all": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2"],
}
WEIGHTS = "pytorch_lora_weights.safetensors"
_LEAST_PSNR = 12  # dB; below, an autoencoder shows something else than the image
_FAMILY = ("StableDiffusion", "StableDiffusionXL")
_NAME = "adapted"  # of the LoRA within the denoiser


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained.

    Attributes:
        method: "lora", or "textual_inversion" for a word that stands for the images.
        steps: optimizer steps.
        rank: of the LoRA's matrices.
        vectors: of a word: as how many tokens it is read.
        initializer: words from whose meaning a word begins; None: the name of its class.
        lr: learning rate, which falls to 0 along a cosine; None: the method's.
        batch_size: images per step.
        layers: "attention" for its projections, "all" for the other layers of blocks as well.
        resolution: side of the training images in pixels; None is the model's own.
        autoencoder: whether the model's autoencoder is trained on the images first.
        autoencoder_steps: of that training.
        autoencoder_lr: its learning rate.
        prompt_dropout: share of the images that are trained without their prompt, for classifier-free guidance; a word
            would learn nothing from them, and does without.
        snr_gamma: least signal-to-noise ratio above which time steps are weighted down (Hang et al. 2023); None weighs
            all alike.
        seed: of initial weights, order, noise and time steps.
    """

    method: str = LORA
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
    seed: int = 0

    @property
    def rate(self) -> float:
        """The learning rate at the beginning."""
        return LEARNING_RATES[self.method] if self.lr is None else self.lr

    @property
    def dropout(self) -> float:
        """The share of images that are trained without their prompt."""
        return self.prompt_dropout if self.method == LORA else 0.0


@dataclass(frozen=True)
class _Encoded:
    """What a step is computed from: latents, the mean of what the encoder says; prompts, and what encodes one."""

    latents: Any
    prompts: Sequence[str]
    encode: Callable[[str], dict[str, Any]]


def check_pipeline(pipeline: Any, model: str) -> None:
    """Check that a pipeline's denoiser can be adapted.

    Args:
        pipeline: of diffusers.
        model: its name.

    Raises:
        UserError: it is of another architecture, or distilled.
    """
    kind = type(pipeline).__name__
    unet: Any = getattr(pipeline, "unet", None)
    if unet is None or not kind.startswith(_FAMILY):
        raise UserError(
            f"synthaug.adapt: {model} is a {kind}, and only UNets of the Stable Diffusion family (1.5, 2, XL) are "
            "adapted. Train a LoRA with a script for this architecture (diffusers has some in examples/dreambooth) and "
            "use its file with generator.lora=<file>; or adapt another model, such as generator=sd15."
        )
    is_guided_by_number = unet.config.time_cond_proj_dim is not None
    if published_values(model) or is_guided_by_number or is_turbo(partial(read_component, pipeline)):
        raise UserError(
            f"synthaug.adapt: {model} is distilled to a few steps, which training on noise undoes: adapt the model "
            "that it was distilled from, such as generator=sd15 or sdxl."
        )


def train_adapter(
    pipeline: Any,
    model: str,
    images: Sequence[Image.Image],
    prompts: Sequence[str],
    recipe: Recipe,
    checkpoint: Path,
    destination: Path,
    size: tuple[int, int] | None = None,
    crop: int | None = None,
    title: str = "adapting",
    word: LearnedWord | None = None,
) -> list[float]:
    """Train a LoRA for a pipeline's denoiser, or a word, and write its file, which any program for diffusers reads.

    Args:
        pipeline: on its device; comes back as it was.
        model: its name.
        images: RGB, of any size.
        prompts: one per image.
        recipe: of the training.
        checkpoint: file of the state, written every minute and when the training is stopped; gone at the end.
        destination: folder of the adapter's file.
        size: height and width of the training images; None is the model's own.
        crop: side of the centre square that is kept of the model's images.
        title: of the progress bar.
        word: that is learned, which the prompts use; None trains a LoRA.

    Returns:
        The loss of every step.

    Raises:
        UserError: a pipeline of another family; an autoencoder that cannot show the images; too little memory.
    """
    check_pipeline(pipeline, model)
    import torch

    device = str(pipeline.device)
    size = size or sampled_size(pipeline, None, None)
    encode = partial(_encode_prompt, pipeline, size=size)
    try:
        latents, psnr = encode_images(pipeline, images, size, crop)
        _check_reconstruction(model, psnr, recipe)
        latents *= pipeline.vae.config.scaling_factor
        if word is not None:
            with learned_word(pipeline, word, recipe.vectors) as learned, _frozen(pipeline, [*learned]):
                check_prompt_lengths(pipeline, model, prompts, None)
                encoded, parameters = _Encoded(latents, prompts, encode), list(learned.values())
                losses = _optimize(pipeline, encoded, parameters, recipe, checkpoint, title)
                save_word(word, learned, destination)
        else:
            with torch.no_grad(), quiet():
                texts = {text: encode(text) for text in dict.fromkeys([*prompts, ""])}
            with _frozen(pipeline), _lora(pipeline.unet, recipe) as parameters:
                encoded = _Encoded(latents, prompts, texts.__getitem__)
                losses = _optimize(pipeline, encoded, parameters, recipe, checkpoint, title)
                _save(pipeline, destination)
    except Exception as error:
        if is_out_of_memory(error):
            raise memory_error(model, f"its training with adapt.batch_size={recipe.batch_size}", device) from error
        raise
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    checkpoint.unlink(missing_ok=True)
    return losses


def _check_reconstruction(model: str, psnr: float, recipe: Recipe) -> None:
    """Refuse images that the autoencoder cannot show: what the denoiser learns of them would never be seen."""
    log.info("the autoencoder shows the images with a PSNR of %.1f dB", psnr)
    if psnr < _LEAST_PSNR:
        steps, rate = recipe.autoencoder_steps, recipe.autoencoder_lr
        remedy = (
            f"Raise adapt.autoencoder_steps={steps} or adapt.autoencoder_lr={rate:g}"
            if recipe.autoencoder
            else "Have it trained on them first with adapt.autoencoder=true, set another with generator.vae"
        )
        raise UserError(
            f"synthaug.adapt: the autoencoder of {model} cannot show these images (PSNR {psnr:.1f} dB after encoding "
            f"and decoding, {_LEAST_PSNR} are the least), and no LoRA or word changes it: its images would look like "
            f"nothing. {remedy}, or choose a model that was trained on images of this kind."
        )


def _encode_prompt(pipeline: Any, text: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the conditions of the denoiser for a prompt."""
    import torch

    encoded = type(pipeline).encode_prompt(  # and not what a loaded pipeline remembers
        pipeline, prompt=text, device=pipeline.device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    conditions = {"encoder_hidden_states": encoded[0]}
    if pipeline.unet.config.addition_embed_type == "text_time":
        conditions["text_embeds"] = encoded[2]
        conditions["time_ids"] = torch.tensor([[*size, 0, 0, *size]], dtype=encoded[0].dtype, device=pipeline.device)
    return conditions


@contextmanager
def _frozen(pipeline: Any, encoders: Sequence[str] = ()) -> Iterator[None]:
    """Train none of the weights of the denoiser, nor of text encoders."""
    unet = pipeline.unet
    networks = [unet, *(getattr(pipeline, name) for name in encoders)]
    trained = [parameter for part in networks for parameter in part.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    checkpointing = unet.device.type != "cpu"  # where memory is scarce
    if checkpointing:
        unet.enable_gradient_checkpointing()
    unet.train()
    try:
        yield
    finally:
        if checkpointing:
            unet.disable_gradient_checkpointing()
        unet.eval()
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _lora(unet: Any, recipe: Recipe) -> Iterator[list[Any]]:
    """Give the denoiser a LoRA that is trained, and take it away at the end."""
    import torch
    from peft import LoraConfig

    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.rank, init_lora_weights="gaussian", target_modules=LAYERS[recipe.layers]
    )
    state = torch.get_rng_state()
    torch.manual_seed(recipe.seed)
    unet.add_adapter(config, adapter_name=_NAME)
    torch.set_rng_state(state)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    try:
        yield parameters
    finally:
        unet.unload_lora()


def _optimize(
    pipeline: Any, encoded: _Encoded, parameters: Sequence[Any], recipe: Recipe, checkpoint: Path, title: str
) -> list[float]:
    """Train parameters that the denoiser depends on; return the loss of every step."""
    from diffusers import DDPMScheduler

    unet = pipeline.unet
    with quiet():
        schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
    settings = OptimizerSettings(recipe.steps, recipe.rate, "adapt.lr", recipe, title)
    return optimize(
        lambda step: _loss(unet, schedule, encoded, recipe, step),
        parameters, settings, checkpoint, pipeline.device, unet.dtype,
    )  # fmt: skip


def _loss(unet: Any, schedule: Any, encoded: _Encoded, recipe: Recipe, step: int) -> Any:
    """Return the loss of a step: squared error of what the denoiser predicts, noise or velocity."""
    import torch

    draw = torch.Generator("cpu").manual_seed(step_seed(recipe.seed, step))
    chosen = batch_indices(len(encoded.prompts), recipe.batch_size, recipe.seed, step)
    latents = encoded.latents[chosen]
    device = latents.device
    noise = torch.randn(latents.shape, generator=draw).to(device)
    steps = torch.randint(0, schedule.config.num_train_timesteps, (len(chosen),), generator=draw).to(device)
    is_empty = (torch.rand(len(chosen), generator=draw) < recipe.dropout).tolist()
    texts = ["" if empty else encoded.prompts[index] for index, empty in zip(chosen, is_empty, strict=True)]
    encodings = {text: encoded.encode(text) for text in dict.fromkeys(texts)}
    rows = [encodings[text] for text in texts]
    conditions = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    states = conditions.pop("encoder_hidden_states")
    dtype = unet.dtype
    predicted = unet(
        schedule.add_noise(latents, noise, steps).to(dtype),
        steps,
        encoder_hidden_states=states.to(dtype),
        added_cond_kwargs=conditions or None,
    ).sample.float()
    kind = schedule.config.prediction_type
    targets = {"epsilon": noise, "v_prediction": schedule.get_velocity(latents, noise, steps), "sample": latents}
    errors = (predicted - targets[kind]).pow(2).mean(dim=(1, 2, 3))
    return (errors * _weights(schedule, steps, kind, recipe.snr_gamma)).mean()


def _weights(schedule: Any, steps: Any, kind: str, gamma: float | None) -> Any:
    """Return the min-SNR weights of time steps (Hang et al. 2023, https://arxiv.org/abs/2303.09556)."""
    import torch

    if gamma is None:
        return torch.ones(len(steps), device=steps.device)
    signal = schedule.alphas_cumprod.to(steps.device)[steps]
    ratio = signal / (1 - signal).clamp(min=1e-8)
    capped = ratio.clamp(max=gamma)
    return {"epsilon": capped / ratio.clamp(min=1e-8), "v_prediction": capped / (ratio + 1), "sample": capped}[kind]


def _save(pipeline: Any, destination: Path) -> None:
    import torch
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet, adapter_name=_NAME))
    layers = {name: tensor.to("cpu", torch.float32).contiguous() for name, tensor in layers.items()}
    destination.mkdir(parents=True, exist_ok=True)
    with quiet():
        type(pipeline).save_lora_weights(str(destination), unet_lora_layers=layers, weight_name=WEIGHTS)


def check_recipe(recipe: Recipe) -> None:
    """Check a recipe, before anything is loaded.

    Raises:
        UserError: all that is wrong with it.
    """
    is_word = recipe.method == TEXTUAL_INVERSION
    rules = [
        ("method", recipe.method in LEARNING_RATES, f"one of {', '.join(LEARNING_RATES)}"),
        ("steps", recipe.steps >= 1, "at least 1"),
        ("rank", recipe.rank >= 1, "at least 1"),
        ("vectors", recipe.vectors >= 1, "at least 1"),
        ("vectors", is_word or recipe.vectors <= 1, f"1, or adapt.method={TEXTUAL_INVERSION}"),
        ("initializer", is_word or recipe.initializer is None, f"null, or adapt.method={TEXTUAL_INVERSION}"),
        ("lr", recipe.lr is None or recipe.lr > 0, "more than 0, or null"),
        ("batch_size", recipe.batch_size >= 1, "at least 1"),
        ("layers", recipe.layers in LAYERS, f"one of {', '.join(LAYERS)}"),
        (
            "resolution",
            recipe.resolution is None or (recipe.resolution > 0 and recipe.resolution % 8 == 0),
            "a multiple of 8, or null",
        ),
        ("autoencoder_steps", recipe.autoencoder_steps >= 1, "at least 1"),
        ("autoencoder_lr", recipe.autoencoder_lr > 0, "more than 0"),
        ("prompt_dropout", 0 <= recipe.prompt_dropout < 1, "at least 0 and less than 1"),
        ("snr_gamma", recipe.snr_gamma is None or recipe.snr_gamma > 0, "more than 0, or null"),
    ]
    raise_all(
        "synthaug.adapt cannot begin:",
        [f"adapt.{name}={getattr(recipe, name)}: must be {rule}" for name, holds, rule in rules if not holds],
    )

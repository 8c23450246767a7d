"""The autoencoder of a latent diffusion model: how well it shows images, and its training on a few."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthaug.generation.image_guidance import fit
from synthaug.generation.quiet import quiet
from synthaug.generation.training_loop import OptimizerSettings, batch_indices, optimize, step_seed

_RECONSTRUCTIONS = 16  # images that an autoencoder is tried on
_DIVERGENCE = 1e-6  # weight of the latents' divergence from a normal distribution, as of Stable Diffusion's


def encode_images(
    pipeline: Any, images: Sequence[Image.Image], size: tuple[int, int], crop: int | None
) -> tuple[Any, float]:
    """Encode images.

    Args:
        pipeline: of diffusers.
        images: RGB.
        size: height and width to encode them in.
        crop: side of the centre square that is kept of the model's images.

    Returns:
        The mean of what the encoder says of each, (images, channels, height, width), not scaled; and how well some of
        the images are shown, as `reconstruction` has it.
    """
    import torch

    autoencoder, means, errors = pipeline.vae, [], list[float]()
    is_half = getattr(autoencoder.config, "force_upcast", False) and autoencoder.dtype == torch.float16
    tried = set(range(0, len(images), max(1, len(images) // _RECONSTRUCTIONS)))
    with torch.no_grad(), quiet(), _in_dtype(autoencoder, torch.float32 if is_half else autoencoder.dtype):
        for number, image in enumerate(images):
            pixels = _pixels([image], size, crop).to(pipeline.device, autoencoder.dtype)
            mean = autoencoder.encode(pixels).latent_dist.mean
            if number in tried:
                shown = autoencoder.decode(mean).sample.clamp(-1, 1)
                errors.append(float(((shown - pixels).float() / 2).pow(2).mean()))
            means.append(mean.float())
    return torch.cat(means), -10 * float(np.log10(max(float(np.mean(errors)), 1e-10)))


def train_autoencoder(
    pipeline: Any,
    images: Sequence[Image.Image],
    settings: OptimizerSettings,
    batch_size: int,
    seed: int,
    checkpoint: Path,
    destination: Path,
    size: tuple[int, int],
    crop: int | None,
) -> tuple[float, float]:
    """Train a pipeline's autoencoder, encoder and decoder, on images, and write it as diffusers does.

    The loss is the squared error of the pixels, and the divergence of the latents with Stable Diffusion's weight
    (Rombach et al. 2022, https://arxiv.org/abs/2112.10752), without their perceptual and adversarial terms: those need
    networks of their own.

    Args:
        pipeline: on its device; its autoencoder is changed.
        images: RGB.
        settings: steps and learning rate.
        batch_size: images per step.
        seed: of their order and the noise.
        checkpoint: file of the state; gone at the end.
        destination: folder of the trained autoencoder.
        size: height and width of the training images.
        crop: side of the centre square that is kept of the model's images.

    Returns:
        Reconstruction of the images before and after, a peak signal-to-noise ratio in dB.
    """
    import torch

    autoencoder = pipeline.vae
    _, before = encode_images(pipeline, images, size, crop)
    parameters = list(autoencoder.parameters())

    def compute_loss(step: int) -> Any:
        draw = torch.Generator("cpu").manual_seed(step_seed(seed, step))
        chosen = batch_indices(len(images), batch_size, seed, step)
        pixels = _pixels([images[index] for index in chosen], size, crop).to(pipeline.device)
        latents = autoencoder.encode(pixels).latent_dist
        noise = torch.randn(latents.mean.shape, generator=draw).to(pipeline.device)
        shown = autoencoder.decode(latents.mean + latents.std * noise).sample
        return (shown - pixels).pow(2).mean() + _DIVERGENCE * latents.kl().mean()

    with _in_dtype(autoencoder, torch.float32):
        autoencoder.train()
        try:
            optimize(compute_loss, parameters, settings, checkpoint, pipeline.device, torch.float32)
        finally:
            autoencoder.eval()
        with quiet():
            autoencoder.save_pretrained(destination)
    _, after = encode_images(pipeline, images, size, crop)
    checkpoint.unlink(missing_ok=True)
    return before, after


@contextmanager
def _in_dtype(autoencoder: Any, dtype: Any) -> Iterator[None]:
    original = autoencoder.dtype
    if original == dtype:
        yield
        return
    with quiet():
        autoencoder.to(dtype)
    try:
        yield
    finally:
        with quiet():
            autoencoder.to(original)


def _pixels(images: Sequence[Image.Image], size: tuple[int, int], crop: int | None) -> Any:
    """Return images from -1 to 1, (images, channels, height, width)."""
    import torch

    levels = np.stack([np.asarray(fit(image, size, crop), dtype=np.float32) for image in images])
    return torch.from_numpy(levels).permute(0, 3, 1, 2) / 127.5 - 1

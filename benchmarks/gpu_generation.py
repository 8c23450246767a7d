"""Sampling by the product against the bare passes of its networks, with random weights in the size of SD 1.5.

    python -m benchmarks.gpu_generation                  # on a GPU: 512 px, 25 steps, batches of 8
    python -m benchmarks.gpu_generation --tiny           # on any machine, to see that it works

A pair is one batch by `DiffusionGenerator.sample` (text, guidance, scheduler, decoding, pictures) and what its networks
alone take for it: as many passes of the denoiser on twice the batch, and one of the decoder. The ratio is images a
second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch

from synthaug.generation.diffusion import DiffusionGenerator
from tests.factories.pipelines import LONGEST, build_tokenizer, clip_encoder, save_pipeline


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a pipeline of a few ten thousand parameters")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    batch, steps = arguments.batch, arguments.steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_pipeline(folder / "model") if arguments.tiny else save_stable_diffusion(folder / "model")
        generator = DiffusionGenerator(str(model), "a {class_name}", num_inference_steps=steps, guidance_scale=7.5)
        generator.batch_size = batch
        generator.load()
        prompts = ["a cat"] * batch

        def sample() -> object:
            return generator.sample(prompts, list(range(batch)))

        calls: list[Any] = []
        counting = generator.pipeline.unet.register_forward_hook(lambda *_: calls.append(None))
        sample()  # which also pays for what is allocated once
        counting.remove()
        bare = bare_passes(generator.pipeline, batch, len(calls))
        bare()
        pairs = [(seconds(sample), seconds(bare)) for _ in range(arguments.pairs)]
    ratios = [alone / product for product, alone in pairs]
    rate = batch / statistics.median(product for product, _ in pairs)
    print(
        f"generation: {statistics.median(ratios):.2f} of the bare passes, {min(ratios):.2f} to {max(ratios):.2f} in "
        f"{len(ratios)} pairs; {rate:.2f} images a second"
    )


def save_stable_diffusion(folder: Path) -> Path:
    """Save a pipeline of random weights with the sizes of Stable Diffusion 1.5, in half precision.

    Args:
        folder: where it goes.
    """
    tokenizer = build_tokenizer()
    text_encoder = clip_encoder(
        tokenizer,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        initializer_factor=1.0,
    )
    widths = (128, 256, 512, 512)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
            sample_size=512,
        ),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        scheduler=diffusers.PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    return folder


def bare_passes(pipeline: Any, batch: int, passes: int) -> Callable[[], object]:
    """Return what a batch costs its networks alone.

    Args:
        pipeline: a loaded Stable Diffusion pipeline.
        batch: images.
        passes: of the denoiser.
    """
    unet, decoder = pipeline.unet, pipeline.vae
    like = {"device": unet.device, "dtype": unet.dtype}
    side, channels = unet.config.sample_size, unet.config.in_channels
    latents = torch.randn(2 * batch, channels, side, side, **like)
    texts = torch.randn(2 * batch, LONGEST, unet.config.cross_attention_dim, **like)
    time_step = torch.tensor(500, device=unet.device)

    @torch.inference_mode()
    def passes_alone() -> object:
        for _ in range(passes):
            unet(latents, time_step, encoder_hidden_states=texts)
        return decoder.decode(latents[:batch].to(decoder.dtype)).sample.cpu()

    return passes_alone


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes, the GPU's work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

"""Train `tiny_digits`, a text-to-image latent diffusion model of handwritten digits, from scratch.

Reads the 2,000 digits of the part `generator` (see `synthaug.data.sources.digits`) and nothing else; writes a
folder that `StableDiffusionPipeline.from_pretrained` loads. Step counts and seeds are fixed below.
23 minutes of one CPU core. Expect 0.0195 as the last loss of the autoencoder and 0.3673 of the denoiser,
then label fidelity 99.6 % (README.md has all figures).

Run from the root of the checkout, then measure with `measure.py`:

    PYTHONPATH=. OMP_NUM_THREADS=1 python experiments/tiny_digits/train.py --out synthaug/assets/tiny_digits
"""

# mypy: allow-untyped-calls

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from digits import jitter, load_part
from prompts import END, MAX_TOKENS, START, build_tokenizer, check_tokenizer, prompts_of
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

AUTOENCODER_STEPS, AUTOENCODER_BATCH, AUTOENCODER_RATE, AUTOENCODER_SEED = 1_800, 32, 2e-3, 1
DENOISER_STEPS, DENOISER_BATCH, DENOISER_RATE, DENOISER_SEED = 3_600, 64, 1.5e-3, 2
VARIANTS = 8  # each digit once as it is, the others jittered
EMPTY_PROMPTS = 0.1  # share of examples without a prompt, for classifier-free guidance
EMA_DECAY = 0.998
LOG_VARIANCE = -12.0  # of the latents of an image
DEAD_CHANNEL = 0.05  # a latent channel with a smaller deviation carries nothing: left as it is
JITTER = {"degrees": 6.0, "scale": 0.06, "shear": 0.08}
NOISE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "steps_offset": 1,
}
Model = Any  # diffusers and its lazy imports carry no types


def build_autoencoder() -> Model:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=1.0,
        force_upcast=False,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    ids = tokenizer.get_vocab()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=256,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=ids[START],
        eos_token_id=ids[END],
        pad_token_id=ids[END],
    )
    return CLIPTextModel(config)


def build_unet() -> Model:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=4,  # in this class: the number of heads
        norm_num_groups=16,
    )


def cosine(optimizer: torch.optim.Optimizer, steps: int, warmup: int = 50) -> LambdaLR:
    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))

    return LambdaLR(optimizer, factor)


def report(stage: str, step: int, loss: float, started: float) -> None:
    print(f"{stage} {step:5d}  loss {loss:.4f}  {time.perf_counter() - started:6.0f} s", flush=True)


def train_autoencoder(images: Tensor) -> Model:
    """Half of each batch is jittered. Loss: squared error + 0.5 absolute error + 2e-5 KL (per image)."""
    torch.manual_seed(AUTOENCODER_SEED)
    random = torch.Generator().manual_seed(AUTOENCODER_SEED)
    model = build_autoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), AUTOENCODER_RATE, weight_decay=1e-4)
    rate = cosine(optimizer, AUTOENCODER_STEPS)
    started, running = time.perf_counter(), 0.0
    for step in range(1, AUTOENCODER_STEPS + 1):
        batch = images[torch.randint(len(images), (AUTOENCODER_BATCH,), generator=random)]
        half = AUTOENCODER_BATCH // 2
        batch = torch.cat([batch[:half], jitter(batch[half:], random, **JITTER)])
        posterior = model.encode(batch).latent_dist
        decoded = model.decode(posterior.sample(generator=random)).sample
        error = functional.mse_loss(decoded, batch) + 0.5 * functional.l1_loss(decoded, batch)
        loss = error + 2e-5 * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        running += loss.item() / 100
        if step % 100 == 0:
            report("autoencoder", step, running, started)
            running = 0.0
    return model.eval().requires_grad_(False)


@torch.no_grad()
def encode(model: Model, images: Tensor) -> Tensor:
    return torch.cat([model.encode(batch).latent_dist.mean for batch in images.split(100)])


@torch.no_grad()
def standardize(model: Model, images: Tensor) -> None:
    """Fold the latents' mean and deviation into the two 1x1 convolutions, so that latents are ~N(0, 1)."""
    quant, post = model.quant_conv, model.post_quant_conv
    latents = encode(model, images)
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    dead = deviation < DEAD_CHANNEL
    print(f"latents: mean {mean.tolist()}, deviation {deviation.tolist()}", flush=True)
    mean, deviation = mean.masked_fill(dead, 0.0), deviation.masked_fill(dead, 1.0)
    channels = len(mean)
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= deviation[None, :, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / deviation
    quant.weight[:channels] /= deviation[:, None, None, None]
    # The second half predicts the log variance. The denoiser knows the means alone, and in a channel that the decoder
    # hardly looks at the deviation is 2.6 times theirs: image-to-image, which draws, would begin with noise.
    quant.weight[channels:] = 0
    quant.bias[channels:] = LOG_VARIANCE


def jittered_copies(images: Tensor) -> list[Tensor]:
    random = torch.Generator().manual_seed(DENOISER_SEED)
    return [jitter(images, random, **JITTER) for _ in range(VARIANTS - 1)]


def variants(model: Model, images: Tensor) -> Tensor:
    """Latents of every digit as it is and of its jittered copies: (VARIANTS, n, 4, 8, 8)."""
    return torch.stack([encode(model, copied) for copied in (images, *jittered_copies(images))])


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def train_denoiser(latents: Tensor, labels: Tensor, tokenizer: CLIPTokenizer) -> tuple[Model, Model]:
    """UNet and text encoder together, by v-prediction; returns their moving averages."""
    torch.manual_seed(DENOISER_SEED)
    random = torch.Generator().manual_seed(DENOISER_SEED)
    model = nn.ModuleDict({"unet": build_unet(), "text": build_text_encoder(tokenizer)})
    average = copy.deepcopy(model).requires_grad_(False)
    schedule: Model = DDPMScheduler(**NOISE)
    prompts = [*(prompt for digit in range(10) for prompt in prompts_of(digit)), ""]
    tokens = tokenizer(prompts, padding="max_length", max_length=MAX_TOKENS, return_tensors="pt").input_ids
    per_digit, empty = (len(prompts) - 1) // 10, len(prompts) - 1
    optimizer = torch.optim.AdamW(model.parameters(), DENOISER_RATE, weight_decay=1e-3)
    rate = cosine(optimizer, DENOISER_STEPS)
    size = (DENOISER_BATCH,)
    started, running = time.perf_counter(), 0.0
    for step in range(1, DENOISER_STEPS + 1):
        index = torch.randint(len(labels), size, generator=random)
        clean = latents[torch.randint(VARIANTS, size, generator=random), index]
        prompt = labels[index] * per_digit + torch.randint(per_digit, size, generator=random)
        prompt[torch.rand(size, generator=random) < EMPTY_PROMPTS] = empty
        noise = torch.randn(clean.shape, generator=random)
        times = torch.randint(schedule.config.num_train_timesteps, size, generator=random)
        context = model["text"](tokens[prompt]).last_hidden_state
        predicted = model["unet"](schedule.add_noise(clean, noise, times), times, context).sample
        loss = functional.mse_loss(predicted, schedule.get_velocity(clean, noise, times))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        follow(average, model, min(EMA_DECAY, (1 + step) / (10 + step)))
        running += loss.item() / 100
        if step % 100 == 0:
            report("denoiser", step, running, started)
            running = 0.0
    return average["unet"].eval(), average["text"].eval()


def save_pipeline(
    folder: Path,
    autoencoder: Model,
    unet: Model,
    text_encoder: Model,
    tokenizer: CLIPTokenizer,
) -> None:
    """All five components in half precision, and a check that the tokenizer comes back as it was."""
    pipeline: Model = StableDiffusionPipeline(
        vae=autoencoder.half(),
        text_encoder=text_encoder.half(),
        tokenizer=tokenizer,
        unet=unet.half(),
        scheduler=DPMSolverMultistepScheduler(**NOISE, solver_order=2, timestep_spacing="trailing"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    tidy(folder)
    loaded = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    check_tokenizer(loaded.tokenizer)
    for prompt in [*(prompt for digit in range(10) for prompt in prompts_of(digit)), "", "an unknown Wörd"]:
        if loaded.tokenizer(prompt).input_ids != tokenizer(prompt).input_ids:
            raise ValueError(f"the saved tokenizer reads {prompt!r} differently")


def tidy(folder: Path) -> None:
    """Drop `_name_or_path`, which names where a component was loaded from; let everybody read."""
    for path in filter(Path.is_file, folder.rglob("*")):
        path.chmod(0o644)
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("_name_or_path", None) is not None:
                path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the generator tiny_digits.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished pipeline")
    parser.add_argument("--autoencoder", type=Path, help="reuse this trained autoencoder, or write it there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in another order would give other weights
    images, labels = load_part("generator")
    if arguments.autoencoder and arguments.autoencoder.exists():
        autoencoder = AutoencoderKL.from_pretrained(arguments.autoencoder).eval()
    else:
        autoencoder = train_autoencoder(images)
        standardize(autoencoder, images)
        if arguments.autoencoder:
            autoencoder.save_pretrained(arguments.autoencoder)
    tokenizer = build_tokenizer()
    unet, text_encoder = train_denoiser(variants(autoencoder, images), labels, tokenizer)
    save_pipeline(arguments.out, autoencoder, unet, text_encoder, tokenizer)


if __name__ == "__main__":
    main()

"""Tiny text-to-image pipelines with random weights, of the true classes of diffusers and transformers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from synthaug.errors import UserError
from synthaug.generation.diffusion import DiffusionGenerator

Pipelines = Callable[[str], Path]  # the fixture `pipelines`: name of an architecture → folder

SIDE = 16  # pixels of its images
LONGEST = 16  # tokens that a text encoder of the CLIP kind takes
WIDE = 16  # numbers that a text encoder of the T5 kind makes of a token
START, END = "<|startoftext|>", "<|endoftext|>"


def build_generator(model: Path | str, **settings: Any) -> DiffusionGenerator:
    """Return a generator of two steps; `settings` are `DiffusionGenerator`'s."""
    return DiffusionGenerator(str(model), "a {class_name}", **{"num_inference_steps": 2, **settings})


def load_error(generator: DiffusionGenerator) -> str:
    """Return the message of the error that loading raises."""
    with pytest.raises(UserError) as caught:
        generator.load()
    return str(caught.value)


def pixels(images: Sequence[Image.Image | str]) -> NDArray[np.int64]:
    """Return images of one size as an array (N, height, width[, channels])."""
    return np.stack([np.asarray(image, dtype=np.int64) for image in images])


def save_pipeline(folder: Path, scheduler: str = "PNDMScheduler", seed: int = 0, **saving: Any) -> Path:
    """Save a Stable Diffusion pipeline of a few ten thousand random parameters in diffusers' format.

    Args:
        folder: where it goes.
        scheduler: class name of its scheduler, with Stable Diffusion 1.5's schedule.
        seed: of the weights.
        saving: passed to `save_pretrained`, such as `variant="fp16"` or `safe_serialization=False`.
    """
    import diffusers

    tokenizer = build_tokenizer()
    with random_weights(seed):
        autoencoder = small_autoencoder()
        text_encoder = clip_encoder(tokenizer)
        unet = small_unet()
    extra = {"skip_prk_steps": True} if scheduler == "PNDMScheduler" else {}
    pipeline = diffusers.StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=getattr(diffusers, scheduler)(**_SCHEDULE, **extra),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, **saving)
    return folder


def save_xl(folder: Path, turbo: bool = False) -> Path:
    """Save a Stable Diffusion XL pipeline; with the scheduler of the distilled one if it is `turbo`."""
    import diffusers

    tokenizer, second = build_tokenizer(), build_tokenizer()
    with random_weights(1):
        parts = {
            "vae": small_autoencoder(),
            "text_encoder": clip_encoder(tokenizer),
            "text_encoder_2": clip_encoder(second, projected=True),
            "unet": diffusers.UNet2DConditionModel(
                cross_attention_dim=16,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 8,
                **_UNET,
            ),
        }
    scheduler = (
        diffusers.EulerAncestralDiscreteScheduler(**_SCHEDULE, timestep_spacing="trailing")
        if turbo
        else diffusers.EulerDiscreteScheduler(**_SCHEDULE)
    )
    diffusers.StableDiffusionXLPipeline(
        **parts, tokenizer=tokenizer, tokenizer_2=second, scheduler=scheduler
    ).save_pretrained(folder)
    return folder


def save_sd3(folder: Path) -> Path:
    """Save a Stable Diffusion 3 pipeline: two text encoders of the CLIP kind, one of the T5 kind."""
    import diffusers

    tokenizers = {"tokenizer": build_tokenizer(), "tokenizer_2": build_tokenizer(), "tokenizer_3": build_t5_tokenizer()}
    with random_weights(2):
        parts = {
            "vae": small_autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06),
            "text_encoder": clip_encoder(tokenizers["tokenizer"], projected=True),
            "text_encoder_2": clip_encoder(tokenizers["tokenizer_2"], projected=True),
            "text_encoder_3": t5_encoder(tokenizers["tokenizer_3"]),
            "transformer": diffusers.SD3Transformer2DModel(
                sample_size=SIDE // 2,
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                joint_attention_dim=WIDE,
                caption_projection_dim=16,
                pooled_projection_dim=16,
                pos_embed_max_size=SIDE,
            ),
        }
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    diffusers.StableDiffusion3Pipeline(**parts, **tokenizers, scheduler=scheduler).save_pretrained(folder)
    return folder


def save_flux(folder: Path, guided: bool = False, blocks: int = 2) -> Path:
    """Save a Flux pipeline; schnell's transformer takes no guidance, the `guided` one of dev does."""
    import diffusers

    tokenizers = {"tokenizer": build_tokenizer(), "tokenizer_2": build_t5_tokenizer()}
    with random_weights(3):
        parts = {
            "vae": small_autoencoder(blocks, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
            "text_encoder": clip_encoder(tokenizers["tokenizer"]),
            "text_encoder_2": t5_encoder(tokenizers["tokenizer_2"]),
            "transformer": diffusers.FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=WIDE,
                pooled_projection_dim=8,
                axes_dims_rope=(4, 4, 8),
                guidance_embeds=guided,
            ),
        }
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    diffusers.FluxPipeline(**parts, **tokenizers, scheduler=scheduler).save_pretrained(folder)
    return folder


def save_pixart(folder: Path) -> Path:
    """Save a PixArt-Sigma pipeline, of the smallest size that it knows: it samples at 256 pixels and scales down."""
    import diffusers

    tokenizer = build_t5_tokenizer()
    with random_weights(4):
        parts = {
            "vae": small_autoencoder(blocks=4),
            "text_encoder": t5_encoder(tokenizer),
            "transformer": diffusers.PixArtTransformer2DModel(
                sample_size=32,
                patch_size=2,
                in_channels=4,
                out_channels=8,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                cross_attention_dim=16,
                caption_channels=WIDE,
                use_additional_conditions=False,
            ),
        }
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_schedule="linear", beta_end=0.02)
    diffusers.PixArtSigmaPipeline(**parts, tokenizer=tokenizer, scheduler=scheduler).save_pretrained(folder)
    return folder


# Name → how it is saved; those of conf/generator are of one of these.
SAVERS: dict[str, Callable[[Path], Path]] = {
    "sd": save_pipeline,
    "sdxl": save_xl,
    "turbo": lambda folder: save_xl(folder, turbo=True),
    "sd3": save_sd3,
    "flux": save_flux,
    "flux_guided": lambda folder: save_flux(folder, guided=True),
    "pixart": save_pixart,
}


_SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
_UNET: dict[str, Any] = {
    "sample_size": SIDE // 2,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 2,
}


@contextmanager
def random_weights(seed: int) -> Iterator[None]:
    """Weights from a seed, and no bars while they are saved; the random state of others stays as it is."""
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    yield
    torch.set_rng_state(state)


def small_unet(**more: Any) -> Any:
    """Build Stable Diffusion's denoiser."""
    import diffusers

    return diffusers.UNet2DConditionModel(cross_attention_dim=8, **_UNET, **more)


def small_autoencoder(blocks: int = 2, **more: Any) -> Any:
    import diffusers

    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(4,) * blocks,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIDE,
        **more,
    )


def clip_encoder(tokenizer: Any, projected: bool = False, **sizes: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tiny = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "projection_dim": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "initializer_factor": 30.0,  # so that another word makes another image
    }
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=LONGEST,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{**tiny, **sizes},
    )
    return CLIPTextModelWithProjection(config) if projected else CLIPTextModel(config)


def t5_encoder(tokenizer: Any) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=len(tokenizer), d_model=WIDE, d_kv=8, d_ff=16, num_layers=1, num_heads=2))


def build_tokenizer() -> Any:
    """CLIP's tokenizer with no merges: every letter is a token, and no text is refused."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    # By vocab_file= and merges_file=, transformers 5 would build a tokenizer of two tokens without a word.
    tokenizer = CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=LONGEST
    )
    assert len(tokenizer) == len(tokens)
    return tokenizer


def build_t5_tokenizer() -> Any:
    """T5's tokenizer with no pieces but letters."""
    from transformers import T5Tokenizer

    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in letters)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def save_ip_adapter(folder: Path, width: int = 8, layers: int = 4) -> Path:
    """Save an IP-Adapter for the pipeline of `save_pipeline`: `models/adapter.safetensors` and its image encoder.

    Args:
        folder: where it goes.
        width: of the text's encoding that the denoiser takes.
        layers: of the denoiser that take it, each of eight channels.
    """
    import safetensors.torch
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with random_weights(20):
        encoder = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=8, intermediate_size=16, projection_dim=8, num_hidden_layers=1, num_attention_heads=2,
                image_size=16, patch_size=8,
            )
        )  # fmt: skip
        encoder.save_pretrained(folder / "models" / "image_encoder")
        projection = {"proj.weight": torch.randn(4 * width, 8), "proj.bias": torch.zeros(4 * width)}
        norm = {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
        attention = {
            f"ip_adapter.{2 * number + 1}.{name}.weight": torch.randn(8, width)
            for number in range(layers)
            for name in ("to_k_ip", "to_v_ip")
        }
    tensors = {f"image_proj.{name}": tensor for name, tensor in {**projection, **norm}.items()} | attention
    safetensors.torch.save_file(tensors, folder / "models" / "adapter.safetensors")
    return folder


def save_controlnet(folder: Path, model: Path) -> Path:
    """Save a ControlNet for a pipeline with a UNet, of random weights."""
    import diffusers
    import torch

    unet = diffusers.UNet2DConditionModel.from_pretrained(model, subfolder="unet")
    with random_weights(21):
        network = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8))
        for parameter in network.parameters():  # its last layers are of zeros, so that training begins with no effect
            torch.nn.init.normal_(parameter, std=0.3)
        network.save_pretrained(folder)
    return folder

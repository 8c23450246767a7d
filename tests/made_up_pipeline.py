"""A tiny text-to-image pipeline with random weights, of the classes that Stable Diffusion is made of."""

from pathlib import Path
from typing import Any

SIDE = 16  # pixels of its images
LONGEST = 16  # tokens that its text encoder takes
START, END = "<|startoftext|>", "<|endoftext|>"


def save_pipeline(folder: Path, scheduler: str = "PNDMScheduler", seed: int = 0, **saving: Any) -> Path:
    """Save a pipeline of a few ten thousand random parameters in diffusers' format.

    Args:
        folder: where it goes.
        scheduler: class name of its scheduler, with Stable Diffusion 1.5's schedule.
        seed: of the weights.
        saving: passed to `save_pretrained`, such as `variant="fp16"` or `safe_serialization=False`.
    """
    import diffusers
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers import CLIPTextConfig, CLIPTextModel
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    tokenizer = build_tokenizer()
    random_state = torch.get_rng_state()
    torch.manual_seed(seed)
    autoencoder = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIDE,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=16,
            projection_dim=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=LONGEST,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_factor=30.0,  # so that another word makes another image
        )
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 8),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=2,
    )
    torch.set_rng_state(random_state)
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
    extra = {"skip_prk_steps": True} if scheduler == "PNDMScheduler" else {}
    pipeline = diffusers.StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=getattr(diffusers, scheduler)(**schedule, **extra),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, **saving)
    return folder


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

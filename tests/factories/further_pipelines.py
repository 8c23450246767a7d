"""Tiny pipelines with random weights of classes that are guided in ways of their own; none is saved."""

from collections.abc import Callable
from typing import Any

from tests.factories.pipelines import (
    WIDE,
    build_t5_tokenizer,
    build_tokenizer,
    clip_encoder,
    random_weights,
    small_autoencoder,
    small_unet,
    t5_encoder,
)

# A chat template, since instruction models read prompts as messages.
_CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
_NO_QUANTIZATION: dict[str, Any] = {"use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.1}
_DECODER = {
    "vocab_size": 260,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def build_chat_tokenizer() -> Any:
    """Qwen's tokenizer with no merges: every byte is a token."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|endoftext|>", *letters]
    tokenizer = Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=2048
    )
    tokenizer.chat_template = _CHAT
    return tokenizer


def _flow_scheduler() -> Any:
    import diffusers

    return diffusers.FlowMatchEulerDiscreteScheduler()


def sana(kind: str = "SanaPipeline") -> Any:
    """Sana, or the same with perturbed attention."""
    import diffusers
    from transformers import Gemma2Config, Gemma2Model

    return getattr(diffusers, kind)(
        tokenizer=build_chat_tokenizer(),
        text_encoder=Gemma2Model(Gemma2Config(**_DECODER)),
        vae=diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types="ResBlock",
            decoder_block_types="ResBlock",
            encoder_block_out_channels=(4,) * 6,  # 32 pixels of an image are one of the latents, as in the true one
            decoder_block_out_channels=(4,) * 6,
            encoder_qkv_multiscales=((),) * 6,
            decoder_qkv_multiscales=((),) * 6,
            encoder_layers_per_block=(1,) * 6,
            decoder_layers_per_block=(1,) * 6,
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
        ),
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=16,
            sample_size=16,
        ),
        scheduler=_flow_scheduler(),
    )


def hidream() -> Any:
    """HiDream, whose fourth text encoder is a model of its own."""
    import diffusers
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizers = [build_tokenizer(), build_tokenizer(), build_t5_tokenizer(), build_chat_tokenizer()]
    return diffusers.HiDreamImagePipeline(
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(**_NO_QUANTIZATION),
        text_encoder=clip_encoder(tokenizers[0], projected=True),
        tokenizer=tokenizers[0],
        text_encoder_2=clip_encoder(tokenizers[1], projected=True),
        tokenizer_2=tokenizers[1],
        text_encoder_3=t5_encoder(tokenizers[2]),
        tokenizer_3=tokenizers[2],
        text_encoder_4=LlamaForCausalLM(LlamaConfig(**_DECODER)),
        tokenizer_4=tokenizers[3],
        transformer=diffusers.HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=[WIDE, 16],
            text_emb_dim=16,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(32, 32),
            llama_layers=[0, 1],
        ),
    )


def qwen_image() -> Any:
    """Qwen-Image, whose guidance is `true_cfg_scale`."""
    import diffusers
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {**_DECODER, "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"}}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    return diffusers.QwenImagePipeline(
        scheduler=_flow_scheduler(),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1],
            num_res_blocks=1,
            temperal_downsample=[False],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)),
        tokenizer=build_chat_tokenizer(),
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
    )


def z_image() -> Any:
    """Z-Image, which is guided above 0."""
    import diffusers
    from transformers import Qwen3Config, Qwen3Model

    return diffusers.ZImagePipeline(
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(**_NO_QUANTIZATION),
        text_encoder=Qwen3Model(Qwen3Config(**_DECODER)),
        tokenizer=build_chat_tokenizer(),
        transformer=diffusers.ZImageTransformer2DModel(
            in_channels=4,
            dim=16,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[4, 2, 2],
            axes_lens=[1024, 32, 32],
        ),
    )


def flux2_klein(is_distilled: bool = False) -> Any:
    """FLUX.2 klein: its base takes guidance, what is distilled of it does not."""
    import diffusers
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return diffusers.Flux2KleinPipeline(
        scheduler=_flow_scheduler(),
        vae=diffusers.AutoencoderKLFlux2(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 4),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=2,
            sample_size=16,
        ),
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**{**_DECODER, "num_hidden_layers": 28})),
        tokenizer=build_chat_tokenizer(),
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=48,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        is_distilled=is_distilled,
    )


def lumina2() -> Any:
    """Lumina-Image 2."""
    import diffusers
    from transformers import Gemma2Config, Gemma2Model

    return diffusers.Lumina2Pipeline(
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(4, **_NO_QUANTIZATION),
        text_encoder=Gemma2Model(Gemma2Config(**_DECODER)),
        tokenizer=build_chat_tokenizer(),
        transformer=diffusers.Lumina2Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            hidden_size=16,
            num_layers=1,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=2,
            multiple_of=16,
            axes_dim_rope=(4, 2, 2),
            axes_lens=(512, 32, 32),
            cap_feat_dim=16,
        ),
    )


def chroma() -> Any:
    """Chroma: Flux's network with classifier-free guidance."""
    import diffusers

    tokenizer = build_t5_tokenizer()
    return diffusers.ChromaPipeline(
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(**_NO_QUANTIZATION),
        text_encoder=t5_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=diffusers.ChromaTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDE,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=8,
            approximator_hidden_dim=16,
            approximator_layers=1,
        ),
    )


def cogview4() -> Any:
    """CogView 4."""
    import diffusers
    from transformers import GlmConfig, GlmModel

    return diffusers.CogView4Pipeline(
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(),
        text_encoder=GlmModel(GlmConfig(**_DECODER)),
        tokenizer=build_t5_tokenizer(),  # ends an empty text with a token
        transformer=diffusers.CogView4Transformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            text_embed_dim=16,
            time_embed_dim=8,
            condition_dim=4,
            pos_embed_max_size=16,
            sample_size=8,
            rope_axes_dim=(16, 16),
        ),
    )


def aura_flow() -> Any:
    """AuraFlow."""
    import diffusers
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = build_t5_tokenizer()
    return diffusers.AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=UMT5EncoderModel(
            UMT5Config(vocab_size=len(tokenizer), d_model=WIDE, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        vae=small_autoencoder(),
        transformer=diffusers.AuraFlowTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=WIDE,
            caption_projection_dim=16,
            pos_embed_max_size=64,
        ),
        scheduler=_flow_scheduler(),
    )


def ovis_image() -> Any:
    """Ovis-Image."""
    import diffusers
    from transformers import Qwen3Config, Qwen3Model

    return diffusers.OvisImagePipeline(
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(**_NO_QUANTIZATION),
        text_encoder=Qwen3Model(Qwen3Config(**_DECODER)),
        tokenizer=build_chat_tokenizer(),
        transformer=diffusers.OvisImageTransformer2DModel(
            in_channels=16,
            out_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(4, 4, 8),
        ),
    )


def bria() -> Any:
    """Bria, whose transformer has a key `guidance_embeds` that says nothing about guidance."""
    import diffusers

    tokenizer = build_t5_tokenizer()
    return diffusers.BriaPipeline(
        transformer=diffusers.BriaTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDE,
            axes_dims_rope=[0, 4, 12],
        ),
        scheduler=_flow_scheduler(),
        vae=small_autoencoder(**_NO_QUANTIZATION),
        text_encoder=t5_encoder(tokenizer),
        tokenizer=tokenizer,
    )


def of_stable_diffusion(kind: str, scale_embedded: bool = False, scheduler: str = "DDIMScheduler") -> Any:
    """A class with Stable Diffusion's parts; the unet of a latent consistency model takes the scale as a number."""
    import diffusers

    tokenizer = build_tokenizer()
    return getattr(diffusers, kind)(
        vae=small_autoencoder(),
        text_encoder=clip_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=small_unet(time_cond_proj_dim=8 if scale_embedded else None),
        scheduler=getattr(diffusers, scheduler)(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def pixart(kind: str) -> Any:
    """PixArt's classes."""
    import diffusers

    tokenizer = build_t5_tokenizer()
    return getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=small_autoencoder(4),
        transformer=diffusers.PixArtTransformer2DModel(
            sample_size=32,
            patch_size=2,
            in_channels=4,
            out_channels=8,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            cross_attention_dim=16,
            caption_channels=WIDE,
            use_additional_conditions=False,
        ),
        scheduler=diffusers.DDIMScheduler(),
    )


# Class name → what builds it.
BUILDERS: dict[str, Callable[[], Any]] = {
    "SanaPipeline": sana,
    "SanaPAGPipeline": lambda: sana("SanaPAGPipeline"),
    "QwenImagePipeline": qwen_image,
    "ZImagePipeline": z_image,
    "Flux2KleinPipeline": flux2_klein,
    "Flux2KleinPipeline-distilled": lambda: flux2_klein(is_distilled=True),
    "Lumina2Pipeline": lumina2,
    "ChromaPipeline": chroma,
    "CogView4Pipeline": cogview4,
    "AuraFlowPipeline": aura_flow,
    "OvisImagePipeline": ovis_image,
    "BriaPipeline": bria,
    "StableDiffusionPipeline": lambda: of_stable_diffusion("StableDiffusionPipeline"),
    "StableDiffusionPipeline-embedded": lambda: of_stable_diffusion("StableDiffusionPipeline", True),
    "LatentConsistencyModelPipeline": lambda: of_stable_diffusion(
        "LatentConsistencyModelPipeline", True, "LCMScheduler"
    ),
    "StableDiffusionPAGPipeline": lambda: of_stable_diffusion("StableDiffusionPAGPipeline"),
    "PixArtAlphaPipeline": lambda: pixart("PixArtAlphaPipeline"),
    "PixArtSigmaPipeline": lambda: pixart("PixArtSigmaPipeline"),
    "PixArtSigmaPAGPipeline": lambda: pixart("PixArtSigmaPAGPipeline"),
}


def build(name: str) -> Any:
    """Build one of `BUILDERS`; its weights are always the same."""
    with random_weights(5):
        return BUILDERS[name]()

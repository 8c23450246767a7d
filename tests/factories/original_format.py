"""A tiny Stable Diffusion in one file, with the names that its weights had before diffusers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LAYERS = 1  # residual blocks of a level of the tiny unet
_UNET = (
    (r"time_embedding\.linear_1", "time_embed.0"),
    (r"time_embedding\.linear_2", "time_embed.2"),
    (r"conv_in", "input_blocks.0.0"),
    (r"conv_norm_out", "out.0"),
    (r"conv_out", "out.2"),
    (r"mid_block\.resnets\.0", "middle_block.0"),
    (r"mid_block\.attentions\.0", "middle_block.1"),
    (r"mid_block\.resnets\.1", "middle_block.2"),
)
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_AUTOENCODER = (
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0\.conv", r"down.\1.downsample.conv"),
)


def save_original(path: Path, folder: Path, without: str = "nothing") -> Path:
    """Save the weights of a folder from `save_pipeline` in one file; return its path.

    Args:
        path: of the file.
        folder: in diffusers' format.
        without: beginning of names that are left out.
    """
    from safetensors.torch import load_file, save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Any] = {}
    for part, renamed in (("unet", _unet), ("vae", _autoencoder), ("text_encoder", _text_encoder)):
        weights = load_file(next((folder / part).glob("*.safetensors")))
        tensors |= {name: tensor.contiguous() for name, tensor in renamed(weights) if not name.startswith(without)}
    save_file(tensors, path)
    return path


def _unet(weights: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, tensor in weights.items():
        for pattern, replacement in _UNET:
            name = re.sub(f"^{pattern}", replacement, name)
        if block := re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)(.*)", name):
            side, level, kind, number, rest = block.groups()
            if side == "down":
                first = 1 + int(level) * (_LAYERS + 1)
                place = {"resnets": f"{first + int(number)}.0", "attentions": f"{first + int(number)}.1"}
                place["downsamplers"] = f"{first + _LAYERS}.0"
                rest = rest.replace(".conv.", ".op.") if kind == "downsamplers" else rest
                name = f"input_blocks.{place[kind]}{rest}"
            else:
                first = int(level) * (_LAYERS + 1)
                place = {"resnets": f"{first + int(number)}.0", "attentions": f"{first + int(number)}.1"}
                place["upsamplers"] = f"{first + _LAYERS}.2"  # behind a residual block and attention
                name = f"output_blocks.{place[kind]}{rest}"
        if re.match(r"(input|output)_blocks\.\d+\.0\.(?!op|weight|bias)|middle_block\.[02]", name):
            for new, old in _RESIDUAL.items():
                name = name.replace(f".{new}.", f".{old}.")
        yield f"model.diffusion_model.{name}", tensor


def _autoencoder(weights: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    levels = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("decoder.up_blocks"))
    for name, tensor in weights.items():
        for pattern, replacement in _AUTOENCODER:
            name = re.sub(pattern, replacement, name)
        if block := re.match(r"decoder\.up_blocks\.(\d)\.(?:resnets\.(\d)|upsamplers\.0\.conv)(.*)", name):
            level, number, rest = block.groups()
            inner = f"block.{number}" if number is not None else "upsample.conv"
            name = f"decoder.up.{levels - 1 - int(level)}.{inner}{rest}"
        is_projection = ".attn_1." in name and name.endswith("weight") and tensor.ndim == 2
        yield f"first_stage_model.{name}", tensor[:, :, None, None] if is_projection else tensor


def _text_encoder(weights: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, tensor in weights.items():
        yield f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}", tensor

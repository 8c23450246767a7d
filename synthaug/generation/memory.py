"""Where a pipeline's weights lie, what is traded for memory, and what to do when it runs out."""

import gc
import importlib.util
from typing import Any

from synthaug.errors import UserError, raise_all

OFFLOADS = ("model", "sequential")

# Messages of allocators that have no exception class of their own: MPS, and the CPU's on Linux and Windows.
_OUT_OF_MEMORY = ("MPS backend out of memory", "can't allocate memory", "not enough memory: you tried to allocate")


def place_pipeline(
    model: str, pipeline: Any, device: str, offload: str | None, slicing: bool, tiling: bool, compiled: bool
) -> None:
    """Move a pipeline to its device.

    Args:
        model: its name.
        pipeline: on the CPU; it is changed.
        device, offload, slicing, tiling, compiled: of `DiffusionGenerator`, `compiled` being its `compile`.

    Raises:
        UserError: options that this pipeline or device does not have, or too little memory.
    """
    kind = type(pipeline).__name__
    autoencoder: Any = getattr(pipeline, "vae", None)
    denoiser: Any = getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)
    problems = [
        f"generator.{name}=true: a {kind} has no {name}; set it to false"
        for name, enabled in (("slicing", slicing), ("tiling", tiling))
        if enabled and not hasattr(autoencoder, f"enable_{name}")
    ]
    if compiled and denoiser is None:
        problems.append(f"generator.compile=true: a {kind} has no unet or transformer; set it to false")
    if offload and device == "cpu":
        problems.append(f"generator.offload={offload}: generator.device=cpu uses main memory only; set it to null")
    raise_all(f"The model {model} does not support these settings:", problems)
    if slicing:
        pipeline.enable_attention_slicing()
        autoencoder.enable_slicing()
    if tiling:
        autoencoder.enable_tiling()
    if compiled:
        denoiser.compile()
    try:
        if offload:
            getattr(pipeline, f"enable_{offload}_cpu_offload")(device=device)
        else:
            pipeline.to(device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise memory_error(model, "its weights alone", device) from error


def missing_packages(offload: str | None) -> list[str]:
    """Return an error message for each missing package that offloading needs; imports nothing heavy."""
    if offload and not importlib.util.find_spec("accelerate"):
        return [f"generator.offload={offload}: needs a package that is not installed: pip install 'synthaug[offload]'"]
    return []


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a device is full, whichever allocator raised it."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _OUT_OF_MEMORY)


def release_memory() -> None:
    """Release what a failed attempt still holds, so that the next one has the whole memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def memory_error(model: str, load: str, device: str) -> UserError:
    """Build the error for a device whose memory is too small.

    Args:
        model: its name.
        load: what did not fit.
        device: where.
    """
    return UserError(
        f"The memory of {device} is too small for {model} ({load}). Set generator.offload=model, or sequential, which "
        "is slow and needs least; generator.slicing=true and generator.tiling=true; generator.dtype=float16 or "
        "bfloat16; a smaller generator.height and generator.width; or choose another generator."
    )

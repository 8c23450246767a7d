"""Where a pipeline's weights lie and what is traded for memory; what to do when there is not enough of it."""

import gc
import importlib.util
from typing import Any

from synthaug.errors import UserError

OFFLOADS = ("model", "sequential")

# Words of allocators that have no exception class of their own: MPS, and those of the CPU on Linux and Windows.
_WORDS = ("MPS backend out of memory", "can't allocate memory", "not enough memory: you tried to allocate")


def place(
    model: str, pipeline: Any, device: str, offload: str | None, slicing: bool, tiling: bool, compiled: bool
) -> None:
    """Bring a pipeline to where it computes, in the way that was asked for; the arguments are the generator's.

    Raises:
        UserError: a way that this pipeline or device does not offer, or memory that does not do.
    """
    wrong = []
    autoencoder: Any = getattr(pipeline, "vae", None)
    for name, wanted in (("slicing", slicing), ("tiling", tiling)):
        if wanted and not hasattr(autoencoder, f"enable_{name}"):
            wrong.append(f"generator.{name}=true: a {type(pipeline).__name__} offers none; set it to false")
    core: Any = getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)
    if compiled and core is None:
        wrong.append(f"generator.compile=true: a {type(pipeline).__name__} has no unet or transformer; set it to false")
    if offload and device == "cpu":
        wrong.append(f"generator.offload={offload}: with generator.device=cpu all is in main memory; set it to null")
    if wrong:
        raise UserError("\n".join([f"The model {model} cannot be used like this:", *(f"  - {one}" for one in wrong)]))
    if slicing:
        pipeline.enable_attention_slicing()
        autoencoder.enable_slicing()
    if tiling:
        autoencoder.enable_tiling()
    if compiled:
        core.compile()
    try:
        if offload:
            getattr(pipeline, f"enable_{offload}_cpu_offload")(device=device)
        else:
            pipeline.to(device)
    except Exception as error:
        if not ran_out(error):
            raise
        raise not_enough(model, "its weights alone", device) from error


def lacking(offload: str | None) -> list[str]:
    """Packages that are missing for what was asked, in words with the way out; imports nothing heavy."""
    if offload and not importlib.util.find_spec("accelerate"):
        return [f"generator.offload={offload}: needs a package that is not installed: pip install 'synthaug[offload]'"]
    return []


def ran_out(error: BaseException) -> bool:
    """Whether an error says that the memory of a device is full, in whatever words its allocator has for it."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def free() -> None:
    """Give back what a failed attempt still holds, or the next one finds the memory as full."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def not_enough(model: str, what: str, device: str) -> UserError:
    """The error for a device that is too small even so."""
    return UserError(
        f"The memory of {device} does not do for {model} ({what}). Ways out: generator.offload=model, or sequential, "
        "which is slow and needs least; generator.slicing=true and generator.tiling=true; generator.dtype=float16 "
        "or bfloat16; a smaller generator.height and generator.width; another generator."
    )

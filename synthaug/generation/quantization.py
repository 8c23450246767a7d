"""Weights stored in fewer bits, so that models of 8 to 20 billion fit into the memory of one GPU."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from synthaug.generation.hub import MODEL_INDEX

# Value of `generator.quantization` → the package that does it.
METHODS = {"int8": "torchao", "8bit": "bitsandbytes", "4bit": "bitsandbytes"}

_DENOISERS = ("transformer", "transformer_2", "unet", "unconditional_transformer", "prior_prior", "decoder")


def quantization_problems(method: str | None, device: str | None, offload: str | None, is_file: bool) -> list[str]:
    """Return why weights cannot be quantized; imports nothing heavy.

    Args:
        method: of `METHODS`; None is fine.
        device, offload: of `DiffusionGenerator`.
        is_file: whether the model is a single file.
    """
    if method is None:
        return []
    if method not in METHODS:
        return [f"generator.quantization={method}: must be one of {', '.join(METHODS)}, or null"]
    package = METHODS[method]
    problems = []
    if not is_installed(package):
        problems.append(f"needs a package that is not installed ({package}): pip install 'synthaug[quantization]'")
    if package == "bitsandbytes" and (device or "").startswith(("cpu", "mps")):
        problems.append(f"generator.device={device} cannot compute with it; choose int8, or leave it out")
    if offload == "sequential":
        problems.append("generator.offload=sequential takes weights apart that are quantized; choose model")
    if is_file:
        problems.append("a single file is not quantized; choose the model in diffusers' format")
    return [f"generator.quantization={method}: {problem}" for problem in problems]


def quantization_config(method: str, folder: Path, dtype: Any) -> Any:
    """Return how diffusers quantizes the large parts of a pipeline: the denoiser, and text encoders but CLIP's.

    Args:
        method: of `METHODS`.
        folder: of the pipeline.
        dtype: of torch; that of the computation.
    """
    import diffusers
    import transformers

    make = _torchao if METHODS[method] == "torchao" else _bitsandbytes
    index = json.loads((folder / MODEL_INDEX).read_text(encoding="utf-8"))
    libraries = {"diffusers": diffusers, "transformers": transformers}
    mapping = {
        name: make(libraries[value[0]], method, dtype)
        for name, value in index.items()
        if isinstance(value, list) and value[0] in libraries and _is_large(name, str(value[1]))
    }
    return diffusers.PipelineQuantizationConfig(quant_mapping=mapping)


def component_quantization(method: str, name: str, kind: str, of_diffusers: bool, dtype: Any) -> Any:
    """Return how a part is quantized that is loaded by itself; None where it is small.

    Args:
        method: of `METHODS`.
        name: of the part.
        kind: its class.
        of_diffusers: whether it is a class of diffusers, and not of transformers.
        dtype: of torch; that of the computation.
    """
    import diffusers
    import transformers

    make = _torchao if METHODS[method] == "torchao" else _bitsandbytes
    return make(diffusers if of_diffusers else transformers, method, dtype) if _is_large(name, kind) else None


def is_installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def _is_large(part: str, kind: str) -> bool:
    return part in _DENOISERS or (part.startswith("text_encoder") and not kind.startswith("CLIP"))


def _torchao(library: Any, method: str, dtype: Any) -> Any:
    from torchao.quantization import Int8WeightOnlyConfig

    return library.TorchAoConfig(Int8WeightOnlyConfig())


def _bitsandbytes(library: Any, method: str, dtype: Any) -> Any:
    if method == "8bit":
        return library.BitsAndBytesConfig(load_in_8bit=True)
    return library.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)

"""Networks compiled by torch.compile, and run as they are where that fails."""

import functools
import logging
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)


def compile_network(network: nn.Module) -> None:
    """Compile a network at its first use, in place: names and values of its weights stay.

    The compiler keeps its results on disk, by the program that it compiled, so that the arms of a study and the next
    command share them. A network that cannot be compiled is run as it is, with a warning.
    """
    torch._dynamo.reset()  # a process that trains many networks would reach the limit of versions of one function
    settings: Any = torch._functorch.config
    if hasattr(settings, "force_non_lazy_backward_lowering"):  # with the forward pass, so that its failure is caught
        settings.force_non_lazy_backward_lowering = True
    network.compile()
    compiled: Any = network._compiled_call_impl

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return compiled(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            _warn(" ".join(str(error).partition("Set TORCHDYNAMO_VERBOSE")[0].split()))
            network._compiled_call_impl = None
            return network(*args, **kwargs)

    network._compiled_call_impl = call


@functools.cache  # told once, not of each run
def _warn(reason: str) -> None:
    log.warning("compile=true: the network cannot be compiled here and runs as it is (%.200s)", reason)

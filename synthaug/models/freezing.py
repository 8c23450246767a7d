"""Freezing: linear probes, training the last stages alone, gradual unfreezing.

A network falls into stages, from its input to its head:

- its children that hold parameters, in the order in which the network lists them;
- a child that holds the head, or more than four fifths of all parameters but the head's, is not a stage: its own
  children are, by the same rule (ResNet's `layer1` to `layer4` stay whole, a transformer's encoder is divided into
  its blocks);
- a child whose parameters are all scales and shifts (no tensor has more than one dimension) is a normalisation and
  belongs to the stage before it, at the very beginning to the one after it;
- parameters that a module holds beside its children (class tokens, position embeddings) belong to the first stage;
- the head is not a stage: it always trains.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from synthaug.errors import UserError

_WHOLE = 0.8  # largest share of the parameters that one stage may hold, if it can be taken apart


@dataclass(frozen=True)
class Stage:
    """Modules that are frozen together, and parameters beside them.

    Attributes:
        paths: of the modules in the network.
        modules: the modules.
        parameters: theirs and the others of the stage.
    """

    paths: tuple[str, ...]
    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]


def stages(network: nn.Module, heads: Sequence[str]) -> list[Stage]:
    """Return the stages of a network from its input to its head, as this module defines them.

    Args:
        network: any.
        heads: paths of the layers that are its head.
    """
    of_heads = {id(parameter) for path in heads for parameter in network.get_submodule(path).parameters()}
    whole = sum(parameter.numel() for parameter in network.parameters() if id(parameter) not in of_heads)
    groups: list[list[str]] = []
    for path in _pieces(network, "", heads, whole):
        if groups and (_are_scales(network, [path]) or _are_scales(network, groups[-1])):
            groups[-1].append(path)
        else:
            groups.append([path])
    modules = [tuple(network.get_submodule(path) for path in paths) for paths in groups]
    parameters = [[parameter for module in group for parameter in module.parameters()] for group in modules]
    inside = {id(parameter) for group in parameters for parameter in group} | of_heads
    if parameters:
        parameters[0] += [parameter for parameter in network.parameters() if id(parameter) not in inside]
    return [
        Stage(tuple(paths), members, tuple(of_stage))
        for paths, members, of_stage in zip(groups, modules, parameters, strict=True)
    ]


def _are_scales(network: nn.Module, paths: Sequence[str]) -> bool:
    return all(parameter.ndim <= 1 for path in paths for parameter in network.get_submodule(path).parameters())


def _pieces(module: nn.Module, path: str, heads: Sequence[str], whole: int) -> Iterator[str]:
    """Paths of the modules of which stages are made."""
    for name, child in module.named_children():
        inner = f"{path}.{name}".lstrip(".")
        size = sum(parameter.numel() for parameter in child.parameters())
        if inner in heads or size == 0:
            continue
        holds_head = any(head.startswith(f"{inner}.") for head in heads)
        divisible = any(True for part in child.children() for _ in part.parameters())
        if holds_head or (size > _WHOLE * whole and divisible):
            yield from _pieces(child, inner, heads, whole)
        else:
            yield inner


class Freezing:
    """How many of the last stages train in which epoch, besides the head.

    Args:
        network: whose stages are meant.
        heads: paths of its head.
        train_stages: how many from the first epoch on.
        unfreeze_every: one more, from the last on, every so many epochs (gradual unfreezing: Howard, Ruder 2018,
            "Universal Language Model Fine-tuning for Text Classification", section 3.3); None: it stays at those.

    Raises:
        UserError: more stages than the network has, or nothing left to unfreeze.
    """

    def __init__(
        self, network: nn.Module, heads: Sequence[str], train_stages: int, unfreeze_every: int | None = None
    ) -> None:
        self.stages = stages(network, heads)
        self.train_stages = train_stages
        self.unfreeze_every = unfreeze_every
        self.epoch = 0
        listed = ", ".join(" + ".join(stage.paths) for stage in self.stages)
        if not 0 <= train_stages <= len(self.stages):
            raise UserError(
                f"model.train_stages={train_stages}: this network has {len(self.stages)} stages before its head "
                f"({listed}); give 0 to {len(self.stages)}, or null to train all."
            )
        if unfreeze_every is not None and train_stages == len(self.stages):
            raise UserError(
                f"model.unfreeze_every={unfreeze_every}: with model.train_stages={train_stages} all stages of this "
                f"network ({listed}) train from the start, and none is left to unfreeze; leave one of the two out."
            )
        # Where stages are unfrozen later, distributed training must know of their gradients from the start.
        if unfreeze_every is None:
            self.begin(0)

    def trained(self, epoch: int) -> int:
        """Return how many of the last stages train in an epoch."""
        more = 0 if self.unfreeze_every is None else epoch // self.unfreeze_every
        return min(self.train_stages + more, len(self.stages))

    def begin(self, epoch: int) -> None:
        """Require gradients of what an epoch trains, and of nothing else."""
        self.epoch = epoch
        frozen = _ids(self._frozen())
        for stage in self.stages:
            for parameter in stage.parameters:
                parameter.requires_grad_(id(parameter) not in frozen)

    def set_frozen_to_eval(self) -> None:
        """Set what the current epoch does not train to evaluation mode: running statistics must not change."""
        for stage in self._frozen():
            for module in stage.modules:
                module.eval()

    def ever_trainable(self, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Return the parameters that some epoch trains: after a resume the optimizer must have the same ones."""
        never = _ids(self._frozen()) if self.unfreeze_every is None else set()
        return [parameter for parameter in parameters if id(parameter) not in never]

    def _frozen(self) -> list[Stage]:
        return self.stages[: len(self.stages) - self.trained(self.epoch)]


def _ids(frozen: Iterable[Stage]) -> set[int]:
    return {id(parameter) for stage in frozen for parameter in stage.parameters}

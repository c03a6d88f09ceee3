"""The few collectives that training needs, which do nothing in a world of one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

# The setting's name since torch 2.15, which warns of the old one.
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)


def sum_over_ranks(values: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over the ranks, in place."""
    if dist.is_initialized():
        for value in values:
            dist.all_reduce(value)


def broadcast_buffers(model: nn.Module) -> None:
    """Give every rank rank 0's buffers (BatchNorm's running statistics, above all), in place."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def barrier() -> None:
    """Return when every rank has come here."""
    if dist.is_initialized():
        dist.barrier()


def wrap(loss: nn.Module, model: nn.Module, device: torch.device) -> nn.Module:
    """Return `loss`, which holds the model, under DistributedDataParallel; in a world of one as is.

    The parameters that require gradients now are those whose gradients are averaged. DDP's
    broadcast of buffers before each step is left out where only BatchNorm has buffers: in training
    their values are written and not read, and evaluation broadcasts them itself.
    """
    if not dist.is_initialized() or not any(p.requires_grad for p in loss.parameters()):
        return loss
    sync: dict[str, Any] = {_SYNC_BUFFERS: _reads_buffers(model)}
    # Gloo's ring adds up three numbers and more in an order that depends on their place in a
    # bucket. DDP lays out its buckets anew after a process's first step, so that the step after a
    # resume would differ in the last bits; where it looks for unused parameters it never does.
    same_layout = device.type == "cpu" and dist.get_world_size() > 2
    return DistributedDataParallel(
        loss,
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        find_unused_parameters=same_layout,
        **sync,
    )


def gather_over_ranks(value: Any) -> list[Any]:
    """Return every rank's value, in the order of the ranks, on each of them."""
    if not dist.is_initialized():
        return [value]
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def _reads_buffers(model: nn.Module) -> bool:
    written_only = {
        id(buffer)
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        for buffer in module.buffers(recurse=False)
    }
    constant = {id(b) for b in _constants(model)}
    return any(id(b) not in written_only | constant for b in model.buffers())


def _constants(model: nn.Module) -> Iterable[Tensor]:
    normalize = getattr(model, "normalize", None)
    return normalize.buffers() if isinstance(normalize, nn.Module) else ()

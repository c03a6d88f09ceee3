"""One checkpoint for all ranks, also where they share no folder.

Where a job's files are mirrored, each from a machine of its own, rank 0 alone looks for the
checkpoint, and what it holds goes to the others through the process group. Ranks that see the
same folder read it each for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from heliostat.training.context import Context
from heliostat.training.state_files import join_state, split_state

T = TypeVar("T")


def agreed(context: Context, find: Callable[[], T]) -> T:
    """Return what `find` gives: rank 0's answer where the ranks share no folder. A collective."""
    if not _apart(context):
        return find()
    answer: list[Any] = [find() if context.is_main else None]
    dist.broadcast_object_list(answer, src=0, device=context.device)
    found: T = answer[0]
    return found


def loaded(context: Context, load: Callable[[], Any]) -> Any:
    """Return the state that `load` reads: on rank 0 alone where the ranks share no folder.

    A state is any nesting of dicts, lists, tensors and plain values. It stands on the CPU
    afterwards, on each rank. A collective.
    """
    if not _apart(context):
        return load()
    tensors, rest = split_state(load()) if context.is_main else ({}, None)
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()}
    rest, shapes = agreed(context, lambda: (rest, shapes))
    for name, (shape, dtype) in shapes.items():
        value = tensors[name] if context.is_main else torch.empty(shape, dtype=dtype)
        tensors[name] = _broadcast(value, context)
    return join_state(tensors, rest)


def _apart(context: Context) -> bool:
    return context.mirror is not None and context.world_size > 1


def _broadcast(value: torch.Tensor, context: Context) -> torch.Tensor:
    """Return rank 0's tensor. It travels as bytes: not every backend takes every dtype."""
    if value.numel():
        octets = value.reshape(-1).view(torch.uint8).to(context.device)
        dist.broadcast(octets, src=0)
        value = octets.cpu().view(value.dtype).reshape(value.shape)
    return value

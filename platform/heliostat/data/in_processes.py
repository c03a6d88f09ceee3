"""Batches read in processes, where reading is Python that keeps the interpreter to itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


def in_processes(
    read: Callable[[int], T], numbers: range, processes: int
) -> Generator[T, None, None]:
    """Yield `read(number)` of each number in their order, read ahead by forked processes.

    Tensors come through shared memory. An exception is raised here with the process's own
    traceback in its text. Closing the generator ends the processes.
    """
    loader = DataLoader(
        _Numbered(read),
        batch_size=None,
        sampler=numbers,
        num_workers=processes,
        collate_fn=_as_it_is,
        # Its own draw for the processes' seeds must not touch the training step's randomness.
        generator=torch.Generator(),
    )
    yield from loader


class _Numbered(Dataset[T], Generic[T]):
    """A torch dataset of whole batches."""

    def __init__(self, read: Callable[[int], T]) -> None:
        self._read = read

    def __getitem__(self, number: int) -> T:
        return self._read(number)


def _as_it_is(batch: T) -> T:
    return batch

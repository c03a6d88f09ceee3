"""Batches of a rank: its part of each global batch in training, its share of all in evaluation."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heliostat.data.augment import divided, read_augmented
from heliostat.data.in_processes import in_processes
from heliostat.data.order import epoch_order, rank_slice
from heliostat.data.prefetch import prefetch
from heliostat.data.samples import Indices, Samples
from heliostat.spec.augmentations import Augment
from heliostat.spec.problems import InputError


@dataclass(frozen=True)
class Batch:
    """The n samples that this rank reads of one global batch."""

    inputs: Any
    """Images: uint8 (n, C, H, W). A user's dataset: what torch's `default_collate` gives."""
    targets: Any
    """Classes: int64 (n,). A user's dataset: what `default_collate` gives. None: no labels."""
    index: Tensor
    """The samples' numbers in their split, int64 (n,)."""
    number: int
    """The batch's place in its epoch, from 0."""
    global_size: int
    """How many samples the global batch holds over all ranks; in evaluation n."""
    weight: float = 1.0
    """0.0 where this rank's part is empty, and one filler sample stands in so that DDP runs."""


Batches = Generator[Batch, None, None]
"""Close it (`contextlib.closing`) to stop reading early."""


class TrainBatches:
    """The shuffled batches of an epoch, cut for one rank (design decision 1)."""

    def __init__(
        self,
        samples: Samples,
        *,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        augment: Sequence[Augment] = (),
        processes: int = 0,
        one_size: bool = False,
    ) -> None:
        """Take `batch_size` as the global batch's, over all ranks.

        `augment` is what `check_augment` allows for the samples. Batches are read ahead in
        `processes` of their own, or in a thread where that is 0: they are the same. With
        `one_size`, a batch of images that differ in size is an InputError (`check_one_size`).
        """
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._augment, self._apply = divided(augment)
        self._processes = processes
        self._one_size = one_size

    @property
    def steps_per_epoch(self) -> int:
        """Global batches in an epoch; the last one may hold fewer samples."""
        return -(-len(self._samples) // self._batch_size)

    @property
    def shuffling(self) -> str:
        """How an epoch's order comes about, in words."""
        blocks = self._samples.blocks
        if blocks is None:
            return "global"
        return (
            f"in {len(blocks)} blocks of up to {max(blocks)} samples: "
            "the data set is larger than the cache (HELIO_CACHE_BYTES)"
        )

    def epoch(self, epoch: int, start: int = 0) -> Batches:
        """Yield this rank's batches of an epoch from batch `start` on, read ahead."""
        order = epoch_order(len(self._samples), self._seed, epoch, self._samples.blocks)
        read = partial(self._read, epoch, order)
        numbers = range(start, self.steps_per_epoch)
        if self._processes:
            return (_pinned(batch) for batch in in_processes(read, numbers, self._processes))
        # torchvision draws from torch's global generator, which the training step uses too.
        background = self._samples.background and self._apply is None
        batches = (_pinned(read(number)) for number in numbers)
        return prefetch(batches) if background else batches

    def _read(self, epoch: int, order: Indices, number: int) -> Batch:
        whole = order[number * self._batch_size :][: self._batch_size]
        first, stop = rank_slice(len(whole), self._rank, self._world_size)
        indices, weight = (whole[first:stop], 1.0) if stop > first else (whole[:1], 0.0)
        key = self._seed, epoch
        inputs, targets = read_augmented(self._samples, indices, self._augment, self._apply, key)
        if self._one_size:
            check_one_size(self._samples, indices, inputs)
        return _batch(inputs, targets, indices, number, len(whole), weight)


def evaluation_batches(
    samples: Samples, *, batch_size: int, rank: int, world_size: int, one_size: bool = False
) -> Batches:
    """Yield this rank's share of all samples, each once over all ranks and in order.

    The share is contiguous: [n × rank // world_size, n × (rank + 1) // world_size), empty where
    there are fewer samples than ranks. `batch_size` is the global one: a rank takes its part of
    it at once, rounded up. `one_size` is as in `TrainBatches`.
    """
    batches = _evaluation(samples, -(-batch_size // world_size), rank, world_size, one_size)
    return prefetch(batches) if samples.background else batches


def check_one_size(samples: Samples, indices: Indices, inputs: Any) -> None:
    """Raise InputError, naming two samples, where a batch's images (a list) differ in size.

    `indices` (n,) are their numbers in the split.
    """
    if not isinstance(inputs, list):
        return
    sizes = ["x".join(map(str, image.shape[-2:])) for image in inputs]
    other = next((place for place, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        first, second = (samples.source(int(indices[place])) for place in (0, other))
        raise InputError.of(
            f"{second} is {sizes[other]}, {first} is {sizes[0]} (height x width):"
            " the images of a batch must have one size",
            key=("data", "image_size"),
            valid="set data.image_size: [height, width]",
        )


def _evaluation(
    samples: Samples, at_once: int, rank: int, world_size: int, one_size: bool
) -> Batches:
    first = len(samples) * rank // world_size
    stop = len(samples) * (rank + 1) // world_size
    for number, start in enumerate(range(first, stop, at_once)):
        indices = np.arange(start, min(start + at_once, stop))
        inputs, targets = samples.read(indices)
        if one_size:
            check_one_size(samples, indices, inputs)
        yield _pinned(_batch(inputs, targets, indices, number, len(indices), 1.0))


def _batch(
    inputs: Any, targets: Any, indices: Indices, number: int, global_size: int, weight: float
) -> Batch:
    index = torch.from_numpy(indices.copy())
    return Batch(inputs, targets, index, number, global_size, weight)


def _pinned(batch: Batch) -> Batch:
    """Return the batch in memory from which a GPU copies beside the step before it."""
    if not torch.cuda.is_available():
        return batch

    def pin(value: Any) -> Any:
        return value.pin_memory() if isinstance(value, Tensor) else value

    return replace(batch, inputs=pin(batch.inputs), targets=pin(batch.targets))

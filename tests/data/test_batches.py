from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from heliostat.data import Batch, Samples, TrainBatches, evaluation_batches, open_source
from heliostat.data.arrays import Arrays
from heliostat.data.order import epoch_order
from heliostat.data.rows import Rows
from heliostat.spec.augmentations import HorizontalFlip, RandomCrop
from heliostat.spec.sources import Source

AUGMENT = (RandomCrop(padding=1), HorizontalFlip())


def batches_of(samples: Samples, world_size: int, rank: int, batch_size: int = 250) -> TrainBatches:
    return TrainBatches(
        samples,
        batch_size=batch_size,
        seed=5,
        rank=rank,
        world_size=world_size,
        augment=AUGMENT,
    )


def epoch_of(samples: Samples, world_size: int, start: int = 0) -> list[list[Batch]]:
    """Return each global batch of epoch 2, as its ranks' batches."""
    ranks = [batches_of(samples, world_size, rank).epoch(2, start) for rank in range(world_size)]
    return [list(parts) for parts in zip(*ranks, strict=True)]


def joined(parts: list[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.cat([batch.index for batch in parts]),
        torch.cat([batch.inputs for batch in parts]),
        torch.cat([batch.targets for batch in parts]),
    )


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_together_read_the_global_batch_with_the_same_pixels_at_any_world_size(
    digits: Samples, world_size: int
) -> None:
    order = epoch_order(len(digits), seed=5, epoch=2)
    alone = epoch_of(digits, 1)
    together = epoch_of(digits, world_size)
    assert len(together) == batches_of(digits, world_size, 0).steps_per_epoch == 8
    for number, (parts, (single,)) in enumerate(zip(together, alone, strict=True)):
        index, inputs, targets = joined(parts)
        assert index.tolist() == order[number * 250 :][:250].tolist()
        assert torch.equal(inputs, single.inputs)
        assert torch.equal(targets, single.targets)
        assert {(b.number, b.global_size, b.weight) for b in parts} == {(number, len(index), 1.0)}
    assert together[-1][0].global_size == 1797 - 7 * 250


def test_an_epoch_started_in_the_middle_goes_on_as_if_it_had_not_been_left(
    digits: Samples,
) -> None:
    whole, rest = epoch_of(digits, 2)[5:], epoch_of(digits, 2, start=5)
    for (a, _), (b, _) in zip(whole, rest, strict=True):
        assert (a.number, a.index.tolist()) == (b.number, b.index.tolist())
        assert torch.equal(a.inputs, b.inputs)


def test_a_rank_without_samples_in_the_last_batch_gets_a_filler_of_no_weight(
    digits: Samples,
) -> None:
    last = [list(batches_of(digits, 3, rank, 898).epoch(0))[-1] for rank in range(3)]
    assert [batch.weight for batch in last] == [1.0, 0.0, 0.0]
    assert {batch.global_size for batch in last} == {1}
    assert all(torch.equal(batch.inputs, last[0].inputs) for batch in last)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_reads_each_of_10007_samples_once(world_size: int) -> None:
    labels = np.arange(10007) % 10
    images = np.zeros((10007, 1, 1, 1), np.uint8)
    samples = Arrays("zeros", tuple("0123456789"), images, labels, Rows.of(("zeros", 10007)))
    seen = [
        index
        for rank in range(world_size)
        for batch in evaluation_batches(samples, batch_size=256, rank=rank, world_size=world_size)
        for index in batch.index.tolist()
    ]
    assert seen == list(range(10007))


def test_evaluation_gives_a_rank_nothing_where_there_are_fewer_samples_than_ranks(
    digits: Samples,
) -> None:
    one = open_source(Source(uri="sklearn:digits", split="all[:1]"))
    counts = [
        len(list(evaluation_batches(one, batch_size=4, rank=rank, world_size=2)))
        for rank in range(2)
    ]
    assert sorted(counts) == [0, 1]


def test_a_broken_image_reaches_the_training_loop_by_name(class_folder: Path) -> None:
    broken = sorted(class_folder.rglob("train/*/*.png"))[7]
    broken.write_bytes(broken.read_bytes()[:70])
    source = Source(uri=str(class_folder), split="train")
    samples = open_source(source, image_size=(8, 8), channels=1)
    batches = TrainBatches(samples, batch_size=10, seed=0, rank=0, world_size=1).epoch(0)
    with closing(batches), pytest.raises(Exception, match=f"{broken} cannot be read"):
        list(batches)

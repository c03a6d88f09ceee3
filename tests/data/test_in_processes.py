"""Batches read by processes are those that a thread reads."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil
import pytest
import torch

from heliostat.data import Batch, TrainBatches, open_source
from heliostat.spec.augmentations import Augment, HorizontalFlip, RandomCrop
from heliostat.spec.sources import Source
from heliostat.spec.transforms import Transform

OWN = (RandomCrop(padding=2), HorizontalFlip())
TORCHVISIONS = (Transform(name="RandomRotation", args={"degrees": 30}),)


def epoch(
    folder: Path, processes: int, augment: tuple[Augment, ...], start: int = 0
) -> list[Batch]:
    samples = open_source(Source(uri=str(folder), split="train"))
    batches = TrainBatches(
        samples,
        batch_size=7,
        seed=5,
        rank=0,
        world_size=1,
        augment=augment,
        processes=processes,
    )
    return list(batches.epoch(1, start))


@pytest.mark.parametrize("augment", [OWN, OWN + TORCHVISIONS], ids=["own", "torchvision's too"])
@pytest.mark.parametrize("processes", [1, 2])
def test_ids_and_pixels_are_those_of_a_thread(
    class_folder: Path, processes: int, augment: tuple[Augment, ...]
) -> None:
    expected = epoch(class_folder, 0, augment)
    assert len(expected) > 3
    for mine, theirs in zip(epoch(class_folder, processes, augment), expected, strict=True):
        assert torch.equal(mine.index, theirs.index)
        assert torch.equal(mine.inputs, theirs.inputs)
        assert torch.equal(mine.targets, theirs.targets)
        assert (mine.number, mine.global_size) == (theirs.number, theirs.global_size)


def test_an_epoch_may_begin_in_its_middle(class_folder: Path) -> None:
    whole, rest = (epoch(class_folder, 2, OWN, start) for start in (0, 2))
    assert [b.index.tolist() for b in rest] == [b.index.tolist() for b in whole[2:]]


def test_closing_ends_the_processes(class_folder: Path) -> None:
    samples = open_source(Source(uri=str(class_folder), split="train"))
    before = psutil.Process().children()
    batches = TrainBatches(samples, batch_size=2, seed=5, rank=0, world_size=1, processes=2).epoch(
        0
    )
    with closing(batches):
        next(batches)
        assert len(psutil.Process().children()) == len(before) + 2
    assert psutil.Process().children() == before

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from heliostat.data import Batch, Samples, TrainBatches, open_source
from heliostat.data.formats import open_listing
from heliostat.data.imported import read_manifest
from heliostat.data.order import epoch_order
from heliostat.data.writing import import_dataset
from heliostat.spec.augmentations import HorizontalFlip, RandomCrop
from heliostat.spec.sources import Source

AUGMENT = (RandomCrop(padding=2), HorizontalFlip())
SEED, EPOCH, BATCH = 3, 2, 9


@pytest.fixture(params=["folder", "data set", "data set larger than the cache"])
def samples(
    request: pytest.FixtureRequest,
    class_folder: Path,
    tmp_path: Path,
    helio_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Samples:
    """40 digits, in files; imported; and imported where the cache holds a part of them."""
    if request.param == "folder":
        return open_source(Source(uri=str(class_folder), split="train"))
    import_dataset(open_listing(class_folder), str(tmp_path / "set"), shard_bytes=800)
    if "cache" in request.param:
        shards = read_manifest(str(tmp_path / "set"))[1].splits["train"].shards
        monkeypatch.setenv("HELIO_CACHE_BYTES", str(sum(shard.bytes for shard in shards) // 2))
    opened = open_source(Source(uri=str(tmp_path / "set"), split="train"))
    assert (opened.blocks is not None) == ("cache" in request.param)
    return opened


def global_batches(
    samples: Samples, world_size: int, start: int = 0, batch_size: int = BATCH
) -> list[tuple[list[int], Tensor, Tensor]]:
    """Return (index, inputs, targets) of each global batch, put together from its ranks' parts."""
    ranks = [
        TrainBatches(
            samples,
            batch_size=batch_size,
            seed=SEED,
            rank=rank,
            world_size=world_size,
            augment=AUGMENT,
        ).epoch(EPOCH, start)
        for rank in range(world_size)
    ]
    return [joined([part for part in parts if part.weight]) for parts in zip(*ranks, strict=True)]


def joined(parts: list[Batch]) -> tuple[list[int], Tensor, Tensor]:
    index = [number for part in parts for number in part.index.tolist()]
    inputs = torch.cat([part.inputs for part in parts])
    return index, inputs, torch.cat([part.targets for part in parts])


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("start", [0, 3])
def test_a_batch_is_a_function_of_seed_epoch_and_number_at_any_world_size_and_start(
    samples: Samples, world_size: int, start: int
) -> None:
    order = epoch_order(len(samples), SEED, EPOCH, samples.blocks)
    alone = global_batches(samples, 1)[start:]
    together = global_batches(samples, world_size, start)
    assert len(together) == len(alone) == 5 - start
    for number, (ours, theirs) in enumerate(zip(together, alone, strict=True), start=start):
        assert ours[0] == theirs[0] == order[number * BATCH :][:BATCH].tolist()
        assert torch.equal(ours[1], theirs[1])
        assert torch.equal(ours[2], theirs[2])


def test_a_samples_augmentation_is_a_function_of_seed_epoch_and_sample(samples: Samples) -> None:
    by_sample: list[dict[int, bytes]] = []
    for world_size, batch_size in ((1, 9), (3, 7), (2, 40), (4, 1)):
        found: dict[int, bytes] = {}
        for index, inputs, _ in global_batches(samples, world_size, batch_size=batch_size):
            found.update(zip(index, (image.numpy().tobytes() for image in inputs), strict=True))
        by_sample.append(found)
    assert by_sample[0].keys() == set(range(len(samples)))
    assert all(found == by_sample[0] for found in by_sample)
    plain = samples.read(np.arange(len(samples)))[0]
    moved = [by_sample[0][i] != plain[i].numpy().tobytes() for i in range(len(samples))]
    assert sum(moved) > len(samples) / 2

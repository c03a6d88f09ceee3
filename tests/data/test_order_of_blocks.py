from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from heliostat.data import Samples, TrainBatches, open_source
from heliostat.data.imported import read_manifest
from heliostat.data.order import epoch_order
from heliostat.data.records import Listing, Record
from heliostat.data.writing import import_dataset
from heliostat.spec.sources import Source

BLOCKS = (40, 3, 100, 57)


def test_an_order_in_blocks_holds_every_sample_once_and_each_block_in_one_piece() -> None:
    orders = [epoch_order(200, seed, epoch, BLOCKS) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    edges = np.cumsum(BLOCKS)
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(200))
        blocks = np.searchsorted(edges, order, side="right")
        assert np.count_nonzero(np.diff(blocks)) == len(BLOCKS) - 1
    assert np.mean(orders[0] == orders[1]) < 0.1
    assert np.mean(orders[0] == orders[2]) < 0.1
    # Blocks come in other orders, and are permuted in themselves.
    firsts = {tuple(np.searchsorted(edges, epoch_order(200, 0, e, BLOCKS)[:1])) for e in range(20)}
    assert len(firsts) > 1
    inside = [order[np.searchsorted(edges, order, side="right") == 2] for order in orders]
    assert len({part.tobytes() for part in inside}) == 3


def test_an_order_in_blocks_never_changes_with_a_release() -> None:
    assert epoch_order(8, seed=0, epoch=0, blocks=(3, 5)).tolist() == [2, 1, 0, 5, 6, 3, 4, 7]


def test_blocks_that_are_not_of_the_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks of together 8 samples, and there are 9"):
        epoch_order(9, 0, 0, (3, 5))


@pytest.fixture
def large(tmp_path: Path, helio_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """48 rows in 12 shards, of which the cache holds eight: two make a block."""
    records = [Record(os.urandom(25_000), f"{number}", number % 3) for number in range(48)]
    listing = Listing("made", "labels", ("a", "b", "c"), {"train": records})
    import_dataset(listing, str(tmp_path / "set"), shard_bytes=100_000)
    shards = read_manifest(str(tmp_path / "set"))[1].splits["train"].shards
    assert [shard.rows for shard in shards] == [4] * 12
    monkeypatch.setenv("HELIO_CACHE_BYTES", str(8 * max(shard.bytes for shard in shards)))
    return tmp_path / "set"


def opened(root: Path, split: str = "train") -> Samples:
    return open_source(Source(uri=str(root), split=split), image_size=(8, 8), channels=3)


def batches(samples: Samples) -> TrainBatches:
    return TrainBatches(samples, batch_size=4, seed=0, rank=0, world_size=1)


def test_a_set_larger_than_the_cache_is_shuffled_in_blocks_of_a_quarter_of_it(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = opened(large)
    assert samples.blocks == (8,) * 6
    # Its labels would be all of it to fetch.
    assert samples.labels is None
    assert batches(samples).shuffling.startswith("in 6 blocks of up to 8 samples: the data set is")
    monkeypatch.delenv("HELIO_CACHE_BYTES")
    assert opened(large).blocks is None
    assert batches(opened(large)).shuffling == "global"


def test_slices_of_a_large_set_keep_to_their_shards_order_and_share_no_sample(large: Path) -> None:
    parts = [opened(large, "train[:70%]"), opened(large, "train[70%:]")]
    rows = [[part.source(i) for i in range(len(part))] for part in parts]
    assert len(set(rows[0]) | set(rows[1])) == 48
    for part, names in zip(parts, rows, strict=True):
        assert part.blocks is not None
        assert sum(part.blocks) == len(part)
        files = [name.partition("#")[0] for name in names]
        assert files == sorted(files)

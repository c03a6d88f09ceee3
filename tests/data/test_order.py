from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from heliostat.data.order import epoch_order, rank_slice


def test_an_epochs_order_holds_every_sample_once_and_differs_by_seed_and_epoch() -> None:
    orders = [epoch_order(1000, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(1000))
    assert np.mean(orders[0] == orders[1]) < 0.02
    assert np.mean(orders[0] == orders[2]) < 0.02


def test_an_epochs_order_never_changes_with_a_release() -> None:
    # A job that is resumed, or evaluated, by a later version must meet the same order.
    assert epoch_order(8, seed=0, epoch=0).tolist() == [5, 3, 4, 6, 2, 7, 0, 1]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [0, 1, 3, 256, 257])
def test_ranks_cut_a_batch_into_parts_that_differ_by_at_most_one(
    size: int, world_size: int
) -> None:
    parts = [rank_slice(size, rank, world_size) for rank in range(world_size)]
    sizes = [stop - start for start, stop in parts]
    assert parts[0][0] == 0
    assert parts[-1][1] == size
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1

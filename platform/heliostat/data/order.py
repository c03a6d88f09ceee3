"""Which samples form which batch, and which rank reads which of them (design decision 1).

The global batch is the unit: its samples are a pure function of (seed, epoch, batch). The number
of workers decides only how it is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heliostat.data import counter

_ORDER = 0x0D0E  # keeps the epoch's order apart from other uses of the same seed


def epoch_order(
    size: int, seed: int, epoch: int, blocks: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """Return the order in which an epoch reads its samples: a permutation of range(size), int64.

    Global batch b of the epoch is `order[b * batch_size : (b + 1) * batch_size]`. With `blocks`,
    which says how many consecutive samples lie in each, the blocks come in a permuted order and
    each is permuted in itself: so only one or two are needed at a time.
    """
    if blocks is None:
        return counter.permutation(size, counter.key(_ORDER, seed, epoch))
    if sum(blocks) != size:
        raise ValueError(f"blocks of together {sum(blocks)} samples, and there are {size}")
    starts = np.cumsum(blocks) - np.asarray(blocks)
    parts = [
        starts[block] + counter.permutation(blocks[block], counter.key(_ORDER, seed, epoch, block))
        for block in counter.permutation(len(blocks), counter.key(_ORDER, seed, epoch)).tolist()
    ]
    return np.concatenate(parts)


def rank_slice(size: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return (start, stop) of a rank's part of a global batch of `size` samples.

    Parts differ by at most one sample, and earlier ranks have the larger ones.
    """
    share, larger = divmod(size, world_size)
    start = rank * share + min(rank, larger)
    return start, start + share + (rank < larger)

"""Which samples form which batch, and which rank reads which of them (design decision 1).

The global batch is the unit: its samples are a pure function of (seed, epoch, batch). The number
of workers decides only how it is cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heliostat.data import counter

_ORDER = 0x0D0E  # keeps the epoch's order apart from other uses of the same seed


def epoch_order(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch reads its samples: a permutation of range(size), int64.

    Global batch b of the epoch is `order[b * batch_size : (b + 1) * batch_size]`.
    """
    return counter.permutation(size, counter.key(_ORDER, seed, epoch))


def rank_slice(size: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return (start, stop) of a rank's part of a global batch of `size` samples.

    Parts differ by at most one sample, and earlier ranks have the larger ones.
    """
    share, larger = divmod(size, world_size)
    start = rank * share + min(rank, larger)
    return start, start + share + (rank < larger)

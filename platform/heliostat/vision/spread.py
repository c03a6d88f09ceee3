"""A few of the samples that an evaluation sees, spread evenly over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Self, TypeVar

import numpy as np

Item = TypeVar("Item")


class Spread(Generic[Item]):
    """At most `limit` samples, spread evenly over all that were offered.

    The first samples alone would all be of one class wherever files lie in a folder a class.
    Which are kept depends on their number only, so epochs show the same samples. Nothing random.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._kept: list[Item] = []

    def among(self, first: int, total: int) -> None:
        """Say, before any is offered, that they are some of `total` samples, from `first` on.

        Then what is kept is what would be if all were offered here.
        """
        self._offered = first
        while -(-total // self._stride) > 2 * self._limit:
            self._stride *= 2

    def wanted(self, count: int) -> range:
        """Return which of the next `count` samples to `keep`."""
        rows = range(-self._offered % self._stride, count, self._stride)
        self._offered += count
        return rows

    def keep(self, items: Iterable[Item]) -> None:
        """Keep the samples that were wanted."""
        self._kept += items
        while len(self._kept) > 2 * self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def absorb(self, later: Self) -> None:
        """Take what another kept of the samples after these; both know `among` which they are."""
        self._kept += later._kept

    def samples(self) -> list[Item]:
        """Return the samples to show, in the order of the data."""
        count = min(self._limit, len(self._kept))
        places = np.linspace(0, len(self._kept) - 1, count).round().astype(int)
        return [self._kept[place] for place in places]

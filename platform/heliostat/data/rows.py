"""Where the rows of a split lie: which file, and which row of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from heliostat.data.samples import Indices


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one file after another, or some of them."""

    files: tuple[str, ...]
    starts: Indices
    """The first row of each file, counted over all files, int64 (files,)."""
    chosen: Indices
    """The samples' rows, counted over all files, int64 (N,)."""

    @classmethod
    def of(cls, *files: tuple[str, int]) -> Self:
        """Return all rows of files given as (name, number of rows)."""
        counts = np.array([count for _, count in files], np.int64)
        names = tuple(name for name, _ in files)
        return cls(names, np.cumsum(counts) - counts, np.arange(counts.sum()))

    def take(self, chosen: Indices) -> Self:
        """Return the chosen samples' rows."""
        return type(self)(self.files, self.starts, self.chosen[chosen])

    def place(self, index: int) -> tuple[int, int]:
        """Return a sample's (file, row), the row counted from 0 in its file."""
        row = int(self.chosen[index])
        file = int(np.searchsorted(self.starts, row, side="right")) - 1
        return file, row - int(self.starts[file])

    def name(self, index: int) -> str:
        """Return `path#row` of a sample, the row counted from 0 in its file."""
        file, row = self.place(index)
        return f"{self.files[file]}#{row}"

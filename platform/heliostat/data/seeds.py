"""`seeds:N` as a source: what a generator makes images of."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from heliostat.data.fingerprint import fingerprint
from heliostat.data.samples import Indices
from heliostat.spec.problems import InputError

PREFIX = "seeds:"


class Seeds:
    """The whole numbers from 0 on: sample i's input is int64 (1,), its seed."""

    classes: tuple[str, ...] = ()
    labels = None
    shape = None
    background = True
    blocks = None
    skipped = ()

    def __init__(self, uri: str, seeds: Indices) -> None:
        """Take the seeds, int64 (N,)."""
        self.uri = uri
        self._seeds = seeds

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the seeds."""
        return fingerprint("seeds", self._seeds, ())

    def __len__(self) -> int:
        """Return N."""
        return len(self._seeds)

    def source(self, index: int) -> str:
        """Return `seeds:<seed>`."""
        return f"{PREFIX}{self._seeds[index]}"

    def size(self, index: int) -> None:
        """Return None: a seed is no image."""

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return int64 (n, 1), and None for targets."""
        return torch.from_numpy(self._seeds[indices, None]), None

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each sample's input."""
        return list(torch.from_numpy(self._seeds[indices, None]))

    def take(self, chosen: Indices) -> Self:
        """Return the chosen ones."""
        return type(self)(self.uri, self._seeds[chosen])


def open_seeds(uri: str) -> Seeds:
    """Return the first N seeds that `seeds:N` names; InputError for another text."""
    count = uri.removeprefix(PREFIX)
    if not count.isdecimal() or not 0 < int(count) <= _MOST:
        valid = f"{PREFIX}100, at most {PREFIX}{_MOST}"
        raise InputError.of(f"{uri!r} names no number of seeds", key=("uri",), valid=valid)
    return Seeds(uri, np.arange(int(count), dtype=np.int64))


_MOST = 10**8

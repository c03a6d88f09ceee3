"""What every source becomes: samples that are read by number."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]
Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Shape = tuple[int, int, int]
Skipped = tuple[tuple[str, str], ...]
"""Samples that were left out: (source, why)."""


class Samples(Protocol):
    """A split of a data set: N samples, each read by its number in [0, N)."""

    @property
    def uri(self) -> str:
        """Where the samples come from, as the job spec names it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels; empty where the source has none."""

    @property
    def labels(self) -> Labels | None:
        """Every sample's class, int64 (N,); None where they are not known without reading."""

    @property
    def shape(self) -> Shape | None:
        """An image's (channels, height, width); None for a dataset of the user's own."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content as 64 hex digits; the first use may read all of it."""

    @property
    def background(self) -> bool:
        """Whether `read` may run in a thread beside the training step.

        False where it runs the user's code, which may draw from the process's global random
        state: drawn beside a step, such numbers would change the step's own (dropout).
        """

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """How many samples, one after another, each block of a block-wise order holds.

        None where the order may be global: the samples are in memory, or in a cache that holds
        them all.
        """

    @property
    def skipped(self) -> Skipped:
        """Samples that could not be read and are not among these (`on_error: skip`)."""

    def __len__(self) -> int:
        """Return N."""

    def source(self, index: int) -> str:
        """Return where one sample comes from: a file's path, or `path#row`."""

    def size(self, index: int) -> tuple[int, int] | None:
        """Return an image's (height, width) in its source, in pixels; None for no image.

        Raises what decoding would for one whose header cannot be read.
        """

    def read(self, indices: Indices, key: tuple[int, int] = (0, 0)) -> tuple[Any, Any]:
        """Return (inputs, targets) of n samples, in the order given.

        Images are a uint8 tensor (n, C, H, W) and their targets int64 (n,), or None without
        labels; a user's dataset gives what torch's `default_collate` makes of its items. `key`
        is (seed, epoch): where reading is random, sample i's randomness is a function of
        (seed, epoch, i). An image that cannot be decoded raises InputError.
        """

    def read_each(self, indices: Indices) -> list[Tensor | Exception]:
        """Return each sample's input (C, H, W), or the exception where it cannot be read."""

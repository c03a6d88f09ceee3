"""Mean and standard deviation of a split's channels, for normalising the model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from heliostat.data import counter
from heliostat.data.augment import is_images
from heliostat.data.samples import Indices, Samples


@dataclass(frozen=True)
class Statistics:
    """A value per channel, on the scale 0..1 (uint8 / 255; float images as they are)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def statistics(samples: Samples, seed: int) -> Statistics | None:
    """Return the statistics of at most 2,000 samples, chosen by `seed`; None if not images.

    A standard deviation is at least 1/255, so that a constant channel can be divided by it.
    """
    chosen = choose(len(samples), seed)
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for start in range(0, len(chosen), _AT_ONCE):
        inputs, _ = samples.read(chosen[start : start + _AT_ONCE], (seed, 0))
        # Annotated images come in a list, each of its own size.
        for batch in [image[None] for image in inputs] if isinstance(inputs, list) else [inputs]:
            if not is_images(batch):
                return None
            images = batch.numpy().astype(np.float64)
            if batch.dtype == torch.uint8:
                images /= 255
            count += images.size // images.shape[1]
            total = total + images.sum((0, 2, 3))
            squares = squares + (images**2).sum((0, 2, 3))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return Statistics(tuple(mean.tolist()), tuple(np.maximum(std, 1 / 255).tolist()))


def choose(size: int, seed: int) -> Indices:
    """Return the samples, of `size`, that statistics are made of: sorted, at most 2,000."""
    return np.sort(counter.permutation(size, counter.key(_CHOICE, seed))[:_AT_MOST])


_CHOICE = 0x57A7
_AT_MOST = 2000
_AT_ONCE = 100

"""Mean and standard deviation of images that come one by one, each of its own size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliostat.data.decode import decode, header
from heliostat.data.encoded import Encoded


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one image, on the scale 0..1, float64 (channels,)."""

    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    """The mean of squares."""


def moments(encoded: Encoded) -> Moments | None:
    """Return an image's moments, of 1 channel or 3; None where it cannot be decoded."""
    try:
        image = decode(encoded, header(encoded))
    except Exception:
        return None
    counts = np.stack([np.bincount(plane.reshape(-1), minlength=256) for plane in image])
    pixels = counts.sum(1)
    return Moments(counts @ _LEVELS / pixels, counts @ _LEVELS**2 / pixels)


def combine(found: Iterable[Moments]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return (mean, std) per channel, each image counting as much as any other.

    Grey images count in every channel where others have colour. A standard deviation is at least
    1/255. Without images, both are empty.
    """
    each = list(found)
    if not each:
        return (), ()
    channels = max(len(one.mean) for one in each)
    mean = np.mean([np.broadcast_to(one.mean, channels) for one in each], axis=0)
    square = np.mean([np.broadcast_to(one.square, channels) for one in each], axis=0)
    std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())


_LEVELS: NDArray[Any] = np.arange(256) / 255

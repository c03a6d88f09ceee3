"""Masks as pixels: what an image of classes holds, and what a run-length code stands for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from heliostat.data.encoded import Encoded
from heliostat.data.records import Rle
from heliostat.data.samples import Pixels


def mask_values(encoded: Encoded) -> NDArray[np.int32]:
    """Return a mask's values, int32 (H, W): of an image with a palette, its colours' numbers.

    Raises ValueError for an image of several channels, and what Pillow raises for a broken one.
    """
    with Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as image:
        image.load()
        values = np.asarray(image)
        if values.ndim != 2:
            raise ValueError(f"has {values.shape[2]} channels ({image.mode}), not one")
        return values.astype(np.int32)


def rle_pixels(rle: Rle) -> Pixels:
    """Return the object's pixels, uint8 (H, W): 1 inside, 0 outside.

    Raises ValueError where the code is broken.
    """
    from pycocotools import mask  # its C code is needed only for this rare form

    inside: Pixels = mask.decode({"size": list(rle.size), "counts": rle.counts})
    return inside

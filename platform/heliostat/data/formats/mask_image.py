"""Masks in image files: what values their pixels have, and those as a PNG of one channel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from heliostat.data.formats.arrays import png
from heliostat.data.formats.files import wrong
from heliostat.data.paths import one_line
from heliostat.data.samples import Indices, Pixels


def values(masks: Sequence[Path]) -> set[int]:
    """Return all values that occur in the masks, each of which is read."""
    found = np.zeros(256, np.bool_)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for counts in pool.map(_counts, masks):
            found |= counts > 0
    return set(np.flatnonzero(found).tolist())


def without_colours(mask: Path, renumbered: Pixels | None = None) -> bytes:
    """Return the values as PNG, those of `renumbered` uint8 (256,) in place of the mask's own."""
    pixels = mask_pixels(mask)
    return png(pixels if renumbered is None else renumbered[pixels])


def mask_pixels(mask: Path) -> Pixels:
    """Return a mask's values, uint8 (height, width); of a palette, the numbers of its colours.

    Raises InputError for what is no image or has no single value a pixel.
    """
    try:
        with Image.open(mask) as image:
            lossy = image.format == "JPEG"
            mode = image.mode
            pixels = np.asarray(image.convert("L") if mode == "1" else image)
    except Exception as error:  # Pillow's plugins raise whatever they meet
        reason = one_line(error).removesuffix(f" {str(mask)!r}")
        raise wrong(mask, f"cannot be read as a mask: {reason}") from error
    if lossy:
        raise wrong(mask, "a mask as JPEG has values that nobody gave", valid="PNG")
    if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
        pixels = pixels[..., 0]  # grey, but written in three channels
    if pixels.ndim != 2:
        message = f"a mask of mode {mode} has several values a pixel"
        raise wrong(mask, message, valid="one channel, or a palette")
    if pixels.max(initial=0) > 255 or pixels.min(initial=0) < 0:
        raise wrong(mask, f"a mask with a value of {pixels.max()}", valid="0 to 255")
    return pixels.astype(np.uint8)


def _counts(mask: Path) -> Indices:
    return np.bincount(mask_pixels(mask).ravel(), minlength=256)

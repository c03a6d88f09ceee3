"""Encoded images to pixels, with Pillow.

EXIF orientation is ignored, as in torchvision's ImageFolder. Palettes become the colours they
stand for. Images of 16 bits keep their upper 8; those of 32 bits are refused, since their range
is not known.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from heliostat.data.samples import Pixels, Shape

Encoded = Path | bytes
"""An image file, or its content."""

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)


def decode(encoded: Encoded, shape: Shape) -> Pixels:
    """Return the image as uint8 of this shape (channels, height, width), resized if it differs.

    Bytes that are not a whole image raise what Pillow's plugin meets: OSError, SyntaxError,
    ValueError, struct.error…
    """
    with _opened(encoded) as image:
        # JPEGs decode at a reduced scale, at least three times the size asked for. On 60 photos of
        # raccoons to 64x48: 234 instead of 135 images/s, on average 0.3 of 255 levels off the
        # exact resize (twice the size: 267 images/s, 1.1 off).
        image.draft(None, (3 * shape[2], 3 * shape[1]))
        return pixels(image, shape)


def pixels(image: Image.Image, shape: Shape) -> Pixels:
    """Return an opened image as uint8 of this shape, (1 or 3 channels, height, width)."""
    channels, height, width = shape
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"images of mode {image.mode} (32 bits a pixel) are not read")
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    array: Pixels = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def header(encoded: Encoded) -> tuple[int, int, int]:
    """Return (channels, height, width) from an image's header: 1 channel if it is grey, else 3.

    Raises OSError or SyntaxError where there is no header to read.
    """
    with _opened(encoded) as image:
        return 1 if image.mode in _GREY else 3, image.height, image.width


_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I", "F")


def _opened(encoded: Encoded) -> Image.Image:
    return Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded)

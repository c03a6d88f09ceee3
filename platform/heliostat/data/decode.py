"""Encoded images to pixels: JPEGs with simplejpeg (libjpeg-turbo), everything else with Pillow.

Measured in one run, one core, ms an image, 180 photos whole and at half scale, and 32x32:

    simplejpeg   1.06  0.84  0.017
    torchvision  1.15     -  0.051
    TorchCodec   1.16     -  0.057
    OpenCV       1.19  0.92  0.028
    Pillow       1.90  1.11  0.125

EXIF orientation is ignored, as in torchvision's ImageFolder. Palettes become the colours they
stand for. Images of 16 bits keep their upper 8; those of 32 bits are refused, since their range
is not known.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from heliostat.data.crops import Window
from heliostat.data.encoded import Encoded, content_of
from heliostat.data.headers import Header, read_header
from heliostat.data.resize import resized
from heliostat.data.samples import Pixels, Shape

Decoder = Literal["simplejpeg", "opencv", "pillow"]
"""What reads JPEGs, and in OpenCV's case plain PNGs; Pillow reads everything else, and what the
others complain of (CMYK, palettes, alpha, 16 bits, what is truncated).

Colours are the same with all three. Grey from a colour JPEG is its luminance with simplejpeg and
OpenCV; Pillow computes it from the colours, up to 1 of 255 levels beside it.
"""

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)


def decode(encoded: Encoded, shape: Shape, decoder: Decoder = "simplejpeg") -> Pixels:
    """Return the image as uint8 of this shape (channels, height, width), resized if it differs.

    Bytes that are not a whole image raise what Pillow's plugin meets: OSError, SyntaxError,
    ValueError, struct.error…
    """
    channels, *size = shape
    image = _opened(encoded, decoder)
    # JPEGs decode at a reduced scale, at least three times the size asked for. On 60 photos of
    # raccoons to 64x48: 234 instead of 135 images/s, on average 0.3 of 255 levels off the
    # exact resize (twice the size: 267 images/s, 1.1 off).
    whole = image.read(channels, _reduction((image.height, image.width), size, 3))
    return resized(whole, (size[0], size[1]))


def decode_window(
    encoded: Encoded,
    shape: Shape,
    choose: Callable[[int, int], Window],
    decoder: Decoder = "simplejpeg",
) -> Pixels:
    """Return a window of the image as uint8 of this shape (channels, height, width).

    `choose` is told the image's height and width. A JPEG decodes at a half, a quarter or an
    eighth of its scale where the window is larger than the shape by as much.
    """
    channels, *size = shape
    image = _opened(encoded, decoder)
    of = image.height, image.width
    window = choose(*of)
    whole = image.read(channels, _reduction(window[2:], size, 1))
    return cut(whole, window, of, (size[0], size[1]))


def decode_whole(
    encoded: Encoded, channels: int, size: tuple[int, int] | None, decoder: Decoder = "simplejpeg"
) -> Pixels:
    """Return the image as uint8 (height, width, channels), of `size` where that is given."""
    image = _opened(encoded, decoder)
    if size is None:
        return image.read(channels, 1)
    whole = image.read(channels, _reduction((image.height, image.width), size, 1))
    return np.ascontiguousarray(resized(whole, size).transpose(1, 2, 0))


def cut(whole: Pixels, window: Window, of: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """Return a window of (H, W, C) as (C, *size); the window is in pixels of a size `of`."""
    down, right = whole.shape[0] / of[0], whole.shape[1] / of[1]
    top, left = int(window[0] * down), int(window[1] * right)
    bottom = max(top + 1, round((window[0] + window[2]) * down))
    end = max(left + 1, round((window[1] + window[3]) * right))
    return resized(whole[top:bottom, left:end], size)


def pixels(image: Image.Image, shape: Shape) -> Pixels:
    """Return an opened image as uint8 of this shape, (1 or 3 channels, height, width)."""
    return resized(_converted(image, shape[0]), shape[1:])


def header(encoded: Encoded) -> tuple[int, int, int]:
    """Return (channels, height, width) from an image's header: 1 channel if it is grey, else 3.

    Raises OSError or SyntaxError where there is no header to read.
    """
    found = read_header(content_of(encoded, _HEADER_BYTES))
    if found is not None:
        return found.channels, found.height, found.width
    image = _pillow(content_of(encoded))
    return 1 if image.mode in _GREY else 3, image.height, image.width


class _Image(Protocol):
    height: int
    width: int

    def read(self, channels: int, reduction: int) -> Pixels:
        """Return (height, width, channels), a JPEG at 1, 1/2, 1/4 or 1/8 of its scale."""


class _Jpeg:
    def __init__(self, content: bytes, header: Header) -> None:
        self.height, self.width = header.height, header.width
        self._content = content

    def read(self, channels: int, reduction: int) -> Pixels:
        colours = "GRAY" if channels == 1 else "RGB"
        try:
            if reduction == 1:
                image: Pixels = simplejpeg.decode_jpeg(self._content, colours)
            else:
                height, width = -(-self.height // reduction), -(-self.width // reduction)
                image = simplejpeg.decode_jpeg(
                    self._content, colours, min_height=height, min_width=width, min_factor=reduction
                )
        except ValueError:  # Pillow reads it after all, or says what is wrong with it
            image = _Pillow(self._content).read(channels, reduction)
        return image


class _OpenCv:
    """OpenCV's flags for a reduced JPEG refuse its flag for RGB: the order is turned here."""

    def __init__(self, content: bytes, header: Header) -> None:
        self.height, self.width = header.height, header.width
        self._content = content

    def read(self, channels: int, reduction: int) -> Pixels:
        import cv2  # 0.2 s, for those who ask for it

        kind = "GRAYSCALE" if channels == 1 else "COLOR"
        name = f"IMREAD_{kind}" if reduction == 1 else f"IMREAD_REDUCED_{kind}_{reduction}"
        flags = getattr(cv2, name) | cv2.IMREAD_IGNORE_ORIENTATION
        image: Any = cv2.imdecode(np.frombuffer(self._content, np.uint8), flags)
        if image is None:  # Pillow says what is wrong with it
            return _Pillow(self._content).read(channels, reduction)
        pixels: Pixels = (
            image[:, :, None] if channels == 1 else np.ascontiguousarray(image[:, :, ::-1])
        )
        return pixels


class _Pillow:
    def __init__(self, content: bytes) -> None:
        self._image = _pillow(content)
        self.height, self.width = self._image.height, self._image.width

    def read(self, channels: int, reduction: int) -> Pixels:
        if reduction > 1:
            self._image.draft(None, (self.width // reduction, self.height // reduction))
        return _converted(self._image, channels)


_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I", "F")
_HEADER_BYTES = 8192
_END_OF_IMAGE = b"\xff\xd9"


def _opened(encoded: Encoded, decoder: Decoder) -> _Image:
    content = content_of(encoded)
    found = None if decoder == "pillow" else read_header(content)
    if found is None:
        return _Pillow(content)
    # What ends early OpenCV fills up with grey, and says so on stderr alone.
    if decoder == "opencv" and (not found.jpeg or content.endswith(_END_OF_IMAGE)):
        return _OpenCv(content, found)
    return _Jpeg(content, found) if found.jpeg else _Pillow(content)


def _reduction(source: tuple[int, int], size: list[int] | tuple[int, int], times: int) -> int:
    """Return the largest reduction that leaves at least `times` the size."""
    if source[0] <= size[0]:  # small images are many
        return 1
    scale = min(source[0] // (times * size[0]), source[1] // (times * size[1]))
    return next((reduction for reduction in (8, 4, 2) if scale >= reduction), 1)


def _converted(image: Image.Image, channels: int) -> Pixels:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"images of mode {image.mode} (32 bits a pixel) are not read")
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[:, :, None] if channels == 1 else array


def _pillow(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise UnidentifiedImageError("no image of a known format") from None

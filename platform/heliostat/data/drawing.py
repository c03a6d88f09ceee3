"""One sample as a person looks at it: its image, with what is annotated drawn over it."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from heliostat.data.decode import decode, header
from heliostat.data.encoded import Encoded
from heliostat.data.masks import mask_values
from heliostat.data.records import IGNORED, Objects, Record, Rle
from heliostat.data.targets import outlined

Colour = tuple[int, int, int]

INK: Colour = (31, 41, 51)
PAPER: Colour = (255, 255, 255)


def draw(record: Record, classes: Sequence[str], side: int) -> Image.Image:
    """Return the image in RGB, its longer side about `side` pixels, with boxes, outlines, masks.

    An image that is smaller is magnified a whole number of times. Raises what decoding raises.
    """
    _, height, width = header(record.image)
    image = _scaled(record.image, (height, width), side)
    scale = image.width / width
    if record.mask is not None:
        image = _with_mask(image, record.mask)
    if record.objects is not None:
        if record.objects.outlines:
            image = _with_outlines(image, record.objects, scale)
        _draw_boxes(image, record.objects, classes, scale)
    return image


def colour(number: int) -> Colour:
    """Return a class's colour: the first eight are told apart by everybody (Okabe and Ito)."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    # The golden ratio spreads hues evenly however many there are.
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.75, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own typeface; what it lacks (it has Latin only) is drawn as boxes."""
    return ImageFont.load_default(size)


def contrasting(background: Colour) -> Colour:
    """Return ink or paper, whichever is read better on this colour."""
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else PAPER


_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (120, 94, 240),
)
_FILL = 70
"""How opaque an object's inside is, of 255."""
_MASK = 0.4
"""How opaque a mask is."""
_TAG = 12


def _scaled(encoded: Encoded, size: tuple[int, int], side: int) -> Image.Image:
    height, width = size
    scale = side / max(size)
    if scale < 1:
        height, width = (max(1, round(edge * scale)) for edge in size)
    image = Image.fromarray(decode(encoded, (3, height, width)).transpose(1, 2, 0))
    times = int(scale)
    if times < 2:
        return image
    return image.resize((width * times, height * times), Image.Resampling.NEAREST)


def _with_mask(image: Image.Image, mask: Encoded) -> Image.Image:
    """Tint each class; what is ignored, or of no class, turns white."""
    values = mask_values(mask)
    tints = np.array([colour(number) for number in range(IGNORED)] + [PAPER], np.uint8)
    tinted = Image.fromarray(tints[np.where((values >= 0) & (values < IGNORED), values, IGNORED)])
    return Image.blend(image, tinted.resize(image.size, Image.Resampling.NEAREST), _MASK)


def _with_outlines(image: Image.Image, objects: Objects, scale: float) -> Image.Image:
    """Fill each object lightly and draw its edge."""
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    for outline, number in zip(objects.outlines, objects.classes.tolist(), strict=True):
        ink = colour(number)
        if isinstance(outline, Rle):
            inside = outlined(outline, outline.size, (image.height, image.width))
            layer.paste((*ink, _FILL), mask=Image.fromarray(inside))
            continue
        for polygon in outline:
            points = [scale * value for value in polygon]
            if len(points) >= 6:  # three corners
                pen.polygon(points, fill=(*ink, _FILL), outline=(*ink, 255))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _draw_boxes(image: Image.Image, objects: Objects, classes: Sequence[str], scale: float) -> None:
    """Draw each box, named where its name is no wider than itself."""
    pen = ImageDraw.Draw(image)
    finite = np.isfinite(objects.boxes).all(axis=1)
    boxes, numbers = objects.boxes[finite] * scale, objects.classes[finite]
    drawn = list(zip(boxes.tolist(), numbers.tolist(), strict=True))
    for (left, top, right, bottom), number in drawn:
        corners = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
        pen.rectangle(corners, outline=colour(number), width=2)
    # Names last, so that no line crosses them.
    for (left, top, right, bottom), number in drawn:
        ink = colour(number)
        name = classes[number] if 0 <= number < len(classes) else str(number)
        width = font(_TAG).getlength(name) + 6
        if width <= right - left and bottom - top > 2 * _TAG:
            pen.rectangle((left, top, left + width, top + _TAG + 3), fill=ink)
            pen.text((left + 3, top), name, fill=contrasting(ink), font=font(_TAG))

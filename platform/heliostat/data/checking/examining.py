"""One sample: whether it decodes, and whether its annotations fit its image."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from heliostat.data.checking.report import FindingKind
from heliostat.data.decode import decode_whole
from heliostat.data.encoded import Encoded
from heliostat.data.masks import mask_values
from heliostat.data.paths import one_line
from heliostat.data.records import IGNORED, Objects, Record, Rle
from heliostat.data.samples import Pixels

Complaint = tuple[FindingKind, str]


@dataclass(frozen=True)
class Picture:
    """What is kept of a decoded image."""

    mode: str
    """Pillow's."""
    size: tuple[int, int]
    """(height, width)"""
    digest: bytes
    """SHA-256 of the size and the RGB pixels."""
    hash: int
    """The 64-bit difference hash."""


@dataclass(frozen=True, eq=False)
class Examined:
    """What is known about one sample."""

    complaints: tuple[Complaint, ...]
    per_class: NDArray[np.int64]
    """(K,): 1 for the label, the number of objects, or 1 for each class in the mask."""
    picture: Picture | None
    """None where the image does not decode."""


def examine(record: Record, classes: tuple[str, ...]) -> Examined:
    """Decode a record's image in full and hold its annotations against it."""
    complaints: list[Complaint] = []
    picture = None
    try:
        picture = _picture(record.image)
    except Exception as error:
        complaints.append(("undecodable", _reason(error)))
    size = picture.size if picture else None
    per_class = np.zeros(len(classes), np.int64)
    if record.label is not None:
        complaints += _count([record.label], classes, per_class)
    if record.objects is not None:
        complaints += _count(record.objects.classes.tolist(), classes, per_class)
        complaints += _about_objects(record.objects, classes, size)
    if record.mask is not None:
        complaints += _about_mask(record.mask, classes, size, per_class)
    return Examined(tuple(complaints), per_class, picture)


def thumbnail(encoded: Encoded) -> Pixels:
    """Return the image in grey, uint8 (32, 32)."""
    rgb = Image.fromarray(_rgb(encoded))
    return np.asarray(rgb.convert("L").resize((32, 32), Image.Resampling.BOX))


def _picture(encoded: Encoded) -> Picture:
    with _opened(encoded) as image:
        mode = image.mode
    rgb = _rgb(encoded)
    height, width, _ = rgb.shape
    digest = hashlib.sha256(f"{height}x{width}".encode())
    digest.update(rgb.data)
    return Picture(mode, (height, width), digest.digest(), difference_hash(Image.fromarray(rgb)))


def _rgb(encoded: Encoded) -> Pixels:
    """Return the pixels as training sees them, uint8 (H, W, 3), decoded in full.

    By Pillow, whatever decodes in training: it refuses what is not whole.
    """
    return np.ascontiguousarray(decode_whole(encoded, 3, None, "pillow"))


def difference_hash(image: Image.Image) -> int:
    """Return 64 bits: whether each of 8×8 places is darker than the one to its right.

    N. Krawetz, "Kind of Like That", hackerfactor.com, 2013. It stays the same, or nearly so, when
    an image is scaled, compressed again, or changed in brightness.
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(grey[:, :-1] < grey[:, 1:]).tobytes(), "big")


def _opened(encoded: Encoded) -> Image.Image:
    return Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded))


def _reason(error: Exception) -> str:
    """Return why it does not decode, without the path, which stands beside it."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, UnidentifiedImageError):
        return "is in no image format that is read"
    return one_line(error) or type(error).__name__


def _count(
    numbers: Iterable[int], classes: tuple[str, ...], per_class: NDArray[np.int64]
) -> Iterator[Complaint]:
    for number in numbers:
        if 0 <= number < len(classes):
            per_class[number] += 1
        else:
            yield "undeclared_class", f"class {number}, of {len(classes)} that have a name"


def _about_objects(
    objects: Objects, classes: tuple[str, ...], size: tuple[int, int] | None
) -> Iterator[Complaint]:
    for place, (box, number) in enumerate(zip(objects.boxes, objects.classes, strict=True), 1):
        name = classes[number] if 0 <= number < len(classes) else number
        where = f"box {place} ({name}), {' '.join(f'{edge:g}' for edge in box)},"
        left, top, right, bottom = box.tolist()
        # Asked this way round, a NaN has no area either.
        if not (right > left and bottom > top):
            yield "empty_box", f"{where} has no area"
        elif size is not None and (out := _outside(left, top, right, bottom, size)):
            yield "outside_box", f"{where} is {out} the image of {_described(size)}"
    for place, outline in enumerate(objects.outlines, 1):
        if isinstance(outline, Rle) and size is not None and outline.size != size:
            of = f"the outline of box {place} is for an image of {_described(outline.size)}"
            yield "mask_size", f"{of}, the image is of {_described(size)}"


def _outside(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> str:
    """Say how a box is outside; a pixel beyond the edge is how formats differ, not a mistake."""
    height, width = size
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return "outside"
    if left < -1 or top < -1 or right > width + 1 or bottom > height + 1:
        return "partly outside"
    return ""


def _about_mask(
    mask: Encoded,
    classes: tuple[str, ...],
    size: tuple[int, int] | None,
    per_class: NDArray[np.int64],
) -> Iterator[Complaint]:
    try:
        values = mask_values(mask)
    except Exception as error:
        yield "undecodable", f"mask: {_reason(error)}"
        return
    if size is not None and values.shape != size:
        of = f"the mask is of {_described((values.shape[0], values.shape[1]))}"
        yield "mask_size", f"{of}, the image of {_described(size)}"
    found, counts = np.unique(values, return_counts=True)
    declared = (found >= 0) & (found < len(classes))
    per_class[found[declared]] = 1
    odd = ~declared & (found != IGNORED)
    if odd.any():
        some = ", ".join(map(str, found[odd][:5])) + (", …" if odd.sum() > 5 else "")
        pixels_of = f"{counts[odd].sum():,} of {values.size:,} pixels"
        yield "undeclared_value", f"mask: {pixels_of} are {some}, of {len(classes)} classes"


def _described(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"

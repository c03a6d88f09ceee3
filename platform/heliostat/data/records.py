"""What a format of the field holds: encoded images, and what is annotated in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heliostat.data.encoded import Encoded

Kind = Literal["images", "labels", "objects", "masks", "domains"]
"""What is annotated: nothing; a class an image; boxes and outlines; a class a pixel; a domain."""

IGNORED = 255
"""The pixel value of a mask that stands for no class (Pascal VOC's border)."""


@dataclass(frozen=True)
class Rle:
    """An object's pixels in COCO's compressed run-length encoding."""

    size: tuple[int, int]
    """(height, width) of the image."""
    counts: bytes


Polygons = tuple[tuple[float, ...], ...]
"""Closed polygons, each x1, y1, x2, y2, … in pixels of the image."""


@dataclass(frozen=True, eq=False)
class Objects:
    """The n objects of an image."""

    boxes: NDArray[np.float32]
    """(n, 4): left, top, right, bottom in pixels of the source image, as its file says them."""
    classes: NDArray[np.int64]
    """(n,)"""
    crowd: NDArray[np.bool_]
    """(n,): COCO's `iscrowd`, VOC's `difficult`: not counted in evaluation."""
    outlines: tuple[Polygons | Rle, ...] = ()
    """n of them, or none where the source has boxes only."""


@dataclass(frozen=True, eq=False)
class Record:
    """A sample as its source holds it."""

    image: Encoded
    name: str
    """Where it comes from: the file's path below the source, or `path#row`. Once in a split."""
    label: int | None = None
    """The class, or the domain."""
    objects: Objects | None = None
    mask: Encoded | None = None
    """An image of one channel: a pixel's class, or IGNORED."""


@dataclass(frozen=True)
class Listing:
    """A source of some format, its images not read yet."""

    format: str
    kind: Kind
    classes: tuple[str, ...]
    """Class names in the order of their numbers; the domains' names where kind is "domains"."""
    splits: Mapping[str, Sequence[Record]]
    """By name: train, val, test, or "all" for a source that is not divided. A record is made
    when it is asked for, which may read and convert."""

"""Samples that show the same picture, inside a split and across splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.data.checking.examining import Picture
from heliostat.data.samples import Pixels


class Pictures:
    """What is kept of every image that decodes: 54 bytes each."""

    def __init__(self, count: int) -> None:
        """Have room for `count` of them."""
        self.digests = np.zeros((count, 32), np.uint8)
        self.hashes = np.zeros(count, np.uint64)
        self.sizes = np.zeros((count, 2), np.int32)
        """(height, width); 0 where there is none."""
        self.modes = np.zeros(count, "S6")

    def put(self, place: int, picture: Picture) -> None:
        """Keep a picture."""
        self.digests[place] = np.frombuffer(picture.digest, np.uint8)
        self.hashes[place] = picture.hash
        self.sizes[place] = picture.size
        self.modes[place] = picture.mode.encode()


@dataclass(frozen=True)
class Same:
    """A picture that is there already."""

    place: int
    first: int
    exactly: bool
    """Of the same pixels; else scaled, compressed again, or the like."""


def same_pictures(pictures: Pictures, thumbnail: Callable[[int], Pixels]) -> Iterator[Same]:
    """Say of each picture that was there before where it was first.

    The same is: the same pixels, or the same difference hash and aspect ratio and nearly the same
    thumbnail, which is asked for only then. The hash alone takes simple pictures for one another:
    9,549 pairs of Fashion-MNIST's first 10,000. Not all copies keep their hash: of 60 photos at
    half their size and JPEG's quality 40, 25 do.
    """
    there = np.flatnonzero(pictures.sizes[:, 0])
    order = there[np.argsort(pictures.hashes[there], kind="stable")]
    hashes = pictures.hashes[order]
    borders = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
    for group in np.split(order, borders) if len(order) else ():
        if len(group) > 1:
            yield from _in_group(pictures, group.tolist(), thumbnail)


_DIFFER, _DIFFER_MOST = 4, 40
"""Thumbnails, in levels of 255: on average, and where most. Those 60 copies: 3.8 and 37."""
_TOO_COMMON = 50
"""A hash of more different pictures than this says nothing (blank ones, mostly)."""


def _in_group(
    pictures: Pictures, group: Sequence[int], thumbnail: Callable[[int], Pixels]
) -> Iterator[Same]:
    """Compare pictures of one hash, in their order, with those that came first."""
    firsts: dict[bytes, int] = {}
    for place in group:
        first = firsts.setdefault(pictures.digests[place].tobytes(), place)
        if first != place:
            yield Same(place, first, exactly=True)
    if 1 < len(firsts) <= _TOO_COMMON:
        yield from _nearly(pictures, list(firsts.values()), thumbnail)


def _nearly(
    pictures: Pictures, places: Sequence[int], thumbnail: Callable[[int], Pixels]
) -> Iterator[Same]:
    distinct: list[tuple[int, NDArray[np.int16]]] = []
    for place in places:
        small = thumbnail(place).astype(np.int16)
        for first, other in distinct:
            apart = np.abs(small - other)
            alike = apart.mean() <= _DIFFER and apart.max() <= _DIFFER_MOST
            if alike and _one_shape(pictures.sizes[place], pictures.sizes[first]):
                yield Same(place, first, exactly=False)
                break
        else:
            distinct.append((place, small))


def _one_shape(one: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Say whether one size is the other scaled, rounded to whole pixels."""
    (height, width), (other_height, other_width) = one.tolist(), other.tolist()
    off = abs(height * other_width - width * other_height)
    return bool(off <= max(height, width, other_height, other_width))

"""COCO's outlines: polygons, and run-length encodings in their compressed form."""

from __future__ import annotations

from typing import Any

from heliostat.data.formats.files import are_pixels
from heliostat.data.records import Polygons, Rle


def outline(segmentation: Any) -> Polygons | Rle:
    """Return what `segmentation` says; no polygons for None.

    Raises ValueError for what is neither a list of polygons nor an encoding.
    """
    if isinstance(segmentation, dict):
        return _rle(segmentation)
    if not isinstance(segmentation, list | None):
        raise ValueError(f"a segmentation of type {type(segmentation).__name__}")
    # Some tools write [[]] for an object that has only a box.
    return tuple(_polygon(points) for points in segmentation or () if points != [])


def _polygon(points: Any) -> tuple[float, ...]:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise ValueError("a polygon that is no list of x1, y1, x2, y2, x3, y3, …")
    values = tuple(float(value) for value in points)
    if not are_pixels(values):
        raise ValueError("a polygon with a corner that is no number")
    return values


def _rle(encoding: dict[str, Any]) -> Rle:
    size: Any = encoding.get("size")
    counts: Any = encoding.get("counts")
    if not _is_size(size):
        raise ValueError("a run-length encoding without its size, [height, width]")
    height, width = size
    if isinstance(counts, str):
        return Rle((height, width), counts.encode("ascii"))
    if not isinstance(counts, list) or not all(isinstance(c, int) and c >= 0 for c in counts):
        raise ValueError("a run-length encoding whose counts are no text and no list of numbers")
    if sum(counts) != height * width:
        raise ValueError(f"counts of {sum(counts)} pixels in all, but {height}x{width} of them")
    return Rle((height, width), _compressed(size, counts))


def _is_size(size: Any) -> bool:
    if not isinstance(size, list) or len(size) != 2:
        return False
    return all(isinstance(value, int) and value > 0 for value in size)


def _compressed(size: list[int], counts: list[int]) -> bytes:
    from pycocotools import mask  # its C code is needed only for this rare form

    encoded: dict[str, bytes] = mask.frPyObjects({"size": size, "counts": counts}, *size)
    return encoded["counts"]

"""A record's annotation in torchvision's types, as large as the image that is given with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from heliostat.data.masks import mask_values, rle_pixels
from heliostat.data.records import Objects, Polygons, Record, Rle

Size = tuple[int, int]
"""(height, width) in pixels."""


def target(record: Record, own: Size, size: Size) -> dict[str, Any]:
    """Return what `Annotated` says, for an image of size `own` that was resized to `size`.

    Raises ValueError for a mask, or an outline, of another size than the image; and what Pillow
    raises for a mask that cannot be decoded.
    """
    from torchvision import tv_tensors

    if record.mask is not None:
        values = mask_values(record.mask)
        _check_size(values.shape, own)
        if values.min() < 0 or values.max() > 255:
            raise ValueError(f"a mask's value is {values.min()} or {values.max()}, not 0 to 255")
        pixels = resized(values.astype(np.uint8), size)
        return {"mask": tv_tensors.Mask(torch.from_numpy(pixels))}
    objects = record.objects or _NONE
    across, down = size[1] / own[1], size[0] / own[0]
    boxes = objects.boxes * np.array([across, down, across, down], np.float32)
    found = {
        "boxes": tv_tensors.BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=size),
        "labels": torch.from_numpy(objects.classes.astype(np.int64)),
        "crowd": torch.from_numpy(objects.crowd.astype(np.bool_)),
    }
    if len(objects.outlines) == len(objects.classes):
        masks = np.zeros((len(objects.outlines), *size), np.bool_)
        for mask, outline in zip(masks, objects.outlines, strict=True):
            mask[:] = outlined(outline, own, size)
        found["masks"] = tv_tensors.Mask(torch.from_numpy(masks))
    return found


def outlined(outline: Polygons | Rle, own: Size, size: Size) -> NDArray[np.bool_]:
    """Return an object's pixels, bool `size`, as COCO's own code finds them in an image `own`."""
    if isinstance(outline, Rle):
        _check_size(outline.size, own)
        return resized(rle_pixels(outline), size).astype(np.bool_)
    from pycocotools import mask as coco  # not needed where there are boxes only

    scale = size[1] / own[1], size[0] / own[0]
    # Four numbers would be taken for a box.
    corners = [(np.reshape(p, (-1, 2)) * scale).ravel().tolist() for p in outline if len(p) >= 6]
    if not corners:
        return np.zeros(size, np.bool_)
    pixels = coco.decode(coco.merge(coco.frPyObjects(corners, *size)))
    return np.asarray(pixels, np.bool_)


def resized(values: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return values (H, W) in another size, each that of the nearest pixel."""
    if values.shape == size:
        return np.ascontiguousarray(values)
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.array(image.resize((size[1], size[0]), Image.Resampling.NEAREST))


_NONE = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def _check_size(found: tuple[int, ...], own: Size) -> None:
    if found != own:
        raise ValueError(
            f"a mask is {found[0]}x{found[1]} (height x width), the image {own[0]}x{own[1]}"
        )

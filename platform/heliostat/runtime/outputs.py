"""What a registered model's outputs become in a prediction's Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from heliostat.data.formats.arrays import png
from heliostat.runtime.registered_model import LocalModel
from heliostat.vision import tasks

Row = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """An input as the model got it, and the size that it has in its source."""

    value: Any
    """A tensor: (C, H, W) of an image."""
    size: tuple[int, int] | None
    """(height, width) in pixels of the source image; None for what is no image."""


@dataclass(frozen=True)
class Kind:
    """The columns of predictions, beside `source` and `error`."""

    fields: tuple[pa.Field, ...]
    row: Callable[[Any, Given, LocalModel], Row]
    """(the model's output for one input, the input, the model) → the columns' values."""


def kind_of(model: LocalModel) -> Kind:
    """Return what a model's predictions look like, by what its task gives."""
    return _KINDS[tasks.gives(model.task)]


def _probabilities(output: Any, given: Given, model: LocalModel) -> Row:
    best = int(output.argmax())
    label = model.classes[best] if model.classes else str(best)
    return {
        "label": label,
        "probability": float(output[best]),
        "probabilities": output.tolist(),
    }


def _objects(output: Mapping[str, Any], given: Given, model: LocalModel) -> Row:
    assert given.size is not None  # a detector reads images
    height, width = given.size
    scale = np.array([width / given.value.shape[2], height / given.value.shape[1]] * 2, np.float32)
    found = zip(
        (np.asarray(output["boxes"]) * scale).tolist(),
        np.asarray(output["scores"]).tolist(),
        np.asarray(output["labels"]).tolist(),
        strict=True,
    )
    objects = [{"box": box, "score": score, "label": model.classes[n]} for box, score, n in found]
    return {"width": width, "height": height, "objects": objects}


def _mask(output: Any, given: Given, model: LocalModel) -> Row:
    from PIL import Image

    assert given.size is not None  # a segmenter reads images
    height, width = given.size
    image = Image.fromarray(np.asarray(output, np.uint8))
    whole = image.resize((width, height), Image.Resampling.NEAREST)
    return {"width": width, "height": height, "mask": png(np.asarray(whole))}


def _generated(output: Any, given: Given, model: LocalModel) -> Row:
    seed, *asked = given.value.tolist()
    label = model.classes[asked[0]] if asked else None
    return {"seed": seed, "label": label, "image": _image(output)}


def _translated(output: Any, given: Given, model: LocalModel) -> Row:
    return {"image": _image(output)}


def _image(pixels: Any) -> bytes:
    """Return a uint8 (C, H, W) array as a PNG."""
    planes = np.asarray(pixels, np.uint8)
    return png(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0))


_SIZE = (pa.field("width", pa.int32()), pa.field("height", pa.int32()))
_OBJECT = pa.struct(
    [("box", pa.list_(pa.float32(), 4)), ("score", pa.float32()), ("label", pa.string())]
)
_KINDS: Mapping[str, Kind] = {
    "probabilities": Kind(
        (
            pa.field("label", pa.string()),
            pa.field("probability", pa.float32()),
            pa.field("probabilities", pa.list_(pa.float32())),
        ),
        _probabilities,
    ),
    "objects": Kind((*_SIZE, pa.field("objects", pa.list_(_OBJECT))), _objects),
    "mask": Kind((*_SIZE, pa.field("mask", pa.binary())), _mask),
    "generated": Kind(
        (
            pa.field("seed", pa.int64()),
            pa.field("label", pa.string()),
            pa.field("image", pa.binary()),
        ),
        _generated,
    ),
    "image": Kind((pa.field("image", pa.binary()),), _translated),
}

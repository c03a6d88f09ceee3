"""Images beside their true and their predicted classes."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from heliostat.vision.canvas import INK, LINE, figure, render, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IGNORED = 255
"""The value of a pixel that is not counted, in the maps to be drawn."""

_CELL = 2.6  # inches
_OPACITY = 0.5
_LISTED = 24


@dataclass(frozen=True)
class Segmented:
    """An image with two maps of classes; all on the CPU."""

    image: Tensor
    """(C, H, W), C 1 or 3; uint8, or floats on any scale."""
    truth: Tensor
    """(H, W): classes, or IGNORED."""
    predicted: Tensor
    """(H, W)"""


def samples(shown: Sequence[Segmented], classes: Sequence[str]) -> Image.Image:
    """Draw a row for each sample: the image, its truth, its prediction; then what the colours are.

    A class named `background`, if it is the first, has no colour. Pixels that are not counted are
    pale in the truth.
    """
    tallest = max(sample.truth.shape[0] / sample.truth.shape[1] for sample in shown)
    height = _CELL * float(np.clip(tallest, 0.4, 1.6)) + 0.3
    canvas = figure(3 * _CELL, len(shown) * height + 0.5)
    grid = canvas.subplots(len(shown), 3, squeeze=False)
    colours = _colours(classes)
    for row, sample in zip(grid, shown, strict=True):
        image = _pixels(sample.image)
        truth, predicted = _bytes(sample.truth), _bytes(sample.predicted)
        drawn = (image, _overlaid(image, truth, colours), _overlaid(image, predicted, colours))
        titles = ("image", "truth", f"prediction, {_right(truth, predicted)}")
        for axes, pixels, title in zip(row, drawn, titles, strict=True):
            axes.imshow(pixels, interpolation="antialiased")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set(color=LINE)
            axes.set_title(title, fontsize=8.5, color=INK)
    _add_legend(canvas, shown, classes, colours)
    return render(canvas)


def _colours(classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return a colour for each value of a map, (256, 4); the fourth is how opaque it is."""
    from matplotlib import colormaps

    count = len(classes)
    colours = np.zeros((256, 4))
    if count <= 20:
        table = colormaps["tab10" if count <= 10 else "tab20"]
        colours[:count, :3] = table(np.arange(count))[:, :3]
    else:
        # Hues a golden section apart, so that neighbours differ, in three brightnesses.
        hues = np.arange(count) * 0.618034 % 1
        steps = zip(hues, np.arange(count) % 3, strict=True)
        colours[:count, :3] = [colorsys.hsv_to_rgb(h, 0.9, 1 - 0.25 * v) for h, v in steps]
    colours[:count, 3] = _OPACITY
    if classes[0] == "background":
        colours[0, 3] = 0
    colours[IGNORED] = (1, 1, 1, 0.7)
    return colours


def _overlaid(
    image: npt.NDArray[Any], values: npt.NDArray[np.uint8], colours: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the image (H, W, 3) under the colours of the values (H, W)."""
    over = colours[values]
    mixed: npt.NDArray[np.float64] = image * (1 - over[..., 3:]) + over[..., :3] * over[..., 3:]
    return mixed


def _pixels(image: Tensor) -> npt.NDArray[Any]:
    """Return (H, W, 3) on 0..1: bytes as they are, floats stretched to their range."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).float().numpy()
    low, high = (pixels.min(), pixels.max()) if image.is_floating_point() else (0.0, 255.0)
    return (pixels - low) / max(high - low, 1e-12)


def _bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    return values.numpy().astype(np.uint8)


def _right(truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]) -> str:
    counted = truth != IGNORED
    if not counted.any():
        return "nothing counted"
    return f"{(truth == predicted)[counted].mean():.1%} right"


def _add_legend(
    canvas: Figure,
    shown: Sequence[Segmented],
    classes: Sequence[str],
    colours: npt.NDArray[np.float64],
) -> None:
    """Name the colours of the classes that are to be seen, at most 24 of them."""
    from matplotlib.patches import Patch

    maps = [_bytes(values) for sample in shown for values in (sample.truth, sample.predicted)]
    seen = np.flatnonzero(np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=256))
    handles = [
        Patch(
            # As in the overlay, over a grey that is neither dark nor light.
            facecolor=colours[k, :3] * colours[k, 3] + 0.6 * (1 - colours[k, 3]),
            edgecolor=LINE,
            label="not counted" if k == IGNORED else short(classes[k]),
        )
        for k in seen[:_LISTED]
    ]
    canvas.legend(
        handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False,
        fontsize=8.5, labelcolor=INK,
    )  # fmt: skip

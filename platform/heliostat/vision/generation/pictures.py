"""A grid of generated images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from heliostat.vision.canvas import figure, plain, render, short

_TILE = 0.62
"""Inches that an image's longer side takes."""


def grid(images: Tensor, names: Sequence[str] = ()) -> Image.Image:
    """Draw uint8 images (rows, columns, C, H, W), C 1 or 3, each row under its name if any."""
    rows, columns, _, height, width = images.shape
    side = max(height, width)
    across, down = _TILE * columns * width / side, _TILE * rows * height / side
    canvas = figure(across + (1.2 if names else 0.1), down + 0.1)
    axes = canvas.subplots()
    # Nearest up to thumbnails: their pixels are what the network made.
    smoothing = "nearest" if side <= 96 else "antialiased"
    axes.imshow(_mosaic(images), cmap="gray", vmin=0, vmax=255, interpolation=smoothing)
    plain(axes)
    axes.set_xticks([])
    step = height + _gap(side)
    places = [row * step + height / 2 for row in range(len(names))]
    axes.set_yticks(places, [short(name, 14) for name in names], fontsize=9)
    return render(canvas)


def _mosaic(images: Tensor) -> npt.NDArray[Any]:
    """Return the images side by side on white, (H', W') or (H', W', 3)."""
    rows, columns, channels, height, width = images.shape
    gap = _gap(max(height, width))
    tiles = images.permute(0, 1, 3, 4, 2).numpy()
    board = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8
    )
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            board[top : top + height, left : left + width] = tiles[row, column]
    return board[..., 0] if channels == 1 else board


def _gap(side: int) -> int:
    return max(1, side // 14)

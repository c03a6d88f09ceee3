"""Pictures of translations: there, and back again."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from heliostat.vision.canvas import FAINT, LINE, figure, render, short


def cycles(rows: Sequence[Tensor], classes: Sequence[str]) -> Image.Image:
    """Draw samples, each a row of six: A, A→B, A→B→A, and B, B→A, B→A→B.

    A row is uint8 (C, H, 6 W), C 1 or 3, on the CPU.
    """
    a, b = (short(name, 12) for name in classes)
    titles = (a, f"{a} → {b}", f"… → {a}", b, f"{b} → {a}", f"… → {b}")
    canvas = figure(6 * 1.8, len(rows) * 1.8 + 0.3)
    grid = canvas.subplots(len(rows), 6, squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9, color=FAINT)
    for line, row in zip(grid, rows, strict=True):
        for axes, image in zip(line, row.chunk(6, dim=2), strict=True):
            pixels = image.permute(1, 2, 0).numpy()
            smoothing = "nearest" if max(pixels.shape[:2]) <= 96 else "antialiased"
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation=smoothing)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color(LINE)
    return render(canvas)

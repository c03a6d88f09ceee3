"""Pictures of translations: there, and back again."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from heliostat.vision.canvas import FAINT, LINE, figure, render, short


def there_and_back(classes: Sequence[str]) -> tuple[str, ...]:
    """Return titles of six columns: A, A→B, A→B→A, and B, B→A, B→A→B."""
    a, b = _short(classes)
    return (a, f"{a} → {b}", f"… → {a}", b, f"{b} → {a}", f"… → {b}")


def one_way(classes: Sequence[str], forward: bool) -> tuple[str, ...]:
    """Return titles of three columns: A, A→B and the true B; from B to A if not `forward`."""
    a, b = _short(classes if forward else classes[::-1])
    return (a, f"{a} → {b}", f"{b}, true")


def columns(rows: Sequence[Tensor], titles: Sequence[str]) -> Image.Image:
    """Draw samples, each a row of images side by side, one for each title.

    A row is uint8 (C, H, k W), C 1 or 3, on the CPU.
    """
    count = len(titles)
    canvas = figure(count * 1.8, len(rows) * 1.8 + 0.3)
    grid = canvas.subplots(len(rows), count, squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9, color=FAINT)
    for line, row in zip(grid, rows, strict=True):
        for axes, image in zip(line, row.chunk(count, dim=2), strict=True):
            pixels = image.permute(1, 2, 0).numpy()
            smoothing = "nearest" if max(pixels.shape[:2]) <= 96 else "antialiased"
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation=smoothing)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color(LINE)
    return render(canvas)


def _short(classes: Sequence[str]) -> tuple[str, str]:
    a, b = (short(name, 12) for name in classes)
    return a, b

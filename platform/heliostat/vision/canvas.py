"""A matplotlib figure as a PIL image: the object interface only, no pyplot, no global state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#1f2933", "#616e7c", "#e4e7eb"
_DPI = 110


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches. Imports matplotlib (half a second)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")


def plain(axes: Axes) -> None:
    """Take away the frame and the tick marks, and set the ink."""
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, colors=INK)


def short(name: str, limit: int = 20) -> str:
    """Return the name for a label: cut to `limit` characters, `$` safe from matplotlib's maths."""
    cut = name if len(name) <= limit else name[: limit - 1] + "…"
    return cut.replace("$", r"\$")


def render(drawn: Figure) -> Image.Image:
    """Return the figure as an RGB image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(drawn)
    with warnings.catch_warnings():
        # A class named in a script that matplotlib's font lacks is drawn as boxes; that is all.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

"""A matplotlib figure as a PIL image: the object interface only, no pyplot, no global state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from PIL import Image

INK, FAINT, LINE = "#1f2933", "#616e7c", "#e4e7eb"
COLOURS = {
    "FINISHED": "#2b6cb0",
    "PRUNED": "#9aa5b1",
    "RUNNING": "#38a3a5",
    "PAUSED": "#8fd0c8",
    "WAITING": "#c9d1d9",
    "FAILED": "#c62828",
    "KILLED": "#c05621",
}
"""Of a trial, by its status."""
BEST = "#c2410c"


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches. Imports matplotlib (half a second)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")


def plain(axes: Axes, title: str, x: str = "", y: str = "", *, grid: str = "y") -> None:
    """Name the axes, take away the frame and the tick marks, and set the ink."""
    axes.set_title(safe(title), color=INK, fontsize=11, loc="left")
    axes.set_xlabel(safe(x), color=FAINT)
    axes.set_ylabel(safe(y), color=FAINT)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, colors=INK, labelsize=9)
    axes.grid(axis=grid, color=LINE)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def legend(axes: Axes) -> None:
    """Draw the legend, if something has a label, under the axes, where it hides nothing."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(handles),
            frameon=False, fontsize=8.5, labelcolor=INK, handletextpad=0.4, columnspacing=1.4,
        )  # fmt: skip


def safe(text: str) -> str:
    """Return the text with `$` safe from matplotlib's maths."""
    return text.replace("$", r"\$")


def short(text: str, limit: int) -> str:
    """Return the text for a label, cut to `limit` characters in its middle."""
    if len(text) > limit:
        text = f"{text[: limit // 2 - 1]}…{text[len(text) - (limit - limit // 2) :]}"
    return safe(text)


def number(value: float) -> str:
    """Return a number as a label says it: `0.9412`, `3.2e-05`, `128`."""
    return f"{value:.4g}"


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def with_room(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis on which points at `low` and `high` are whole."""
    room = 0.06 * (high - low)
    return low - room, high + room


def render(drawn: Figure) -> Image.Image:
    """Return the figure as an RGB image."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(drawn)
    with warnings.catch_warnings():
        # A value named in a script that matplotlib's font lacks is drawn as boxes; that is all.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

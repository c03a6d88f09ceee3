"""Pictures of an evaluation: confusion matrix, samples with their predictions, figures a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from heliostat.vision.canvas import FAINT, INK, LINE, figure, plain, render, short
from heliostat.vision.confusion import PerClass
from heliostat.vision.gallery import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RIGHT, _WRONG = "#1a7f4b", "#c62828"
_LABELLED = 100
_LISTED = 60


def confusion_matrix(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Image.Image:
    """Draw (K, K) counts, rows truth and columns prediction.

    Colour is the cell's share of its row: blue what is right, red what is confused. Names and
    counts are written up to 100 classes, only the colours beyond.
    """
    size = len(classes)
    cell = float(np.clip(6.5 / size, 0.27, 0.65)) if size <= _LABELLED else 12 / size  # inches
    canvas = figure(cell * size + 2.2, cell * size + 2.2)
    axes = canvas.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(_cell_colours(shares), interpolation="nearest")
    plain(axes)
    if size <= _LABELLED:
        _name_cells(axes, classes, points=min(9.0, cell * 24))
        _write_counts(axes, counts, shares, cell)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("true", color=FAINT)
    right, seen = int(np.trace(counts)), int(counts.sum())
    axes.set_title(
        f"{right:,} of {seen:,} right ({right / max(seen, 1):.2%})", color=INK, fontsize=11
    )
    return render(canvas)


def samples(shown: Sequence[Shown], classes: Sequence[str]) -> Image.Image:
    """Draw up to 25 samples in a grid, each over its prediction and that one's probability.

    A wrong one has a red frame and a cross, and the truth under its prediction.
    """
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    canvas = figure(columns * 1.8, rows * 2.2)
    grid = canvas.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, sample in zip(grid.flat, shown, strict=False):
        _draw_sample(axes, sample, classes)
    return render(canvas)


def per_class(figures: PerClass, classes: Sequence[str]) -> Image.Image:
    """Draw precision, recall and F1 on a line a class, the lowest F1 first, at most 60 lines."""
    order = np.argsort(figures.f1, kind="stable")[:_LISTED]
    lines = np.arange(len(order))
    precision, recall, f1 = (v[order] for v in (figures.precision, figures.recall, figures.f1))
    canvas = figure(8.5, 1.3 + 0.2 * len(order))
    axes = canvas.subplots()
    axes.hlines(
        lines, np.minimum(precision, recall), np.maximum(precision, recall), color=LINE, zorder=0.9
    )
    axes.scatter(precision, lines, s=22, marker="<", color="#2b6cb0", label="precision")
    axes.scatter(recall, lines, s=22, marker=">", color="#c05621", label="recall")
    axes.scatter(f1, lines, s=16, marker="o", color=INK, label="F1")
    plain(axes)
    names = [f"{short(classes[k])} ({figures.support[k]:,})" for k in order]
    axes.set_yticks(lines, names, fontsize=8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", color=LINE)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(
        f"{len(order)} of {len(classes)} classes, lowest F1 first (samples)",
        color=INK, fontsize=10, loc="left",
    )  # fmt: skip
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8)
    return render(canvas)


def _cell_colours(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (K, K, 3) colours. The confused are on a square-root scale: 1 % can be seen."""
    from matplotlib import colormaps

    colours = colormaps["Reds"](np.sqrt(shares) * 0.75)[..., :3]
    colours[shares == 0] = 1.0
    diagonal = np.arange(len(shares))
    colours[diagonal, diagonal] = colormaps["Blues"](np.diagonal(shares) * 0.85)[:, :3]
    return np.asarray(colours, dtype=np.float64)


def _name_cells(axes: Axes, classes: Sequence[str], points: float) -> None:
    names = [short(name) for name in classes]
    places = range(len(names))
    slanted = max(map(len, names)) > 2
    axes.set_xticks(places, names, fontsize=points, rotation=90 if slanted else 0)
    axes.set_yticks(places, names, fontsize=points)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.6)
    axes.tick_params(which="both", length=0)


def _write_counts(
    axes: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], cell: float
) -> None:
    digits = len(str(counts.max()))
    points = min(9.0, cell * 72 / (0.75 * max(digits, 2)))
    for row, column in zip(*np.nonzero(counts), strict=True):
        dark = shares[row, column] > (0.5 if row == column else 0.35)
        axes.text(
            column, row, str(counts[row, column]),
            ha="center", va="center", fontsize=points, color="white" if dark else INK,
        )  # fmt: skip


def _draw_sample(axes: Axes, sample: Shown, classes: Sequence[str]) -> None:
    image = _displayable(sample.image)
    right = sample.predicted == sample.target
    # Nearest up to thumbnails: their pixels are the data. Photographs are drawn smaller: averaged.
    smoothing = "nearest" if max(image.shape[:2]) <= 96 else "antialiased"
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation=smoothing)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(color=LINE if right else _WRONG, linewidth=1 if right else 2.5)
    guess = f"{short(classes[sample.predicted], 16)} ({sample.probability:.0%})"
    truth = "" if right else f"\nis {short(classes[sample.target], 16)}"
    axes.set_title(
        f"{'✓' if right else '✗'} {guess}{truth}", fontsize=8.5, color=_RIGHT if right else _WRONG
    )


def _displayable(image: Tensor) -> npt.NDArray[Any]:
    """Return (H, W) or (H, W, 3) on 0..1: bytes as they are, floats stretched to their range."""
    pixels = image.permute(1, 2, 0).float().numpy()
    low, high = (pixels.min(), pixels.max()) if image.is_floating_point() else (0.0, 255.0)
    pixels = (pixels - low) / max(high - low, 1e-12)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels

"""Pictures of a detector: images with true and found boxes, and precision over recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from heliostat.vision.canvas import FAINT, INK, LINE, figure, plain, render, short
from heliostat.vision.detection.album import Page
from heliostat.vision.detection.coco import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCORE = 0.3
"""Detections below it are not drawn: there are many, and they'd hide the image."""

_TRUE, _FOUND = "#12d6a0", "#ff5a36"
_CURVES = 10


def samples(pages: Sequence[Page], classes: Sequence[str]) -> Image.Image:
    """Draw images with their true boxes, and the detections of score 0.3 and above over them."""
    from matplotlib.lines import Line2D

    columns = min(3, len(pages))
    rows = -(-len(pages) // columns)
    tallest = max(page.size[0] / page.size[1] for page in pages)
    canvas = figure(columns * 4.4, rows * 4.4 * min(tallest, 1.5) + 0.45)
    grid = canvas.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, page in zip(grid.flat, pages, strict=False):
        _draw_page(axes, page, classes)
    canvas.legend(
        handles=[Line2D([], [], color=_TRUE, linewidth=2), Line2D([], [], color=_FOUND)],
        labels=["true", f"found, with score {SCORE:g} and above"],
        loc="outside upper left", ncols=2, frameon=False, fontsize=9, labelcolor=INK,
    )  # fmt: skip
    return render(canvas)


def precision_recall(figures: Figures, classes: Sequence[str]) -> Image.Image:
    """Draw precision over recall at IoU 0.5, a curve a class; of many, the 10 with least AP."""
    from matplotlib import colormaps

    curves = figures.precision[0]  # (101, K)
    known = [label for label in range(len(classes)) if curves[0, label] > -1]
    order = sorted(known, key=lambda label: figures.ap_at(0.5, label))[:_CURVES]
    recall = np.linspace(0, 1, len(curves))
    canvas = figure(6.8, 4.6)
    axes = canvas.subplots()
    for place, label in enumerate(sorted(order)):
        name = f"{short(classes[label])}: {figures.ap_at(0.5, label):.3f}"
        colour = colormaps["tab10"](place)
        axes.plot(recall, curves[:, label], color=colour, linewidth=1.6, label=name)
    if len(known) > len(order):
        mean = curves[:, known].mean(axis=1)
        axes.plot(recall, mean, color=INK, linewidth=2.2, label=f"all {len(known)} classes")
    plain(axes)
    axes.grid(color=LINE)
    axes.set_axisbelow(True)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall", color=FAINT)
    axes.set_ylabel("precision", color=FAINT)
    axes.set_title(f"AP at IoU 0.5: {figures.ap_at(0.5):.3f}", color=INK, fontsize=11, loc="left")
    if known:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8, labelcolor=INK
        )
    return render(canvas)


def _draw_page(axes: Axes, page: Page, classes: Sequence[str]) -> None:
    height, width = page.size
    axes.imshow(_displayable(page.image), cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    boxes = page.boxes
    for box, label in zip(boxes.true.tolist(), boxes.true_labels.tolist(), strict=True):
        _draw_box(axes, box, _TRUE, 2.4)
        axes.text(
            box[0], box[3], short(classes[label], 14), color="black", fontsize=5, va="bottom",
            clip_on=True, bbox={"facecolor": _TRUE, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    for box, label, score in zip(
        boxes.found.tolist(), boxes.labels.tolist(), boxes.scores.tolist(), strict=True
    ):
        if score >= SCORE:
            _draw_box(axes, box, _FOUND, 1.2)
            axes.text(
                box[0], box[1], f"{short(classes[label], 14)} {score:.2f}", color="white",
                fontsize=5, va="top", clip_on=True,
                bbox={"facecolor": _FOUND, "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip


def _draw_box(axes: Axes, box: Sequence[float], colour: str, width: float) -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    axes.add_patch(
        Rectangle(
            (left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width
        )
    )


def _displayable(image: Tensor) -> npt.NDArray[Any]:
    """Return (h, w) or (h, w, 3) on 0..1."""
    pixels = image.permute(1, 2, 0).float().numpy()
    pixels = pixels if image.is_floating_point() else pixels / 255
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels

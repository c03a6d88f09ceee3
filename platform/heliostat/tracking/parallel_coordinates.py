"""Every trial as a line across its searched values, to what it reached."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliostat.tracking.canvas import BEST, FAINT, INK, figure, number, render, safe, short
from heliostat.tracking.trial_facts import Aim, TrialFacts, window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

_MOST = 12
"""Axes in one picture, besides the objective's."""
_LABELLED = 14
"""Values of a choice that are named on its axis."""
_UNSET = -0.09
"""Where a line passes the axis of a key that its trial does not have."""


@dataclass(frozen=True)
class _Axis:
    """A vertical axis: where a value stands on it (0..1), and its ticks."""

    title: str
    place: Mapping[str, float] | None
    """Of a choice: each value's JSON → its place."""
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def at(self, value: Any) -> float:
        if self.place is not None:
            return self.place.get(json.dumps(value), _UNSET)
        low, high, here = (
            math.log(number_) if self.log else number_ for number_ in (self.low, self.high, value)
        )
        return min(1.0, max(0.0, (here - low) / (high - low)))

    def ticks(self) -> list[tuple[float, str]]:
        if self.place is not None:
            named = [(at, short(_shown(text), 16)) for text, at in self.place.items()]
            return named if len(named) <= _LABELLED else [named[0], named[-1]]
        return [(self.at(value), number(value)) for value in self._round_numbers()]

    def _round_numbers(self) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        ends = [self.low, self.high]
        if self.log:
            decades = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            between = [10.0**decade for decade in decades][:: max(1, len(decades) // 6)]
        else:
            between = list(MaxNLocator(5).tick_values(self.low, self.high))
        clear = [value for value in between if 0.06 < self.at(value) < 0.94]
        return [ends[0], *clear, ends[1]]


def parallel_coordinates(
    trials: Sequence[TrialFacts], aim: Aim, spaces: Mapping[str, Any]
) -> Image.Image | None:
    """Draw the trials that have a value, the better the darker; None where nobody has one.

    Ranges that are searched by logarithm are drawn by it. At most 12 keys are shown.
    """
    shown = [trial for trial in trials if trial.value is not None]
    keys = list(spaces)[:_MOST]
    if not shown or not keys:
        return None
    # The best on top, the earliest of equals.
    shown.sort(key=lambda trial: (aim.rank(trial.objectives[0]), trial.number), reverse=True)
    axes_ = [_axis(key, spaces[key]) for key in keys]
    low, high = window([trial.objectives[0] for trial in shown], aim)
    axes_.append(_Axis(_two_lines(aim.metric), None, low, high))
    canvas = figure(max(7.5, 1.9 * len(axes_)), 5.4)
    axes = canvas.subplots()
    axes.set_axis_off()
    for order, trial in enumerate(shown):
        _draw_line(axes, trial, keys, axes_, order, len(shown))
    for at, axis in enumerate(axes_):
        _draw_axis(axes, axis, at)
    unset = [at for at, key in enumerate(keys) if any(key not in t.values for t in shown)]
    for at in unset:
        axes.text(at, _UNSET - 0.015, "unset", ha="center", va="top", color=FAINT, fontsize=8)
    axes.set_xlim(-0.35, len(axes_) - 0.45)
    axes.set_ylim(_UNSET - 0.07 if unset else -0.05, 1.2)
    axes.set_title(_title(trials, shown, aim, spaces), color=INK, fontsize=11, loc="left")
    return render(canvas)


def _title(
    trials: Sequence[TrialFacts],
    shown: Sequence[TrialFacts],
    aim: Aim,
    spaces: Mapping[str, Any],
) -> str:
    keys = f", {_MOST} of {len(spaces)} keys" if len(spaces) > _MOST else ""
    return safe(f"{len(shown)} of {len(trials)} trials{keys}; the darker, the better {aim.metric}")


def _draw_line(
    axes: Axes,
    trial: TrialFacts,
    keys: Sequence[str],
    axes_: Sequence[_Axis],
    order: int,
    count: int,
) -> None:
    from matplotlib import colormaps

    heights = [
        axis.at(trial.values[key]) if key in trial.values else _UNSET
        for key, axis in zip(keys, axes_[:-1], strict=True)
    ]
    heights.append(axes_[-1].at(trial.objectives[0]))
    best = order == count - 1
    share = (order + 1) / count  # by rank: one bad trial must not make all others alike
    colour = BEST if best else colormaps["Blues"](0.18 + 0.72 * share**1.5)
    axes.plot(
        range(len(heights)), heights,
        color=colour, linewidth=2.2 if best else 1.1, alpha=1.0 if best else 0.85,
        solid_joinstyle="round", zorder=2 + share,
    )  # fmt: skip


def _draw_axis(axes: Axes, axis: _Axis, at: int) -> None:
    axes.vlines(at, 0, 1, color=INK, linewidth=0.9, zorder=4)
    for height, label in axis.ticks():
        axes.hlines(height, at - 0.025, at, color=INK, linewidth=0.9, zorder=4)
        axes.text(
            at - 0.045, height, label,
            ha="right", va="center", fontsize=8, color=INK, zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    axes.text(at, 1.05, axis.title, ha="center", va="bottom", fontsize=9, color=INK)


def _axis(key: str, space: Mapping[str, Any]) -> _Axis:
    kind, given = next((kind, given) for kind, given in space.items() if kind != "when")
    title = _two_lines(key)
    if kind in ("choice", "grid"):
        texts = [json.dumps(value) for value in given]
        step = 1 / max(1, len(texts) - 1)
        alone = len(texts) == 1
        return _Axis(title, {text: 0.5 if alone else at * step for at, text in enumerate(texts)})
    return _Axis(title, None, float(given[0]), float(given[1]), kind in ("loguniform", "logint"))


def _two_lines(key: str) -> str:
    """Return a dotted key over two lines: neighbours must not touch."""
    head, dot, tail = key.rpartition(".")
    return f"{short(head, 22)}{dot}\n{short(tail, 22)}" if dot else short(key, 22)


def _shown(text: str) -> str:
    value = json.loads(text)
    return value if isinstance(value, str) else text

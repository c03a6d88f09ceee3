"""Where a search stopped its trials, and their learning curves up to there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heliostat.tracking.canvas import (
    BEST,
    FAINT,
    INK,
    figure,
    legend,
    number,
    plain,
    render,
    whole_numbers,
    with_room,
)
from heliostat.tracking.trial_facts import Aim, TrialFacts, best_of, window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

_WROTE_ON = 16
"""Rungs, up to which each bar's number is written."""


def rung_bars(trials: Sequence[TrialFacts], rungs: Sequence[int]) -> Image.Image | None:
    """Draw how many trials reached each rung, and how many went on from it; None without rungs."""
    reached = [sum(trial.epoch >= rung for trial in trials) for rung in rungs]
    if len(rungs) < 2 or not reached[0]:
        return None
    promoted = [sum(trial.epoch > rung for trial in trials) for rung in rungs]
    canvas = figure(max(6.0, 1.6 + 0.75 * min(len(rungs), _WROTE_ON)), 4.2)
    axes = canvas.subplots()
    places = range(len(rungs))
    axes.bar(places, reached, color="#c3dafe", width=0.72, label="reached")
    axes.bar(places, promoted, color="#2b6cb0", width=0.72, label="went on")
    if len(rungs) <= _WROTE_ON:
        for place, (came, went) in enumerate(zip(reached, promoted, strict=True)):
            said = f"{came}\n{went} on" if went else str(came)
            axes.text(place, came, said, ha="center", va="bottom", fontsize=8.5, color=INK)
    spent = sum(trial.epoch for trial in trials)
    plain(axes, f"rungs: {len(trials)} trials in {spent:,} epochs", "epochs", "trials")
    step = -(-len(rungs) // _WROTE_ON)
    axes.set_xticks(places[::step], [str(rung) for rung in rungs[::step]])
    axes.set_ylim(0, max(reached) * 1.18 + 0.5)
    whole_numbers(axes.yaxis)
    legend(axes)
    return render(canvas)


def learning_curves(
    trials: Sequence[TrialFacts], aim: Aim, rungs: Sequence[int]
) -> Image.Image | None:
    """Draw the first objective of each trial by epoch, the further it got the darker.

    None where no trial was evaluated twice.
    """
    shown = [trial for trial in trials if trial.curve]
    if not any(len(trial.curve) > 1 for trial in shown):
        return None
    shown.sort(key=lambda trial: (trial.epoch, trial.number))
    best = best_of(shown, aim)
    canvas = figure(8.5, 4.8)
    axes = canvas.subplots()
    furthest = shown[-1].epoch
    for trial in shown:
        if trial is not best:
            _draw_curve(axes, trial, furthest)
    if best is not None:
        axes.plot(*zip(*best.curve, strict=True), color=BEST, linewidth=2.2, zorder=4)
        axes.scatter([], [], color=BEST, label=f"trial {best.number}, the best")
    values = [value for trial in shown for _, value in trial.curve]
    axes.set_ylim(*with_room(*window(values, aim)))
    title = f"{len(shown)} learning curves; the darker, the further a trial got"
    plain(axes, title, "epoch", aim.metric)
    _mark_rungs(axes, [rung for rung in rungs if rung <= furthest], furthest)
    legend(axes)
    return render(canvas)


def _draw_curve(axes: Axes, trial: TrialFacts, furthest: int) -> None:
    from matplotlib import colormaps

    share = trial.epoch / max(1, furthest)
    colour = colormaps["Blues"](0.3 + 0.6 * share)
    epochs, values = zip(*trial.curve, strict=True)
    axes.plot(epochs, values, color=colour, linewidth=1.0, alpha=0.85, zorder=2 + share)
    failed = trial.status == "FAILED"
    axes.scatter(
        epochs[-1], values[-1],
        s=22 if failed else 10, marker="x" if failed else "o",
        color="#c62828" if failed else colour, zorder=3 + share,
    )  # fmt: skip


def _mark_rungs(axes: Axes, rungs: Sequence[int], furthest: int) -> None:
    """Mark the rungs on the epochs' axis, which is logarithmic where they grow by a factor."""
    if len(rungs) < 2 or rungs[0] * 8 > furthest:
        whole_numbers(axes.xaxis)
        return
    axes.set_xscale("log")
    axes.set_xticks(rungs, [number(rung) for rung in rungs])
    axes.set_xticks([], minor=True)
    for rung in rungs:
        axes.axvline(rung, color=FAINT, linewidth=0.6, linestyle=(0, (2, 3)), zorder=1)

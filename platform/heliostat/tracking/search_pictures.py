"""Pictures of a search: how good it got, what mattered, and where trials were stopped."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from heliostat.tracking.canvas import (
    BEST,
    COLOURS,
    FAINT,
    INK,
    figure,
    legend,
    number,
    plain,
    render,
    safe,
    short,
    whole_numbers,
    with_room,
)
from heliostat.tracking.importance import importance
from heliostat.tracking.parallel_coordinates import parallel_coordinates
from heliostat.tracking.rung_pictures import learning_curves, rung_bars
from heliostat.tracking.trial_facts import Aim, TrialFacts, best_of, window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

_PAIRS = 6  # of objectives, in one picture


def draw_search(
    trials: Iterable[TrialFacts],
    *,
    aims: Sequence[Aim],
    spaces: Mapping[str, Any],
    rungs: Sequence[int] = (),
) -> dict[str, Image.Image]:
    """Return the pictures of a search by name; those that there is too little for are left out.

    Args:
        trials: every trial so far, in any state.
        aims: the search's objectives; all but the Pareto front show the first.
        spaces: dotted key → space, as a spec dumps it: `{"loguniform": [1e-4, 1.0]}`.
        rungs: the epochs, ascending, at which the scheduler stops trials; empty without one.
    """
    trials = sorted(trials, key=lambda trial: trial.number)
    aim = aims[0]
    if best_of(trials, aim) is None:
        return {}
    drawn: dict[str, Image.Image | None] = {
        "best_so_far": best_so_far(trials, aim),
        "parallel_coordinates": parallel_coordinates(trials, aim, spaces),
        "importance": importance_bars(trials, aim, spaces),
        "rungs": rung_bars(trials, rungs),
        "learning_curves": learning_curves(trials, aim, rungs),
        "pareto_front": pareto_front(trials, aims) if len(aims) > 1 else None,
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}


def best_so_far(trials: Sequence[TrialFacts], aim: Aim) -> Image.Image:
    """Draw each trial's value by its number, and the best up to it as a line."""
    shown = [trial for trial in trials if trial.value is not None]
    canvas = figure(8.5, 4.6)
    axes = canvas.subplots()
    values = [trial.objectives[0] for trial in shown]
    sound = [trial for trial in shown if trial.status != "FAILED"]
    bests = list(itertools.accumulate((trial.objectives[0] for trial in sound), aim.best))
    numbers = [*(trial.number for trial in sound), trials[-1].number]
    axes.step(
        numbers, [*bests, bests[-1]], where="post", color=BEST, linewidth=1.6, label="best so far"
    )
    low, high = with_room(*window(values, aim))
    _scatter_by_status(axes, shown, lambda trial: (trial.number, trial.objectives[0]))
    _mark_unrated(axes, [trial for trial in trials if trial.value is None])
    winner = best_of(shown, aim)
    assert winner is not None
    axes.scatter(
        winner.number, winner.objectives[0],
        s=90, facecolors="none", edgecolors=BEST, linewidths=1.6, zorder=4,
    )  # fmt: skip
    axes.set_ylim(low, high)
    beyond = sum(not low <= value <= high for value in values)
    title = f"best {aim.metric} {number(winner.objectives[0])}: trial {winner.number}"
    count = f" of {len(trials)}" + (f" ({beyond} beyond the picture)" if beyond else "")
    plain(axes, title + count, "trial", aim.metric)
    whole_numbers(axes.xaxis)
    legend(axes)
    return render(canvas)


def importance_bars(
    trials: Sequence[TrialFacts], aim: Aim, spaces: Mapping[str, Any]
) -> Image.Image | None:
    """Draw each key's share in what makes a trial good; None where too few have finished."""
    finished = [trial for trial in trials if trial.status == "FINISHED" and trial.value is not None]
    shares = importance(finished, aim, spaces)
    if not shares:
        return None
    canvas = figure(7.5, 1.3 + 0.36 * len(shares))
    axes = canvas.subplots()
    keys = sorted(shares, key=lambda key: shares[key])
    axes.barh(range(len(keys)), [shares[key] for key in keys], color="#2b6cb0", height=0.62)
    for place, key in enumerate(keys):
        axes.text(
            shares[key] + 0.012, place, _percent(shares[key]), va="center", color=INK, fontsize=9
        )
    plain(
        axes,
        f"what {aim.metric} depends on (PED-ANOVA of {len(finished)} finished trials)",
        grid="x",
    )
    axes.set_yticks(range(len(keys)), [short(key, 40) for key in keys])
    axes.set_xlim(0, max(shares.values()) * 1.12 + 0.02)
    axes.set_xticks([])
    return render(canvas)


def pareto_front(trials: Sequence[TrialFacts], aims: Sequence[Aim]) -> Image.Image:
    """Draw each pair of objectives, and the trials that none is better than in all of them."""
    shown = [trial for trial in trials if trial.value is not None]
    front = _front(shown, aims)
    pairs = list(itertools.combinations(range(len(aims)), 2))[:_PAIRS]
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    canvas = figure(max(7.5, 4.6 * columns), 4.6 * rows)
    grid = canvas.subplots(rows, columns, squeeze=False)
    for place in grid.flat[len(pairs) :]:
        place.set_axis_off()
    for place, (one, other) in zip(grid.flat, pairs, strict=False):
        _draw_pair(place, shown, front, aims, one, other)
    canvas.suptitle(
        safe(f"Pareto front: {len(front)} of {len(shown)} trials"),
        color=INK, fontsize=11, x=0.02, ha="left",
    )  # fmt: skip
    return render(canvas)


def _draw_pair(
    axes: Axes,
    shown: Sequence[TrialFacts],
    front: Sequence[TrialFacts],
    aims: Sequence[Aim],
    one: int,
    other: int,
) -> None:
    rest = [trial for trial in shown if trial not in front]
    for trials, colour, size, label in (
        (rest, "#9aa5b1", 22, "others"),
        (front, BEST, 40, "front"),
    ):
        axes.scatter(
            [trial.objectives[one] for trial in trials],
            [trial.objectives[other] for trial in trials],
            s=size, color=colour, linewidths=0, label=label, zorder=3,
        )  # fmt: skip
    if len(aims) == 2:  # a line joins the front only where the picture shows all there is
        line = sorted(trial.objectives for trial in front)
        across, up = zip(*line, strict=True)
        corner: Literal["pre", "post"] = "pre" if aims[0].goal == "maximize" else "post"
        axes.step(across, up, where=corner, color=BEST, linewidth=1, alpha=0.5)
    for trial in front if len(front) <= 12 else ():
        axes.annotate(
            str(trial.number), (trial.objectives[one], trial.objectives[other]),
            xytext=(5, 4), textcoords="offset points", fontsize=8, color=FAINT,
        )  # fmt: skip
    names = [f"{aims[at].metric} ({aims[at].goal})" for at in (one, other)]
    plain(axes, "", *names, grid="both")
    legend(axes)


def _percent(share: float) -> str:
    return "< 1%" if 0 < share < 0.005 else f"{share:.0%}"


def _front(trials: Sequence[TrialFacts], aims: Sequence[Aim]) -> list[TrialFacts]:
    ranks = [
        tuple(aim.rank(value) for aim, value in zip(aims, trial.objectives, strict=True))
        for trial in trials
    ]

    def beaten(mine: tuple[float, ...]) -> bool:
        return any(
            theirs != mine and all(t <= m for t, m in zip(theirs, mine, strict=True))
            for theirs in ranks
        )

    return [trial for trial, mine in zip(trials, ranks, strict=True) if not beaten(mine)]


def _scatter_by_status(axes: Axes, trials: Sequence[TrialFacts], place: Any) -> None:
    for status, colour in COLOURS.items():
        points = [place(trial) for trial in trials if trial.status == status]
        if points:
            across, up = zip(*points, strict=True)
            label = f"{status.lower()} ({len(points)})"
            axes.scatter(
                across, up,
                s=26, color=colour, linewidths=0, label=label, zorder=3,
            )  # fmt: skip


def _mark_unrated(axes: Axes, trials: Sequence[TrialFacts]) -> None:
    """Mark at the foot of the picture the trials that ended with no value."""
    numbers = [trial.number for trial in trials if trial.status in ("FAILED", "KILLED")]
    if numbers:
        axes.scatter(
            numbers, [0.015] * len(numbers), transform=axes.get_xaxis_transform(),
            marker="x", s=24, color=COLOURS["FAILED"], label=f"no value ({len(numbers)})",
        )  # fmt: skip

"""A running search in a terminal: where it stands, and a table of its trials."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from heliostat.cli.trials import (
    leader,
    limits,
    most_telling,
    settings,
    short_keys,
    spark_line,
    standing,
)
from heliostat.cli.wording import number
from heliostat.runtime.events import SearchProgress, TrialLine

MOST_ROWS = 20
LINES_AROUND = 8
"""What the table leaves of the terminal: the phase, the lines above, its own head, and a rest."""

_STYLES = {
    "RUNNING": "cyan",
    "FINISHED": "green",
    "FAILED": "red",
    "KILLED": "red",
    "PRUNED": "dim",
    "WAITING": "dim",
}


def search_view(progress: SearchProgress, height: int) -> RenderableType:
    """Return what a terminal of `height` lines shows of a search."""
    shown = most_telling(progress, max(1, min(MOST_ROWS, height - LINES_AROUND)))
    lines: list[RenderableType] = [
        _fitted(f"  {progress.goal} {progress.metric}: {' · '.join(standing(progress))}"),
        _fitted(f"  {leader(progress)}", "bold"),
    ]
    if shown:
        lines.append(_table(progress, shown))
    more = len(progress.trials) - len(shown)
    if more:
        lines.append(Text(f"  … {more:,} more", "dim"))
    return Group(*lines)


def _table(progress: SearchProgress, shown: Sequence[TrialLine]) -> Table:
    """Return one row a trial; a column that would be empty in every row is left out."""
    best = progress.best.number if progress.best else None
    low, high = limits(trial.curve for trial in shown)
    names = short_keys(dict.fromkeys(key for trial in shown for key in trial.values))
    columns: dict[str, list[str | Text]] = {
        "trial": [f"{'★ ' if trial.number == best else ''}{trial.number}" for trial in shown],
        "status": [Text(trial.status, _STYLES.get(trial.status, "")) for trial in shown],
        "rung": ["" if trial.rung is None else str(trial.rung) for trial in shown],
        "epoch": [_epoch(trial) for trial in shown],
        "objective": ["" if trial.value is None else number(trial.value) for trial in shown],
        "curve": [Text(spark_line(trial.curve, low, high), "cyan") for trial in shown],
        "values": [_fitted(settings(trial.values, names)) for trial in shown],
        "note": [_fitted(next(iter(trial.note.splitlines()), ""), "dim") for trial in shown],
    }
    filled = {name: cells for name, cells in columns.items() if any(map(str, cells))}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in filled:
        right = name in {"trial", "rung", "epoch", "objective"}
        # Of a terminal that is too narrow, the columns that can be cut give way.
        cut = name in {"values", "note"}
        table.add_column(name, justify="right" if right else "left", no_wrap=not cut)
    for trial, *cells in zip(shown, *filled.values(), strict=True):
        table.add_row(*cells, style="bold" if trial.number == best else "")
    return table


def _epoch(trial: TrialLine) -> str:
    return str(trial.epoch) if trial.epochs is None else f"{trial.epoch}/{trial.epochs}"


def _fitted(text: str, style: str = "") -> Text:
    """Return text that is cut where there is no room, not broken over lines."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")

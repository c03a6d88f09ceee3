"""How numbers, times and tables are written for a person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from heliostat.runtime.events import Progress

SHOWN_METRICS = 3


def number(value: float) -> str:
    """Return four significant digits: `0.9722`, `1.234e-05`; from 1,000 on, whole: `12,346`."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000 or (abs(value) >= 10 and value == int(value)):
        return f"{value:,.0f}"
    return f"{value:#.4g}"


def duration(seconds: float) -> str:
    """Return a time span of `seconds` as `m:ss` or `h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def position(progress: Progress) -> str:
    """Return how far the work is: `epoch 2/5, step 340/1,075`; inputs done have no noun."""
    done = f"{progress.step:,}/{progress.total_steps:,}"
    if progress.epoch is None:
        return done
    total = f"/{progress.total_epochs}" if progress.total_epochs else ""
    return f"epoch {progress.epoch}{total}, step {done}"


def details(progress: Progress) -> list[str]:
    """Return the loss, the first validation metrics, the speed and the time left, where known."""
    order = ("train/loss", "val/")
    names = sorted(progress.metrics, key=lambda name: [not name.startswith(one) for one in order])
    names = names[:SHOWN_METRICS]
    parts = [f"{name} {number(progress.metrics[name])}" for name in names]
    if progress.images_per_second is not None:
        parts.append(f"{number(progress.images_per_second)} images/s")
    if progress.seconds_left and progress.seconds_left >= 1:
        parts.append(f"{duration(progress.seconds_left)} left")
    return parts


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> list[str]:
    """Return a header and one line a row, aligned, never cut; `empty` where there is no row."""
    if not rows:
        return [empty]
    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _cell(value: Any) -> str:
    """Return one cell: times are local, a message keeps its first line."""
    match value:
        case None:
            return ""
        case bool() | int():
            return str(value)
        case float():
            return number(value)
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(str(item) for item in value)
        case _:
            return next(iter(str(value).splitlines()), "")

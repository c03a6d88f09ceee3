"""A search's state in words: its best trial, how far it is, which trials to show, their curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from heliostat.cli.wording import duration, number
from heliostat.runtime.events import SearchProgress, TrialLine


class _Valued(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def value(self) -> float | None: ...


_T = TypeVar("_T", bound=_Valued)
_BLOCKS = "▁▂▃▄▅▆▇█"


def state(progress: SearchProgress) -> str:
    """Return how far the search is, and its best trial, in one line."""
    return ", ".join([*standing(progress), leader(progress)])


def standing(progress: SearchProgress) -> list[str]:
    """Return how many trials have ended, the epochs spent and the time left, where known."""
    total = f"/{progress.total:,}" if progress.total is not None else ""
    parts = [f"{progress.ended:,}{total} trials ended", f"{progress.epochs:,} epochs"]
    if progress.seconds_left and progress.seconds_left >= 1:
        parts.append(f"{duration(progress.seconds_left)} left")
    return parts


def leader(progress: SearchProgress) -> str:
    """Return the best value so far, whose it is, and with which values."""
    best = progress.best
    if best is None or best.value is None:
        return f"no {progress.metric} yet"
    found = f"best {progress.metric} {number(best.value)} in trial {best.number}"
    tried = settings(best.values, short_keys(best.values))
    return f"{found} ({tried})" if tried else found


def best_first(trials: Iterable[_T], goal: str) -> list[_T]:
    """Return `trials` from the best value on; those without a number for one stand last."""
    sign = -1 if goal == "maximize" else 1

    def merit(trial: _T) -> tuple[float, ...]:
        if trial.value is None or math.isnan(trial.value):
            return (1, trial.number)
        return (0, sign * trial.value, trial.number)

    return sorted(trials, key=merit)


def most_telling(progress: SearchProgress, room: int) -> list[TrialLine]:
    """Return at most `room` trials: the best, those that run, the others from the best on."""
    best = progress.best.number if progress.best else None

    def rank(trial: TrialLine) -> tuple[int, ...]:
        if trial.number == best:
            return (0,)
        # By number, so that a row stays where it is while its trial runs.
        return (1, trial.number) if trial.status == "RUNNING" else (2,)

    return sorted(best_first(progress.trials, progress.goal), key=rank)[:room]


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return each dotted key's last part, or as many of its last parts as tell it from the rest."""
    parts = {key: key.split(".") for key in keys}
    short = {}
    for key, own in parts.items():
        others = [other for name, other in parts.items() if name != key]
        length = 1
        while length < len(own) and any(own[-length:] == other[-length:] for other in others):
            length += 1
        short[key] = ".".join(own[-length:])
    return short


def settings(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the values that a trial tries: `lr=0.0312, momentum=0.9`."""
    return ", ".join(f"{names[key]}={_short(value)}" for key, value in values.items())


def limits(curves: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Return the least and the largest finite number of all `curves`; 0 and 0 without any."""
    finite = [value for curve in curves for value in curve if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def spark_line(curve: Sequence[float], low: float, high: float, width: int = 16) -> str:
    """Return `curve` as blocks between `low` and `high`, oldest first, at most `width` of them.

    A longer curve keeps its newest value and others evenly spaced; what is not finite is a gap.
    """
    if len(curve) > width:
        curve = [curve[len(curve) * (i + 1) // width - 1] for i in range(width)]
    return "".join(_block(value, low, high) for value in curve)


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    share = (value - low) / (high - low) if high > low else 0.5
    return _BLOCKS[round(share * (len(_BLOCKS) - 1))]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""What a running job says to whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Phase:
    """The job began something new: "starting Ray", "loading data", "training"…"""

    text: str


@dataclass(frozen=True)
class Progress:
    """How far the work has come. For predict and evaluate, steps are inputs (samples) done."""

    step: int
    total_steps: int
    epoch: int | None = None
    total_epochs: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """The newest value of each metric: train/loss, val/accuracy…"""
    images_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Note:
    """A line worth reading once: a path, a warning, a restart."""

    text: str


@dataclass(frozen=True)
class TrialLine:
    """One trial of a search, as its table shows it."""

    number: int
    status: str
    """WAITING | RUNNING | PAUSED | FINISHED | PRUNED | FAILED | KILLED"""
    epoch: int
    """Epochs done."""
    epochs: int | None
    """Those of the trial's whole spec."""
    rung: int | None
    """None where the scheduler has none."""
    value: float | None
    """The best objective so far."""
    curve: tuple[float, ...]
    """The objective of every evaluation, oldest first."""
    values: dict[str, Any]
    """What the trial tries, by dotted key of the train spec."""
    note: str = ""
    """Why it failed, whose clone it is…"""


@dataclass(frozen=True)
class SearchProgress:
    """How far a search has come."""

    metric: str
    """The first objective's."""
    goal: str
    """maximize | minimize"""
    trials: tuple[TrialLine, ...]
    """Every trial that was begun."""
    ended: int
    """Trials that are over, whichever way."""
    total: int | None
    """Trials in all; None where the budget ends the search."""
    best: TrialLine | None
    epochs: int
    """Epochs spent, of all trials together."""
    seconds_left: float | None


Event = Phase | Progress | SearchProgress | Note

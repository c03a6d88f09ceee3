"""What a running job says to whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field


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


Event = Phase | Progress | Note

"""What a search asks for, a leg of a trial at a time, and what it is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Clone:
    """The checkpoint of another trial, for one that goes on from there."""

    trial: int
    step: int
    """The optimizer step of the checkpoint."""


@dataclass(frozen=True)
class Leg:
    """A stretch of a trial: from its newest checkpoint (or `clone`) to the end of an epoch."""

    trial: int
    values: dict[str, Any]
    """By dotted key of the train spec."""
    until: int | None
    """Epochs done in all when the leg ends; None: to the end of the trial's spec."""
    retry: int = 0
    """How often a leg of this trial was lost and begun again."""
    clone: Clone | None = None


@dataclass(frozen=True)
class Told:
    """How a leg went that came to its end."""

    epoch: int
    """Epochs done in all."""
    step: int
    """Optimizer steps done in all."""
    values: tuple[float, ...]
    """The objectives of the trial so far: with one, its best; in the order of the spec's goals."""
    curve: tuple[tuple[int, float], ...]
    """(epoch, first objective) of each evaluation in this leg."""
    finished: bool
    """Whether the trial's own spec is at its end."""
    seconds: float


@dataclass(frozen=True)
class Failed:
    """How a leg went that did not."""

    verdict: str
    """As of a training job's failure: user_code, diverged, worker_lost, out_of_memory…"""
    message: str
    worth_another: bool
    """Whether the same leg may well succeed next time."""

"""A trial of a search, as far as the ledger has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from heliostat.search.legs import Clone

Status = Literal["WAITING", "RUNNING", "PAUSED", "FINISHED", "PRUNED", "FAILED", "KILLED"]

ENDED: frozenset[Status] = frozenset({"FINISHED", "PRUNED", "FAILED", "KILLED"})
"""FINISHED: trained to the end of its spec; PRUNED: given up for better ones, or with the search;
KILLED: the search ended while it ran."""


@dataclass(frozen=True)
class Descent:
    """A trial went on from another one's checkpoint, with other values."""

    epoch: int
    """Epochs done when it did."""
    parent: Clone
    values: dict[str, Any]
    """By dotted key, from there on."""


@dataclass(frozen=True)
class Trial:
    """One trial; `WAITING` and `PAUSED` ones may yet go on."""

    number: int
    values: dict[str, Any]
    """By dotted key of the train spec; of a clone, its newest."""
    status: Status = "WAITING"
    epoch: int = 0
    """Epochs done in all."""
    step: int = 0
    """Optimizer steps done in all."""
    until: int | None = None
    """Epochs at the end of its newest leg; None: no leg yet, or to the end of its spec."""
    objectives: tuple[float, ...] = ()
    """As last told, in the order of the spec's goals; none before that."""
    curve: tuple[tuple[int, float], ...] = ()
    """(epoch, first objective) of each evaluation."""
    finished: bool = False
    """Whether its own spec is at its end."""
    reason: str = ""
    """Why it ended as it did."""
    legs: int = 0
    retries: int = 0
    seconds: float = 0.0
    """Of the legs that came to their end."""
    lineage: tuple[Descent, ...] = ()

    @property
    def value(self) -> float | None:
        """The first objective; None before any was told."""
        return self.objectives[0] if self.objectives else None

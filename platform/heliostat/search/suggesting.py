"""What values the next trial has: the one shape of all searchers, and the grid."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, Protocol

from heliostat.search.trials import Trial
from heliostat.spec.tune import TuneSpec


class Suggester(Protocol):
    """Suggests the values of trial 0, 1, 2, … in this order, and learns from how they went.

    It is a pure function of the calls made to it, so that a rebuilt search repeats them.
    """

    @property
    def total(self) -> int | None:
        """How many trials it has values for; None: as many as one likes."""

    def suggest(self, number: int) -> dict[str, Any]:
        """Return the values of trial `number`, by dotted key, those that exist."""

    def replay(self, number: int, values: dict[str, Any]) -> None:
        """Take in that trial `number` has `values`: what `suggest` returned before a restart."""

    def paused(self, trial: Trial) -> None:
        """Learn from a trial that came to a rung, and may or may not go on."""

    def ended(self, trial: Trial) -> None:
        """Learn from a trial that ended."""


def make_suggester(spec: TuneSpec) -> Suggester:
    """Return the searcher that `spec` asks for."""
    if spec.algorithm == "grid":
        return Grid(spec)
    from heliostat.search.optuna_suggesting import OptunaSuggester  # imports optuna

    return OptunaSuggester(spec)


class Grid:
    """Every combination once, in order, those of `points_to_evaluate` first."""

    def __init__(self, spec: TuneSpec) -> None:
        first = spec.points_to_evaluate
        rest = (values for values in spec.grid() if values not in first)
        self._points = list(islice(chain(first, rest), spec.trials))
        self.total = len(self._points)

    def suggest(self, number: int) -> dict[str, Any]:
        """Return the combination `number`."""
        return self._points[number]

    def replay(self, number: int, values: dict[str, Any]) -> None:
        """Need nothing of it."""

    def paused(self, trial: Trial) -> None:
        """Need nothing of it."""

    def ended(self, trial: Trial) -> None:
        """Need nothing of it."""

"""The median stopping rule: Golovin et al. 2017, "Google Vizier", section 3.2.1, by the best value
so far in place of the running average.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict

from heliostat.search.legs import Leg
from heliostat.search.merits import Merit
from heliostat.search.scheduling import Step
from heliostat.search.trials import Trial
from heliostat.spec.search_schedulers import Median


class MedianStopping:
    """Legs of one epoch; a trial is given up where it is worse than the others' median there."""

    pauses = False

    def __init__(self, settings: Median, epochs: int, merit: Merit) -> None:
        self.given_up: dict[int, str] = {}
        self._settings = settings
        self._first = min(settings.grace_epochs, epochs)
        self._merit = merit
        self._at: defaultdict[int, list[float]] = defaultdict(list)
        """By epoch: the merits of all trials that came to it, in order."""
        self._ready: dict[int, int] = {}
        """Trial → epochs it has had; no more than run at a time."""

    def expects(self, total: int | None) -> None:
        """Need nothing of it."""

    def first(self, trial: int) -> int | None:
        """Return the epochs of grace."""
        return self._first

    def step(self) -> Step | None:
        """Return the trial that began first: one that is under way goes before a new one."""
        if not self._ready:
            return None
        number = min(self._ready)
        return Step(number, self._ready[number] + 1)

    def began(self, leg: Leg) -> None:
        """Take the trial off those that wait."""
        self._ready.pop(leg.trial, None)

    def told(self, trial: Trial) -> None:
        """Compare the trial with the others as they were at its epoch."""
        merit, others = self._merit(trial), self._at[trial.epoch]
        enough = len(others) >= self._settings.min_trials
        if not trial.finished and enough and merit < _median(others):
            self.given_up[trial.number] = f"worse than the median at epoch {trial.epoch}"
        elif not trial.finished:
            self._ready[trial.number] = trial.epoch
        insort(others, merit)

    def ended(self, trial: Trial) -> None:
        """Forget the trial; its values stay, for the others to be compared with."""
        self.given_up.pop(trial.number, None)
        self._ready.pop(trial.number, None)

    def last(self) -> Step | None:
        """Return None: there is nothing to go on with."""
        return None


def _median(ordered: list[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

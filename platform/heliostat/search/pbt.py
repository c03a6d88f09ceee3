"""Population-based training: Jaderberg et al. 2017, with turns that all trials come to together.

The paper's workers look at the population whenever they get to it, so that who is replaced depends
on who is fast. Here a turn is decided once all trials are at its epoch: at any number of places
the same clones are made, and a trial is compared with equals.
"""

from __future__ import annotations

from random import Random

from heliostat.search.exploring import explore
from heliostat.search.legs import Clone, Leg
from heliostat.search.merits import Merit
from heliostat.search.scheduling import Step
from heliostat.search.trials import Trial
from heliostat.spec.search_schedulers import Pbt
from heliostat.spec.tune import TuneSpec


class Population:
    """All trials are trained side by side, `every` epochs at a time.

    Clones begin before those that they were cloned from go on, whose checkpoint is still there.
    """

    pauses = False

    def __init__(self, settings: Pbt, spec: TuneSpec, epochs: int, merit: Merit) -> None:
        self.given_up: dict[int, str] = {}
        self._settings = settings
        self._spec = spec
        self._merit = merit
        self._epochs = epochs
        self._size: int | None = None
        self._turn = min(settings.every, epochs)
        """The epoch at which the trials wait for one another."""
        self._there: dict[int, Trial] = {}
        self._over = 0
        """Trials that finished or failed."""
        self._ready: dict[int, Step] = {}
        """The first in comes first."""

    def expects(self, total: int | None) -> None:
        """Take in how many trials wait for one another."""
        self._size = total
        self._take_turn()

    def first(self, trial: int) -> int | None:
        """Return the epoch to which the population is on its way."""
        return self._turn

    def step(self) -> Step | None:
        """Return a trial of a turn that was decided."""
        return next(iter(self._ready.values()), None)

    def began(self, leg: Leg) -> None:
        """Take the trial off those that wait."""
        self._ready.pop(leg.trial, None)

    def told(self, trial: Trial) -> None:
        """Let the trial wait for the others, unless it is at its end."""
        if not trial.finished:
            self._there[trial.number] = trial
            self._take_turn()

    def ended(self, trial: Trial) -> None:
        """Let the others not wait for the trial."""
        self._over += 1
        self._ready.pop(trial.number, None)
        self._take_turn()

    def last(self) -> Step | None:
        """Return None: each trial is trained to its end."""
        return None

    def _take_turn(self) -> None:
        if not self._there or len(self._there) + self._over != self._size:
            return
        self._turn = min(self._turn + self._settings.every, self._epochs)
        ranked = sorted(self._there.values(), key=lambda trial: (-self._merit(trial), trial.number))
        replaced = min(max(1, int(len(ranked) * self._settings.quantile)), len(ranked) // 2)
        best, rest = ranked[:replaced], ranked[: len(ranked) - replaced]
        for trial in _by_number(ranked[len(rest) :]):
            self._ready[trial.number] = self._clone(trial, best)
        for trial in _by_number(rest):
            self._ready[trial.number] = Step(trial.number, self._turn)
        self._there = {}

    def _clone(self, trial: Trial, best: list[Trial]) -> Step:
        random = Random(f"{self._spec.seed}:{trial.number}:{trial.epoch}")
        parent = random.choice(best)
        values = explore(self._spec, parent.values, random, self._settings.resample)
        return Step(trial.number, self._turn, Clone(parent.number, parent.step), values)


def _by_number(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: trial.number)

"""ASHA, the promoting one: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning",
algorithm 2.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from heliostat.search.legs import Leg
from heliostat.search.merits import Merit
from heliostat.search.scheduling import Step
from heliostat.search.trials import Trial
from heliostat.spec.search_schedulers import Asha


def asha_rungs(min_epochs: int, eta: int, epochs: int) -> tuple[int, ...]:
    """Return the epochs at which trials pause: `min_epochs` times powers of `eta`, then the end."""
    rungs = []
    rung = min_epochs
    while rung < epochs:
        rungs.append(rung)
        rung *= eta
    return (*rungs, epochs)


class PromotingAsha:
    """Trials pause at each rung; the best 1/eta of a rung go on, as soon as they are known."""

    pauses = True

    def __init__(self, settings: Asha, epochs: int, merit: Merit) -> None:
        self.given_up: dict[int, str] = {}
        self._eta = settings.eta
        self._merit = merit
        self._epochs = asha_rungs(settings.min_epochs, settings.eta, epochs)
        self._rungs = [_Rung() for _ in self._epochs]

    def expects(self, total: int | None) -> None:
        """Need nothing of it."""

    def first(self, trial: int) -> int | None:
        """Return the first rung."""
        return self._epochs[0]

    def step(self) -> Step | None:
        """Return the best trial that may be promoted, from the highest rung that has one."""
        for index in reversed(range(len(self._epochs) - 1)):
            number = self._rungs[index].promotable(self._eta)
            if number is not None:
                return Step(number, self._epochs[index + 1])
        return None

    def began(self, leg: Leg) -> None:
        """Take a promoted trial off the rung where it paused."""
        above = self._epochs.index(leg.until) if leg.until in self._epochs else 0
        if above:
            self._rungs[above - 1].leave(leg.trial)

    def told(self, trial: Trial) -> None:
        """Enter the trial at the rung that its leg came to."""
        index = self._epochs.index(trial.until) if trial.until in self._epochs else 0
        self._rungs[index].enter(trial.number, -self._merit(trial), stays=trial.finished)

    def ended(self, trial: Trial) -> None:
        """Need nothing of it: whoever failed or finished is paused at no rung."""

    def last(self) -> Step | None:
        """Return the best of the highest rung, where no trial has come to the last one.

        With fewer trials than eta to the number of rungs, nobody would be trained to the end.
        """
        if self._rungs[-1].entered:
            return None
        for index in reversed(range(len(self._epochs) - 1)):
            if self._rungs[index].entered:
                number = self._rungs[index].best
                return None if number is None else Step(number, self._epochs[index + 1])
        return None


class _Rung:
    """Those that came to a rung, in order of merit, and those of them that are paused there."""

    def __init__(self) -> None:
        self.entered: list[tuple[float, int]] = []
        """(merit with its sign turned, trial): the best first."""
        self._paused: list[tuple[float, int]] = []
        self._costs: dict[int, float] = {}

    @property
    def best(self) -> int | None:
        """The best that is paused here."""
        return self._paused[0][1] if self._paused else None

    def enter(self, number: int, cost: float, *, stays: bool) -> None:
        self._costs[number] = cost
        insort(self.entered, (cost, number))
        if not stays:
            insort(self._paused, (cost, number))

    def leave(self, number: int) -> None:
        entry = (self._costs[number], number)
        index = bisect_left(self._paused, entry)
        if index < len(self._paused) and self._paused[index] == entry:
            del self._paused[index]

    def promotable(self, eta: int) -> int | None:
        """Return the best that is paused, if it is among the best 1/eta of all that came here."""
        if not self._paused:
            return None
        rank = bisect_left(self.entered, self._paused[0])
        return self._paused[0][1] if rank < len(self.entered) // eta else None

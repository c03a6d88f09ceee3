"""The best trial so far, and with several objectives those that none beats in all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heliostat.search.trials import Trial

_Merits = tuple[float, ...]
"""The objectives of a trial, each with the sign that makes more better."""


class Front:
    """The trials that no other one beats (the Pareto front), kept up to date trial by trial.

    With one objective it is the best trial, of equals the one with the lowest number. Failed
    trials are left out.
    """

    def __init__(self, maximize: tuple[bool, ...], trials: Mapping[int, Trial]) -> None:
        self._signs = tuple(1.0 if up else -1.0 for up in maximize)
        self._trials = trials
        self._front: dict[int, _Merits] = {}

    def hear(self, number: int) -> None:
        """Take in that trial `number` was told of, or ended."""
        before, now = self._front.pop(number, None), self._merits(self._trials[number])
        if before is not None and (now is None or any(map(float.__lt__, now, before))):
            self._front = {}  # it is worse than it was: another may stand in its place
            self._take(self._trials)
        else:
            self._take([number])

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The front, by number."""
        return tuple(self._trials[number] for number in sorted(self._front))

    @property
    def best(self) -> Trial | None:
        """The best by the first objective."""
        number = max(self._front, key=lambda n: (self._front[n][0], -n), default=None)
        return None if number is None else self._trials[number]

    def _take(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            merits = self._merits(self._trials[number])
            if merits is None or any(
                self._beats(other, theirs, number, merits) for other, theirs in self._front.items()
            ):
                continue
            self._front = {
                other: theirs
                for other, theirs in self._front.items()
                if not self._beats(number, merits, other, theirs)
            }
            self._front[number] = merits

    def _merits(self, trial: Trial) -> _Merits | None:
        if not trial.objectives or trial.status == "FAILED":
            return None
        return tuple(s * v for s, v in zip(self._signs, trial.objectives, strict=True))

    def _beats(self, one: int, its: _Merits, other: int, theirs: _Merits) -> bool:
        if len(self._signs) == 1:
            return (its[0], -one) > (theirs[0], -other)
        return its != theirs and all(a >= b for a, b in zip(its, theirs, strict=True))

"""Which trial goes on, and which is given up: the one shape of all schedulers, and none of them.

A scheduler hears all that becomes of trials, live or from the ledger, and answers from that alone,
so that a rebuilt search goes on as the old one would have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from heliostat.search.legs import Clone, Leg
from heliostat.search.trials import Trial


@dataclass(frozen=True)
class Step:
    """A paused trial is to go on."""

    trial: int
    until: int | None
    clone: Clone | None = None
    values: dict[str, Any] = field(default_factory=dict)
    """With `clone`: the values that it has from here on."""


class Scheduler(Protocol):
    """What a search asks of a scheduler."""

    pauses: bool
    """Whether the end of a leg is a judgement, of which the searcher is to learn."""
    given_up: dict[int, str]
    """Trials that go on no more, with the reason, until they are said to have ended."""

    def expects(self, total: int | None) -> None:
        """Take in how many trials there will be, None where that is open; it may change."""

    def first(self, trial: int) -> int | None:
        """Return until what epoch the first leg of a new trial goes; None: its spec's end."""

    def step(self) -> Step | None:
        """Return which trial goes on next, ahead of new ones; None: none may, as yet.

        Asking changes nothing; `began` does.
        """

    def began(self, leg: Leg) -> None:
        """Take in that a leg was handed out, a first one too."""

    def told(self, trial: Trial) -> None:
        """Take in the end of a leg."""

    def ended(self, trial: Trial) -> None:
        """Take in that a trial finished, was given up, or failed."""

    def last(self) -> Step | None:
        """Return what goes on when no trial runs, none is new and no step is left."""


class ToTheEnd:
    """No scheduler: each trial is one leg."""

    pauses = False

    def __init__(self) -> None:
        self.given_up: dict[int, str] = {}

    def expects(self, total: int | None) -> None:
        """Need nothing of it."""

    def first(self, trial: int) -> int | None:
        """Return None: the spec's end."""
        return None

    def step(self) -> Step | None:
        """Return None: there is nothing to go on with."""
        return None

    def began(self, leg: Leg) -> None:
        """Need nothing of it."""

    def told(self, trial: Trial) -> None:
        """Need nothing of it."""

    def ended(self, trial: Trial) -> None:
        """Need nothing of it."""

    def last(self) -> Step | None:
        """Return None: there is nothing to go on with."""
        return None

"""Schedulers of a search: which trials go on, and which give their place to others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from heliostat.spec.base import Model


class NoScheduler(Model):
    """Each trial is trained to its end."""

    name: Literal["none"] = "none"


class Asha(Model):
    """Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel
    Hyperparameter Tuning", algorithm 2).

    The rungs are at `min_epochs`, `min_epochs · eta`, `min_epochs · eta²`, …, the last at the
    train spec's `epochs`. A trial pauses at each; a free place goes to a paused trial that is
    among the best 1/`eta` of its rung, or else to a new trial.
    """

    name: Literal["asha"]
    min_epochs: int = Field(default=1, ge=1)
    """Epochs of the first rung."""
    eta: int = Field(default=3, ge=2)
    """One of `eta` trials of a rung goes on to the next, which is `eta` times as long."""


class Median(Model):
    """The median stopping rule (Golovin et al. 2017, "Google Vizier", section 3.2.1).

    A trial ends at an epoch where its best value so far is worse than the median of what the
    other trials' best values were at that epoch.
    """

    name: Literal["median"]
    grace_epochs: int = Field(default=1, ge=1)
    """Epochs that every trial is given."""
    min_trials: int = Field(default=3, ge=1)
    """Other trials that must have come to an epoch for their median to count; a search has more
    trials than that."""


class Hyperband(Model):
    """Hyperband (Li et al. 2018): brackets of successive halving, each with a longer first rung.

    A bracket's first rung is at `min_epochs` times a power of `eta`; at each rung all of its
    trials wait for one another, and the best 1/`eta` of them go on.
    """

    name: Literal["hyperband"]
    min_epochs: int = Field(default=1, ge=1)
    """Epochs of the first rung of the longest bracket."""
    eta: int = Field(default=3, ge=2)
    """One of `eta` trials of a rung goes on to the next, which is `eta` times as long."""


class Pbt(Model):
    """Population-based training (Jaderberg et al. 2017): all trials are trained side by side.

    At each turn a trial of the worst `quantile` goes on from the checkpoint (weights, optimizer
    and schedule) of one of the best, with that one's values, changed a little.
    """

    name: Literal["pbt"]
    every: int = Field(default=1, ge=1)
    """Epochs between two turns."""
    quantile: float = Field(default=0.25, gt=0, le=0.5)
    """The part of the population that is replaced, and the part that replaces it."""
    resample: float = Field(default=0.25, ge=0, le=1)
    """The chance that a value is drawn anew from its space, and not only changed a little."""


def _short_form(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Scheduler = Annotated[
    NoScheduler | Asha | Median | Hyperband | Pbt,
    Field(discriminator="name"),
    BeforeValidator(_short_form),
]
"""A scheduler and its settings; short form: its name."""

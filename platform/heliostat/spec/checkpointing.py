"""When checkpoints are written and which are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from heliostat.spec.base import Model, wrong_here

_EVERY = re.compile(r"(\d+) *(epoch|step)s?")
_DURATION = re.compile(r"(\d+) *(second|minute|hour)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


@dataclass(frozen=True)
class Every:
    """A period: `1 epoch`, `50 steps`. Steps are optimizer steps."""

    count: int
    unit: Literal["epoch", "step"]

    def __str__(self) -> str:
        return f"{self.count} {self.unit}" + ("s" if self.count > 1 else "")


def _read_every(value: Any) -> Every:
    if isinstance(value, Every):
        return value
    form = _EVERY.fullmatch(value.strip()) if isinstance(value, str) else None
    if form is None or int(form[1]) == 0:
        raise wrong_here(f"{value!r} is not a period", "such as 1 epoch, or 50 steps")
    return Every(int(form[1]), "epoch" if form[2] == "epoch" else "step")


@dataclass(frozen=True)
class Duration:
    """A time: `90 seconds`, `30 minutes`, `2 hours`."""

    count: int
    unit: Literal["second", "minute", "hour"]

    @property
    def seconds(self) -> int:
        """The same in seconds."""
        return self.count * _SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.count} {self.unit}" + ("s" if self.count > 1 else "")


def read_duration(value: Any) -> Duration:
    """Return the duration that a spec's value says; a validator of pydantic's."""
    if isinstance(value, Duration):
        return value
    form = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if form is None or int(form[1]) == 0:
        raise wrong_here(f"{value!r} is not a duration", "such as 30 minutes, or 90 seconds")
    unit: Any = form[2]
    return Duration(int(form[1]), unit)


class Retention(Model):
    """Which checkpoints are kept, and for how long a job goes on where none can be saved."""

    keep_best: int = Field(default=1, ge=0)
    """0 where the job has no objective."""
    keep_latest: int = Field(default=1, ge=1)
    give_up_after: Annotated[Duration, BeforeValidator(read_duration), PlainSerializer(str)] = (
        Duration(60, "minute")
    )
    """A job whose newest checkpoint has waited so long for a disk or a storage fails."""


class Checkpointing(Retention):
    """When checkpoints are written, and which are kept."""

    every: Annotated[Every, BeforeValidator(_read_every), PlainSerializer(str)] = Every(1, "epoch")

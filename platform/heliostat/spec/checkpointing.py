"""When checkpoints are written and which are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from heliostat.spec.base import Model, wrong_here

_EVERY = re.compile(r"(\d+) *(epoch|step)s?")


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


class Retention(Model):
    """Which checkpoints are kept: the best by the job's objective, and the latest."""

    keep_best: int = Field(default=1, ge=0)
    """0 where the job has no objective."""
    keep_latest: int = Field(default=1, ge=1)


class Checkpointing(Retention):
    """When checkpoints are written, and which are kept."""

    every: Annotated[Every, BeforeValidator(_read_every), PlainSerializer(str)] = Every(1, "epoch")

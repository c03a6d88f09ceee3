"""How long a job may stand still before it is ended."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from heliostat.spec.base import Model
from heliostat.spec.checkpointing import Duration, read_duration


def _read_limit(value: Any) -> Duration | None:
    return None if value is None else read_duration(value)


def _write_limit(limit: Duration | None) -> str | None:
    return None if limit is None else str(limit)


Limit = Annotated[Duration | None, BeforeValidator(_read_limit), PlainSerializer(_write_limit)]


class Stall(Model):
    """When a job in which nothing moves is ended, to be tried again; null: never.

    What moves it is an optimizer step, a batch of an evaluation, a checkpoint, the next thing
    that it does; in a loop of the user's own a call of `report` or `should_stop`.
    """

    after: Limit = Duration(30, "minute")
    start_up: Limit = Duration(2, "hour")
    """The same before the first step, when data is downloaded and the model is compiled."""

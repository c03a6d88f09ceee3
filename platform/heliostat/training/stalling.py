"""What it is to stand still, for the rank that does and for the driver that hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliostat.spec import Duration, Stall
from heliostat.training.goodput import Stopwatch

STALLED = "stalled"
"""The event of a rank that stands still."""


class StalledError(RuntimeError):
    """Nothing moved for as long as the spec allows."""


class StandStill:
    """Says how long a stopwatch has stood still, and for how long it may."""

    def __init__(self, watch: Stopwatch, stall: Stall) -> None:
        """Count from now on."""
        self._watch = watch
        self._stall = stall
        self._moves = watch.moves
        self.seconds = 0.0

    def look(self, seconds: float) -> Duration | None:
        """Return the limit that is passed, `seconds` after the look before; None: none is.

        `seconds` are at most two looks': a process that was stopped, and goes on, is not blamed.
        """
        moves = self._watch.moves
        # A wait for a checkpoint has a limit of its own, and another verdict.
        if moves != self._moves or self._watch.state == "waited_on_checkpoints":
            self._moves, self.seconds = moves, 0.0
            return None
        self.seconds += seconds
        limit = self._stall.after if self._watch.under_way else self._stall.start_up
        return limit if limit is not None and self.seconds >= limit.seconds else None


def describe(record: Mapping[str, Any]) -> str:
    """Return in a line where a rank stands, from its event."""
    doing = _DOING[record["state"]].format(step=record["step"] + 1, done=record["step"])
    reader = record["reader"]
    at = reader if record["state"] == "waited_for_data" and reader else record["where"]
    return f"rank {record['rank']} {doing} at {at}"


_DOING = {
    "trained": "in step {step}",
    "repeated": "in step {step}",
    "started_up": "starting up",
    "waited_for_data": "waits for data, whose reader is",
    "waited_on_checkpoints": "waits for a checkpoint",
    "evaluated": "evaluating after step {done}",
    "packaged": "packaging the model",
}

"""What became of a job's worker-seconds, over all its attempts, from its journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heliostat.tracking.attempt_rows import AttemptRow, AttemptRows
from heliostat.training.goodput import EVENT, STATES
from heliostat.training.journal import Record

IDLED = "idled"
"""Seconds in which a worker was wanted, and no rank had a word on them: while it was waited for and
its process started, between two attempts, after its end, and since the last word of one killed."""


@dataclass(frozen=True)
class Goodput:
    """A job's worker-seconds by what they went into; they add up to the total."""

    seconds: dict[str, float]
    """By state, IDLED among them."""
    attempt: int
    """The newest that it tells of."""
    ended: int
    """Unix milliseconds: up to when it tells."""

    @property
    def worker_seconds(self) -> float:
        """All of them: of each attempt its workers × the seconds from its launch to its end."""
        return sum(self.seconds.values())

    @property
    def share(self) -> float:
        """Of the whole, that which trained new steps."""
        return self.seconds["trained"] / self.worker_seconds

    def line(self) -> str:
        """Return it for a person."""
        parts = [
            f"{state.replace('_', ' ')} {seconds:,.0f} s"
            for state, seconds in self.seconds.items()
            if seconds >= 0.5 or state == "trained"
        ]
        return f"goodput {self.share:.0%} of {self.worker_seconds:,.0f} worker-seconds: " + (
            ", ".join(parts)
        )

    def records(self) -> list[Record]:
        """Return it as metrics: shares of the whole, and the whole."""
        whole = self.worker_seconds
        values = {state: seconds / whole for state, seconds in self.seconds.items()}
        values["worker_seconds"] = whole
        place = {"kind": "metric", "step": self.attempt, "time": self.ended}
        return [{**place, "name": f"goodput/{name}", "value": v} for name, v in values.items()]


def goodput_of(records: Sequence[Record]) -> Goodput | None:
    """Return what became of the worker-seconds; None where no rank has said so."""
    attempts = AttemptRows()
    attempts.take(records)
    rows = attempts.rows(over=True)
    spent = _spent(records)
    drivers = {r["attempt"]: r["driver_pid"] for r in records if r["name"] == "attempt_launched"}
    total: dict[str, float] = dict.fromkeys((*STATES, IDLED), 0.0)
    before: AttemptRow | None = None
    ended = 0
    for row in rows:
        mine = [seconds for (attempt, _), seconds in spent.items() if attempt == row.attempt]
        begun = row.started or 0
        if before is not None and before.ended and _same(drivers, before, row):
            begun = min(begun, before.ended)  # its driver had it wait
        ended = row.ended or _last_word(records, row.attempt)
        wanted = (row.workers or 0) * max(0, ended - begun) / 1000
        for seconds in mine:
            for state, spent_so in seconds.items():
                total[state] += spent_so
        # Two clocks may differ by a little: of what the ranks say nothing is taken away.
        total[IDLED] += max(0.0, wanted - sum(sum(seconds.values()) for seconds in mine))
        before = row
    if not spent or not sum(total.values()):
        return None
    return Goodput(total, rows[-1].attempt, ended)


def _spent(records: Iterable[Record]) -> dict[tuple[int, int], dict[str, float]]:
    """Return each rank's last word in each attempt."""
    return {
        (record["attempt"], record["rank"]): record["seconds"]
        for record in records
        if record["name"] == EVENT
    }


def _same(drivers: dict[int, int], before: AttemptRow, row: AttemptRow) -> bool:
    driver = drivers.get(row.attempt)
    return driver is not None and drivers.get(before.attempt) == driver


def _last_word(records: Iterable[Record], attempt: int) -> int:
    return max(int(r["time"]) for r in records if r["attempt"] == attempt)

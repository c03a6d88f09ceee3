"""A job's attempts as rows, from its journal. Imports no mlflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

Record = Mapping[str, Any]


@dataclass
class AttemptRow:
    """One attempt of a job."""

    attempt: int
    """From 1."""
    started: int | None = None
    """Unix milliseconds."""
    ended: int | None = None
    """Unix milliseconds; None while it runs, and where nobody was left to write it down."""
    workers: int | None = None
    """The world size; until the ranks have met, what the spec asks for at least."""
    from_step: int | None = None
    """The optimizer steps that stood done when it began to train."""
    checkpoint: str | None = None
    """What it went on from; None: from nothing."""
    last_step: int | None = None
    """The last one that the journal heard of: a killed rank may have done a few more."""
    why: str | None = None
    """Why it ended: `finished`, `stopped`, or a failure's verdict; None while it runs."""
    steps_repeated: int = 0
    """Optimizer steps that an earlier attempt had done already."""
    largest_difference: float | None = None
    """Between what was recorded first at a step and its repetition; None where nothing was."""


ATTEMPT_COLUMNS = tuple(field.name for field in fields(AttemptRow))
LOST = "driver_lost"
"""Why an attempt ended whose driver died with it: nobody was left to say."""


class AttemptRows:
    """The attempts that a journal tells of; a record that is taken again changes nothing."""

    def __init__(self) -> None:
        """Begin with no record."""
        self._rows: dict[int, AttemptRow] = {}

    def take(self, records: Iterable[Record]) -> None:
        """Take records of any kind in; those of no attempt tell nothing here."""
        for record in records:
            number = record.get("attempt")
            if number is None:
                continue
            if record["kind"] == "event":
                take = _TAKEN.get(record["name"])
                if take is not None:
                    row = self._rows.setdefault(number, AttemptRow(number))
                    take(row, record)
            if number in self._rows and (step := _training_step(record)) is not None:
                row = self._rows[number]
                row.last_step = max(step, row.last_step or 0)

    def rows(self, *, over: bool = False) -> list[AttemptRow]:
        """Return the attempts so far, by number; `over`: the last one does not run any more."""
        rows = [replace(self._rows[number]) for number in sorted(self._rows)]
        reached = 0
        for place, row in enumerate(rows):
            if row.why is None and (over or place + 1 < len(rows)):
                row.why = LOST
            if row.from_step is not None and row.last_step is not None:
                row.steps_repeated = max(0, min(row.last_step, reached) - row.from_step)
            reached = max(reached, row.last_step or 0)
        return rows


def _training_step(record: Record) -> int | None:
    """Return the optimizer steps done when the record was written, where it tells."""
    # The step of a system metric is the job's age in seconds.
    if record["kind"] == "metric" and record["name"].startswith("system/"):
        return None
    step = record.get("step")
    return None if step is None else int(step)


def _launched(row: AttemptRow, record: Record) -> None:
    row.started = record["time"]
    row.workers = row.workers or record["workers"]


def _began(row: AttemptRow, record: Record) -> None:
    row.started = row.started or record["time"]
    row.workers = record.get("world_size", row.workers)


def _restored(row: AttemptRow, record: Record) -> None:
    row.from_step, row.checkpoint = record["step"], record["checkpoint"]


def _first_step(row: AttemptRow, record: Record) -> None:
    if row.from_step is None:
        row.from_step = 0


def _repeated(row: AttemptRow, record: Record) -> None:
    row.largest_difference = record["largest_difference"]


def _ended(row: AttemptRow, record: Record) -> None:
    row.ended = max(record["time"], row.ended or 0)
    row.why = row.why or record["why"]


def _closed(row: AttemptRow, record: Record) -> None:
    # The driver has heard all ranks: its word goes before that of rank 0.
    row.ended, row.why = record["time"], record["why"]


_TAKEN = {
    "attempt_launched": _launched,
    "attempt_started": _began,
    "restored": _restored,
    "first_step": _first_step,
    "repeated": _repeated,
    "attempt_ended": _ended,
    "attempt_closed": _closed,
}

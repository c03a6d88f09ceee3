"""The driver's word on each attempt of a job, beside what its ranks say of it themselves.

A worker that is killed says nothing any more: when the attempt began and why it ended is the
driver's to write. A driver that dies as well leaves the attempt open, and whoever reads the journal
takes it for lost once the job has ended or goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from heliostat.runtime.failures import Fault, next_attempt
from heliostat.runtime.job import Job
from heliostat.runtime.job_storage import open_storage
from heliostat.runtime.retrying import HALVED, Halved
from heliostat.spec import EntrypointSpec, InputError, TrainSpec
from heliostat.training.journal import Journal
from heliostat.training.storage_away import AWAY

LAUNCHED = "attempt_launched"
CLOSED = "attempt_closed"


class AttemptRecord:
    """One attempt, as the driver sees it."""

    def __init__(self, number: int) -> None:
        """Say that it is attempt `number`, from 1; it is finished unless it is said otherwise."""
        self.number = number
        self.why = "finished"

    def ended(self, fault: Fault | None) -> Fault | None:
        """Take note of why the attempt ended, and return it; None: it finished."""
        if fault is not None:
            self.why = fault.failure.verdict
        return fault


@contextmanager
def recorded_attempt(
    job: Job, spec: TrainSpec | EntrypointSpec, halved: Halved | None = None
) -> Iterator[AttemptRecord]:
    """Have the job's next attempt in the body; the journal says when it began, and how it ended.

    And if fewer samples are taken at a time than the job's spec says, since memory had run out.
    """
    record = AttemptRecord(next_attempt(job))
    journal = Journal(
        job.folder / "journal",
        attempt=record.number,
        rank=None,
        refused=lambda error: None,  # on a full disk the row says less; what fails is elsewhere
    )
    journal.write(
        "event", name=LAUNCHED, workers=spec.resources.min_workers, driver_pid=os.getpid()
    )
    if halved is not None:
        journal.write("event", name=HALVED, **asdict(halved))
    try:
        yield record
    except BaseException as error:
        record.why = _why(error)
        raise
    finally:
        journal.write("event", name=CLOSED, why=record.why)
        journal.close()
        _put_into_storage(job, record.number)


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "stopped"
    return "input" if isinstance(error, InputError) else "internal"


def _put_into_storage(job: Job, attempt: int) -> None:
    """Bring the driver's word where another machine finds it, if that is anywhere but here.

    Without it, the attempt's row says a little less there; training goes on.
    """
    with suppress(*AWAY):
        store = open_storage(job)
        if store is not None:
            for segment in (job.folder / "journal").glob(f"{attempt:04d}-driver-*.jsonl"):
                store.put(segment, f"journal/{segment.name}")

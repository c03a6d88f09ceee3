"""Jobs that only remember: each in a process of its own, which has trained nothing."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

STEPS = 300
METRICS = ("train/loss", "train/accuracy")


def value(job: int, step: int) -> float:
    """Return what job number `job` says of each metric at a step."""
    return job + step / 1000


def record_at_once(count: int, spec: Path, home: Path, uri: str) -> Sequence[int | None]:
    """Have `count` jobs write to MLflow at `uri` at the same moment; return their exit statuses."""
    # Importing MLflow takes seconds of a core: the processes are copies of one that has done it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["heliostat.runtime.job_recorder"])
    start = context.Barrier(count)
    processes = [
        context.Process(target=_record, args=(number, spec, home, uri, start))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


def _record(number: int, spec: Path, home: Path, uri: str, start: Barrier) -> None:
    """Make the job, write its journal in two halves and ship each, and end it."""
    from heliostat import spec as specs
    from heliostat.runtime.job import Job
    from heliostat.runtime.job_recorder import JobRecorder
    from heliostat.training.journal import Journal

    os.environ["HELIO_HOME"] = str(home)
    os.environ["HELIO_JOB_ID"] = f"job-{number}"
    os.environ["MLFLOW_TRACKING_URI"] = uri
    job = Job.create(specs.load(spec))
    journal = Journal(job.folder / "journal", attempt=1, rank=0)
    recorder = JobRecorder(job, uri)
    start.wait()
    recorder.open()
    journal.write("event", name="attempt_started", first_step=0, world_size=1)
    for half in (range(STEPS // 2), range(STEPS // 2, STEPS)):
        for step in half:
            for name in METRICS:
                journal.write("metric", name=name, step=step, value=value(number, step))
        recorder.ship()
    journal.close()
    job.end(status="FINISHED", error=None, metrics={})
    assert job.ended is not None
    recorder.close(job.ended)

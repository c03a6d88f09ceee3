"""A training job from its spec to its outcome: attempts, the record, the registered model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime import kept_code
from heliostat.runtime.attempt_record import recorded_attempt
from heliostat.runtime.collecting import collecting, publishing
from heliostat.runtime.events import Event, Note, Phase
from heliostat.runtime.failures import Fault, explain, next_attempt, stopped
from heliostat.runtime.goodput import goodput_of
from heliostat.runtime.home import home
from heliostat.runtime.job import Job
from heliostat.runtime.local_training import run_here
from heliostat.runtime.outcome import Failure, Outcome, Status
from heliostat.runtime.preparing import records_in_mlflow
from heliostat.runtime.recording import Recording
from heliostat.runtime.retrying import Halved, Retrying
from heliostat.runtime.stall_watch import StallWatch, end_processes
from heliostat.runtime.watching import Watcher
from heliostat.runtime.worker import make_importable
from heliostat.spec import EntrypointSpec, InputError, TrainSpec
from heliostat.tracking.attempt_rows import AttemptRows
from heliostat.tracking.server import tracking_uri
from heliostat.training.journal import read_all
from heliostat.training.priorities import come_after_training
from heliostat.training.stalling import StalledError
from heliostat.training.storage import RESULT, read_json
from heliostat.training.storage_away import StorageAway

if TYPE_CHECKING:
    from heliostat.training.setup import Setup

Show = Callable[[Event], None]


def train(job: Job, spec: TrainSpec | EntrypointSpec, *, local: bool, show: Show) -> Outcome:
    """Train `job` to its end under Ray, or with `local` in this very process.

    `spec` is as `prepare` returned it. Raises InputError where the input was wrong; a job that
    never began leaves nothing behind.
    """
    began = time.monotonic()
    recording = Recording(job, tracking_uri(home())) if records_in_mlflow(local) else None
    fresh = next_attempt(job) == 1
    job.claim()
    watcher = Watcher(job, show, began=recording.begin if recording else lambda: None)
    attempts = _local_attempts if local else _ray_attempts
    status: Status = "FINISHED"
    failure: Failure | None = None
    try:
        fault = attempts(job, spec, watcher, show)
        if fault is not None:
            status, failure = "FAILED", fault.failure
    except (KeyboardInterrupt, SystemExit):
        # Ray makes a SystemExit of a SIGTERM, which is how Ray Jobs stop a driver.
        status, failure = "KILLED", stopped(job)
    except InputError as error:
        if fresh:
            job.discard()
        else:
            job.end(status="FAILED", error={"verdict": "input", "message": str(error)}, metrics={})
        raise
    return conclude(job, status, failure, recording, show, began)


def conclude(
    job: Job,
    status: Status,
    failure: Failure | None,
    recording: Recording | None,
    show: Show,
    began: float,
) -> Outcome:
    """Write down how the job ended, wait until MLflow has it all, and return the last word."""
    result = read_json(job.folder / RESULT) or {}
    metrics = result.get("metrics", {})
    error = {"verdict": failure.verdict, "message": failure.message} if failure else None
    job.end(status=status, error=error, metrics=metrics)
    _tell_attempts(job, show)
    recorded: dict[str, Any] = {}
    if recording is not None:
        show(Phase("recording in MLflow"))
        recorded = recording.finish()
        _tell(recorded, job, show)
    return Outcome(
        job=job.id,
        run_id=recorded.get("run_id"),
        status=status,
        metrics=metrics,
        model=recorded.get("model") or result.get("model"),
        output=result.get("output"),
        seconds=round(time.monotonic() - began, 3),
        error=failure,
    )


def _tell_attempts(job: Job, show: Show) -> None:
    """Say how many attempts there were, if there were several, and what became of their time."""
    records = read_all(job.folder / "journal")
    attempts = AttemptRows()
    attempts.take(records)
    rows = attempts.rows(over=True)
    if len(rows) > 1:
        ends = ", ".join(str(row.why).replace("_", " ") for row in rows)
        show(Note(f"{len(rows)} attempts: {ends}"))
    goodput = goodput_of(records)
    if goodput is not None:
        show(Note(goodput.line()))


def _tell(recorded: dict[str, Any], job: Job, show: Show) -> None:
    if recorded.get("alias"):
        show(Note(recorded["alias"]))
    if "problem" in recorded:
        show(Note(recorded["problem"]))
    elif not recorded.get("complete"):
        log = job.folder / "logs" / "recorder.log"
        show(
            Note(f"MLflow has not got all of it (see {log}); `helio sync {job.id}` sends the rest")
        )


def _local_attempts(
    job: Job, spec: TrainSpec | EntrypointSpec, watcher: Watcher, show: Show
) -> Fault | None:
    show(Phase("starting in this process"))

    def attempted(spec: TrainSpec | EntrypointSpec, halved: Halved | None) -> Fault | None:
        with recorded_attempt(job, spec, halved) as attempt:
            error = run_here(job, spec, attempt.number, watch=watcher.poll, show=show)
            watcher.poll()
            return attempt.ended(None if error is None else explain(job, attempt.number, error))

    # What is lost here is this process itself: only memory can be had more of.
    return retried(attempted, Retrying(job, spec, budgets=()), show)


def _ray_attempts(
    job: Job, spec: TrainSpec | EntrypointSpec, watcher: Watcher, show: Show
) -> Fault | None:
    from heliostat.runtime.session import (
        RayGone,
        beginning,
        check_lives,
        check_resources,
        kills_here,
        nodes_gone,
        ray_session,
    )

    show(Note(f"job {job.id}: logs in {job.folder / 'logs'}"))
    show(Phase(beginning()))
    published = publishing(job)
    # A library may read a variable when it is imported: then it must not be imported yet.
    quick = not spec.env
    code = kept_code.copy_of(job.folder)
    session = ray_session(job.folder / "logs" / "ray.log", code=code, quick=quick)
    with session, ExitStack() as running:
        # First what may be refused: a thread that is amid torch would end the process in disorder.
        collector = running.enter_context(collecting(job, published))
        trial = Preflight(spec, job.code)
        from heliostat.runtime.ray_training import forget_preemption, run_attempt

        check_resources(spec.resources)
        show(Phase("starting workers"))

        def watch() -> None:
            check_lives()
            trial.check()
            watcher.poll()
            if collector is not None:
                collector.tell(show)

        def attempted(spec: TrainSpec | EntrypointSpec, halved: Halved | None) -> Fault | None:
            with recorded_attempt(job, spec, halved) as attempt:
                killed = kills_here()
                stalls = StallWatch(job, attempt.number, mirrored=collector is not None)

                def watch_attempt() -> None:
                    watch()
                    stalls.check()

                try:
                    error = run_attempt(job, spec, attempt.number, watch=watch_attempt, show=show)
                    if collector is not None:
                        collector.complete()
                except StorageAway as away:
                    return attempt.ended(Fault.of("storage", str(away)))
                except RayGone as gone:
                    # Not tried again: what would run it is gone with it.
                    message = f"{gone}; `helio resume {job.id}` goes on from the newest checkpoint"
                    return attempt.ended(Fault(Failure("node_lost", message), None))
                except StalledError as stalled:
                    end_processes(stalls.places)
                    return attempt.ended(Fault.of("stalled", str(stalled)))
                watcher.poll()
                if error is None:
                    return None
                fault = explain(
                    job,
                    attempt.number,
                    error,
                    nodes_gone=nodes_gone(),
                    memory_ran_out=kills_here() != killed,
                )
                if fault.failure.verdict == "preempted":
                    forget_preemption(job, attempt.number)
                return attempt.ended(fault)

        return retried(attempted, Retrying(job, spec), show)


def retried(
    attempted: Callable[[TrainSpec | EntrypointSpec, Halved | None], Fault | None],
    retrying: Retrying,
    show: Show,
) -> Fault | None:
    """Make attempts until one finishes or none is left; return the fault of the last."""
    while True:
        fault = attempted(retrying.spec, retrying.halved)
        if fault is None:
            return None
        next_one = retrying.after(fault)
        if next_one is None:
            return retrying.last(fault)
        show(Note(f"{fault.failure.message}; {next_one}"))


class Preflight:
    """Builds data, task and model in this process while Ray starts.

    The workers do the same a few seconds later; this is for the person who mistyped a name.
    """

    def __init__(
        self,
        spec: TrainSpec | EntrypointSpec,
        code: Path,
        also: Callable[[Setup], None] = lambda setup: None,
    ) -> None:
        """Begin; `also` may raise an InputError for what it does not like of the setup."""
        self._spec = spec
        self._also = also
        self._error: InputError | None = None
        make_importable(str(code))
        self._thread = threading.Thread(target=self._try, name="preflight", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the InputError that was found, if one was by now."""
        if self._error is not None:
            raise self._error

    def _try(self) -> None:
        come_after_training(19)  # and after the workers' start
        from heliostat.training.custom import set_up_own
        from heliostat.training.setup import set_up

        try:
            if isinstance(self._spec, TrainSpec):
                self._also(set_up(self._spec))
            else:
                set_up_own(self._spec)
        except InputError as error:
            self._error = error
        except Exception:
            # The user's own code failed; the workers meet the same and tell of it in full.
            return

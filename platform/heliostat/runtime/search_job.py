"""`kind: tune`: a search from its spec to its outcome, begun anew or gone on with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from heliostat.runtime import kept_code
from heliostat.runtime.capacity import trials_at_once
from heliostat.runtime.collecting import collecting, publishing
from heliostat.runtime.events import Event, Note, Phase, SearchProgress
from heliostat.runtime.home import home
from heliostat.runtime.job import Job
from heliostat.runtime.outcome import Failure, Outcome, Status
from heliostat.runtime.preparing import prepare
from heliostat.runtime.recording import Recording
from heliostat.runtime.search_view import progress_of
from heliostat.runtime.search_work import SearchWork
from heliostat.runtime.session import RayGone, beginning, check_lives, ray_session
from heliostat.runtime.stopwatch import Stopwatch
from heliostat.runtime.training_job import Preflight, conclude
from heliostat.runtime.trial_storage import TrialStorage
from heliostat.search.fixed import check_resumable
from heliostat.search.ledger import LEDGER, Ledger, read_records
from heliostat.search.search import Search
from heliostat.search.suggesting import make_suggester
from heliostat.spec import Document, InputError, TuneSpec, together
from heliostat.tracking.server import tracking_uri
from heliostat.training.stopping import STOP
from heliostat.training.storage import RESULT

if TYPE_CHECKING:
    from heliostat.training.setup import Setup

Show = Callable[[Event], None]


def run_search(document: Document, *, show: Show) -> Outcome:
    """Search to the end, on this machine's Ray or the one at RAY_ADDRESS.

    Raises InputError, with nothing left behind, where the input is wrong.
    """
    spec = document.spec
    assert isinstance(spec, TuneSpec)
    ready = _prepared(spec, document.folder)
    job = Job.create(document)
    try:
        return _search(job, ready, show)
    except InputError:
        if not _was_begun(job):
            job.discard()
        raise


def resume_search(job: Job, spec: TuneSpec, *, show: Show) -> Outcome:
    """Go on with a search, whose limits in `spec` may have been raised.

    Raises InputError where it is another search that `spec` describes.
    """
    ready = _prepared(spec, job.code)
    check_resumable(ready, Ledger(job.folder / LEDGER).records())
    job.reopen(spec)
    show(Note(f"resuming {job.id}"))
    return _search(job, ready, show)


def _prepared(spec: TuneSpec, folder: Path) -> TuneSpec:
    with together() as step:
        with step():
            trials_at_once(spec)
        with step("train"):
            train = prepare(spec.train, folder, local=False)
    return spec.model_copy(update={"train": train})


def _was_begun(job: Job) -> bool:
    records, _ = read_records(job.folder / LEDGER)
    return any(record["kind"] == "told" for record in records)


def _search(job: Job, spec: TuneSpec, show: Show) -> Outcome:
    began = time.monotonic()
    job.claim()
    _clear(job.folder)
    recording = Recording(job, tracking_uri(home()))
    show(Note(f"job {job.id}: its trials are in {job.folder}"))
    show(Phase(beginning()))
    failure: Failure | None = None
    work: SearchWork | None = None
    published = publishing(job)
    try:
        with (
            ray_session(
                job.folder / "logs" / "ray.log",
                library="ray.tune",
                code=kept_code.copy_of(job.folder),
            ),
            collecting(job, published) as collector,
        ):
            storage = TrialStorage(job, collector) if collector is not None else None
            work = SearchWork(job, spec, Search(spec, Ledger(job.folder / LEDGER)), storage)
            _drive(work, spec, recording, show)
        failure = _why_it_failed(work)
        status: Status = "FAILED" if failure else "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status, failure = "KILLED", Failure("interrupted", "interrupted")
    except RayGone as gone:
        message = f"{gone}; `helio resume {job.id}` goes on with the search"
        status, failure = "FAILED", Failure("node_lost", message)
    except InputError as error:
        job.end(status="FAILED", error={"verdict": "input", "message": str(error)}, metrics={})
        raise
    shutil.rmtree(job.folder / "ray", ignore_errors=True)  # Tune's own, which nobody reads
    outcome = conclude(job, status, failure, recording, show, began)
    best = work.search.best if work is not None else None
    if best is None:
        return outcome
    return replace(outcome, best={"trial": best.number, "values": best.values, "value": best.value})


def _clear(folder: Path) -> None:
    """Remove what an earlier end of the search left: its best trial may not be the best now."""
    for name in (STOP, RESULT):
        (folder / name).unlink(missing_ok=True)
    for name in ("ray", "model"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _drive(work: SearchWork, spec: TuneSpec, recording: Recording, show: Show) -> None:
    """Watch Ray Tune run the search's legs, and end them when the time is spent."""
    import ray

    from heliostat.runtime.search_tune import Tuning

    at_once = trials_at_once(spec, ray.cluster_resources())  # type: ignore[no-untyped-call]
    preflight = _Preflight(work, spec)
    show(Phase("searching"))
    clock = Stopwatch(work.job.folder)
    told: SearchProgress | None = None
    tuning = Tuning(work, spec.train.resources, at_once, work.job.folder / "ray")
    try:
        while not tuning.wait(0.2):
            check_lives()
            preflight.check()
            seconds = clock.seconds()
            if spec.budget.minutes is not None and seconds > 60 * spec.budget.minutes:
                work.stop(f"the budget of {spec.budget.minutes:g} minutes is spent")
            with work.lock:
                progress = progress_of(work.search, spec, seconds)
            if told is None or replace(progress, seconds_left=told.seconds_left) != told:
                told = progress
                show(progress)
            if any(line.curve for line in progress.trials):
                recording.begin()
    except BaseException:
        work.close()
        tuning.leave()
        raise


class _Preflight:
    """Sets up the first trial while Ray starts its processes, for whoever mistyped a name."""

    def __init__(self, work: SearchWork, spec: TuneSpec) -> None:
        self._work = work
        first = spec.trial_spec(make_suggester(spec).suggest(0))
        self._preflight = Preflight(first, work.job.code, also=partial(_check_goals, spec))

    def check(self) -> None:
        """Raise the InputError that was found, unless a trial has shown that it can be done."""
        with self._work.lock:
            if any(trial.objectives for trial in self._work.search.trials.values()):
                return
        _raise_under_train(self._preflight)


def _check_goals(spec: TuneSpec, setup: Setup) -> None:
    from heliostat.training.setup import check_goals

    check_goals(spec.objectives, setup.task)


def _raise_under_train(preflight: Preflight) -> None:
    try:
        preflight.check()
    except InputError as error:
        problems = [
            p if p.key[:1] == ("objectives",) else replace(p, key=("train", *p.key))
            for p in error.problems
        ]
        raise InputError(problems) from None


def _why_it_failed(work: SearchWork) -> Failure | None:
    if work.search.failure is not None:
        return Failure("trials_failed", work.search.failure)
    if work.search.best is None:
        return Failure("trials_failed", "no trial came to a value")
    return work.finish_failed

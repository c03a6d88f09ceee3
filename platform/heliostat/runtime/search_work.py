"""A search's folder and its legs: what the search decides, as work for a process, and back."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from heliostat import spec as specs
from heliostat.runtime.failures import explain, next_attempt
from heliostat.runtime.job import Job
from heliostat.runtime.job_storage import mark_of
from heliostat.runtime.outcome import Failure
from heliostat.runtime.registered_model import with_local_models
from heliostat.runtime.trial_folders import TrialFolders
from heliostat.runtime.trial_storage import TrialStorage
from heliostat.search.legs import Failed, Leg, Told
from heliostat.search.search import Search
from heliostat.spec import InputError, TrainSpec, TuneSpec
from heliostat.training.stopping import STOP
from heliostat.training.storage import LEG_END, read_json, write_json
from heliostat.training.storage_away import StorageAway
from heliostat.training.verdicts import Verdict, budget


class SearchWork:
    """Gives out legs, and at last the finishing of the best trial, as `work_as`'s config.

    Its methods are called from Tune's thread and from the driver's.
    """

    def __init__(
        self, job: Job, spec: TuneSpec, search: Search, storage: TrialStorage | None = None
    ) -> None:
        """Work in the job's folder; the search may have gone a part of its way already.

        With `storage` the legs' files lie there.
        """
        self.job = job
        self.search = search
        self.lock = threading.RLock()
        self.closed = False
        """Whether the driver is leaving: what becomes of running legs is no result."""
        self.finish_failed: Failure | None = None
        self._spec = spec
        self._legs: dict[str, Leg] = {}
        self._finishing: Literal["not yet", "now", "over"] = "not yet"
        self._finish_retries = 0
        self._storage = storage
        self._folders = TrialFolders(job.folder, spec, search, storage)

    def stop(self, why: str) -> None:
        """End the search: its legs end at one of their next steps."""
        with self.lock:
            if not self.search.done:
                self.search.stop(why)
                self._show_stop()

    def close(self) -> None:
        """Give out nothing more and believe nothing more."""
        with self.lock:
            self.closed = True

    def next(self) -> dict[str, Any] | Literal["wait", "end"]:
        """Return the next leg; `Source`'s method."""
        with self.lock:
            if self.closed:
                return "wait"
            if not self.search.done:
                leg = self.search.next()
                return "wait" if leg is None else self._begin(leg)
            if self._finishing == "not yet" and self.search.best and not self.search.failure:
                self._finishing = "now"
                return self._finish(self.search.best.number)
            return "wait" if self._finishing == "now" else "end"

    def ended(self, work: dict[str, Any], error: dict[str, Any] | None) -> None:
        """Tell the search how a leg ended; `Source`'s method."""
        with self.lock:
            if self.closed:
                return
            if work["work"] == "finish":
                self._finished(self._failure(self.job, work, error))
                return
            leg = self._legs.pop(work["folder"])
            failure = self._failure(Job(str(leg.trial), Path(work["folder"])), work, error)
            if failure is None:
                self.search.told(leg, self._told(leg, Path(work["folder"])))
            else:
                # A leg is stopped with its search, and goes on with it.
                worth_another = _worth_another(failure) or failure.verdict == "stopped"
                self.search.told(leg, Failed(failure.verdict, failure.message, worth_another))
            if self.search.stopped is not None:
                self._show_stop()
            self._folders.tidy()

    def _show_stop(self) -> None:
        sign = self.job.folder / STOP
        if self._storage is not None and not sign.exists():
            with suppress(StorageAway):  # then they end when they would have
                self._storage.stop()
        sign.touch()

    def _failure(
        self, job: Job, work: dict[str, Any], error: dict[str, Any] | None
    ) -> Failure | None:
        """Return why the work in the folder of `job` failed, whose files are here then."""
        if self._storage is not None:
            try:
                self._storage.take(job.folder)
            except StorageAway as away:
                return Failure("storage", str(away))
        return _failure(job, work, error)

    def _begin(self, leg: Leg) -> dict[str, Any] | Literal["wait"]:
        """Return the leg as work; one whose values do not make a trial fails on the spot."""
        try:
            return self._leg(leg)
        except (InputError, OSError) as error:
            verdict: Verdict = "input" if isinstance(error, InputError) else "storage"
            self.search.told(leg, Failed(verdict, str(error), worth_another=False))
            return "wait"

    def _leg(self, leg: Leg) -> dict[str, Any]:
        spec = self._trial_spec(leg)
        folder = self._folders.make(leg.trial)
        write_json(folder / "resolved.json", specs.dump(spec))
        attempt = next_attempt(Job(str(leg.trial), folder))
        if leg.clone is not None:
            self._folders.clone(leg, attempt)
        (folder / LEG_END).unlink(missing_ok=True)
        self._legs[str(folder)] = leg
        stop = str(self.job.folder / STOP)
        return self._work("leg", spec, folder, attempt=attempt, until=leg.until, stop=stop)

    def _finish(self, number: int) -> dict[str, Any]:
        folder = self._folders.of(number)
        spec = specs.parse(read_json(folder / "resolved.json"))
        attempt = next_attempt(self.job)
        work = self._work("finish", spec, self.job.folder, attempt=attempt, trial=str(folder))
        if self._storage is not None:
            work["storage"] |= self._storage.for_finish(folder)
        return work

    def _finished(self, failure: Failure | None) -> None:
        retries = self._spec.train.retries.failures
        if failure and _worth_another(failure) and self._finish_retries < retries:
            self._finish_retries += 1
            self._finishing = "not yet"
            return
        self._finishing = "over"
        self.finish_failed = failure

    def _work(
        self, work: str, spec: Any, folder: Path, *, attempt: int, **more: Any
    ) -> dict[str, Any]:
        dumped = specs.dump(spec)
        return {
            "work": work,
            "folder": str(folder),
            "attempt": attempt,
            "spec": dumped,
            "code": str(self.job.code),
            "world_size": spec.resources.max_workers,
            **(
                self._storage.for_workers(dumped, folder, attempt)
                if self._storage is not None
                else mark_of(self.job)
            ),
            **more,
        }

    def _trial_spec(self, leg: Leg) -> specs.Spec:
        spec = self._spec.trial_spec(leg.values)
        if isinstance(spec, TrainSpec):
            spec = with_local_models(spec)  # of weights that are searched for
        # A clone's source must have a checkpoint of its last leg's end although it has begun the
        # next one.
        kept = spec.checkpoint.keep_latest
        keep = max(2, kept) if self._spec.scheduler.name == "pbt" else kept
        checkpoint = spec.checkpoint.model_copy(update={"keep_latest": keep})
        return spec.model_copy(update={"checkpoint": checkpoint})

    def _told(self, leg: Leg, folder: Path) -> Told | Failed:
        end = read_json(folder / LEG_END)
        missing = [g.metric for g in self._spec.goals if g.metric not in end["metrics"]]
        if missing:
            return Failed("user_code", f"the trial reported no {missing[0]}", False)
        known = self.search.trials[leg.trial].epoch
        return Told(
            epoch=end["epoch"],
            step=end["step"],
            values=tuple(end["metrics"][goal.metric] for goal in self._spec.goals),
            curve=tuple((int(at), value) for at, value in end["objectives"] if at > known),
            finished=end["finished"],
            seconds=end["seconds"],
        )


def _worth_another(failure: Failure) -> bool:
    return budget(failure.verdict) is not None


def _failure(job: Job, work: dict[str, Any], error: dict[str, Any] | None) -> Failure | None:
    """Return why the work failed, from what its ranks wrote; None where it did not."""
    if error is None:
        return None
    message = str(error["message"])
    try:
        failure = explain(job, work["attempt"], RuntimeError(message)).failure
    except InputError as wrong:
        return Failure("input", str(wrong))
    # It lives and could not say why in its journal: it failed before that was open.
    before = not error["lost"] and work["world_size"] == 1
    if failure.verdict == "worker_lost" and before:
        return Failure("internal", message)
    return failure

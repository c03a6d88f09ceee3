"""A job's MLflow run: one over all attempts, and a status that is true."""

from __future__ import annotations

import getpass
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, RunTag
from mlflow.exceptions import MlflowException

from heliostat.spec.problems import InputError
from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching

# A paused trial's run is SCHEDULED. MLflow's filters know no OR.
_NOT_OVER = " AND ".join(
    f"attributes.status != '{status}'" for status in ("FINISHED", "FAILED", "KILLED")
)


@dataclass(frozen=True)
class Settled:
    """A run that said RUNNING while nothing ran it, and is FAILED now (a trial's: KILLED)."""

    job: str
    run_id: str
    because: str


def open_run(
    uri: str,
    *,
    experiment: str,
    name: str,
    job: str,
    tags: Mapping[str, str],
    artifact_root: str | None = None,
    started: float | None = None,
) -> str:
    """Return the id of the run of `job`, RUNNING: a new one, or the job's own when it has one.

    Args:
        uri: the tracking store.
        experiment: the experiment's name; made when it isn't there.
        name: the run's name in the UI.
        job: the job's id; a job has one run, whatever restarts.
        tags: more tags (`heliostat.kind`, `heliostat.objective`, `heliostat.goal`, …).
        artifact_root: where a new experiment keeps artifacts; None leaves it to the server.
        started: when the job began, in unix seconds; default: now.

    Raises:
        InputError: the experiment is in MLflow's trash, or its name is not allowed.
        TrackingAway: MLflow can't be reached.
    """
    with reaching(uri):
        client = connect(uri)
        experiment_id = _experiment_id(client, experiment, artifact_root)
        alive = {**tags, **_signs_of_life(), tag.JOB: job}
        found = _runs_of(client, experiment_id, job)
        if not found:
            by_hand = {**alive, "mlflow.user": getpass.getuser()}
            run = client.create_run(
                experiment_id,
                start_time=None if started is None else int(started * 1000),
                tags=by_hand,
                run_name=name,
            )
            return str(run.info.run_id)
        run_id = str(found[0].info.run_id)
        _delete_doubles(client, found, run_id)
        client.update_run(run_id, status="RUNNING")
        _set(client, run_id, alive)
        for of_the_end in {tag.ENDED_BECAUSE, tag.VERDICT} & found[0].data.tags.keys():
            client.delete_tag(run_id, of_the_end)
        return run_id


def beat(uri: str, run_id: str, tags: Mapping[str, str] | None = None) -> None:
    """Say that this process is alive and the run is its own, and set `tags` with it."""
    with reaching(uri):
        _set(connect(uri), run_id, {**(tags or {}), **_signs_of_life()})


def finish(uri: str, run_id: str, status: str, *, tags: Mapping[str, str] | None = None) -> None:
    """End the run: `status` is FINISHED, FAILED or KILLED; `tags` are its last words."""
    with reaching(uri):
        client = connect(uri)
        _set(client, run_id, tags or {})
        run = client.get_run(run_id)
        began = run.info.start_time
        if tag.TRIAL not in run.data.tags and tag.JOB in run.data.tags:
            job = run.data.tags[tag.JOB]
            _delete_doubles(client, _runs_of(client, run.info.experiment_id, job), run_id)
        # A clock may have been set back: no run ends before it began.
        client.set_terminated(run_id, status, end_time=max(int(time.time() * 1000), began))


def try_writing(uri: str, artifact_root: str | None) -> None:
    """Write a run and remove it again, to find out whether that is allowed.

    The experiment `helio-check` stays, empty. Raises TrackingAway, or MLflow's own exception
    where it refuses.
    """
    with reaching(uri):
        client = connect(uri)
        run = client.create_run(_experiment_id(client, "helio-check", artifact_root))
        client.log_metric(run.info.run_id, "check", 1.0)
        client.set_terminated(run.info.run_id)
        client.delete_run(run.info.run_id)


def settle(
    uri: str,
    *,
    now: float | None = None,
    silent_after: float = 60.0,
    alive: Callable[[Mapping[str, str]], bool],
) -> list[Settled]:
    """End the runs whose job died without a word: they become FAILED, and say why.

    A trial's run is as alive as its search's; it becomes KILLED with it, for its own training did
    nothing wrong.

    Args:
        uri: the tracking store.
        now: unix seconds; default: the clock's.
        silent_after: seconds since the last heartbeat before a run is doubted.
        alive: given a doubted run's tags, says whether its job lives all the same.
    """
    now = time.time() if now is None else now
    with reaching(uri):
        client = connect(uri)
        found = search(client, _NOT_OVER)
        jobs = {run.info.run_id: run for run in found if tag.TRIAL not in run.data.tags}
        dead = {
            run_id: _last_heard(run)
            for run_id, run in jobs.items()
            # A clock that was set back leaves heartbeats of the future.
            if abs(now - _last_heard(run)) > silent_after and not alive(run.data.tags)
        }
        settled = []
        for trial in found:
            parent = trial.data.tags.get(tag.PARENT, "")
            # The recorder ends a search's trials before the search.
            if tag.TRIAL in trial.data.tags and (parent in dead or parent not in jobs):
                settled.append(_kill(client, trial, dead.get(parent)))
        return settled + [_fail(client, jobs[run_id], last) for run_id, last in dead.items()]


def search(
    client: MlflowClient, where: str = "", experiment: str | None = None, limit: int | None = None
) -> list[Run]:
    """Return heliostat's runs that satisfy `where`, of one experiment or of all, newest first."""
    ids = [one.experiment_id for one in experiments(client) if experiment in (None, one.name)]
    condition = f"tags.`{tag.JOB}` LIKE '%'" + (f" AND {where}" if where else "")
    found: list[Run] = []
    token: str | None = ""
    while ids and token is not None and (limit is None or len(found) < limit):
        page = client.search_runs(
            ids,
            condition,
            max_results=min(1000, limit - len(found)) if limit else 1000,
            order_by=["attributes.start_time DESC"],
            page_token=token or None,
        )
        found += page
        token = page.token or None
    return found


def experiments(client: MlflowClient) -> list[Experiment]:
    """Return all experiments that are not deleted."""
    found: list[Experiment] = []
    token: str | None = ""
    while token is not None:
        page = client.search_experiments(page_token=token or None)
        found += page
        token = page.token or None
    return found


def _experiment_id(client: MlflowClient, name: str, artifact_root: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_root))
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise InputError.of(error.message, key=("experiment",)) from None
            found = client.get_experiment_by_name(name)  # another job made it meanwhile
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise InputError.of(
            f"the MLflow experiment {name!r} is deleted",
            key=("experiment",),
            valid="choose another name, or restore it:"
            f" mlflow experiments restore --experiment-id {found.experiment_id}",
        )
    return str(found.experiment_id)


def _runs_of(client: MlflowClient, experiment_id: str, job: str) -> list[Run]:
    """Return the job's own run and what doubles it, that one first; not those of its trials."""
    found = client.search_runs(
        [experiment_id],
        f"tags.`{tag.JOB}` = '{job}'",
        max_results=1000,
        order_by=["attributes.start_time ASC"],
    )
    own = [run for run in found if tag.TRIAL not in run.data.tags]
    return sorted(own, key=lambda run: (not run.data.metrics, run.info.start_time, run.info.run_id))


def _delete_doubles(client: MlflowClient, runs: Sequence[Run], own: str) -> None:
    """Delete the empty runs that a slow server made of a request that was sent again."""
    for run in runs:
        if run.info.run_id != own and not run.data.metrics:
            client.delete_run(run.info.run_id)


def _signs_of_life() -> dict[str, str]:
    return {
        tag.HEARTBEAT: str(int(time.time())),
        tag.HOST: platform.node(),
        tag.PID: str(os.getpid()),
    }


def _set(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    if tags:
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _last_heard(run: Run) -> float:
    beat = run.data.tags.get(tag.HEARTBEAT)
    return float(beat) if beat else run.info.start_time / 1000


def _kill(client: MlflowClient, run: Run, last: float | None) -> Settled:
    because = "the process of its search died"
    run_id = str(run.info.run_id)
    _set(client, run_id, {tag.ENDED_BECAUSE: because, tag.TRIAL_STATUS: "KILLED"})
    # Where the search is over, nobody knows when the trial was.
    end = None if last is None else max(int(last * 1000), run.info.start_time)
    client.set_terminated(run_id, "KILLED", end_time=end)
    return Settled(run.data.tags[tag.JOB], run_id, because)


def _fail(client: MlflowClient, run: Run, last: float) -> Settled:
    tags = run.data.tags
    heard = datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    because = (
        f"nothing was heard of process {tags.get(tag.PID, '?')} on {tags.get(tag.HOST, '?')}"
        f" after {heard}"
    )
    run_id = str(run.info.run_id)
    _set(client, run_id, {tag.ENDED_BECAUSE: because, tag.VERDICT: "driver_lost"})
    client.set_terminated(run_id, "FAILED", end_time=max(int(last * 1000), run.info.start_time))
    return Settled(tags[tag.JOB], run_id, because)

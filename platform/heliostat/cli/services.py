"""The other rooms' calls that commands make, as a value: tests pass other functions in.

Every import here is deferred to the call: torch, ray and mlflow take seconds, and `--help` and a
spec's typing mistakes need none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heliostat.cli.trials import best_first

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from heliostat.data.manifest import Manifest
    from heliostat.runtime.cluster.down import Down
    from heliostat.runtime.cluster.joining import Joined
    from heliostat.runtime.cluster.status import Status
    from heliostat.runtime.cluster.submission import Submission, Submitted
    from heliostat.runtime.cluster.up import Up
    from heliostat.runtime.events import Event
    from heliostat.runtime.outcome import Outcome
    from heliostat.runtime.resume_check import Resumed
    from heliostat.runtime.ui import Pages
    from heliostat.search.plan import Plan as SearchPlan
    from heliostat.spec import Document, TuneSpec
    from heliostat.spec.problems import Problem


class TakeDown(Protocol):
    """Stops what was started on this machine."""

    def __call__(self, *, show: Callable[[str], None]) -> Down:
        """Return what was stopped; `show` gets what is waited for."""


class Run(Protocol):
    """Runs a job to its end."""

    def __call__(
        self,
        document: Document,
        *,
        local: bool,
        cluster: str | None,
        show: Callable[[Event], None],
    ) -> Outcome:
        """Return how the job ended; an InputError means that nothing was started."""


class Resume(Protocol):
    """Goes on with a job."""

    def __call__(
        self,
        job: str,
        overrides: Sequence[str],
        *,
        cluster: str | None,
        show: Callable[[Event], None],
    ) -> Outcome:
        """Return how the job ended."""


class ResumeNewest(Protocol):
    """Goes on with the newest search of a spec's name."""

    def __call__(self, document: Document, *, show: Callable[[Event], None]) -> Outcome:
        """Return how the search ended; an InputError where there is none."""


class Check(Protocol):
    """Tries what a spec names."""

    def __call__(self, document: Document, *, deep: bool) -> tuple[Problem, ...]:
        """Return warnings; errors are raised as one InputError."""


class StartUp(Protocol):
    """Starts a cluster's head and an MLflow server here."""

    def __call__(
        self,
        *,
        listen: str | None,
        port: int | None,
        dashboard_port: int | None,
        mlflow_port: int | None,
        jobs_at_once: int | None,
        storage: str | None,
        artifacts: str | None,
        show: Callable[[str], None],
    ) -> Up:
        """Return how what runs then is reached; an InputError means that nothing was started."""


class Join(Protocol):
    """Makes this machine a node of a cluster."""

    def __call__(self, head: str, token: str | None, *, show: Callable[[str], None]) -> Joined:
        """Return what it is a node of; without a `token`, the one that is here counts."""


class Plan(Protocol):
    """Makes the request for Ray Jobs."""

    def __call__(self, document: Document, *, job: str | None, cluster: str) -> Submission:
        """Return the request; nothing is sent."""


class Logs(Protocol):
    """Reads a job's log."""

    def __call__(
        self, cluster: str, job: str, *, follow: bool, say: Callable[[str], None]
    ) -> Iterator[str]:
        """Return the log in pieces; with `follow`, until the job ends."""


class Stop(Protocol):
    """Stops a job."""

    def __call__(self, cluster: str, job: str, *, wait: bool, say: Callable[[str], None]) -> str:
        """Return its status; with `wait`, that of its end."""


class ImportData(Protocol):
    """Makes a data set of a source."""

    def __call__(
        self,
        source: Path,
        dest: str,
        *,
        format: str | None,
        replace: bool,
        show: Callable[[int, int], None],
    ) -> Manifest:
        """Call `show(samples done, all)` on the way, and return what was written."""


class Ui(Protocol):
    """Serves the MLflow UI."""

    def __call__(self, *, host: str, port: int, opened: Callable[[Pages], None]) -> None:
        """Call `opened` with the address once it answers, and return after Ctrl-C."""


def _load(path: Path, overrides: Sequence[str]) -> Document:
    from heliostat import spec

    return spec.load(path, overrides)


def _run(
    document: Document, *, local: bool, cluster: str | None, show: Callable[[Event], None]
) -> Outcome:
    from heliostat.runtime.run import run

    return run(document, local=local, cluster=cluster, show=show)


def _resume(
    job: str,
    overrides: Sequence[str],
    *,
    cluster: str | None,
    show: Callable[[Event], None],
) -> Outcome:
    if cluster is not None:
        from heliostat.runtime.cluster.remote_run import resume_there

        return resume_there(job, overrides, cluster=cluster, show=show)
    from heliostat.runtime.resume import resume

    return resume(job, overrides, show=show)


def _resume_newest(document: Document, *, show: Callable[[Event], None]) -> Outcome:
    from heliostat.runtime.resume import resume_newest

    return resume_newest(document, show=show)


def _search_plan(spec: TuneSpec) -> SearchPlan:
    from heliostat.search.plan import plan

    return plan(spec)


def _trials_at_once(spec: TuneSpec) -> int:
    from heliostat.runtime.capacity import trials_at_once

    return trials_at_once(spec)


def _check(document: Document, *, deep: bool) -> tuple[Problem, ...]:
    from heliostat.runtime.check import check

    return check(document, deep=deep)


def _check_resume(document: Document) -> Resumed:
    from heliostat.runtime.resume_check import check_resume

    return check_resume(document)


def _sync(job: str | None) -> Sequence[DataclassInstance]:
    from heliostat.runtime.sync import sync

    return sync(job)


def _up(
    *,
    listen: str | None,
    port: int | None,
    dashboard_port: int | None,
    mlflow_port: int | None,
    jobs_at_once: int | None,
    storage: str | None,
    artifacts: str | None,
    show: Callable[[str], None],
) -> Up:
    from heliostat.runtime.cluster.settings import Wanted
    from heliostat.runtime.cluster.up import up

    wanted = Wanted(listen, port, dashboard_port, mlflow_port, jobs_at_once, storage, artifacts)
    return up(wanted, show=show)


def _token_is_here() -> bool:
    from heliostat.runtime.cluster.asking import token

    return token() is not None


def _join(head: str, token: str | None, *, show: Callable[[str], None]) -> Joined:
    from heliostat.runtime.cluster.joining import join

    return join(head, token, show=show)


def _down(*, show: Callable[[str], None]) -> Down:
    from heliostat.runtime.cluster.down import down

    return down(show=show)


def _status(cluster: str | None) -> Status:
    from heliostat.runtime.cluster.status import status

    return status(cluster)


def _cluster_here() -> str | None:
    from heliostat.runtime.cluster.running import ray_here

    here = ray_here()
    return None if here is None else here.address


def _plan(document: Document, *, job: str | None, cluster: str) -> Submission:
    from heliostat.runtime.cluster.submission import plan

    return plan(document, job=job, cluster=cluster)


def _submit(request: Submission) -> Submitted:
    from heliostat.runtime.cluster.submission import submit

    return submit(request)


def _jobs(cluster: str) -> Sequence[DataclassInstance]:
    from heliostat.runtime.cluster.jobs import jobs

    return jobs(cluster)


def _logs(cluster: str, job: str, *, follow: bool, say: Callable[[str], None]) -> Iterator[str]:
    from heliostat.runtime.cluster.following import logs

    return logs(cluster, job, follow=follow, say=say)


def _kept_log(job: str) -> str:
    with _tracking() as uri:
        from heliostat.tracking.kept_logs import driver_log

        return driver_log(uri, job)


def _stop(cluster: str, job: str, *, wait: bool, say: Callable[[str], None]) -> str:
    from heliostat.runtime.cluster.jobs import stop

    return stop(cluster, job, wait=wait, say=say)


def _import_data(
    source: Path,
    dest: str,
    *,
    format: str | None,
    replace: bool,
    show: Callable[[int, int], None],
) -> Manifest:
    from heliostat.data.formats import open_listing
    from heliostat.data.writing import import_dataset

    return import_dataset(open_listing(source, format), dest, replace=replace, show=show)


def _ui(*, host: str, port: int, opened: Callable[[Pages], None]) -> None:
    from heliostat.runtime.ui import ui

    ui(host=host, port=port, opened=opened)


def _runs(experiment: str | None) -> Sequence[DataclassInstance]:
    with _tracking() as uri:
        from heliostat.tracking.server import is_unused

        if is_unused(uri):
            return ()
        from heliostat.runtime.settling import settle_dead
        from heliostat.tracking.listing import list_runs

        # A status has to be true for whoever looks: a job that was killed can't tell its own end.
        settle_dead(uri)
        return list_runs(uri, experiment=experiment)


def _trials(job: str) -> Sequence[DataclassInstance]:
    with _tracking() as uri:
        from heliostat.tracking.server import is_unused

        if is_unused(uri):
            return ()
        from heliostat.runtime.settling import settle_dead
        from heliostat.tracking.listing import trials_of

        settle_dead(uri)  # as of runs
        trials, goal = trials_of(uri, job), _goal(job)
        return trials if goal is None else best_first(trials, goal)


def _goal(job: str) -> str | None:
    """Return the goal of a search of this HELIO_HOME; None: it is of another one."""
    from heliostat.runtime.job import Job
    from heliostat.spec import TuneSpec

    searched = Job.named(job)
    if not (searched.folder / "resolved.json").exists():
        return None
    spec = searched.spec
    return spec.goals[0].goal if isinstance(spec, TuneSpec) else None


def _models() -> Sequence[DataclassInstance]:
    with _tracking() as uri:
        from heliostat.tracking.server import is_unused

        if is_unused(uri):
            return ()
        from heliostat.tracking.models import list_models

        return list_models(uri)


def _promote(name: str, version: int, alias: str) -> int | None:
    with _tracking() as uri:
        from heliostat.spec.problems import InputError
        from heliostat.tracking.server import is_unused

        if is_unused(uri):
            raise InputError.of(f"no registered model is named {name!r}", valid="there is none")
        from heliostat.tracking.registry import promote

        return promote(uri, name, version, alias)


@contextmanager
def _tracking() -> Iterator[str]:
    """Give the tracking store's URI; a store that doesn't answer is an InputError in seconds."""
    from heliostat.runtime.home import home
    from heliostat.spec.problems import InputError
    from heliostat.tracking.server import TrackingAway, ping, tracking_uri

    uri = tracking_uri(home())
    ping(uri)
    try:
        yield uri
    except TrackingAway as away:
        raise InputError.of(str(away), valid="try again when it answers") from None


@dataclass(frozen=True)
class Services:
    """What commands call; `Services()` is the real thing."""

    load: Callable[[Path, Sequence[str]], Document] = _load
    run: Run = _run
    resume: Resume = _resume
    resume_newest: ResumeNewest = _resume_newest
    search_plan: Callable[[TuneSpec], SearchPlan] = _search_plan
    trials_at_once: Callable[[TuneSpec], int] = _trials_at_once
    check: Check = _check
    check_resume: Callable[[Document], Resumed] = _check_resume
    sync: Callable[[str | None], Sequence[DataclassInstance]] = _sync
    up: StartUp = _up
    token_is_here: Callable[[], bool] = _token_is_here
    """Whether this machine has a token for Ray."""
    join: Join = _join
    down: TakeDown = _down
    status: Callable[[str | None], Status] = _status
    """Without an address, of the cluster that runs here."""
    cluster_here: Callable[[], str | None] = _cluster_here
    """The address of the cluster that `helio up` or `helio join` made this machine part of."""
    plan: Plan = _plan
    submit: Callable[[Submission], Submitted] = _submit
    jobs: Callable[[str], Sequence[DataclassInstance]] = _jobs
    logs: Logs = _logs
    kept_log: Callable[[str], str] = _kept_log
    """The log of a job that has ended, as MLflow keeps it."""
    stop: Stop = _stop
    import_data: ImportData = _import_data
    ui: Ui = _ui
    runs: Callable[[str | None], Sequence[DataclassInstance]] = _runs
    trials: Callable[[str], Sequence[DataclassInstance]] = _trials
    """A search's trials, the best first."""
    models: Callable[[], Sequence[DataclassInstance]] = _models
    promote: Callable[[str, int, str], int | None] = _promote

"""`helio run` and `helio resume`: a job from its beginning, or from its checkpoint, to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from heliostat.cli.addresses import cluster_to_run_on
from heliostat.cli.answer import answering
from heliostat.cli.display import Show, focused, watching
from heliostat.cli.dry_run import dry_run
from heliostat.cli.options import AsJson, Cluster, JobId, Overrides, SpecFile
from heliostat.cli.services import Services
from heliostat.cli.summary import EXIT_STATUS, complaint, summary
from heliostat.runtime.events import Phase
from heliostat.runtime.outcome import Outcome

if TYPE_CHECKING:
    from heliostat.spec import Document


def run(
    context: typer.Context,
    spec: SpecFile,
    overrides: Overrides = None,
    local: Annotated[
        bool, typer.Option("--local", help="Run in this one process, without Ray; pdb works.")
    ] = False,
    cluster: Cluster = None,
    only_plan: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run, and what it can cost.")
    ] = False,
    resumed: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest search of the spec's name here.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Run a spec of any kind to its end and show it live.

    Without --cluster (or HELIO_CLUSTER) it starts an embedded Ray.
    """
    services: Services = context.obj
    address = cluster_to_run_on(cluster, local=local)
    if resumed:
        _check_resumed(local=local, cluster=address, only_plan=only_plan)
    if only_plan:
        with answering(as_json) as answer:
            answer(*dry_run(services, services.load(spec, overrides or ()), cluster=address))
        return 0

    def job(show: Show) -> Outcome:
        show(Phase(f"reading {spec}"))
        document = services.load(spec, overrides or ())
        # Not every kind of spec has an objective.
        objective = getattr(document.spec, "objective", None)
        if objective is not None:
            show = focused(show, objective.metric)
        if resumed:
            _check_is_search(document)
            return services.resume_newest(document, show=show)
        return services.run(document, local=local, cluster=address, show=show)

    return _to_its_end(job, as_json=as_json, animated=not local)


def resume(
    context: typer.Context,
    job: JobId,
    overrides: Overrides = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> int:
    """Go on with a job that ended before its time.

    It goes on in the same MLflow run, from the newest checkpoint that verifies; with --cluster (or
    HELIO_CLUSTER), on the cluster that it ran on.
    """
    services: Services = context.obj
    address = cluster_to_run_on(cluster, local=False)

    def rest_of_job(show: Show) -> Outcome:
        show(Phase(f"reading job {job}"))
        return services.resume(job, overrides or (), cluster=address, show=show)

    return _to_its_end(rest_of_job, as_json=as_json, animated=True)


def _check_resumed(*, local: bool, cluster: str | None, only_plan: bool) -> None:
    """Refuse what `--resume` has no use for: a search goes on where it was begun, as it was."""
    if only_plan:
        raise typer.BadParameter("--resume and --dry-run exclude each other")
    if local:
        raise typer.BadParameter("--resume and --local exclude each other: it goes on as it began")
    if cluster:
        raise typer.BadParameter(
            "--resume goes on with a search of this machine's HELIO_HOME: "
            "leave out --cluster, unset HELIO_CLUSTER"
        )


def _check_is_search(document: Document) -> None:
    """Raise InputError for another kind: which of its jobs is meant takes an id."""
    from heliostat.spec.problems import InputError

    if document.spec.kind != "tune":
        raise document.locate(
            InputError.of(
                f"--resume goes on with a search (kind: tune), and this is {document.spec.kind}",
                key=("kind",),
                valid="helio resume ID, with an id that `helio runs` lists",
            )
        )


def _to_its_end(job: Callable[[Show], Outcome], *, as_json: bool, animated: bool) -> int:
    """Watch `job` until it ends, say how it ended, and return the exit status."""
    with answering(as_json) as answer:
        started = time.monotonic()
        with watching(sys.stderr, animated=animated) as show:
            try:
                outcome = job(show)
            except KeyboardInterrupt:
                # So early that the runtime had no job yet: the JSON document is still owed.
                outcome = Outcome("", None, "KILLED", seconds=time.monotonic() - started)
        if outcome.error is not None and outcome.status == "FAILED":
            sys.stderr.write(complaint(outcome.error) + "\n")
        answer(outcome.as_json() | {"job": outcome.job or None}, summary(outcome))
    return EXIT_STATUS[outcome.status]

"""`helio run` and `helio resume`: a job from its beginning, or from its checkpoint, to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer

from heliostat.cli.addresses import cluster_to_run_on
from heliostat.cli.answer import answering
from heliostat.cli.display import Show, focused, watching
from heliostat.cli.options import AsJson, Cluster, JobId, Overrides, SpecFile
from heliostat.cli.services import Services
from heliostat.cli.summary import EXIT_STATUS, complaint, summary
from heliostat.runtime.events import Phase
from heliostat.runtime.outcome import Outcome


def run(
    context: typer.Context,
    spec: SpecFile,
    overrides: Overrides = None,
    local: Annotated[
        bool, typer.Option("--local", help="Run in this one process, without Ray; pdb works.")
    ] = False,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> int:
    """Run a spec of any kind to its end and show it live.

    Without --cluster (or HELIO_CLUSTER) it starts an embedded Ray.
    """
    services: Services = context.obj
    address = cluster_to_run_on(cluster, local=local)

    def job(show: Show) -> Outcome:
        show(Phase(f"reading {spec}"))
        document = services.load(spec, overrides or ())
        # Not every kind of spec has an objective.
        objective = getattr(document.spec, "objective", None)
        if objective is not None:
            show = focused(show, objective.metric)
        return services.run(document, local=local, cluster=address, show=show)

    return _to_its_end(job, as_json=as_json, animated=not local)


def resume(
    context: typer.Context, job: JobId, overrides: Overrides = None, as_json: AsJson = False
) -> int:
    """Go on with a job that ended before its time.

    It goes on in the same MLflow run, from the newest checkpoint that verifies.
    """
    services: Services = context.obj

    def rest_of_job(show: Show) -> Outcome:
        show(Phase(f"reading job {job}"))
        return services.resume(job, overrides or (), show=show)

    return _to_its_end(rest_of_job, as_json=as_json, animated=True)


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

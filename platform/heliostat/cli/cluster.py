"""`helio submit`, `jobs`, `logs` and `stop`: jobs on a Ray cluster, through Ray Jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from heliostat.cli.addresses import cluster_to_ask
from heliostat.cli.answer import answering, as_text
from heliostat.cli.options import AsJson, Cluster, JobId, Overrides, SpecFile
from heliostat.cli.services import Services
from heliostat.cli.wording import table


def submit(
    context: typer.Context,
    spec: SpecFile,
    overrides: Overrides = None,
    job: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The job's id; default: a new one.")
    ] = None,
    cluster: Cluster = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the request and submit nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hand a job to a cluster and return its id."""
    services: Services = context.obj
    address = cluster_to_ask(cluster)
    with answering(as_json) as answer:
        document = services.load(spec, overrides or ())
        submission = services.plan(document, job=job, cluster=address)
        if dry_run:
            request = submission.as_json()
            answer(request, [as_text(request)])
            return
        submitted = services.submit(submission)
        answer(
            {"job": submitted, "cluster": address},
            [f"{submitted}: submitted", f"Follow it with: helio logs {submitted} -f"],
        )


def jobs(context: typer.Context, cluster: Cluster = None, as_json: AsJson = False) -> None:
    """List the cluster's jobs."""
    services: Services = context.obj
    with answering(as_json) as answer:
        rows = [asdict(row) for row in services.jobs(cluster_to_ask(cluster))]
        columns = ("id", "name", "status", "started", "message")
        answer({"jobs": rows}, table(rows, columns, empty="no jobs"))


def logs(
    context: typer.Context,
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends.")
    ] = False,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Print a job's log."""
    services: Services = context.obj
    with answering(as_json) as answer:
        pieces = services.logs(cluster_to_ask(cluster), job, follow=follow)
        if as_json:
            answer({"job": job, "log": "".join(pieces)}, [])
        else:
            _stream(pieces)


def stop(
    context: typer.Context, job: JobId, cluster: Cluster = None, as_json: AsJson = False
) -> None:
    """Stop a job on the cluster.

    What it has reached is kept, and `helio resume` goes on with it.
    """
    services: Services = context.obj
    with answering(as_json) as answer:
        status = services.stop(cluster_to_ask(cluster), job)
        answer({"job": job, "status": status}, [f"{job}: {status}"])


def _stream(pieces: Iterable[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()

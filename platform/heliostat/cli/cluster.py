"""`helio submit`, `jobs`, `logs` and `stop`: jobs on a Ray cluster, through Ray Jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from heliostat.cli.addresses import cluster_if_any, cluster_to_ask
from heliostat.cli.answer import answering, as_text
from heliostat.cli.options import AsJson, Cluster, JobId, Overrides, SpecFile
from heliostat.cli.services import Services
from heliostat.cli.wording import duration, table


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
    """Hand a job to a cluster and return its id.

    The spec's folder travels, without what its .gitignore and .rayignore name.
    """
    services: Services = context.obj
    address = cluster_to_ask(cluster, services)
    with answering(as_json) as answer:
        document = services.load(spec, overrides or ())
        request = services.plan(document, job=job, cluster=address)
        if dry_run:
            shown = request.as_json()
            answer(shown, [as_text(shown)])
            return
        for note in request.notes:
            _say(note)
        submitted = services.submit(request)
        for note in submitted.notes:
            _say(note)
        verb = "submitted" if submitted.new else "is on the cluster already"
        answer(
            {"job": submitted.job, "cluster": request.cluster, "new": submitted.new},
            [f"{submitted.job}: {verb}", f"Follow it with: helio logs {submitted.job} -f"],
        )


def jobs(context: typer.Context, cluster: Cluster = None, as_json: AsJson = False) -> None:
    """List the cluster's jobs, the newest first."""
    services: Services = context.obj
    with answering(as_json) as answer:
        rows = [asdict(row) for row in services.jobs(cluster_to_ask(cluster, services))]
        columns = ("id", "name", "kind", "status", "submitted", "duration", "message")
        answer({"jobs": rows}, table([_timed(row) for row in rows], columns, empty="no jobs"))


def logs(
    context: typer.Context,
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends.")
    ] = False,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Print a job's log.

    Without a cluster, the log that MLflow keeps of a job that has ended.
    """
    services: Services = context.obj
    address = cluster_if_any(cluster, services)
    with answering(as_json) as answer:
        if address is None:
            pieces: Iterable[str] = [services.kept_log(job)]
        else:
            pieces = services.logs(address, job, follow=follow, say=_say)
        if as_json:
            answer({"job": job, "log": "".join(pieces)}, [])
        else:
            _stream(pieces)


def stop(
    context: typer.Context,
    job: JobId,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return at once; the job ends by itself.")
    ] = False,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Stop a job on the cluster, and wait for its end.

    What it has reached is kept, and `helio resume` goes on with it.
    """
    services: Services = context.obj
    with answering(as_json) as answer:
        address = cluster_to_ask(cluster, services)
        status = services.stop(address, job, wait=not no_wait, say=_say)
        answer({"job": job, "status": status}, [f"{job}: {status}"])


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    seconds = row["seconds"]
    return {**row, "duration": None if seconds is None else duration(seconds)}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _stream(pieces: Iterable[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()

"""`helio up`, `join`, `down` and `status`: a cluster of one's own, in the background."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from heliostat.cli.addresses import cluster_if_named
from heliostat.cli.answer import answering
from heliostat.cli.options import AsJson, Cluster
from heliostat.cli.services import Services
from heliostat.cli.wording import table

if TYPE_CHECKING:
    from heliostat.runtime.cluster.status import Amount, Status
    from heliostat.runtime.cluster.up import Up

_NAMES = {"ray": "Ray", "mlflow": "MLflow"}
_TOKEN_SECONDS = 5.0
"""How long a token may take to come over a slow line, where there is one here already."""


def up(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="IP", help="This machine's address for other nodes."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1024, max=65535, help="Ray's port; default 6379.")
    ] = None,
    dashboard_port: Annotated[
        int | None,
        typer.Option(
            "--dashboard-port", min=1024, max=65535, help="The dashboard's; default 8265."
        ),
    ] = None,
    mlflow_port: Annotated[
        int | None,
        typer.Option("--mlflow-port", min=1, max=65535, help="MLflow's; default 5000."),
    ] = None,
    jobs_at_once: Annotated[
        int | None,
        typer.Option(
            "--jobs-at-once",
            metavar="N",
            min=1,
            help="Submitted jobs that run at a time; default: half the CPUs, at least 2.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URI",
            help="Jobs' files: a folder that all nodes mount, or s3://bucket/prefix.",
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            "--artifacts", metavar="URI", help="MLflow's artifacts, such as s3://bucket/prefix."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a Ray head and an MLflow server here, in the background.

    What runs already is left as it is. Without --listen no other machine reaches them.
    """
    services: Services = context.obj
    with answering(as_json) as answer:
        found = services.up(
            listen=listen,
            port=port,
            dashboard_port=dashboard_port,
            mlflow_port=mlflow_port,
            jobs_at_once=jobs_at_once,
            storage=storage,
            artifacts=artifacts,
            show=_show,
        )
        answer(asdict(found), _addresses(found))


def join(
    context: typer.Context,
    head: Annotated[
        str, typer.Argument(metavar="IP:PORT", help="What `helio up --listen` printed.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make this machine a node of a cluster.

    The cluster's token is read from standard input, or is in HELIO_HOME/ray-token already.
    """
    services: Services = context.obj
    with answering(as_json) as answer:
        joined = services.join(head, _token(services.token_is_here()), show=_show)
        was = f"joined in {joined.seconds:.0f} s" if joined.started else "it was one already"
        answer(
            asdict(joined),
            [f"This machine is a node of {head} ({was})", f"Dashboard: {joined.dashboard}"],
        )


def down(context: typer.Context, as_json: AsJson = False) -> None:
    """Stop what `helio up` or `helio join` started here, and nothing else."""
    services: Services = context.obj
    with answering(as_json) as answer:
        stopped = services.down(show=_show)
        names = " and ".join(_NAMES[part] for part in stopped.stopped)
        line = f"stopped {names}" if names else "nothing was running"
        if stopped.jobs:
            line += f"; {stopped.jobs} unfinished job{'s'[: stopped.jobs > 1]} ended with it"
        answer(asdict(stopped), [line])


def status(context: typer.Context, cluster: Cluster = None, as_json: AsJson = False) -> int:
    """Show a cluster's nodes, what is free, its jobs and versions; 1: something here has died."""
    services: Services = context.obj
    with answering(as_json) as answer:
        found = services.status(cluster_if_named(cluster))
        answer(asdict(found), _overview(found))
    return 1 if found.ended else 0


def _token(is_here: bool) -> str | None:
    """Return what standard input holds, which must be waited for only where there is no token."""
    if sys.stdin.isatty():
        return None
    if is_here and not select.select([sys.stdin], [], [], _TOKEN_SECONDS)[0]:
        return None
    return sys.stdin.read().strip() or None


def _show(text: str) -> None:
    sys.stderr.write(text + "\n")


def _addresses(up: Up) -> Iterator[str]:
    names = " and ".join(_NAMES[part] for part in up.started)
    yield f"{names} started in {up.seconds:.0f} s" if names else "it was running already"
    token = f"token: in {up.token_file}" if up.token_file else "token: RAY_AUTH_TOKEN's"
    yield f"  Ray dashboard  {up.dashboard}  ({token})"
    login = f"  (user helio, password: in {up.password_file})" if up.password_file else ""
    yield f"  MLflow         {up.mlflow}{login}"
    if up.join:
        yield f"Another machine joins with: {up.join}"
    else:
        yield "Other machines can join after `helio down` and `helio up --listen IP`"


def _overview(status: Status) -> Iterator[str]:
    for one in status.ended:
        yield f"{one.part} has ended: {one.why}; see {one.log}; `helio up` starts it again"
    if status.cluster is None:
        if not status.ended:
            yield "no cluster runs here; `helio up` starts one"
    else:
        yield f"cluster  {status.cluster}"
    if status.mlflow:
        yield f"MLflow   {status.mlflow}"
    if status.cluster is not None:
        yield f"free     {_free(status.cpus)} CPUs, {_free(status.gpus)} GPUs"
        jobs = ", ".join(f"{number} {word}" for word, number in sorted(status.jobs.items()))
        yield f"jobs     {jobs or 'none'}"
    yield "versions " + ", ".join(f"{name} {it}" for name, it in sorted(status.versions.items()))
    if status.cluster is not None:
        yield ""
        rows = [
            {
                "node": one.name,
                "address": one.address,
                "state": ("head" if one.head else "worker") if one.alive else "gone",
                "cpus": _free(one.cpus),
                "gpus": _free(one.gpus),
            }
            for one in status.nodes
        ]
        yield from table(rows, ("node", "address", "state", "cpus", "gpus"), empty="no nodes")


def _free(amount: Amount) -> str:
    return f"{amount.free:g} of {amount.total:g}"

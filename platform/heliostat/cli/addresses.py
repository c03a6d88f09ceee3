"""Which cluster a command means."""

from __future__ import annotations

import os

import typer

from heliostat.cli.services import Services

_VARIABLES = ("HELIO_CLUSTER", "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


def cluster_to_run_on(option: str | None, *, local: bool) -> str | None:
    """Return the address that `helio run` was given, or None for this machine.

    `--local` on the command line is nearer than HELIO_CLUSTER in the environment.
    """
    if not local:
        return option or os.environ.get("HELIO_CLUSTER") or None
    if option:
        raise typer.BadParameter("--local and --cluster exclude each other")
    return None


def cluster_to_ask(option: str | None, services: Services) -> str:
    """Return the address of the cluster whose jobs are meant, as `cluster_if_any` does.

    Raises BadParameter where none is.
    """
    address = cluster_if_any(option, services)
    if address is None:
        raise typer.BadParameter(
            "no cluster is given: use --cluster ADDRESS or HELIO_CLUSTER, or `helio up`"
        )
    return address


def cluster_if_any(option: str | None, services: Services) -> str | None:
    """Return the option, what HELIO_CLUSTER or Ray's own variables say, or what `up` started."""
    return cluster_if_named(option) or services.cluster_here()


def cluster_if_named(option: str | None) -> str | None:
    """Return the option, or what HELIO_CLUSTER or Ray's own variables say."""
    named = (os.environ[name] for name in _VARIABLES if os.environ.get(name))
    return option or next(named, None)

"""Which cluster a command means."""

from __future__ import annotations

import os

import typer


def cluster_to_run_on(option: str | None, *, local: bool) -> str | None:
    """Return the address that `helio run` was given, or None for this machine.

    `--local` on the command line is nearer than HELIO_CLUSTER in the environment.
    """
    if not local:
        return option or os.environ.get("HELIO_CLUSTER") or None
    if option:
        raise typer.BadParameter("--local and --cluster exclude each other")
    return None


def cluster_to_ask(option: str | None) -> str:
    """Return the address of the cluster whose jobs are meant; Ray's own variables count too."""
    names = ("HELIO_CLUSTER", "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    address = option or next((os.environ[name] for name in names if os.environ.get(name)), None)
    if address is None:
        raise typer.BadParameter("no cluster is given: use --cluster ADDRESS or HELIO_CLUSTER")
    return address

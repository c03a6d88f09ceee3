"""`helio status`: a cluster's nodes, what is free on them, its jobs and its versions."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from heliostat.runtime.cluster import mlflow_server, node, running
from heliostat.runtime.cluster.asking import Cluster, reach
from heliostat.runtime.cluster.ray_jobs import all_jobs
from heliostat.runtime.cluster.running import PARTS, TITLES
from heliostat.runtime.cluster.settings import team_server


@dataclass(frozen=True)
class Amount:
    """How many CPUs or GPUs there are, and how many of them no job has reserved."""

    total: float
    free: float


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    address: str
    head: bool
    alive: bool
    cpus: Amount
    gpus: Amount


@dataclass(frozen=True)
class Ended:
    """A part that was started here, was not stopped, and lives no more."""

    part: str
    why: str
    log: str


@dataclass(frozen=True)
class Status:
    """What a cluster is doing; without one, all but `versions` and `ended` is empty."""

    cluster: str | None
    """The dashboard's address."""
    mlflow: str | None
    """The server that its jobs report to; known of the cluster of this machine only."""
    nodes: tuple[Node, ...]
    cpus: Amount
    gpus: Amount
    """Of the nodes that live."""
    jobs: dict[str, int]
    """How many are PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED."""
    versions: dict[str, str]
    """heliostat's and MLflow's are this machine's, Ray's and Python's the cluster's."""
    ended: tuple[Ended, ...] = field(default=())


def status(address: str | None) -> Status:
    """Return the status of the cluster at `address`, else of the one that lives here.

    Raises InputError, within 10 s, where that cluster does not answer or asks for a token.
    """
    ended = () if address else _ended()
    here = running.ray_here()
    if address is None and here is not None:
        address = here.address
    if address is None:
        nothing = Amount(0, 0)
        return Status(None, _mlflow_here(), (), nothing, nothing, {}, _versions(), ended)
    cluster = reach(address)
    nodes = _nodes(cluster)
    return Status(
        cluster=cluster.address,
        mlflow=_mlflow_here() if here and here.address == cluster.address else None,
        nodes=nodes,
        cpus=_sum(one.cpus for one in nodes if one.alive),
        gpus=_sum(one.gpus for one in nodes if one.alive),
        jobs=dict(Counter(job.status for job in all_jobs(cluster))),
        versions={**_versions(), **_cluster_versions(cluster)},
        ended=ended,
    )


def _mlflow_here() -> str | None:
    """Return the URL of the server that jobs of this machine's cluster report to."""
    server = running.mlflow_here()
    return server.address if server else team_server()


def _ended() -> tuple[Ended, ...]:
    why = {"ray": node.why_ended, "mlflow": mlflow_server.why_ended}
    return tuple(
        Ended(TITLES[part], why[part](), str(running.log(part)))
        for part in PARTS
        if (last := running.recorded(part)) and not last.lives
    )


def _nodes(cluster: Cluster) -> tuple[Node, ...]:
    """Return the nodes, the head first, those that are gone last."""
    data = cluster.value("GET", "/nodes?view=summary&nocache=1")["data"]
    usage: dict[str, str] = data.get("nodeLogicalResources") or {}
    found = [_node(one["raylet"], usage) for one in data["summary"] if one.get("raylet")]
    return tuple(sorted(found, key=lambda one: (not one.alive, not one.head, one.address)))


def _node(raylet: dict[str, Any], usage: dict[str, str]) -> Node:
    totals: dict[str, float] = raylet.get("resourcesTotal") or {}
    used = usage.get(raylet["nodeId"], "")
    return Node(
        name=raylet["nodeManagerHostname"],
        address=raylet["nodeManagerAddress"],
        head=bool(raylet.get("isHeadNode")),
        alive=raylet["state"] == "ALIVE",
        cpus=_amount("CPU", totals, used),
        gpus=_amount("GPU", totals, used),
    )


def _amount(resource: str, totals: dict[str, float], usage: str) -> Amount:
    """Return a resource of a node; what a placement group has reserved is not free.

    Ray tells it in lines such as `1.0/2.0 CPU (1.0 used of 2.0 reserved in placement groups)`.
    """
    total = float(totals.get(resource, 0))
    line = re.search(
        rf"^([\d.]+)/[\d.]+ {resource}(?: \(([\d.]+) used of ([\d.]+) reserved.*)?$", usage, re.M
    )
    if line is None:
        return Amount(total, total)
    used, of_reserved, reserved = (float(number or 0) for number in line.groups())
    return Amount(total, max(0.0, total - (used - of_reserved + reserved)))


def _sum(amounts: Iterable[Amount]) -> Amount:
    found = list(amounts)
    return Amount(sum(one.total for one in found), sum(one.free for one in found))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("heliostat", "ray", "mlflow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # heliostat from a source tree that is not installed
    return found


def _cluster_versions(cluster: Cluster) -> dict[str, str]:
    facts = cluster.value("GET", "/api/v0/cluster_metadata")["data"]
    return {"ray": str(facts["rayVersion"]), "python": str(facts["pythonVersion"])}

"""Whether a cluster's Ray and Python are such that a job which is sent there can run."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

from heliostat.runtime.cluster.asking import Cluster
from heliostat.spec import InputError


def check_versions(cluster: Cluster) -> None:
    """Raise InputError, naming both, for a cluster of another Ray or another Python than here.

    They differ where major or minor do. The cluster says both in its metadata; one that has none
    there says its Ray only.
    """
    theirs = _theirs(cluster)
    ours = {"Ray": version("ray"), "Python": ".".join(map(str, sys.version_info[:3]))}
    for name, there in theirs.items():
        if there.split(".")[:2] != ours[name].split(".")[:2]:
            raise InputError.of(
                f"the cluster at {cluster.address} runs {name} {there}, and here is"
                f" {name} {ours[name]}",
                valid=f"the same {name} on both sides",
            )


def _theirs(cluster: Cluster) -> dict[str, str]:
    response = cluster.ask("GET", "/api/v0/cluster_metadata")
    if response.status_code == 200:
        facts: dict[str, Any] = response.json()["data"]
        return {"Ray": str(facts["rayVersion"]), "Python": str(facts["pythonVersion"])}
    return {"Ray": str(cluster.value("GET", "/api/version")["ray_version"])}

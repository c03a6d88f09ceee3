"""Workers that the nodes of a cluster start, with their imports done, before a job asks for them.

Ray gives such a worker to one job, of any kind, that asks for no runtime environment, and ends it
with that job. So a submitted training job gives up the one that it was submitted with: its
workers fetch the code themselves. Starting others is ours to ask for, of each node's raylet: Ray
would do it once, and as many as the node has CPUs. A node starts them when it comes up, and again
as a job ends.

    python -m heliostat.runtime.ahead GCS_ADDRESS

starts what a cluster's nodes lack. The names are those of the Ray that is pinned.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heliostat.runtime.cluster.turns import TURNS

_THERE = "HELIO_WORKERS_AHEAD"

NODE = {
    _THERE: "1",
    "RAY_preload_python_modules": "heliostat.runtime.preload",
    "RAY_prestart_worker_first_driver": "0",
    # Ray ends idle workers beyond this number; its own is the number of CPUs, of which a job's
    # controller, its driver's supervisor and what waits for the next job take none.
    "RAY_num_workers_soft_limit": str((os.cpu_count() or 1) + 32),
}
"""What the processes of a node must find set, for Ray to start workers so."""

AT_MOST = 8
"""A node's workers that wait for one job."""

MEMORY_EACH = 420e6
"""Bytes that each of them holds and shares with no other: torch's, above all."""

MEMORY_SHARE = 1 / 2
"""The part they may take together of the memory that Ray found free."""

EXTRA = 2
"""More of them on the head: for Ray Train's controller, and for what its workers meet at."""

ANSWER_SECONDS = 10.0
START_SECONDS = 60.0
"""What a process may take, on a busy machine, until Ray knows it."""

_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_OURS = {
    *("HELIO_JOB_ID", "HELIO_CLUSTER", "RAY_JOB_STOP_SIGNAL", "RAY_JOB_STOP_WAIT_TIME_S"),
    "RAY_worker_niceness",  # of the driver's supervisor
}
"""Variables of a submission that mean something to the driver only."""


def is_ahead() -> bool:
    """Whether this process is a worker of Ray's that was started for no job yet, but for any."""
    hashes = [word.partition("=")[2] for word in sys.argv if word.startswith("--runtime-env-hash")]
    plain = not any(int(one) for one in hashes if one)
    return plain and os.environ.get("RAY_JOB_ID") == _NO_JOB.hex()


def package() -> dict[str, str] | None:
    """Return where this driver's code comes from, if it can do with workers started ahead.

    `uri` is the package in Ray's GCS, `root` the folder where Ray unpacked it for the driver. None
    on another cluster, and for a driver that was not submitted by heliostat, or with a runtime
    environment that its workers need.
    """
    if _THERE not in os.environ:
        return None
    given = json.loads(os.environ.get(_JOB_CONFIG, "{}")).get("runtime_env") or {}
    uri = given.get("working_dir", "")
    variables = set(given.get("env_vars") or {})
    if (
        not uri.startswith("gcs://")
        or set(given) - {"working_dir", "env_vars"}
        or variables - _OURS
    ):
        return None
    return {"uri": uri, "root": os.getcwd()}


@contextmanager
def without_environment() -> Iterator[None]:
    """Have `ray.init` connect a driver with a package as one without a runtime environment."""
    if package() is None:
        yield
        return
    before = os.environ[_JOB_CONFIG]
    os.environ[_JOB_CONFIG] = json.dumps({**json.loads(before), "runtime_env": {}})
    try:
        yield
    finally:
        os.environ[_JOB_CONFIG] = before


def bring(package: Mapping[str, str]) -> None:
    """Have the driver's code on this node, where the driver has it: paths lead there."""
    root = Path(package["root"])
    if not root.is_dir():
        import ray
        from ray._private.runtime_env.packaging import download_and_unpack_package

        gcs: Any = ray._private.worker.global_worker.gcs_client  # type: ignore[attr-defined]
        root.parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(download_and_unpack_package(package["uri"], str(root.parent), gcs))


def start_for_the_next() -> None:
    """Have the nodes start what this driver's workers leave missing, if they were such."""
    if package() is not None:
        start_missing(os.environ["RAY_ADDRESS"], os.environ)


def start_missing(gcs: str, env: Mapping[str, str]) -> None:
    """Have each node of the cluster whose GCS is at `gcs` start as many as it lacks.

    That is done by a process of its own, which nobody waits for, in the environment `env`.
    """
    subprocess.Popen(
        [sys.executable, "-m", __name__, gcs],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(gcs: str) -> None:
    """Do so, and return when they have them."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is Cython's

    client: Any = GcsClient(address=gcs)
    alive = [node for node in client.get_all_node_info().values() if node.state == 0]
    with ThreadPoolExecutor(max(1, len(alive))) as pool:
        for node in alive:
            address = f"{node.node_manager_address}:{node.node_manager_port}"
            pool.submit(_start_missing, address, wanted(dict(node.resources_total)))


def wanted(resources: Mapping[str, float]) -> int:
    """Return how many workers a node with these of Ray's resources keeps for the next job."""
    workers = int(resources.get("GPU") or resources.get("CPU", 0))
    wanted = min(workers, AT_MOST) + (EXTRA if TURNS in resources else 0)
    return min(wanted, int(resources.get("memory", 0) * MEMORY_SHARE / MEMORY_EACH))


def _start_missing(address: str, wanted: int) -> None:
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import node_manager_pb2, node_manager_pb2_grpc

    messages: Any = node_manager_pb2  # protobuf's: without types
    service: Any = node_manager_pb2_grpc
    one = messages.PrestartWorkersRequest(num_workers=1)
    one.language = 0  # Python
    one.runtime_env_info.serialized_runtime_env = "{}"
    with init_grpc_channel(address) as channel:
        raylet = service.NodeManagerServiceStub(channel)

        def waiting() -> int:
            stats = raylet.GetNodeStats(messages.GetNodeStatsRequest(), timeout=ANSWER_SECONDS)
            return sum(worker.job_id == _NO_JOB for worker in stats.core_workers_stats)

        there = waiting()
        while there < wanted:
            # One by one: of more than it starts at a time a raylet may forget the rest.
            raylet.PrestartWorkers(one, timeout=ANSWER_SECONDS)
            before, until = there, time.monotonic() + START_SECONDS
            while (there := waiting()) <= before:
                if time.monotonic() > until:
                    return  # a job has taken some meanwhile, and its end brings others
                time.sleep(0.5)


_NO_JOB = b"\xff\xff\xff\xff"


if __name__ == "__main__":
    main(sys.argv[1])

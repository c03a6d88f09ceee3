"""Three hosts that are one cluster: a head and two workers, with S3 and PostgreSQL beside them."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import Helio, make_helio
from hosts import Host, booted
from line import Line
from ports import free_port
from postgres import Postgres, postgres_server
from s3 import KEY, SETTINGS, bucket_client, s3_server
from waiting import wait_until

BUCKET = "helio"
DATABASE = "mlflow"

# Nodes that fall silent are given up after some seconds instead of a minute.
IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass(frozen=True)
class Nodes:
    """A running cluster, and what a person at a laptop needs of it."""

    head: Host
    """Has no CPU for training."""
    workers: tuple[Host, Host]
    """Have one each."""
    up: dict[str, Any]
    """What `helio up` said."""
    laptop: Helio
    """The command line of a user elsewhere, who has the token."""
    s3: Line
    """The line from everybody to the S3 server."""
    postgres: Postgres
    """Holds what MLflow remembers."""
    in_place: str
    """Why all nodes are one host's; empty where each has its own."""

    def join(self, worker: Host) -> None:
        """Have a worker join the head, with the token that a person brought there."""
        done = worker.helio("join", self.up["ray"], given=_token(self.head))
        assert done.status == 0, done.err

    def wait_for_workers(self, count: int = 2) -> None:
        """Return once the head sees `count` living workers."""
        wait_until(lambda: len(self.living()) == count + 1, 60, self.living)

    def living(self) -> list[str]:
        """Return the addresses of the nodes that the head believes alive."""
        request = urllib.request.Request(
            f"{self.up['dashboard']}/nodes?view=summary",
            headers={"Authorization": f"Bearer {_token(self.head)}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)["data"]["summary"]
        return [node["ip"] for node in found if node["raylet"].get("state") == "ALIVE"]

    def drain(self, node: str, seconds: int = 120) -> None:
        """Tell the cluster, as a cloud does, that a node (Ray's id) is taken back in so long."""
        reason = ("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a spot notice")
        done = self.head.run(
            Path(sys.executable).with_name("ray"),
            *("drain-node", "--address", self.up["ray"], "--node-id", node),
            *(*reason, "--deadline-remaining-seconds", str(seconds)),
            env={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.up["token_file"])},
        )
        assert done.status == 0, done

    def stored(self, prefix: str) -> list[str]:
        """Return the keys of the objects in the bucket below `prefix`."""
        with bucket_client(self.s3.url) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def run_of(self, job: str) -> dict[str, Any]:
        """Return what MLflow holds of the one run of a job: run_id, status and tags."""
        tagged = f"SELECT run_uuid FROM tags WHERE key = 'heliostat.job' AND value = '{job}'"
        (run_id,) = self._ask(tagged)
        (status,) = self._ask(f"SELECT status FROM runs WHERE run_uuid = '{run_id}'")
        tags = self._ask(f"SELECT key || '=' || value FROM tags WHERE run_uuid = '{run_id}'")
        return {
            "run_id": run_id,
            "status": status,
            "tags": {name: value for name, _, value in (line.partition("=") for line in tags)},
        }

    def steps(self, run_id: str, metric: str) -> list[int]:
        """Return the step of every row that MLflow has of a metric, sorted."""
        where = f"run_uuid = '{run_id}' AND key = '{metric}'"
        return list(map(int, self._ask(f"SELECT step FROM metrics WHERE {where} ORDER BY step")))

    def _ask(self, query: str) -> list[str]:
        return self.postgres.ask(DATABASE, query).splitlines()


@contextmanager
def three_nodes(folder: Path) -> Iterator[Nodes]:
    """Start S3, PostgreSQL, `helio up --listen` on one host and `helio join` on two."""
    with ExitStack() as stack:
        (head, *workers), gateway, in_place = stack.enter_context(booted(3, folder))
        endpoint = stack.enter_context(s3_server(gateway))
        s3 = stack.enter_context(Line((gateway, int(endpoint.rpartition(":")[2])), gateway))
        postgres = stack.enter_context(postgres_server(gateway))
        with bucket_client(s3.url) as client:
            client.create_bucket(Bucket=BUCKET)
        bucket = {**KEY, **SETTINGS, "AWS_ENDPOINT_URL": s3.url}
        head.env.update(bucket, **IMPATIENT, **_offering(0))
        head.env["MLFLOW_BACKEND_STORE_URI"] = postgres.create(DATABASE)
        for worker in workers:
            worker.env.update(bucket, **_offering(1))
        options = ["--storage", f"s3://{BUCKET}/jobs", "--artifacts", f"s3://{BUCKET}/artifacts"]
        if in_place:  # the usual ports may be another cluster's
            for port in ("--port", "--dashboard-port", "--mlflow-port"):
                options += [port, str(free_port())]
        done = head.helio("up", "--listen", head.address, *options, "--json")
        assert done.status == 0, done.err
        laptop = _laptop(folder / "laptop", head, done.document["dashboard"], bucket)
        first, second = workers
        nodes = Nodes(head, (first, second), done.document, laptop, s3, postgres, in_place=in_place)
        for worker in workers:
            nodes.join(worker)
        nodes.wait_for_workers()
        yield nodes


def _offering(cpus: int) -> dict[str, str]:
    """Return what makes a Ray node offer so many CPUs, and little shared memory."""
    return {"RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": cpus, "object_store_memory": 10**8})}


def _token(head: Host) -> str:
    return (head.home / "ray-token").read_text()


def _laptop(home: Path, head: Host, cluster: str, settings: Mapping[str, str]) -> Helio:
    helio = make_helio(home)
    home.mkdir()
    (home / "ray-token").touch(0o600)
    (home / "ray-token").write_text(_token(head))
    return Helio(home, {**helio.env, **settings, "HELIO_CLUSTER": cluster})

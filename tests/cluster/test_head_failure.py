"""A head that is killed and started again, with Redis as the place where Ray keeps its state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from command import DIGITS, sets
from heliostat.training.journal import read_all
from hosts import Host, booted
from nodes import IMPATIENT
from ports import free_port
from redis_server import Redis, redis_server
from slow_net import slow_spec
from waiting import wait_until


class Head(NamedTuple):
    """A host that `helio up` makes a head, and the Redis that survives it."""

    host: Host
    redis: Redis
    ports: tuple[str, ...]

    def up(self) -> None:
        done = self.host.helio("up", "--listen", self.host.address, *self.ports)
        assert done.status == 0, done.err

    def submit(self, spec: Path, job: str, *settings: str) -> None:
        done = self.host.helio("submit", spec, "--id", job, *sets(settings))
        assert done.status == 0, done.err

    def jobs(self) -> dict[str, str]:
        rows = self.host.helio("jobs", "--json").document["jobs"]
        return {row["id"]: row["status"] for row in rows}

    def has_run(self, job: str) -> bool:
        return (self.host.home / "jobs" / job / "recorded.json").exists()

    def run(self, job: str) -> dict[str, Any]:
        rows = self.host.helio("runs", "--json").document["runs"]
        (row,) = (row for row in rows if row["job"] == job)
        return dict(row)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    with booted(1, tmp_path) as ((host,), gateway, _), redis_server(gateway) as redis:
        host.env.update(redis.env, **IMPATIENT)
        options = ("--port", "--dashboard-port", "--mlflow-port")
        yield Head(host, redis, tuple(f"{option}={free_port()}" for option in options))


@pytest.mark.slow
def test_after_the_heads_crash_finished_jobs_are_listed_and_a_running_one_can_be_resumed(
    head: Head,
) -> None:
    head.up()
    head.submit(DIGITS / "train.yaml", "done-1", "epochs=1")
    log = head.host.helio("logs", "done-1", "-f")
    assert head.jobs() == {"done-1": "SUCCEEDED"}, log.out
    head.submit(slow_spec(head.host.disk / "job", pause=0.5), "running-1")
    folder = head.host.home / "jobs" / "running-1"
    wait_until(
        lambda: any(folder.glob("checkpoints/*/manifest.json")) and head.has_run("running-1"),
        120,
        lambda: head.host.helio("logs", "running-1").out,
        every=1,
    )
    before = head.run("running-1")

    head.host.crash()
    head.host.boot()
    head.up()
    began = time.monotonic()
    jobs = head.jobs()
    assert jobs["done-1"] == "SUCCEEDED"
    wait_until(
        lambda: (head.jobs()["running-1"], head.run("running-1")["status"]) == ("FAILED", "FAILED"),
        60,
        lambda: (head.jobs(), head.run("running-1")),
    )
    assert time.monotonic() - began < 60

    done = head.host.helio("resume", "running-1", "--json")
    assert done.status == 0, done.err
    assert done.document["status"] == "FINISHED"
    after = head.run("running-1")
    assert (after["run_id"], after["status"]) == (before["run_id"], "FINISHED")
    steps = [r["step"] for r in read_all(folder / "journal") if r.get("name") == "train/loss"]
    assert sorted(steps) == list(range(10, 81, 10))

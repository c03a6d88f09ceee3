"""Jobs that wait for their turn on a cluster with room for two, and jobs that are stopped."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heliostat.runtime.cluster.asking import Cluster as Asked
from heliostat.runtime.cluster.asking import reach
from heliostat.runtime.cluster.following import logs
from heliostat.runtime.cluster.jobs import jobs, stop
from heliostat.runtime.cluster.ray_jobs import RayJob, submission
from heliostat.runtime.cluster.submission import STOPPING, Submission, submit
from heliostat.runtime.cluster.turns import TURNS
from own_cluster import Cluster
from slow_net import slow_spec
from waiting import wait_until


@pytest.fixture
def there(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The cluster, asked from this process."""
    monkeypatch.setenv("HELIO_HOME", str(cluster.helio.home))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return reach(cluster.address)


def send(there: Asked, job: str, command: str) -> None:
    """Submit a job whose driver is a command, to be done when its turn comes."""
    submit(
        Submission(
            id=job,
            cluster=there.address,
            entrypoint=command,
            env=dict(STOPPING),
            metadata={"job": job, "name": "turn", "kind": "train", "digest": command},
            resources={TURNS: 1.0},
        )
    )


def status(there: Asked, job: str) -> str:
    found = submission(there, job)
    assert found is not None
    return found.status


def ended(there: Asked, job: str) -> RayJob:
    def over() -> bool:
        found = submission(there, job)
        return found is not None and found.over

    wait_until(over, 60, lambda: status(there, job))
    found = submission(there, job)
    assert found is not None
    return found


def test_jobs_run_in_their_order_each_once_and_no_more_at_a_time_than_there_is_room_for(
    there: Asked, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    names = [f"turn-{number}" for number in range(6)]
    for name in names:
        send(there, name, f"echo begin {name} >> {told}; sleep 1; echo end {name} >> {told}")
    assert {ended(there, name).status for name in names} == {"SUCCEEDED"}

    lines = [line.split() for line in told.read_text().splitlines()]
    begun = [name for word, name in lines if word == "begin"]
    assert sorted(begun) == names
    # Two that have their turn at the same moment may be a moment apart in either order.
    assert all(abs(begun.index(name) - place) <= 1 for place, name in enumerate(names))
    running = 0
    for word, _ in lines:
        running += 1 if word == "begin" else -1
        assert running <= 2
    listed = [row.id for row in jobs(there.address) if row.id in names]
    assert listed == names[::-1]


def test_twenty_who_follow_at_once_read_the_same_and_all_of_it(there: Asked) -> None:
    send(there, "talks", "for i in $(seq 300); do echo line $i; sleep 0.01; done")
    with ThreadPoolExecutor(20) as twenty:
        read = list(
            twenty.map(lambda _: "".join(logs(there.address, "talks", follow=True)), range(20))
        )
    assert len(set(read)) == 1
    lines = [line for line in read[0].splitlines() if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(1, 301)]


def test_a_job_that_waits_is_stopped_at_once_and_never_runs(there: Asked, tmp_path: Path) -> None:
    for name in ("long-1", "long-2"):
        send(there, name, "sleep 300")
    send(there, "waits", f"touch {tmp_path}/ran")
    wait_until(lambda: status(there, "long-2") == "RUNNING", 60, lambda: jobs(there.address))

    said: list[str] = []
    with ThreadPoolExecutor(1) as other:
        log = other.submit(
            lambda: "".join(logs(there.address, "waits", follow=True, say=said.append))
        )
        wait_until(lambda: said, 30, lambda: jobs(there.address))
        assert stop(there.address, "waits") == "STOPPED"
        assert "Running entrypoint" not in log.result(timeout=30)

    assert said[0].startswith("waits has not started yet")
    assert status(there, "long-1") == "RUNNING"
    for name in ("long-1", "long-2"):
        assert stop(there.address, name) == "STOPPED"
    assert not (tmp_path / "ran").exists()
    listed = [row.id for row in jobs(there.address)]
    assert listed[:3] == ["waits", "long-2", "long-1"]
    (row,) = [row for row in jobs(there.address) if row.id == "waits"]
    assert row.message == "Stopped before it started."


@pytest.mark.slow
def test_who_leaves_a_job_leaves_it_running_and_a_stopped_one_is_gone_on_with(
    cluster: Cluster, there: Asked, tmp_path: Path
) -> None:
    spec = slow_spec(tmp_path / "slow", epochs=2)
    address = there.address
    process = cluster.helio.start("run", spec, "--cluster", address, "--json")
    wait_until(
        lambda: [row for row in jobs(address) if row.status == "RUNNING"],
        60,
        lambda: jobs(address),
    )
    (job,) = [row.id for row in jobs(address) if row.status == "RUNNING"]
    folder = cluster.helio.folder(job)
    wait_until(lambda: list(folder.glob("checkpoints/*/manifest.json")), 120, process.poll)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert '"status": "RUNNING"' in out
    assert status(there, job) == "RUNNING"

    stopped = cluster.helio("stop", job)
    assert stopped.out == f"{job}: STOPPED\n", stopped.err
    (run,) = [one for one in cluster.helio("runs", "--json").document["runs"] if one["job"] == job]
    assert run["status"] == "KILLED"

    done = cluster.helio("resume", job, "--cluster", address, "--json")
    assert done.status == 0, done.err
    assert (done.document["run_id"], done.document["status"]) == (run["run_id"], "FINISHED")
    assert [row.status for row in jobs(address) if row.id.startswith(job)] == [
        *("SUCCEEDED", "STOPPED"),
    ]
    artifacts = cluster.helio("logs", f"{job}-2").out
    assert f"resuming {job}" in artifacts

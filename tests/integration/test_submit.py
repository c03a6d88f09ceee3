"""A job handed to a Ray cluster that was started by somebody else, with its doors locked."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient

from command import DIGITS, Helio, make_helio


class Cluster(NamedTuple):
    """A running head, and the command line of a user who has its token."""

    address: str
    helio: Helio


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("r")  # short: Ray's sockets lie below it
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(32))
    helio = make_helio(folder / "home")
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    helio = Helio(helio.home, {**helio.env, **auth})
    port = free_port()
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--port=0"]
    command += [f"--dashboard-port={port}", f"--temp-dir={folder}/t", "--num-cpus=2"]
    # Its default port may be another Ray's on this machine, and then no job can be started.
    command += [f"--dashboard-agent-listen-port={free_port()}"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(
            command,
            env={**helio.env, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "PATH": path},
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(head, address, folder / "head.log")
        yield Cluster(address, helio)
    finally:
        head.terminate()
        head.wait(90)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(head: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert head.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/api/version", timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_a_submitted_job_is_followed_to_its_end_and_its_run_and_model_are_found(
    cluster: Cluster,
) -> None:
    address, helio = cluster
    spec = DIGITS / "train.yaml"
    options = ["--id", "digits-1", "--cluster", address, "--set", "epochs=3"]
    done = helio("submit", spec, *options, "--json")
    assert done.status == 0, done.err
    assert done.document == {"job": "digits-1", "cluster": address}
    again = helio("submit", spec, *options, "--json")
    assert again.document == done.document
    log = helio("logs", "digits-1", "-f", "--cluster", address)
    assert log.status == 0, log.err
    assert '"status": "FINISHED"' in log.out
    assert log.out.count("reading train.yaml") == 1
    (row,) = helio("jobs", "--cluster", address, "--json").document["jobs"]
    assert (row["id"], row["status"]) == ("digits-1", "SUCCEEDED")
    client = MlflowClient(helio.tracking)
    version = client.get_model_version_by_alias("digits", "champion")
    assert client.get_run(str(version.run_id)).data.tags["heliostat.job"] == "digits-1"


def test_run_with_a_cluster_gives_the_outcome_of_the_job_there(cluster: Cluster) -> None:
    address, helio = cluster
    done = helio("run", DIGITS / "evaluate.yaml", "--cluster", address, "--json")
    assert done.status == 0, done.err
    assert done.document["model"] == "models:/digits/1"
    assert done.document["metrics"]["test/seen"] == 270


def test_without_the_token_the_cluster_says_no_in_a_line(cluster: Cluster) -> None:
    address, helio = cluster
    done = helio("jobs", "--cluster", address, env={"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_MODE": ""})
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/api/jobs/", timeout=5)
    with refused.value:
        assert refused.value.code == 401


def test_a_dry_run_prints_the_request_and_sends_nothing(cluster: Cluster) -> None:
    address, helio = cluster
    options = ["--id", "never", "--cluster", address, "--dry-run", "--json"]
    done = helio("submit", DIGITS / "train.yaml", *options)
    assert done.document["entrypoint"].startswith("python -m heliostat.cli run train.yaml")
    jobs = helio("jobs", "--cluster", address, "--json").document["jobs"]
    assert "never" not in {job["id"] for job in jobs}

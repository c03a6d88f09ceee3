"""`helio join` where it must not: one line, in time, and nothing left running."""

from __future__ import annotations

import secrets
import subprocess
import time
from pathlib import Path

import pytest

from command import Done, Helio, make_helio
from hosts import booted
from own_cluster import Cluster
from ports import free_port
from waiting import wait_until


@pytest.fixture
def helio(tmp_path: Path) -> Helio:
    """The command line of a machine that is no node yet."""
    return make_helio(tmp_path / "home")


def join(helio: Helio, head: str, token: str = "") -> Done:
    """Type `helio join` with a token on standard input."""
    began = time.monotonic()
    done = subprocess.run(
        helio.command("join", head),
        env=dict(helio.env),
        input=token,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - began < 10
    return Done(done.returncode, done.stdout, done.stderr)


def refusal(done: Done, helio: Helio) -> str:
    assert (done.status, done.out) == (2, ""), done.err
    assert not (helio.home / "cluster" / "ray.json").exists()
    (line,) = done.err.splitlines()
    return line


def test_a_wrong_token_is_refused_and_not_kept(cluster: Cluster, helio: Helio) -> None:
    line = refusal(join(helio, cluster.up["ray"], secrets.token_hex(32)), helio)
    assert line.startswith(f"the Ray cluster at {cluster.up['ray']} refuses the token; ")
    assert not (helio.home / "ray-token").exists()


def test_where_nobody_listens_it_says_so(helio: Helio) -> None:
    head = f"127.0.0.1:{free_port()}"
    line = refusal(join(helio, head, "ab"), helio)
    assert line.startswith(f"no Ray cluster answers at {head} (Connection refused); ")


def test_what_listens_and_is_no_ray_is_said(cluster: Cluster, helio: Helio) -> None:
    head = str(cluster.up["mlflow"]).removeprefix("http://")
    line = refusal(join(helio, head, "ab"), helio)
    assert f"at {head}" in line


@pytest.mark.parametrize("head", ["10.0.0.1", "http://10.0.0.1:8265", "10.0.0.1:ray"])
def test_what_is_no_address_is_refused(helio: Helio, head: str) -> None:
    assert "is not where nodes join a cluster; IP:PORT" in refusal(join(helio, head, "ab"), helio)


def test_what_is_no_token_is_refused(helio: Helio, cluster: Cluster) -> None:
    line = refusal(join(helio, cluster.up["ray"], "this is\nsome text"), helio)
    assert line.startswith("what came on standard input is no token")


@pytest.mark.slow
def test_another_host_joins_by_the_printed_command_and_leaves_by_down(tmp_path: Path) -> None:
    with booted(2, tmp_path) as ((head, worker), _, in_place):
        if in_place:
            pytest.skip(f"needs two hosts: {in_place}")
        done = head.helio("up", "--listen", head.address, "--json")
        assert done.status == 0, done.err
        up = done.document
        token = Path(up["token_file"]).read_text()
        words = up["join"].split()
        assert words[:3] == ["ssh", "THAT_MACHINE", "helio"]
        assert words[-2:] == ["<", up["token_file"]]
        done = worker.helio(*words[3:-2], given=token)
        assert done.status == 0, done.err
        assert f"Dashboard: {up['dashboard']}" in done.out

        def nodes() -> dict[str, bool]:
            found = head.helio("status", "--json").document["nodes"]
            return {node["address"]: node["alive"] for node in found}

        wait_until(lambda: nodes() == {head.address: True, worker.address: True}, 20, nodes)
        asked_there = worker.helio("status", "--json").document
        assert len(asked_there["nodes"]) == 2
        again = worker.helio("join", up["ray"], "--json")
        assert again.document["started"] is False
        for machine, was in ((worker, "stopped Ray"), (head, "stopped Ray and MLflow")):
            if machine is head:
                wait_until(lambda: not nodes().get(worker.address), 60, nodes)
            assert machine.helio("down").out == f"{was}\n"


def test_a_head_joins_no_other_cluster(cluster: Cluster) -> None:
    done = join(cluster.helio, "10.0.0.1:6379")
    assert (done.status, done.out) == (2, "")
    assert done.err == "a Ray runs here already, the head of a cluster; `helio down` first\n"

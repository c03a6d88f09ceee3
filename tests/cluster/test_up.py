"""`helio up`, `status` and `down` over real processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from command import Done, Helio, make_helio
from heliostat.runtime.cluster.node import sessions
from heliostat.tracking.server import tracking_uri
from heliostat.tracking.standing import read
from heliostat.training.journal import events, read_all
from own_cluster import Cluster, port_options
from ports import answers, free_port
from postgres import postgres_server
from s3 import AWAY, KEY, SETTINGS
from slow_net import slow_spec
from waiting import wait_until


@pytest.fixture
def helio(tmp_path: Path) -> Helio:
    """The command line over a HELIO_HOME where nothing runs."""
    return make_helio(tmp_path / "home")


def refused(done: Done, helio: Helio, began: float) -> str:
    """Return the one line of a command that refused in time and left nothing running."""
    assert (done.status, done.out) == (2, ""), done.err
    assert time.monotonic() - began < 10
    assert not list((helio.home / "cluster").glob("*.json"))
    *progress, line = done.err.splitlines()
    assert not progress
    return line


def test_two_ups_at_the_same_time_are_one(cluster: Cluster) -> None:
    first, second = (done.document for done in cluster.ups)
    assert sorted([first["started"], second["started"]]) == [[], ["ray", "mlflow"]]
    for name in ("ray", "dashboard", "mlflow", "token_file", "password_file", "join"):
        assert first[name] == second[name]


def test_up_again_changes_nothing_and_says_the_addresses(cluster: Cluster) -> None:
    before = [read(cluster.helio.home / "cluster" / f"{part}.json") for part in ("ray", "mlflow")]
    done = cluster.helio("up")
    assert done.status == 0, done.err
    assert done.out.startswith("it was running already\n")
    assert cluster.up["dashboard"] in done.out
    assert cluster.up["mlflow"] in done.out
    after = [read(cluster.helio.home / "cluster" / f"{part}.json") for part in ("ray", "mlflow")]
    assert after == before


def test_other_options_than_those_it_runs_with_are_refused(cluster: Cluster) -> None:
    runs = cluster.up["ray"].rpartition(":")[2]
    done = cluster.helio("up", "--port", "7001")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        f"it runs already, with --port {runs}; `helio down` first, to have it with --port 7001\n"
    )
    done = cluster.helio("up", "--storage", "s3://bucket/jobs")
    assert "it runs already, without --storage" in done.err


def test_status_shows_the_node_what_is_free_and_the_versions(cluster: Cluster) -> None:
    began = time.monotonic()
    done = cluster.helio("status", "--json")
    assert time.monotonic() - began < 10  # 0.7 s where nothing else runs
    assert done.status == 0, done.err
    status = done.document
    cpus = float(os.cpu_count() or 1)
    assert (status["cluster"], status["mlflow"]) == (cluster.address, cluster.up["mlflow"])
    (node,) = status["nodes"]
    assert (node["address"], node["head"], node["alive"]) == ("127.0.0.1", True, True)
    assert node["cpus"] == {"total": cpus, "free": cpus}
    assert status["cpus"] == node["cpus"]
    assert set(status["versions"]) >= {"ray", "python", "mlflow"}
    assert status["ended"] == []
    table = cluster.helio("status").out
    assert f"free     {cpus:g} of {cpus:g} CPUs, 0 of 0 GPUs" in table


def test_status_of_a_cluster_by_its_address_needs_the_token_alone(
    cluster: Cluster, helio: Helio
) -> None:
    done = helio("status", "--cluster", cluster.address)
    assert (done.status, done.out) == (2, "")
    assert "asks for a token" in done.err
    env = {"RAY_AUTH_TOKEN_PATH": cluster.up["token_file"]}
    done = helio("status", "--cluster", cluster.address, "--json", env=env)
    assert done.status == 0, done.err
    assert len(done.document["nodes"]) == 1
    assert done.document["mlflow"] is None


def test_what_a_placement_group_reserves_is_not_free(cluster: Cluster) -> None:
    script = (
        "import ray, sys; ray.init('auto', log_to_driver=False);"
        "group = ray.util.placement_group([{'CPU': 1}]); ray.get(group.ready());"
        "print('reserved', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**cluster.helio.env, **cluster.as_driver},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "reserved\n"

        def free() -> float:
            value: float = cluster.helio("status", "--json").document["cpus"]["free"]
            return value

        wait_until(lambda: free() == (os.cpu_count() or 1) - 1, 20, free)
        holder.communicate("")
    wait_until(lambda: free() == (os.cpu_count() or 1), 20, free)


def test_rays_own_command_line_sees_the_cluster(cluster: Cluster) -> None:
    ray = str(Path(sys.executable).parent / "ray")
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": cluster.up["token_file"]}
    done = subprocess.run(
        [ray, "job", "list", "--address", cluster.address],
        env={**cluster.helio.env, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_commands_on_this_machine_use_the_server_with_its_password(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URI", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    assert tracking_uri(cluster.helio.home) == cluster.up["mlflow"]
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == cluster.password
    done = cluster.helio("runs", "--json")
    assert done.status == 0, done.err
    assert list(done.document) == ["runs"]  # those of other tests on this cluster


def test_ui_says_where_the_server_is_and_how_to_log_in(cluster: Cluster) -> None:
    done = cluster.helio("ui")
    assert done.status == 0, done.err
    assert done.out == (
        f"MLflow UI: {cluster.up['mlflow']}/#/experiments?workflowType=machine_learning"
        f" (user helio, password: in {cluster.up['password_file']})\n"
    )


def test_a_port_that_is_taken_is_said_with_who_has_it(helio: Helio) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option, part in (("--dashboard-port", "Ray"), ("--mlflow-port", "MLflow")):
            options = [*port_options(), option, str(port)]
            began = time.monotonic()
            line = refused(helio("up", *options), helio, began)
            name = psutil.Process().name()
            assert line == (
                f"{part} can't listen at 127.0.0.1:{port}: {name} (pid {os.getpid()}) does;"
                f" another {option}"
            )


@pytest.mark.parametrize("listen", ["0.0.0.0", "192.0.2.7", "localhost", "127.0.0.2"])
def test_an_address_that_is_not_this_machines_is_refused(helio: Helio, listen: str) -> None:
    began = time.monotonic()
    line = refused(helio("up", "--listen", listen, *port_options()), helio, began)
    assert f"{listen!r} is not an IP address" in line


def test_a_database_of_another_version_is_refused_before_anything_starts(helio: Helio) -> None:
    helio.home.mkdir()
    with sqlite3.connect(helio.home / "mlflow.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
    began = time.monotonic()
    line = refused(helio("up", *port_options()), helio, began)
    assert "has tables of another version of MLflow (0123456789ab; this one's are " in line
    assert "mlflow db upgrade" in line


def test_a_database_that_is_not_there_is_refused_before_anything_starts(helio: Helio) -> None:
    backend = f"postgresql://helio:opensesame@127.0.0.1:{free_port()}/mlflow"
    began = time.monotonic()
    done = helio("up", *port_options(), env={"MLFLOW_BACKEND_STORE_URI": backend})
    line = refused(done, helio, began)
    assert "opensesame" not in line
    assert "127.0.0.1" in line


@pytest.mark.parametrize("option", ["--storage", "--artifacts"])
def test_an_s3_that_is_not_there_is_refused_before_anything_starts(
    helio: Helio, option: str
) -> None:
    env = {**KEY, **SETTINGS, "AWS_ENDPOINT_URL": AWAY}
    began = time.monotonic()
    done = helio("up", option, "s3://bucket/prefix", *port_options(), env=env)
    line = refused(done, helio, began)
    assert line.startswith(f"{option}: s3://bucket/prefix: the S3 endpoint does not answer")


def test_a_postgresql_that_refuses_or_has_another_version_is_said(helio: Helio) -> None:
    with postgres_server() as postgres:
        wrong = postgres.uri("postgres").replace(postgres.password, "opensesame")
        other = postgres.create("other")
        postgres.ask("other", "CREATE TABLE alembic_version (version_num varchar(32))")
        postgres.ask("other", "INSERT INTO alembic_version VALUES ('0123456789ab')")
        for uri, why in ((wrong, "password authentication failed"), (other, "0123456789ab")):
            began = time.monotonic()
            done = helio("up", *port_options(), env={"MLFLOW_BACKEND_STORE_URI": uri})
            line = refused(done, helio, began)
            assert why in line
            assert "opensesame" not in line
            assert postgres.password not in line


def test_without_a_cluster_status_and_down_say_so(helio: Helio) -> None:
    done = helio("status")
    assert done.status == 0, done.err
    assert done.out.startswith("no cluster runs here; `helio up` starts one\n")
    done = helio("down")
    assert (done.status, done.out) == (0, "nothing was running\n")


@pytest.fixture
def own(helio: Helio) -> Iterator[Helio]:
    """A cluster that the test may harm."""
    done = helio("up", *port_options())
    try:
        assert done.status == 0, done.err
        yield helio
    finally:
        helio("down")
        shutil.rmtree(sessions(helio.home).parent)


def members(helio: Helio) -> list[psutil.Process]:
    """Return what runs of the cluster: its processes' working directory is in its home."""
    found = []
    for part in ("ray", "mlflow"):
        standing = read(helio.home / "cluster" / f"{part}.json")
        if standing and standing.lives:
            leader = psutil.Process(standing.pid)
            found += [leader, *leader.children(recursive=True)]
    return found


def test_status_says_what_died_up_starts_it_again_and_down_leaves_nothing(own: Helio) -> None:
    before = members(own)
    mlflow = read(own.home / "cluster" / "mlflow.json")
    (raylet,) = (process for process in before if process.name() == "raylet")
    raylet.kill()
    wait_until(lambda: own("status", "--json").document["ended"], 30, lambda: own("status").out)
    done = own("status", "--json")
    assert done.status == 1
    (ended,) = done.document["ended"]
    assert ended["part"] == "Ray"
    assert "raylet" in ended["why"]

    again = own("up", "--json")
    assert again.status == 0, again.err
    assert again.document["started"] == ["ray"]
    assert read(own.home / "cluster" / "mlflow.json") == mlflow

    living = members(own)
    down = own("down")
    assert down.out == "stopped Ray and MLflow\n"
    assert [process for process in {*before, *living} if process.is_running()] == []
    for url in (again.document["dashboard"], again.document["mlflow"]):
        assert not answers("127.0.0.1", int(url.rpartition(":")[2]))
    assert not list((own.home / "cluster").glob("*.json"))


@pytest.mark.slow
def test_a_job_that_is_going_when_down_is_typed_ends_killed_with_a_last_checkpoint(
    tmp_path: Path,
) -> None:
    helio = make_helio(tmp_path / "home")
    up = helio("up", *port_options(), "--json")
    assert up.status == 0, up.err
    spec = slow_spec(tmp_path / "slow", epochs=20)
    to = ("--cluster", up.document["dashboard"])
    try:
        done = helio("submit", spec, "--id", "going", *to)
        assert done.status == 0, done.err
        journal = helio.folder("going") / "journal"
        wait_until(lambda: events(read_all(journal), "first_step"), 120, lambda: done.err)
    finally:
        down = helio("down")
    assert down.out == "stopped Ray and MLflow; 1 unfinished job ended with it\n"
    assert "waiting for the last checkpoint of going" in down.err
    (run,) = [row for row in helio("runs", "--json").document["runs"] if row["job"] == "going"]
    assert run["status"] == "KILLED"
    assert list(helio.folder("going").glob("checkpoints/*/manifest.json"))
    shutil.rmtree(sessions(helio.home).parent)


def test_a_record_from_before_the_machine_was_started_is_no_cluster(helio: Helio) -> None:
    folder = helio.home / "cluster"
    folder.mkdir(parents=True)
    record = {"address": "http://127.0.0.1:8265", "pid": os.getpid(), "created": 1.0}
    record |= {"started": "2026-01-01T00:00:00+00:00", "options": {"role": "head"}}
    (folder / "ray.json").write_text(json.dumps(record))
    done = helio("status", "--json")
    assert done.document["cluster"] is None
    assert [one["part"] for one in done.document["ended"]] == ["Ray"]
    assert helio("down").out == "nothing was running\n"

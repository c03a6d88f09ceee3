"""The servers' command lines, as compose.yaml has them, run for real with other addresses."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ports import free_port
from postgres import postgres_server
from s3 import SETTINGS, bucket_client, s3_server
from waiting import wait_until

Document = dict[str, Any]


@pytest.fixture
def secrets(root: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    subprocess.run([str(root / "infra" / "make-secrets.sh"), str(folder)], check=True)
    return folder


def test_kubernetes_starts_redis_as_compose_does(
    compose: Document, written: list[Document]
) -> None:
    [there] = [
        container["command"][-1]
        for document in written
        if document["kind"] == "StatefulSet"
        for container in document["spec"]["template"]["spec"]["containers"]
        if container["name"] == "redis"
    ]
    here = compose["services"]["redis"]["command"][-1]
    assert there == here.replace("/run/secrets/redis-password", "/run/secrets/redis/password")


def test_redis_asks_for_the_password_in_its_file_and_keeps_what_it_holds(
    compose: Document, secrets: Path, tmp_path: Path
) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server, which is not installed")
    port = free_port()
    *shell, script = compose["services"]["redis"]["command"]
    own = f"dir {tmp_path}\\nbind 127.0.0.1\\nport {port}"
    for ours, theirs in (
        ("/run/secrets", str(secrets)),
        ("/tmp/redis.conf", str(tmp_path / "redis.conf")),
        ("dir /data", own),
    ):
        script = script.replace(ours, theirs)
    password = (secrets / "redis-password").read_text()

    def ask(*command: str, known: bool = True) -> str:
        environment = {"PATH": os.environ["PATH"], **({"REDISCLI_AUTH": password} if known else {})}
        asked = ["redis-cli", "-p", str(port), *command]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment)
        return done.stdout.strip()

    with _running([*shell, script], tmp_path, dict(os.environ)) as (process, log):
        wait_until(lambda: ask("ping") == "PONG", 20, log.read_text)
        assert ask("ping", known=False).startswith("NOAUTH")
        assert ask("set", "job", "1") == "OK"
        assert password not in " ".join(psutil.Process(process.pid).cmdline())
    with _running([*shell, script], tmp_path, dict(os.environ)) as (_, log):
        wait_until(lambda: ask("get", "job") == "1", 20, log.read_text)


@pytest.mark.slow
def test_mlflow_keeps_its_runs_in_postgres_and_asks_everybody_for_the_password(
    root: Path, compose: Document, secrets: Path, tmp_path: Path
) -> None:
    with postgres_server() as database, s3_server() as store, bucket_client(store) as bucket:
        password = (secrets / "postgres-password").read_text()
        database.ask("postgres", f"CREATE ROLE mlflow LOGIN PASSWORD '{password}'")
        database.ask("postgres", "CREATE DATABASE mlflow OWNER mlflow")
        bucket.create_bucket(Bucket="mlflow")
        service = compose["services"]["mlflow"]
        port = free_port()
        at = f"{database.host}:{database.port}"
        command = [
            word.replace("postgres:5432", at)
            .replace("5000", str(port))
            .replace("0.0.0.0", "127.0.0.1")
            for word in service["command"]
        ]
        rules = (root / "infra" / "kubernetes" / "base" / "basic_auth.ini").read_text()
        (tmp_path / "basic_auth.ini").write_text(rules.replace("postgres:5432", at))
        environment = {
            name: value.replace("/run/secrets", str(secrets)).replace("/etc/mlflow", str(tmp_path))
            for name, value in service["environment"].items()
        }
        environment |= SETTINGS | {"AWS_ENDPOINT_URL": store, "HOME": str(tmp_path)}
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        started = ["sh", str(root / "infra" / "entrypoint.sh"), *command]
        with _running(started, tmp_path, environment) as (process, log):
            wait_until(lambda: _status(port, "/health") == 200, 90, log.read_text)
            helio = ("helio", (secrets / "mlflow-password").read_text())
            _check_doors(port, helio)
            artifact = "/api/2.0/mlflow-artifacts/artifacts/note.txt"
            assert _status(port, artifact, method="PUT", body=b"kept") == 401
            assert _status(port, artifact, method="PUT", body=b"kept", user=helio) == 200
            kept = bucket.get_object(Bucket="mlflow", Key="artifacts/note.txt")["Body"].read()
            assert kept == b"kept"
            _check_nothing_is_shown(process.pid, secrets)
        assert int(database.ask("mlflow", "SELECT count(*) FROM experiments")) == 1
        assert database.ask("mlflow", "SELECT username FROM users") == "helio"


def _check_doors(port: int, helio: tuple[str, str]) -> None:
    listing = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert _status(port, listing) == 401
    assert _status(port, listing, user=("helio", "wrong")) == 401
    assert _status(port, listing, user=helio) == 200
    # A page elsewhere whose name was pointed at this server.
    assert _status(port, listing, user=helio, host="evil.example") == 403


def _check_nothing_is_shown(pid: int, secrets: Path) -> None:
    values = [file.read_text() for file in secrets.iterdir()]
    server = psutil.Process(pid)
    lines = [" ".join(p.cmdline()) for p in (server, *server.children(recursive=True))]
    assert any("mlflow" in line for line in lines)
    assert not [line for line in lines for value in values if value in line]


def _status(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    user: tuple[str, str] | None = None,
    host: str | None = None,
) -> int:
    """Return an answer's HTTP status, 0 where nobody listens."""
    headers = {"Host": host} if host else {}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body=body, headers=headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


@contextmanager
def _running(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a server in `folder`, its output in a file; end it and all that it started."""
    log = folder / "server.log"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", *command],  # it ends with the tests, however they end
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            processes = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(30)
            for left in psutil.wait_procs(processes, timeout=10)[1]:
                left.kill()

"""After a plain `helio up` nothing listens beyond loopback, and every door asks who is there."""

from __future__ import annotations

import http.client
import json
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil
import pytest

from heliostat.runtime.cluster.node import sessions
from heliostat.runtime.cluster.processes import members_of
from heliostat.tracking.standing import read
from own_cluster import Cluster

# What answers a stranger on purpose: whether it lives, the page that asks for the token, and what
# a client has to know before it can log in.
OPEN = {
    "/",
    "/api/authentication_mode",
    "/api/gcs_healthz",
    "/api/healthz",
    "/api/local_raylet_healthz",
    "/favicon.ico",
    "/health",
    "/version",
    "/-/healthz",
    "/api/2.0/mlflow/server-info",
    "/api/3.0/mlflow/server-info",
    "/ajax-api/2.0/mlflow/server-info",
    "/ajax-api/3.0/mlflow/server-info",
}

# A method of each service that Ray's processes offer one another.
CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVGet",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/HealthCheck",
)


class Door(NamedTuple):
    """A listening port."""

    host: str
    port: int
    owner: str


class Answer(NamedTuple):
    """What came over HTTP."""

    status: int
    body: bytes


DRIVER = """
import ray, sys
ray.init("auto", log_to_driver=False)
class Worker:
    def hello(self): return "hello"
worker = ray.remote(num_cpus=1)(Worker).remote()
ray.get(worker.hello.remote())
print("works", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def processes(cluster: Cluster) -> Iterator[list[psutil.Process]]:
    """All processes of the cluster, with a driver and its worker among them."""
    found = []
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        env={**cluster.helio.env, **cluster.as_driver},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "works\n"
        for part in ("ray", "mlflow"):
            standing = read(cluster.helio.home / "cluster" / f"{part}.json")
            assert standing is not None
            found += members_of(standing)
        yield [*found, psutil.Process(driver.pid)]
        driver.communicate("")


@pytest.fixture(scope="module")
def doors(processes: list[psutil.Process]) -> list[Door]:
    """All TCP ports where they listen."""
    names = {process.pid: process.name() for process in processes}
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    # Ray's own servers listen at IPv4 addresses that are written as IPv6's.
    found = [
        Door(c.laddr.ip.removeprefix("::ffff:"), c.laddr.port, names[c.pid])
        for c in listening
        if c.pid in names
    ]
    assert len(found) > 8, found
    return found


def ask(
    host: str,
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Answer | None:
    """Return what comes over HTTP; None where no HTTP is spoken."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (http.client.HTTPException, ConnectionError, TimeoutError):
        return None
    finally:
        connection.close()


def ask_dashboard(cluster: Cluster, path: str, **request: object) -> Answer:
    host, _, port = cluster.address.removeprefix("http://").partition(":")
    answer = ask(host, int(port), path, **request)  # type: ignore[arg-type]
    assert answer is not None
    return answer


def ask_mlflow(cluster: Cluster, path: str, **request: object) -> Answer:
    host, _, port = str(cluster.up["mlflow"]).removeprefix("http://").partition(":")
    answer = ask(host, int(port), path, **request)  # type: ignore[arg-type]
    assert answer is not None
    return answer


def called(door: Door, metadata: tuple[tuple[str, str], ...] = ()) -> set[grpc.StatusCode]:
    """Return how Ray's calls end at a door."""
    found = set()
    with grpc.insecure_channel(f"{door.host}:{door.port}") as channel:
        for call in CALLS:
            try:
                channel.unary_unary(call)(b"", timeout=10, metadata=metadata)
                found.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                found.add(error.code())
    return found


def test_everything_listens_on_loopback_alone(doors: list[Door]) -> None:
    assert [door for door in doors if door.host != "127.0.0.1"] == []


def test_there_is_no_server_for_ray_client(processes: list[psutil.Process]) -> None:
    commands = [" ".join(process.cmdline()) for process in processes]
    assert [command for command in commands if "ray.util.client" in command] == []


@pytest.mark.parametrize("token", [None, "a" * 64], ids=["no token", "a wrong token"])
def test_every_port_refuses_a_stranger(
    cluster: Cluster, doors: list[Door], token: str | None
) -> None:
    bearer = {"authorization": f"Bearer {token}"} if token else {}
    for door in doors:
        # MLflow knows no tokens, and fails over one.
        headers = {} if cluster.up["mlflow"].endswith(f":{door.port}") else bearer
        page = ask(door.host, door.port, "/any/page", headers=headers)
        ends = called(door, tuple(bearer.items()))
        assert grpc.StatusCode.OK not in ends, door
        if page is None:
            assert grpc.StatusCode.UNAUTHENTICATED in ends, (door, ends)
        else:
            assert page.status in (401, 403), (door, page)


def test_the_token_opens_the_same_doors(cluster: Cluster, doors: list[Door]) -> None:
    bearer = (("authorization", f"Bearer {cluster.token}"),)
    ends = [called(door, bearer) for door in doors if ask(door.host, door.port, "/") is None]
    assert len(ends) > 3
    assert all(grpc.StatusCode.UNAUTHENTICATED not in found for found in ends), ends
    assert any(grpc.StatusCode.OK in found for found in ends)


RAY_PATHS = (
    "/api/cluster_status",
    "/api/jobs/",
    "/api/packages/gcs/_ray_pkg_0.zip",
    "/api/v0/actors",
    "/api/v0/logs",
    "/api/v0/nodes",
    "/api/version",
    "/events",
    "/logical/actors",
    "/metrics",
    "/nodes?view=summary",
    "/task/traceback",
    "/worker/traceback",
)


@pytest.mark.parametrize("path", RAY_PATHS)
def test_the_dashboards_api_asks_for_the_token(cluster: Cluster, path: str) -> None:
    assert ask_dashboard(cluster, path).status == 401
    wrong = {"Authorization": "Bearer " + "a" * 64}
    assert ask_dashboard(cluster, path, headers=wrong).status == 403


def test_a_stranger_submits_no_job(cluster: Cluster) -> None:
    request = json.dumps({"entrypoint": "true", "submission_id": "stranger"}).encode()
    headers = {"Content-Type": "application/json"}
    refused = ask_dashboard(cluster, "/api/jobs/", method="POST", body=request, headers=headers)
    assert refused.status == 401
    bearer = {"Authorization": f"Bearer {cluster.token}"}
    listed = ask_dashboard(cluster, "/api/jobs/", headers=bearer)
    assert listed.status == 200
    assert b"stranger" not in listed.body


def test_rays_own_client_of_the_gcs_is_refused_without_the_token(cluster: Cluster) -> None:
    script = f"from ray._raylet import GcsClient; GcsClient(address={cluster.up['ray']!r})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=dict(cluster.helio.env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "AuthenticationError" in done.stderr


ROUTES = """
import json
from mlflow.server import app
from mlflow.server.auth import create_app
served = create_app()
pairs = [(m, r.rule) for r in app.url_map.iter_rules() for m in r.methods]
pairs += [(m, r.path) for r in served.routes for m in getattr(r, "methods", None) or ()]
print(json.dumps(sorted({(m, p) for m, p in pairs if m not in ("HEAD", "OPTIONS")})))
"""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> list[tuple[str, str]]:
    """Everything that an MLflow server with passwords answers, by method and path."""
    folder = tmp_path_factory.mktemp("routes")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = helio\n"
        f"database_uri = sqlite:///{folder}/users.db\n"
    )
    env = {
        **cluster.helio.env,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "of no server that runs",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of no server that runs",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    done = subprocess.run(
        [sys.executable, "-c", ROUTES], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [(method, path) for method, path in json.loads(done.stdout.splitlines()[-1])]
    assert len(found) > 100
    return found


def test_every_route_of_mlflow_asks_for_the_password(
    cluster: Cluster, routes: list[tuple[str, str]]
) -> None:
    let_in = []
    for method, rule in routes:
        path = filled_in(rule)
        if path in OPEN or path.startswith("/static"):
            continue
        body = None if method == "GET" else b"{}"
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = ask_mlflow(cluster, path, method=method, body=body, headers=headers)
        if answer.status not in (401, 403):
            let_in.append((method, rule, answer))
    assert let_in == []


def filled_in(rule: str) -> str:
    """Return a rule as an address: what stands for a part of it becomes a name."""
    return "/".join("x" if set(part) & set("<{") else part for part in rule.split("/"))


MLFLOW_PATHS = (
    "/api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
    "/api/2.0/mlflow-artifacts/artifacts?path=0",
    "/api/2.0/mlflow-artifacts/artifacts/0/model.pt2",
    "/get-artifact?path=model.pt2&run_uuid=0",
    "/graphql",
)


@pytest.mark.parametrize("path", MLFLOW_PATHS)
def test_mlflow_and_its_artifacts_ask_for_the_password(cluster: Cluster, path: str) -> None:
    wrong = {"Authorization": "Basic " + b64encode(b"helio:wrong").decode()}
    method = "POST" if path == "/graphql" else "GET"
    for headers in ({}, wrong):
        assert ask_mlflow(cluster, path, method=method, headers=headers).status == 401
    code = b64encode(f"helio:{cluster.password}".encode()).decode()
    answer = ask_mlflow(cluster, path, method=method, headers={"Authorization": f"Basic {code}"})
    assert answer.status not in (401, 403), answer


def test_a_stranger_puts_no_artifact_there(cluster: Cluster) -> None:
    path = "/api/2.0/mlflow-artifacts/artifacts/0/stranger.txt"
    assert ask_mlflow(cluster, path, method="PUT", body=b"here").status == 401
    assert not list((cluster.helio.home / "artifacts").rglob("stranger.txt"))


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_is_open_on_purpose_tells_no_secret(cluster: Cluster, path: str) -> None:
    for answer in (ask_dashboard(cluster, path), ask_mlflow(cluster, path)):
        for secret in (cluster.token, cluster.password, str(cluster.helio.home)):
            assert secret.encode() not in answer.body


def written(cluster: Cluster) -> Iterator[Path]:
    """Yield every file that the cluster has written, in HELIO_HOME and for Ray."""
    for folder in (cluster.helio.home, sessions(cluster.helio.home).parent):
        yield from (path for path in folder.rglob("*") if path.is_file())


def test_others_on_this_machine_can_read_none_of_it(cluster: Cluster) -> None:
    closed = [cluster.helio.home / "cluster", sessions(cluster.helio.home).parent]
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in closed)
    for file in (cluster.up["token_file"], cluster.up["password_file"]):
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    for path in (cluster.helio.home / "cluster").iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_no_file_but_its_own_holds_a_secret(cluster: Cluster) -> None:
    own = {Path(cluster.up["token_file"]), Path(cluster.up["password_file"])}
    for path in written(cluster):
        if path in own:
            continue
        content = path.read_bytes()
        for secret in (cluster.token, cluster.password):
            assert secret.encode() not in content, path


def test_no_command_line_and_no_document_holds_a_secret(
    cluster: Cluster, processes: list[psutil.Process]
) -> None:
    told = [" ".join(process.cmdline()) for process in processes]
    told += [done.out + done.err for done in cluster.ups]
    for command in (("up",), ("up", "--json"), ("status",), ("status", "--json"), ("ui", "--json")):
        done = cluster.helio(*command)
        told.append(done.out + done.err)
    for secret in (cluster.token, cluster.password):
        assert [text for text in told if secret in text] == []

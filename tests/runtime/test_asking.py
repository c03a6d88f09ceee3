from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import pytest

from heliostat.runtime.cluster.asking import ClusterAway, reach, token
from heliostat.runtime.cluster.versions import check_versions
from heliostat.spec import InputError
from ports import free_port

PYTHON = ".".join(map(str, sys.version_info[:3]))

Answers = dict[str, tuple[int, str]]


@contextmanager
def dashboard(answers: Answers, seen: Callable[[str | None], None] = print) -> Iterator[str]:
    """Serve `answers`, a status and a text by path, as a cluster's dashboard would."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen(self.headers.get("Authorization"))
            status, text = answers.get(self.path, (404, "no such page"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def cluster(ray: str, python: str = PYTHON) -> Answers:
    facts = {"data": {"rayVersion": ray, "pythonVersion": python}}
    return {
        "/api/version": (200, json.dumps({"ray_version": ray})),
        "/api/v0/cluster_metadata": (200, json.dumps(facts)),
    }


@pytest.fixture(autouse=True)
def no_token(helio_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://127.0.0.1:{}/"])
def test_where_nothing_listens_it_is_said_in_a_line(form: str) -> None:
    port = free_port()
    with pytest.raises(ClusterAway) as said:
        reach(form.format(port))
    assert str(said.value) == (
        f"no Ray cluster answers at http://127.0.0.1:{port} (Connection refused);"
        " start it, or another --cluster"
    )


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "http://", "head:port", ""])
def test_what_cannot_be_a_dashboards_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"is not the address of a cluster's dashboard"):
        reach(address)


def test_a_host_that_has_no_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterAway, match=r"no Ray cluster answers at http://head\.invalid:1 \("):
        reach("head.invalid:1")


@pytest.mark.parametrize("answer", [(404, "no"), (200, "<html>"), (200, '{"other": 1}'), (302, "")])
def test_what_is_no_ray_dashboard_is_said(answer: tuple[int, str]) -> None:
    answers = {"/api/version": answer}
    with dashboard(answers) as address, pytest.raises(InputError, match="is no Ray dashboard"):
        reach(address)


@pytest.mark.parametrize(
    ("status", "given", "words"),
    [(401, None, "none was given"), (403, "wrong", "it refuses this one")],
)
def test_a_missing_and_a_wrong_token_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, status: int, given: str | None, words: str
) -> None:
    if given:
        monkeypatch.setenv("RAY_AUTH_TOKEN", given)
    says = pytest.raises(InputError, match=f"asks for a token, and {words}")
    with dashboard({"/api/version": (status, "")}) as address, says as said:
        reach(address)
    assert "wrong" not in str(said.value)


def test_the_token_is_the_environments_else_helio_homes_else_rays_own(
    helio_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("rays")
    assert token() == "rays"
    (helio_home / "ray-token").write_text("ours\n")
    assert token() == "ours"
    (tmp_path / "named").write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert token() == "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert token() == "given"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert token() is None


def test_a_token_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    with pytest.raises(InputError, match="/nowhere/token can't be read"):
        token()


def test_the_token_is_sent_also_where_netrc_knows_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    seen: list[str | None] = []
    with dashboard(cluster(version("ray")), seen.append) as address:
        reach(address)
    assert seen == ["Bearer given"]


@pytest.mark.parametrize(
    ("ray", "python", "words"),
    [
        ("2.9.3", PYTHON, f"runs Ray 2.9.3, and here is Ray {version('ray')}"),
        (version("ray"), "3.9.1", f"runs Python 3.9.1, and here is Python {PYTHON}"),
    ],
)
def test_another_ray_or_python_is_refused_and_both_are_named(
    ray: str, python: str, words: str
) -> None:
    says = pytest.raises(InputError, match=words.replace(".", r"\."))
    with dashboard(cluster(ray, python)) as address, says:
        check_versions(reach(address))


def test_another_patch_of_ray_and_python_will_do() -> None:
    ray = ".".join([*version("ray").split(".")[:2], "99"])
    python = ".".join([*PYTHON.split(".")[:2], "99"])
    with dashboard(cluster(ray, python)) as address:
        check_versions(reach(address))


def test_a_cluster_that_says_no_python_is_judged_by_its_ray() -> None:
    answers = cluster("1.13.0")
    del answers["/api/v0/cluster_metadata"]
    with dashboard(answers) as address, pytest.raises(InputError, match=r"runs Ray 1\.13\.0"):
        check_versions(reach(address))

"""The compose file: valid, closed to other machines, and with no password of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compose_spec import PyCompose

Document = dict[str, Any]


def test_it_keeps_to_the_compose_specification(compose: Document) -> None:
    names = PyCompose.from_json(json.dumps(compose)).service_names()
    assert {"ray-head", "ray-worker", "mlflow", "postgres", "redis", "store"} <= set(names)


def test_a_misspelt_key_would_be_refused(compose: Document) -> None:
    broken = json.loads(json.dumps(compose))
    broken["services"]["redis"]["helthcheck"] = {}
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_json(json.dumps(broken))


@pytest.mark.parametrize("what", ["networks", "volumes", "secrets", "configs"])
def test_what_services_name_is_declared_and_all_that_is_declared_is_used(
    compose: Document, what: str
) -> None:
    used = {name for service in compose["services"].values() for name in _named(service, what)}
    assert used == compose[what].keys()


def test_ports_are_published_on_loopback_only(compose: Document) -> None:
    published = [
        port for service in compose["services"].values() for port in service.get("ports", [])
    ]
    assert sorted(published) == ["127.0.0.1:5000:5000", "127.0.0.1:8265:8265"]


def test_every_secret_is_a_file_and_none_has_a_default(root: Path, compose: Document) -> None:
    for name, secret in compose["secrets"].items():
        assert list(secret) == ["file"], name
        assert secret["file"].startswith("${HELIO_SECRETS:?"), name
        assert secret["file"].endswith(f"}}/{name}"), name
    assert ":-" not in (root / "infra" / "compose.yaml").read_text()
    for service, variable, value in _variables(compose):
        if any(word in variable for word in ("PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY")):
            assert value.startswith("/run/secrets/"), f"{service}: {variable}"
            assert value.rpartition("/")[2] in compose["services"][service]["secrets"], variable


def test_every_container_is_confined_and_has_limits(compose: Document) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert "privileged" not in service, name
        # Ours has its user in the Dockerfile.
        assert "build" in service or service["user"].partition(":")[0] not in ("", "0"), name


def test_every_image_has_a_tag_that_stays(compose: Document) -> None:
    for name, service in compose["services"].items():
        tag = service["image"].partition(":")[2]
        assert tag, name
        assert tag != "latest", name


def test_every_server_says_when_it_is_healthy(root: Path, compose: Document) -> None:
    assert "\nHEALTHCHECK " in (root / "infra" / "Dockerfile").read_text()
    for name, service in compose["services"].items():
        ends = service.get("restart") == "on-failure"
        assert ends or "build" in service or "healthcheck" in service, name


def test_ray_asks_for_the_token_everywhere(compose: Document) -> None:
    rays = [name for name in compose["services"] if name.startswith("ray-")]
    assert len(rays) == 3
    for name in rays:
        environment = compose["services"][name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray-token"


def test_only_the_head_speaks_to_mlflow_and_redis(compose: Document) -> None:
    reached = {name: set(_named(s, "networks")) for name, s in compose["services"].items()}
    for network, members in {
        "tracking": {"ray-head", "mlflow"},
        "gcs": {"ray-head", "redis"},
        "database": {"mlflow", "postgres"},
        "ray": {"ray-head", "ray-worker", "ray-worker-gpu"},
        "front": {"mlflow"},
    }.items():
        assert {name for name, networks in reached.items() if network in networks} == members
    outward = {n for n, network in compose["networks"].items() if not network.get("internal")}
    assert outward == {"ray", "front"}


def test_the_stores_inner_ports_stay_on_its_loopback(root: Path, compose: Document) -> None:
    store = compose["services"]["store"]
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1"} <= set(store["command"])
    assert not [option for option in store["command"] if option.startswith("-s3.ip.bind")]
    joined = {n for n, s in compose["services"].items() if s.get("network_mode") == "service:s3"}
    assert joined == {"store", "buckets"}
    assert "server store 127.0.0.1:8334" in (root / "infra" / "haproxy.cfg").read_text()


def test_mlflow_asks_for_a_password_and_hands_artifacts_on(compose: Document) -> None:
    command = compose["services"]["mlflow"]["command"]
    assert {"--app-name=basic-auth", "--serve-artifacts"} <= set(command)
    assert any(option.startswith("--allowed-hosts=mlflow:5000,") for option in command)
    assert "--backend-store-uri=postgresql+psycopg://mlflow@postgres:5432/mlflow" in command


def _named(service: Document, what: str) -> Iterator[str]:
    entries = service.get(what, [])
    if what == "volumes":  # /path alone is a volume without a name
        yield from (entry.partition(":")[0] for entry in entries if ":" in entry)
    else:
        yield from (e["source"] if isinstance(e, dict) else e for e in entries)


def _variables(compose: Document) -> Iterator[tuple[str, str, str]]:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            # Says how, not what.
            if variable not in ("RAY_AUTH_MODE",):
                yield name, variable, value

"""Secrets are made at random, kept in private, and stand in no file of the repository."""

from __future__ import annotations

import base64
import configparser
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

Document = dict[str, Any]
Pods = Callable[[list[Document]], list[tuple[str, Document]]]
# The certificate comes from whoever signs it.
ELSEWHERE = {("heliostat-tls", "tls.crt"), ("heliostat-tls", "tls.key")}


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    _run([str(root / "infra" / "make-secrets.sh"), str(folder)])
    return folder


def test_the_folder_is_private_and_every_file_is_filled(made: Path) -> None:
    assert made.stat().st_mode & 0o777 == 0o700
    texts = {file.name: file.read_text() for file in made.iterdir() if file.name != "s3.json"}
    assert all(re.fullmatch(r"[0-9a-f]{20,64}", text) for text in texts.values()), texts.keys()
    assert len(set(texts.values())) == len(texts)
    assert len(texts["ray-token"]) == 64


def test_a_second_call_changes_nothing(root: Path, made: Path) -> None:
    before = {file.name: file.read_text() for file in made.iterdir()}
    _run([str(root / "infra" / "make-secrets.sh"), str(made)])
    assert {file.name: file.read_text() for file in made.iterdir()} == before


def test_each_user_of_the_store_has_one_bucket(made: Path, compose: Document) -> None:
    identities = json.loads((made / "s3.json").read_text())["identities"]
    assert {identity["name"] for identity in identities} == {"mlflow", "heliostat"}
    for identity in identities:
        [key] = identity["credentials"]
        assert key["accessKey"] == (made / f"s3-{identity['name']}-access-key").read_text()
        assert key["secretKey"] == (made / f"s3-{identity['name']}-secret-key").read_text()
        assert {a.partition(":")[2] for a in identity["actions"]} == {identity["name"]}
    services = compose["services"]
    assert services["ray-head"]["environment"]["HELIO_STORAGE"].startswith("s3://heliostat/")
    assert "--artifacts-destination=s3://mlflow/artifacts" in services["mlflow"]["command"]


def test_compose_takes_just_the_secrets_that_are_made(made: Path, compose: Document) -> None:
    assert {file.name for file in made.iterdir()} == compose["secrets"].keys()


def test_kubernetes_gets_just_the_secrets_that_pods_ask_for(
    root: Path, made: Path, written: list[Document], pods: Pods
) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here to write the Secrets")
    text = _run([str(root / "infra" / "kubernetes" / "secrets.sh"), str(made)])
    secrets = list(YAML(typ="safe").load_all(text))
    there = {(s["metadata"]["name"], key) for s in secrets for key in s["data"]}
    asked = {reference for document in written for reference in _asked(document)}
    assert asked - ELSEWHERE == there
    values = {base64.b64decode(v).decode() for s in secrets for v in s["data"].values()}
    assert values == {file.read_text() for file in made.iterdir()}


def test_an_incomplete_folder_is_said(root: Path, tmp_path: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here to write the Secrets")
    script = root / "infra" / "kubernetes" / "secrets.sh"
    done = subprocess.run([str(script), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"secrets.sh: {tmp_path}/ray-token is missing or empty\n"


def test_no_file_holds_a_secrets_value(root: Path, written: list[Document]) -> None:
    assert "Secret" not in {document["kind"] for document in written}
    files = [
        file
        for folder in ("infra", "cluster")
        for file in (root / folder).rglob("*")
        if file.is_file() and file.suffix != ".lock"
    ]
    assert len(files) > 20
    for file in files:
        text = file.read_text()
        assert not re.search(r"\b(?=[0-9a-f]*\d)[0-9a-f]{20,}\b", text), f"{file}: a random value"
        assert not re.search(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b", text), f"{file}: an AWS key"
        assert not re.search(r"://[^/\s:@$]+:[^/\s@]+@", text), f"{file}: a password in an address"
        assert "PRIVATE KEY" not in text, file


def test_mlflows_file_of_rules_holds_no_password_and_refuses_strangers(root: Path) -> None:
    rules = configparser.ConfigParser()
    rules.read(root / "infra" / "kubernetes" / "base" / "basic_auth.ini")
    assert rules["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    assert "admin_password" not in rules["mlflow"]
    assert rules["mlflow"]["admin_username"] == "helio"
    assert rules["mlflow"]["database_uri"] == "postgresql+psycopg://mlflow@postgres:5432/mlflow"


def _asked(value: Any) -> Iterator[tuple[str, str]]:
    """What a manifest wants of Secrets: (name, key), wherever it stands."""
    if isinstance(value, list):
        for entry in value:
            yield from _asked(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key == "secretKeyRef":
                yield entry["name"], entry["key"]
            elif key == "secret" and "secretName" in entry and not entry.get("optional"):
                yield entry["secretName"], _KEYS[entry["secretName"]]
            elif key == "authOptions":
                yield entry["secretName"], "auth_token"  # the key that KubeRay reads
            else:
                yield from _asked(entry)


_KEYS = {
    "heliostat-postgres": "password",
    "heliostat-redis": "password",
    "heliostat-store": "s3.json",
}
"""What is read of the Secrets that are mounted whole."""


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout

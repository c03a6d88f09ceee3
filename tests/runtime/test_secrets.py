"""Secrets: by reference in the spec, by value in the processes that need them, nowhere else."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import Helio, make_helio
from heliostat.runtime import environment
from heliostat.spec import InputError, Secret

LOOP = """
import hashlib, os

def train(run):
    digest = hashlib.sha256(os.environ["HF_TOKEN"].encode()).hexdigest()
    run.report({"digest": float(int(digest[:8], 16))}, step=1)
"""
SPEC = """\
kind: train
name: loop
entrypoint: users_own:train
env: {HF_TOKEN: {secret: hf-read}, PLAIN: "plain text"}
"""


@pytest.fixture
def value() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def env() -> Iterator[dict[str, str | Secret]]:
    """Give a spec's `env`, whose variables are gone again afterwards."""
    names = ("HF_TOKEN", "PLAIN")
    before = {name: os.environ.get(name) for name in names}
    yield {"HF_TOKEN": Secret(secret="hf-read"), "PLAIN": "plain text"}
    for name, earlier in before.items():
        if earlier is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = earlier


def keep(home: Path, value: str) -> None:
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "hf-read").write_text(f"{value}\n")


def test_a_secret_is_read_from_its_file(
    helio_home: Path, env: dict[str, str | Secret], value: str
) -> None:
    keep(helio_home, value)
    environment.apply(env)
    assert os.environ["HF_TOKEN"] == value
    assert os.environ["PLAIN"] == "plain text"


def test_without_a_file_a_secret_is_what_the_cluster_put_into_its_variable(
    helio_home: Path,
    env: dict[str, str | Secret],
    value: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HELIO_SECRET_HF_READ", value)
    environment.check(env)
    environment.apply(env)
    assert os.environ["HF_TOKEN"] == value
    keep(helio_home, "the file's")
    environment.apply(env)
    assert os.environ["HF_TOKEN"] == "the file's"


def test_a_secret_that_is_nowhere_is_one_line_that_says_where_it_could_be(
    helio_home: Path, env: dict[str, str | Secret]
) -> None:
    with pytest.raises(InputError) as refused:
        environment.check(env)
    place = helio_home / "secrets" / "hf-read"
    assert str(refused.value) == (
        f"env.HF_TOKEN: there is no secret 'hf-read'; the file {place}, "
        "or the variable HELIO_SECRET_HF_READ"
    )


def test_a_name_that_leads_out_of_the_folder_of_secrets_finds_nothing_there(
    helio_home: Path, value: str
) -> None:
    keep(helio_home, value)
    (helio_home / "other").write_text("not a secret")
    with pytest.raises(InputError):
        environment.check({"HF_TOKEN": Secret(secret="../other")})


@pytest.mark.parametrize("kept", ["in a file", "in a variable"])
def test_the_value_reaches_the_users_code_and_nothing_that_the_job_leaves(
    tmp_path: Path, value: str, kept: str
) -> None:
    helio = make_helio(tmp_path / "home")
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "users_own.py").write_text(LOOP)
    (folder / "train.yaml").write_text(SPEC)
    if kept == "in a file":
        keep(helio.home, value)
    variables = {} if kept == "in a file" else {"HELIO_SECRET_HF_READ": value}
    done = helio("run", folder / "train.yaml", "--local", "--json", env=variables)
    assert done.status == 0, done.err
    digest = hashlib.sha256(value.encode()).hexdigest()
    assert done.document["metrics"]["digest"] == int(digest[:8], 16)
    assert value not in done.out + done.err
    assert files_that_hold(helio, value) == []


def files_that_hold(helio: Helio, value: str) -> list[Path]:
    """Return what HELIO_HOME has of the value, apart from the secrets: MLflow's database too."""
    found = [path for path in helio.home.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in found)
    kept = helio.home / "secrets"
    return [p for p in found if kept not in p.parents and value.encode() in p.read_bytes()]

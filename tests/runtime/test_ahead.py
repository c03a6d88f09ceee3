"""Which drivers can do with workers that were started ahead, and how many a node keeps."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from heliostat.runtime import ahead

CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this process the driver of a submission with a runtime environment."""
    monkeypatch.setenv("HELIO_WORKERS_AHEAD", "1")

    def submit(**environment: Any) -> None:
        config = {"runtime_env": environment, "metadata": {"job": "a"}}
        monkeypatch.setenv(CONFIG, json.dumps(config))

    return submit


def test_a_submitted_job_gives_up_its_environment_while_it_connects_and_has_its_package(
    submitted: Any,
) -> None:
    submitted(working_dir="gcs://_ray_pkg_1.zip", env_vars={"HELIO_JOB_ID": "a"})
    package = ahead.package()
    assert package is not None
    assert package["uri"] == "gcs://_ray_pkg_1.zip"
    with ahead.without_environment():
        assert json.loads(os.environ[CONFIG]) == {
            "runtime_env": {},
            "metadata": {"job": "a"},
        }
    assert ahead.package() == package


@pytest.mark.parametrize(
    "environment",
    [
        {"working_dir": "gcs://_ray_pkg_1.zip", "env_vars": {"TOKENIZERS_PARALLELISM": "0"}},
        {"working_dir": "gcs://_ray_pkg_1.zip", "pip": ["timm"]},
        {"working_dir": "s3://bucket/code.zip"},
        {"env_vars": {"HELIO_CLUSTER": ""}},
        {},
    ],
)
def test_a_job_whose_workers_need_an_environment_of_their_own_keeps_it(
    submitted: Any, environment: dict[str, Any]
) -> None:
    submitted(**environment)
    before = os.environ[CONFIG]
    assert ahead.package() is None
    with ahead.without_environment():
        assert os.environ[CONFIG] == before


def test_a_cluster_whose_nodes_start_no_workers_ahead_is_left_as_it_is(
    submitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(working_dir="gcs://_ray_pkg_1.zip")
    monkeypatch.delenv("HELIO_WORKERS_AHEAD")
    assert ahead.package() is None


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({"CPU": 2, "memory": 16e9}, 2),
        ({"CPU": 2, "memory": 16e9, "helio_jobs": 2}, 4),
        ({"CPU": 0, "memory": 16e9, "helio_jobs": 2}, 2),
        ({"CPU": 64, "GPU": 4, "memory": 200e9}, 4),
        ({"CPU": 64, "memory": 200e9}, 8),
        ({"CPU": 8, "memory": 2e9}, 2),
    ],
)
def test_a_node_keeps_a_worker_for_each_gpu_or_cpu_within_a_share_of_its_memory(
    resources: dict[str, float], wanted: int
) -> None:
    assert ahead.wanted(resources) == wanted


@pytest.mark.parametrize(
    ("job", "words", "yes"),
    [
        ("ffffffff", [], True),
        ("ffffffff", ["--runtime-env-hash=0"], True),
        ("ffffffff", ["--runtime-env-hash=-127"], False),
        ("02000000", [], False),
    ],
)
def test_a_worker_that_is_started_for_a_job_imports_nothing_ahead(
    job: str, words: list[str], yes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_ID", job)
    monkeypatch.setattr(sys, "argv", ["default_worker.py", *words])
    assert ahead.is_ahead() is yes

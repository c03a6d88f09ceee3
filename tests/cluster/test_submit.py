"""Jobs handed to a running cluster: one a spec and id, followed over a bad line, and kept."""

from __future__ import annotations

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from command import DIGITS, Done, sets
from heliostat.runtime.cluster.packing import LIMIT
from line import Line
from own_cluster import Cluster
from waiting import wait_until

LIMITS = sets(["epochs=3"])
JOB = "digits-1"


def line_to(cluster: Cluster) -> Line:
    parts = urlsplit(cluster.address)
    return Line((str(parts.hostname), int(parts.port or 0)))


def jobs(cluster: Cluster) -> dict[str, dict[str, Any]]:
    rows = cluster.helio("jobs", "--json").document["jobs"]
    return {row["id"]: row for row in rows}


@pytest.fixture(scope="module")
def submitted(cluster: Cluster) -> list[Done]:
    """What two people are told who submit the same spec under one id at the same moment."""
    with ThreadPoolExecutor(2) as both:
        command = ("submit", DIGITS / "train.yaml", "--id", JOB, *LIMITS, "--json")
        return list(both.map(lambda _: cluster.helio(*command), range(2)))


@pytest.fixture(scope="module")
def followed(cluster: Cluster, submitted: list[Done]) -> tuple[str, list[Done]]:
    """The log as the cluster has it at the end; and what followers printed, the first of whom lost
    the line twice on the way."""
    with line_to(cluster) as line, ThreadPoolExecutor(3) as all_three:
        over_the_line = all_three.submit(cluster.helio, "logs", JOB, "-f", "--cluster", line.url)
        others = [all_three.submit(cluster.helio, "logs", JOB, "-f") for _ in range(2)]
        for words in ("reading train.yaml", "training: epoch"):
            wait_until(
                lambda words=words: words in cluster.helio("logs", JOB).out,
                120,
                lambda: cluster.helio("logs", JOB),
                every=1.0,
            )
            line.cut()
            line.mend()
        done = [one.result() for one in (over_the_line, *others)]
    return cluster.helio("logs", JOB).out, done


def test_the_same_spec_twice_under_one_id_at_one_moment_is_one_job(
    cluster: Cluster, submitted: list[Done]
) -> None:
    assert [done.status for done in submitted] == [0, 0], [done.err for done in submitted]
    assert {done.document["job"] for done in submitted} == {JOB}
    assert sorted(done.document["new"] for done in submitted) == [False, True]
    assert list(jobs(cluster)).count(JOB) == 1


def test_another_spec_under_the_id_of_a_job_is_refused(
    cluster: Cluster, submitted: list[Done]
) -> None:
    done = cluster.helio("submit", DIGITS / "train.yaml", "--id", JOB, *sets(["epochs=4"]))
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(
        f"the cluster has a job {JOB} of another spec; another --id, or none\n"
    )


def test_a_log_is_followed_to_its_end_no_line_twice_and_none_lost_whatever_the_line_does(
    followed: tuple[str, list[Done]],
) -> None:
    whole, done = followed
    assert '"status": "FINISHED"' in whole
    assert [(one.status, one.out) for one in done] == [(0, whole)] * 3


def test_a_job_that_has_ended_is_listed_and_its_run_model_and_logs_are_found(
    cluster: Cluster, followed: tuple[str, list[Done]]
) -> None:
    row = jobs(cluster)[JOB]
    assert (row["name"], row["kind"], row["status"]) == ("digits-cnn", "train", "SUCCEEDED")
    (run,) = [one for one in cluster.helio("runs", "--json").document["runs"] if one["job"] == JOB]
    assert run["status"] == "FINISHED"
    assert run["model"] == "models:/digits/1"


def test_the_log_outlives_the_cluster(
    cluster: Cluster, followed: tuple[str, list[Done]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = followed
    # As where no cluster is known: MLflow of this HELIO_HOME is asked.
    from heliostat.tracking.kept_logs import driver_log
    from heliostat.tracking.server import tracking_uri

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    kept = driver_log(tracking_uri(cluster.helio.home), JOB)
    assert "recording in MLflow" in kept
    assert whole.startswith(kept)


def test_run_with_a_cluster_gives_the_outcome_of_the_job_there(
    cluster: Cluster, followed: tuple[str, list[Done]]
) -> None:
    address = cluster.address
    done = cluster.helio("run", DIGITS / "evaluate.yaml", "--cluster", address, "--json")
    assert done.status == 0, done.err
    assert done.document["model"] == "models:/digits/1"
    assert done.document["metrics"]["test/seen"] == 270


def test_ray_lists_the_same_jobs_with_the_token_and_nothing_without(
    cluster: Cluster, submitted: list[Done]
) -> None:
    address = cluster.address
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/api/jobs/", timeout=5)
    with refused.value:
        assert refused.value.code == 401
    token = cluster.token
    asking = urllib.request.Request(
        f"{address}/api/jobs/", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(asking, timeout=5) as answer:
        text = answer.read().decode()
    assert f'"submission_id": "{JOB}"' in text
    assert token not in text


def test_a_dry_run_prints_the_request_without_secrets_and_sends_nothing(
    cluster: Cluster,
) -> None:
    done = cluster.helio("submit", DIGITS / "train.yaml", "--id", "never", "--dry-run", "--json")
    assert done.status == 0, done.err
    assert done.document["entrypoint"] == "python -m heliostat.cli run train.yaml --json"
    assert done.document["resources"] == {"helio_jobs": 1.0}
    assert set(done.document["env"]) == {
        *("HELIO_JOB_ID", "HELIO_CLUSTER", "RAY_JOB_STOP_SIGNAL", "RAY_JOB_STOP_WAIT_TIME_S")
    }
    assert cluster.token not in done.out
    assert "never" not in jobs(cluster)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("logs", "digits-9", "-f"), "has no job digits-9"),
        (("stop", "digits-9"), "has no job digits-9"),
        (("resume", "digits-9", "--cluster", "HERE"), "has no job digits-9"),
        (("submit", DIGITS / "train.yaml", "--id", "a b"), "'a b' is not a legal id"),
        (("jobs", "--cluster", "http://127.0.0.1:9"), "no Ray cluster answers at"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(
    cluster: Cluster, argv: tuple[Any, ...], words: str
) -> None:
    command = [cluster.address if word == "HERE" else word for word in argv]
    done = cluster.helio(*command)
    assert (done.status, done.out) == (2, "")
    assert words in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token, and none was given"),
        ({"RAY_AUTH_TOKEN": "wrong"}, "asks for a token, and it refuses this one"),
    ],
)
def test_without_the_token_the_cluster_says_no_in_a_line(
    cluster: Cluster, env: dict[str, str], words: str
) -> None:
    done = cluster.helio("submit", DIGITS / "train.yaml", env=env)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert words in done.err


def test_a_folder_above_the_limit_is_refused_before_anything_is_sent(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "train.yaml").write_text((DIGITS / "train.yaml").read_text())
    with (tmp_path / "images.bin").open("wb") as file:
        file.truncate(LIMIT + 1)
    done = cluster.helio("submit", tmp_path / "train.yaml")
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "images.bin 100 MiB" in line

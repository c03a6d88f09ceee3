"""A job whose workers keep their files in S3 and not in the driver's folder; real Ray, real MLflow.

Workers write into scratch folders of their machine, as on a cluster of many; that it is here the
driver's machine too changes nothing of the way that the files take.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

import s3 as s3_support
from command import DIGITS, Helio, make_helio, sets
from heliostat.search.ledger import read_records
from heliostat.training.journal import events, read_all
from jobs import wait_for_step
from line import Line
from slow_net import slow_spec
from waiting import wait_until

BUCKET = "jobs"
STORAGE = f"s3://{BUCKET}/some/prefix"


@dataclass(frozen=True)
class Stored:
    """A bucket, and a line to its server that can be cut."""

    line: Line
    endpoint: str

    @property
    def env(self) -> Mapping[str, str]:
        """What a user sets, on each machine."""
        keys = {**s3_support.SETTINGS, **s3_support.KEY}
        return {**keys, "AWS_ENDPOINT_URL": self.line.url, "HELIO_STORAGE": STORAGE}

    def names(self, job: str) -> set[str]:
        """Return the names of a job's files."""
        start = f"some/prefix/{job}/"
        with s3_support.bucket_client(self.endpoint) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=start)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key.removeprefix(start) for key in keys}


@pytest.fixture(scope="module")
def stored() -> Iterator[Stored]:
    with s3_support.s3_server() as endpoint:
        with s3_support.bucket_client(endpoint) as client:
            client.create_bucket(Bucket=BUCKET)
        where = urlsplit(endpoint)
        assert where.hostname
        assert where.port
        with Line((where.hostname, where.port)) as line:
            yield Stored(line, endpoint)


@pytest.fixture(scope="module")
def kept(helio: Helio, stored: Stored) -> dict[str, Any]:
    """The outcome of the digits' job with its files in S3."""
    done = helio("run", DIGITS / "train.yaml", "--json", *sets(["epochs=3"]), env=stored.env)
    assert done.status == 0, done.err
    return done.document


def test_a_job_with_storage_ends_as_one_without(
    helio: Helio, digits: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert kept["metrics"] == digits["metrics"]
    assert kept["model"].startswith("models:/digits/")
    client = MlflowClient(helio.tracking)
    ours, theirs = (
        [p.value for p in client.get_metric_history(job["run_id"], "train/loss")]
        for job in (kept, digits)
    )
    assert ours == theirs
    places = {item.path for item in client.list_artifacts(kept["run_id"], "pictures/test")}
    assert "pictures/test/confusion_matrix.png" in places


def test_the_driver_has_all_but_the_checkpoints_and_the_storage_has_these_too(
    helio: Helio, kept: dict[str, Any], stored: Stored
) -> None:
    names = stored.names(kept["job"])
    assert {"job.json", "spec.yaml", "resolved.json", "ended.json", "driver.json"} < names
    assert {"logs/rank-0.log", "logs/rank-1.log", "result.json"} < names
    weights = {name for name in names if name.endswith("model.safetensors")}
    assert 1 <= len(weights) <= 2
    folder = helio.folder(kept["job"])
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names - here == {
        name for name in names if name.startswith("checkpoints/") and "manifest" not in name
    }
    assert not list((helio.home / "scratch").glob("*"))


def test_a_job_goes_on_on_another_machine(
    helio: Helio, kept: dict[str, Any], stored: Stored, tmp_path: Path
) -> None:
    another = make_helio(tmp_path / "another")
    env = {**stored.env, "MLFLOW_TRACKING_URI": helio.tracking}

    done = another("resume", kept["job"], "--json", *sets(["epochs=4"]), env=env)

    assert done.status == 0, done.err
    assert "going on from step 60" in done.err
    assert done.document["run_id"] == kept["run_id"]
    records = read_all(another.folder(kept["job"]) / "journal")
    assert [event["attempt"] for event in events(records, "attempt_started")] == [1, 2]
    steps = [r["step"] for r in records if r["kind"] == "metric" and r["name"] == "val/accuracy"]
    assert steps == [20, 40, 60, 80]
    history = MlflowClient(helio.tracking).get_metric_history(kept["run_id"], "val/accuracy")
    assert [point.step for point in history] == steps


def test_training_goes_on_while_the_storage_is_away(
    helio: Helio, stored: Stored, tmp_path: Path
) -> None:
    process = helio.start(
        "run",
        slow_spec(tmp_path, pause=0.1),
        "--json",
        *sets(["resources.workers=1"]),
        env=stored.env,
    )
    job = wait_for_step(helio, process, 5)
    journal = helio.home / "scratch" / job / "0001" / "journal"
    stored.line.cut()
    try:
        told = lambda: read_all(journal)  # noqa: E731
        wait_until(lambda: events(told(), "storage_away"), 60, told)
        steps = len(told())
        wait_until(lambda: len(told()) > steps + 2, 60, told)
    finally:
        stored.line.mend()
    out, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    assert json.loads(out)["status"] == "FINISHED"
    assert "the S3 endpoint does not answer" in err
    records = read_all(helio.folder(job) / "journal")
    losses = [r["step"] for r in records if r["kind"] == "metric" and r["name"] == "val/accuracy"]
    assert losses == [20, 40, 60, 80]
    (away,) = events(records, "storage_away")
    assert "the S3 endpoint does not answer" in away["reason"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"AWS_ENDPOINT_URL": s3_support.AWAY}, "the S3 endpoint does not answer"),
        ({"HELIO_STORAGE": "s3://nobody-has-this-bucket/x"}, "there is no bucket 'nobody-has-"),
        ({"HELIO_STORAGE": "gs://bucket/x"}, "'gs://bucket/x' is nowhere"),
    ],
)
def test_a_storage_that_is_not_there_is_said_before_anything_is_trained(
    helio: Helio, stored: Stored, changed: dict[str, str], said: str
) -> None:
    before = set((helio.home / "jobs").glob("*"))
    done = helio("run", DIGITS / "train.yaml", "--json", env={**stored.env, **changed})
    assert (done.status, done.out) == (2, ""), done.err
    (line,) = [line for line in done.err.splitlines() if "HELIO_STORAGE: " in line]
    assert said in line
    assert set((helio.home / "jobs").glob("*")) == before


@pytest.mark.slow
def test_the_trials_of_a_search_go_on_and_are_cloned_over_the_storage(
    helio: Helio, stored: Stored
) -> None:
    """A search by PBT: legs of an epoch, of which the worse go on from the better one's."""
    options = (
        *("train.epochs=3", "trials=4", "concurrent=2", "algorithm=random"),
        "scheduler={name: pbt, every: 1}",
        "search={optimizer.lr: {loguniform: [1.0e-6, 1.0e-2]}}",
        "points_to_evaluate=[{optimizer.lr: 5.0e-3}, {optimizer.lr: 1.0e-6}]",
        "register={name: searched-in-storage}",
    )
    done = helio("run", DIGITS / "tune.yaml", "--json", *sets(options), env=stored.env)
    assert done.status == 0, done.err
    assert done.document["model"] == "models:/searched-in-storage/1"

    folder = helio.folder(done.document["job"])
    records = read_records(folder / "ledger.jsonl")[0]
    assert [r["trial"] for r in records if r["kind"] == "ended"]
    assert any(trial.joinpath("clone.json").exists() for trial in (folder / "trials").iterdir())
    best = max(r["values"][0] for r in records if r["kind"] == "told")
    assert done.document["metrics"]["val/accuracy"] == best
    for trial in (folder / "trials").iterdir():
        steps = [
            r["step"]
            for r in read_all(trial / "journal")
            if r["kind"] == "metric" and r["name"] == "val/accuracy"
        ]
        assert steps == [20, 40, 60]
        restored = events(read_all(trial / "journal"), "restored")
        assert [event["step"] for event in restored] == [20, 40]
    assert not list((helio.home / "scratch").glob("*"))

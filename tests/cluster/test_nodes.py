"""A head and two workers on hosts of their own, with S3 and PostgreSQL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from command import DIGITS, sets
from heliostat.training.journal import Record, events, read_all
from nodes import BUCKET, Nodes, three_nodes
from slow_net import slow_spec
from waiting import wait_until


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with three_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


def submit(nodes: Nodes, spec: Path, job: str, *settings: str) -> None:
    done = nodes.laptop("submit", spec, "--id", job, *sets(settings), "--json")
    assert done.status == 0, done.err


def outcome(nodes: Nodes, job: str) -> dict[str, Any]:
    """Follow a job to its end; return the document that it ends with."""
    done = nodes.laptop("logs", job, "-f")
    assert done.status == 0, done.err
    document: dict[str, Any] = json.loads(done.out[done.out.rindex('{\n  "job"') :])
    return document


def journal(nodes: Nodes, job: str) -> list[Record]:
    return read_all(nodes.head.home / "jobs" / job / "journal")


def wait_for_a_checkpoint(nodes: Nodes, job: str) -> None:
    def checkpoints() -> list[str]:
        return [k for k in nodes.stored(f"jobs/{job}/checkpoints/") if k.endswith("manifest.json")]

    wait_until(checkpoints, 120, lambda: nodes.laptop("logs", job).out)


def journal_writers(nodes: Nodes, job: str, rank: int) -> set[str]:
    """Return the workers that stored the journal of a rank."""
    segment = f"jobs/{job}/journal/0001-{rank:04d}-"
    asked = {a.client for a in nodes.s3.asked if a.method == "PUT" and segment in a.path}
    return asked - {nodes.head.address}


def each_step_once(nodes: Nodes, run_id: str) -> None:
    assert nodes.steps(run_id, "train/loss") == list(range(10, 81, 10))


def test_nodes_are_hosts_of_their_own(nodes: Nodes) -> None:
    if nodes.in_place:
        pytest.skip(f"all nodes are this host's: {nodes.in_place}")
    assert set(nodes.living()) == {node.address for node in (nodes.head, *nodes.workers)}


def test_a_shipped_spec_trains_unchanged_on_two_hosts(nodes: Nodes) -> None:
    submit(nodes, DIGITS / "train.yaml", "digits-1", "epochs=3")
    ended = outcome(nodes, "digits-1")
    assert ended["status"] == "FINISHED", ended
    assert ended["metrics"]["test/seen"] == 270
    assert ended["model"] == "models:/digits/1"
    (started,) = events(
        [r for r in journal(nodes, "digits-1") if r["rank"] == 0], "attempt_started"
    )
    assert started["world_size"] == 2
    if not nodes.in_place:
        writers = [journal_writers(nodes, "digits-1", rank) for rank in (0, 1)]
        assert writers in ([{a}, {b}] for a, b in permutations(w.address for w in nodes.workers))
    run = nodes.run_of("digits-1")
    assert run["status"] == "FINISHED"
    assert run["run_id"] == ended["run_id"]
    assert nodes.stored("artifacts/")
    row = next(r for r in nodes.laptop("jobs", "--json").document["jobs"] if r["id"] == "digits-1")
    assert row["status"] == "SUCCEEDED"


SET = """
kind: train
name: imported
model: {name: cnn_small}
data:
  train: {uri: "s3://helio/set", split: train}
  val: {uri: "s3://helio/set", split: test}
batch_size: 16
optimizer: {name: sgd, lr: 0.1}
epochs: 2
resources: {workers: 2}
"""


@pytest.mark.slow
def test_data_in_s3_is_fetched_once_a_node_whatever_the_number_of_jobs(
    nodes: Nodes, tmp_path: Path
) -> None:
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:300], digits.target, strict=False)):
        folder = tmp_path / "source" / ("test" if number % 5 == 0 else "train") / f"digit-{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number}.png")
    done = nodes.laptop("data", "import", tmp_path / "source", f"s3://{BUCKET}/set", "--json")
    assert done.status == 0, done.err
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "train.yaml").write_text(SET)
    for job in ("set-1", "set-2"):
        submit(nodes, tmp_path / "job" / "train.yaml", job)
        assert outcome(nodes, job)["status"] == "FINISHED"
    shards = [asked for asked in nodes.s3.asked if asked.path.endswith(".parquet")]
    fetched = Counter((a.client, a.path) for a in shards if a.method == "GET")
    if nodes.in_place:
        pytest.skip(f"who fetched what can't be told: {nodes.in_place}")
    assert {worker.address for worker in nodes.workers} <= {client for client, _ in fetched}
    assert set(fetched.values()) == {1}, fetched


@pytest.mark.slow
def test_a_host_that_loses_its_power_costs_the_steps_since_the_last_checkpoint(
    nodes: Nodes, tmp_path: Path
) -> None:
    submit(nodes, slow_spec(tmp_path / "job"), "lost-1")
    wait_for_a_checkpoint(nodes, "lost-1")
    lost = nodes.workers[1]
    lost.crash()
    lost.boot()
    nodes.join(lost)
    ended = outcome(nodes, "lost-1")
    assert ended["status"] == "FINISHED", ended
    started = events([r for r in journal(nodes, "lost-1") if r["rank"] == 0], "attempt_started")
    assert [r["world_size"] for r in started] == [2, 2]
    (restored,) = events([r for r in journal(nodes, "lost-1") if r["rank"] == 0], "restored")
    assert restored["step"] in range(5, 80, 5)
    repeated = events(journal(nodes, "lost-1"), "repeated")
    assert {r["largest_difference"] for r in repeated} <= {0}
    run = nodes.run_of("lost-1")
    assert (run["status"], run["tags"]["heliostat.attempts"]) == ("FINISHED", "2")
    each_step_once(nodes, run["run_id"])
    closed = events(journal(nodes, "lost-1"), "attempt_closed")
    assert [event["why"] for event in closed] == ["node_lost", "finished"]


@pytest.mark.slow
def test_an_elastic_job_goes_on_with_the_host_that_is_left(nodes: Nodes, tmp_path: Path) -> None:
    spec = slow_spec(tmp_path / "job")
    submit(nodes, spec, "elastic-1", "resources.workers=[1, 2]")
    wait_for_a_checkpoint(nodes, "elastic-1")
    lost = nodes.workers[0]
    lost.crash()
    try:
        ended = outcome(nodes, "elastic-1")
    finally:
        lost.boot()
        nodes.join(lost)
        nodes.wait_for_workers()
    assert ended["status"] == "FINISHED", ended
    started = events([r for r in journal(nodes, "elastic-1") if r["rank"] == 0], "attempt_started")
    assert [r["world_size"] for r in started] == [2, 1]
    run = nodes.run_of("elastic-1")
    each_step_once(nodes, run["run_id"])


@pytest.mark.slow
def test_a_host_that_is_drained_costs_no_step_and_no_retry_of_failures(
    nodes: Nodes, tmp_path: Path
) -> None:
    settings = ("resources.workers=[1, 2]", "retries={failures: 0, preemptions: 1}")
    submit(nodes, slow_spec(tmp_path / "job"), "drained-1", *settings)
    wait_for_a_checkpoint(nodes, "drained-1")
    placed = events(journal(nodes, "drained-1"), "placed")
    place = {event["rank"]: event for event in placed}[1]
    left = next((worker for worker in nodes.workers if worker.name == place["host"]), None)
    if left is None:
        pytest.skip(f"which host is drained can't be told: {nodes.in_place}")
    nodes.drain(place["node"])
    try:
        ended = outcome(nodes, "drained-1")
    finally:
        left.crash()
        left.boot()
        nodes.join(left)
        nodes.wait_for_workers()
    assert ended["status"] == "FINISHED", ended
    records = journal(nodes, "drained-1")
    assert {event["verdict"] for event in events(records, "failed")} == {"preempted"}
    assert [event["by"] for event in events(records, "told_to_leave")] == ["drain"]
    assert not events(records, "repeated")
    each_step_once(nodes, nodes.run_of("drained-1")["run_id"])


@pytest.mark.slow
def test_s3_that_goes_away_and_comes_back_delays_what_is_stored_and_training_goes_on(
    nodes: Nodes, tmp_path: Path
) -> None:
    submit(nodes, slow_spec(tmp_path / "job"), "away-1")
    wait_for_a_checkpoint(nodes, "away-1")
    nodes.s3.cut()
    try:
        logs = [worker.home / "scratch" / "away-1" for worker in nodes.workers]
        before = newest_step(logs)
        wait_until(lambda: newest_step(logs) > before + 20, 60, lambda: newest_step(logs))
    finally:
        nodes.s3.mend()
    ended = outcome(nodes, "away-1")
    assert ended["status"] == "FINISHED", ended
    run = nodes.run_of("away-1")
    assert run["tags"]["heliostat.attempts"] == "1"
    each_step_once(nodes, run["run_id"])


def newest_step(folders: Sequence[Path]) -> int:
    """Return the last step that a journal on the workers' own disks tells of."""
    found = [p.parent for folder in folders for p in folder.glob("**/journal/*.jsonl")]
    steps = [r["step"] for folder in set(found) for r in read_all(folder) if r["kind"] == "metric"]
    return max(steps, default=0)

"""A job that is stopped: a last checkpoint, a run that says KILLED, and the same end on resume."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from command import DIGITS, Helio, sets
from heliostat.training.checkpoints import existing
from heliostat.training.journal import events, read_all
from heliostat.training.stopping import EVERY
from heliostat.training.storage import sha256
from jobs import wait_for_step

SLOW = '''
import os, threading, time
from torch import nn
from heliostat.vision.cnn_small import cnn_small


class Slow(nn.Module):
    """The small CNN, slow in training, or standing still from a step on; it needs a secret."""

    def __init__(self, num_classes, in_channels, pause=0, stands_at=None):
        super().__init__()
        self.net = cnn_small(num_classes=num_classes, in_channels=in_channels)
        self.pause, self.stands_at, self.steps = pause, stands_at, 0
        assert os.environ["HF_TOKEN"]

    def forward(self, images):
        self.steps += self.training
        time.sleep(self.pause * self.training)
        if self.training and self.steps == self.stands_at:
            threading.Event().wait()
        return self.net(images)
'''
SECRET = secrets.token_hex(16)

Signal = Callable[[Any], None]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, helio: Helio) -> Path:
    """A spec of four epochs of 21 steps on two workers, with a checkpoint after each epoch.

    Before the last, none of these comes at a multiple of EVERY, where a stopped job ends.
    """
    (helio.home / "secrets").mkdir(exist_ok=True)
    (helio.home / "secrets" / "hf").write_text(SECRET)
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.py").write_text(SLOW)
    text = (DIGITS / "train.yaml").read_text()
    text = text.replace("{name: cnn_small}", "{name: 'slow:Slow'}")
    text = text.replace("batch_size: 64", "batch_size: 60")
    text = text.replace("epochs: 20", "epochs: 4\nenv: {HF_TOKEN: {secret: hf}}")
    lines = [line for line in text.splitlines() if not line.startswith("register")]
    (folder / "train.yaml").write_text("\n".join(lines))
    return folder / "train.yaml"


@pytest.fixture(scope="module")
def rays() -> Iterator[Path]:
    """A folder for what Ray writes; its sockets' names leave no room for pytest's own."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def undisturbed(helio: Helio, spec: Path, rays: Path) -> dict[str, Any]:
    done = helio("run", spec, "--json", env={"RAY_TMPDIR": str(rays)})
    assert done.status == 0, done.err
    return done.document


def start(helio: Helio, *args: str | Path, **env: str) -> Any:
    """Start a command in a group of processes of its own, as a shell does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        helio.command(*args),
        env={**helio.env, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def sigterm(process: Any) -> None:
    process.terminate()


def ctrl_c(process: Any) -> None:
    """Do what a terminal does: all processes of the group get it."""
    os.killpg(process.pid, signal.SIGINT)


def same_weights(helio: Helio, one: dict[str, Any], other: dict[str, Any]) -> bool:
    paths = [helio.folder(job["job"]) / "model" / "weights.safetensors" for job in (one, other)]
    return sha256(paths[0]) == sha256(paths[1])


def newest_step(helio: Helio, job: str) -> int:
    return existing(helio.folder(job) / "checkpoints")[-1].step


def run_of(helio: Helio, job: str) -> Any:
    client = MlflowClient(helio.tracking)
    experiments = [each.experiment_id for each in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`heliostat.job` = '{job}'")
    return run


@pytest.mark.parametrize("stop", [sigterm, pytest.param(ctrl_c, marks=pytest.mark.slow)])
def test_a_stopped_job_writes_a_checkpoint_ends_killed_and_resumes_to_the_same_weights(
    helio: Helio, spec: Path, undisturbed: dict[str, Any], stop: Signal
) -> None:
    process = start(helio, "run", spec, "--json", "--set", "model.args.pause=0.05")
    job = wait_for_step(helio, process, 25)
    stop(process)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert '"status": "KILLED"' in out
    assert "stopping: a checkpoint is written first" in err
    step = newest_step(helio, job)
    assert 25 < step < 84
    assert step % EVERY == 0
    records = read_all(helio.folder(job) / "journal")
    (ended,) = events(records, "attempt_ended")
    assert ended["why"] == "stopped"
    assert {event["rank"] for event in events(records, "failed")} == {0, 1}
    run = run_of(helio, job)
    assert run.info.status == "KILLED"
    assert run.data.tags["heliostat.verdict"] == "stopped"

    done = helio("resume", job, "--json")
    assert done.status == 0, done.err
    assert f"going on from step {step}" in done.err
    assert done.document["run_id"] == run.info.run_id
    ended = run_of(helio, job)
    assert ended.info.status == "FINISHED"
    assert "heliostat.verdict" not in ended.data.tags
    assert same_weights(helio, done.document, undisturbed)
    assert done.document["metrics"] == undisturbed["metrics"]


@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_worker_that_gets_a_sigterm_costs_no_step_and_no_retry_of_failures(
    helio: Helio, spec: Path, undisturbed: dict[str, Any], rank: int
) -> None:
    settings = ["model.args.pause=0.05", "retries={failures: 0, preemptions: 1}"]
    process = start(helio, "run", spec, "--json", *sets(settings))
    job = wait_for_step(helio, process, 25)
    placed = events(read_all(helio.folder(job) / "journal"), "placed")
    (pid,) = (event["pid"] for event in placed if event["rank"] == rank)
    os.kill(pid, signal.SIGTERM)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert f"(rank {rank} got a SIGTERM); trying again (1 of 1 for preemptions)" in err

    records = read_all(helio.folder(job) / "journal")
    told = [(event["rank"], event["verdict"]) for event in events(records, "failed")]
    assert sorted(told) == [(0, "preempted"), (1, "preempted")]
    assert [event["why"] for event in events(records, "attempt_ended")] == ["preempted", "finished"]
    (restored,) = events(records, "restored")
    assert f"preempted after step {restored['step']}" in err
    assert not events(records, "repeated")
    document = json.loads(out)
    assert same_weights(helio, document, undisturbed)
    assert document["metrics"] == undisturbed["metrics"]
    run = run_of(helio, job)
    assert run.info.status == "FINISHED"
    assert "heliostat.verdict" not in run.data.tags


STANDS = ("--json", "--set", "model.args.stands_at=2")


def test_the_second_signal_ends_a_job_at_once(helio: Helio, spec: Path) -> None:
    process = start(helio, "run", spec, *STANDS, HELIO_GRACE_SECONDS="1000")
    job = wait_for_step(helio, process, 1)
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if "stopping" in line:
            break
    process.send_signal(signal.SIGINT)
    ended_without_checkpoint(helio, process, job)


@pytest.mark.slow
def test_a_job_that_comes_to_no_step_while_it_is_given_time_is_ended(
    helio: Helio, spec: Path
) -> None:
    process = start(helio, "run", spec, *STANDS, HELIO_GRACE_SECONDS="1")
    job = wait_for_step(helio, process, 1)
    process.terminate()
    ended_without_checkpoint(helio, process, job)


def ended_without_checkpoint(helio: Helio, process: Any, job: str) -> None:
    """Assert that a job that stands still, and would for ever, ends KILLED."""
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert not existing(helio.folder(job) / "checkpoints")
    assert run_of(helio, job).info.status == "KILLED"


def test_a_job_in_this_process_stops_with_a_checkpoint_though_its_readers_get_the_ctrl_c_too(
    helio: Helio, spec: Path
) -> None:
    """The terminal's Ctrl-C goes to the processes that read ahead as well."""
    here = ["--local", *sets(["resources.workers=1", "data.loader_processes=1"])]
    whole = helio("run", spec, "--json", *here)
    assert whole.status == 0, whole.err
    process = start(helio, "run", spec, "--json", *here, "--set", "model.args.pause=0.05")
    job = wait_for_step(helio, process, 25)
    ctrl_c(process)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert '"status": "KILLED"' in out
    step = newest_step(helio, job)
    assert 25 <= step < 40
    assert run_of(helio, job).info.status == "KILLED"
    done = helio("resume", job, "--json")
    assert done.status == 0, done.err
    assert f"going on from step {step}" in done.err
    assert same_weights(helio, done.document, whole.document)


def test_a_secret_is_in_nothing_that_its_job_on_workers_left(
    helio: Helio, undisturbed: dict[str, Any], rays: Path
) -> None:
    value = SECRET.encode()
    left = [p for folder in (helio.home, rays) for p in folder.rglob("*") if p.is_file()]
    assert any(path.name == "mlflow.db" for path in left)
    assert any(path.name == "raylet.out" for path in left)
    assert any(path.parent.name == "logs" and undisturbed["job"] in path.parts for path in left)
    kept = helio.home / "secrets"
    assert [path for path in left if kept not in path.parents and value in path.read_bytes()] == []

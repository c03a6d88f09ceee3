"""What goes wrong in training: said once, in the user's own words, and nothing is lost."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file
from torch import equal

from command import DIGITS, Helio, sets
from heliostat.training.journal import events, read_all
from heliostat.training.storage import read_json
from jobs import wait_for_step

TROUBLE = '''
import os, signal, time
from pathlib import Path
import torch.distributed as dist
from torch import nn
from heliostat.vision.cnn_small import cnn_small


class Trouble(nn.Module):
    """The small CNN, with something that goes wrong once at a training step of rank 1."""

    def __init__(self, num_classes, in_channels, how=None, at=58, once="", pause=0):
        super().__init__()
        self.net = cnn_small(num_classes=num_classes, in_channels=in_channels)
        self.how, self.at, self.once, self.pause, self.steps = how, at, once, pause, 0

    def forward(self, images):
        self.steps += self.training
        time.sleep(self.pause * self.training)
        if self.training and self.steps == self.at and dist.is_initialized():
            if dist.get_rank() == 1 or self.how == "nan":
                return self.trouble(images)
        return self.net(images)

    def trouble(self, images):
        if self.how == "raise":
            raise KeyError("the user's own mistake")
        if self.how == "nan":
            return self.net(images) * float("nan")
        if self.how == "kill" and not Path(self.once).exists():
            Path(self.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(images)
'''


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec of four epochs of 20 steps, with a checkpoint every 15 steps."""
    folder = tmp_path_factory.mktemp("trouble")
    (folder / "trouble.py").write_text(TROUBLE)
    text = (DIGITS / "train.yaml").read_text()
    text = text.replace("{name: cnn_small}", "{name: 'trouble:Trouble'}")
    text = text.replace("epochs: 20", "epochs: 4\ncheckpoint: {every: 15 steps}")
    lines = [line for line in text.splitlines() if not line.startswith("register")]
    (folder / "train.yaml").write_text("\n".join(lines))
    return folder / "train.yaml"


@pytest.fixture(scope="module")
def undisturbed(helio: Helio, spec: Path) -> dict[str, Any]:
    done = helio("run", spec, "--json")
    assert done.status == 0, done.err
    return done.document


def same_end(helio: Helio, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether two jobs ended with the same metrics and bit-identical weights."""
    paths = [helio.folder(job["job"]) / "model" / "weights.safetensors" for job in (one, other)]
    weights, others = (load_file(path) for path in paths)
    same = all(equal(weights[name], others[name]) for name in weights)
    return same and one["metrics"] == other["metrics"]


def once_each(helio: Helio, job: str, run_id: str) -> None:
    """Assert that no (metric, step) is there twice, in the journal or in MLflow."""
    records = read_all(helio.folder(job) / "journal")
    written = [(r["name"], r["step"]) for r in records if r["kind"] == "metric"]
    assert len(written) == len(set(written))
    history = MlflowClient(helio.tracking).get_metric_history(run_id, "train/loss")
    assert [p.step for p in history] == sorted({s for n, s in written if n == "train/loss"})


def attempts(helio: Helio, run_id: str, folder: Path) -> list[dict[str, Any]]:
    """Return the rows of the run's table of attempts."""
    client = MlflowClient(helio.tracking)
    table = read_json(Path(client.download_artifacts(run_id, "attempts.json", str(folder))))
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def test_a_killed_worker_costs_the_steps_since_its_checkpoint_and_nothing_else(
    helio: Helio, spec: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    options = ["model.args.how=kill", f"model.args.once={tmp_path}/killed", "model.args.pause=0.05"]
    done = helio("run", spec, "--json", *sets(options))
    assert done.status == 0, done.err
    assert "the worker of rank 1 was lost" in done.err
    records = read_all(helio.folder(done.document["job"]) / "journal")
    assert [event["step"] for event in events(records, "restored")] == [45]
    repeated = events(records, "repeated")[-1]
    assert repeated["largest_difference"] == 0
    once_each(helio, done.document["job"], done.document["run_id"])
    run = MlflowClient(helio.tracking).get_run(done.document["run_id"])
    assert run.data.tags["heliostat.attempts"] == "2"
    assert run.info.status == "FINISHED"
    killed, mended = attempts(helio, done.document["run_id"], tmp_path)
    assert (killed["why"], killed["workers"], killed["from_step"]) == ("worker_lost", 2, 0)
    assert (mended["why"], mended["from_step"]) == ("finished", 45)
    assert mended["checkpoint"] == "step-0000000045-a0001"
    assert mended["last_step"] == 80
    assert 0 <= mended["steps_repeated"] <= 58 - 45
    assert mended["largest_difference"] == 0
    assert killed["ended"] <= mended["started"]
    assert "2 attempts: worker lost, finished" in done.err
    shares = {
        name.removeprefix("goodput/"): value
        for name, value in run.data.metrics.items()
        if name.startswith("goodput/")
    }
    whole = shares.pop("worker_seconds")
    assert sum(shares.values()) == pytest.approx(1)
    first, last = (datetime.fromisoformat(t[:23]) for t in (killed["started"], mended["ended"]))
    assert whole == pytest.approx(2 * (last - first).total_seconds(), abs=2)
    assert shares["repeated"] * whole > 0.05  # at least a step's pause
    assert shares["trained"] * whole > 2 * 0.05 * 60
    assert "goodput " in done.err
    assert same_end(helio, done.document, undisturbed)


def test_a_users_exception_is_their_own_traceback_once_and_is_not_tried_again(
    helio: Helio, spec: Path
) -> None:
    done = helio("run", spec, "--json", "--set", "model.args.how=raise")
    assert done.status == 1
    assert done.err.count("Traceback") == 1
    told = done.err[done.err.index("Traceback") :].splitlines()
    assert "trouble.py" in told[1]
    assert told[-1] == 'KeyError: "the user\'s own mistake"'
    assert "on rank 1" in done.err
    outcome = done.document
    assert (outcome["status"], outcome["error"]["verdict"]) == ("FAILED", "user_code")
    records = read_all(helio.folder(outcome["job"]) / "journal")
    assert len(events(records, "attempt_started")) == 1
    run = MlflowClient(helio.tracking).get_run(outcome["run_id"])
    assert run.info.status == "FAILED"
    assert "the user's own mistake" in run.data.tags["heliostat.ended_because"]
    assert run.data.tags["heliostat.verdict"] == "user_code"


def test_a_loss_that_is_nan_ends_the_job_with_step_and_rate_and_keeps_the_checkpoint(
    helio: Helio, spec: Path
) -> None:
    done = helio("run", spec, "--json", "--set", "model.args.how=nan")
    assert done.status == 1
    error = done.document["error"]
    assert error["verdict"] == "diverged"
    assert "step 58" in error["message"]
    assert "learning rate" in error["message"]
    folder = helio.folder(done.document["job"]) / "checkpoints"
    kept = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    assert kept[-1] == "step-0000000045-a0001"


def test_ctrl_c_is_told_as_killed_and_resume_goes_on_to_the_same_end(
    helio: Helio, spec: Path, undisturbed: dict[str, Any]
) -> None:
    process = helio.start("run", spec, "--json", "--set", "model.args.pause=0.05")
    job = wait_for_step(helio, process, 25)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    client = MlflowClient(helio.tracking)
    (run,) = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], f"tags.`heliostat.job` = '{job}'"
    )
    assert run.info.status == "KILLED"
    done = helio("resume", job, "--json")
    assert done.status == 0, done.err
    assert done.document["run_id"] == run.info.run_id
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    once_each(helio, job, run.info.run_id)
    assert same_end(helio, done.document, undisturbed)


def test_a_driver_that_is_killed_leaves_a_run_that_says_failed(helio: Helio, spec: Path) -> None:
    process = helio.start("run", spec, "--json", *sets(["model.args.pause=0.1"]))
    job = wait_for_step(helio, process, 25)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    recorded: dict[str, Any] = {}
    while not recorded.get("complete"):
        assert time.monotonic() < deadline, "the run was not settled within a minute"
        time.sleep(0.5)
        recorded = read_json(helio.folder(job) / "recorded.json") or {}
    run = MlflowClient(helio.tracking).get_run(recorded["run_id"])
    assert run.info.status == "FAILED"
    assert run.data.tags["heliostat.ended_because"] == "the driver process died"
    assert run.data.tags["heliostat.verdict"] == "driver_lost"

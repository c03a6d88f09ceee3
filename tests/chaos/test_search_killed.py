"""A search from which any process is taken, at once and for good: it goes on and loses nothing."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from command import Helio
from heliostat.search.ledger import read_records
from heliostat.training.journal import read_all

TRIALS = 8

SPEC = """
kind: tune
name: killed
train:
  model: {name: 'slow:slow'}
  data:
    train: {uri: sklearn:digits, split: "all[:30%]"}
    val: {uri: sklearn:digits, split: "all[70%:]"}
  batch_size: 64
  optimizer: {name: sgd, lr: 0.1}
  epochs: 4
search:
  optimizer.lr: {loguniform: [1.0e-2, 1.0]}
  optimizer.momentum: {uniform: [0.0, 0.9]}
algorithm: random
trials: 8
concurrent: 2
"""

SLOW = '''
import time
from torch import nn
from heliostat.vision.cnn_small import cnn_small


class slow(nn.Module):
    """The small CNN, at a pace that leaves time to kill something."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.net = cnn_small(num_classes=num_classes, in_channels=in_channels)

    def forward(self, images):
        if self.training:
            time.sleep(0.05)
        return self.net(images)
'''


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    (folder / "slow.py").write_text(SLOW)
    (folder / "tune.yaml").write_text(SPEC)
    return folder / "tune.yaml"


@pytest.fixture(scope="module")
def undisturbed(helio: Helio, spec: Path) -> dict[str, Any]:
    done = helio("run", spec, "--json")
    assert done.status == 0, done.err
    return done.document


def records_of(folder: Path) -> list[dict[str, Any]]:
    return read_records(folder / "ledger.jsonl")[0]


def suggestions(folder: Path) -> list[dict[str, Any]]:
    return [record["values"] for record in records_of(folder) if record["kind"] == "suggested"]


def is_mid_search(folder: Path) -> bool:
    """Whether some trials have ended, others run and have a checkpoint."""
    kinds = [record["kind"] for record in records_of(folder)]
    checkpoints = list(folder.glob("trials/*/checkpoints/*/manifest.json"))
    return kinds.count("ended") >= 2 and len(checkpoints) >= 3


def driver(process: Any) -> int:
    return int(process.pid)


def named(*words: str) -> Callable[[Any], int]:
    """Return a search for the driver's descendant whose command line has one of the words."""

    def find(process: Any) -> int:
        for child in psutil.Process(process.pid).children(recursive=True):
            if any(word in " ".join(child.cmdline()) for word in words):
                return int(child.pid)
        raise AssertionError(f"no process is named {words}")

    return find


VICTIMS = {
    "the driver": driver,
    "a trial's process": named("LegTrainable.train", "ray::LegTrainable"),
    "the recorder": named("heliostat.runtime.recorder"),
    "the node (raylet)": named("raylet/raylet"),
    "Ray's head (GCS)": named("gcs_server"),
}
OFTEN = ("the driver",)


@pytest.mark.parametrize(
    "victim",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in VICTIMS],
)
def test_a_search_goes_on_after_kill_9_of(
    victim: str, helio: Helio, spec: Path, undisturbed: dict[str, Any]
) -> None:
    before = set(helio.home.glob("jobs/*"))
    process = helio.start("run", spec, "--json")
    folder = wait_for(lambda: next(iter(set(helio.home.glob("jobs/*")) - before), None))
    wait_for(lambda: is_mid_search(folder))
    psutil.Process(VICTIMS[victim](process)).send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=240)
    outlived = process.returncode == 0
    if victim in ("a trial's process", "the recorder"):
        assert outlived, err
    if not outlived:
        done = helio("run", spec, "--resume", "--json")
        assert done.status == 0, done.err
        assert done.document["job"] == folder.name
    assert_nothing_is_lost(helio, folder, helio.folder(undisturbed["job"]))


@pytest.mark.slow
@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_told_to_leave_says_so_and_goes_on_when_it_is_wanted(
    word: signal.Signals, helio: Helio, spec: Path, undisturbed: dict[str, Any]
) -> None:
    before = set(helio.home.glob("jobs/*"))
    process = helio.start("run", spec, "--json")
    folder = wait_for(lambda: next(iter(set(helio.home.glob("jobs/*")) - before), None))
    wait_for(lambda: is_mid_search(folder))
    process.send_signal(word)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert json.loads(out)["status"] == "KILLED"
    assert "failed" not in {record["kind"] for record in records_of(folder)}
    done = helio("resume", folder.name, "--json")
    assert done.status == 0, done.err
    assert_nothing_is_lost(helio, folder, helio.folder(undisturbed["job"]))


def assert_nothing_is_lost(helio: Helio, folder: Path, undisturbed: Path) -> None:
    """Assert that the search is what it would have been, in its ledger and in MLflow."""
    assert suggestions(folder) == suggestions(undisturbed)
    assert outcomes(folder) == outcomes(undisturbed)
    for trial in sorted((folder / "trials").iterdir()):
        written = [(r["name"], r["step"]) for r in read_all(trial / "journal")
                   if r["kind"] == "metric"]  # fmt: skip
        assert len(written) == len(set(written)), trial.name
    client = MlflowClient(helio.tracking)
    experiment = client.get_experiment_by_name("killed")
    assert experiment is not None
    where = f"tags.`heliostat.job` = '{folder.name}'"
    runs = client.search_runs([experiment.experiment_id], where, max_results=100)
    nested = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(nested) == TRIALS
    assert len(runs) == TRIALS + 1
    assert {run.info.status for run in runs} == {"FINISHED"}


def outcomes(folder: Path) -> dict[int, tuple[float, int, str]]:
    """Return each trial's last told value and how it ended: every trial is trained to its end."""
    values, ends = {}, {}
    for record in records_of(folder):
        if record["kind"] == "told":
            values[record["trial"]] = (record["values"][0], record["step"])
        if record["kind"] == "ended":
            ends[record["trial"]] = record["status"]
    assert sorted(values) == list(range(TRIALS))
    return {number: (*values[number], ends[number]) for number in values}


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Return what `condition` gives once it is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come to that in time")

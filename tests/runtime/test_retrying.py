"""Whether a job is tried again after a fault, and with how many samples at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from command import Helio, make_helio, sets
from heliostat import spec as specs
from heliostat.runtime.attempt_record import recorded_attempt
from heliostat.runtime.failures import Fault
from heliostat.runtime.job import Job
from heliostat.runtime.retrying import HALVED, Retrying
from heliostat.spec import TrainSpec
from heliostat.training.journal import events, read_all
from heliostat.training.storage import sha256
from small_specs import TRAIN

LOST = Fault.of("worker_lost", "the worker of rank 1 was lost")
PREEMPTED = Fault.of("preempted", "preempted after step 4")
FULL = Fault.of("out_of_memory_device", "on rank 0: CUDA out of memory")
KILLED = Fault.of("out_of_memory_host", "a worker was killed")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("job", tmp_path)


def train_spec(*overrides: str, path: Path) -> TrainSpec:
    (path / "train.yaml").write_text(TRAIN)
    spec = specs.load(path / "train.yaml", overrides).spec
    assert isinstance(spec, TrainSpec)
    return spec


def test_preemptions_use_up_no_retry_of_failures_and_failures_none_of_preemptions(job: Job) -> None:
    spec = train_spec("retries={failures: 1, preemptions: 2}", path=job.folder)
    retrying = Retrying(job, spec)
    assert retrying.after(PREEMPTED) == "trying again (1 of 2 for preemptions)"
    assert retrying.after(LOST) == "trying again (1 of 1 for failures)"
    assert retrying.after(PREEMPTED) == "trying again (2 of 2 for preemptions)"
    assert retrying.after(PREEMPTED) is None
    assert retrying.after(LOST) is None


def test_what_would_fail_again_is_not_tried_again_and_memory_is_left_alone_unasked(
    job: Job,
) -> None:
    retrying = Retrying(job, train_spec(path=job.folder))
    for fault in (Fault.of("user_code", "theirs"), Fault.of("data", "label 12"), FULL):
        assert retrying.after(fault) is None
        assert retrying.last(fault) == fault
    assert retrying.after(KILLED) == "trying again (1 of 3 for failures)"
    assert retrying.spec.accumulate == 1


def test_the_samples_at_a_time_are_halved_down_to_one_and_the_global_batch_is_kept(
    job: Job,
) -> None:
    halve = "retries={failures: 0, out_of_memory: halve}"
    spec = train_spec(halve, "batch_size=10", "resources.workers=2", path=job.folder)
    retrying = Retrying(job, spec)
    assert retrying.halved is None
    assert retrying.after(FULL) == "trying again with 3 samples at a time, not 5 (accumulate: 2)"
    assert retrying.after(KILLED) == "trying again with 2 samples at a time, not 3 (accumulate: 4)"
    assert retrying.after(FULL) == "trying again with 1 samples at a time, not 2 (accumulate: 5)"
    assert isinstance(retrying.spec, TrainSpec)
    assert (retrying.spec.accumulate, retrying.spec.batch_size) == (5, 10)
    assert retrying.after(FULL) is None
    assert retrying.last(FULL).failure.message.endswith(
        "CUDA out of memory (with one sample at a time)"
    )


def test_a_job_that_is_resumed_goes_on_with_what_was_halved_unless_it_is_told_otherwise(
    job: Job,
) -> None:
    spec = train_spec("retries.out_of_memory=halve", path=job.folder)
    retrying = Retrying(job, spec)
    retrying.after(FULL)
    with recorded_attempt(job, retrying.spec, retrying.halved):
        pass
    (event,) = events(read_all(job.folder / "journal"), HALVED)
    assert (event["accumulate"], event["samples_at_a_time"], event["attempt"]) == (2, 32, 1)
    assert Retrying(job, spec).spec == retrying.spec
    without = train_spec(path=job.folder)
    assert Retrying(job, without).spec == without
    more = train_spec("retries.out_of_memory=halve", "accumulate=8", path=job.folder)
    assert Retrying(job, more).spec.accumulate == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "kind: train\nname: own\nentrypoint: a:b\nretries: {out_of_memory: halve}\n",
            "retries.out_of_memory: a loop of your own decides how many samples it takes at a time",
        ),
        (
            "kind: tune\nname: search\nsearch: {optimizer.lr: {uniform: [0.1, 1]}}\ntrials: 2\n"
            "train: {model: {name: cnn_small}, data: {train: x, val: x}, batch_size: 64, epochs: 9,"
            " optimizer: {name: sgd, lr: 0.1}, retries: {out_of_memory: halve}}\n",
            "train.retries.out_of_memory: trials are compared",
        ),
    ],
)
def test_where_nothing_can_be_halved_the_setting_is_a_mistake(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(specs.InputError, match=expected):
        specs.load(tmp_path / "spec.yaml")


# ---- a whole job ------------------------------------------------------------------------------

GREEDY = '''
import torch
from torch import nn


class Greedy(nn.Module):
    """A device that holds no more than so many samples; no BatchNorm, which would notice."""

    def __init__(self, num_classes, in_channels, holds=1_000_000):
        super().__init__()
        self.holds, self.pixels = holds, nn.Linear(64 * in_channels, num_classes)

    def forward(self, images):
        if len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\\nMore.")
        return self.pixels(images.flatten(1))
'''


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Helio:
    """A HELIO_HOME beside a spec of six steps whose model has a memory of its own."""
    folder = tmp_path_factory.mktemp("greedy")
    (folder / "greedy.py").write_text(GREEDY)
    text = TRAIN.replace("cnn_small", "greedy:Greedy").replace("epochs: 9", "max_steps: 6")
    (folder / "train.yaml").write_text(text)
    return make_helio(folder / "home")


def run(greedy: Helio, *overrides: str) -> tuple[int, dict[str, Any], str]:
    path = greedy.home.parent / "train.yaml"
    done = greedy("run", path, "--local", "--json", *sets(["name=greedy", *overrides]))
    return done.status, done.document, done.err


def test_a_job_whose_memory_runs_out_ends_as_if_it_had_begun_with_fewer_samples_at_a_time(
    greedy: Helio,
) -> None:
    status, document, err = run(greedy, "model.args.holds=20", "retries.out_of_memory=halve")
    assert status == 0, err
    assert "32 samples at a time, not 64 (accumulate: 2)" in err
    assert "16 samples at a time, not 32 (accumulate: 4)" in err
    told = MlflowClient(greedy.tracking).get_run(document["run_id"]).data.tags
    assert told["heliostat.accumulate"] == "4"
    assert told["heliostat.attempts"] == "3"

    status, other, err = run(greedy, "accumulate=4")
    assert status == 0, err
    weights = [greedy.folder(one["job"]) / "model/weights.safetensors" for one in (document, other)]
    assert sha256(weights[0]) == sha256(weights[1])
    assert document["metrics"] == other["metrics"]


def test_a_job_that_does_not_ask_for_it_ends_with_its_verdict_in_one_line(greedy: Helio) -> None:
    status, document, err = run(greedy, "model.args.holds=20")
    assert status == 1
    assert document["error"] == {
        "verdict": "out_of_memory_device",
        "message": "on rank 0: CUDA out of memory. Tried to allocate 2.00 GiB.",
    }
    assert "out of memory device: on rank 0: CUDA out of memory" in err
    assert "Traceback" not in err
    told = MlflowClient(greedy.tracking).get_run(document["run_id"]).data.tags
    assert told["heliostat.verdict"] == "out_of_memory_device"

"""Ranks that share no folder: all that they need of one another goes over storage and sockets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train import WorkerGroupError
from safetensors.torch import load_file

from heliostat import spec as specs
from heliostat.data.stores import LocalFolder
from heliostat.runtime.failures import explain
from heliostat.runtime.job import Job
from heliostat.runtime.job_storage import mark_attempt
from heliostat.runtime.model_files import pack, put_models, unpacked, with_models_here
from heliostat.runtime.node import OtherMachine, place_of
from heliostat.runtime.registered_model import LocalModel
from heliostat.spec import InputError
from heliostat.training.journal import events, read_all
from machine import run_machines

SPEC = """\
kind: train
name: digits
model: {name: "users_own:Net"}
data:
  train: {uri: sklearn:digits, split: "all[:200]"}
  val: {uri: sklearn:digits, split: "all[200:260]"}
  test: {uri: sklearn:digits, split: "all[260:320]"}
batch_size: 40
optimizer: {name: adamw, lr: 0.01}
max_steps: 14
log_every: 2
objective: {metric: val/accuracy, goal: maximize}
checkpoint: {every: 3 steps}
resources: {workers: 2}
ema: {decay: 0.9}
"""

MODEL = """
import os
from torch import nn

class Net(nn.Module):
    steps = 0
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 10)
        )
    def forward(self, images):
        self.steps += self.training
        if self.training and self.steps == int(os.environ.get("FAIL_AT", 0)):
            raise KeyError("the user's own mistake")
        return self.layers(images)
"""

OWN = """\
kind: train
name: own
entrypoint: users_own:loop
epochs: 2
resources: {workers: 2}
"""

LOOP = """
import torch
from torch import nn

def loop(run):
    net = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    begin = 0
    if run.restored is not None:
        begin = run.restored["step"]
        net.load_state_dict(run.restored["model"])
        optimizer.load_state_dict(run.restored["optimizer"])
    for step in range(begin + 1, run.spec.epochs + 1):
        net(torch.ones(3, 2)).sum().backward()
        optimizer.step()
        run.report(
            {"loss": float(net.weight.sum())},
            step=step,
            checkpoint={"model": net.state_dict(), "optimizer": optimizer.state_dict()},
        )
    seen = [torch.zeros(2, 2) for _ in range(2)]
    torch.distributed.all_gather(seen, net.weight.detach())
    assert torch.equal(*seen)
"""


@pytest.fixture
def storage(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "storage" / "job")


def config(spec: Path, storage: LocalFolder, *, attempt: int = 1, **changes: Any) -> dict[str, Any]:
    mark_attempt(spec.parent, storage, "", attempt)
    return {
        "work": "train",
        "attempt": attempt,
        "folder": "/nowhere/that/can/be",
        "spec": {**specs.dump(specs.load(spec).spec), **changes},
        "code": str(spec.parent),
        "storage": {"uri": storage.uri, "job": "job", "created": 0.0},
    }


def written(folder: Path, text: str, source: str) -> Path:
    folder.mkdir()
    (folder / "users_own.py").write_text(source)
    (folder / "train.yaml").write_text(text)
    return folder / "train.yaml"


def test_two_machines_go_on_where_two_others_ended_and_end_as_if_nothing_had_been(
    tmp_path: Path, storage: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = written(tmp_path / "spec", SPEC, MODEL)
    for name in ("whole", "first", "second"):
        (tmp_path / name).mkdir()
    undisturbed = LocalFolder(tmp_path / "storage" / "undisturbed")
    assert run_machines(tmp_path / "whole", config(spec, undisturbed)) == [0, 0]

    monkeypatch.setenv("FAIL_AT", "12")
    assert run_machines(tmp_path / "first", config(spec, storage)) == [1, 1]
    monkeypatch.delenv("FAIL_AT")
    assert run_machines(tmp_path / "second", config(spec, storage, attempt=2)) == [0, 0]

    records = read_all(storage.root / "journal")
    assert [event["step"] for event in events(records, "restored")] == [10]
    assert values(storage) == values(undisturbed)
    ours, theirs = (load_file(s.root / "model/weights.safetensors") for s in (storage, undisturbed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert result(storage) == result(undisturbed)
    # Nothing stays behind on the machines.
    left = [p for n in ("whole", "first", "second") for p in tmp_path.glob(f"{n}/home-*/scratch/*")]
    assert left == []


def test_a_loop_of_the_users_own_goes_on_from_one_checkpoint_on_every_machine(
    tmp_path: Path, storage: LocalFolder
) -> None:
    spec = written(tmp_path / "spec", OWN, LOOP)
    for attempt, epochs in ((1, 2), (2, 4)):
        (tmp_path / str(attempt)).mkdir()
        ours = config(spec, storage, attempt=attempt, epochs=epochs)
        assert run_machines(tmp_path / str(attempt), ours) == [0, 0]

    records = read_all(storage.root / "journal")
    assert [event["step"] for event in events(records, "restored")] == [2]
    losses = [r["step"] for r in records if r["kind"] == "metric" and r["name"] == "loss"]
    assert losses == [1, 2, 3, 4]


def test_a_worker_that_does_not_see_the_drivers_folder_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    driver = {"file": str(tmp_path / "driver.json"), "says": {"host": "here", "pid": 7}}
    with (
        pytest.raises(OtherMachine) as caught,
        place_of({"folder": str(tmp_path / "job"), "driver": driver}, rank=1),
    ):
        pass
    assert not (tmp_path / "job").exists()

    failed = WorkerGroupError("training failed", {1: caught.value})
    with pytest.raises(InputError, match=r"do not see its HELIO_HOME; set HELIO_STORAGE to a fol"):
        explain(Job("job", tmp_path), 1, failed)


def test_a_folder_that_is_not_mounted_on_a_workers_machine_is_refused(
    storage: LocalFolder, helio_home: Path
) -> None:
    ours = {"attempt": 1, "storage": {"uri": storage.uri, "job": "job"}}
    with pytest.raises(OtherMachine, match="is not what the driver wrote"), place_of(ours, rank=0):
        pass


def test_a_worker_on_the_drivers_machine_writes_into_the_jobs_folder(tmp_path: Path) -> None:
    says = {"host": "here", "pid": 7}
    (tmp_path / "driver.json").write_text(json.dumps(says))
    driver = {"file": str(tmp_path / "driver.json"), "says": says}

    with place_of({"folder": str(tmp_path / "job"), "driver": driver}, rank=1) as place:
        assert place.folder == tmp_path / "job"
        assert place.mirror is None


def test_a_registered_models_files_come_to_the_machine_that_needs_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "driver" / "cache" / "models"
    file = here / "m-1" / "extra_files" / "weights.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    models = {"uri": str(tmp_path / "storage"), "here": str(here)}
    spec = {"model": {"weights": str(file)}, "data": {"train": {"uri": "/some/data"}}, "list": [1]}
    monkeypatch.setenv("HELIO_HOME", str(tmp_path / "worker"))

    put_models(spec, models)
    found = with_models_here(spec, models)

    copy = tmp_path / "worker" / "cache" / "models" / file.relative_to(here)
    assert found == {**spec, "model": {"weights": str(copy)}}
    assert copy.read_bytes() == b"weights"
    os.utime(copy, (0, 0))
    with_models_here(spec, models)
    assert copy.stat().st_mtime == 0


def test_a_predictions_model_and_what_it_is_measured_by_are_unpacked_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIO_HOME", str(tmp_path / "driver"))
    here = tmp_path / "driver" / "cache" / "models"
    for name in ("m-1/data/model.pt2", "m-2/data/model.pt2", "m-3/data/model.pt2"):
        (here / name).parent.mkdir(parents=True)
        (here / name).write_text(name)
    model = LocalModel(
        uri="models:/generator/1",
        name="generator",
        version=1,
        run_id="",
        folder=str(here / "m-1"),
        classes=("a", "b"),
        shape=(1,),
        dtype="int64",
        task="generation",
        task_args={"features": str(here / "m-2" / "data" / "model.pt2"), "samples": 7},
    )
    packed = pack(model, lambda content: content)
    monkeypatch.setenv("HELIO_HOME", str(tmp_path / "worker"))

    found = unpacked(model, packed, lambda reference: reference)

    there = tmp_path / "worker" / "cache" / "models"
    features = there / "m-2" / "data" / "model.pt2"
    args = {"features": str(features), "samples": 7}
    assert found == replace(model, folder=str(there / "m-1"), task_args=args)
    assert features.read_text() == "m-2/data/model.pt2"
    assert sorted(path.name for path in there.iterdir() if path.is_dir()) == ["m-1", "m-2"]


def values(storage: LocalFolder) -> list[tuple[str, int, float]]:
    """Return every metric that isn't measured with a clock, repetitions included."""
    return sorted(
        (r["name"], r["step"], r["value"])
        for r in read_all(storage.root / "journal")
        if r["kind"] == "metric" and not r["name"].startswith(("system/", "time/", "train/images"))
    )


def result(storage: LocalFolder) -> Mapping[str, float]:
    found: dict[str, float] = json.loads(storage.read("result.json"))["metrics"]
    return found

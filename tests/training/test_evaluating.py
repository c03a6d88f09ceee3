"""One process, or two or three over gloo: the same metrics, and the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import one_rank
from command import ROOT
from heliostat.training.journal import read_all
from small_specs import TWO_NETS

# Seconds, for a machine that is busy: importing torch alone may take ten.
PATIENCE = 120.0

WORLDS = (1, 2, 3)

NET = (
    TWO_NETS
    + """
class TwoTurns(Classification):
    def __init__(self, classes):
        super().__init__(classes)
        self.turns = (
            Turn("first", self.alone, lambda model: model.net.first.parameters()),
            Turn("second", self.of_both, lambda model: model.net.second.parameters()),
        )
    def alone(self, model, inputs, targets):
        return self.loss(nn.Sequential(model.normalize, model.net.first), inputs, targets)
    def of_both(self, model, inputs, targets):
        own = self.loss(model, inputs, targets)
        return {"own": own, "other": self.alone(model, inputs, targets)}
"""
)

# No rank's slice of 35 is another's size; the third batch, of one sample, leaves ranks empty.
SPEC = """
kind: train
name: digits
model: {name: "ranks_net:small"}
data:
  train: {uri: sklearn:digits, split: "all[:71]"}
  val: {uri: sklearn:digits, split: "all[71:100]"}
  augment: [{random_crop: {padding: 1}}]
batch_size: 35
optimizer: {name: sgd, lr: 0.05, momentum: 0.9}
epochs: 2
log_every: 1
resources: {workers: [1, 3]}
"""

SPECS = {
    "train": SPEC,
    "turns": SPEC.replace("ranks_net:small", "ranks_net:Two")
    + "task: ranks_net:TwoTurns\naccumulate: 2\nema: {decay: 0.5}\nclip_grad_norm: 1.0\n",
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Path]]:
    """What `one_rank` left at each number of workers."""
    folder = tmp_path_factory.mktemp("worlds")
    (folder / "ranks_net.py").write_text(NET)
    specs = [folder / f"{name}.yaml" for name in SPECS]
    for spec in specs:
        spec.write_text(SPECS[spec.stem])
    left = {world_size: folder / str(world_size) for world_size in WORLDS}
    for world_size, there in left.items():
        there.mkdir()
        if world_size > 1:
            run_ranks(there, specs, world_size)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        one_rank.work(left[1], specs)
        yield left


def test_evaluation_counts_each_sample_once_and_gives_equal_metrics_at_any_number_of_workers(
    worlds: dict[int, Path],
) -> None:
    (alone,) = metrics(worlds, 1)
    assert alone["seen"] == one_rank.SAMPLES == 10_007
    assert 0 < alone["accuracy"] < alone["top5_accuracy"] < 1
    assert metrics(worlds, 2) == [alone] * 2
    assert metrics(worlds, 3) == [alone] * 3


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("spec", SPECS)
def test_workers_with_uneven_slices_train_to_the_losses_and_weights_of_one(
    worlds: dict[int, Path], world_size: int, spec: str
) -> None:
    one, more = worlds[1] / spec, worlds[world_size] / spec
    assert len(losses(one)) == 6
    assert losses(more) == pytest.approx(losses(one), rel=1e-5)
    alone = load_file(one / "rank-0.safetensors")
    for rank in range(world_size):
        together = load_file(more / f"rank-{rank}.safetensors")
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def run_ranks(folder: Path, specs: list[Path], world_size: int) -> None:
    """Run `one_rank` as every rank of a world to its end; all must succeed."""
    command = [sys.executable, "-W", "error", one_rank.__file__, str(folder), *map(str, specs)]
    ours = {
        "PYTHONPATH": str(ROOT / "platform"),
        "WORLD_SIZE": str(world_size),
        # Gloo would listen on the address of the host's name, which need not have one.
        "GLOO_SOCKET_IFNAME": "lo",
    }
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **ours, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        for process in processes:
            output, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
            process.wait()


def metrics(worlds: dict[int, Path], world_size: int) -> list[dict[str, Any]]:
    """Return every rank's metrics of the evaluation."""
    files = [worlds[world_size] / f"rank-{rank}.json" for rank in range(world_size)]
    return [json.loads(file.read_text()) for file in files]


def losses(folder: Path) -> list[float]:
    """Return the training loss of every step."""
    return [r["value"] for r in read_all(folder / "journal") if r.get("name") == "train/loss"]

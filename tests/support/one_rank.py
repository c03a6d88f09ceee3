"""One rank of a world, without Ray: evaluate, train, and leave both results in a folder.

    RANK=0 WORLD_SIZE=2 python one_rank.py FOLDER SPEC…

Both are of heliostat's own functions; only the process group is made here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from heliostat import spec as specs
from heliostat.data.digits import open_digits
from heliostat.spec import TrainSpec
from heliostat.training.context import Context
from heliostat.training.evaluating import evaluate
from heliostat.training.loop import fit
from heliostat.training.reporter import Reporter
from heliostat.training.setup import set_up
from heliostat.vision.classification import Classification

SAMPLES = 10_007


def main() -> None:
    """Join the world that the environment names."""
    torch.set_num_threads(1)
    folder, *specs = map(Path, sys.argv[1:])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    sys.path.insert(0, str(specs[0].parent))
    # They meet at a file: a port that is free now may be taken when rank 0 comes to it.
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", meeting, rank=rank, world_size=world_size)
    work(folder, specs, rank, world_size)
    dist.destroy_process_group()


def work(folder: Path, specs: Sequence[Path], rank: int = 0, world_size: int = 1) -> None:
    """Leave this rank's metrics of an evaluation, and its weights after each spec's training."""
    for spec in specs:
        there = folder / spec.stem
        there.mkdir(exist_ok=True)
        reporter = Reporter(there, attempt=1, rank=rank)
        context = Context(folder=there, reporter=reporter, rank=rank, world_size=world_size)
        save_file(train(context, spec), there / f"rank-{rank}.safetensors")
        reporter.close()
    (folder / f"rank-{rank}.json").write_text(json.dumps(evaluate_digits(context)))


def evaluate_digits(context: Context) -> dict[str, float]:
    """Return a classifier's metrics on SAMPLES digits, the same ones over and over."""
    digits = open_digits("all")
    samples = digits.take(np.arange(SAMPLES) % len(digits))
    task, model = Classification(samples.classes), classifier(context.rank)
    return evaluate(task, model, samples, context, batch_size=256)[1]


def classifier(rank: int) -> nn.Module:
    """Return a classifier of 8×8 digits whose running statistics are another's at every rank.

    Its weights are whole numbers and its statistics powers of two: no order of summation, and so
    no size of a batch, changes a digit of what it gives.
    """
    torch.manual_seed(0)
    linear, norm = nn.Linear(64, 10, bias=False), nn.BatchNorm1d(10, eps=0.0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        linear.weight.copy_(torch.randint(-1, 2, (10, 64)))
        norm.running_mean[rank] = 4096
        norm.running_var.fill_(2.0**16)
    return nn.Sequential(_Flat(), linear, norm)


class _Flat(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).float()


def train(context: Context, path: Path) -> dict[str, Tensor]:
    """Train by a spec whose modules can be imported; return the weights."""
    spec = specs.load(path).spec
    assert isinstance(spec, TrainSpec)
    setup = set_up(spec)
    fit(spec, setup, context)
    return setup.model.state_dict()


if __name__ == "__main__":
    main()

"""A whole training loop: SGD whose moving average of the weights is what counts.

The average is evaluated and registered (Polyak and Juditsky 1992), which the built-in loop does
not do. Ranks, retries, records and the registry are still the platform's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from heliostat.data import Samples, TrainBatches, evaluation_batches

if TYPE_CHECKING:
    from heliostat.training.custom import CustomRun


def train(run: CustomRun, width: int, lr: float, decay: float = 0.98) -> None:
    """Train on `run.data`; the arguments after `run` are the spec's `args`."""
    spec, data = run.spec, run.data
    assert data is not None
    assert data.val is not None
    assert data.test is not None
    assert spec.batch_size is not None
    batches = TrainBatches(
        data.train,
        batch_size=spec.batch_size,
        seed=spec.seed,
        rank=run.rank,
        world_size=run.world_size,
    )
    total = spec.max_steps or (spec.epochs or 1) * batches.steps_per_epoch

    model = network(width, len(data.train.classes)).to(run.device)
    average = AveragedModel(model, avg_fn=get_ema_avg_fn(decay))
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    step = 0
    if run.restored is not None:  # a worker was lost, or `helio resume`: what was last reported
        step = run.restored["step"]
        model.load_state_dict(run.restored["model"])
        average.load_state_dict(run.restored["average"])
        optimizer.load_state_dict(run.restored["optimizer"])
    replica = DistributedDataParallel(model) if run.world_size > 1 else model

    while step < total:
        epoch, start = divmod(step, batches.steps_per_epoch)
        for batch in batches.epoch(epoch, start):
            logits = replica(batch.inputs.to(run.device))
            losses = cross_entropy(logits, batch.targets.to(run.device), reduction="none")
            # DDP takes the mean over the ranks; what is wanted is that over the global batch.
            loss = losses.sum() * (batch.weight * run.world_size / batch.global_size)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            average.update_parameters(model)
            step += 1
            if step == total:
                break
        run.report(
            {"val/accuracy": accuracy(average, data.val, run)},
            step=step,
            checkpoint={
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
        )

    run.report({"test/accuracy": accuracy(average, data.test, run)}, step=step)
    example, _ = data.train.read(np.array([0, 1]))
    probabilities = nn.Sequential(average.module, nn.Softmax(dim=1))
    run.export(average.module, example, predictor=probabilities, classes=data.train.classes)


def network(width: int, classes: int) -> nn.Module:
    """Return a network for images as the data has them, uint8 (n, 1, 8, 8): it scales them."""
    return nn.Sequential(
        _Scale(),
        nn.Conv2d(1, width, 3, padding=1),
        nn.GroupNorm(4, width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.GroupNorm(4, 2 * width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 16, classes),
    )


class _Scale(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float() / 255


@torch.no_grad()
def accuracy(model: nn.Module, samples: Samples, run: CustomRun) -> float:
    """Return the share of right answers, each sample counted once over all ranks."""
    right = torch.zeros((), dtype=torch.int64, device=run.device)
    for batch in evaluation_batches(
        samples, batch_size=256, rank=run.rank, world_size=run.world_size
    ):
        logits = model(batch.inputs.to(run.device))
        right += (logits.argmax(dim=1) == batch.targets.to(run.device)).sum()
    if run.world_size > 1:
        dist.all_reduce(right)
    return int(right) / len(samples)

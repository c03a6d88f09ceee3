"""Evaluation: each sample counted once, at any number of workers."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from heliostat.data import Samples, evaluation_batches
from heliostat.training.context import Context
from heliostat.training.distributed import (
    broadcast_buffers,
    gather_over_ranks,
    sum_over_ranks,
)
from heliostat.training.placing import to_device
from heliostat.training.precision import autocast
from heliostat.vision.task import Evaluation, Task


def evaluate(
    task: Task,
    model: nn.Module,
    samples: Samples,
    context: Context,
    *,
    batch_size: int,
    precision: str = "fp32",
) -> tuple[Evaluation, dict[str, float]]:
    """Return the evaluation (for its pictures) and its metrics, the same on every rank.

    A collective. `batch_size` is the global one; the metrics hold `seen`, the number of samples
    that were counted. Raises AssertionError where that is not the number there are.
    """
    broadcast_buffers(model)
    evaluation = task.evaluation()
    seen = torch.zeros((), dtype=torch.int64, device=context.device)
    was_training = model.training
    model.eval()
    with torch.no_grad(), autocast(context.device, precision):
        for batch in evaluation_batches(
            samples,
            batch_size=batch_size,
            rank=context.rank,
            world_size=context.world_size,
            one_size=getattr(task, "one_size", False),
        ):
            inputs, targets = to_device((batch.inputs, batch.targets), context.device)
            evaluation.update(model, inputs, targets)
            seen += len(batch.index)
            context.stopwatch.move()
    model.train(was_training)
    sum_over_ranks([seen, *evaluation.state().values()])
    if hasattr(evaluation, "records"):
        # Ranks' shares are contiguous and in the ranks' order: this is the data's.
        evaluation.records = list(chain.from_iterable(gather_over_ranks(evaluation.records)))
    if int(seen) != len(samples):
        raise AssertionError(f"evaluation counted {int(seen)} samples of {len(samples)}")
    return evaluation, {**evaluation.compute(), "seen": int(seen)}

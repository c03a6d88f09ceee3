"""One real batch all the way through, without a job: what `helio check --deep` runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from heliostat.data import TrainBatches, evaluation_batches
from heliostat.spec import TrainSpec
from heliostat.training.context import Context, choose_device
from heliostat.training.learners import step
from heliostat.training.loop import begin, save
from heliostat.training.placing import to_device
from heliostat.training.precision import autocast
from heliostat.training.reporter import Reporter
from heliostat.training.setup import Setup


def try_one_batch(spec: TrainSpec, setup: Setup, folder: Path) -> None:
    """Run a training step, an evaluation batch and a checkpoint's round trip in `folder`.

    Raises what any of them raises; AssertionError where the checkpoint comes back changed.
    """
    device = choose_device(0, gpus=spec.resources.gpus_per_worker)
    context = Context(folder=folder, reporter=Reporter(folder, attempt=1), device=device)
    batches = TrainBatches(
        setup.data.train,
        batch_size=spec.batch_size,
        seed=spec.seed,
        rank=0,
        world_size=1,
        augment=spec.data.augment,
        one_size=getattr(setup.task, "one_size", False),
    )
    run = begin(spec, setup, context, batches.steps_per_epoch)
    batch = next(batches.epoch(0))
    inputs, targets = to_device((batch.inputs, batch.targets), device)
    step(run.learners, replace(batch, inputs=inputs, targets=targets), 1, device, spec)
    if setup.data.val is not None:
        _evaluate_one(spec, setup, run.model, context)
    save(run)
    run.store.wait()
    checkpoint, skipped = run.store.newest()
    assert checkpoint is not None, skipped
    for name, value in checkpoint.weights().items():
        assert torch.equal(value, run.model.state_dict()[name].cpu()), name
    context.reporter.close()


def _evaluate_one(spec: TrainSpec, setup: Setup, model: torch.nn.Module, context: Context) -> None:
    assert setup.data.val is not None
    evaluation = setup.task.evaluation()
    model.eval()
    batches = evaluation_batches(
        setup.data.val,
        batch_size=spec.batch_size,
        rank=0,
        world_size=1,
        one_size=getattr(setup.task, "one_size", False),
    )
    with torch.no_grad(), autocast(context.device, spec.precision):
        batch = next(batches)
        inputs, targets = to_device((batch.inputs, batch.targets), context.device)
        evaluation.update(model, inputs, targets)
    evaluation.compute()
    model.train()

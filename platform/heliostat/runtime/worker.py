"""What runs in a Ray Train worker: it makes the context and trains."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from heliostat.runtime import environment


class TrainingFailed(RuntimeError):
    """A rank failed. What and why stands in the job's journal."""


def train_worker(config: dict[str, Any]) -> None:
    """Train as one rank; `config` holds the job's folder, the attempt, the spec and the code.

    Imports are deferred: the driver and Ray Train's controller load this module without torch.
    """
    import ray.train
    import torch
    import torch.distributed as dist

    from heliostat import spec as specs
    from heliostat.spec import EntrypointSpec, TrainSpec
    from heliostat.training.context import Context, choose_device
    from heliostat.training.process import train
    from heliostat.training.reporter import Reporter

    ranks = ray.train.get_context()
    rank, world_size = ranks.get_world_rank(), ranks.get_world_size()
    folder = Path(config["folder"])
    _write_output_to(folder / "logs" / f"rank-{rank}.log")
    make_importable(config["code"])
    spec = specs.parse(config["spec"])
    assert isinstance(spec, TrainSpec | EntrypointSpec)
    environment.apply(spec.env)
    device = choose_device(ranks.get_local_rank(), gpus=spec.resources.gpus_per_worker)
    if world_size > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, rank=rank, world_size=world_size)
    context = Context(
        folder=folder,
        reporter=Reporter(folder, attempt=config["attempt"], rank=rank),
        rank=rank,
        world_size=world_size,
        device=torch.device(device),
        attempt=config["attempt"],
    )
    try:
        train(spec, context, code=Path(config["code"]))
    except BaseException as error:
        # The user's exception may not survive pickling, and the journal has its traceback.
        raise TrainingFailed(f"rank {rank}: {type(error).__name__}") from None
    if world_size > 1:
        dist.destroy_process_group()


def make_importable(code: str) -> None:
    """Put the spec's folder first on the import path, and keep bytecode out of it."""
    if code not in sys.path:
        sys.path.insert(0, code)


def _write_output_to(log: Path) -> None:
    """Send this process's output to the job's folder: the user's prints, torch's warnings."""
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115  (for good)
    for descriptor in (1, 2):
        os.dup2(stream.fileno(), descriptor)
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, level=logging.INFO, force=True)

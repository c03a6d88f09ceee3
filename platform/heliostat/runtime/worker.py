"""What runs in a Ray Train worker: it makes the context and trains."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime import environment

if TYPE_CHECKING:
    from heliostat.spec import EntrypointSpec, TrainSpec
    from heliostat.training.context import Context


class TrainingFailed(RuntimeError):
    """A rank failed. What and why stands in the job's journal."""


def train_worker(config: dict[str, Any]) -> None:
    """Work as one rank of a group of Ray Train's; `config` as for `work_as`."""
    import ray.train

    ranks = ray.train.get_context()
    work_as(
        config,
        rank=ranks.get_world_rank(),
        local_rank=ranks.get_local_rank(),
        world_size=ranks.get_world_size(),
    )


def work_as(
    config: dict[str, Any], *, rank: int = 0, local_rank: int = 0, world_size: int = 1
) -> None:
    """Train as one rank; `config` holds the job's folder, the attempt, the spec and the code.

    Its `work` is "train", or what a search does of a trial: "leg" (and `until`, an epoch) or
    "finish" (and `trial`, its folder). Raises TrainingFailed; what failed stands in the journal.

    Imports are deferred: the driver and Ray Train's controller load this module without torch.
    """
    import torch
    import torch.distributed as dist

    from heliostat import spec as specs
    from heliostat.spec import EntrypointSpec, TrainSpec
    from heliostat.training.context import Context, choose_device
    from heliostat.training.reporter import Reporter

    folder = Path(config["folder"])
    _write_output_to(folder / "logs" / f"rank-{rank}.log")
    make_importable(config["code"])
    spec = specs.parse(config["spec"])
    assert isinstance(spec, TrainSpec | EntrypointSpec)
    environment.apply(spec.env)
    device = choose_device(local_rank, gpus=spec.resources.gpus_per_worker)
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
        # Ranks would see it at different steps.
        stop=Path(config["stop"]) if "stop" in config and world_size == 1 else None,
    )
    try:
        _do(config, spec, context)
    except BaseException as error:
        # The user's exception may not survive pickling, and the journal has its traceback.
        raise TrainingFailed(f"rank {rank}: {type(error).__name__}") from None
    if world_size > 1:
        dist.destroy_process_group()


def _do(config: dict[str, Any], spec: TrainSpec | EntrypointSpec, context: Context) -> None:
    from heliostat.training.process import train
    from heliostat.training.trial_process import run_finish, run_leg

    code = Path(config["code"])
    match config["work"]:
        case "train":
            train(spec, context, code=code)
        case "leg":
            run_leg(spec, context, until=config["until"])
        case "finish":
            run_finish(spec, context, trial=Path(config["trial"]), code=code)


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

"""What a training process knows of its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.distributed import Store  # type: ignore[attr-defined]

from heliostat.spec import InputError
from heliostat.training.goodput import Stopwatch
from heliostat.training.mirror import Mirror
from heliostat.training.reporter import Reporter


@dataclass(frozen=True)
class Context:
    """One process of a job. `torch.distributed` is initialised when `world_size` is above 1."""

    folder: Path
    """The job's folder: journal, checkpoints, pictures, model."""
    reporter: Reporter
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    attempt: int = 1
    stop: Callable[[], bool] | None = None
    """Asked on rank 0 before each step: once it says yes, all ranks end their work together by
    raising Stopped."""
    preempted: Callable[[], bool] | None = None
    """Asked on rank 0 once `stop` says yes: whether that is because a machine or a process is to
    go, and not because the user wants no more."""
    store: Store | None = None
    """What the ranks tell one another beside collectives, where there are several."""

    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    """Where this rank's seconds go, and whether it moves."""
    end_stalled: Callable[[str], None] | None = None
    """Called in another thread, with what is to be said, once this rank has stood still for as long
    as the spec allows; None where the driver hears of it and ends the attempt."""
    mirror: Mirror | None = None
    """What brings this rank's files to the job's storage; None where all ranks see its folder."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone records metrics and writes checkpoints."""
        return self.rank == 0


def choose_device(local_rank: int, *, gpus: float) -> torch.device:
    """Return this process's device: its CUDA device where the spec gives workers GPUs.

    Raises InputError where there is no such device.
    """
    if gpus > 0:
        if not torch.cuda.is_available():
            raise InputError.of(
                "a GPU is asked for, and torch finds none here",
                key=("resources", "gpus_per_worker"),
                valid="0",
            )
        # Ray shows a worker only its own GPUs; alone in a process all are visible.
        device = torch.device("cuda", min(local_rank, torch.cuda.device_count() - 1))
        torch.cuda.set_device(device)
        return device
    return torch.device("cpu")

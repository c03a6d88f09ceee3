"""One rank of a world, without Ray, which trains specs: to the end, or until it is cut short.

    RANK=0 WORLD_SIZE=2 python cut_short.py FOLDER MODES SPEC…

MODES are some of `whole`, `cut` and `resumed`, with commas between. A spec is trained in
FOLDER/whole/<spec>, or in FOLDER/killed/<spec>: `cut` stops there with an exception in the middle
of step CUT, as the process of a job that is killed would, and `resumed` goes on. It leaves this
rank's weights.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from heliostat import spec as specs
from heliostat.spec import TrainSpec
from heliostat.training.context import Context
from heliostat.training.loop import fit
from heliostat.training.own_state import weights_of
from heliostat.training.reporter import Reporter
from heliostat.training.setup import set_up

CUT = 9
"""The step, from 1, which is cut short after its (first turn's) optimizer has moved the weights."""


class CutShort(Exception):
    """The end of a job that is not to end well."""


def main() -> None:
    """Join the world that the environment names."""
    torch.set_num_threads(1)
    folder, modes = Path(sys.argv[1]), sys.argv[2]
    paths = [Path(path) for path in sys.argv[3:]]
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    sys.path.insert(0, str(paths[0].parent))
    if world_size > 1:
        # They meet at a file: a port that is free now may be taken when rank 0 comes to it.
        meeting = f"file://{folder}/meeting-{modes}"
        dist.init_process_group("gloo", meeting, rank=rank, world_size=world_size)
    for mode in modes.split(","):
        work(folder, mode, paths, rank, world_size)
    if world_size > 1:
        dist.destroy_process_group()


def work(folder: Path, mode: str, paths: Sequence[Path], rank: int = 0, world: int = 1) -> None:
    """Train each spec once, in one of the modes."""
    for path in paths:
        there = folder / ("whole" if mode == "whole" else "killed") / path.stem
        there.mkdir(parents=True, exist_ok=True)
        attempt = 2 if mode == "resumed" else 1
        reporter = Reporter(there, attempt=attempt, rank=rank)
        context = Context(there, reporter, rank=rank, world_size=world, attempt=attempt)
        if mode == "cut":
            _cut(context, path)
        else:
            _train(context, path)
        reporter.close()


def _cut(context: Context, path: Path) -> None:
    done = 0

    def moved(*_: Any) -> None:
        nonlocal done
        done += 1
        if done == CUT:
            raise CutShort

    hook = register_optimizer_step_post_hook(moved)
    try:
        _train(context, path)
    except CutShort:
        return
    finally:
        hook.remove()
    raise AssertionError(f"{path.stem} was not cut short")


def _train(context: Context, path: Path) -> None:
    spec = specs.load(path).spec
    assert isinstance(spec, TrainSpec)
    setup = set_up(spec)
    metrics = fit(spec, setup, context)
    state = weights_of(setup.model)
    state = {name: value.contiguous() for name, value in state.items()}
    save_file(state, context.folder / f"rank-{context.rank}.safetensors")
    (context.folder / f"rank-{context.rank}.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()

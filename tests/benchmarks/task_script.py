"""The peer of each vision task: a plain script of the kind of torchvision's references.

    torchrun --nproc-per-node 2 task_script.py --task detection --data FOLDER --report FOLDER

DDP over gloo, a DataLoader over a Dataset that opens the files with Pillow, torchvision's v2
transforms sample by sample, a standard DistributedSampler. What differs between the tasks is in
`task_peers/`, a file each, with what is said there. Of heliostat it takes the network's builder and
nothing else: no loss, no data, no loop.

It is meant to be fast: no processes that load (on two cores the two ranks have both), a fused
optimizer, gradients as views of the buckets, annotations parsed once, no `.item()` between logged
steps, no MLflow, no checkpoints. Each rank writes what tasks.py reads to `--report`.
"""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchrun_script import Report, batches

TASKS = ("detection", "segmentation", "generation", "translation")


class Training(Protocol):
    """A task's networks, optimizers and schedules."""

    def step(self, batch: Any) -> Tensor:
        """Learn from this rank's part of a batch; return its mean loss, detached."""


def main() -> None:
    """Train for `--steps` steps and write the report."""
    args = parse_arguments()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    report = Report(args.report / f"rank-{rank}.jsonl")
    torch.manual_seed(rank)  # DDP gives every rank the weights of rank 0
    dist.init_process_group("gloo")
    peer = import_module(f"task_peers.{args.task}")
    loader, sampler = build_loader(peer.Images(args.data), args.batch // world_size)
    training: Training = peer.Training(args.steps)

    total = torch.zeros(())
    for step, batch in enumerate(batches(loader, sampler, args.steps), start=1):
        total += training.step(batch)
        if step == 1:
            report.write("first_step")
        if step % args.log_every == 0:
            dist.all_reduce(total)
            loss = total.item() / world_size / args.log_every
            report.write("step", step=step, loss=loss)
            if rank == 0:
                print(f"step {step}: loss {loss:.4f}", flush=True)
            total = torch.zeros(())

    report.write("memory", pss=psutil.Process().memory_full_info().pss)
    dist.barrier()  # nobody leaves, and hands over the shared pages, before all have measured
    dist.destroy_process_group()


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True, help="images in the global batch")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--log-every", type=int, default=10)
    return parser.parse_args()


def build_loader(
    images: Any, per_rank: int
) -> tuple[DataLoader[Any], DistributedSampler[Dataset[Any]]]:
    """Return the loader of this rank's part of each global batch, and its sampler."""
    sampler: DistributedSampler[Dataset[Any]] = DistributedSampler(images, drop_last=True)
    loader = DataLoader(
        images, batch_size=per_rank, sampler=sampler, drop_last=True, collate_fn=images.collate
    )
    return loader, sampler


if __name__ == "__main__":
    main()

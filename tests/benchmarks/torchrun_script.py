"""The peer: what a careful person writes by hand, DDP under torchrun with MLflow calls.

    torchrun --nproc-per-node 2 torchrun_script.py --model cnn_small --data FOLDER --report FOLDER

It imports nothing of heliostat. It is meant to be fast: uint8 images in memory, gathered, cropped
and flipped a batch at a time, mlflow imported by rank 0 only, torchvision only where its model is
wanted, a fused optimizer, gradients as views of the buckets, no `.item()` between logged steps.

Each rank writes what bench.py reads to `--report`/rank-<rank>.jsonl, a record a line:
{"event", "time": unix seconds, "since_start": seconds since the process began, ...}.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler


def main() -> None:
    """Train for `--steps` steps and write the report."""
    args = parse_arguments()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    report = Report(args.report / f"rank-{rank}.jsonl")
    mlflow = start_mlflow(args) if rank == 0 else None
    report.write("imported")

    torch.manual_seed(args.seed)
    dist.init_process_group("gloo")
    report.write("process_group_ready")

    images, labels = READERS[args.model](args.data)
    mean, std = statistics(images)
    model = DistributedDataParallel(MODELS[args.model](), gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=args.steps, pct_start=0.2, cycle_momentum=False
    )
    loader, sampler = build_loader(images, labels, args, world_size)

    model.train()
    for step, (inputs, targets) in enumerate(batches(loader, sampler, args.steps), start=1):
        logits = model((inputs.float() / 255 - mean) / std)
        loss = nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step == 1:
            report.write("first_step")
        if step % args.log_every == 0:
            dist.all_reduce(loss.detach())  # the loss of the global batch, as heliostat records it
            report.write("step", step=step)
            if mlflow is not None:
                values = {"train/loss": loss.item() / world_size, "lr": schedule.get_last_lr()[0]}
                mlflow.log_metrics(values, step=step, synchronous=not args.mlflow_async)

    report.write("memory", pss=psutil.Process().memory_full_info().pss)
    dist.barrier()  # nobody leaves, and hands over the shared pages, before all have measured
    dist.destroy_process_group()
    if mlflow is not None:
        mlflow.end_run()
    report.write("done")


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=sorted(MODELS), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--mlflow-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--mlflow-async", action="store_true")
    parser.add_argument("--batch", type=int, default=256, help="images in the global batch")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--limit", type=int, default=None, help="use the first images only")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-workers", type=int, default=0)
    return parser.parse_args()


class Report:
    """Writes the lines that bench.py reads."""

    def __init__(self, path: Path) -> None:
        """Open `path` for one rank."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._born = psutil.Process().create_time()

    def write(self, event: str, **fields: Any) -> None:
        """Append one record."""
        now = time.time()
        record = {"event": event, "time": now, "since_start": now - self._born, **fields}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def start_mlflow(args: argparse.Namespace) -> Any:
    """Begin the run and log its parameters; return the module."""
    import mlflow  # 3 s: the other ranks go without

    mlflow.set_tracking_uri(args.mlflow_uri)
    mlflow.set_experiment(f"benchmark-{args.model}")
    mlflow.start_run()
    mlflow.log_params({key: str(value) for key, value in vars(args).items()})
    return mlflow


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Images in memory, read a batch at a time: `__getitems__` is torch's hook for that."""

    def __init__(self, images: Tensor, labels: Tensor, padding: int) -> None:
        """Keep `images` uint8 (n, C, H, W); a crop moves them by up to `padding` pixels."""
        self._images, self._labels = images, labels
        self._size, self._padding = images.shape[-1], padding

    def __len__(self) -> int:
        return len(self._labels)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return the batch: cropped and flipped uint8 (n, C, H, W), and labels int64 (n,)."""
        chosen = torch.as_tensor(indices)
        padded = nn.functional.pad(self._images[chosen], (self._padding,) * 4)
        top, left = torch.randint(2 * self._padding + 1, (2, len(indices), 1))
        flip = torch.rand(len(indices), 1) < 0.5
        rows = top + torch.arange(self._size)
        columns = left + torch.where(
            flip, torch.arange(self._size - 1, -1, -1), torch.arange(self._size)
        )
        picked = padded[
            torch.arange(len(indices))[:, None, None, None],
            torch.arange(padded.shape[1])[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
        return picked, self._labels[chosen]


def build_loader(
    images: Tensor, labels: Tensor, args: argparse.Namespace, world_size: int
) -> tuple[DataLoader[Any], DistributedSampler[Any]]:
    """Return the loader of this rank's part of the global batch, and its sampler."""
    dataset = Images(images[: args.limit], labels[: args.limit], padding=2)
    sampler = DistributedSampler(dataset, seed=args.seed, drop_last=True)
    loader = DataLoader(
        dataset,
        batch_size=args.batch // world_size,
        sampler=sampler,
        drop_last=True,
        num_workers=args.num_workers,
        persistent_workers=args.num_workers > 0,
        collate_fn=lambda batch: batch,
    )
    return loader, sampler


def batches(
    loader: DataLoader[Any], sampler: DistributedSampler[Any], steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `steps` batches, over as many epochs as that takes."""
    done, epoch = 0, 0
    while done < steps:
        sampler.set_epoch(epoch)
        for batch in loader:
            yield batch
            done += 1
            if done == steps:
                return
        epoch += 1


def statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and deviation on 0..1, shape (C, 1, 1), from 2,000 images."""
    sample = images[:2000].float() / 255
    return sample.mean((0, 2, 3))[:, None, None], sample.std((0, 2, 3))[:, None, None]


def read_fashion_mnist(folder: Path) -> tuple[Tensor, Tensor]:
    """Return images uint8 (60000, 1, 28, 28) and labels int64, from the IDX files."""
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return torch.tensor(images), torch.tensor(labels, dtype=torch.int64)


def read_cifar10(folder: Path) -> tuple[Tensor, Tensor]:
    """Return images uint8 (50000, 3, 32, 32) and labels int64, from the python batches."""
    parts = []
    for number in range(1, 6):
        with (folder / f"data_batch_{number}").open("rb") as file:
            parts.append(pickle.load(file, encoding="bytes"))
    images = np.concatenate([part[b"data"] for part in parts]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([part[b"labels"] for part in parts])
    return torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64)


def cnn_small() -> nn.Module:
    """Return heliostat's cnn_small, layer by layer, for one channel and ten classes."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 10),
    )


def resnet18() -> nn.Module:
    """Return torchvision's ResNet-18 for ten classes."""
    from torchvision.models import resnet18 as build  # 4 s: not for the other model

    return build(num_classes=10)


MODELS = {"cnn_small": cnn_small, "resnet18": resnet18}
READERS = {"cnn_small": read_fashion_mnist, "resnet18": read_cifar10}

if __name__ == "__main__":
    main()

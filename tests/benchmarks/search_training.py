"""The peers' training: plain torch in one process, the data in memory. Imports no heliostat.

The network, batches, optimizer, schedule and evaluations are those of search_digits.yaml and
search_walltime.yaml; there is no checkpoint, journal or MLflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchrun_script import Images, cnn_small, read_fashion_mnist, statistics

Read = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Indices (n,) → images uint8 (n, 1, H, W), labels int64 (n,)."""


@dataclass(frozen=True)
class Training:
    """What is the same in all trials."""

    read: Read
    """A training batch, augmented."""
    images: int
    """For training."""
    val: tuple[Tensor, Tensor]
    mean: Tensor
    std: Tensor
    batch: int
    epochs: int


def digits() -> Training:
    """Return the training of search_digits.yaml."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.tensor(bunch.images * 255 / 16, dtype=torch.uint8)[:, None]
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    count, end = int(0.7 * len(labels)), int(0.85 * len(labels))
    val = images[count:end], labels[count:end]
    return Training(
        lambda chosen: (images[chosen], labels[chosen]), count, val, *statistics(images), 64, 1
    )


def fashion(folder: Path, *, images: int, val: int, epochs: int) -> Training:
    """Return the training of search_walltime.yaml, on so many images of Fashion-MNIST."""
    pixels, labels = read_fashion_mnist(folder)
    dataset = Images(pixels[:images], labels[:images], padding=2)
    return Training(
        lambda chosen: dataset.__getitems__(chosen.tolist()),
        images,
        (pixels[-val:], labels[-val:]),
        *statistics(pixels),
        128,
        epochs,
    )


def fit(training: Training, values: Mapping[str, float]) -> tuple[float, float]:
    """Train a new network by `values`; return its best accuracy on val, and the seconds it took."""
    began = time.monotonic()
    torch.manual_seed(0)
    model = cnn_small()
    steps = -(-training.images // training.batch) * training.epochs
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=values["optimizer.lr"],
        momentum=values["optimizer.momentum"],
        weight_decay=values["optimizer.weight_decay"],
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, values["optimizer.lr"], steps, pct_start=0.3, cycle_momentum=False
    )
    best = 0.0
    for _ in range(training.epochs):
        model.train()
        for chosen in torch.randperm(training.images).split(training.batch):
            images, labels = training.read(chosen)
            logits = model((images.float() / 255 - training.mean) / training.std)
            loss = nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        best = max(best, accuracy(model, training))
    return best, time.monotonic() - began


@torch.no_grad()
def accuracy(model: nn.Module, training: Training) -> float:
    """Return the share of right answers on val."""
    model.eval()
    right = 0
    batches = zip(*(part.split(training.batch) for part in training.val), strict=True)
    for images, labels in batches:
        logits = model((images.float() / 255 - training.mean) / training.std)
        right += int((logits.argmax(1) == labels).sum())
    return right / len(training.val[1])

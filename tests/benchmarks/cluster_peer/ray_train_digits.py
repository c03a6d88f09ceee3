"""The peer of starting.py: DDP on digits as Ray Train's documentation writes it.

    ray job submit --working-dir . -- python ray_train_digits.py REPORT

It imports nothing of heliostat. REPORT is a file: a JSON line {"event", "time": unix seconds} for
when the driver began, when the training function was entered, and when the first step was done.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Train for two epochs on two workers."""
    report = sys.argv[1]
    tell(report, "driver")
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        train_digits,
        train_loop_config={"report": report, "epochs": 2},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(
            name=f"digits-{time.time_ns()}", storage_path=str(Path(report).parent / "ray")
        ),
    )
    trainer.fit()


def train_digits(config: dict[str, Any]) -> None:
    """Train one rank."""
    import ray.train
    import torch
    from ray.train.torch import prepare_data_loader, prepare_model
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    main_rank = ray.train.get_context().get_world_rank() == 0
    if main_rank:
        tell(config["report"], "entered")
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    dataset = TensorDataset(inputs, torch.tensor(labels))
    loader = prepare_data_loader(DataLoader(dataset, batch_size=32, shuffle=True))
    model = prepare_model(network(nn))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    first = True
    for epoch in range(config["epochs"]):
        if ray.train.get_context().get_world_size() > 1:
            loader.sampler.set_epoch(epoch)
        for batch, targets in loader:
            loss = nn.functional.cross_entropy(model(batch), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if first and main_rank:
                tell(config["report"], "first_step")
            first = False
        ray.train.report({"loss": loss.item()})


def network(nn: Any) -> Any:
    """Return a small CNN."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def tell(report: str, event: str) -> None:
    """Append what happened just now."""
    with open(report, "a") as file:
        file.write(json.dumps({"event": event, "time": time.time()}) + "\n")


if __name__ == "__main__":
    main()

"""A model and the task learn real images."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from heliostat.vision import models
from heliostat.vision.classification import Classification
from heliostat.vision.normalize import pipeline


@pytest.mark.usefixtures("one_thread")
def test_ten_epochs_of_digits_give_the_small_cnn_97_percent() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    images = (torch.from_numpy(digits.images) * 255 / 16).round().to(torch.uint8)[order, None]
    targets = torch.from_numpy(digits.target)[order]
    task = Classification([str(k) for k in range(10)])
    net = models.build("cnn_small", {}, num_classes=10, in_channels=1)
    model = pipeline(net, (0.305,), (0.376,)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(10):
        for batch in torch.randperm(1_437).split(64):
            optimizer.zero_grad()
            task.loss(model, images[batch], targets[batch]).mean().backward()
            optimizer.step()
    evaluation = task.evaluation()
    with torch.no_grad():
        evaluation.update(model.eval(), images[1_437:], targets[1_437:])
    assert evaluation.compute()["accuracy"] > 0.97

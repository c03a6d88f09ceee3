"""Specs that several tests begin with, as text."""

from __future__ import annotations

TRAIN = """\
kind: train
name: digits
model: {name: cnn_small}
data: {train: "sklearn:digits", val: "sklearn:digits"}
batch_size: 64
epochs: 9
optimizer: {name: sgd, lr: 0.1}
"""

TUNE = """\
kind: tune
name: search
train: base.yaml
search:
  optimizer.lr: {loguniform: [1.0e-4, 1.0]}
trials: 8
"""

TWO_NETS = """
from torch import nn
from heliostat.vision.task import Turn
from heliostat.vision.classification import Classification

def small():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = small(), small()
    def forward(self, images):
        return self.second(images)
"""
"""A module of two networks, for tasks of two turns. No BatchNorm: its statistics are those of the
part of a batch that it sees."""

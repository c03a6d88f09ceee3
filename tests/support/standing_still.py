"""A training process of the tests' own that stands still at a step, to be killed or stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from heliostat.spec import Document
from heliostat.training.checkpoints import existing
from heliostat.training.journal import read_all

# Seconds, for a machine that is busy: importing torch alone may take ten.
PATIENCE = 120.0

SCRIPT = """
import sys
from pathlib import Path
import torch
from heliostat import spec
from heliostat.training.context import Context
from heliostat.training.process import train
from heliostat.training.reporter import Reporter
torch.set_num_threads(int(sys.argv[3]))
file, folder = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(file.parent))
train(
    spec.load(file, sys.argv[4:]).spec,
    Context(folder=folder, reporter=Reporter(folder, attempt=1)),
    code=file.parent,
)
"""

MODEL = """
import os
import time
from torch import nn

class Net(nn.Module):
    steps = 0
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(), nn.Linear(288, 10)
        )
    def forward(self, images):
        if self.training:
            self.steps += 1
            while self.steps == int(os.environ.get("STAND_STILL_AT", 0)):
                time.sleep(0.05)
                if os.path.exists(os.environ.get("UNTIL", "")):
                    break
        return self.layers(images)
"""

OVERRIDES = (
    "model.name=users_own:Net",
    "data.augment=[{random_crop: {padding: 1}}]",
    "max_steps=14",  # five to an epoch
    "log_every=2",
    "checkpoint.every=3 steps",
    "checkpoint.keep_latest=2",
)


def start(document: Document, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Train in a process of its own, as the first attempt of the job in `folder`.

    It stands still in the forward pass of the step STAND_STILL_AT, until the file UNTIL is there.
    """
    command = [sys.executable, "-c", SCRIPT, str(document.path), str(folder)]
    return subprocess.Popen(
        [*command, str(torch.get_num_threads()), *document.overrides],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def told(folder: Path) -> int:
    """Return the last step whose loss the journal has."""
    steps = [r["step"] for r in read_all(folder / "journal") if r.get("name") == "train/loss"]
    return max(steps, default=0)


def newest(folder: Path) -> int:
    """Return the step of the newest complete checkpoint."""
    return max((c.step for c in existing(folder / "checkpoints")), default=0)


def values(folder: Path) -> list[tuple[str, int, float]]:
    """Return every metric of the journal that isn't measured with a clock, repetitions included."""
    return sorted(
        (record["name"], record["step"], record["value"])
        for record in read_all(folder / "journal")
        if record["kind"] == "metric"
        and not record["name"].startswith(("system/", "time/", "train/images"))
    )

"""A training process that is killed, and the attempt after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from heliostat.spec import Document
from heliostat.training.checkpoints import existing
from heliostat.training.journal import events, read_all

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
import threading
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
            if self.steps == int(os.environ.get("STAND_STILL_AT", 0)):
                threading.Event().wait()
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


def test_after_a_kill_the_weights_are_those_of_an_undisturbed_run_and_no_step_is_told_twice(
    write: Callable[..., Document],
    train_here: Callable[..., dict[str, float]],
    tmp_path: Path,
) -> None:
    document = write(MODEL, *OVERRIDES)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_at_step(9, document, killed)

    metrics = train_here(document, killed, attempt=2)
    assert metrics == train_here(document, whole)
    mended, undisturbed = (load_file(f / "model" / "weights.safetensors") for f in (killed, whole))
    assert mended.keys() == undisturbed.keys()
    assert all(torch.equal(mended[name], undisturbed[name]) for name in mended)

    records = read_all(killed / "journal")
    assert values(killed) == values(whole)
    (restored,) = events(records, "restored")
    (repeated,) = events(records, "repeated")
    assert restored["step"] == 6
    assert repeated["steps"] == 1  # the mean loss up to step 8, of which the journal had heard
    assert repeated["largest_difference"] == 0


def kill_at_step(step: int, document: Document, folder: Path) -> None:
    """Train in a process that stands still in the forward pass of `step`, and kill it there."""
    command = [sys.executable, "-c", SCRIPT, str(document.path), str(folder)]
    process = subprocess.Popen(
        [*command, str(torch.get_num_threads()), *document.overrides],
        env={**os.environ, "STAND_STILL_AT": str(step)},
    )
    try:
        until = time.monotonic() + PATIENCE
        while told(folder) < step - 1 or newest(folder) < step - 3:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


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

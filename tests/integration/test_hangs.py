"""A job that stands still: it is found out, ended with everybody's stacks, and goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from command import DIGITS, Helio, sets
from heliostat.training.journal import Record, events, read_all
from waiting import wait_until

HANGS = '''
import os, threading, time
import torch.distributed as dist
from pathlib import Path
from torch import nn
from heliostat.vision.cnn_small import cnn_small


class Hangs(nn.Module):
    """The small CNN, which stands still once, or shows its process, at a step of the last rank."""

    def __init__(self, num_classes, in_channels, once, how="wait", at=25):
        super().__init__()
        self.net = cnn_small(num_classes=num_classes, in_channels=in_channels)
        self.once, self.how, self.at, self.steps = Path(once), how, at, 0

    def forward(self, images):
        self.steps += self.training
        last = not dist.is_initialized() or dist.get_rank() == dist.get_world_size() - 1
        if self.training and self.steps == self.at and last and not self.once.exists():
            self.once.write_text(str(os.getpid()))
            if self.how == "wait":
                threading.Event().wait()
            else:
                time.sleep(15)
        return self.net(images)
'''


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec of two epochs of 20 steps, with a checkpoint every ten steps."""
    folder = tmp_path_factory.mktemp("hangs")
    (folder / "hangs.py").write_text(HANGS)
    text = (DIGITS / "train.yaml").read_text()
    text = text.replace("{name: cnn_small}", "{name: 'hangs:Hangs'}")
    text = text.replace("epochs: 20", "epochs: 2\ncheckpoint: {every: 10 steps}")
    lines = [line for line in text.splitlines() if not line.startswith("register")]
    (folder / "train.yaml").write_text("\n".join(lines))
    return folder / "train.yaml"


def test_a_local_job_that_stands_still_ends_with_its_stacks_and_can_be_gone_on_with(
    helio: Helio, spec: Path, tmp_path: Path
) -> None:
    options = ["stall.after=3 seconds", f"model.args.once={tmp_path}/once"]
    done = helio("run", spec, "--local", "--json", *sets(options))
    assert done.status == 1, done.err
    error = done.document["error"]
    assert error["verdict"] == "stalled"
    assert "no progress for 3 seconds: rank 0 in step 25 at hangs.py:" in error["message"]
    (stalled,) = events(journal(helio, done.document["job"]), "stalled")
    assert "threading.Event().wait()" in stalled["stacks"]

    again = helio("resume", done.document["job"], "--json", *sets(["stall.after=30 minutes"]))
    assert again.status == 0, again.err
    assert "2 attempts: stalled, finished" in again.err


@pytest.mark.slow
def test_a_stopped_rank_ends_the_attempt_is_named_and_leaves_no_process(
    helio: Helio, spec: Path, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    options = ["stall.after=30 seconds", f"model.args.once={once}", "model.args.how=sleep"]
    process = helio.start("run", spec, "--json", *sets(options))
    wait_until(lambda: once.exists() and once.read_text(), 240, lambda: process.poll())
    stopped = psutil.Process(int(once.read_text()))
    os.kill(stopped.pid, signal.SIGSTOP)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert not stopped.is_running()
    assert "rank 1 says nothing: it is stopped, or its machine is frozen" in err
    assert "2 attempts: stalled, finished" in err
    assert "goodput" in out + err


def journal(helio: Helio, job: str) -> list[Record]:
    return read_all(helio.folder(job) / "journal")

"""The network of the chaos suite's job. Its process can be made to stand still at a moment.

`CHAOS_STANDS_AT` is `MOMENT@FILE`. When the moment comes, the process writes its number into the
file and waits while it is there: whoever watches the file kills the process, from outside and
precisely there, or removes the file. Nobody stands still a second time. A moment is

- `step:N`, the forward pass of this process's Nth training step;
- `evaluation:N`, its Nth forward pass of an evaluation;
- `write:PATTERN`, just before a file of such a path is opened for writing.

`CHAOS_PIDS` names a folder in which each rank of several leaves its process's number.
"""

from __future__ import annotations

import os
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from heliostat.vision.cnn_small import cnn_small


def build(num_classes: int, in_channels: int, pause: float = 0.0) -> nn.Module:
    """Return the small CNN, which waits for `pause` seconds before each training step."""
    model = cnn_small(num_classes=num_classes, in_channels=in_channels)
    if dist.is_initialized() and "CHAOS_PIDS" in os.environ:
        Path(os.environ["CHAOS_PIDS"], str(dist.get_rank())).write_text(str(os.getpid()))
    moment, _, file = os.environ.get("CHAOS_STANDS_AT", "").partition("@")
    kind, _, what = moment.partition(":")
    if kind == "write":
        _stand_before_writing(what, Path(file))
    passes = _Passes(pause, kind, what, Path(file))
    model.register_forward_pre_hook(passes)
    return model


class _Passes:
    """Counts the forward passes of one kind, and stands still at the one that is wanted."""

    def __init__(self, pause: float, kind: str, which: str, file: Path) -> None:
        self.pause, self.kind, self.file = pause, kind, file
        self.left = int(which) if kind in ("step", "evaluation") else 0

    def __call__(self, model: nn.Module, inputs: Any) -> None:
        if torch.compiler.is_exporting():
            return
        if model.training and self.pause:
            threading.Event().wait(self.pause)
        if self.kind == ("step" if model.training else "evaluation"):
            self.left -= 1
            if self.left == 0:
                stand_still(self.file)


def _stand_before_writing(pattern: str, file: Path) -> None:
    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(args[0], str | os.PathLike):
            return
        path, mode, flags = args
        writes = any(c in mode for c in "wax") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        if writes and fnmatch(os.fspath(path), pattern):
            stand_still(file)

    sys.addaudithook(hook)


def stand_still(file: Path) -> None:
    """Say so in `file` and wait while it is there, but only if nobody did before."""
    try:
        descriptor = os.open(file.with_suffix(".begun"), os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.close(descriptor)
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").rename(file)
    while file.exists():
        threading.Event().wait(0.05)

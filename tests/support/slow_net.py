"""A training job that takes its time, for what is to happen in the middle of it."""

from __future__ import annotations

from pathlib import Path

from command import DIGITS

_SLOW = '''
import time
from torch import nn
from heliostat.vision.cnn_small import cnn_small


class Slow(nn.Module):
    """The small CNN, which waits at each training step."""

    def __init__(self, num_classes, in_channels, pause):
        super().__init__()
        self.net = cnn_small(num_classes=num_classes, in_channels=in_channels)
        self.pause = pause

    def forward(self, images):
        time.sleep(self.pause * self.training)
        return self.net(images)
'''


def slow_spec(folder: Path, *, pause: float = 0.25, epochs: int = 4) -> Path:
    """Write the digits' spec into `folder` with steps of `pause` seconds more; return its path.

    An epoch has 20 steps, a checkpoint is written every 5, and no model is registered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slow.py").write_text(_SLOW)
    text = (DIGITS / "train.yaml").read_text()
    text = text.replace("{name: cnn_small}", f"{{name: 'slow:Slow', args: {{pause: {pause}}}}}")
    text = text.replace("epochs: 20", f"epochs: {epochs}\ncheckpoint: {{every: 5 steps}}")
    lines = [line for line in text.splitlines() if not line.startswith("register")]
    (folder / "train.yaml").write_text("\n".join(lines))
    return folder / "train.yaml"

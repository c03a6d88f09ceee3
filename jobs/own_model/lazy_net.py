"""A network of your own. The spec's `model.args` are its arguments.

`num_classes` and `in_channels` come from the data where a model names them. Images arrive as
float32, normalised; the registered model takes them raw.
"""

from __future__ import annotations

from torch import Tensor, nn


class LazyNet(nn.Module):
    """Two blocks of convolutions, the second with a shortcut, for images of any size.

    Lazy modules find out their inputs' sizes from the first two samples, on every worker, before
    DistributedDataParallel wraps them.
    """

    def __init__(self, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.LazyConv2d(width, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.block = nn.Sequential(
            nn.LazyConv2d(width, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.LazyLinear(num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, num_classes) for images (n, channels, height, width)."""
        features = self.stem(images)
        logits: Tensor = self.head(features + self.block(features))
        return logits

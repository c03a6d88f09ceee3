"""Batch normalisation that one image can pass in training."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class OneValueBatchNorm2d(nn.BatchNorm2d):
    """torch's BatchNorm2d; a batch with a single value per channel is normalised as in evaluation.

    Such a value has no variance, and torch refuses it. Its running statistics stay as they are.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised (n, C, H, W)."""
        if self.training and images.shape[0] * images.shape[2] * images.shape[3] == 1:
            return functional.batch_norm(
                images, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(images)

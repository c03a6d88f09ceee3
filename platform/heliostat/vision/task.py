"""What a task is: the meaning of a batch, its loss, its evaluation, and what the model gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from PIL import Image
from torch import Tensor, nn


class Evaluation(Protocol):
    """Sums over the samples seen so far, from which metrics follow.

    Everything in `state` adds up over ranks, so that metrics are the same at any world size.
    """

    def update(self, model: nn.Module, inputs: Tensor, targets: Any) -> None:
        """Count a batch of n samples; `model` is in eval mode and gradients are off."""

    def state(self) -> dict[str, Tensor]:
        """Return the sums (int64 or float64); the caller may overwrite them with global sums."""

    def compute(self) -> Mapping[str, float]:
        """Return the metrics by name, from the sums in `state`."""

    def pictures(self) -> Mapping[str, Image.Image]:
        """Return named pictures: drawn from the sums, and from this rank's first samples."""


class Task(Protocol):
    """What a batch means. A task of the user's own has these members (subclassing is optional)."""

    metrics: tuple[str, ...]
    """Names that `Evaluation.compute` gives, without the `val/` or `test/` before them."""

    def loss(self, model: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        """Return the loss of each sample, shape (n,); the loop takes the global mean."""

    def evaluation(self) -> Evaluation:
        """Return a fresh evaluation."""

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module to register: raw inputs in, what a user wants out."""

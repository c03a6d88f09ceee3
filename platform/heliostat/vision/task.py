"""What a task is: the meaning of a batch, its loss, its evaluation, and what the model gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image
from torch import Tensor, nn

Losses = Tensor | Mapping[str, Tensor]
"""The loss of each sample, shape (n,); or several of them by name, whose sum is minimised."""


@dataclass(frozen=True)
class Turn:
    """A part of a training step: a loss, and the parameters that an optimizer moves by it.

    A task with several networks that learn from one another has several: a GAN's are
    `discriminator` and `generator`, taken one after the other with the same batch.
    """

    name: str
    loss: Callable[[nn.Module, Any, Any], Losses]
    """(model, inputs, targets) → losses, as `Task.loss`."""
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]]
    """Those of the model's parameters that this turn moves; the others stand still in it."""


class Evaluation(Protocol):
    """Sums over the samples seen so far, from which metrics follow.

    Everything in `state` adds up over ranks, so that metrics are the same at any world size. What
    does not add up (a detector's boxes) an evaluation keeps as `records`: a list with one plain
    value or tensor structure for each sample, in the order seen. Training replaces it by the list
    of all ranks' samples, in the order of the data. Samples to draw may be `shown`, a
    `spread.Spread`. `registered.evaluate_part` says how a registered model is evaluated.
    """

    def update(self, model: nn.Module, inputs: Any, targets: Any) -> None:
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

    def loss(self, model: nn.Module, inputs: Any, targets: Any) -> Losses:
        """Return the loss of each sample, shape (n,); the loop takes the global mean.

        A loss that only the batch as a whole has is given as `loss.expand(n)`. A task with
        several networks has `turns`, a tuple of Turn, in place of this.
        """

    def evaluation(self) -> Evaluation:
        """Return a fresh evaluation."""

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module to register: raw inputs in, what a user wants out."""


def turns(task: Task) -> tuple[Turn, ...]:
    """Return the task's own turns, or the one of a task with a single loss."""
    own: tuple[Turn, ...] | None = getattr(task, "turns", None)
    return own or (Turn("", task.loss, nn.Module.parameters),)

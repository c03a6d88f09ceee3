"""The training loss by step, of all ranks together, without holding up the device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heliostat.training.distributed import sum_over_ranks


class DivergedError(ArithmeticError):
    """The loss or the weights became NaN or infinite; training cannot go on from there."""


class LossWindow:
    """Collects the loss of each step since the last report.

    A step's loss stays on the device until somebody asks: `settle` then sums all of them over
    the ranks at once. Sums are taken step by step, so asking more often (at a checkpoint) does
    not change a digit of what is reported.
    """

    def __init__(self, settled: list[float] | None = None) -> None:
        """Begin with the losses that a checkpoint carried, or with none."""
        self._settled = list(settled or ())
        self._pending: list[Tensor] = []

    def add(self, share: Tensor) -> None:
        """Add this rank's share of a step's loss: its local sum over the global count, a scalar."""
        self._pending.append(share.detach())

    def settle(self, *, last_step: int, learning_rate: float) -> list[float]:
        """Return every step's global loss since the last `take`, the last being of `last_step`.

        A collective: every rank calls it at the same step. Raises DivergedError on all of them
        at the first step whose loss is not finite.
        """
        if self._pending:
            losses = torch.stack(self._pending).double()
            sum_over_ranks([losses])
            self._settled.extend(losses.tolist())
            self._pending.clear()
        for ahead, loss in enumerate(self._settled, start=1):
            if not math.isfinite(loss):
                step = last_step - len(self._settled) + ahead
                raise DivergedError(
                    f"the loss became {loss} at step {step} (learning rate {learning_rate:g})"
                )
        return self._settled

    def take(self, *, last_step: int, learning_rate: float) -> float:
        """Return the mean global loss since the last `take`, and begin anew."""
        losses = self.settle(last_step=last_step, learning_rate=learning_rate)
        mean = sum(losses) / len(losses) if losses else math.nan
        self._settled = []
        return mean

    @property
    def empty(self) -> bool:
        """Whether no step was added since the last `take`."""
        return not self._settled and not self._pending

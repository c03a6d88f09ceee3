"""The training losses by step, of all ranks together, without holding up the device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from heliostat.training.distributed import sum_over_ranks


class DivergedError(ArithmeticError):
    """The loss or the weights became NaN or infinite; training cannot go on from there."""


class LossWindow:
    """Collects the losses of each step since the last report: `loss`, and its parts by name.

    A step's losses stay on the device until somebody asks: `settle` then sums all of them over
    the ranks at once. Sums are taken step by step, so asking more often (at a checkpoint) does
    not change a digit of what is reported.
    """

    def __init__(self, settled: Mapping[str, list[float]] | None = None) -> None:
        """Begin with the losses that a checkpoint carried, or with none."""
        self._settled = {name: list(values) for name, values in (settled or {}).items()}
        self._pending: list[Mapping[str, Tensor]] = []

    def add(self, shares: Mapping[str, Tensor]) -> None:
        """Add this rank's shares of a step's losses: local sums over the global count, scalars.

        Every step has the same names, `loss` among them.
        """
        self._pending.append({name: share.detach() for name, share in shares.items()})

    def settle(self, *, last_step: int, learning_rate: float) -> dict[str, list[float]]:
        """Return every step's global losses since the last `take`, the last being of `last_step`.

        A collective: every rank calls it at the same step. Raises DivergedError on all of them
        at the first step whose loss is not finite.
        """
        if self._pending:
            names = list(self._pending[0])
            rows = [torch.stack([step[name] for name in names]) for step in self._pending]
            losses = torch.stack(rows).double()
            sum_over_ranks([losses])
            for name, column in zip(names, losses.T.tolist(), strict=True):
                self._settled.setdefault(name, []).extend(column)
            self._pending.clear()
        totals = self._settled.get("loss", [])
        for ahead, loss in enumerate(totals, start=1):
            if not math.isfinite(loss):
                step = last_step - len(totals) + ahead
                raise DivergedError(
                    f"the loss became {loss} at step {step} (learning rate {learning_rate:g})"
                )
        return self._settled

    def take(self, *, last_step: int, learning_rate: float) -> dict[str, float]:
        """Return the mean global losses since the last `take`, and begin anew."""
        settled = self.settle(last_step=last_step, learning_rate=learning_rate)
        self._settled = {}
        return {name: sum(values) / len(values) for name, values in settled.items()}

    @property
    def empty(self) -> bool:
        """Whether no step was added since the last `take`."""
        return not self._settled and not self._pending

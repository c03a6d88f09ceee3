"""The task: logits, their loss, and what is registered."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heliostat.vision.classification.evaluation import KINDS, ClassificationEvaluation
from heliostat.vision.classification.shapes import (
    are_shares,
    check_targets,
    logits_of,
    probabilities_of,
)
from heliostat.vision.metric_labels import metric_labels
from heliostat.vision.mistakes import WrongTargets, WrongValue


class Classification:
    """The task: a model gives logits (n, K) for a batch; targets are int64 (n,) in 0..K-1.

    Metrics: loss (cross-entropy, nats), accuracy, top5_accuracy (K above 5), the unweighted means
    over classes of precision, recall and f1, and calibration_error; up to 20 classes also
    `f1/<class>` and so on.

    `label_smoothing` (0 up to 1) and `class_weights` (a number for each class, in the classes'
    order) are those of `torch.nn.functional.cross_entropy`, in training only: the evaluation's
    loss is plain. A sample's loss is multiplied by its class's weight, and the mean is over
    samples, as the loop takes it: torch's own mean divides by the sum of their weights.

    Raises WrongValue (a ValueError) where there are no classes, or for such a number that isn't.
    """

    def __init__(
        self,
        classes: Sequence[str],
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if not classes:
            raise WrongValue("classification needs classes, and the data names none")
        self.classes = tuple(str(name) for name in classes)
        self.metric_labels = metric_labels(self.classes)
        top5 = ("top5_accuracy",) if len(self.classes) > 5 else ()
        self.metrics: tuple[str, ...] = (
            *("loss", "accuracy", *top5, *KINDS, "calibration_error"),
            *(f"{kind}/{label}" for kind in KINDS for label in self.metric_labels),
        )
        self._smoothing = _smoothing(label_smoothing)
        self._weights = _weights(class_weights, len(self.classes))

    def check_samples(self, inputs: Any, targets: Any) -> None:
        """Raise WrongTargets for a batch of boxes or masks."""
        if isinstance(inputs, list):
            raise WrongTargets("the data has boxes or masks, and no class for each image")

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each sample, float32 (n,).

        `targets` are classes, whole numbers (n,), or the classes' shares, floats (n, K), as MixUp
        makes them. Raises ValueError if the model's output isn't (n, K) or the targets are
        neither.
        """
        if not are_shares(targets, (len(inputs), len(self.classes))):
            check_targets(targets, len(self.classes))
            targets = targets.long()
        logits = logits_of(model(inputs), len(targets), len(self.classes))
        if self._weights is not None:
            self._weights = self._weights.to(logits.device)  # once: a copy each step would wait
        return functional.cross_entropy(
            logits.float(),
            targets,
            weight=self._weights,
            label_smoothing=self._smoothing,
            reduction="none",
        )

    def evaluation(self) -> ClassificationEvaluation:
        """Return a fresh evaluation."""
        return ClassificationEvaluation(self)

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module that gives probabilities, float32 (n, K), rows that sum to 1."""
        return nn.Sequential(OrderedDict(model=model, probabilities=_Probabilities()))


class _Probabilities(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return probabilities_of(logits)


def _smoothing(given: Any) -> float:
    if not _is_number(given) or not 0 <= given < 1:
        raise WrongValue(f"label_smoothing is {given!r}; it is a number from 0 up to, not with, 1")
    return float(given)


def _weights(given: Any, classes: int) -> Tensor | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != classes:
        what = f"{len(given)} of them" if isinstance(given, list | tuple) else repr(given)
        raise WrongValue(f"class_weights needs a number for each of {classes} classes, not {what}")
    wrong = [value for value in given if not _is_number(value) or value < 0]
    if wrong or not any(given):
        what = repr(wrong[0]) if wrong else "0 for every class"
        raise WrongValue(f"class_weights are finite and not below 0, and not all 0; not {what}")
    return torch.tensor([float(value) for value in given])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

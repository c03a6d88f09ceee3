"""Classification of images into K classes."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from heliostat.vision import confusion, pictures
from heliostat.vision.gallery import Gallery
from heliostat.vision.mistakes import WrongTargets, WrongValue

PER_CLASS_LIMIT = 20
"""With more classes than this, figures of each class are a picture and not metrics."""


class Classification:
    """The task: a model gives logits (n, K) for a batch; targets are int64 (n,) in 0..K-1.

    Metrics: loss (cross-entropy, nats), accuracy, top5_accuracy (K above 5), and the unweighted
    means over classes of precision, recall and f1; up to 20 classes also `f1/<class>` and so on.
    Raises WrongValue (a ValueError) where there are no classes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        if not classes:
            raise WrongValue("classification needs classes, and the data names none")
        self.classes = tuple(str(name) for name in classes)
        self.metric_labels = _metric_labels(self.classes)
        top5 = ("top5_accuracy",) if len(self.classes) > 5 else ()
        self.metrics: tuple[str, ...] = (
            *("loss", "accuracy", *top5, "precision", "recall", "f1"),
            *(f"{kind}/{label}" for kind in _KINDS for label in self.metric_labels),
        )

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each sample, float32 (n,).

        `targets` are classes, whole numbers (n,), or the classes' shares, floats (n, K), as MixUp
        makes them. Raises ValueError if the model's output isn't (n, K) or the targets are
        neither.
        """
        if not _are_shares(targets, (len(inputs), len(self.classes))):
            _check_targets(targets, len(self.classes))
            targets = targets.long()
        logits = _logits(model(inputs), len(targets), len(self.classes))
        return functional.cross_entropy(logits.float(), targets, reduction="none")

    def evaluation(self) -> ClassificationEvaluation:
        """Return a fresh evaluation."""
        return ClassificationEvaluation(self)

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module that gives probabilities, float32 (n, K), rows that sum to 1."""
        return nn.Sequential(OrderedDict(model=model, probabilities=_Probabilities()))


class ClassificationEvaluation:
    """Sums over samples: integers, and losses rounded so that their order doesn't matter.

    Everything is counted from the probabilities that `Classification.predictor` gives, so the
    registered model, which gives just those, is evaluated to the very same figures.
    """

    def __init__(self, task: Classification) -> None:
        count = len(task.classes)
        self._task = task
        self._gallery = Gallery()
        self._confusion = torch.zeros(count, count, dtype=torch.int64)
        self._top5_hits = torch.zeros((), dtype=torch.int64)
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._seen = torch.zeros((), dtype=torch.int64)

    def update(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        """Count a batch of n samples; raises ValueError as `Classification.loss` does."""
        logits = _logits(model(inputs), len(targets), len(self._task.classes))
        self.update_outputs(_softmax(logits), targets, inputs)

    def update_outputs(
        self, probabilities: Tensor, targets: Tensor, inputs: Tensor | None = None
    ) -> None:
        """Count a batch by a predictor's outputs, float32 (n, K).

        `inputs` are only for the picture of samples. Raises ValueError for another shape, and
        for targets that aren't in 0..K-1.
        """
        _check_targets(targets, len(self._task.classes))
        _check_shape(probabilities, len(targets), len(self._task.classes))
        self._move_to(probabilities.device)
        targets = targets.to(probabilities.device, torch.int64)
        self._loss_sum += _rounded_losses(probabilities, targets).sum()
        # A stable sort and not topk: among equal probabilities the first class wins, always.
        ranked = probabilities.sort(dim=1, descending=True, stable=True)
        predicted = ranked.indices[:, 0]
        self._confusion.index_put_((targets, predicted), torch.ones_like(targets), accumulate=True)
        self._top5_hits += (ranked.indices[:, :5] == targets[:, None]).sum()
        self._seen += len(targets)
        if inputs is not None and inputs.ndim == 4 and inputs.shape[1] in (1, 3):
            self._gallery.offer(inputs, targets, predicted, ranked.values[:, 0])

    def state(self) -> dict[str, Tensor]:
        """Return the sums themselves; `seen` is the number of samples."""
        return {
            "confusion": self._confusion,
            "top5_hits": self._top5_hits,
            "loss_sum": self._loss_sum,
            "seen": self._seen,
        }

    def compute(self) -> dict[str, float]:
        """Return the task's metrics; loss and accuracies are NaN if nothing was seen."""
        each = self.per_class()
        kinds = {kind: getattr(each, kind) for kind in _KINDS}
        values = {
            "loss": self._mean(self._loss_sum),
            "accuracy": self._mean(self._confusion.trace()),
            "top5_accuracy": self._mean(self._top5_hits),
            **{kind: float(figures.mean()) for kind, figures in kinds.items()},
            **{
                f"{kind}/{label}": float(figure)
                for kind, figures in kinds.items()
                for label, figure in zip(self._task.metric_labels, figures, strict=False)
            },
        }
        # A task of the user's own may name more: those are added by its own evaluation.
        return {name: values[name] for name in self._task.metrics if name in values}

    def per_class(self) -> confusion.PerClass:
        """Return precision, recall, F1 and support of each class, at any number of classes."""
        return confusion.per_class(self._confusion.cpu().numpy())

    def pictures(self) -> dict[str, Image.Image]:
        """Return `confusion_matrix`, `samples` if images were seen, `per_class` if K > 20."""
        classes = self._task.classes
        counts = self._confusion.cpu().numpy()
        drawn = {"confusion_matrix": pictures.confusion_matrix(counts, classes)}
        if shown := self._gallery.samples():
            drawn["samples"] = pictures.samples(shown, classes)
        if len(classes) > PER_CLASS_LIMIT:
            drawn["per_class"] = pictures.per_class(self.per_class(), classes)
        return drawn

    def _move_to(self, device: torch.device) -> None:
        """Sums live where the model's outputs are: adding then never waits for a GPU."""
        if self._confusion.device != device:
            self._confusion = self._confusion.to(device)
            self._top5_hits = self._top5_hits.to(device)
            self._loss_sum = self._loss_sum.to(device)
            self._seen = self._seen.to(device)

    def _mean(self, total: Tensor) -> float:
        return float(total.double() / self._seen)


_KINDS = ("precision", "recall", "f1")


class _Probabilities(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return _softmax(logits)


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1, dtype=torch.float32)


def _logits(output: Any, samples: int, classes: int) -> Tensor:
    if not isinstance(output, Tensor):
        raise WrongValue(f"classification needs a tensor of logits, not {type(output).__name__}")
    _check_shape(output, samples, classes)
    return output


def _are_shares(targets: Any, shape: tuple[int, int]) -> bool:
    return isinstance(targets, Tensor) and targets.is_floating_point() and targets.shape == shape


def _check_targets(targets: Any, classes: int) -> None:
    if not isinstance(targets, Tensor):
        kind = type(targets).__name__
        raise WrongTargets(f"a batch's targets are a {kind}; classification needs whole numbers")
    if targets.ndim != 1 or targets.is_floating_point():
        raise WrongTargets(
            f"a batch's targets are {targets.dtype} of shape {tuple(targets.shape)};"
            f" classification needs a whole number for each sample"
        )
    # Not on a GPU: looking at the values would wait for it at every step.
    if targets.device.type == "cpu" and len(targets):
        low, high = (int(end) for end in targets.aminmax())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise WrongTargets(f"a target is {wrong}; {classes} classes have 0 to {classes - 1}")


def _check_shape(outputs: Tensor, samples: int, classes: int) -> None:
    if outputs.shape != (samples, classes):
        raise WrongValue(
            f"the model gives shape {tuple(outputs.shape)} for {samples} samples;"
            f" classification into {classes} classes needs ({samples}, {classes})"
        )


def _rounded_losses(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return -log p of the targets in nats, float64 (n,), rounded to multiples of 2^-32.

    Sums of such multiples are exact in float64 up to 2^21, hence equal in any order and at any
    world size. p is held above the least normal float32, so that no loss is above 87.3.
    """
    chosen = probabilities.gather(1, targets[:, None]).squeeze(1).double()
    losses = -chosen.clamp(min=torch.finfo(torch.float32).tiny).log()
    return (losses * 2.0**32).round() / 2.0**32


def _metric_labels(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a label a class that MLflow takes in a metric's name, all different; none if many."""
    if len(classes) > PER_CLASS_LIMIT:
        return ()
    labels: list[str] = []
    for number, name in enumerate(classes):
        label = re.sub(r"[^\w\- .]", "_", name)[:60].strip(" .") or f"class_{number}"
        labels.append(f"{label}_{number}" if label in labels else label)
    return tuple(labels)

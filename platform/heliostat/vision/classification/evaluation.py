"""The evaluation: sums from which the metrics follow, and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from heliostat.vision import confusion, pictures
from heliostat.vision.classification.calibration import Calibration
from heliostat.vision.classification.shapes import (
    check_shape,
    check_targets,
    logits_of,
    probabilities_of,
)
from heliostat.vision.classification.worst import Bad, Worst, worst_of
from heliostat.vision.exact import losses_of
from heliostat.vision.gallery import Gallery
from heliostat.vision.metric_labels import PER_CLASS_LIMIT

if TYPE_CHECKING:
    from heliostat.vision.classification.task import Classification

KINDS = ("precision", "recall", "f1")


class ClassificationEvaluation:
    """Sums over samples: integers, and floats rounded so that their order doesn't matter.

    Everything is counted from the probabilities that `Classification.predictor` gives, so the
    registered model, which gives just those, is evaluated to the very same figures.

    `records` are not all the samples but this rank's 25 of the highest loss; set to several
    ranks', the 25 worst of theirs. Those are drawn.
    """

    def __init__(self, task: Classification) -> None:
        count = len(task.classes)
        self._task = task
        self.shown = Gallery()
        self._worst = Worst()
        self._gathered: list[Bad] | None = None
        self._calibration = Calibration()
        self._confusion = torch.zeros(count, count, dtype=torch.int64)
        self._top5_hits = torch.zeros((), dtype=torch.int64)
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._seen = torch.zeros((), dtype=torch.int64)

    def update(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        """Count a batch of n samples; raises ValueError as `Classification.loss` does."""
        logits = logits_of(model(inputs), len(targets), len(self._task.classes))
        self.update_outputs(probabilities_of(logits), targets, inputs)

    def update_outputs(
        self, probabilities: Tensor, targets: Tensor, inputs: Tensor | None = None
    ) -> None:
        """Count a batch by a predictor's outputs, float32 (n, K).

        `inputs` are only for the pictures of samples. Raises ValueError for another shape, and
        for targets that aren't in 0..K-1.
        """
        check_targets(targets, len(self._task.classes))
        check_shape(probabilities, len(targets), len(self._task.classes))
        self._move_to(probabilities.device)
        targets = targets.to(probabilities.device, torch.int64)
        losses = losses_of(probabilities, targets)
        self._loss_sum += losses.sum()
        # A stable sort and not topk: among equal probabilities the first class wins, always.
        ranked = probabilities.sort(dim=1, descending=True, stable=True)
        predicted, confidence = ranked.indices[:, 0], ranked.values[:, 0]
        self._confusion.index_put_((targets, predicted), torch.ones_like(targets), accumulate=True)
        self._top5_hits += (ranked.indices[:, :5] == targets[:, None]).sum()
        self._calibration.update(confidence, predicted == targets)
        self._seen += len(targets)
        if inputs is not None and inputs.ndim == 4 and inputs.shape[1] in (1, 3):
            self.shown.offer(inputs, targets, predicted, confidence)
            images = inputs.to(probabilities.device)
            self._worst.offer(losses, images, targets, predicted, confidence)

    def state(self) -> dict[str, Tensor]:
        """Return the sums themselves; `seen` is the number of samples."""
        return {
            "confusion": self._confusion,
            "top5_hits": self._top5_hits,
            "loss_sum": self._loss_sum,
            "seen": self._seen,
            **self._calibration.state(),
        }

    @property
    def records(self) -> list[Bad]:
        """The samples of the highest loss, the worst first."""
        return self._worst.taken() if self._gathered is None else self._gathered

    @records.setter
    def records(self, gathered: list[Bad]) -> None:
        self._gathered = worst_of(gathered)

    def compute(self) -> dict[str, float]:
        """Return the task's metrics; loss and accuracies are NaN if nothing was seen."""
        each = self.per_class()
        kinds = {kind: getattr(each, kind) for kind in KINDS}
        values = {
            "loss": self._mean(self._loss_sum),
            "accuracy": self._mean(self._confusion.trace()),
            "top5_accuracy": self._mean(self._top5_hits),
            **{kind: float(figures.mean()) for kind, figures in kinds.items()},
            "calibration_error": self._calibration.error(),
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
        """Return `confusion_matrix`, and `per_class` if K > 20.

        If images were seen, also `samples`, spread over this rank's, and `worst_mistakes`, the
        `records`.
        """
        classes = self._task.classes
        counts = self._confusion.cpu().numpy()
        drawn = {"confusion_matrix": pictures.confusion_matrix(counts, classes)}
        if shown := self.shown.samples():
            drawn["samples"] = pictures.samples(shown, classes)
        if worst := [bad.shown for bad in self.records]:
            drawn["worst_mistakes"] = pictures.samples(worst, classes)
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

"""Each class against the rest: a threshold on the scores says "none of these".

Nine answers in ten are no, so the loss is focal (Lin et al. 2017). A task has `metrics`, `loss`,
`evaluation` and `predictor`; inheriting is optional, and here brings more metrics, and pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from heliostat.vision.classification import Classification, ClassificationEvaluation


class OneVsRest(Classification):
    """The task: a model gives K logits a sample, targets are class numbers."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(classes)
        self.metrics = (*self.metrics, "average_precision")

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each sample, float32 (n,), summed over its K answers."""
        truth = one_hot(targets, len(self.classes)).float()
        losses = binary_cross_entropy_with_logits(model(inputs).float(), truth, reduction="none")
        return ((1 - torch.exp(-losses)) ** 2 * losses).sum(dim=1)

    def evaluation(self) -> Scores:
        """Return a fresh evaluation."""
        return Scores(self)

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return what is registered: raw images in, a score for each class out."""
        return nn.Sequential(model, nn.Sigmoid())


class Scores(ClassificationEvaluation):
    """Counts right and wrong answers by score in hundredths; counts add up over workers."""

    def __init__(self, task: OneVsRest) -> None:
        super().__init__(task)
        self.counts = torch.zeros(2, len(task.classes), 101, dtype=torch.int64)

    def update(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        """Count a batch, without gradients."""
        scores = model(inputs).float().sigmoid()
        self.update_outputs(scores, targets, inputs)
        truth = one_hot(targets, scores.shape[1])
        each = torch.arange(scores.shape[1], device=scores.device).expand_as(truth)
        self.counts = self.counts.to(scores.device)
        places = (truth, each, (scores * 100).long())
        self.counts.index_put_(places, torch.ones_like(truth), accumulate=True)

    def state(self) -> dict[str, Tensor]:
        """Return what adds up."""
        return {**super().state(), "counts": self.counts}

    def compute(self) -> dict[str, float]:
        """Return also the mean over classes of the area under the precision-recall curve."""
        others, own = self.counts.flip(2).cumsum(2).double()  # with a score this high or higher
        gained = self.counts[1].flip(1) / own[:, -1:]
        average = (own / (own + others).clamp(min=1) * gained).sum(dim=1).nanmean()
        return {**super().compute(), "average_precision": float(average)}
